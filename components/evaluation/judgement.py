"""What a comparison comes to: its interval alone, its interval beside all others, and a status.

In: intervals as functions of their critical values, and limits. Out: Judgements, of which gaps and
floors (gaps.py) and changes (regression.py) are made. All comparisons of one call are one family
(multiplicity.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from components.evaluation import multiplicity
from components.evaluation.clusters import Mask
from components.evaluation.intervals import Floats, Interval, critical

Status = Literal["exceeds", "may_exceed", "not_excluded", "within", "too_few"]
STATUSES: Final[dict[Status, str]] = {
    "exceeds": "the joint interval lies beyond the limit: blocks",
    "may_exceed": "the estimate is beyond the limit, but chance can explain it: a warning",
    "not_excluded": "the estimate is within the limit, the joint interval crosses it",
    "within": "the joint interval lies within the limit",
    "too_few": "too few examples: listed, not judged",
}
RANK: Final = tuple(STATUSES)
"""The worst first."""


@dataclass(frozen=True)
class Judgement:
    """Of one comparison.

    Attributes:
      limit: what is accepted; see `judge`.
      low, high: of the 95 % (confidence) interval of this comparison alone; people are the unit.
      joint_low, joint_high: of the interval at the level at which Holm's procedure judged it, which
        `status` follows; NaN when it was not judged.
      p_value: Holm-adjusted, of "the value is within the limit"; NaN when not judged.
    """

    limit: float
    value: float
    low: float
    high: float
    joint_low: float
    joint_high: float
    p_value: float
    status: Status


def judge(
    interval_at: Callable[[Floats], Interval],
    limits: Floats,
    judged: Mask,
    confidence: float,
    *,
    at_least: bool,
) -> list[Judgement]:
    """Judges comparisons together.

    Args:
      interval_at: from critical values, (m,), to the intervals, each (m,).
      limits: (m,); see at_least.
      judged: (m,), which have enough examples.
      confidence: of each interval alone, and of the family.
      at_least: whether values must reach their limits, and being better is no fault; else their
        sizes must not exceed them.
    """
    m = len(limits)
    everywhere = np.zeros(m)

    def chosen(z: Floats) -> Interval:
        everywhere[judged] = z
        return Interval(*(bound[judged] for bound in interval_at(everywhere)))

    def tested(z: Floats) -> Interval:
        found = chosen(z)
        if not at_least:
            return found
        least = limits[judged]
        return Interval(least - found.value, least - found.high, np.full(len(least), np.inf))

    largest = np.zeros(int(judged.sum())) if at_least else limits[judged]
    family = multiplicity.judge(tested, largest, confidence)
    joint_low, joint_high, p_value = (np.full(m, np.nan) for _ in range(3))
    joint_low[judged], joint_high[judged] = chosen(family.z)[1:]
    p_value[judged] = family.adjusted
    exceeds = np.zeros(m, np.bool_)
    exceeds[judged] = family.exceeds
    alone = interval_at(np.full(m, float(critical(confidence))))
    beyond = alone.value < limits if at_least else np.abs(alone.value) > limits
    inside = joint_low >= limits if at_least else np.maximum(joint_high, -joint_low) <= limits
    columns = (limits, *alone, joint_low, joint_high, p_value)
    result = []
    for i in range(m):
        limit, value, low, high, joint_from, joint_to, p = (float(c[i]) for c in columns)
        status = status_of(
            judged=bool(judged[i]),
            exceeds=bool(exceeds[i]),
            beyond=bool(beyond[i]),
            inside=bool(inside[i]),
        )
        result.append(Judgement(limit, value, low, high, joint_from, joint_to, p, status))
    return result


def status_of(*, judged: bool, exceeds: bool, beyond: bool, inside: bool) -> Status:
    """Returns the status.

    Args:
      judged: whether there were enough examples.
      exceeds: whether the joint interval lies wholly beyond the limit.
      beyond: whether the estimate does.
      inside: whether the joint interval lies wholly within it.
    """
    if not judged:
        return "too_few"
    if exceeds:
        return "exceeds"
    if beyond:
        return "may_exceed"
    return "within" if inside else "not_excluded"
