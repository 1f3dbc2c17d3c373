"""The node's work: index, sample, shards, manifest.

In: execution properties (see component.py). Out: an Examples artifact with the splits of the
sample, and a SamplingManifest. Metadata first: no image is read before the sample is drawn.

When an image turns out to be damaged, it is set aside, the sample is drawn again without it, and
the shards are written again. This happens rarely, and keeps every split exactly balanced.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import Artifact, artifact_utils

from components.example_gen import artifacts
from components.example_gen.manifest import SetAside, dead_letter, manifest_files
from components.example_gen.partial import MISSING, UNANNOTATED, NotThere, allowed_sampling
from components.example_gen.sampling import FaultConfig, Sample, SamplingConfig, draw
from components.example_gen.shards import ShardTask, plan_shards, save_task, write_shard
from data import contract
from data.celeba.copies import Copies, load_copies
from data.errors import DataError, ImageError
from data.several import by_problem, some

logger = logging.getLogger("genq.ingest")


@beam.typehints.with_input_types(beam.Pipeline)
class WriteShards(beam.PTransform):  # type: ignore[misc]  # Beam's PTransform is untyped
    """Does the kept tasks; the reshuffle lets a distributed runner spread them."""

    def __init__(self, task_files: Sequence[str]) -> None:
        super().__init__()
        self._task_files = task_files

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[None]:
        """Returns an empty-valued collection, one element a task."""
        return (
            pipeline
            | "Tasks" >> beam.Create(self._task_files, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Write" >> beam.Map(write_shard)
        )


@dataclass(frozen=True)
class Request:
    """What an execution's properties ask for.

    Attributes:
      copies: what lies at `input_base`, or in its spans.
      groups: features whose rare values are taken whole, as pairs with the label, too: rates are of
        positives or of negatives.
    """

    sampling: SamplingConfig
    faults: FaultConfig
    label: contract.Label
    shards: int
    copies: Copies
    groups: list[list[str]]

    @classmethod
    def read(cls, properties: Mapping[str, Any]) -> Request:
        """Reads the annotations, and no image.

        Raises:
          DataError: names the file, line and field that is wrong.
        """
        faults = TypeAdapter(FaultConfig).validate_json(properties["faults"])
        label = TypeAdapter(contract.Label).validate_json(properties["label"])
        return cls(
            sampling=TypeAdapter(SamplingConfig).validate_json(properties["sampling"]),
            faults=faults,
            label=label,
            shards=int(properties["shards"]),
            copies=load_copies(
                properties["input_base"],
                [name for name in (properties.get("spans") or "").split(",") if name],
                max_faults=faults.max_bad_annotations,
            ),
            groups=crossed(json.loads(properties.get("groups") or "[]"), label.attribute),
        )


class Executor(base_beam_executor.BaseBeamExecutor):  # type: ignore[misc]  # TFX ships no types
    """See the module."""

    def Do(  # noqa: N802  # TFX's name
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes examples and manifest.

        Raises:
          DataError: names the file, line and field, or the image, that is wrong.
          SamplingError: if the sample cannot be drawn.
        """
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        manifest = artifact_utils.get_single_instance(output_dict["manifest"])
        asked = Request.read(exec_properties)
        sampling, faults, copies = asked.sampling, asked.faults, asked.copies
        logger.info("%s: %s, %d annotated images", copies.root, copies.name, len(copies.index))
        for note in copies.index.notes:
            logger.warning("%s", note)
        writer = _Writer(self, examples.uri, manifest.uri, asked.shards, asked.label, asked.groups)
        place, not_there = located(copies)
        if faults.partial:
            logger.info("%s. %s/%s lists the others.", not_there, manifest.uri, artifacts.PARTIAL)
            sampling, note = allowed_sampling(copies.index, sampling, place >= 0)
            if note:
                logger.warning("%s", note)
        try:
            sample, set_aside = writer.write(copies, place, not_there, sampling, faults)
        except BaseException:
            # Nothing half-written may be taken for good.
            writer.clear()
            raise
        for note in sample.smaller:
            logger.warning("Fewer than asked for: %s", note)
        for line in by_problem((item.image_id, item.problem) for item in set_aside):
            logger.warning(
                "Set aside: %s. All are in %s/%s", line, manifest.uri, artifacts.DEAD_LETTER
            )
        texts = manifest_files(
            copies, sample, sampling, asked.label, set_aside, not_there if faults.partial else None
        )
        if sample.warning:
            logger.warning("%s", sample.warning)
        for name, text in texts.items():
            _write_text(f"{manifest.uri}/{name}", text)
        examples.split_names = artifact_utils.encode_split_names(list(sample.rows))
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        # The only name that TFX knows for TFRecords; its readers look at the file's suffix.
        examples_utils.set_file_format(examples, "tfrecords_gzip")
        for split, rows in sample.rows.items():
            manifest.set_int_custom_property(f"{split}_examples", len(rows))


