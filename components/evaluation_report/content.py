"""Everything a report says, gathered from artifacts.

In: Sources, the folders that earlier nodes wrote. Out: Content, which the templates render. What a
source does not have, the report leaves out, and says so.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.evaluation.checks import Check
from components.evaluation.clusters import people_of, rate
from components.evaluation.config import EvaluationConfig
from components.evaluation.find_checks import find_checks
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
from components.evaluation_report.calibrated import temperature_effect
from components.evaluation_report.comparison import Comparison, with_other
from components.evaluation_report.data_statistics import attribute_rates, statistics
from components.evaluation_report.explorer import explorer
from components.evaluation_report.provenance import Provenance, of_manifest
from components.evaluation_report.risks import Risk, find_risks
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
      other: predictions of another run to compare with, and its name.
      provenance: of the examples; None reads it from the manifest.
      model, release, replaces: what was judged, as what it was published, and what it would
        replace; "" reads model and baseline from the predictions.
      decide: the commands that approve and reject, up to the comment; () where there is none.
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
    other: Path | None = None
    other_name: str = ""
    evaluation: Path | None = None
    evaluations: tuple[tuple[str, Path], ...] = ()
    provenance: Provenance | None = None
    model: str = ""
    release: str = ""
    replaces: str = ""
    decide: tuple[str, str] | tuple[()] = ()


def decide_commands(run: str, workdir: Path) -> tuple[str, str]:
    """Returns what to type to approve or reject a run of a work directory; the comment is left."""
    words = (run, "--workdir", str(workdir), "--comment", "why")
    return shlex.join(("genq", "approve", *words)), shlex.join(("genq", "reject", *words))


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
      predictions: of all scored splits; `rows` are of the one that the report is about.
      checks: what was required and what came out, the worst first.
      explorer: what the page computes slices of, of the split that groups are judged on; None where
        it would be too large.
    """

    sources: Sources
    config: EvaluationConfig
    label: contract.Label
    rows: pd.DataFrame
    predictions: pd.DataFrame
    checks: tuple[Check, ...]
    risks: tuple[Risk, ...]
    provenance: Provenance
    model: str
    replaces: str
    comparison: Comparison | None
    explorer: dict[str, Any] | None
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
    overall = measured[0]
    others = sorted(measured[1:], key=_worst_first)
    natural = _natural(predictions.table, config)
    calibration = _read_json(sources.model_run, "calibration.json")
    manifest = _read_json(sources.manifest, MANIFEST_JSON)
    verdict = _read_json(sources.verdict, "verdict.json")
    validation = _read_json(sources.validation, "verdict.json")
    parity = _read_json(sources.parity, "parity.json")
    left_out = (_read_json(sources.parity, "parity_details.json") or {}).get("left_out", {})
    label = sources.label or read_label(manifest or {})
    temperature = calibration["calibration"]["temperature"] if calibration else None
    served = bool(predictions.scoring.get("detector_crops"))
    checks = find_checks(
        {name: dataclasses.asdict(m) for name, m in overall.metrics.items()},
        config,
        n=overall.n,
        people=overall.people,
        verdict=verdict,
        evaluator_failures=sources.evaluator_failures,
        calibration=calibration,
        temperature=temperature_effect(rows, temperature, config.confidence),
        validation=validation,
        parity=parity,
        left_out=left_out,
        served=served,
    )
    models = predictions.scoring.get("models", {})
    baseline = models.get("baseline")
    grouped = predictions.table[predictions.table[table.SPLIT] == contract.TEST_NATURAL]
    if grouped.empty:
        grouped = rows
    return Content(
        sources=sources,
        config=config,
        label=label,
        rows=rows,
        predictions=predictions.table,
        checks=tuple(checks),
        risks=tuple(find_risks(verdict, natural[1:] or others, config.min_slice_examples)),
        provenance=sources.provenance or of_manifest(manifest, label),
        model=sources.model or (f"model {models['candidate']['id']}" if models else ""),
        replaces=sources.replaces
        or (f"model {baseline['id']}, the latest blessed" if baseline else ""),
        comparison=_compared(sources, rows, config),
        explorer=explorer(
            grouped.reset_index(drop=True), config.confidence, config.min_slice_examples
        ),
        overall=overall,
        slices=tuple(others),
        natural=natural,
        served=_served(rows, config) if served else None,
        baseline=_baseline(rows, config),
        confusions=tuple(
            confusions(
                rows[contract.P_POSITIVE].to_numpy(),
                rows[contract.LABEL].to_numpy(),
                config.thresholds,
            )
        ),
        verdict=verdict,
        calibration=calibration,
        history=_read_history(sources.model_run),
        compute=_read_json(sources.model_run, "compute.json"),
        manifest=manifest,
        validation=validation,
        parity=parity,
        left_out=left_out,
        attribute_rates=attribute_rates(sources.statistics, rows),
        statistics=statistics(sources.statistics),
        slider=slider(rows, slices, config.confidence),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _worst_first(one: SliceMetrics) -> tuple[bool, float]:
    """Orders slices: those of too few examples last, where their order is mostly chance."""
    return bool(one.notes), one.metrics["accuracy"].value


def _compared(sources: Sources, rows: pd.DataFrame, config: EvaluationConfig) -> Comparison | None:
    if sources.other is None:
        return None
    other = table.load(sources.other).split(sources.split)
    return with_other(rows, other, sources.other_name, config)


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
    overall, *others = _measure(rows, find_slices(rows, config.slices), config)
    return (overall, *sorted(others, key=_worst_first))


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


def _read_json(folder: Path | None, name: str) -> dict[str, Any] | None:
    if folder is None or not (folder / name).is_file():
        return None
    content: dict[str, Any] = json.loads((folder / name).read_text())
    return content


def _read_history(model_run: Path | None) -> pd.DataFrame | None:
    if model_run is None or not (model_run / "history.csv").is_file():
        return None
    return pd.read_csv(model_run / "history.csv")
