"""Groups of images that share values of attributes: their names, and how to have rare ones whole.

In: an Index and attributes. Out: each row's group, and its chance to be drawn. Pure functions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.celeba.index import Index

Rows = NDArray[np.int64]


def group_codes(index: Index, balance_by: Sequence[str]) -> NDArray[np.int64]:
    """Returns the joint value of the attributes for each row, (n,): a binary number."""
    codes = np.zeros(len(index), np.int64)
    for name in balance_by:
        codes = codes * 2 + index.attribute(name)
    return codes


def group_names(balance_by: Sequence[str]) -> list[str]:
    """Returns "Male=0, Young=1" and so on, in the order of group_codes."""
    return [
        ", ".join(f"{n}={v}" for n, v in zip(balance_by, values, strict=True)) or "all"
        for values in itertools.product((0, 1), repeat=len(balance_by))
    ]


def inclusion(
    index: Index, rows: Rows, groups: Sequence[Sequence[str]], size: int
) -> NDArray[np.float64]:
    """Returns each row's chance to be drawn, (n,), so that every group is as full as can be.

    A row's chance is K / the size of the smallest group it is in, at most 1; K is the same for all
    and so large that `size` rows are expected. So groups of up to K images are taken whole, and
    larger ones have K or more. Rows are drawn one by one (Poisson sampling: Sarndal et al. 1992,
    Model Assisted Survey Sampling, 3.5), by their hash: a larger sample holds all of a smaller one.

    Args:
      index: the annotations.
      rows: what may be drawn.
      groups: attributes, whose joint values make the groups.
      size: rows expected; fewer than there are.
    """
    smallest = np.full(len(rows), len(rows), np.float64)
    for names in groups:
        if all(name in index.annotated for name in names):
            codes = group_codes(index, names)[rows]
            smallest = np.minimum(smallest, np.bincount(codes)[codes])
    low, high = 0.0, float(len(rows))
    for _ in range(60):
        middle = (low + high) / 2
        enough = np.minimum(middle / smallest, 1).sum() >= size
        low, high = (low, middle) if enough else (middle, high)
    chance: NDArray[np.float64] = np.minimum(high / smallest, 1)
    return chance
