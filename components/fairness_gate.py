"""The gate between evaluation and release: groups must fare alike, and the experiment be sound.

In: predictions, and the Evaluator's blessing. Out: a FairnessVerdict (`verdict.json`: every gap
with counts, interval and limit; floors; changes against the baseline; overall thresholds; what is
wrong with the experiment; and the state that it all comes to), and the blessing that counts: the
Evaluator's, unless this gate takes it away. With `on_failure="stop"` it raises instead, and nothing
after it runs; with "warn" it tells and takes nothing away: the model is let through, and its state
says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pandas as pd
from pydantic import TypeAdapter
from tfx.components.evaluator import constants as evaluator_constants
from tfx.dsl.components.base import base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import (
    Artifact,
    artifact_utils,
    standard_artifacts,
)

from components.evaluation.band import band_findings
from components.evaluation.clusters import people_of
from components.evaluation.config import EvaluationConfig
from components.evaluation.diagnosis import Finding, diagnose
from components.evaluation.gaps import Floor, Gap, find_floors, find_gaps
from components.evaluation.judgement import STATUSES
from components.evaluation.regression import Change, find_changes
from components.evaluation.slices import find_slices
from components.evaluation.state import BLOCKED, WARNED, state
from components.evaluation.thresholds import Threshold, find_thresholds
from components.node import Node
from components.predictions import table
from components.predictions.artifacts import Predictions
from data import contract
from data.errors import GateError

VERDICT: Final = "verdict.json"
SPLIT: Final = "test"
CALIBRATION_JSON: Final = "calibration.json"
JUDGE_PROPERTY: Final = "judge"
"""Custom property of the blessing that counts, so that the next run's baseline heeds this gate."""
JUDGE: Final = "fairness-gate"
OUTCOME_PROPERTY: Final = "outcome"
"""Custom property of verdict and blessing: `Verdict.outcome`. A model may be blessed although it
was BLOCKED, by on_failure=warn; it is no baseline then."""


class FairnessVerdict(Artifact):  # type: ignore[misc]  # TFX ships no types
    """What the gate compared and found: `verdict.json`."""

    TYPE_NAME = "components.fairness_gate.FairnessVerdict"


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
      outcome: "blocked", "warned" or "passed".
      reasons: one line each, what blocks first.
      comparisons: how many gaps were judged together.
      unit: what the intervals take as independent: "people", or "images" where identities are
        missing.
      groups_split, groups_n: on which split, of how many images, gaps, floors and changes were
        judged.
      groups_of: of how many images those were drawn with rare groups in full; then rates are
        reweighted to them. None where nothing was left out.
    """

    outcome: str
    reasons: tuple[str, ...]
    comparisons: int
    unit: str
    groups_split: str
    groups_n: int
    groups_of: int | None
    thresholds: tuple[Threshold, ...]
    changes: tuple[Change, ...]
    gaps: tuple[Gap, ...]
    floors: tuple[Floor, ...]
    findings: tuple[Finding, ...]


def judge(
    predictions: pd.DataFrame,
    fingerprints: pd.DataFrame,
    config: EvaluationConfig,
    label: contract.Label | None = None,
    *,
    natural: pd.DataFrame | None = None,
    calibration: dict[str, Any] | None = None,
) -> Verdict:
    """Judges the predictions.

    Args:
      predictions: of `test`; see components/predictions/table.py. Thresholds and the soundness of
        the experiment are judged on it.
      natural: of the whole test partition, where it was drawn: then gaps, floors and changes are
        judged on it, as a small balanced sample holds too few of what is audited.
      fingerprints: of all splits.
      config: slices, limits, confidence.
      label: what the labels are called.
      calibration: of the trainer: what the uncertainty band promises; None where unknown.
    """
    thresholds = find_thresholds(predictions, config)
    groups = predictions if natural is None else natural
    whose = people_of(groups)
    slices = find_slices(groups, config.slices)
    changes = find_changes(groups, slices, config)
    gaps = find_gaps(groups, slices, config, label)
    floors = find_floors(groups, slices, config)
    findings = diagnose(predictions, fingerprints, config, label)
    if calibration is not None:
        findings += band_findings(calibration, predictions, config)
    judged: Sequence[Gap | Floor | Change | Threshold] = [*thresholds, *changes, *gaps, *floors]
    blocks = [f"{f.name}: {f.text}" for f in findings if f.blocks]
    blocks += [str(each) for each in judged if each.status == "exceeds"]
    warnings = [f"{f.name}: {f.text}" for f in findings if not f.blocks]
    warnings += [f"{each} (may be chance)" for each in judged if each.status == "may_exceed"]
    # The interval of a small group may still say something; nobody judges it, everybody sees it.
    warnings += [
        f"{gap} (too few examples to be judged)"
        for gap in gaps
        if gap.status == "too_few" and (gap.low > gap.limit or gap.high < -gap.limit)
    ]
    return Verdict(
        BLOCKED if blocks else WARNED if warnings else "passed",
        (*blocks, *warnings),
        sum(g.status != "too_few" for g in gaps),
        whose.unit,
        SPLIT if natural is None else contract.TEST_NATURAL,
        len(groups),
        None if whose.weight is None else round(whose.weight.sum()),
        tuple(thresholds),
        tuple(changes),
        tuple(gaps),
        tuple(floors),
        tuple(findings),
    )


def passes(verdict: Verdict, config: EvaluationConfig) -> bool:
    """Returns whether the model keeps its blessing."""
    return verdict.outcome != BLOCKED or config.fairness.on_failure == "warn"


def as_json(
    verdict: Verdict, config: EvaluationConfig, *, evaluator_blessed: bool, split: str = SPLIT
) -> str:
    """Returns the content of verdict.json."""
    blessed = evaluator_blessed and passes(verdict, config)
    content = {
        **asdict(verdict),
        "state": asdict(state(blessed, verdict.outcome)),
        "split": split,
        "confidence": config.confidence,
        "min_slice_examples": config.min_slice_examples,
        "procedure": "Holm (1979) over all judged gaps; intervals with people as the unit "
        "(Rao & Scott 1992, Zou 2007; components/evaluation/clusters.py)",
        "thresholds_hold_for": config.thresholds_hold_for,
        "statuses": STATUSES,
        "blessed_by_evaluator": evaluator_blessed,
        "on_failure": config.fairness.on_failure,
        "blessed": blessed,
    }
    # NaN is no JSON: what was not judged has no value.
    return json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and value != value else value


class Executor(base_executor.BaseExecutor):  # type: ignore[misc]  # TFX ships no types
    """Unpacks the artifacts and calls the functions above."""

    def Do(  # noqa: N802  # TFX's name
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the verdict and the blessing.

        Raises:
          GateError: if something blocks and the configuration says "stop".
        """
        config = TypeAdapter(EvaluationConfig).validate_json(exec_properties["config"])
        uri = artifact_utils.get_single_uri(input_dict["predictions"])
        label = TypeAdapter(contract.Label).validate_json(exec_properties["label"])
        found = table.load(uri)
        drawn = contract.TEST_NATURAL in set(found.table[table.SPLIT])
        verdict = judge(
            found.split(SPLIT),
            table.load_fingerprints(uri),
            config,
            label,
            natural=found.split(contract.TEST_NATURAL) if drawn else None,
            calibration=_calibration(input_dict.get("model_run")),
        )
        if verdict.outcome == BLOCKED and config.fairness.on_failure == "stop":
            lines = "\n".join(f"  {reason}" for reason in verdict.reasons[:20])
            raise GateError(
                f"The model must not be released:\n{lines}",
                "Mend data or training. The limits are evaluation.fairness.*; with "
                'evaluation.fairness.on_failure="unbless" the run ends with a report.',
            )
        given = artifact_utils.get_single_instance(input_dict["model_blessing"])
        by_evaluator = (
            given.get_int_custom_property(evaluator_constants.ARTIFACT_PROPERTY_BLESSED_KEY)
            == evaluator_constants.BLESSED_VALUE
        )
        blessed = by_evaluator and passes(verdict, config)
        verdict_artifact = artifact_utils.get_single_instance(output_dict["verdict"])
        verdict_artifact.set_string_custom_property(OUTCOME_PROPERTY, verdict.outcome)
        _write(
            f"{verdict_artifact.uri}/{VERDICT}",
            as_json(verdict, config, evaluator_blessed=by_evaluator),
        )
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        blessing.set_string_custom_property(OUTCOME_PROPERTY, verdict.outcome)
        _bless(given, blessing, blessed)


