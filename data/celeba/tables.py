"""One annotation file: from its bytes to ids and integers, with every fault named by line.

In: the bytes of a `.txt` (one or more spaces) or of one of Kaggle's `.csv`. Out: a Table. A file as
the authors or Kaggle wrote it takes the fast way (pandas' C parser). Any other is read line by line
in the way that data/celeba/dialects.py finds out; what had to be assumed is in the Table's notes,
and every line that cannot be used is a Fault.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from data.celeba.dialects import Dialect, decode, find_dialect, plain
from data.celeba.kinds import (
    SPLIT_WORDS,
    Fault,
    Ids,
    Integers,
    TableKind,
    Texts,
    says_zero_and_one,
    unknown_columns,
)
from data.celeba.lines import FOLDERS_NOTE, NUMBERS_NOTE, LineReader
from data.errors import AnnotationError


@dataclass(frozen=True)
class Table:
    """One annotation file, read.

    Attributes:
      ids: file names as bytes, (rows,); unique.
      values: int32, (rows, columns).
      sha256: of the file as it is on disk.
      faults: lines that were set aside.
      extra: further columns as text, each (rows,).
      notes: what was assumed, each a short phrase; empty for a file as the authors wrote it.
    """

    file: str
    ids: Ids
    values: Integers
    sha256: str
    faults: tuple[Fault, ...] = field(default=())
    extra: dict[str, Texts] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """One line for people, or ""."""
        return f"{self.file}: {'; '.join(self.notes)}." if self.notes else ""


def parse(file: str, content: bytes, kind: TableKind, *, max_faults: int = 0) -> Table:
    """Parses one annotation file.

    Args:
      file: its path, for messages.
      content: its bytes.
      kind: what is expected.
      max_faults: how many bad lines are set aside at most; one more is an error.

    Raises:
      AnnotationError: names file, line and field, what was found and what was expected.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    frame = _read_fast(content, kind)
    if frame is not None:
        return Table(file, *frame, sha256)
    lines, notes = decode(file, content)
    dialect = find_dialect(file, lines, kind.columns, optional=kind.unknown is not None)
    if kind.has_count and dialect.count is None and dialect.separator == " ":
        notes.append("no line says how many rows follow")
    regular = _read_regular(lines, dialect, kind)
    if regular is not None:
        ids, values, extra, assumed = regular
        if dialect.count in (None, len(ids)):
            return Table(file, ids, values, sha256, (), extra, (*notes, *dialect.notes, *assumed))
    reader = LineReader(file, kind, dialect)
    reader.read(lines)
    ids, values, faults = reader.finish()
    if kind.own and faults:
        more = f" ({len(faults)} such lines in all.)" if len(faults) > 1 else ""
        raise AnnotationError(f"{faults[0]}.{more}", "Correct the line.")
    check_limit(faults, max_faults)
    found = len(ids) + len(faults)
    if dialect.count is not None and dialect.count != found:
        raise AnnotationError(
            f"{file}:1: the first line says {dialect.count} rows; the file has {found}.",
            f"If the file was cut off, fetch it again. If it is meant to have {found} rows, write "
            f"{found} into the first line, or remove that line.",
        )
    return Table(
        file,
        ids,
        values,
        sha256,
        tuple(faults),
        reader.extra(),
        (*notes, *dialect.notes, *reader.notes),
    )


def check_limit(faults: Sequence[Fault], max_faults: int) -> None:
    """Raises AnnotationError, naming the first fault above the limit, if there are too many."""
    if len(faults) <= max_faults:
        return
    more = f" ({len(faults)} such lines in all.)" if len(faults) > 1 else ""
    raise AnnotationError(
        f"{faults[max_faults]}{more}",
        "Correct the line, or fetch the file again (`genq data fetch` verifies checksums). "
        f"To set bad lines aside, allow {len(faults)} with data.faults.max_bad_annotations.",
    )


