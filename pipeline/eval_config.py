"""TFMA's configuration: what is measured, on which slices, and what a model must reach.

In: an EvaluationConfig (components/evaluation/config.py). Out: TFMA's EvalConfig, which the stock
Evaluator takes. The examples that it reads carry the predictions (model-scorer wrote them), so no
network runs here.

What TFMA is not asked to judge, and why (docs/decisions/0009): gaps, floors of single slices, and
the change against the baseline. Its thresholds hold point estimates against bounds, however few
examples there are; fairness-gate judges by intervals, and its word counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from components.evaluation.config import QUALITIES, EvaluationConfig, FairnessConfig
from data import contract

if TYPE_CHECKING:
    from tensorflow_model_analysis.proto import config_pb2

__all__ = ["BASELINE", "CANDIDATE", "EvaluationConfig", "FairnessConfig", "eval_config"]

CANDIDATE: Final = "candidate"
BASELINE: Final = "baseline"
# As components.predictions.table names them; importing it here would load pandas.
_PREDICTION_KEYS: Final = {CANDIDATE: contract.P_POSITIVE, BASELINE: "baseline_p_positive"}

COUNTS: Final = ("ExampleCount",)
AT_HALF: Final = (
    "BalancedAccuracy",
    "Precision",
    "Recall",
    "F1Score",
    "FPR",
    "FNR",
    # The same with the negative label as the positive class: its precision and its recall.
    "NPV",
    "Specificity",
)
CURVES: Final = ("AUCPrecisionRecall",)
# TFMA's 1,000 each would be half a megabyte a slice; the page of all slices has to be opened.
PLOTS: Final = {
    "ConfusionMatrixPlot": '"num_thresholds": 200',
    "CalibrationPlot": '"num_buckets": 100',
}
CALIBRATION: Final = ("Calibration", "MeanLabel", "MeanPrediction")


def eval_config(config: EvaluationConfig) -> config_pb2.EvalConfig:
    """Returns TFMA's configuration.

    Thresholds sit on the metrics and name the overall slice: MetricsSpec's own never match
    configured metrics, and a plain threshold would be checked on every slice, however small.
    """
    # TFMA 0.52 no longer exports its config types at top level.
    from tensorflow_model_analysis.proto import config_pb2

    thresholds = sorted({*config.thresholds, 0.5})
    metrics = [
        *_named(COUNTS),
        _gated("BinaryAccuracy", config.min_accuracy, '"threshold": 0.5'),
        _gated("AUC", config.min_auc),
        *_named(AT_HALF, '"thresholds": [0.5]'),
        *_named(CURVES),
        *_named(CALIBRATION),
        *_named(("ConfusionMatrixAtThresholds",), f'"thresholds": {thresholds}'),
        *(metric for name, size in PLOTS.items() for metric in _named((name,), size)),
    ]
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                # With a baseline, TFMA needs the candidate to have a name of its own.
                name=name,
                # The Evaluator passes the models on, but nobody loads them: TFMA reads p_positive.
                model_type="materialized_prediction",
                label_key=contract.LABEL,
                prediction_key=key,
                is_baseline=name == BASELINE,
            )
            for name, key in _PREDICTION_KEYS.items()
        ],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(
                config_pb2.SlicingSpec(
                    feature_keys=[f"{key}_band" if key in QUALITIES else key for key in keys]
                )
                for keys in config.slices
            ),
        ],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metrics)],
    )


def _named(names: Iterable[str], settings: str = "") -> list[config_pb2.MetricConfig]:
    from tensorflow_model_analysis.proto import config_pb2

    return [config_pb2.MetricConfig(class_name=name, config=settings) for name in names]


def _gated(name: str, at_least: float, settings: str = "") -> config_pb2.MetricConfig:
    """Returns a metric with an absolute threshold on the overall slice."""
    from tensorflow_model_analysis.proto import config_pb2

    threshold = config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": at_least})
    )
    return config_pb2.MetricConfig(
        class_name=name,
        config=settings,
        per_slice_thresholds=[
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold
            )
        ],
    )