class _Writer:
    """Draws and writes until no damaged image is left in the sample."""

    def __init__(
        self,
        executor: Executor,
        examples_uri: str,
        manifest_uri: str,
        shards: int,
        label: contract.Label,
        groups: Sequence[Sequence[str]],
    ):
        self._executor = executor
        self._examples_uri = examples_uri
        self._reports_uri = f"{examples_uri}/reports.unfinished"
        self._manifest_uri = manifest_uri
        self._shards = shards
        self._label = label
        self._groups = groups

    def clear(self) -> None:
        """Removes all shards."""
        for split in (*contract.SPLITS, contract.TEST_NATURAL):
            if fileio.exists(f"{self._examples_uri}/Split-{split}"):
                fileio.rmtree(f"{self._examples_uri}/Split-{split}")
        if fileio.exists(self._reports_uri):
            fileio.rmtree(self._reports_uri)

    def write(
        self,
        copies: Copies,
        place: NDArray[np.int64],
        not_there: NotThere,
        sampling: SamplingConfig,
        faults: FaultConfig,
    ) -> tuple[Sample, list[SetAside]]:
        """Returns what was written and what was set aside."""
        index = copies.index
        set_aside = [] if faults.partial else _as_set_aside(copies, place, not_there)
        images = not_there.there if faults.partial else len(index)
        limit = int(faults.max_bad_image_fraction * images)
        lines = [SetAside(f.image_id, f"{f.file}:{f.line}", f.problem) for f in index.faults]
        usable = place >= 0
        while True:
            self._check_limit(set_aside, limit, images, not_there)
            self.clear()
            sample = draw(index, sampling, usable, self._groups)
            fileio.makedirs(self._reports_uri)
            tasks = plan_shards(
                copies,
                place,
                sample,
                split_uris={s: f"{self._examples_uri}/Split-{s}" for s in sample.rows},
                report_uri=self._reports_uri,
                shards=self._shards,
                label=self._label.attribute,
                max_bad=limit - len(set_aside),
            )
            task_files = [f"{task.report}.task" for task in tasks]
            for task, file in zip(tasks, task_files, strict=True):
                save_task(task, file)
            with self._executor._make_beam_pipeline() as pipeline:
                _ = pipeline | "WriteShards" >> WriteShards(task_files)
            bad = self._read_reports(tasks)
            if not bad:
                break
            set_aside += bad
            usable &= ~np.isin(index.ids, np.array([b.image_id for b in bad], "S"))
        fileio.rmtree(self._reports_uri)
        return sample, [*lines, *set_aside]

    def _read_reports(self, tasks: Sequence[ShardTask]) -> list[SetAside]:
        """Returns the bad images that the workers met.

        Raises:
          DataError: if a shard could not be written.
        """
        bad: dict[str, SetAside] = {}
        converted = 0
        for task in tasks:
            with fileio.open(task.report) as file:
                report = json.load(file)
            if report["error"]:
                raise DataError(report["error"] + ".", "Make room, or choose another workdir.")
            converted += report["converted"]
            for image_id, problem in report["bad"]:
                bad[image_id] = SetAside(image_id, task.images, problem)
        if converted and not bad:
            logger.warning(
                "%d images were no JPEGs of 178x218 px and were converted: another file format or "
                "size.",
                converted,
            )
        return list(bad.values())

    def _check_limit(
        self, set_aside: Sequence[SetAside], limit: int, images: int, not_there: NotThere
    ) -> None:
        """Raises ImageError if more images are set aside than allowed."""
        if len(set_aside) <= limit:
            return
        # Beside the artifact's folder: TFX removes that when an executor fails.
        path = f"{self._manifest_uri}.{artifacts.DEAD_LETTER}"
        _write_text(path, dead_letter(set_aside))
        places = some(list(dict.fromkeys(s.where for s in set_aside)))
        kinds = "\n".join(f"  {k}" for k in by_problem((s.image_id, s.problem) for s in set_aside))
        remedy = (
            "Mend or fetch them again, or raise data.faults.max_bad_image_fraction (now "
            f"{limit / images:.4g} of the images)."
        )
        if not_there.missing or not_there.unannotated:
            remedy = (
                f"If this copy is partial on purpose, train on the {not_there.there:,} images that "
                f"are there: --partial (data.faults.partial=true). {remedy}"
            )
        raise ImageError(
            f"{places}: {len(set_aside):,} of {images:,} images cannot be used; at most {limit:,} "
            f"may be set aside. All are in {path}.\n{kinds}",
            remedy,
        )


def crossed(groups: Sequence[Sequence[str]], label: str) -> list[list[str]]:
    """Returns the groups with the label beside each."""
    every = [list(names) for names in groups]
    return [[label], *every, *([*names, label] for names in every if label not in names)]


def located(copies: Copies) -> tuple[NDArray[np.int64], NotThere]:
    """Returns where each annotation's image is, -1 for nowhere, (n,); and what is not there."""
    index = copies.index
    place, unannotated = copies.locate()
    bad_lines = {f.image_id for f in index.faults}  # their images have an annotation, a bad one
    names = tuple(name for i, _ in unannotated if (name := i.decode()) not in bad_lines)
    missing = tuple(i.decode() for i in index.ids[place < 0].tolist())
    return place, NotThere(len(index), missing, names)


def _as_set_aside(copies: Copies, place: NDArray[np.int64], not_there: NotThere) -> list[SetAside]:
    folders = [listing.path for listing in copies.listings]
    sources = copies.source[place < 0].tolist()
    result = [
        SetAside(name, folders[source], MISSING)
        for name, source in zip(not_there.missing, sources, strict=True)
    ]
    tables = [
        (prefix.decode(), layout.attributes)
        for prefix, layout in zip(copies.prefixes, copies.layouts, strict=True)
    ]
    return result + [
        SetAside(name, next(t for p, t in tables if name.startswith(p)), UNANNOTATED)
        for name in not_there.unannotated
    ]


def _write_text(path: str, text: str) -> None:
    fileio.makedirs(path.rsplit("/", 1)[0])
    with fileio.open(path, "w") as file:
        file.write(text)
