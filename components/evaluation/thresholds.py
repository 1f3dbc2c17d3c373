"""Whether overall accuracy and AUC reach their thresholds with confidence, where a setting asks it.

In: a table of predictions, thresholds. Out: Threshold objects. Pure; the node is
components/fairness_gate.py. TFX's Evaluator holds the same thresholds against estimates, always;
with `thresholds_hold_for="lower_bound"` the lower ends of the intervals must reach them, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from components.evaluation import bootstrap, clusters
from components.evaluation.clusters import people_of
from components.evaluation.config import EvaluationConfig
from components.evaluation.intervals import Interval, critical
from components.evaluation.judgement import Status
from components.evaluation.metrics import THRESHOLD
from data import contract


@dataclass(frozen=True)
class Threshold:
    """An overall figure against the least that is accepted.

    Attributes:
      least: what the interval's lower end must reach.
      status: "exceeds" (it falls short: blocks) or "within".
    """

    metric: Literal["accuracy", "auc"]
    n: int
    least: float
    value: float
    low: float
    high: float
    status: Status

    def __str__(self) -> str:
        return (
            f"{self.metric} (n={self.n}): {self.value:.3f}, {self.low:.3f} to {self.high:.3f}; "
            f"the lower end must be {self.least:.3f} or more"
        )


def find_thresholds(table: pd.DataFrame, config: EvaluationConfig) -> list[Threshold]:
    """Returns accuracy's and AUC's; none where estimates count, no AUC where a label is missing."""
    if config.thresholds_hold_for == "estimate":
        return []
    label = table[contract.LABEL].to_numpy(np.int8)
    p_positive = table[contract.P_POSITIVE].to_numpy(np.float64)
    whose = people_of(table)
    z = float(critical(config.confidence))
    accuracy = clusters.rate((p_positive >= THRESHOLD) == (label == 1), whose, z=z)
    found = [_judged("accuracy", accuracy, config.min_accuracy, len(table))]
    ranking = bootstrap.Ranking(p_positive, label)
    if ranking.defined:
        options = (config.bootstrap_replicates, config.seed, z)
        auc = bootstrap.resampled_auc(ranking, label, whose, *options)
        found.append(_judged("auc", auc, config.min_auc, len(table)))
    return found


def _judged(
    metric: Literal["accuracy", "auc"], interval: Interval, least: float, n: int
) -> Threshold:
    value, low, high = (float(bound) for bound in interval)
    return Threshold(metric, n, least, value, low, high, "within" if low >= least else "exceeds")
