"""Everything a report says, gathered from artifacts.

In: Sources, the folders that earlier nodes wrote. Out: Content, which the templates render, and the
text of `metrics.json`. What a source does not have, the report leaves out, and says so.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.evaluation.clusters import people_of, rate
from components.evaluation.config import EvaluationConfig
from components.evaluation.intervals import critical
from components.evaluation.metrics import (
    Confusion,
    Measured,
    SliceMetrics,
    confusions,
    measure,
)
from components.evaluation.slices import Slice, find_slices
from components.evaluation.state import State, state
from components.evaluation_report.slider import slider
from components.example_gen.artifacts import MANIFEST_JSON, read_label
from components.predictions import table
from components.predictions.table import (
    BASELINE_P_POSITIVE,
    BASELINE_UNCERTAIN,
    DETECTOR_P_POSITIVE,
    DETECTOR_UNCERTAIN,
)
from data import contract

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True)
class Sources:
    """Folders that earlier nodes wrote; None where there is none.

    Attributes:
      predictions: model-scorer's, or one with the same files.
      test_files: patterns of the record files that hold the images of the gallery.
      photos: folder with the images, where there are no record files.
      label: what is learnt; None reads it from the manifest.
      title: what was evaluated, e.g. the pipeline's name.
      run: id of the run, or what stands for it.
      config: the run's configuration, as it is to be shown.
      lineage: rows of (node, artifact, where).
      history: earlier runs and this one, oldest first; see pipeline/history/runs.py.
      decisions: reviewers' decisions about the model.
      evaluation: what TFX's Evaluator wrote, for TFMA's own views.
      evaluations: (run, the same) of earlier runs and this one, oldest first.
      other: content of another run's metrics.json to compare with, and its name.
    """

    predictions: Path
    verdict: Path | None = None
    evaluator_failures: tuple[str, ...] = ()
    blessed: bool | None = None
    manifest: Path | None = None
    validation: Path | None = None
    model_run: Path | None = None
    statistics: Path | None = None
    parity: Path | None = None
    test_files: tuple[str, ...] = ()
    photos: Path | None = None
    split: str = "test"
    label: contract.Label | None = None
    title: str = "genq"
    run: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    reproduce: tuple[str, ...] = ()
    lineage: tuple[tuple[str, str, str], ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    decisions: tuple[dict[str, Any], ...] = ()
    other: Mapping[str, Any] | None = None
    other_name: str = ""
    evaluation: Path | None = None
    evaluations: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True)
class Served:
    """The same images as the application sees them: cut out by its face detector.

    Attributes:
      found: share of the images in which the detector finds a face.
      aligned: metrics of the images as they are, where a face is found; overall first.
      detected: of the same images' detector crops, in the same order; `against_baseline` is the
        paired difference to `aligned`.
    """

    found: Measured
    aligned: tuple[SliceMetrics, ...]
    detected: tuple[SliceMetrics, ...]


@dataclass(frozen=True)
class Content:
    """What the templates render; metrics_json is what programs get.

    Attributes:
      natural: of the split test_natural, reweighted where only some of it was drawn; overall first,
        empty where it was not drawn.
      served: the split as the application sees it; None where that was not asked for.
    """

    sources: Sources
    config: EvaluationConfig
    label: contract.Label
    rows: pd.DataFrame
    overall: SliceMetrics
    slices: tuple[SliceMetrics, ...]
    natural: tuple[SliceMetrics, ...]
    served: Served | None
    baseline: SliceMetrics | None
    confusions: tuple[Confusion, ...]
    verdict: dict[str, Any] | None
    calibration: dict[str, Any] | None
    history: pd.DataFrame | None
    compute: dict[str, Any] | None
    manifest: dict[str, Any] | None
    validation: dict[str, Any] | None
    parity: dict[str, Any] | None
    left_out: dict[str, str]
    attribute_rates: list[dict[str, Any]]
    statistics: list[dict[str, Any]]
    slider: dict[str, Any]
    created: str

    @property
    def state(self) -> State:
        """What the model's judgement came to."""
        return state(self.sources.blessed, (self.verdict or {}).get("outcome"))

    @property
    def uncertain_below(self) -> float | None:
        """Half the width of the band in which the model abstains."""
        return self.calibration["calibration"]["uncertain_below"] if self.calibration else None

    @property
    def temperature(self) -> float | None:
        """Of the calibration."""
        return self.calibration["calibration"]["temperature"] if self.calibration else None


