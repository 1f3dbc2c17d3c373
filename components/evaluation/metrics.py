"""Every metric of every slice, with its interval.

In: a table of predictions and slices. Out: SliceMetrics, which become `metrics.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluation import bootstrap, intervals
from components.evaluation.intervals import Interval, critical
from components.evaluation.slices import Slice
from components.predictions.table import BASELINE_P_POSITIVE
from data import contract

THRESHOLD: Final = 0.5

METRICS: Final[dict[str, str]] = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auc": "AUC (ROC)",
    "average_precision_positive": "Average precision, {positive}",
    "average_precision_negative": "Average precision, {negative}",
    "precision_positive": "Precision, {positive}",
    "recall_positive": "Recall, {positive}",
    "f1_positive": "F1, {positive}",
    "precision_negative": "Precision, {negative}",
    "recall_negative": "Recall, {negative}",
    "f1_negative": "F1, {negative}",
    "fpr": "False positive rate ({negative} called {positive})",
    "fnr": "False negative rate ({positive} called {negative})",
    "calibration_error": "Expected calibration error",
    "abstention": "Abstention",
    "accuracy_when_certain": "Accuracy of the answers given",
    "share_positive": "Share labelled {positive}",
}
"""Name -> how people call it, for `titles` to fill in; threshold 0.5."""


def titles(label: contract.Label) -> dict[str, str]:
    """Returns name -> how people call it."""
    negative, positive = label.names
    return {name: t.format(negative=negative, positive=positive) for name, t in METRICS.items()}


@dataclass(frozen=True)
class Measured:
    """One metric.

    Attributes:
      n: examples that it is computed from: the denominator of a rate.
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Against:
    """The candidate against the baseline, on the same examples.

    Attributes:
      accuracy: difference, paired interval (Newcombe 1998).
      auc: difference, paired bootstrap; None in slices.
      p_value: exact McNemar test that both err equally often.
      only_candidate, only_baseline: examples that only one of them got right.
    """

    accuracy: Measured
    auc: Measured | None
    p_value: float
    only_candidate: int
    only_baseline: int


@dataclass(frozen=True)
class SliceMetrics:
    """All of one slice. `metrics` has the keys of METRICS that are defined."""

    name: str
    key: tuple[tuple[str, int | str], ...]
    n: int
    metrics: dict[str, Measured]
    against_baseline: Against | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Confusion:
    """Counts at a threshold on p_positive; positive is Label.positive."""

    threshold: float
    true_pos: int
    false_pos: int
    true_neg: int
    false_neg: int


def confusions(
    p_positive: NDArray[Any], label: NDArray[Any], thresholds: Sequence[float]
) -> list[Confusion]:
    """Returns the confusion matrix at each threshold; 0.5 is always among them."""
    result = []
    for threshold in sorted({*thresholds, THRESHOLD}):
        called, positive = np.asarray(p_positive) >= threshold, np.asarray(label) == 1
        result.append(
            Confusion(
                threshold,
                int(np.sum(called & positive)),
                int(np.sum(called & ~positive)),
                int(np.sum(~called & ~positive)),
                int(np.sum(~called & positive)),
            )
        )
    return result


def measure(
    table: pd.DataFrame,
    slices: Sequence[Slice],
    *,
    confidence: float,
    replicates: int,
    seed: int,
    min_examples: int = 0,
) -> list[SliceMetrics]:
    """Returns the metrics of every slice.

    Args:
      table: predictions of one split.
      slices: of that table.
      confidence: of all intervals.
      replicates: of the bootstrap.
      seed: of the bootstrap.
      min_examples: slices with fewer get a note that they are not gated.
    """
    z = float(critical(confidence))
    weights = bootstrap.Replicates(len(table), replicates, seed)
    p_positive = table[contract.P_POSITIVE].to_numpy(np.float64)
    label = table[contract.LABEL].to_numpy(np.int8)
    uncertain = table[contract.UNCERTAIN].to_numpy(np.bool_)
    has_baseline = BASELINE_P_POSITIVE in table and bool(table[BASELINE_P_POSITIVE].notna().all())
    baseline = table[BASELINE_P_POSITIVE].to_numpy(np.float64) if has_baseline else None
    result = []
    for each in slices:
        rows = np.flatnonzero(each.rows)
        metrics = {
            **_rates(p_positive[rows], label[rows], uncertain[rows], z),
            **_resampled(p_positive[rows], label[rows], weights, rows, confidence, z),
        }
        against = None
        if baseline is not None:
            against = _against(
                p_positive[rows],
                baseline[rows],
                label[rows],
                weights if not each.key else None,
                confidence,
                z,
            )
        notes = []
        if len(rows) < min_examples:
            notes.append(f"too few examples to be gated ({len(rows)} of {min_examples})")
        ordered = {name: metrics[name] for name in METRICS if name in metrics}
        result.append(SliceMetrics(each.name, each.key, len(rows), ordered, against, notes))
    return result


