"""From a sample to files: what one worker writes, and how.

In: an index, a listing of the images and a Sample. Out: ShardTasks, a few kilobytes a thousand
images; each becomes one TFRecord file, written by the worker that read the images. Image bytes
never pass through Beam.

Files are not compressed: JPEGs do not compress, gzip took 60 % of the time to save 16 % of the
space. TFX's readers tell by the file name (no ".gz").
"""

from __future__ import annotations

import json
import pickle
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tfx.dsl.io import fileio

from components.example_gen.encoding import Value, attribute_blocks, encode_example, features
from components.example_gen.sampling import Sample
from data import contract
from data.celeba import groups
from data.celeba.convert import aligned_jpeg
from data.celeba.copies import Copies
from data.celeba.images import Entries, quality, read_images
from data.celeba.index import Index
from data.celeba.parquet import ParquetEntries
from data.errors import ImageError

QUALITY_IMAGES_PER_SPLIT: Final = 250
"""So many examples of a split carry brightness and sharpness: their means are then known to 6 % of
a standard deviation. Measuring an image takes as long as copying four."""


@dataclass(frozen=True)
class ShardTask:
    """One file to write.

    Attributes:
      output: path of the TFRecord file.
      report: path of the JSON file that says what happened; see write_shard.
      label: the attribute whose value becomes the feature `label`.
      rows: the index of this shard's images, in the order to write.
      images: path of the folder or zip.
      prefix: what the ids have before the file names.
      entries: where each image lies in the zip; None for a folder.
      measured: how many examples, from the first, get brightness and sharpness.
      max_bad: give up after this many bad images.
      weights: how many images of the test partition each stands for; None where it is of itself.
    """

    split: str
    output: str
    report: str
    label: str
    rows: Index
    images: str
    prefix: bytes
    entries: Entries | None
    measured: int
    max_bad: int
    weights: NDArray[np.float64] | None = None


def plan_shards(
    copies: Copies,
    place: NDArray[np.int64],
    sample: Sample,
    *,
    split_uris: dict[str, str],
    report_uri: str,
    shards: int,
    label: str,
    max_bad: int,
) -> list[ShardTask]:
    """Divides the sample into files; `shards` a split, fewer where a split has fewer examples.

    A file's images are of one copy: of a window of spans, each has its share of the files, and at
    least one.
    """
    tasks = []
    weight_of = np.ones(len(copies.index))
    if sample.natural_weights is not None:
        weight_of[sample.rows[contract.TEST_NATURAL]] = sample.natural_weights
    for split, rows in sample.rows.items():
        weighted = split == contract.TEST_NATURAL and sample.natural_weights is not None
        parts: list[tuple[int, NDArray[np.int64]]] = []
        for copy in range(len(copies.listings)):
            own = rows[copies.source[rows] == copy]
            if len(own):
                count = min(max(1, round(shards * len(own) / len(rows))), len(own))
                parts += [(copy, part) for part in _divide(own, count, copies, copy, place)]
        start = 0
        for number, (copy, part) in enumerate(parts):
            listing = copies.listings[copy]
            entries = listing.entries
            name = f"data_tfrecord-{number:05d}-of-{len(parts):05d}"
            tasks.append(
                ShardTask(
                    split=split,
                    output=f"{split_uris[split]}/{name}",
                    report=f"{report_uri}/{split}-{number:05d}.json",
                    label=label,
                    rows=copies.index.take(part),
                    images=listing.path,
                    prefix=copies.prefixes[copy],
                    entries=None if entries is None else entries.take(place[part]),
                    measured=max(0, min(len(part), QUALITY_IMAGES_PER_SPLIT - start)),
                    max_bad=max_bad,
                    weights=weight_of[part] if weighted else None,
                )
            )
            start += len(part)
    return tasks


