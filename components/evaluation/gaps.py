"""Gaps between groups, and floors of single slices, judged by their intervals.

In: a table of predictions, slices, limits. Out: Gap and Floor objects with counts, interval, limit
and status. Pure functions; components/fairness_gate.py is the node.

Compared are a slice with its complement (all other examples), and the two labels within a slice.
Each rate is a share of its own examples: a false positive rate is one of the negatives, so there
the complement holds the other negatives. All comparisons of a model are one family
(multiplicity.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluation import intervals, multiplicity
from components.evaluation.config import RATES, EvaluationConfig
from components.evaluation.intervals import Floats, Interval, critical
from components.evaluation.metrics import THRESHOLD
from components.evaluation.slices import Slice
from data import contract

Status = Literal["exceeds", "may_exceed", "not_excluded", "within", "too_few"]
STATUSES: Final[dict[Status, str]] = {
    "exceeds": "larger than the limit, with confidence: blocks",
    "may_exceed": "the estimate is larger than the limit, but chance can explain it: a warning",
    "not_excluded": "smaller than the limit; a larger gap is not excluded",
    "within": "smaller than the limit, with confidence",
    "too_few": "too few examples: reported, not judged",
}

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Gap:
    """One rate in two groups.

    Attributes:
      kind: "complement" (`b` is what `a` leaves of the examples), or "labels" (positives and
        negatives within `a`'s slice).
      count_a, n_a: how many of how many; the same of `b`.
      value: rate of a - rate of b.
      low, high: of the 95 % (confidence) interval of this gap alone (Newcombe 1998).
      joint_low, joint_high: of the interval at the level at which Holm's procedure judged it; NaN
        when it was not judged.
      p_value: Holm-adjusted, of "the gap is within the limit"; NaN when not judged.
    """

    rate: str
    kind: Literal["complement", "labels"]
    a: str
    b: str
    count_a: int
    n_a: int
    count_b: int
    n_b: int
    limit: float
    value: float
    low: float
    high: float
    joint_low: float
    joint_high: float
    p_value: float
    status: Status

    def __str__(self) -> str:
        return (
            f"{self.rate} of {self.a}: {self.count_a / max(1, self.n_a):.3f} (n={self.n_a}), of "
            f"{self.b}: {self.count_b / max(1, self.n_b):.3f} (n={self.n_b}); gap "
            f"{self.value:+.3f}, {self.low:+.3f} to {self.high:+.3f}, limit {self.limit:.3f}"
        )


@dataclass(frozen=True)
class Floor:
    """The accuracy of one slice against the least that is accepted; fields as in Gap."""

    slice: str
    correct: int
    n: int
    limit: float
    value: float
    low: float
    high: float
    p_value: float
    status: Status

    def __str__(self) -> str:
        return (
            f"accuracy of {self.slice}: {self.value:.3f} (n={self.n}), {self.low:.3f} to "
            f"{self.high:.3f}, wanted {self.limit:.3f} or more"
        )


@dataclass(frozen=True)
class _Pair:
    rate: str
    kind: Literal["complement", "labels"]
    a: str
    b: str
    counts: tuple[int, int, int, int]  # count and n of a, count and n of b


def find_gaps(
    table: pd.DataFrame,
    slices: Sequence[Slice],
    config: EvaluationConfig,
    named: contract.Label | None = None,
) -> list[Gap]:
    """Returns every gap, the worst first.

    Args:
      table: predictions of one split.
      slices: of that table.
      config: limits, confidence, fewest examples.
      named: what the labels are called.
    """
    pairs = _pairs(table, slices, (named or contract.Label()).names)
    counts = np.array([p.counts for p in pairs], np.int64).reshape(-1, 4)
    limits = np.array([config.fairness.limit(p.rate) for p in pairs], np.float64)
    judged = np.minimum(counts[:, 1], counts[:, 3]) >= config.min_slice_examples

    def interval_at(chosen: NDArray[np.int64], z: Floats) -> Interval:
        a, n, b, m = chosen.T
        return intervals.difference(a, n, b, m, z)

    alone = interval_at(counts, critical(config.confidence))
    family = multiplicity.judge(
        lambda z: interval_at(counts[judged], z), limits[judged], config.confidence
    )
    joint_low, joint_high, p_value = (np.full(len(pairs), np.nan) for _ in range(3))
    joint_low[judged], joint_high[judged] = family.interval.low, family.interval.high
    p_value[judged] = family.adjusted
    exceeds = np.zeros(len(pairs), np.bool_)
    exceeds[judged] = family.exceeds
    gaps = []
    for i, pair in enumerate(pairs):
        status = _status(bool(judged[i]), bool(exceeds[i]), _at(alone, i), float(limits[i]))
        gaps.append(
            Gap(
                pair.rate,
                pair.kind,
                pair.a,
                pair.b,
                *pair.counts,
                limit=float(limits[i]),
                value=float(alone.value[i]),
                low=float(alone.low[i]),
                high=float(alone.high[i]),
                joint_low=float(joint_low[i]),
                joint_high=float(joint_high[i]),
                p_value=float(p_value[i]),
                status=status,
            )
        )
    rank = list(STATUSES)
    return sorted(gaps, key=lambda g: (rank.index(g.status), g.limit - abs(g.value)))


def _at(interval: Interval, i: int) -> tuple[float, float, float]:
    return float(interval.value[i]), float(interval.low[i]), float(interval.high[i])


def _status(
    judged: bool, exceeds: bool, interval: tuple[float, float, float], limit: float
) -> Status:
    value, low, high = interval
    if not judged:
        return "too_few"
    if exceeds:
        return "exceeds"
    if abs(value) > limit:
        return "may_exceed"
    return "not_excluded" if max(high, -low) > limit else "within"


def _pairs(table: pd.DataFrame, slices: Sequence[Slice], names: tuple[str, str]) -> list[_Pair]:
    """Returns every comparison once: Young=1 with the others is Young=0 with the others."""
    label = table[contract.LABEL].to_numpy() == 1
    called = table[contract.P_POSITIVE].to_numpy() >= THRESHOLD
    # rate -> (which examples count, which of them are the event)
    rates: dict[str, tuple[Mask, Mask]] = {
        "accuracy": (np.ones_like(label), called == label),
        "fpr": (~label, called),
        "fnr": (label, ~called),
        "abstention": (np.ones_like(label), table[contract.UNCERTAIN].to_numpy(np.bool_)),
    }
    pairs: list[_Pair] = []
    seen: set[tuple[str, frozenset[bytes]]] = set()

    def add(
        rate: str, kind: Literal["complement", "labels"], a: Mask, b: Mask, a_name: str, b_name: str
    ) -> None:
        domain, event = rates[rate]
        a, b = a & domain, b & domain
        key = (rate, frozenset((a.tobytes(), b.tobytes())))
        if not a.any() or not b.any() or key in seen:
            return
        seen.add(key)
        counts = (int((a & event).sum()), int(a.sum()), int((b & event).sum()), int(b.sum()))
        pairs.append(_Pair(rate, kind, a_name, b_name, counts))

    # The plainest first, the highest value first: a gap is told of those who have the attribute.
    ordered = sorted(slices, key=lambda s: [str(v) for _, v in s.key], reverse=True)
    for each in sorted(ordered, key=lambda s: len(s.key)):
        if each.key:
            for rate in RATES:
                add(rate, "complement", each.rows, ~each.rows, each.name, "all others")
        for rate in ("accuracy", "abstention"):
            yes, no = each.rows & label, each.rows & ~label
            where = f" ({each.name})" if each.key else ""
            add(rate, "labels", yes, no, f"{names[1]}{where}", f"{names[0]}{where}")
    return pairs


def find_floors(
    table: pd.DataFrame, slices: Sequence[Slice], config: EvaluationConfig
) -> list[Floor]:
    """Returns every slice's accuracy against min_slice_accuracy, the worst first; none if it is 0.

    Args:
      table: predictions of one split.
      slices: of that table.
      config: limit, confidence, fewest examples.
    """
    least = config.min_slice_accuracy
    if not least:
        return []
    right = (table[contract.P_POSITIVE] >= THRESHOLD).to_numpy() == (table[contract.LABEL] == 1)
    n = np.array([int(s.rows.sum()) for s in slices])
    correct = np.array([int((s.rows & right).sum()) for s in slices])
    judged = n >= config.min_slice_examples

    def below(z: Floats) -> Interval:
        found = intervals.wilson(correct[judged], n[judged], z)
        # One-sided: being better than the floor is no fault.
        return Interval(least - found.value, least - found.high, np.full(judged.sum(), np.inf))

    family = multiplicity.judge(below, np.zeros(judged.sum()), config.confidence)
    alone = intervals.wilson(correct, n, critical(config.confidence))
    p_value, exceeds = np.full(len(n), np.nan), np.zeros(len(n), np.bool_)
    p_value[judged], exceeds[judged] = family.adjusted, family.exceeds
    floors = []
    for i, each in enumerate(slices):
        value, low, high = _at(alone, i)
        status: Status = "within" if low >= least else "not_excluded"
        if not judged[i]:
            status = "too_few"
        elif exceeds[i]:
            status = "exceeds"
        elif value < least:
            status = "may_exceed"
        floors.append(
            Floor(
                each.name,
                int(correct[i]),
                int(n[i]),
                least,
                value,
                low,
                high,
                float(p_value[i]),
                status,
            )
        )
    rank = list(STATUSES)
    return sorted(floors, key=lambda f: (rank.index(f.status), f.value))