def _calibration(model_run: list[Artifact] | None) -> dict[str, Any] | None:
    """Returns the trainer's calibration.json, where there is one."""
    path = f"{model_run[0].uri}/{CALIBRATION_JSON}" if model_run else ""
    if not path or not fileio.exists(path):
        return None
    with fileio.open(path) as file:
        content: dict[str, Any] = json.load(file)
    return content


def _bless(given: Artifact, blessing: Artifact, blessed: bool) -> None:
    """Writes a blessing as TFX's Evaluator does, about the same models."""
    for key in (
        evaluator_constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY,
        evaluator_constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY,
    ):
        if given.has_custom_property(key):
            blessing.set_string_custom_property(key, given.get_string_custom_property(key))
    for key in (
        evaluator_constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY,
        evaluator_constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY,
    ):
        if given.has_custom_property(key):
            blessing.set_int_custom_property(key, given.get_int_custom_property(key))
    blessing.set_string_custom_property(JUDGE_PROPERTY, JUDGE)
    blessing.set_int_custom_property(
        evaluator_constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(blessed)
    )
    name = (
        evaluator_constants.BLESSED_FILE_NAME
        if blessed
        else evaluator_constants.NOT_BLESSED_FILE_NAME
    )
    _write(f"{blessing.uri}/{name}", "")


def _write(path: str, text: str) -> None:
    fileio.makedirs(path.rsplit("/", 1)[0])
    with fileio.open(path, "w") as file:
        file.write(text)


class FairnessGate(Node):
    """Takes the blessing away from a model that treats groups differently, or is not sound.

    Args:
      predictions: from model-scorer.
      model_blessing: the Evaluator's.
      config: slices, limits and what to do.
      label: what the labels are called.
      model_run: from Trainer; what the uncertainty band promises.
    """

    INPUTS = {
        "predictions": Predictions,
        "model_blessing": standard_artifacts.ModelBlessing,
        "model_run": standard_artifacts.ModelRun,
    }
    OPTIONAL = frozenset({"model_run"})
    OUTPUTS = {"verdict": FairnessVerdict, "blessing": standard_artifacts.ModelBlessing}
    PROPERTIES = {"config": str, "label": str}
    CODE = ("components.fairness_gate", "components.evaluation", "components.predictions.table")
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
