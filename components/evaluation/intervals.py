"""Intervals of rates and of what follows from them, in closed form.

In: counts, scalars or arrays. Out: Interval, of the same shape. NumPy and SciPy only.

Normal-theory (Wald) intervals are too short near 0 and 1, where our rates lie, and collapse where
no error was seen; Wilson's do neither, and every formula here is built on them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats import binomtest

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate and its bounds; NaN where there were no examples."""

    value: Floats
    low: Floats
    high: Floats


def critical(confidence: ArrayLike) -> Floats:
    """Returns z of a two-sided normal interval: 0.95 -> 1.96."""
    return np.asarray(ndtri(0.5 + np.asarray(confidence) / 2), np.float64)


def wilson(successes: ArrayLike, trials: ArrayLike, z: ArrayLike = 1.959963984540054) -> Interval:
    """Score interval of a rate (Wilson 1927, JASA 22:209).

    Args:
      successes: counts; broadcast with the others.
      trials: counts.
      z: critical value; see `critical`.
    """
    x, n, z = (np.asarray(a, np.float64) for a in (successes, trials, z))
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = x / n
        centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    # Exactly 0 and 1 where nothing or everything was a success, despite rounding.
    low = np.where(x == 0, 0.0, np.maximum(centre - half, 0))
    high = np.where(x == n, 1.0, np.minimum(centre + half, 1))
    empty = n == 0
    return Interval(rate, np.where(empty, np.nan, low), np.where(empty, np.nan, high))


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value that a and b err equally often (McNemar 1947, binomial form)."""
    n = only_a + only_b
    return float(binomtest(only_a, n, 0.5).pvalue) if n else 1.0


def mean_of_two(a: Interval, b: Interval, correlation: float = 0.0) -> Interval:
    """Interval of (a + b) / 2 of two rates: balanced accuracy.

    MOVER, the method of variance estimates recovery (Zou & Donner 2008, Stat. Med. 27:1693; for
    correlated estimates Zou 2007, Psychological Methods 12:399).
    """
    value = (a.value + b.value) / 2
    sides = ((a.value - a.low, b.value - b.low), (a.high - a.value, b.high - b.value))
    below, above = (np.sqrt(x**2 + y**2 + 2 * correlation * x * y) / 2 for x, y in sides)
    return Interval(value, value - below, value + above)


def f1(jaccard: Interval) -> Interval:
    """F1 = 2J / (1 + J) rises with the Jaccard index J = TP / (TP + FP + FN), which is a rate.

    So the bounds are those of J's interval, carried over.
    """
    return Interval(*(2 * j / (1 + j) for j in jaccard))