def _read_fast(content: bytes, kind: TableKind) -> tuple[Ids, Integers] | None:
    """Returns ids and values of a file as the authors or Kaggle wrote it; None if it is another."""
    names = ["image_id", *kind.columns]
    lines = content[:4096].split(b"\n", 3)
    kaggle = lines[0].strip() == ",".join(names).encode()
    if kaggle:
        start, sep, count = len(lines[0]) + 1, ",", None
    elif not kind.has_count:
        start, sep, count = 0, r"\s+", None
    else:
        if len(lines) < 3 or not lines[0].strip().isdigit():
            return None
        if lines[1].decode(errors="replace").split() != list(kind.columns):
            return None
        start, sep, count = len(lines[0]) + len(lines[1]) + 2, r"\s+", int(lines[0])
    first = content[start : content.find(b"\n", start)].replace(b",", b" ")
    if len(first.split()) != len(names) or b'"' in first:
        return None  # pandas would warn, and drop values that have no column
    options: dict[str, Any] = {"sep": sep}
    try:
        frame = pd.read_csv(
            io.BytesIO(memoryview(content)[start:]),
            header=None,
            names=names,
            index_col=False,
            dtype={"image_id": str, **dict.fromkeys(kind.columns, np.int32)},
            quoting=csv.QUOTE_NONE,
            na_filter=False,
            low_memory=True,
            **options,
        )
        ids = frame["image_id"].to_numpy().astype("S")
    except (ValueError, OverflowError, pd.errors.ParserError):
        return None
    values = frame[list(kind.columns)].to_numpy(np.int32)
    sound = frame["image_id"].is_unique and (frame["image_id"] != "").all()
    sound = sound and (count is None or count == len(frame))
    sound = sound and not any(c in ids[0] for c in b'/\\"\xef')
    if kind.allowed is not None:
        said = values[:, ~unknown_columns(values, kind)]
        sound = sound and bool(np.isin(said, kind.allowed).all())
        everywhere = np.ones(len(kind.columns), np.bool_)
        sound = sound and not says_zero_and_one(values, kind, everywhere)
    # pandas drops what exceeds the columns without a word; a count of fields does not.
    return (ids, values) if sound and _same_width(content, start, len(frame), names) else None


def _read_regular(
    lines: Sequence[str], dialect: Dialect, kind: TableKind
) -> tuple[Ids, Integers, dict[str, Texts], tuple[str, ...]] | None:
    """Returns ids, values, further columns and notes by pandas' parser; None if a row is unusual.

    What it returns is what data/celeba/lines.py would return without a fault, ten times as fast.
    """
    body = "\n".join(lines[dialect.first_row - 1 :])
    separator, width = dialect.separator, dialect.width
    if '"' in body or "\\" in body or not body.isascii():
        return None
    types: dict[int, Any] = dict.fromkeys(range(width), str)
    types |= dict.fromkeys(dialect.columns.values(), np.int32)
    try:
        frame = pd.read_csv(
            io.StringIO(body),
            sep=r"\s+" if separator == " " else separator,
            header=None,
            names=list(range(width)),
            index_col=False,
            dtype=types,
            quoting=csv.QUOTE_NONE,
            skipinitialspace=True,
            na_filter=False,
            low_memory=True,
        )
    except (ValueError, OverflowError, pd.errors.ParserError):
        return None
    if separator == " ":
        regular = _same_width(body.encode(), 0, len(frame), range(width))
    else:
        regular = body.count(separator) == len(frame) * (width - 1)
    names = frame[dialect.id_column].str.strip()
    notes = []
    if not kind.own and names.str.contains("/", regex=False).any():
        names = names.str.rpartition("/")[2]
        notes.append(FOLDERS_NOTE)
    if not regular or not names.is_unique or (names == "").any():
        return None
    values = np.full((len(frame), len(kind.columns)), kind.unknown or 0, np.int32)
    there = np.array([name in dialect.columns for name in kind.columns])
    values[:, there] = frame[[dialect.columns[n] for n in kind.columns if n in dialect.columns]]
    if says_zero_and_one(values, kind, there):
        values[:, there] = np.where(values[:, there] == 0, -1, values[:, there])
        notes.append(NUMBERS_NOTE)
    if kind.allowed is not None:
        said = values[:, ~unknown_columns(values, kind)]
        if not np.isin(said, kind.allowed).all():
            return None
    extra = {
        name: frame[place].str.strip().to_numpy().astype(np.str_)
        for name, place in dialect.extra.items()
    }
    return names.to_numpy().astype("S"), values, extra, tuple(notes)


def _same_width(content: bytes, start: int, count: int, names: Sized) -> bool:
    """Returns whether the body has as many fields as rows times columns."""
    body = np.frombuffer(content, np.uint8, offset=start)
    blank = (body <= 0x20) | (body == 0x2C)
    fields = int(np.count_nonzero(blank[:-1] & ~blank[1:])) + int(bool(len(body)) and not blank[0])
    return fields == count * len(names)


def partition_of(texts: Texts) -> Integers | None:
    """Returns a column's partitions, int32 (rows,), or None if it is no such column."""
    numbers = {"0": 0, "1": 1, "2": 2, "0.0": 0, "1.0": 1, "2.0": 2, **SPLIT_WORDS}
    known = {text: numbers.get(text.lower()) for text in np.unique(texts).tolist()}
    if None in known.values():
        return None
    return np.array([known[text] for text in texts.tolist()], np.int32)


def named(extra: dict[str, Texts], names: Sequence[str]) -> str | None:
    """Returns the further column that has one of these names, as `plain` returns them."""
    return next((name for name in extra if plain(name) in names), None)
