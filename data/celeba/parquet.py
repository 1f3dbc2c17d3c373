"""Hugging Face's Parquet files: a column of images, and the annotations beside it.

In: the paths of the files. Out: a PackedTable. Annotations are read first, without the images; the
images of a sample later, each group of rows once.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data import contract, files
from data.celeba.dialects import ALIASES, plain
from data.celeba.kinds import Integers, Texts
from data.celeba.packed import PackedTable, digest, image_names, partitions, split_of
from data.celeba.tables import partition_of
from data.errors import AnnotationError, DataError, ImageError

SPOOL_BYTES: Final = 256 << 20
"""So much of a shard's images is held in memory; the rest goes to a temporary file."""
_IMAGE_COLUMNS: Final = ("image", "img", "photo", "pixels")


@dataclass(frozen=True)
class ParquetEntries:
    """Where images lie in Parquet files; row i of every array is the same image.

    Attributes:
      paths: of the files.
      column: with the image's bytes, e.g. "image.bytes".
      file, row: int64, (n,): which file, and which of its rows.
    """

    paths: tuple[str, ...]
    column: str
    file: NDArray[np.int64]
    row: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> ParquetEntries:
        """Returns the entries of these rows, in their order."""
        return ParquetEntries(self.paths, self.column, self.file[rows], self.row[rows])

    def read(self) -> Iterator[bytes | ImageError]:
        """Yields each image's bytes, or the error that it met, in order.

        A group of rows is decoded once, in the order of the file; what comes out is kept until its
        turn.
        """
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
            places: list[tuple[int, int] | ImageError] = [(0, 0)] * len(self.file)
            at = 0
            for number in np.unique(self.file):
                for position, image in self._images_of(int(number)):
                    if isinstance(image, ImageError):
                        places[position] = image
                        continue
                    spool.write(image)
                    places[position] = (at, len(image))
                    at += len(image)
            for place in places:
                if isinstance(place, ImageError):
                    yield place
                else:
                    spool.seek(place[0])
                    yield spool.read(place[1])

    def _images_of(self, number: int) -> Iterator[tuple[int, bytes | ImageError]]:
        """Yields (position here, image) of one file, in its order."""
        import pyarrow as pa

        path = self.paths[number]
        positions = np.flatnonzero(self.file == number)
        positions = positions[np.argsort(self.row[positions])]
        try:
            with _opened(path) as parquet:
                groups = range(parquet.num_row_groups)
                counts = [parquet.metadata.row_group(g).num_rows for g in groups]
                starts = np.concatenate([[0], np.cumsum(counts)])
                group_of = np.searchsorted(starts, self.row[positions], side="right") - 1
                for group in np.unique(group_of):
                    inside = positions[group_of == group]
                    column = parquet.read_row_group(int(group), columns=[self.column]).column(0)
                    images = column.combine_chunks()
                    if pa.types.is_struct(images.type):
                        images = images.field(0)
                    for position in inside.tolist():
                        value = images[int(self.row[position] - starts[group])].as_py()
                        missing = ImageError(f"{path}: row {self.row[position]}: no image")
                        yield position, value or missing
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{path}: cannot be read: {error}.", "The file is damaged; fetch it again."
            ) from error


def _opened(path: str) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(files.open_seekable(path) if files.is_remote(path) else path)


@functools.lru_cache(maxsize=4)
def read_parquet(paths: tuple[str, ...], stamps: tuple[str, ...]) -> PackedTable:
    """Reads the annotations of all files.

    Args:
      paths: of the files, in order.
      stamps: what changes with the files' content; for the cache only.

    Raises:
      AnnotationError: names the file and column that is wrong.
      DataError: if a file cannot be read.
    """
    import pyarrow as pa

    tables, column, has_names = [], "", True
    for path in paths:
        try:
            with _opened(path) as parquet:
                schema = parquet.schema_arrow
                column = _image_column(path, schema)
                own = [n for n in schema.names if n != column.partition(".")[0]]
                inner = column.rpartition(".")[0]
                named = bool(inner) and "path" in [f.name for f in schema.field(inner).type]
                has_names = has_names and named
                tables.append(parquet.read(columns=[*own, *([f"{inner}.path"] if named else [])]))
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{path}: cannot be read as Parquet: {str(error).rstrip('.')}.",
                "Fetch the file again.",
            ) from error
    counts = [table.num_rows for table in tables]
    attributes, identity, partition, extra = _columns(paths, tables, column.partition(".")[0])
    partition = partitions(paths, counts) if partition is None else partition
    ids = image_names([split_of(p.rpartition("/")[2]) for p in paths], counts)
    if has_names:
        struct = column.partition(".")[0]
        given = [
            (value or "").rpartition("/")[2]
            for table in tables
            for value in table.column(struct).combine_chunks().field("path").to_pylist()
        ]
        if all(given) and len(set(given)) == len(given) and all(n.isascii() for n in given):
            ids = np.array(given, "S")
    return PackedTable(
        ids=ids,
        attributes=attributes,
        partition=partition,
        identity=identity,
        landmarks=None,
        entries=ParquetEntries(
            paths,
            column,
            np.repeat(np.arange(len(paths)), counts),
            np.concatenate([np.arange(n) for n in counts]),
        ),
        sha256=digest(ids, attributes, partition, identity),
        extra=extra,
    )


