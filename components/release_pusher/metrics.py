"""The measured figures that go into release.json.

In: TFMA's results, TFDV's statistics, the trainer's calibration. Out: parts of a
data.releases.release.Release.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import tensorflow_model_analysis as tfma
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.evaluation.slices import slice_name
from components.evaluation_report.artifacts import METRICS
from data import contract
from data.releases.release import Calibration, Metric, Metrics, SliceMetrics, Statistic

# TFMA stores a model's results under its name, or under no name when there was no baseline.
CANDIDATES: Final = ("candidate", None)
OVERALL: Final = ("auc", "precision", "recall", "fpr", "fnr")
CALIBRATION_JSON: Final = "calibration.json"


def read_report(report: Path | None) -> Metrics | None:
    """Returns the figures of evaluation-report, all with intervals; None where there is none."""
    content = _report_json(report)
    if content is None:
        return None
    return Metrics(
        overall={n: Metric.model_validate(m) for n, m in content["overall"]["metrics"].items()},
        slices=tuple(
            SliceMetrics(name=s["name"], accuracy=Metric.model_validate(s["metrics"]["accuracy"]))
            for s in content["slices"]
        ),
    )


def read_thresholds(report: Path | None) -> dict[str, float]:
    """Returns what the evaluation demanded; empty where there is no report."""
    content = _report_json(report)
    return dict(content["thresholds"]) if content else {}


def read_text(report: Path | None, *keys: str) -> str:
    """Returns a text of the evaluation report, by its place; "" where there is no report."""
    found: Any = _report_json(report)
    for key in keys:
        found = found[key] if found else ""
    return str(found or "")


def _report_json(report: Path | None) -> dict[str, Any] | None:
    if report is None or not (report / METRICS).is_file():
        return None
    content: dict[str, Any] = json.loads((report / METRICS).read_text())
    return content


def read_metrics(evaluation: Path) -> Metrics:
    """Returns overall metrics, and accuracy by slice, worst first.

    Without intervals: TFMA's results do not say whose images they are, and an interval that takes
    images for independent is too short.
    """
    for name in CANDIDATES:
        arguments = {} if name is None else {"model_name": name}
        result = tfma.load_eval_result(str(evaluation), **arguments)
        if result.slicing_metrics:
            break
    overall: dict[str, Metric] = {}
    slices = []
    for key, metrics in result.slicing_metrics:
        values = metrics[""][""]
        count = round(_number(values["example_count"]))
        if not count:
            continue
        accuracy = Metric(value=_number(values["binary_accuracy"]), n=count)
        if key:
            slices.append(SliceMetrics(name=slice_name(key), accuracy=accuracy))
            continue
        overall["accuracy"] = accuracy
        overall |= {
            metric: Metric(value=_number(values[metric]), n=count)
            for metric in OVERALL
            if "doubleValue" in values.get(metric, {})
        }
    slices.sort(key=lambda s: s.accuracy.value)
    return Metrics(overall=overall, slices=tuple(slices))


def _number(value: dict[str, Any]) -> float:
    """TFMA's JSON-like metric values: {"doubleValue": 0.9}; may be the string "NaN"."""
    return float(value["doubleValue"])


def read_calibration(model_run: Path) -> Calibration | None:
    """Returns what the trainer fitted, or None where it left nothing."""
    path = model_run / CALIBRATION_JSON
    if not path.exists():
        return None
    return Calibration.model_validate(json.loads(path.read_text())["calibration"])


def read_statistics(statistics: Path) -> dict[str, Statistic]:
    """Returns brightness and sharpness of the training images, from StatisticsGen's folder."""
    path = statistics / "Split-train" / "FeatureStats.pb"
    if not path.exists():
        return {}
    found = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
    result = {}
    for feature in found.datasets[0].features:
        name = feature.name or ".".join(feature.path.step)
        numbers = feature.num_stats
        if (
            name in (contract.BRIGHTNESS, contract.SHARPNESS)
            and numbers.common_stats.num_non_missing
        ):
            result[name] = Statistic(
                mean=numbers.mean,
                std_dev=numbers.std_dev,
                n=int(numbers.common_stats.num_non_missing),
            )
    return result
