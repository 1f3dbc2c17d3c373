"""Whether a model is worse than the one before it, judged by paired intervals.

In: a table of predictions with a baseline's, slices, the largest accepted drops. Out: Change
objects for accuracy and AUC, overall and of each slice. Pure functions; the node is
components/fairness_gate.py.

A point estimate held against `max_accuracy_drop` fails a model that is as good one time in six:
on 500 images, of which the two models answer 5 % differently, chance alone moves the difference by
a point. So a drop blocks when its interval lies wholly beyond the limit, and warns when only the
estimate does. The overall figures are one family of comparisons, the slices another (Holm).
docs/decisions/0009 has false alarms and detections of both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluation import bootstrap, clusters, judgement
from components.evaluation.clusters import Mask, people_of
from components.evaluation.config import EvaluationConfig
from components.evaluation.intervals import Floats, Interval
from components.evaluation.judgement import RANK, Judgement
from components.evaluation.metrics import THRESHOLD
from components.evaluation.slices import Slice
from components.predictions.table import BASELINE_P_POSITIVE
from data import contract


@dataclass(frozen=True)
class Change(Judgement):
    """A metric of the candidate less the baseline's, on the same images.

    `limit` is the largest accepted drop: `value` may not be below -limit.
    """

    metric: Literal["accuracy", "auc"]
    slice: str
    n: int

    def __str__(self) -> str:
        return (
            f"{self.metric} of {self.slice} against the baseline (n={self.n}): {self.value:+.3f}, "
            f"{self.low:+.3f} to {self.high:+.3f}, accepted {-self.limit:+.3f}"
        )


def find_changes(
    table: pd.DataFrame, slices: Sequence[Slice], config: EvaluationConfig
) -> list[Change]:
    """Returns every change, the worst first; none without a baseline.

    Args:
      table: predictions of one split.
      slices: of that table, overall first.
      config: limits, confidence, fewest examples.
    """
    if BASELINE_P_POSITIVE not in table or table[BASELINE_P_POSITIVE].isna().any():
        return []
    overall = _family(table, [s for s in slices if not s.key], config, fewest=1)
    others = _family(table, [s for s in slices if s.key], config, fewest=config.min_slice_examples)
    return sorted((*overall, *others), key=lambda c: (RANK.index(c.status), c.value))


def _family(
    table: pd.DataFrame, slices: Sequence[Slice], config: EvaluationConfig, fewest: int
) -> list[Change]:
    """Returns accuracy's and AUC's changes of these slices, judged together."""
    whose = people_of(table)
    label = table[contract.LABEL].to_numpy(np.int8)
    new = table[contract.P_POSITIVE].to_numpy(np.float64)
    old = table[BASELINE_P_POSITIVE].to_numpy(np.float64)
    right, was_right = ((p >= THRESHOLD) == (label == 1) for p in (new, old))
    accuracy = clusters.pairs([(right, was_right, s.rows) for s in slices], whose)
    areas, with_auc = [], []
    for each in slices:
        found = _area(new, old, label, each.rows, whose)
        if found is not None:
            areas.append(found)
            with_auc.append(each)
    value, error, degrees = np.array(areas, np.float64).reshape(-1, 3).T

    def interval_at(z: Floats) -> Interval:
        first = accuracy.interval(z[: len(slices)])
        half = clusters.student(z[len(slices) :], degrees) * error
        second = Interval(value, np.maximum(value - half, -1), np.minimum(value + half, 1))
        return Interval(*(np.concatenate(parts) for parts in zip(first, second, strict=True)))

    named: list[tuple[Literal["accuracy", "auc"], Slice, float]] = [
        *(("accuracy", each, config.max_accuracy_drop) for each in slices),
        *(("auc", each, config.max_auc_drop) for each in with_auc),
    ]
    n = np.array([int(each.rows.sum()) for _, each, _ in named])
    least = np.array([-drop for _, _, drop in named], np.float64)
    said = judgement.judge(interval_at, least, n >= fewest, config.confidence, at_least=True)
    return [
        Change(**{**vars(one), "limit": drop}, metric=metric, slice=each.name, n=int(n[i]))
        for i, (one, (metric, each, drop)) in enumerate(zip(said, named, strict=True))
    ]


def _area(
    new: Floats, old: Floats, label: NDArray[np.int8], rows: Mask, whose: clusters.People
) -> bootstrap.AreaDifference | None:
    """Returns the difference of the AUCs of some examples; None where they lack a label."""
    after = bootstrap.Ranking(new[rows], label[rows])
    if not after.defined:
        return None
    before = bootstrap.Ranking(old[rows], label[rows])
    return bootstrap.area_difference(after, before, whose.of(rows))
