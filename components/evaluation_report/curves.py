"""The charts of a report, made of the predictions.

In: a table of predictions, the calibration's temperature, the training history. Out: SVG.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from components import charts
from components.charts import PALETTE, QUIET
from components.evaluation import clusters
from components.evaluation.bootstrap import CALIBRATION_BINS
from components.evaluation.clusters import people_of
from components.evaluation.metrics import THRESHOLD
from components.evaluation_report.calibrated import before_calibration
from components.predictions.table import BASELINE_P_POSITIVE
from data import contract

_MAX_POINTS = 200
"""A line of more points looks the same and makes the page larger."""
_UNIT = (-0.01, 1.01)
"""Limits of an axis of rates: a line at 0 or 1 is seen in its whole width."""


def roc(table: pd.DataFrame, label: contract.Label) -> str:
    """Returns the ROC curve, and the baseline's beside it."""
    negative, positive = label.names
    axes = charts.axes(
        xlabel=f"false positive rate ({negative} called {positive})",
        ylabel="true positive rate",
        xlim=_UNIT,
        ylim=_UNIT,
    )
    axes.plot([0, 1], [0, 1], **QUIET)
    for name, column, colour in _models(table):
        false, true, _ = roc_curve(table[contract.LABEL], table[column])
        axes.plot(*_thin(false, true), color=PALETTE[colour], label=name)
    return charts.svg(
        axes,
        "ROC curve",
        "True positive rate against false positive rate over all thresholds; the diagonal is a "
        "coin toss.",
    )


