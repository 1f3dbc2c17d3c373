"""TFDS's prepared celeb_a: TFRecord files whose records are tf.train.Examples.

In: the paths of the files. Out: a PackedTable. The annotations are inside the records, so every
file is read once, whole; the images stay where they are, and are read by their place.

A record is its length (8 bytes, little endian), 4 bytes of checksum, the data, 4 bytes of
checksum. The data are a tf.train.Example: a map from names to values in protobuf's wire format.

The checksums are not verified.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from data import contract, files
from data.celeba.packed import PackedTable, digest, image_names, partitions, split_of
from data.errors import AnnotationError, DataError, ImageError


@dataclass(frozen=True)
class RecordEntries:
    """Where images lie in TFRecord files; row i of every array is the same image.

    Attributes:
      paths: of the files.
      file, offset, size: int64, (n,): which file, and which of its bytes.
    """

    paths: tuple[str, ...]
    file: NDArray[np.int64]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> RecordEntries:
        """Returns the entries of these rows, in their order."""
        return RecordEntries(self.paths, self.file[rows], self.offset[rows], self.size[rows])

    def read(self) -> Iterator[bytes | ImageError]:
        """Yields each image's bytes, or the error that it met, in order."""
        opened: dict[int, BinaryIO] = {}
        try:
            for file, offset, size in zip(
                self.file.tolist(), self.offset.tolist(), self.size.tolist(), strict=True
            ):
                if file not in opened:
                    opened[file] = files.open_seekable(self.paths[file])
                opened[file].seek(offset)
                image = opened[file].read(size)
                yield (
                    image
                    if len(image) == size
                    else ImageError(f"{self.paths[file]}: cut off before byte {offset + size}.")
                )
        finally:
            for handle in opened.values():
                handle.close()


@functools.lru_cache(maxsize=4)
def read_records(paths: tuple[str, ...], stamps: tuple[str, ...]) -> PackedTable:
    """Reads the annotations of all files.

    Args:
      paths: of the files, in order.
      stamps: what changes with the files' content; for the cache only.

    Raises:
      AnnotationError: if no record has CelebA's attributes, or one has no image.
      DataError: if a file cannot be read, or is none.
    """
    columns = [f"attributes/{name}" for name in contract.ATTRIBUTES]
    columns += [f"landmarks/{name}" for name in contract.LANDMARK_NAMES]
    numbers = {name.encode(): i for i, name in enumerate(columns)}
    values: list[list[int]] = []
    where: list[tuple[int, int, int]] = []
    counts = []
    for number, path in enumerate(paths):
        before = len(values)
        with files.open_seekable(path) as file:
            content = file.read()
        scan_file(path, content, number, numbers, values, where)
        counts.append(len(values) - before)
    table = np.array(values, np.int32).reshape(len(values), len(columns))
    if not len(table) or (table[:, :40] == _ABSENT).all():
        raise AnnotationError(
            f"{paths[0]}: no record has a feature such as attributes/Male.",
            "Expected the data set celeb_a as TensorFlow Datasets prepares it.",
        )
    attributes = table[:, :40]
    absent = (attributes == _ABSENT).all(axis=0)
    attributes = np.where(absent, 0, np.where(attributes > 0, 1, -1)).astype(np.int32)
    landmarks = None if (table[:, 40:] == _ABSENT).any() else table[:, 40:]
    partition = partitions(paths, counts)
    ids = image_names([split_of(p.rpartition("/")[2]) for p in paths], counts)
    places = np.array(where, np.int64).reshape(len(where), 3).T
    return PackedTable(
        ids=ids,
        attributes=attributes,
        partition=partition,
        identity=None,
        landmarks=landmarks,
        entries=RecordEntries(paths, places[0], places[1], places[2]),
        sha256=digest(attributes, partition, landmarks),
    )


_ABSENT: Final = -(2**31)


def scan_file(
    path: str,
    content: bytes,
    number: int,
    numbers: dict[bytes, int],
    values: list[list[int]],
    where: list[tuple[int, int, int]],
) -> None:
    """Reads the annotations of every record of a file, and where its image lies.

    Args:
      path: of the file, for messages.
      content: its bytes.
      number: of the file.
      numbers: name of a feature -> its column.
      values: gets a row a record; _ABSENT where it lacks a feature.
      where: gets (file, offset, bytes) of each image.

    Raises:
      DataError: if the file is cut off or holds something else.
    """
    # The same few entries come again and again: each is parsed once.
    known: dict[bytes, tuple[int, int] | None] = {}
    at, end = 0, len(content)
    while at < end:
        size = int.from_bytes(content[at : at + 8], "little")
        start, stop = at + 12, at + 12 + size
        if stop + 4 > end:
            raise DataError(
                f"{path}: cut off, or no TFRecord file: the record at byte {at} would end at byte "
                f"{stop + 4} of {end}.",
                "Fetch the file again.",
            )
        row = [_ABSENT] * len(numbers)
        image = None
        try:
            position, stop_features = _field(content, start, 1)
            while position < stop_features:
                begin, stop_entry = _field(content, position, 1)
                if stop_entry - begin < 64:
                    entry = content[begin:stop_entry]
                    if entry not in known:
                        name, value = _integer_entry(entry)
                        known[entry] = (numbers[name], value) if name in numbers else None
                    found = known[entry]
                    if found is not None:
                        row[found[0]] = found[1]
                elif content.startswith(b"\x0a\x05image\x12", begin):
                    image = _bytes_value(content, begin + 7)
                position = stop_entry
        except (IndexError, ValueError) as error:
            raise DataError(
                f"{path}: the record at byte {at} is no tf.train.Example: {error}.",
                "Expected the data set celeb_a as TensorFlow Datasets prepares it.",
            ) from error
        if image is None:
            raise AnnotationError(f"{path}: the record at byte {at} has no feature `image`.")
        values.append(row)
        where.append((number, *image))
        at = stop + 4


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Returns protobuf's base-128 varint, and where it ends."""
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _field(content: bytes, at: int, number: int) -> tuple[int, int]:
    """Returns where a length-delimited field begins and ends.

    Raises:
      ValueError: if it is not field `number`.
    """
    if content[at] != number << 3 | 2:
        raise ValueError(f"found the tag {content[at]} at byte {at}")
    size = content[at + 1]
    if size < 0x80:
        return at + 2, at + 2 + size
    size, begin = _varint(content, at + 1)
    return begin, begin + size


def _integer_entry(entry: bytes) -> tuple[bytes, int]:
    """Returns name and first integer of a map's entry; _ABSENT if it holds something else."""
    begin, stop = _field(entry, 0, 1)
    name = entry[begin:stop]
    value, _ = _field(entry, stop, 2)
    if value >= len(entry) or entry[value] != 0x1A:  # Feature.int64_list
        return name, _ABSENT
    inner, _ = _field(entry, value, 3)
    if inner >= len(entry):
        return name, 0
    if entry[inner] == 0x0A:  # packed
        inner, _ = _field(entry, inner, 1)
    else:
        inner += 1
    number, _ = _varint(entry, inner)
    return name, number - (1 << 64) if number >= 1 << 63 else number


def _bytes_value(content: bytes, at: int) -> tuple[int, int]:
    """Returns (offset, bytes) of the first bytes value of a Feature field that begins at `at`."""
    feature, _ = _field(content, at, 2)
    values, _ = _field(content, feature, 1)  # Feature.bytes_list
    begin, stop = _field(content, values, 1)
    return begin, stop - begin
