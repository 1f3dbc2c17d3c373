"""CelebA's annotation files as one index, before any image is read.

In: a root folder or URI. Out: an Index: one row an image, aligned over all files. All 202,599 rows
take about a second (benchmarks/ingest.py says how long here).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data import contract, files
from data.celeba.dialects import ALIASES
from data.celeba.groups import find_groups
from data.celeba.images import read_packed
from data.celeba.kinds import (
    SPLIT_WORDS,
    Fault,
    Ids,
    Integers,
    TableKind,
    Texts,
    unknown_columns,
)
from data.celeba.layouts import TABLES, Layout, find_layout
from data.celeba.tables import Table, check_limit, named, parse, partition_of
from data.errors import AnnotationError, DataError

ATTRIBUTE_TABLE: Final = TableKind(contract.ATTRIBUTES, has_count=True, allowed=(-1, 1), unknown=0)
PARTITION_TABLE: Final = TableKind(
    ("partition",), has_count=False, allowed=(0, 1, 2), words=SPLIT_WORDS
)
IDENTITY_TABLE: Final = TableKind(("identity",), has_count=False)
_DIGITS: Final = 6
"""Of CelebA's file names."""
LANDMARK_TABLE: Final = TableKind(contract.LANDMARK_NAMES, has_count=True)


@dataclass(frozen=True)
class Index:
    """What the annotation files say; row i of every array is the same image.

    Attributes:
      ids: file names as bytes, (n,); unique; in the order of the attribute file.
      attributes: uint8 0 or 1, (n, 40), columns as contract.ATTRIBUTES.
      annotated: the attributes that the data have. Of CelebA all; of people's own data those
        whose column is not 0 in every row.
      partition: int8 index into contract.SPLITS, (n,); None without a partition file.
      identity: int32, (n,); None without an identity file.
      landmarks: int32 pixels, (n, 10), columns as contract.LANDMARK_NAMES; None without the file.
      sha256: path -> hex digest of each annotation file.
      faults: annotation lines that were set aside.
      groups: further columns that divide the images (data/celeba/groups.py): name -> text, (n,).
      notes: one line for each file that is not as the authors wrote it: what was assumed.
    """

    ids: Ids
    attributes: NDArray[np.uint8]
    partition: NDArray[np.int8] | None
    identity: Integers | None
    landmarks: Integers | None
    sha256: dict[str, str]
    faults: tuple[Fault, ...] = ()
    annotated: tuple[str, ...] = contract.ATTRIBUTES
    groups: dict[str, Texts] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def attribute(self, name: str) -> NDArray[np.uint8]:
        """Returns one attribute's column, (n,).

        Raises:
          DataError: if the data do not have it.
        """
        if name not in self.annotated:
            raise DataError(
                f"The data say nothing of {name}: its column is 0 in every row.",
                f"They have {', '.join(self.annotated) or 'nothing'}. Set label.attribute, "
                "sampling.balance_by and evaluation.slices to these.",
            )
        return self.attributes[:, contract.ATTRIBUTES.index(name)]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Index:
        """Returns the index of these rows, in their order."""
        return replace(
            self,
            ids=self.ids[rows],
            attributes=self.attributes[rows],
            partition=None if self.partition is None else self.partition[rows],
            identity=None if self.identity is None else self.identity[rows],
            landmarks=None if self.landmarks is None else self.landmarks[rows],
            groups={name: texts[rows] for name, texts in self.groups.items()},
        )


def load_index(root: str, *, max_faults: int = 0) -> tuple[Layout, Index]:
    """Reads the annotation files below `root`.

    Args:
      root: folder or URI; see data/celeba/layouts.py for what is found in it.
      max_faults: how many bad annotation lines are set aside at most, over all files.

    Raises:
      DataError: if attribute file or images are missing, or a file cannot be read.
      AnnotationError: names file, line and field of what is wrong.
    """
    layout = find_layout(root)
    return layout, index_of(layout, max_faults=max_faults)


