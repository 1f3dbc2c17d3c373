"""A table of people's own labels: file names, attributes, and whatever else they wrote down.

In: a CSV, of `genq data import` and `genq evaluate`. Out: a LabelTable. Read as
data/celeba/dialects.py finds out; columns that are no attribute are identity, partition or further
columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data import contract
from data.celeba.dialects import ALIASES
from data.celeba.kinds import Integers, TableKind, Texts
from data.celeba.tables import Table, named, parse, partition_of
from data.errors import AnnotationError

_ABSENT: Final = -9
LABEL_TABLE: Final = TableKind(
    contract.ATTRIBUTES, has_count=False, allowed=(-1, 0, 1), unknown=_ABSENT, own=True
)


@dataclass(frozen=True)
class LabelTable:
    """What a table of labels says; entry i of everything is the same photo.

    Attributes:
      names: file names, with folders if the table has them; different from each other.
      attributes: name -> uint8 0 or 1, (n,), of the columns that are there.
      partition: int32 index into contract.SPLITS, (n,), or None.
      identity: int32 from 1, (n,), or None.
      extra: further columns as text, each (n,).
      notes: what was assumed, one line each.
    """

    names: tuple[str, ...]
    attributes: dict[str, NDArray[np.uint8]]
    partition: Integers | None
    identity: Integers | None
    extra: dict[str, Texts]
    notes: tuple[str, ...]


def read_labels(path: Path) -> LabelTable:
    """Reads a table of labels.

    Raises:
      AnnotationError: names the line and field, or the photo and column, that is wrong.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror}.") from error
    table = parse(str(path), content, LABEL_TABLE)
    if not len(table.ids):
        raise AnnotationError(f"{path}: there is no line but the first.")
    names = tuple(name.decode() for name in table.ids.tolist())
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise AnnotationError(
                f"{path}: image_id is {name!r}; expected a file name below the folder of photos."
            )
    there = ~(table.values == _ABSENT).all(axis=0)
    attributes = {
        name: (table.values[:, column] > 0).astype(np.uint8)
        for column, name in enumerate(contract.ATTRIBUTES)
        if there[column]
    }
    extra = dict(table.extra)
    partition = identity = None
    if column := named(extra, ALIASES["partition"]):
        partition = _partition(path, names, column, extra[column])
        if partition is not None:
            del extra[column]
    if column := named(extra, ALIASES["identity"]):
        identity = _identity(path, names, column, extra.pop(column))
    return LabelTable(names, attributes, partition, identity, extra, _notes(table))


def _notes(table: Table) -> tuple[str, ...]:
    """Returns what was assumed; that a table of one's own has few attributes needs no word."""
    said = [note for note in table.notes if "columns are not there" not in note]
    return (f"{table.file}: {'; '.join(said)}.",) if said else ()


def _partition(path: Path, names: tuple[str, ...], column: str, texts: Texts) -> Integers | None:
    """Returns the partition of each photo; None for a column that names something else.

    Raises:
      AnnotationError: if it is empty somewhere, or has a value that is no partition.
    """
    found = partition_of(texts)
    if found is not None or not (texts != "").any():
        return found
    _refuse_empty(path, names, column, texts)
    bad = [t for t in np.unique(texts).tolist() if partition_of(np.array([t])) is None]
    if len(bad) == len(np.unique(texts)) and column != "partition":
        return None
    where = int((texts == bad[0]).argmax())
    raise AnnotationError(
        f"{path}: {names[where]}, {column}: found {bad[0]!r}; expected train, val or test "
        "(or 0, 1, 2)."
    )


def _identity(path: Path, names: tuple[str, ...], column: str, texts: Texts) -> Integers | None:
    """Returns a number for each person: the one that is written, or one for each name.

    Raises:
      AnnotationError: if it is empty somewhere.
    """
    if not (texts != "").any():
        return None
    _refuse_empty(path, names, column, texts)
    if all(text.isdecimal() and 0 < int(text) < 2**31 for text in np.unique(texts).tolist()):
        return texts.astype(np.int32)
    _, numbers = np.unique(texts, return_inverse=True)
    return (numbers + 1).astype(np.int32)


def _refuse_empty(path: Path, names: tuple[str, ...], column: str, texts: Texts) -> None:
    if (texts == "").any():
        where = int((texts == "").argmax())
        raise AnnotationError(
            f"{path}: {names[where]}, {column}: it is empty; other lines have one.",
            "Fill it in every line, or leave the column out.",
        )
