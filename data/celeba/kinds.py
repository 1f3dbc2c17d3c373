"""What is expected of an annotation file, and what a line that cannot be used is called.

In: nothing. Out: the types that the readers of annotation files share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data import contract

Ids = NDArray[np.bytes_]
Integers = NDArray[np.int32]
Texts = NDArray[np.str_]


@dataclass(frozen=True)
class TableKind:
    """What a file of this kind looks like.

    Attributes:
      columns: names of the integer columns that follow the file name.
      has_count: whether the first line of the .txt says how many rows follow, and the second names
        the columns.
      allowed: the values accepted in every column; None accepts any integer.
      unknown: the value of a column that says nothing; it must then stand in every row.
      words: further spellings of values, in lower case.
      own: whether people wrote it themselves: then file names may have folders and any letters.
    """

    columns: tuple[str, ...]
    has_count: bool
    allowed: tuple[int, ...] | None = None
    unknown: int | None = None
    words: dict[str, int] = field(default_factory=dict)
    own: bool = False


SPLIT_WORDS: Final = {
    "train": 0, "training": 0,
    "val": 1, "valid": 1, "validation": 1, "dev": 1,
    "test": 2, "testing": 2,
}  # fmt: skip
"""Name of a partition, in lower case -> CelebA's number."""
TRUTH_WORDS: Final = {"true": 1, "false": 0, "yes": 1, "no": 0, "t": 1, "f": 0, "y": 1, "n": 0}


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


def unknown_columns(values: Integers, kind: TableKind) -> NDArray[np.bool_]:
    """Returns which columns say nothing: bool, (columns,)."""
    if kind.unknown is None or not len(values):
        return np.zeros(values.shape[1], np.bool_)
    return np.asarray((values == kind.unknown).all(axis=0), np.bool_)


def says_zero_and_one(values: Integers, kind: TableKind, there: NDArray[np.bool_]) -> bool:
    """Returns whether a table of -1 and 1 says the same by 0 and 1.

    It does where no -1 is anywhere, and some column has both: a column of zeros alone says nothing.

    Args:
      values: int32, (rows, columns).
      kind: of the table.
      there: bool, (columns,): those that the file has.
    """
    if kind.unknown != 0 or not len(values) or (values == -1).any():
        return False
    said = values[:, there]
    return bool(((said == 0).any(axis=0) & (said == 1).any(axis=0)).any())


assert contract.SPLITS == ("train", "val", "test")  # SPLIT_WORDS counts so
