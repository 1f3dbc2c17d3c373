"""Many comparisons at once: a gap that one test in twenty would show by chance is not a finding.

In: for each comparison an interval as a function of its critical value, and a limit. Out: which
comparisons exceed their limit although all of them were looked at.

Holm's step-down procedure (Holm 1979, Scand. J. Stat. 6:65) keeps the probability of even one false
alarm among all comparisons at or below 1 - confidence, whatever their dependence: slices overlap,
so that matters. The smallest p-value is held against alpha / m, the next against alpha / (m - 1) …
until one fails. Benjamini and Hochberg's procedure is more powerful, but bounds the share of false
alarms among the alarms: right for a list that people read, wrong for a gate that stops a release.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from components.evaluation.intervals import Floats, Interval, critical

_LARGEST_Z = 38.0
"""Normal tails underflow beyond it; p-values below 1e-300 are all the same."""


@dataclass(frozen=True)
class Judged:
    """Arrays over the comparisons.

    Attributes:
      p_value: the smallest alpha whose interval lies wholly beyond the limit; 1 if none does.
      adjusted: Holm's adjusted p-values.
      exceeds: whether the limit is exceeded, all comparisons considered.
      interval: at the level at which the procedure looked at each; its bounds and `exceeds` agree.
      z: critical values of that level.
    """

    p_value: Floats
    adjusted: Floats
    exceeds: NDArray[np.bool_]
    interval: Interval
    z: Floats


def judge(interval_at: Callable[[Floats], Interval], limits: Floats, confidence: float) -> Judged:
    """Judges |gap| > limit for each comparison.

    Args:
      interval_at: from critical values, (m,), to the intervals of the gaps, each (m,). It must
        widen with its argument.
      limits: largest accepted |gap|, (m,).
      confidence: family-wise, e.g. 0.95.
    """
    m = len(limits)

    def beyond(z: Floats) -> NDArray[np.bool_]:
        found = interval_at(z)
        return (found.low > limits) | (found.high < -limits)

    # Bisection: the interval at `inside` lies beyond the limit, the one at `outside` does not.
    inside, outside = np.zeros(m), np.full(m, _LARGEST_Z)
    ever = beyond(inside)
    for _ in range(60):
        middle = (inside + outside) / 2
        good = beyond(middle)
        inside, outside = np.where(good, middle, inside), np.where(good, outside, middle)
    p_value = np.where(ever, 2 * ndtr(-inside), 1.0)
    order = np.argsort(p_value, kind="stable")
    adjusted = holm(p_value)
    alpha = 1 - confidence
    exceeds = adjusted < alpha
    # Those after the first failure are looked at with that step's level.
    rejected = int(exceeds.sum())
    step = np.empty(m, np.int64)
    step[order] = np.minimum(np.arange(m), rejected)
    z = critical(1 - alpha / (m - step)) if m else np.zeros(0)
    return Judged(p_value, adjusted, exceeds, interval_at(z), z)


def holm(p_values: Floats) -> Floats:
    """Returns Holm's adjusted p-values, (m,)."""
    m = len(p_values)
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(m)
    stepped = np.asarray(p_values)[order] * (m - np.arange(m))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted
