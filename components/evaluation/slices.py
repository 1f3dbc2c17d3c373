"""Slices of a table of predictions.

In: the table and the configured keys. Out: Slice objects, overall first.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.predictions.table import BANDS, group_columns, slice_columns

OVERALL: Final = "overall"


@dataclass(frozen=True, eq=False)
class Slice:
    """Some of the examples.

    Attributes:
      key: pairs of column and value, as TFMA has them; () is all examples.
      rows: bool, (n,).
    """

    key: tuple[tuple[str, int | str], ...]
    rows: NDArray[np.bool_]

    @property
    def name(self) -> str:
        """E.g. "Young=1, Male=0"."""
        return slice_name(self.key)


def slice_name(key: Iterable[tuple[str, Any]]) -> str:
    """(("Young", 1),) -> "Young=1"; () -> "overall"."""
    return ", ".join(f"{feature}={value}" for feature, value in key) or OVERALL


def find_slices(table: pd.DataFrame, keys: Sequence[Sequence[str]]) -> list[Slice]:
    """Returns the overall slice and every combination of values that occurs.

    Keys whose column the table lacks (an external set without that attribute) give no slice. The
    data set's further columns, such as race, are slices by themselves.
    """
    found = [Slice((), np.ones(len(table), np.bool_))]
    for column, name in group_columns(table).items():
        present = table[column].dropna()
        found += [
            Slice(((name, value),), (table[column] == value).to_numpy(np.bool_))
            for value in sorted(present.unique().tolist(), key=_natural)
        ]
    for group in keys:
        columns = slice_columns(group)
        if any(column not in table or table[column].isna().any() for column in columns):
            continue
        values = [_values(table[column]) for column in columns]
        for combination in itertools.product(*values):
            rows = np.ones(len(table), np.bool_)
            for column, value in zip(columns, combination, strict=True):
                rows &= (table[column] == value).to_numpy()
            if rows.any():
                found.append(Slice(tuple(zip(columns, combination, strict=True)), rows))
    return found


def _natural(value: str) -> tuple[float, str]:
    """Orders "3-9" before "10-19"."""
    digits = re.match(r"\d+(\.\d+)?", value)
    return (float(digits[0]) if digits else -1.0, value)


def _values(column: pd.Series[Any]) -> list[int | str]:
    """Returns the values in order: numbers, or bands from low to high."""
    values = column.unique().tolist()
    if all(isinstance(value, str) for value in values):
        return sorted(values, key=lambda v: BANDS.index(v) if v in BANDS else len(BANDS))
    return sorted(int(value) for value in values)
