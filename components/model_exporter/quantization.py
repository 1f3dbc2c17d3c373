"""From ONNX float32 to int8, with the layers that lose too much left in float.

In: the float32 file and two sets of real images: `train` images to calibrate on, `val` images to
judge by. Out: an int8 file, and which layers stayed in float and why. `test` is not looked at: the
parity gate's figures on it stay honest.

Static quantisation in QDQ form, activations unsigned and weights signed with one scale a channel
(U8S8: what onnxruntime's x86 kernels are made for). The graph's two ends stay in float: resize and
scaling, and the head, which decides and costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnxruntime import quantization
from onnxruntime.quantization import CalibrationDataReader, shape_inference

from components.model_exporter import models, rewrites
from components.model_exporter.config import ExportConfig
from components.model_exporter.images import Pixels, batches
from data import contract

logger = logging.getLogger("genq.exporter")

QUANTIZED_OPS: Final = ("Conv", "Relu", "MaxPool", "AveragePool", "Concat")
CALIBRATION_BATCH: Final = 8
UNIT: Final = 3
"""Layers that are tried, and left in float, together: between two layers in float nothing is
rounded, so neighbours help each other."""
GROUP: Final = 4
"""So many neighbouring units are tried together before they are tried alone."""


@dataclass(frozen=True)
class Effect:
    """How far an int8 model is from the float one on the judging images.

    Attributes:
      equal_decisions: share of images with the same label.
      mean_difference: of p_positive, absolute.
    """

    equal_decisions: float
    mean_difference: float

    def within(self, config: ExportConfig) -> bool:
        """Returns whether it is as close as the configuration asks."""
        return (
            self.equal_decisions >= config.min_equal_decisions
            and self.mean_difference <= config.int8_max_mean_difference
        )


@dataclass(frozen=True)
class Quantized:
    """What was made.

    Attributes:
      float_layers: names of the convolutions left in float, in graph order.
      layers: number of all convolutions.
      all_int8: the effect with none of them left in float.
      effect: the effect of the result.
      tried: models that were made and measured.
    """

    float_layers: tuple[str, ...]
    layers: int
    all_int8: Effect
    effect: Effect
    tried: int


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Hands the calibration images to onnxruntime, in batches of one shape."""

    def __init__(self, images: Sequence[Pixels]) -> None:
        self._batches: Iterator[tuple[list[int], Pixels]] = batches(images, CALIBRATION_BATCH)

    def get_next(self) -> dict[str, Pixels] | None:
        """Returns the next batch; None at the end."""
        _, batch = next(self._batches, ([], None))
        return None if batch is None else {contract.IMAGE: batch}


def quantize(
    float32: Path,
    target: Path,
    calibration: Sequence[Pixels],
    judging: Sequence[Pixels],
    config: ExportConfig,
    workdir: Path,
) -> Quantized:
    """Writes the int8 model to `target`.

    Args:
      float32: ONNX file as onnx_export wrote it.
      target: file to write.
      calibration: images that activations are ranged on, each uint8 (height, width, 3).
      judging: other images, to measure the effect on.
      config: how close int8 has to be, and how many layers may stay in float.
      workdir: for intermediate files.
    """
    prepared = workdir / "prepared.onnx"
    # Symbolic shape inference needs sympy and is for transformers.
    shape_inference.quant_pre_process(str(float32), str(prepared), skip_symbolic_shape=True)
    model = onnx.load(str(prepared))
    changed = rewrites.pool_after_convolution(model)
    onnx.save(model, str(prepared))
    logger.info("%d poolings moved behind their 1x1 convolutions.", changed)
    expected = models.answers(models.onnx_model(float32), judging)

    def make(float_layers: Collection[str]) -> None:
        # The activations' ranges are measured once; the cache carries them from try to try.
        quantization.quantize_static(
            str(prepared),
            str(target),
            _Reader(calibration),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED_OPS),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=list(float_layers),
            calibration_cache_path=workdir / "ranges.json",
        )

    def effect(float_layers: Collection[str]) -> Effect:
        make(float_layers)
        found = models.answers(models.onnx_model(target), judging)
        return Effect(
            float(np.mean((found >= 0.5) == (expected >= 0.5))),
            float(np.mean(np.abs(found - expected))),
        )

    layers = [n.name for n in onnx.load(str(prepared)).graph.node if n.op_type == "Conv"]
    result = choose_float_layers(layers, effect, config)
    make(result.float_layers)
    _copy_metadata(float32, target)
    return result


def choose_float_layers(
    layers: Sequence[str], effect: Callable[[Collection[str]], Effect], config: ExportConfig
) -> Quantized:
    """Chooses the fewest layers to leave in float, by what leaving them changes.

    When all in int8 is close enough, none. Otherwise each group of neighbours is left in float
    alone and the model measured; then, in the groups that helped most, each unit. Units are taken
    in the order of what they brought, until the model is close enough or
    `int8_max_float_layers` are left in float.

    Args:
      layers: names of all layers, in graph order.
      effect: measures the model with these layers left in float.
      config: the limits.
    """
    tried = 0

    def measure(units: Sequence[Sequence[str]]) -> Effect:
        nonlocal tried
        tried += 1
        return effect([layer for unit in units for layer in unit])

    base = best = measure(())
    chosen: list[Sequence[str]] = []
    units_allowed = config.int8_max_float_layers // UNIT
    if not base.within(config) and units_allowed:
        units = [layers[i : i + UNIT] for i in range(0, len(layers), UNIT)]
        groups = [units[i : i + GROUP] for i in range(0, len(units), GROUP)]
        by_group = sorted(groups, key=lambda group: measure(group).mean_difference)
        # Enough groups to fill what is allowed; the layers of the others did less.
        candidates = [unit for group in by_group[: -(-units_allowed // GROUP)] for unit in group]
        ranked = sorted(candidates, key=lambda unit: measure([unit]).mean_difference)
        for unit in ranked[:units_allowed]:
            chosen.append(unit)
            best = measure(chosen)
            if best.within(config):
                break
    left = [layer for unit in chosen for layer in unit]
    order = {layer: i for i, layer in enumerate(layers)}
    return Quantized(tuple(sorted(left, key=order.__getitem__)), len(layers), base, best, tried)


def _copy_metadata(source: Path, target: Path) -> None:
    """Carries labels, geometry and hashes over; quantisation drops them."""
    model: Any = onnx.load(str(target))
    found = {p.key: p.value for p in onnx.load(str(source)).metadata_props}
    onnx.helper.set_model_props(model, found)
    onnx.save(model, str(target))
