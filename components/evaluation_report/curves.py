"""The charts of a report, made of the predictions.

In: a table of predictions, the calibration's temperature, the training history. Out: SVG.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from components.evaluation import clusters
from components.evaluation.bootstrap import CALIBRATION_BINS
from components.evaluation.clusters import people_of
from components.evaluation.metrics import THRESHOLD
from components.evaluation_report.calibrated import before_calibration
from components.evaluation_report.charts import Band, Bars, Points, Series, chart
from components.predictions.table import BASELINE_P_POSITIVE
from data import contract

_MAX_POINTS = 200
"""A line of more points looks the same and makes the page larger."""


def roc(table: pd.DataFrame, label: contract.Label) -> str:
    """Returns the ROC curve, and the baseline's beside it."""
    negative, positive = label.names
    lines = [Series("", [(0, 0), (1, 1)], "quiet")]
    for name, column, style in _models(table):
        false, true, _ = roc_curve(table[contract.LABEL], table[column])
        lines.append(Series(name, _thin(false, true), style))
    return chart(
        "ROC curve",
        "True positive rate against false positive rate over all thresholds; the diagonal is a "
        "coin toss.",
        x_label=f"false positive rate ({negative} called {positive})",
        y_label="true positive rate",
        x_range=(0, 1),
        y_range=(0, 1),
        lines=lines,
    )


def precision_recall(table: pd.DataFrame, label: contract.Label) -> str:
    """Returns the precision-recall curve with either label as the positive class."""
    truth = table[contract.LABEL].to_numpy()
    p_positive = table[contract.P_POSITIVE].to_numpy(np.float64)
    lines = []
    for name, of_it, score, style in (
        (f"{label.names[1]} as positive", truth, p_positive, "a"),
        (f"{label.names[0]} as positive", 1 - truth, 1 - p_positive, "c"),
    ):
        precision, recall, _ = precision_recall_curve(of_it, score)
        lines.append(Series(name, _thin(recall, precision), style))
    return chart(
        "Precision-recall curves",
        "Precision against recall over all thresholds, for either label as the positive class.",
        x_label="recall",
        y_label="precision",
        x_range=(0, 1),
        y_range=(0, 1),
        lines=lines,
    )


def calibration(table: pd.DataFrame, temperature: float | None) -> str:
    """Returns the reliability diagram, with the interval of each bin; people are the unit.

    The bins are those of the calibration error: of the confidence in the label that was called.

    Args:
      table: predictions.
      temperature: the calibration's; the scores before it are computed back: sigmoid(logit * T).
    """
    positive = table[contract.LABEL].to_numpy() == 1
    p_positive = table[contract.P_POSITIVE].to_numpy(np.float64)
    whose = people_of(table)
    after, band = _reliability(p_positive, positive, whose)
    lines = [Series("", [(0.5, 0.5), (1, 1)], "quiet")]
    if temperature is not None and temperature != 1:
        before, _ = _reliability(before_calibration(p_positive, temperature), positive, whose)
        lines.append(Series("before calibration", before, "b", dots=True))
    lines.append(Series("as served", after, "a", dots=True))
    return chart(
        "Calibration",
        "Share of right labels against the mean confidence in them, in the bins of the expected "
        "calibration error; a calibrated model follows the diagonal. The band is the 95 % "
        "interval.",
        x_label="confidence in the label called",
        y_label="share of right labels",
        x_range=(0.5, 1),
        y_range=(0, 1),
        lines=lines,
        bands=[band],
    )


def _reliability(
    p_positive: NDArray[np.float64], positive: NDArray[np.bool_], whose: clusters.People
) -> tuple[Points, Band]:
    confidence = np.maximum(p_positive, 1 - p_positive)
    right = (p_positive >= THRESHOLD) == positive
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    count = np.bincount(bins, minlength=CALIBRATION_BINS)
    full = np.flatnonzero(count)
    mean = np.bincount(bins, confidence, CALIBRATION_BINS)[full] / count[full]
    share = clusters.rates([(right, bins == each) for each in full], whose).interval()
    band = Band(_pairs(mean, share.low), _pairs(mean, share.high))
    return _pairs(mean, share.value), band


