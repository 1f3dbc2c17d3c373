"""CelebA as tables that hold the images: Hugging Face's Parquet, TFDS's prepared TFRecords.

In: names and counts of such files. Out: what parquet.py and tfrecords.py beside this file return,
and what they share. Neither TensorFlow nor the libraries that made the files are needed.

Neither kind has CelebA's file names for certain: an image without one is called after its split and
its place in it, e.g. `train-000017.jpg`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from data import contract
from data.celeba.kinds import SPLIT_WORDS, Ids, Integers, Texts

if TYPE_CHECKING:
    from data.celeba.parquet import ParquetEntries
    from data.celeba.tfrecords import RecordEntries

_SPLIT: Final = re.compile(r"(?:^|[^a-z])(train|valid|validation|val|dev|test)(?:[^a-z]|$)")


@dataclass(frozen=True)
class PackedTable:
    """What such files say.

    Attributes:
      ids: (n,).
      attributes: int32 -1 or 1, 0 where nothing is said, (n, 40).
      partition, identity: int32, (n,), or None.
      landmarks: int32, (n, 10), or None.
      extra: further columns as text.
      entries: where the images are.
      sha256: over all annotations.
      notes: what was assumed.
    """

    ids: Ids
    attributes: Integers
    partition: Integers | None
    identity: Integers | None
    landmarks: Integers | None
    entries: ParquetEntries | RecordEntries
    sha256: str
    extra: dict[str, Texts] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def split_of(name: str) -> int | None:
    """Returns the partition that a file's name says, e.g. of "train-00000-of-00019.parquet"."""
    match = _SPLIT.search(name.lower())
    return SPLIT_WORDS[match[1]] if match else None


def image_names(partitions: Sequence[int | None], counts: Sequence[int]) -> Ids:
    """Returns a name for each image: its split and its number in it."""
    made: list[NDArray[np.str_]] = []
    seen: dict[int | None, int] = {}
    for partition, count in zip(partitions, counts, strict=True):
        first = seen.get(partition, 0)
        seen[partition] = first + count
        prefix = "image" if partition is None else contract.SPLITS[partition]
        made.append(np.array([f"{prefix}-{n:06d}.jpg" for n in range(first, first + count)], "U"))
    return np.concatenate(made).astype("S") if made else np.array([], "S1")


def partitions(paths: Sequence[str], counts: Sequence[int]) -> Integers | None:
    """Returns the partition of each image, (n,), where every file's name says one."""
    splits = [split_of(path.rpartition("/")[2]) for path in paths]
    if None in splits or len(set(splits)) < 2:
        return None
    return np.repeat(np.array(splits, np.int32), counts)


def digest(*arrays: NDArray[Any] | None) -> str:
    """Returns the SHA-256 of arrays."""
    state = hashlib.sha256()
    for array in arrays:
        state.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    return state.hexdigest()