def precision_recall(table: pd.DataFrame, label: contract.Label) -> str:
    """Returns the precision-recall curve with either label as the positive class."""
    truth = table[contract.LABEL].to_numpy()
    p_positive = table[contract.P_POSITIVE].to_numpy(np.float64)
    axes = charts.axes(xlabel="recall", ylabel="precision", xlim=_UNIT, ylim=_UNIT)
    for name, of_it, score, colour in (
        (label.names[1], truth, p_positive, "a"),
        (label.names[0], 1 - truth, 1 - p_positive, "c"),
    ):
        precision, recall, _ = precision_recall_curve(of_it, score)
        axes.plot(*_thin(recall, precision), color=PALETTE[colour], label=f"{name} as positive")
    return charts.svg(
        axes,
        "Precision-recall curves",
        "Precision against recall over all thresholds, for either label as the positive class.",
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
    axes = charts.axes(
        xlabel="confidence in the label called",
        ylabel="share of right labels",
        xlim=(0.495, 1.005),
        ylim=_UNIT,
    )
    axes.plot([0.5, 1], [0.5, 1], **QUIET)
    if temperature is not None and temperature != 1:
        before = before_calibration(p_positive, temperature)
        mean, share, _ = _reliability(before, positive, whose)
        axes.plot(mean, share, "o-", ms=4, color=PALETTE["b"], label="before calibration")
    mean, share, bounds = _reliability(p_positive, positive, whose)
    axes.fill_between(mean, *bounds, color=PALETTE["a"], alpha=0.14, linewidth=0)
    axes.plot(mean, share, "o-", ms=4, color=PALETTE["a"], label="as served")
    return charts.svg(
        axes,
        "Calibration",
        "Share of right labels against the mean confidence in them, in the bins of the expected "
        "calibration error; a calibrated model follows the diagonal. The band is the 95 % "
        "interval.",
    )


def _reliability(
    p_positive: NDArray[np.float64], positive: NDArray[np.bool_], whose: clusters.People
) -> tuple[Any, Any, tuple[Any, Any]]:
    """Returns mean confidence, share of right labels and its bounds, of each bin that has any."""
    confidence = np.maximum(p_positive, 1 - p_positive)
    right = (p_positive >= THRESHOLD) == positive
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    count = np.bincount(bins, minlength=CALIBRATION_BINS)
    full = np.flatnonzero(count)
    mean = np.bincount(bins, confidence, CALIBRATION_BINS)[full] / count[full]
    share = clusters.rates([(right, bins == each) for each in full], whose).interval()
    return mean, share.value, (share.low, share.high)


def scores(table: pd.DataFrame, uncertain_below: float | None, label: contract.Label) -> str:
    """Returns histograms of p_positive for either label; dashed lines bound the uncertain band."""
    edges = np.linspace(0, 1, 41)
    p_positive, truth = table[contract.P_POSITIVE].to_numpy(), table[contract.LABEL].to_numpy()
    negative, positive = label.names
    axes = charts.axes(xlabel="predicted p_positive", ylabel="test images", xlim=_UNIT)
    for value, colour in ((0, "c"), (1, "a")):
        axes.stairs(
            *np.histogram(p_positive[truth == value], edges),
            fill=True,
            alpha=0.7,
            color=PALETTE[colour],
            label=f"labelled {label.names[value]}",
        )
    for side in (-1, 1):
        if uncertain_below:
            axes.axvline(0.5 + side * uncertain_below, **QUIET)
    return charts.svg(
        axes,
        "Scores",
        f"How often each p_positive was given to faces labelled {negative} and {positive}.",
    )


def training(history: pd.DataFrame, metric: str) -> str:
    """Returns a metric of train and val over all epochs.

    Args:
      history: columns phase, epoch, and the metric with and without "val_".
      metric: "loss" or "accuracy".
    """
    axes = charts.axes()
    phases = history["phase"].tolist()
    named = {"train": metric, "val": f"val_{metric}"}
    series = {name: history[column] for name, column in named.items() if column in history}
    charts.training(axes, metric, phases, **series)
    return charts.svg(
        axes,
        f"{metric.capitalize()} while training",
        f"{metric} of train and val after each epoch"
        + (f"; phases: {', '.join(dict.fromkeys(phases))}." if len(set(phases)) > 1 else "."),
    )


def history(runs: Sequence[dict[str, Any]], metric: str) -> str:
    """Returns a metric of all runs over time with its interval.

    Args:
      runs: oldest first; each with `metrics`, as metrics.json has them, and `blessed`.
      metric: a key of those.
    """
    measured = [
        (number, run["blessed"], run["metrics"][metric])
        for number, run in enumerate(runs, 1)
        if run["metrics"].get(metric) is not None
    ]
    axes = charts.axes(xlabel="run", ylabel=metric.replace("_", " "), xlim=(0.5, len(runs) + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    numbers = [number for number, _, _ in measured]
    low, value, high = ([m[key] for _, _, m in measured] for key in ("low", "value", "high"))
    axes.fill_between(numbers, low, high, color=PALETTE["a"], alpha=0.14, linewidth=0)
    axes.plot(numbers, value, **QUIET)
    for blessed, name, colour in ((True, "blessed", "a"), (False, "not blessed", "d")):
        points = [(n, m["value"]) for n, b, m in measured if b == blessed]
        axes.plot(*np.reshape(points, (-1, 2)).T, "o", ms=4, color=PALETTE[colour], label=name)
    return charts.svg(
        axes,
        f"{metric} of all runs",
        "One dot a run, oldest first, with the 95 % interval.",
    )


def _models(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Returns (name, column, colour) of the models that scored; the candidate last, on top."""
    models = [("this model", contract.P_POSITIVE, "a")]
    if BASELINE_P_POSITIVE in table and table[BASELINE_P_POSITIVE].notna().all():
        models.insert(0, ("baseline", BASELINE_P_POSITIVE, "b"))
    return models


def _thin(*points: NDArray[Any]) -> list[NDArray[Any]]:
    """Returns at most _MAX_POINTS points, the first and last among them."""
    chosen = np.unique(np.linspace(0, len(points[0]) - 1, _MAX_POINTS).astype(int))
    return [each[chosen] for each in points]