def scores(table: pd.DataFrame, uncertain_below: float | None, label: contract.Label) -> str:
    """Returns histograms of p_positive for either label; dashed lines bound the uncertain band."""
    edges = np.linspace(0, 1, 41)
    p_positive, truth = table[contract.P_POSITIVE].to_numpy(), table[contract.LABEL].to_numpy()
    negative, positive = label.names
    heights = [np.histogram(p_positive[truth == value], edges)[0] for value in (0, 1)]
    top = float(max(1, *(h.max() for h in heights)))
    lines = []
    for side in (-1, 1):
        if uncertain_below:
            at = 0.5 + side * uncertain_below
            lines.append(Series("", [(at, 0), (at, top)], "quiet"))
    return chart(
        "Scores",
        f"How often each p_positive was given to faces labelled {negative} and {positive}.",
        x_label="predicted p_positive",
        y_label="test images",
        x_range=(0, 1),
        y_range=(0, top * 1.05),
        bars=[
            Bars(f"labelled {negative}", edges.tolist(), heights[0].tolist(), "c"),
            Bars(f"labelled {positive}", edges.tolist(), heights[1].tolist(), "a"),
        ],
        lines=lines,
    )


def training(history: pd.DataFrame, metric: str) -> str:
    """Returns a metric of train and val over all epochs.

    Args:
      history: columns phase, epoch, and the metric with and without "val_".
      metric: "loss" or "accuracy".
    """
    steps = np.arange(1, len(history) + 1)
    series = [(f"val_{metric}", "val", "a"), (metric, "train", "b")]
    lines = [
        Series(name, _pairs(steps, history[column].to_numpy()), style, dots=len(history) < 30)
        for column, name, style in series
        if column in history
    ]
    values = np.array([y for line in lines for _, y in line.points])
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    margin = (high - low) * 0.08 or 0.05
    starts = np.flatnonzero(history["phase"] != history["phase"].shift()) + 1
    for start in starts[1:]:
        lines.append(
            Series("", [(start - 0.5, low - margin), (start - 0.5, high + margin)], "quiet")
        )
    return chart(
        f"{metric.capitalize()} while training",
        f"{metric} of train and val after each epoch"
        + (f"; phases: {', '.join(history['phase'].unique())}." if len(starts) > 1 else "."),
        x_label="epoch",
        y_label=metric,
        x_range=(1, max(2, len(history))),
        y_range=(max(0.0, low - margin), high + margin),
        lines=lines,
    )


def history(runs: Sequence[dict[str, Any]], metric: str) -> str:
    """Returns a metric of all runs over time with its interval.

    Args:
      runs: oldest first; each with `metrics`, as metrics.json has them, and `blessed`.
      metric: a key of those.
    """
    points: list[tuple[float, float]] = []
    low, high, good, bad = list(points), list(points), list(points), list(points)
    for number, run in enumerate(runs, 1):
        found = run["metrics"].get(metric)
        if found is None:
            continue
        points.append((number, found["value"]))
        low.append((number, found["low"]))
        high.append((number, found["high"]))
        (good if run["blessed"] else bad).append((number, found["value"]))
    bottom = min([v for _, v in low], default=0.0)
    return chart(
        f"{metric} of all runs",
        "One dot a run, oldest first, with the 95 % interval.",
        x_label="run",
        y_label=metric.replace("_", " "),
        x_range=(0.5, len(runs) + 0.5),
        y_range=(max(0.0, bottom - 0.02), min(1.0, max([v for _, v in high], default=1.0) + 0.01)),
        lines=[
            Series("", points, "quiet"),
            Series("blessed", good, "a", dots=True, line=False),
            Series("not blessed", bad, "d", dots=True, line=False),
        ],
        bands=[Band(low, high)] if len(points) > 1 else [],
        x_ticks=[(n, str(n)) for n in range(1, len(runs) + 1)] if len(runs) <= 12 else (),
    )


def _models(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Returns (name, column, style) of the models that scored; the candidate last, on top."""
    models = [("this model", contract.P_POSITIVE, "a")]
    if BASELINE_P_POSITIVE in table and table[BASELINE_P_POSITIVE].notna().all():
        models.insert(0, ("baseline", BASELINE_P_POSITIVE, "b"))
    return models


def _pairs(x: Any, y: Any) -> list[tuple[float, float]]:
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def _thin(x: NDArray[Any], y: NDArray[Any]) -> list[tuple[float, float]]:
    """Returns at most _MAX_POINTS points, the first and last among them."""
    if len(x) > _MAX_POINTS:
        chosen = np.unique(np.linspace(0, len(x) - 1, _MAX_POINTS).astype(int))
        x, y = x[chosen], y[chosen]
    return _pairs(x, y)