def index_of(layout: Layout, *, max_faults: int = 0) -> Index:
    """Reads the annotation files of a known layout; see load_index."""
    if layout.images_kind in TABLES:
        return _of_packed(layout)
    parts = (
        ("attributes", layout.attributes, ATTRIBUTE_TABLE),
        ("partition", layout.partition, PARTITION_TABLE),
        ("identity", layout.identity, IDENTITY_TABLE),
        ("landmarks", layout.landmarks, LANDMARK_TABLE),
    )
    # pandas' parser lets other threads run.
    with ThreadPoolExecutor() as pool:
        read = {
            name: pool.submit(_read_table, path, kind, max_faults)
            for name, path, kind in parts
            if path is not None
        }
        tables = {name: table.result() for name, table in read.items()}
    faults = [fault for table in tables.values() for fault in table.faults]
    check_limit(faults, max_faults)
    attributes, *_ = tables.values()
    others = {name: table for name, table in tables.items() if name != "attributes"}
    keep = np.ones(len(attributes.ids), np.bool_)
    aligned: dict[str, Integers] = {}
    notes = [table.note for table in tables.values() if table.note]
    set_aside = {f.image_id.encode() for f in faults}
    for name, table in others.items():
        rows, present, note = _align(attributes, table, set_aside)
        aligned[name] = table.values[rows]
        keep &= present
        notes += [note] if note else []
    extra = dict(attributes.extra)
    if "partition" not in aligned and (said := named(extra, ALIASES["partition"])):
        column = partition_of(extra[said])
        if column is not None:
            aligned["partition"] = column[:, None]
            del extra[said]
            notes.append(f"{attributes.file}: the column {said!r} says the partition.")
    if "identity" not in aligned and (said := named(extra, ALIASES["identity"])):
        _, numbers = np.unique(extra.pop(said), return_inverse=True)
        aligned["identity"] = (numbers.astype(np.int32) + 1)[:, None]
        notes.append(f"{attributes.file}: the column {said!r} says who is shown.")
    groups = _groups(attributes.file, extra, notes)
    partition, identity = aligned.get("partition"), aligned.get("identity")
    unknown = unknown_columns(attributes.values, ATTRIBUTE_TABLE)
    index = Index(
        ids=attributes.ids,
        attributes=(attributes.values > 0).astype(np.uint8),
        partition=None if partition is None else partition[:, 0].astype(np.int8),
        identity=None if identity is None else identity[:, 0],
        landmarks=aligned.get("landmarks"),
        sha256={t.file: t.sha256 for t in tables.values()},
        faults=tuple(faults),
        annotated=tuple(np.array(contract.ATTRIBUTES)[~unknown].tolist()),
        groups=groups,
        notes=tuple(notes),
    )
    return index if keep.all() else index.take(keep)


def _groups(file: str, extra: dict[str, Texts], notes: list[str]) -> dict[str, Texts]:
    """Returns the columns that divide the images; adds to the notes what comes of all."""
    groups, free = find_groups(extra)
    if groups:
        shown = ", ".join(f"{name!r} ({len(np.unique(t))})" for name, t in groups.items())
        notes.append(f"{file}: further columns are slices of the report: {shown}.")
    if free:
        notes.append(f"{file}: columns are not used: {', '.join(map(repr, free))}.")
    return groups


def _of_packed(layout: Layout) -> Index:
    """Returns the index of files that hold annotations and images."""
    table = read_packed(layout)
    unknown = unknown_columns(table.attributes, ATTRIBUTE_TABLE)
    notes = list(table.notes)
    groups = _groups(layout.attributes, table.extra, notes)
    return Index(
        ids=table.ids,
        attributes=(table.attributes > 0).astype(np.uint8),
        partition=None if table.partition is None else table.partition.astype(np.int8),
        identity=table.identity,
        landmarks=table.landmarks,
        sha256={layout.attributes: table.sha256},
        annotated=tuple(np.array(contract.ATTRIBUTES)[~unknown].tolist()),
        groups=groups,
        notes=tuple(notes),
    )


def _read_table(path: str, kind: TableKind, max_faults: int) -> Table:
    try:
        content = files.read_bytes(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror or error}.",
            "Check that the file is there and that this user may read it.",
        ) from error
    return _with_suffix(parse(path, content, kind, max_faults=max_faults))


def _with_suffix(table: Table) -> Table:
    """Returns the table with CelebA's file names where it has "000001", or 1, for 000001.jpg."""
    names = table.ids.astype(np.str_)
    if not len(names) or (np.char.find(names, ".") >= 0).any():
        return table
    numbers = bool(np.char.isdigit(names).all())
    if numbers:
        names = np.char.zfill(names, _DIGITS)
    ids = np.char.add(names, ".jpg").astype("S")
    if len(np.unique(ids)) < len(ids):
        return table  # 1 and 000001: not the same way of counting
    first = f"{table.ids[0].decode()} is taken for {ids[0].decode()}"
    note = f"the file names have no suffix: {first}"
    return replace(table, ids=ids, notes=(*table.notes, note))


def _align(
    attributes: Table, other: Table, set_aside: set[bytes]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], str]:
    """Finds the row of `other` for each attribute row.

    One file may have more rows than the other: then the images of both are used.

    Returns:
      rows: int64, (n,); 0 where there is none.
      present: bool, (n,): whether there is one.
      note: what was left out, for people, or "".

    Raises:
      AnnotationError: if each file names images that the other does not, but for those that were
        set aside, or they share none.
    """
    if np.array_equal(attributes.ids, other.ids):
        return np.arange(len(other.ids)), np.ones(len(other.ids), np.bool_), ""
    rows = pd.Index(other.ids).get_indexer(pd.Index(attributes.ids))
    present = rows >= 0
    lacking = [i for i in attributes.ids[~present] if i not in set_aside]
    extra = [i for i in other.ids[~np.isin(other.ids, attributes.ids)] if i not in set_aside]
    if lacking and extra:
        raise AnnotationError(
            f"{other.file}: no line for {lacking[0].decode()}, which {attributes.file} lists "
            f"({len(lacking)} such images), and a line for {extra[0].decode()}, which that does "
            f"not list ({len(extra)} such).",
            "The files are of different copies of CelebA; fetch both again.",
        )
    note = ""
    if lacking:
        note = (
            f"{other.file}: lists {int(present.sum())} of the {len(present)} images of "
            f"{attributes.file}; the others are left out."
        )
    if extra:
        note = f"{other.file}: lists {len(extra)} images more than {attributes.file}, not used."
    return np.where(present, rows, 0), present, note
