"""An annotation file line by line: slow, and every line that cannot be used is named.

In: the lines of a file and its Dialect. Out: ids, integers, further columns, and Faults.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.celeba.dialects import Dialect, rows
from data.celeba.kinds import (
    TRUTH_WORDS,
    Fault,
    Ids,
    Integers,
    TableKind,
    Texts,
    says_zero_and_one,
    unknown_columns,
)

NUMBERS_NOTE: Final = "0 and 1 (false and true) are taken for -1 and 1"
FOLDERS_NOTE: Final = "the folders before the file names are ignored"


class _Integers(dict[str, int]):
    """Text -> integer; each spelling is looked at once."""

    def __init__(self, kind: TableKind) -> None:
        super().__init__()
        self._words = {**TRUTH_WORDS, **kind.words}

    def __missing__(self, text: str) -> int:
        """Returns the value.

        Raises:
          ValueError: if it is none.
        """
        word = self._words.get(text.lower())
        if word is not None:
            value = word
        else:
            try:
                value = int(text)
            except ValueError:
                number = float(text.replace(",", "."))
                if not number.is_integer():
                    raise ValueError from None
                value = int(number)
        self[text] = value
        return value


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


class LineReader:
    """Rows of one file, line by line."""

    def __init__(self, file: str, kind: TableKind, dialect: Dialect) -> None:
        self._file, self._kind, self._dialect = file, kind, dialect
        self._ids: list[str] = []
        self._lines: list[int] = []
        self._values = array("i")
        self._faults: list[Fault] = []
        self._seen: dict[str, int] = {}
        self._integers = _Integers(kind)
        self._extra: dict[str, list[str]] = {name: [] for name in dialect.extra}
        self._good: list[int] | None = None
        self._folders = False
        self.notes: list[str] = []

    def read(self, lines: Sequence[str]) -> None:
        """Reads all rows; those that cannot be read become faults."""
        dialect, unknown = self._dialect, self._kind.unknown or 0
        places = [dialect.columns.get(name) for name in self._kind.columns]
        for number, fields in rows(lines, dialect):
            try:
                name = self._name(fields)
                row = [unknown if p is None else self._value(name, fields, p) for p in places]
            except ValueError as error:
                self._faults.append(Fault(self._file, number, fields[0], str(error)))
                continue
            self._seen[name] = number
            self._ids.append(name)
            self._lines.append(number)
            self._values.extend(row)
            for column, place in dialect.extra.items():
                self._extra[column].append(fields[place])

    def _name(self, fields: Sequence[str]) -> str:
        """Returns the row's file name.

        Raises:
          ValueError: says what is wrong with the row.
        """
        width, at = self._dialect.width, self._dialect.id_column
        if len(fields) != width:
            raise ValueError(
                f"found {len(fields) - 1 - at} values after the file name; "
                f"expected {width - 1 - at}"
            )
        name = fields[at]
        if not self._kind.own:
            name = name.replace("\\", "/").rpartition("/")[2]
            self._folders = self._folders or name != fields[at]
        if not name:
            raise ValueError("the file name is empty")
        if not name.isascii() and not self._kind.own:
            raise ValueError(f"the file name {name!r} is not plain ASCII")
        if name in self._seen:
            raise ValueError(f"{name} duplicates line {self._seen[name]}")
        return name

    def _value(self, name: str, fields: Sequence[str], place: int) -> int:
        """Returns one value.

        Raises:
          ValueError: if it is no number, or out of range.
        """
        text = fields[place]
        column = next(c for c, p in self._dialect.columns.items() if p == place) if not text else ""
        if not text:
            raise ValueError(f"{name}, {column}: found nothing; expected a number")
        try:
            value = self._integers[text]
        except (ValueError, OverflowError):
            column = next(c for c, p in self._dialect.columns.items() if p == place)
            whole = " or ".join(map(str, self._kind.allowed or ())) or "a whole number"
            expected = whole if _is_number(text) else "a number"
            raise ValueError(f"{name}, {column}: found {text!r}; expected {expected}") from None
        if abs(value) > np.iinfo(np.int32).max:
            column = next(c for c, p in self._dialect.columns.items() if p == place)
            raise ValueError(f"{name}, {column}: {value} is out of range")
        return value

    def finish(self) -> tuple[Ids, Integers, list[Fault]]:
        """Returns the good rows and the faults; a row with a value that is not allowed is one."""
        kind = self._kind
        values = np.array(self._values, np.int32).reshape(len(self._ids), len(kind.columns))
        good: NDArray[np.bool_] = np.ones(len(values), np.bool_)
        if kind.allowed is not None and len(values):
            there = np.array([name in self._dialect.columns for name in kind.columns])
            if says_zero_and_one(values, kind, there):
                self.notes.append(NUMBERS_NOTE)
                values[:, there] = np.where(values[:, there] == 0, -1, values[:, there])
            silent = unknown_columns(values, kind)
            bad = ~np.isin(values, kind.allowed) & ~silent
            good = np.logical_not(bad.any(axis=1))
            accepted = " or ".join(str(v) for v in kind.allowed)
            for row in np.flatnonzero(~good):
                column = int(bad[row].argmax())
                self._faults.append(
                    Fault(
                        self._file,
                        self._lines[row],
                        self._ids[row],
                        f"{self._ids[row]}, {kind.columns[column]}: found {values[row, column]}; "
                        f"expected {accepted}",
                    )
                )
        self._faults.sort(key=lambda fault: fault.line)
        self._good = np.flatnonzero(good).tolist()
        if self._folders:
            self.notes.append(FOLDERS_NOTE)
        ids = np.array([name.encode() for name in self._ids], "S")
        return ids[good], values[good], self._faults

    def extra(self) -> dict[str, Texts]:
        """Returns the further columns of the good rows; only after `finish`."""
        assert self._good is not None
        return {
            name: np.array([texts[row] for row in self._good], np.str_)
            for name, texts in self._extra.items()
        }
