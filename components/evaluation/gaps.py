"""Gaps between groups, and floors of single slices, judged by their intervals.

In: a table of predictions, slices, limits. Out: Gap and Floor objects with counts, interval, limit
and status. Pure functions; components/fairness_gate.py is the node. People are the unit of all
intervals (clusters.py), and a status says what the joint interval beside it shows.

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

from components.evaluation import clusters, multiplicity
from components.evaluation.clusters import Event, Mask, people_of
from components.evaluation.config import RATES, EvaluationConfig
from components.evaluation.intervals import Floats, Interval, critical
from components.evaluation.metrics import THRESHOLD
from components.evaluation.slices import Slice
from data import contract

Status = Literal["exceeds", "may_exceed", "not_excluded", "within", "too_few"]
STATUSES: Final[dict[Status, str]] = {
    "exceeds": "the joint interval lies beyond the limit: blocks",
    "may_exceed": "the estimate is beyond the limit, but chance can explain it: a warning",
    "not_excluded": "the estimate is within the limit, the joint interval crosses it",
    "within": "the joint interval lies within the limit",
    "too_few": "too few examples: listed, not judged",
}


@dataclass(frozen=True)
class Gap:
    """One rate in two groups.

    Attributes:
      kind: "complement" (`b` is what `a` leaves of the examples), or "labels" (positives and
        negatives within `a`'s slice).
      count_a, n_a: how many of how many; the same of `b`.
      rate_a, rate_b: the rates; count / n, unless the images are reweighted (clusters.py).
      value: rate of a - rate of b.
      low, high: of the 95 % (confidence) interval of this gap alone; people are the unit.
      joint_low, joint_high: of the interval at the level at which Holm's procedure judged it, which
        `status` follows; NaN when it was not judged.
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
    rate_a: float
    rate_b: float
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
            f"{self.rate} of {self.a}: {self.rate_a:.3f} (n={self.n_a}), of "
            f"{self.b}: {self.rate_b:.3f} (n={self.n_b}); gap "
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
    joint_low: float
    joint_high: float
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
    of_a: Event
    of_b: Event

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Count and n of a, count and n of b."""
        (event, a), (_, b) = self.of_a, self.of_b
        return (int((a & event).sum()), int(a.sum()), int((b & event).sum()), int(b.sum()))


def find_gaps(
    table: pd.DataFrame,
    slices: Sequence[Slice],
    config: EvaluationConfig,
    named: contract.Label | None = None,
) -> list[Gap]:
    """Returns every gap, the worst first; those of too few examples last, the largest first.

    Args:
      table: predictions of one split.
      slices: of that table.
      config: limits, confidence, fewest examples.
      named: what the labels are called.
    """
    pairs = _pairs(table, slices, (named or contract.Label()).names)
    found = clusters.differences([(p.of_a, p.of_b) for p in pairs], people_of(table))
    limits = np.array([config.fairness.limit(p.rate) for p in pairs], np.float64)
    judged = np.minimum(found.a.trials, found.b.trials) >= config.min_slice_examples

    alone = found.interval(critical(config.confidence))
    family = multiplicity.judge(found[judged].interval, limits[judged], config.confidence)
    joint_low, joint_high, p_value = (np.full(len(pairs), np.nan) for _ in range(3))
    joint_low[judged], joint_high[judged] = family.interval.low, family.interval.high
    p_value[judged] = family.adjusted
    exceeds = np.zeros(len(pairs), np.bool_)
    exceeds[judged] = family.exceeds
    gaps = []
    for i, pair in enumerate(pairs):
        limit, value = float(limits[i]), float(alone.value[i])
        joint = (float(joint_low[i]), float(joint_high[i]))
        gaps.append(
            Gap(
                pair.rate,
                pair.kind,
                pair.a,
                pair.b,
                *pair.counts,
                rate_a=float(found.a.value[i]),
                rate_b=float(found.b.value[i]),
                limit=limit,
                value=value,
                low=float(alone.low[i]),
                high=float(alone.high[i]),
                joint_low=joint[0],
                joint_high=joint[1],
                p_value=float(p_value[i]),
                status=status_of(
                    judged=bool(judged[i]),
                    exceeds=bool(exceeds[i]),
                    beyond=abs(value) > limit,
                    inside=max(joint[1], -joint[0]) <= limit,
                ),
            )
        )
    rank = list(STATUSES)
    return sorted(gaps, key=lambda g: (rank.index(g.status), g.limit - abs(g.value)))


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


def _pairs(table: pd.DataFrame, slices: Sequence[Slice], names: tuple[str, str]) -> list[_Pair]:
    """Returns every comparison once: Young=1 with the others is Young=0 with the others."""
    label = table[contract.LABEL].to_numpy() == 1
    called = table[contract.P_POSITIVE].to_numpy() >= THRESHOLD
    uncertain = table[contract.UNCERTAIN].to_numpy(np.bool_)
    # rate -> (which of them are the event, which examples count)
    rates: dict[str, Event] = {
        "accuracy": (called == label, np.ones_like(label)),
        "fpr": (called, ~label),
        "fnr": (~called, label),
        "abstention": (uncertain, np.ones_like(label)),
        "answered_error": (called != label, ~uncertain),
    }
    pairs: list[_Pair] = []
    seen: set[tuple[str, frozenset[bytes]]] = set()

    def add(
        rate: str, kind: Literal["complement", "labels"], a: Mask, b: Mask, a_name: str, b_name: str
    ) -> None:
        event, domain = rates[rate]
        a, b = a & domain, b & domain
        key = (rate, frozenset((a.tobytes(), b.tobytes())))
        if not a.any() or not b.any() or key in seen:
            return
        seen.add(key)
        pairs.append(_Pair(rate, kind, a_name, b_name, (event, a), (event, b)))

    # The plainest first, the highest value first: a gap is told of those who have the attribute.
    ordered = sorted(slices, key=lambda s: [str(v) for _, v in s.key], reverse=True)
    for each in sorted(ordered, key=lambda s: len(s.key)):
        if each.key:
            for rate in RATES:
                add(rate, "complement", each.rows, ~each.rows, each.name, "all others")
        for rate in ("accuracy", "abstention", "answered_error"):
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
    found = clusters.rates([(right, s.rows) for s in slices], people_of(table))
    judged = found.trials >= config.min_slice_examples

    def below(z: Floats) -> Interval:
        at = found[judged].interval(z)
        # One-sided: being better than the floor is no fault.
        return Interval(least - at.value, least - at.high, np.full(judged.sum(), np.inf))

    family = multiplicity.judge(below, np.zeros(judged.sum()), config.confidence)
    joint = found[judged].interval(family.z)
    alone = found.interval(critical(config.confidence))
    joint_low, joint_high, p_value = (np.full(len(slices), np.nan) for _ in range(3))
    joint_low[judged], joint_high[judged] = joint.low, joint.high
    exceeds = np.zeros(len(slices), np.bool_)
    p_value[judged], exceeds[judged] = family.adjusted, family.exceeds
    floors = [
        Floor(
            each.name,
            round(float(alone.value[i] * found.trials[i])),
            int(found.trials[i]),
            least,
            float(alone.value[i]),
            float(alone.low[i]),
            float(alone.high[i]),
            float(joint_low[i]),
            float(joint_high[i]),
            float(p_value[i]),
            status_of(
                judged=bool(judged[i]),
                exceeds=bool(exceeds[i]),
                beyond=bool(alone.value[i] < least),
                inside=bool(joint_low[i] >= least),
            ),
        )
        for i, each in enumerate(slices)
    ]
    rank = list(STATUSES)
    return sorted(floors, key=lambda f: (rank.index(f.status), f.value))