def gather(sources: Sources, config: EvaluationConfig) -> Content:
    """Reads the sources and measures.

    Raises:
      DataError: if the predictions are missing.
    """
    predictions = table.load(sources.predictions)
    rows = predictions.split(sources.split)
    slices = find_slices(rows, config.slices)
    measured = _measure(rows, slices, config)
    overall, others = measured[0], measured[1:]
    others.sort(key=lambda s: s.metrics["accuracy"].value)
    calibration = _read_json(sources.model_run, "calibration.json")
    manifest = _read_json(sources.manifest, MANIFEST_JSON)
    return Content(
        sources=sources,
        config=config,
        label=sources.label or read_label(manifest or {}),
        rows=rows,
        overall=overall,
        slices=tuple(others),
        natural=_natural(predictions.table, config),
        served=_served(rows, config) if predictions.scoring.get("detector_crops") else None,
        baseline=_baseline(rows, config),
        confusions=tuple(
            confusions(
                rows[contract.P_POSITIVE].to_numpy(),
                rows[contract.LABEL].to_numpy(),
                config.thresholds,
            )
        ),
        verdict=_read_json(sources.verdict, "verdict.json"),
        calibration=calibration,
        history=_read_history(sources.model_run),
        compute=_read_json(sources.model_run, "compute.json"),
        manifest=manifest,
        validation=_read_json(sources.validation, "verdict.json"),
        parity=_read_json(sources.parity, "parity.json"),
        left_out=(_read_json(sources.parity, "parity_details.json") or {}).get("left_out", {}),
        attribute_rates=_attribute_rates(sources, rows),
        statistics=_statistics(sources.statistics),
        slider=slider(rows, slices, config.confidence),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _measure(
    rows: pd.DataFrame, slices: Sequence[Slice], config: EvaluationConfig
) -> list[SliceMetrics]:
    return measure(
        rows,
        slices,
        confidence=config.confidence,
        replicates=config.bootstrap_replicates,
        seed=config.seed,
        min_examples=config.min_slice_examples,
    )


def _natural(predictions: pd.DataFrame, config: EvaluationConfig) -> tuple[SliceMetrics, ...]:
    """Returns the same slices of the whole test partition, in its natural mixture."""
    rows = predictions[predictions[table.SPLIT] == contract.TEST_NATURAL].reset_index(drop=True)
    if rows.empty:
        return ()
    return tuple(_measure(rows, find_slices(rows, config.slices), config))


def _served(rows: pd.DataFrame, config: EvaluationConfig) -> Served:
    """Measures detector crops beside the aligned images; see Served."""
    here = rows[rows[DETECTOR_P_POSITIVE].notna()].reset_index(drop=True)
    without_baseline = here.drop(columns=[BASELINE_P_POSITIVE, BASELINE_UNCERTAIN], errors="ignore")
    cut = without_baseline.assign(
        **{
            BASELINE_P_POSITIVE: here[contract.P_POSITIVE],
            contract.P_POSITIVE: here[DETECTOR_P_POSITIVE],
            contract.UNCERTAIN: here[DETECTOR_UNCERTAIN].astype(bool),
        }
    )
    share = rate(rows[DETECTOR_P_POSITIVE].notna(), people_of(rows), z=critical(config.confidence))
    found = Measured(float(share.value), float(share.low), float(share.high), len(rows))
    if here.empty:
        return Served(found, (), ())
    slices = find_slices(here, config.slices)
    return Served(
        found,
        tuple(_measure(without_baseline, slices, config)),
        tuple(_measure(cut, slices, config)),
    )


def _baseline(rows: pd.DataFrame, config: EvaluationConfig) -> SliceMetrics | None:
    """Returns the baseline's own metrics on all examples."""
    if BASELINE_P_POSITIVE not in rows or rows[BASELINE_P_POSITIVE].isna().any():
        return None
    own = rows.drop(columns=[contract.P_POSITIVE, contract.UNCERTAIN]).rename(
        columns={BASELINE_P_POSITIVE: contract.P_POSITIVE, BASELINE_UNCERTAIN: contract.UNCERTAIN}
    )
    own[contract.UNCERTAIN] = own[contract.UNCERTAIN].astype(bool)
    everything = Slice((), np.ones(len(own), np.bool_))
    return _measure(own, [everything], config)[0]


def metrics_json(content: Content) -> str:
    """Returns the figures for programs; release.json takes them from here."""

    def measured(one: SliceMetrics) -> dict[str, Any]:
        return {
            "name": one.name,
            "key": [list(pair) for pair in one.key],
            "n": one.n,
            "people": one.people,
            "metrics": {name: dataclasses.asdict(m) for name, m in one.metrics.items()},
            "against_baseline": one.against_baseline and dataclasses.asdict(one.against_baseline),
            "notes": one.notes,
        }

    verdict = content.verdict or {}
    figures = {
        "schema_version": SCHEMA_VERSION,
        "split": content.sources.split,
        "run": content.sources.run,
        "created": content.created,
        "labels": list(content.label.names),
        "confidence": content.config.confidence,
        "blessed": content.sources.blessed,
        "state": dataclasses.asdict(content.state),
        "unit": "images" if content.overall.people is None else "people",
        "reasons": [*content.sources.evaluator_failures, *verdict.get("reasons", [])],
        "thresholds": thresholds(content.config),
        "overall": measured(content.overall),
        "baseline": content.baseline and measured(content.baseline),
        "slices": [measured(one) for one in content.slices],
        "natural": [measured(one) for one in content.natural],
        "served": content.served
        and {
            "found": dataclasses.asdict(content.served.found),
            "aligned": [measured(one) for one in content.served.aligned],
            "detected": [measured(one) for one in content.served.detected],
        },
        "confusion": [dataclasses.asdict(c) for c in content.confusions],
        "fairness": {
            "outcome": verdict.get("outcome"),
            "comparisons": verdict.get("comparisons"),
            "exceeding": [g for g in verdict.get("gaps", []) if g["status"] == "exceeds"],
            "too_few": [g for g in verdict.get("gaps", []) if g["status"] == "too_few"],
        },
    }
    return json.dumps(figures, indent=2, sort_keys=True, allow_nan=False) + "\n"


def thresholds(config: EvaluationConfig) -> dict[str, float]:
    """Returns what was demanded, by name."""
    fairness = config.fairness
    return {
        "min_accuracy": config.min_accuracy,
        "min_auc": config.min_auc,
        "max_accuracy_drop": config.max_accuracy_drop,
        "max_auc_drop": config.max_auc_drop,
        "min_slice_accuracy": config.min_slice_accuracy,
        "min_slice_examples": config.min_slice_examples,
        "max_accuracy_gap": fairness.max_accuracy_gap,
        "max_fpr_gap": fairness.max_fpr_gap,
        "max_fnr_gap": fairness.max_fnr_gap,
        "max_abstention_gap": fairness.max_abstention_gap,
        "max_answered_error_gap": fairness.max_answered_error_gap,
    }


def _read_json(folder: Path | None, name: str) -> dict[str, Any] | None:
    if folder is None or not (folder / name).is_file():
        return None
    content: dict[str, Any] = json.loads((folder / name).read_text())
    return content


def _read_history(model_run: Path | None) -> pd.DataFrame | None:
    if model_run is None or not (model_run / "history.csv").is_file():
        return None
    return pd.read_csv(model_run / "history.csv")


def _attribute_rates(sources: Sources, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns, for each attribute, its share in train and among the two labels of the split."""
    train = {s["name"]: s["mean"] for s in _statistics(sources.statistics) if s["split"] == "train"}
    positive = rows[contract.LABEL] == 1
    rates = []
    for name in contract.ATTRIBUTES:
        if name not in rows or rows[name].isna().any():
            continue
        values = rows[name].astype(float)
        rates.append(
            {
                "name": name.replace("_", " "),
                "train": train.get(name),
                "test": float(values.mean()),
                "negative": float(values[~positive].mean()),
                "positive": float(values[positive].mean()),
                "n": int(values.sum()),
            }
        )
    return rates


def _statistics(folder: Path | None) -> list[dict[str, Any]]:
    """Returns mean, deviation and range of every numeric feature of every split."""
    if folder is None:
        return []
    found = []
    for path in sorted(folder.glob("Split-*/FeatureStats.pb")):
        proto = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
        for feature in proto.datasets[0].features:
            if feature.HasField("num_stats") and feature.num_stats.common_stats.num_non_missing:
                numbers = feature.num_stats
                found.append(
                    {
                        "split": path.parent.name.removeprefix("Split-"),
                        "name": feature.name or ".".join(feature.path.step),
                        "n": int(numbers.common_stats.num_non_missing),
                        "mean": numbers.mean,
                        "std_dev": numbers.std_dev,
                        "min": numbers.min,
                        "max": numbers.max,
                    }
                )
    return found
