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

from components.evaluation import bootstrap, clusters, intervals
from components.evaluation.clusters import People, people_of
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
      accuracy: difference, paired interval (`clusters.Pairs`).
      auc: difference (`bootstrap.area_difference`); None where one label is missing.
      p_value: McNemar's test that both err equally often; see `clusters.mcnemar`.
      only_candidate, only_baseline: examples that only one of them got right.
    """

    accuracy: Measured
    auc: Measured | None
    p_value: float
    only_candidate: int
    only_baseline: int


@dataclass(frozen=True)
class SliceMetrics:
    """All of one slice. `metrics` has the keys of METRICS that are defined.

    Attributes:
      n: images.
      people: whose images they are, the unit of all intervals; None where identities are missing
        and images are the unit. See components/evaluation/clusters.py.
    """

    name: str
    key: tuple[tuple[str, int | str], ...]
    n: int
    people: int | None
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
    whose = people_of(table)
    weights = bootstrap.Replicates(whose, replicates, seed)
    p_positive = table[contract.P_POSITIVE].to_numpy(np.float64)
    label = table[contract.LABEL].to_numpy(np.int8)
    uncertain = table[contract.UNCERTAIN].to_numpy(np.bool_)
    has_baseline = BASELINE_P_POSITIVE in table and bool(table[BASELINE_P_POSITIVE].notna().all())
    baseline = table[BASELINE_P_POSITIVE].to_numpy(np.float64) if has_baseline else None
    result = []
    for each in slices:
        rows = np.flatnonzero(each.rows)
        theirs = whose.of(rows)
        old = baseline[rows] if baseline is not None else None
        metrics = {
            **_rates(p_positive[rows], label[rows], uncertain[rows], theirs, z),
            **_resampled(p_positive[rows], label[rows], weights, rows, theirs, confidence, z),
        }
        against = None
        if old is not None:
            against = _against(p_positive[rows], old, label[rows], theirs, z)
        notes = []
        if len(rows) < min_examples:
            notes.append(f"too few examples to be gated ({len(rows)} of {min_examples})")
        ordered = {name: metrics[name] for name in METRICS if name in metrics}
        people = theirs.count if theirs.unit == "people" else None
        result.append(SliceMetrics(each.name, each.key, len(rows), people, ordered, against, notes))
    return result


def _rates(
    p_positive: NDArray[np.float64],
    label: NDArray[np.int8],
    uncertain: NDArray[np.bool_],
    whose: People,
    z: float,
) -> dict[str, Measured]:
    """Metrics that follow from counts; closed-form intervals."""
    called, positive = p_positive >= THRESHOLD, label == 1
    right, every = called == positive, np.ones(len(label), np.bool_)
    events = {
        "accuracy": (right, every),
        "precision_positive": (right, called),
        "recall_positive": (called, positive),
        "precision_negative": (right, ~called),
        "recall_negative": (~called, ~positive),
        "fpr": (called, ~positive),
        "fnr": (~called, positive),
        "abstention": (uncertain, every),
        "accuracy_when_certain": (right, ~uncertain),
        "share_positive": (positive, every),
        # Jaccard indices, of which F1 follows.
        "f1_positive": (right, called | positive),
        "f1_negative": (right, ~(called & positive)),
    }
    found = clusters.rates(list(events.values()), whose)
    result = {}
    for number, (name, of) in enumerate(zip(events, found.trials.astype(int), strict=True)):
        if of:
            interval = found[number].interval(z)
            result[name] = _measured(intervals.f1(interval) if name[:2] == "f1" else interval, of)
    if "recall_positive" in result and "recall_negative" in result:
        both = clusters.differences(
            [(events["recall_positive"], events["recall_negative"])], whose
        )[0]
        mean = intervals.mean_of_two(
            both.a.interval(z), both.b.interval(z), float(both.correlation)
        )
        result["balanced_accuracy"] = _measured(mean, len(label))
    return result


def _resampled(
    p_positive: NDArray[np.float64],
    label: NDArray[np.int8],
    weights: bootstrap.Replicates,
    rows: NDArray[np.int64],
    whose: People,
    confidence: float,
    z: float,
) -> dict[str, Measured]:
    """Metrics that need the scores' order or bins; bootstrap intervals."""
    n = len(label)
    one = whose.weights[:, None].astype(np.float32)
    ranking = bootstrap.Ranking(p_positive, label)
    errors, areas = np.empty(weights.count), np.full((3, weights.count), np.nan)
    for block, w in weights.blocks(rows if n < weights.examples else None):
        errors[block] = bootstrap.calibration_error(p_positive, label, w)
        if ranking.defined:
            areas[:, block] = ranking.curves(w)
    value = float(bootstrap.calibration_error(p_positive, label, one)[0])
    few = np.inf if whose.alone else max(whose.count - 1, 1)
    error = bootstrap.percentile(value, errors, confidence, degrees=few, remove_bias=True)
    result = {
        "calibration_error": _measured(
            Interval(error.value, np.maximum(error.low, 0), np.minimum(error.high, 1)), n
        )
    }
    if not ranking.defined:
        return result
    positives, negatives = (len(np.unique(whose.codes[label == y])) for y in (1, 0))
    degrees = clusters.degrees_of(ranking.influence(whose.weights), whose)
    points = [float(point[0]) for point in ranking.curves(one)]
    for name, point, found, independent in zip(
        ("auc", "average_precision_positive", "average_precision_negative"),
        points,
        areas,
        (min(positives, negatives), positives, negatives),
        strict=True,
    ):
        interval = bootstrap.area_interval(point, found, independent, z, degrees)
        result[name] = _measured(interval, n)
    return result


def _against(
    p_positive: NDArray[np.float64],
    baseline: NDArray[np.float64],
    label: NDArray[np.int8],
    whose: People,
    z: float,
) -> Against:
    right = (p_positive >= THRESHOLD) == (label == 1)
    baseline_right = (baseline >= THRESHOLD) == (label == 1)
    every = np.ones(len(label), np.bool_)
    new, old = bootstrap.Ranking(p_positive, label), bootstrap.Ranking(baseline, label)
    auc = None
    if new.defined:
        auc = _measured(bootstrap.area_difference(new, old, whose).interval(z), len(label))
    accuracy = clusters.pairs([(right, baseline_right, every)], whose)[0].interval(z)
    return Against(
        _measured(accuracy, len(label)),
        auc,
        clusters.mcnemar(right, baseline_right, whose),
        int(np.sum(right & ~baseline_right)),
        int(np.sum(~right & baseline_right)),
    )


def _measured(interval: Interval, n: int) -> Measured:
    return Measured(float(interval.value), float(interval.low), float(interval.high), int(n))