def _image_column(path: str, schema: Any) -> str:
    """Returns the name of the column with the bytes of the images.

    Raises:
      AnnotationError: if there is none.
    """
    import pyarrow as pa

    for name in sorted(schema.names, key=lambda n: plain(n) not in _IMAGE_COLUMNS):
        kind = schema.field(name).type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return str(name)
        if pa.types.is_struct(kind) and "bytes" in [inner.name for inner in kind]:
            return f"{name}.bytes"
    raise AnnotationError(
        f"{path}: no column holds images; found {', '.join(schema.names[:8])}.",
        "Expected a column `image` of bytes, or of bytes and path, as Hugging Face writes it.",
    )


def _columns(
    paths: Sequence[str], tables: Sequence[Any], image: str
) -> tuple[Integers, Integers | None, Integers | None, dict[str, Texts]]:
    """Returns attributes, identity, partition and further columns of all files.

    Raises:
      AnnotationError: if there is no attribute, a file lacks a column, or a value is no -1, 0 or 1.
    """
    wanted = {plain(name): name for name in contract.ATTRIBUTES}
    places = {wanted[plain(n)]: n for n in tables[0].column_names if plain(n) in wanted}
    if not places:
        raise AnnotationError(
            f"{paths[0]}: no column is one of CelebA's attributes; found "
            f"{', '.join(n for n in tables[0].column_names if n != image) or 'images only'}.",
            "Take a copy that has the attributes as columns, e.g. flwrlabs/celeba on the Hub.",
        )
    for path, table in zip(paths, tables, strict=True):
        if lacking := [n for n in tables[0].column_names if n not in table.column_names]:
            raise AnnotationError(
                f"{path}: there is no column {lacking[0]!r}, which {paths[0]} has.",
                "The files are of different data sets; put each into a folder of its own.",
            )
    rows = sum(table.num_rows for table in tables)
    attributes = np.zeros((rows, len(contract.ATTRIBUTES)), np.int32)
    for name, column in places.items():
        values = _integers(paths, tables, column)
        if not np.isin(values, (-1, 0, 1)).all() or ((values == -1).any() and (values == 0).any()):
            bad = int((~np.isin(values, (-1, 1))).argmax())
            raise AnnotationError(
                f"{paths[0]}: column {column!r}, row {bad}: found {values[bad]}; expected true or "
                "false, 0 or 1, or -1 or 1."
            )
        attributes[:, contract.ATTRIBUTES.index(name)] = np.where(values > 0, 1, -1)
    used = {*places.values(), image}
    texts = {
        name: np.array(
            [str(v) for table in tables for v in table.column(name).to_pylist()], np.str_
        )
        for name in tables[0].column_names
        if name not in used
    }
    identity = partition = None
    for name in list(texts):
        if plain(name) in ALIASES["identity"] and identity is None:
            _, numbers = np.unique(texts.pop(name), return_inverse=True)
            identity = (numbers + 1).astype(np.int32)
        elif plain(name) in ALIASES["partition"] and partition is None:
            partition = partition_of(texts[name])
            if partition is not None:
                del texts[name]
    return attributes, identity, partition, texts


def _integers(paths: Sequence[str], tables: Sequence[Any], column: str) -> Integers:
    import pyarrow as pa

    parts = []
    for path, table in zip(paths, tables, strict=True):
        values = table.column(column)
        if values.null_count:
            raise AnnotationError(
                f"{path}: column {column!r} has {values.null_count} empty values.", "Fill them in."
            )
        try:
            parts.append(values.cast(pa.int32()).to_numpy())
        except pa.ArrowException as error:
            raise AnnotationError(
                f"{path}: column {column!r} is of type {values.type}; expected true and false, or "
                "integers."
            ) from error
    return np.concatenate(parts)
