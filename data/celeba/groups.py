"""Further columns of a data set that divide people into groups, such as race or age.

In: columns as text. Out: for each that can be a slice of a report, the name of every image's group.
A column of few different values is one as it is; numbers are divided into ranges of about equally
many images. Free text is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.celeba.kinds import Texts

MOST_GROUPS: Final = 20
"""A column with more different words is free text; with more different numbers it is divided."""
RANGES: Final = 5
LEAST_REPEATS: Final = 2
"""A column is a group only if its values occur so often on average."""


def find_groups(extra: Mapping[str, Texts]) -> tuple[dict[str, Texts], tuple[str, ...]]:
    """Returns the groups of each image for every column that has two or more, and other columns.

    Returns:
      groups: column -> text, (n,); "" where an image has no value.
      free: names of the columns that are not used.
    """
    groups: dict[str, Texts] = {}
    free = []
    for name, texts in extra.items():
        values = np.unique(texts[texts != ""])
        if len(values) < 2 or len(texts) < LEAST_REPEATS * len(values[:MOST_GROUPS]):
            free.append(name)
        elif len(values) <= MOST_GROUPS:
            groups[name] = texts
        elif (numbers := _numbers(texts)) is not None:
            groups[name] = _ranges(numbers)
        else:
            free.append(name)
    return groups, tuple(free)


def _numbers(texts: Texts) -> NDArray[np.float64] | None:
    """Returns numbers, NaN for "", or None if some text is none."""
    try:
        return np.array([float(t) if t else np.nan for t in texts.tolist()], np.float64)
    except ValueError:
        return None


def _ranges(numbers: NDArray[np.float64]) -> Texts:
    """Returns "21 to 30" for each number: ranges of about equally many numbers, "" for NaN."""
    there = numbers[~np.isnan(numbers)]
    edges = np.unique(np.quantile(there, np.linspace(0, 1, RANGES + 1), method="higher"))
    of = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, max(len(edges) - 2, 0))
    names = np.full(len(numbers), "", dtype="U64")
    for group in np.unique(of[~np.isnan(numbers)]):
        inside = (of == group) & ~np.isnan(numbers)
        low, high = numbers[inside].min(), numbers[inside].max()
        names[inside] = f"{low:g} to {high:g}" if low < high else f"{low:g}"
    return names


def encode(groups: Mapping[str, Texts], row: int) -> bytes:
    """Returns one image's groups as they are kept in an example: JSON of column -> group."""
    own = {name: str(texts[row]) for name, texts in groups.items() if texts[row]}
    return json.dumps(own, sort_keys=True, ensure_ascii=False).encode()