def _divide(
    rows: NDArray[np.int64], count: int, copies: Copies, copy: int, place: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Returns the rows of each file, in their order.

    Of Parquet a file gets neighbours, so that no group of rows is read for two files.
    """
    entries = copies.listings[copy].entries
    if count == 1 or not isinstance(entries, ParquetEntries):
        return np.array_split(rows, count)
    at = entries.take(place[rows])
    stored = np.lexsort((at.row, at.file))
    return [rows[np.sort(part)] for part in np.array_split(stored, count)]


# The same for all images, or for all of a partition.
_GEOMETRY = features(
    {
        contract.IMAGE_WIDTH: [contract.IMAGE_WIDTH_PX],
        contract.IMAGE_HEIGHT: [contract.IMAGE_HEIGHT_PX],
    }
)
_PARTITIONS = [
    _GEOMETRY + features({contract.PARTITION: [split.encode()]}) for split in contract.SPLITS
]
_LABELS = [features({contract.LABEL: [value]}) for value in (0, 1)]


def examples(task: ShardTask, bad: list[tuple[str, str]], converted: list[str]) -> Iterator[bytes]:
    """Yields the serialized examples of a shard.

    Args:
      task: the shard.
      bad: gets (image id, problem) of each image that cannot be used.
      converted: gets the id of each image that was no 178x218 JPEG and was made one.
    """
    rows = task.rows
    ids: list[bytes] = rows.ids.tolist()
    partition = None if rows.partition is None else rows.partition.tolist()
    identity = None if rows.identity is None else rows.identity.tolist()
    landmarks = None if rows.landmarks is None else rows.landmarks.tolist()
    label = rows.attribute(task.label).tolist()
    known = [contract.ATTRIBUTES.index(name) for name in rows.annotated]
    blocks = attribute_blocks(rows.attributes[:, known], rows.annotated)
    names = (image_id[len(task.prefix) :] for image_id in ids)
    images = read_images(task.images, names, task.entries)
    for i, (image, block) in enumerate(zip(images, blocks, strict=True)):
        measured = b""
        try:
            if isinstance(image, ImageError):
                raise image
            jpeg = aligned_jpeg(image)
            if jpeg is not image:
                converted.append(ids[i].decode())
                image = jpeg
            if i < task.measured:
                brightness, sharpness = quality(image)
                measured = features(
                    {contract.BRIGHTNESS: [brightness], contract.SHARPNESS: [sharpness]}
                )
        except ImageError as error:
            bad.append((ids[i].decode(), error.problem))
            if len(bad) > task.max_bad:
                return
            continue
        own: dict[str, Value] = {contract.IMAGE_ID: [ids[i]], contract.IMAGE_BYTES: [len(image)]}
        if identity is not None:
            own[contract.IDENTITY] = [identity[i]]
        if landmarks is not None:
            own[contract.LANDMARKS] = landmarks[i]
        if task.weights is not None:
            own[contract.INCLUSION_WEIGHT] = [float(task.weights[i])]
        if rows.groups:
            own[contract.GROUPS] = [groups.encode(rows.groups, i)]
        common = _GEOMETRY if partition is None else _PARTITIONS[partition[i]]
        yield encode_example(image, block, common, _LABELS[label[i]], features(own), measured)


def save_task(task: ShardTask, path: str) -> None:
    """Keeps the task for its worker.

    Beam would pickle and compress all tasks into the pipeline's graph, which takes longer than
    writing the images.
    """
    with fileio.open(path, "wb") as file:
        pickle.dump(task, file)


def write_shard(path: str) -> None:
    """Does the task that `save_task` kept: writes one shard and its report.

    The file appears under its name only when it is whole. Errors go into the report and not up:
    Beam would turn them into text and lose what they are.

    The report is JSON: {"split", "written", "bad": [[image id, problem], …], "converted", "error"}.
    """
    with fileio.open(path, "rb") as file:
        task: ShardTask = pickle.load(file)
    bad: list[tuple[str, str]] = []
    converted: list[str] = []
    written, problem = 0, ""
    # Not beside its place: readers read `Split-*/*`, and a worker that dies leaves its file. The
    # folder of the reports is removed before the examples count.
    unfinished = f"{task.report}.{uuid.uuid4().hex}.unfinished"
    fileio.makedirs(task.output.rsplit("/", 1)[0])
    try:
        with tf.io.TFRecordWriter(unfinished) as writer:
            for example in examples(task, bad, converted):
                writer.write(example)
                written += 1
        fileio.rename(unfinished, task.output, overwrite=True)
    except (OSError, tf.errors.OpError) as error:
        problem = f"{task.output}: cannot be written: {getattr(error, 'message', error)}"
        if fileio.exists(unfinished):
            fileio.remove(unfinished)
    report = {
        "split": task.split,
        "written": written,
        "bad": bad,
        "converted": len(converted),
        "error": problem,
    }
    with fileio.open(task.report, "w") as file:
        json.dump(report, file)
