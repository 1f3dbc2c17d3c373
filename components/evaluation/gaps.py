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
from typing import Any, Literal

import numpy as np
import pandas as pd

from components.evaluation import clusters, judgement
from components.evaluation.clusters import Event, Mask, people_of
from components.evaluation.config import RATES, EvaluationConfig
from components.evaluation.judgement import RANK, Judgement
from components.evaluation.judgement import STATUSES as STATUSES  # where readers look for them
from components.evaluation.metrics import THRESHOLD
from components.evaluation.slices import Slice
from data import contract


@dataclass(frozen=True)
class Gap(Judgement):
    """One rate in two groups; `value` is the rate of a - the rate of b, `limit` its largest size.

    Attributes:
      kind: "complement" (`b` is what `a` leaves of the examples), or "labels" (positives and
        negatives within `a`'s slice).
      count_a, n_a: how many of how many; the same of `b`.
      rate_a, rate_b: the rates; count / n, unless the images are reweighted (clusters.py).
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

    def __str__(self) -> str:
        return (
            f"{self.rate} of {self.a}: {self.rate_a:.3f} (n={self.n_a}), of "
            f"{self.b}: {self.rate_b:.3f} (n={self.n_b}); gap "
            f"{self.value:+.3f}, {self.low:+.3f} to {self.high:+.3f}, limit {self.limit:.3f}"
        )


@dataclass(frozen=True)
class Floor(Judgement):
    """The accuracy of one slice; `limit` is the least that is accepted."""

    slice: str
    correct: int
    n: int

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
    def names(self) -> dict[str, Any]:
        """What is compared, as Gap has it."""
        return {"rate": self.rate, "kind": self.kind, "a": self.a, "b": self.b}

    @property
    def counts(self) -> dict[str, Any]:
        """How many of how many, as Gap has it."""
        (event, a), (_, b) = self.of_a, self.of_b
        return {
            "count_a": int((a & event).sum()),
            "n_a": int(a.sum()),
            "count_b": int((b & event).sum()),
            "n_b": int(b.sum()),
        }


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

    said = judgement.judge(found.interval, limits, judged, config.confidence, at_least=False)
    gaps = []
    for pair, one, rate_a, rate_b in zip(pairs, said, found.a.value, found.b.value, strict=True):
        gaps.append(
            Gap(
                **vars(one), **pair.names, **pair.counts, rate_a=float(rate_a), rate_b=float(rate_b)
            )
        )
    return sorted(gaps, key=lambda g: (RANK.index(g.status), g.limit - abs(g.value)))


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

    limits = np.full(len(slices), least)
    said = judgement.judge(found.interval, limits, judged, config.confidence, at_least=True)
    floors = [
        Floor(**vars(one), slice=each.name, correct=round(one.value * n), n=n)
        for each, one, n in zip(slices, said, found.trials.astype(int).tolist(), strict=True)
    ]
    return sorted(floors, key=lambda f: (RANK.index(f.status), f.value))
