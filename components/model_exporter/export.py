"""Exporting: every variant is made, compared with the SavedModel, judged and tried out.

In: a SavedModel and examples. Out: the ONNX files, `export.json` and `parity.json`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

from components.model_exporter import (
    adversarial,
    canary,
    float16,
    models,
    onnx_export,
    parity,
    quantization,
)
from components.model_exporter.artifacts import DETAILS_JSON, EXPORT_JSON, PARITY_JSON
from components.model_exporter.config import ExportConfig
from components.model_exporter.images import (
    Pixels,
    TestImage,
    decode_pillow,
    decode_tensorflow,
    read_images,
)
from components.model_exporter.parity import Comparison
from data import contract
from data.errors import GateError
from data.releases import release
from data.releases.release import VariantName

logger = logging.getLogger("genq.exporter")

TEST_IMAGES = "test images"
OTHERS = "other images (test_natural, val, train)"
ADVERSARIAL = "adversarial images"
OPTIONAL_VARIANTS: Final[dict[str, VariantName]] = {"float16": "float16", "int8": "int8"}


def export(
    saved_model: Path,
    patterns: Mapping[str, Sequence[str]],
    config: ExportConfig,
    exported_dir: Path,
    parity_dir: Path,
    *,
    metadata: Mapping[str, str] | None = None,
    slices: Sequence[Sequence[str]] = (),
    label: contract.Label | None = None,
) -> None:
    """Writes all variants and the verdict on them.

    Args:
      saved_model: folder that Trainer exported.
      patterns: split -> files of examples; `train` and `val` for int8, `test` to compare on, and
        what is left of all to compare labels.
      config: which variants, which limits.
      exported_dir: gets the ONNX files and export.json.
      parity_dir: gets parity.json and parity_details.json.
      metadata: goes into the ONNX files.
      slices: attributes whose combinations are compared, e.g. (("Male",), ("Male", "Young")).
      label: what the model was taught; its names go into the ONNX files.

    Raises:
      GateError: if ONNX float32 is not sound, too far from the SavedModel, or does not answer in a
        fresh process; with `on_variant_failure` "stop" also if another variant does.
    """
    about = {"labels": json.dumps((label or contract.Label()).names), **(metadata or {})}
    optional = Optional(config.on_variant_failure)
    loaded = models.SavedModel(saved_model)  # once: it takes as long as converting it
    notes = make_variants(loaded, patterns, config, exported_dir, about, optional)
    files = {v: exported_dir / release.ONNX_FILES[v] for v in notes}
    images = read_images(patterns["test"], config.parity_images)
    comparisons = compare_variants(loaded, files, images, slices)
    if any(variant in OPTIONAL_VARIANTS for variant in files):
        comparisons += compare_labels(files, other_images(patterns, config, images))
    for comparison in comparisons:
        logger.info(
            "%s on %d %s: p_positive differs by %.1e at most, %.1e on average; equal labels "
            "%.2f %% (%.2f to %.2f)",
            comparison.variant,
            comparison.images,
            comparison.on,
            comparison.max_difference,
            comparison.mean_difference,
            *(100 * comparison.equal_decisions, 100 * comparison.equal_low),
            100 * comparison.equal_high,
        )
        with optional.may_fail(comparison.variant):
            judge(comparison, config)
    requests = images[: canary.REQUESTS]
    reference = canary.saved_model_answers(saved_model, requests)
    for variant, file in files.items():
        with optional.may_fail(variant):
            canary.check(variant, file, requests, reference)
    for variant in optional.left_out:
        path = exported_dir / release.ONNX_FILES[variant]
        path.unlink(missing_ok=True)
        files.pop(variant, None)
    description = {
        "variants": [*files],
        "left_out": optional.left_out,
        "notes": notes,
        "opset": config.opset,
        "signatures": {
            name: signature.model_dump()
            for name, signature in onnx_export.signatures(loaded.module).items()
        },
    }
    _write_json(exported_dir / EXPORT_JSON, description)
    every = [dataclasses.asdict(c) for c in comparisons]
    _write_json(parity_dir / DETAILS_JSON, {"left_out": optional.left_out, "comparisons": every})
    on_test = {c.variant: c for c in comparisons if c.on == TEST_IMAGES and c.variant in files}
    _write_json(
        parity_dir / PARITY_JSON,
        {
            name: {
                **dataclasses.asdict(comparison),
                "agreement": parity.pooled(
                    [c for c in comparisons if c.variant == name and c.on in (TEST_IMAGES, OTHERS)]
                ),
            }
            for name, comparison in on_test.items()
        },
    )


class Optional:
    """Which variants may fail alone, and which have, with the reason.

    Attributes:
      left_out: variant -> why.
    """

    def __init__(self, on_failure: str) -> None:
        self._stop = on_failure == "stop"
        self.left_out: dict[VariantName, str] = {}

    @contextmanager
    def may_fail(self, variant: str) -> Iterator[None]:
        """Leaves int8 or float16 out, and says so, when what is inside raises.

        Raises:
          GateError: the one inside, for float32 and the SavedModel, and where a failure stops the
            run; also when a variant cannot be made.
        """
        try:
            yield
        except MemoryError:
            raise  # the machine's failure, not the variant's
        except Exception as error:
            # Converters raise what they like. Nothing is hidden: it is logged, said, and published.
            if variant not in OPTIONAL_VARIANTS:
                raise
            if isinstance(error, GateError):
                problem, remedy = error.problem, error.remedy
            else:
                logger.debug("%s cannot be made", variant, exc_info=True)
                problem, remedy = f"{variant} cannot be made: {error!r}", parity.REMEDY
            if self._stop:
                raise GateError(problem, remedy) from error
            if variant not in self.left_out:  # the first reason is the one to look into
                self.left_out[OPTIONAL_VARIANTS[variant]] = problem
                logger.warning("%s is left out of the release. %s", variant, problem)


def make_variants(
    saved_model: models.SavedModel,
    patterns: Mapping[str, Sequence[str]],
    config: ExportConfig,
    exported_dir: Path,
    metadata: Mapping[str, str],
    optional: Optional,
) -> dict[VariantName, dict[str, Any]]:
    """Writes the ONNX files; returns variant -> what is to be said of it."""
    model = onnx_export.to_onnx(saved_model.module, config.opset, metadata)
    path = exported_dir / release.ONNX_FILES["float32"]
    onnx.save(model, str(path))
    notes: dict[VariantName, dict[str, Any]] = {"float32": {}}
    if "float16" in config.variants:
        with optional.may_fail("float16"):
            half = float16.to_float16(model)
            onnx.save(half, str(exported_dir / release.ONNX_FILES["float16"]))
            notes["float16"] = {}
    if "int8" in config.variants:
        with optional.may_fail("int8"):
            notes["int8"] = dataclasses.asdict(make_int8(path, patterns, config, exported_dir))
    asked_for = {*notes, *optional.left_out}
    if others := [name for name in release.ONNX_FILES if name not in asked_for]:
        logger.info("Not asked for: %s (export.variants)", ", ".join(others))
    return notes


def make_int8(
    float32: Path,
    patterns: Mapping[str, Sequence[str]],
    config: ExportConfig,
    exported_dir: Path,
) -> quantization.Quantized:
    """Writes the int8 file."""
    calibration, judging = quantization_images(patterns, config)
    with tempfile.TemporaryDirectory(prefix="genq-int8-") as workdir:
        made = quantization.quantize(
            float32,
            exported_dir / release.ONNX_FILES["int8"],
            calibration,
            judging,
            config,
            Path(workdir),
        )
    logger.info(
        "int8: %d of %d convolutions stay in float; on val, p_positive differs by %.4f on average",
        len(made.float_layers),
        made.layers,
        made.effect.mean_difference,
    )
    return made


def quantization_images(
    patterns: Mapping[str, Sequence[str]], config: ExportConfig
) -> tuple[list[Pixels], list[Pixels]]:
    """Returns (images to calibrate on, images to judge by); `test` is not touched."""
    train = read_images(patterns["train"], config.calibration_images)
    val = read_images(patterns["val"], config.judging_images)
    return [decode_pillow(i.encoded) for i in train], [decode_pillow(i.encoded) for i in val]


def other_images(
    patterns: Mapping[str, Sequence[str]], config: ExportConfig, test: Sequence[TestImage]
) -> list[TestImage]:
    """Returns up to `agreement_images` that neither int8 was made with nor `test` holds.

    Of the untouched test partition, where the sample has it, then of val, then of train: on images
    it was trained on a model is surer than on others, and labels change less.
    """
    known = {image.name for image in test}
    result: list[TestImage] = []
    for split, skip in (
        (contract.TEST_NATURAL, 0),
        ("val", config.judging_images),
        ("train", config.calibration_images),
    ):
        left = config.agreement_images - len(result)
        if split in patterns and left > 0:
            found = read_images(patterns[split], left + len(known), skip=skip)
            result += [image for image in found if image.name not in known][:left]
    return result


def compare_labels(
    files: Mapping[VariantName, Path], images: Sequence[TestImage]
) -> list[Comparison]:
    """Returns the optional variants against ONNX float32, which is cheaper than the SavedModel.

    float32 has been compared with the SavedModel on the test images.
    """
    variants = [v for v in files if v in OPTIONAL_VARIANTS]
    if not images or not variants:
        return []
    names, encoded = [i.name for i in images], [i.encoded for i in images]
    expected = models.answers_to_files(models.onnx_model(files["float32"]), encoded)
    return [
        parity.compare(
            *(variant, OTHERS, names, expected),
            models.answers_to_files(models.onnx_model(files[variant]), encoded),
        )
        for variant in variants
    ]


def compare_variants(
    reference: models.SavedModel,
    files: Mapping[VariantName, Path],
    images: Sequence[TestImage],
    slices: Sequence[Sequence[str]],
) -> list[Comparison]:
    """Returns, for test and adversarial images, each variant against the SavedModel.

    Decoders first: the SavedModel on the files' bytes (TensorFlow's decoder) against the SavedModel
    on Pillow's pixels. Then each variant on Pillow's pixels, which is what serving hands it.
    """
    odd = adversarial.adversarial_images()
    sets = [
        (TEST_IMAGES, [i.name for i in images], [i.encoded for i in images]),
        (ADVERSARIAL, [name for name, _ in odd], [encoded for _, encoded in odd]),
    ]
    onnx_models = {v: models.onnx_model(path) for v, path in files.items()}
    result = []
    for on, names, encoded in sets:
        pixels = [decode_pillow(e) for e in encoded]
        expected = models.answers(reference, pixels)
        decoded = answers_to_decoded(
            reference, [decode_tensorflow(e) for e in encoded], pixels, expected
        )
        signature = reference.encoded(encoded)
        result += [
            parity.compare(DECODERS, on, names, expected, decoded),
            parity.compare(SIGNATURES, on, names, decoded, signature),
        ]
        for variant, model in onnx_models.items():
            found = models.answers(model, pixels)
            comparison = parity.compare(variant, on, names, expected, found)
            if on == TEST_IMAGES:
                parts = parity.compare_slices(images, slices, expected, found)
                comparison = dataclasses.replace(comparison, slices=parts)
            result.append(comparison)
    return result


def answers_to_decoded(
    model: models.Model, decoded: Sequence[Pixels], pixels: Sequence[Pixels], known: models.P
) -> models.P:
    """Returns p_positive of each image, (n,); asks only where the pixels are not those known of.

    Args:
      model: uint8 pixels -> p_positive.
      decoded: images by one decoder.
      pixels: the same by another.
      known: what the model answers to those.
    """
    result = known.copy()
    other = [
        i for i, (a, b) in enumerate(zip(decoded, pixels, strict=True)) if not np.array_equal(a, b)
    ]
    result[other] = models.answers(model, [decoded[i] for i in other])
    return result


DECODERS = "Pillow's decoder against TensorFlow's"
SIGNATURES = "signature for files against signature for pixels"


def judge(comparison: Comparison, config: ExportConfig) -> None:
    """Raises GateError if a comparison is over the configuration's limits.

    On adversarial images int8 has no limit but to answer with numbers: it is calibrated on faces.
    """
    limits = {
        DECODERS: config.max_difference_decoders,
        SIGNATURES: config.max_difference_float32,
        "float32": config.max_difference_float32,
        "float16": config.max_difference_float16,
        "int8": np.nextafter(1.0, 2.0),
    }
    parity.judge_difference(comparison, float(limits[comparison.variant]))
    if comparison.on != ADVERSARIAL:
        parity.judge_decisions(comparison, config)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