def _rates(
    p_positive: NDArray[np.float64], label: NDArray[np.int8], uncertain: NDArray[np.bool_], z: float
) -> dict[str, Measured]:
    """Metrics that follow from counts; closed-form intervals."""
    [c] = confusions(p_positive, label, (THRESHOLD,))
    tp, fp, tn, fn = c.true_pos, c.false_pos, c.true_neg, c.false_neg
    n, positive, negative = len(label), tp + fn, tn + fp
    right = (p_positive >= THRESHOLD) == (label == 1)
    sure = ~uncertain
    rates = {
        "accuracy": (tp + tn, n),
        "precision_positive": (tp, tp + fp),
        "recall_positive": (tp, positive),
        "precision_negative": (tn, tn + fn),
        "recall_negative": (tn, negative),
        "fpr": (fp, negative),
        "fnr": (fn, positive),
        "abstention": (int(uncertain.sum()), n),
        "accuracy_when_certain": (int(np.sum(right & sure)), int(sure.sum())),
        "share_positive": (positive, n),
    }
    result = {
        name: _measured(intervals.wilson(x, of, z), of) for name, (x, of) in rates.items() if of
    }
    if positive and negative:
        both = intervals.mean_of_two(
            intervals.wilson(tp, positive, z), intervals.wilson(tn, negative, z)
        )
        result["balanced_accuracy"] = _measured(both, n)
    if tp + fp + fn:
        result["f1_positive"] = _measured(intervals.f1(tp, fp, fn, z), tp + fp + fn)
    if tn + fn + fp:
        result["f1_negative"] = _measured(intervals.f1(tn, fn, fp, z), tn + fn + fp)
    return result


def _resampled(
    p_positive: NDArray[np.float64],
    label: NDArray[np.int8],
    weights: bootstrap.Replicates,
    rows: NDArray[np.int64],
    confidence: float,
    z: float,
) -> dict[str, Measured]:
    """Metrics that need the scores' order or bins; bootstrap intervals."""
    n = len(label)
    one = np.ones((n, 1), np.float32)
    ranking = bootstrap.Ranking(p_positive, label)
    errors, areas = np.empty(weights.count), np.full((3, weights.count), np.nan)
    for block, w in weights.blocks(rows if n < weights.examples else None):
        errors[block] = bootstrap.calibration_error(p_positive, label, w)
        if ranking.defined:
            areas[:, block] = ranking.curves(w)
    value = float(bootstrap.calibration_error(p_positive, label, one)[0])
    error = bootstrap.percentile(value, errors, confidence, remove_bias=True)
    result = {
        "calibration_error": _measured(
            Interval(error.value, np.maximum(error.low, 0), np.minimum(error.high, 1)), n
        )
    }
    if ranking.defined:
        males, females = len(ranking.ones), len(ranking.zeros)
        for name, point, found, independent in zip(
            ("auc", "average_precision_positive", "average_precision_negative"),
            ranking.curves(one),
            areas,
            (min(males, females), males, females),
            strict=True,
        ):
            interval = bootstrap.area_interval(float(point[0]), found, independent, z)
            result[name] = _measured(interval, n)
    return result


def _against(
    p_positive: NDArray[np.float64],
    baseline: NDArray[np.float64],
    label: NDArray[np.int8],
    weights: bootstrap.Replicates | None,
    confidence: float,
    z: float,
) -> Against:
    right = (p_positive >= THRESHOLD) == (label == 1)
    baseline_right = (baseline >= THRESHOLD) == (label == 1)
    only_candidate = int(np.sum(right & ~baseline_right))
    only_baseline = int(np.sum(~right & baseline_right))
    both = int(np.sum(right & baseline_right))
    n = len(label)
    accuracy = intervals.paired_difference(
        both, only_candidate, only_baseline, n - both - only_candidate - only_baseline, z
    )
    auc = None
    new, old = bootstrap.Ranking(p_positive, label), bootstrap.Ranking(baseline, label)
    if weights is not None and new.defined:
        one = np.ones((n, 1), np.float32)
        value = float(new.auc(one)[0] - old.auc(one)[0])
        found = np.empty(weights.count)
        for block, w in weights.blocks():
            found[block] = new.auc(w) - old.auc(w)
        auc = _measured(bootstrap.percentile(value, found, confidence), n)
    return Against(
        _measured(accuracy, n),
        auc,
        intervals.mcnemar(only_candidate, only_baseline),
        only_candidate,
        only_baseline,
    )


def _measured(interval: Interval, n: int) -> Measured:
    return Measured(float(interval.value), float(interval.low), float(interval.high), int(n))
