"""One annotation file: from its bytes to ids and integers, with every fault named by line.

In: the bytes of a `.txt` (one or more spaces; LF or CRLF) or of one of Kaggle's `.csv`. Out: a
Table. A sound file takes the fast way (pandas' C parser); only when that finds something wrong does
a second, slow pass look line by line for what it is.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.errors import AnnotationError

Ids = NDArray[np.bytes_]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class TableKind:
    """What a file of this kind looks like.

    Attributes:
      columns: names of the integer columns that follow the file name.
      has_count: whether the first line of the .txt says how many rows follow, and the second names
        the columns.
      allowed: the values accepted in every column; None accepts any integer.
      unknown: the value of a column that says nothing; it must then stand in every row.
    """

    columns: tuple[str, ...]
    has_count: bool
    allowed: tuple[int, ...] | None = None
    unknown: int | None = None


@dataclass(frozen=True)
class Fault:
    """One line that cannot be used.

    Attributes:
      line: counted from 1.
      image_id: the line's first field.
      problem: what was found and what was expected, without file and line.
    """

    file: str
    line: int
    image_id: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.problem}"


@dataclass(frozen=True)
class Table:
    """One annotation file, read.

    Attributes:
      ids: file names as bytes, (rows,); unique.
      values: int32, (rows, columns).
      sha256: of the file as it is on disk.
      faults: lines that were set aside.
    """

    file: str
    ids: Ids
    values: Integers
    sha256: str
    faults: tuple[Fault, ...] = field(default=())


def parse(
    file: str,
    content: bytes,
    kind: TableKind,
    table_format: Literal["txt", "csv"],
    *,
    max_faults: int = 0,
) -> Table:
    """Parses one annotation file.

    Args:
      file: its path, for messages.
      content: its bytes.
      kind: what is expected.
      table_format: Kaggle's CSV or the official text.
      max_faults: so many bad lines are set aside; one more is an error.

    Raises:
      AnnotationError: names file, line and field, what was found and what was expected.
    """
    header_lines = _check_header(file, content, kind, table_format)
    sha256 = hashlib.sha256(content).hexdigest()
    frame = _read_fast(content, kind, table_format, header_lines)
    if frame is not None and (not kind.has_count or table_format == "csv"):
        return Table(file, *frame, sha256)
    if frame is not None and len(frame[0]) == int(content.split(b"\n", 1)[0]):
        return Table(file, *frame, sha256)
    ids, values, faults = _read_slow(file, content, kind, table_format, header_lines)
    check_limit(faults, max_faults)
    if kind.has_count and table_format == "txt":
        count = int(content.split(b"\n", 1)[0])
        if count != len(ids) + len(faults):
            raise AnnotationError(
                f"{file}:1: the first line says {count} rows; the file has "
                f"{len(ids) + len(faults)}.",
                "The file is cut off or was edited; fetch it again, or mend the first line.",
            )
    return Table(file, ids, values, sha256, tuple(faults))


def check_limit(faults: Sequence[Fault], max_faults: int) -> None:
    """Raises AnnotationError, naming the first fault above the limit, if there are too many."""
    if len(faults) <= max_faults:
        return
    more = f" ({len(faults)} such lines in all.)" if len(faults) > 1 else ""
    raise AnnotationError(
        f"{faults[max_faults]}{more}",
        "Mend the line, or fetch the file again (`genq data fetch` verifies checksums). "
        f"To set bad lines aside, allow {len(faults)} with data.faults.max_bad_annotations.",
    )


def _check_header(file: str, content: bytes, kind: TableKind, table_format: str) -> int:
    """Returns how many lines precede the rows."""
    if not content.strip():
        raise AnnotationError(f"{file}:1: the file is empty.", "Fetch it again.")
    if content.lstrip()[:1] == b"<":
        raise AnnotationError(
            f"{file}:1: this is an HTML page, not an annotation file.",
            "Google Drive serves such a page when its quota is used up; fetch the file again.",
        )
    lines = content.split(b"\n", 2)
    if table_format == "csv":
        found = lines[0].decode(errors="replace").strip().split(",")
        _check_columns(file, 1, found, ("image_id", *kind.columns))
        return 1
    if not kind.has_count:
        return 0
    first = lines[0].strip()
    if not first.isdigit():
        raise AnnotationError(
            f"{file}:1: found {first[:40].decode(errors='replace')!r}; expected the number of rows."
        )
    if len(lines) < 2:
        raise AnnotationError(f"{file}:2: the line with the column names is missing.")
    _check_columns(file, 2, lines[1].decode(errors="replace").split(), kind.columns)
    return 2


def _check_columns(file: str, line: int, found: Sequence[str], expected: Sequence[str]) -> None:
    unknown = [name for name in found if name not in expected]
    missing = [name for name in expected if name not in found]
    problem = ""
    if unknown:
        problem = f"unknown column {unknown[0]!r}"
    if missing:
        problem += f"{', and ' if problem else ''}column {missing[0]!r} is missing"
    if not problem and list(found) != list(expected):
        first = next(
            i for i, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]
        )
        problem = f"column {first + 1} is {found[first]!r}, expected {expected[first]!r}"
    if problem:
        raise AnnotationError(
            f"{file}:{line}: {problem}; found {len(found)} columns, expected {len(expected)}.",
            "Restore the header: names and order are those of data/contract.py.",
        )


def _read_fast(
    content: bytes, kind: TableKind, table_format: str, header_lines: int
) -> tuple[Ids, Integers] | None:
    """Returns ids and values, or None if anything at all is unusual."""
    options: dict[str, Any] = {"sep": ","} if table_format == "csv" else {"sep": r"\s+"}
    start = 0
    for _ in range(header_lines):
        start = content.index(b"\n", start) + 1
    names = ["image_id", *kind.columns]
    first = content[start : content.find(b"\n", start)].replace(b",", b" ")
    if len(first.split()) != len(names):
        return None  # pandas would warn, and drop values that have no column
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
    if kind.allowed is not None:
        said = values[:, ~unknown_columns(values, kind)]
        sound = sound and bool(np.isin(said, kind.allowed).all())
    # pandas drops what exceeds the columns without a word; a count of fields does not.
    return (ids, values) if sound and _same_width(content, start, len(frame), names) else None


def unknown_columns(values: Integers, kind: TableKind) -> NDArray[np.bool_]:
    """Returns which columns say nothing: bool, (columns,)."""
    if kind.unknown is None or not len(values):
        return np.zeros(values.shape[1], np.bool_)
    return np.asarray((values == kind.unknown).all(axis=0), np.bool_)


def _same_width(content: bytes, start: int, rows: int, names: Sequence[str]) -> bool:
    """Returns whether the body has as many fields as rows times columns."""
    body = np.frombuffer(content, np.uint8, offset=start)
    blank = (body <= 0x20) | (body == 0x2C)
    fields = int(np.count_nonzero(blank[:-1] & ~blank[1:])) + int(bool(len(body)) and not blank[0])
    return fields == rows * len(names)


def _read_slow(
    file: str, content: bytes, kind: TableKind, table_format: str, header_lines: int
) -> tuple[Ids, Integers, list[Fault]]:
    """Returns the good rows and the faults."""
    ids: list[str] = []
    rows: list[list[int]] = []
    faults: list[Fault] = []
    seen: dict[str, int] = {}
    lines = [
        (number, [f.strip() for f in raw.split(",")] if table_format == "csv" else raw.split())
        for number, raw in enumerate(content.decode(errors="replace").split("\n"), start=1)
        if number > header_lines and raw.strip()
    ]
    unknown = {
        column
        for column in range(len(kind.columns) if kind.unknown is not None else 0)
        if all(fields[column + 1 : column + 2] == [str(kind.unknown)] for _, fields in lines)
    }
    for number, fields in lines:
        try:
            rows.append(_read_row(fields, kind, seen, unknown))
        except ValueError as error:
            faults.append(Fault(file, number, fields[0], str(error)))
            continue
        ids.append(fields[0])
        seen[fields[0]] = number
    values = np.array(rows, np.int32).reshape(len(rows), len(kind.columns))
    return np.array(ids, "S"), values, faults


def _read_row(
    fields: Sequence[str], kind: TableKind, seen: dict[str, int], unknown: set[int]
) -> list[int]:
    """Returns the row's integers.

    Raises:
      ValueError: says what is wrong with it.
    """
    expected = len(kind.columns)
    if len(fields) != expected + 1:
        raise ValueError(f"found {len(fields) - 1} values after the file name; expected {expected}")
    if not fields[0].isascii():
        raise ValueError(f"the file name {fields[0]!r} is not plain ASCII")
    if fields[0] in seen:
        raise ValueError(f"{fields[0]} is there already, in line {seen[fields[0]]}")
    row = []
    for number, (column, text) in enumerate(zip(kind.columns, fields[1:], strict=True)):
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"{fields[0]}, {column}: found {text!r}; expected a number") from None
        allowed = (kind.unknown,) if number in unknown else kind.allowed
        if allowed is not None and value not in allowed:
            accepted = " or ".join(str(v) for v in allowed)
            raise ValueError(f"{fields[0]}, {column}: found {value}; expected {accepted}")
        if abs(value) > np.iinfo(np.int32).max:
            raise ValueError(f"{fields[0]}, {column}: {value} is out of range")
        row.append(value)
    return row
