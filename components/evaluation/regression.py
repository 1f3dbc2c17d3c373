"""Whether a model is worse than the one before it, judged by paired intervals.

In: a table of predictions with a baseline's, slices, the largest accepted drops. Out: Change
objects for accuracy and AUC, overall and of each slice. Pure functions; the node is
components/fairness_gate.py.

A point estimate held against `max_accuracy_drop` fails a model that is as good one time in six:
on 500 images, of which the two models answer 5 % differently, chance alone moves the difference by
a point. So a drop blocks when its interval lies wholly beyond the limit, and warns when only the
estimate does. The overall figures are one family of comparisons, the slices another (Holm).
benchmarks/regression.py prints false alarms and detections of both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluation import bootstrap, clusters, multiplicity
from components.evaluation.clusters import Mask, people_of
from components.evaluation.config import EvaluationConfig
from components.evaluation.gaps import STATUSES, Status, status_of
from components.evaluation.intervals import Floats, Interval, critical
from components.evaluation.metrics import THRESHOLD
from components.evaluation.slices import Slice
from components.predictions.table import BASELINE_P_POSITIVE
from data import contract


@dataclass(frozen=True)
class Change:
    """A metric of the candidate less the baseline's, on the same images.

    Attributes:
      limit: the largest accepted drop; the change may not be below -limit.
      value, low, high, joint_low, joint_high, p_value, status: as in `gaps.Gap`.
    """

    metric: Literal["accuracy", "auc"]
    slice: str
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
    rank = list(STATUSES)
    return sorted((*overall, *others), key=lambda c: (rank.index(c.status), c.value))


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
    limits = np.array([limit for _, _, limit in named], np.float64)
    judged = n >= fewest

    def chosen(z: Floats) -> Interval:
        everywhere = np.zeros(len(named))
        everywhere[judged] = z
        found = interval_at(everywhere)
        return Interval(*(bound[judged] for bound in found))

    def drop(z: Floats) -> Interval:
        found = chosen(z)
        # One-sided: being better is no fault.
        return Interval(-found.value, -found.high, np.full(int(judged.sum()), np.inf))

    family = multiplicity.judge(drop, limits[judged], config.confidence)
    joint_low, joint_high, p_value = (np.full(len(named), np.nan) for _ in range(3))
    joint_low[judged], joint_high[judged] = chosen(family.z)[1:]
    p_value[judged] = family.adjusted
    exceeds = np.zeros(len(named), np.bool_)
    exceeds[judged] = family.exceeds
    alone = interval_at(np.full(len(named), float(critical(config.confidence))))
    return [
        Change(
            metric,
            each.name,
            int(n[i]),
            limit,
            float(alone.value[i]),
            float(alone.low[i]),
            float(alone.high[i]),
            float(joint_low[i]),
            float(joint_high[i]),
            float(p_value[i]),
            status_of(
                judged=bool(judged[i]),
                exceeds=bool(exceeds[i]),
                beyond=bool(alone.value[i] < -limit),
                inside=bool(joint_low[i] >= -limit),
            ),
        )
        for i, (metric, each, limit) in enumerate(named)
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
