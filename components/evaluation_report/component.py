"""The node `evaluation-report`: what a reviewer opens, and what travels with the model.

In: predictions, both gates' verdicts, and whatever else the run wrote. Out: an EvaluationReport.
It is made for refused models as well: that is when a report is needed most.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter
from tfx.components.evaluator import constants as evaluator_constants
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import (
    Artifact,
    BaseChannel,
    artifact_utils,
    channel_utils,
    component_spec,
    standard_artifacts,
)

from components.code_digest import code_digest
from components.evaluation.config import EvaluationConfig
from components.evaluation.tfma_results import validation_failures
from components.evaluation_report import render
from components.evaluation_report.artifacts import EvaluationReport
from components.evaluation_report.content import Sources, gather
from components.example_gen.artifacts import SamplingManifest
from components.fairness_gate import FairnessVerdict
from components.model_exporter.artifacts import Parity
from components.predictions.artifacts import Predictions
from components.validation_gate import Validation

SPLIT: Final = "test"


class Executor(base_executor.BaseExecutor):  # type: ignore[misc]  # TFX ships no types
    """Unpacks the artifacts, gathers and renders."""

    def Do(  # noqa: N802  # TFX's name
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the report.

        Raises:
          DataError: if the predictions are missing.
        """
        config = TypeAdapter(EvaluationConfig).validate_json(exec_properties["config"])
        run_config = json.loads(exec_properties["run_config"])
        run_id = self._context.pipeline_run_id if self._context else ""
        sources = Sources(
            **folders(
                {key: artifacts[0].uri for key, artifacts in input_dict.items() if artifacts}
            ),
            blessed=_blessed(input_dict["model_blessing"]),
            split=SPLIT,
            title=exec_properties["title"],
            run=run_id or "",
            config=run_config,
            lineage=tuple(
                (key, f"{artifacts[0].type_name} {artifacts[0].id}", artifacts[0].uri)
                for key, artifacts in input_dict.items()
                if artifacts
            ),
        )
        uri = artifact_utils.get_single_uri(output_dict["report"])
        render.write(gather(sources, config), Path(uri))


def folders(uris: dict[str, str]) -> dict[str, Any]:
    """Returns the arguments of Sources that follow from artifacts' folders.

    Args:
      uris: name of the input -> folder, for those that there are.
    """
    names = (
        "predictions",
        "verdict",
        "manifest",
        "validation",
        "model_run",
        "statistics",
        "parity",
    )
    found: dict[str, Any] = {name: Path(uris[name]) for name in names if name in uris}
    if "evaluation" in uris:
        found["evaluation"] = Path(uris["evaluation"])
        found["evaluator_failures"] = validation_failures(Path(uris["evaluation"]))
    if "examples" in uris:
        found["test_files"] = (f"{uris['examples']}/Split-{SPLIT}/*",)
    return found


def _blessed(blessings: list[Artifact]) -> bool | None:
    key = evaluator_constants.ARTIFACT_PROPERTY_BLESSED_KEY
    return bool(blessings[0].get_int_custom_property(key)) if blessings else None


class EvaluationReportSpec(component_spec.ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and properties of the report."""

    PARAMETERS = {  # noqa: RUF012  # as TFX declares it
        "config": component_spec.ExecutionParameter(type=str),
        "run_config": component_spec.ExecutionParameter(type=str),
        "title": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "predictions": component_spec.ChannelParameter(type=Predictions),
        "verdict": component_spec.ChannelParameter(type=FairnessVerdict),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "manifest": component_spec.ChannelParameter(type=SamplingManifest),
        "validation": component_spec.ChannelParameter(type=Validation, optional=True),
        "statistics": component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics, optional=True
        ),
        "model_run": component_spec.ChannelParameter(
            type=standard_artifacts.ModelRun, optional=True
        ),
        "parity": component_spec.ChannelParameter(type=Parity, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "report": component_spec.ChannelParameter(type=EvaluationReport)
    }


class EvaluationReporter(base_component.BaseComponent):  # type: ignore[misc]
    """Writes the files that artifacts.py lists: report, model card, metrics, views.

    Args:
      predictions: from model-scorer.
      verdict: from fairness-gate.
      model_blessing: from fairness-gate: the one that counts.
      evaluation: from Evaluator.
      examples: from example-gen; the gallery's images.
      manifest: from example-gen.
      config: slices, thresholds, limits.
      title: of the report.
      run_config: the run's configuration, JSON; shown.
      validation: from validation-gate.
      statistics: from StatisticsGen.
      model_run: from Trainer.
      parity: from ModelExporter.
    """

    SPEC_CLASS = EvaluationReportSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        predictions: BaseChannel,
        verdict: BaseChannel,
        model_blessing: BaseChannel,
        evaluation: BaseChannel,
        examples: BaseChannel,
        manifest: BaseChannel,
        config: EvaluationConfig,
        title: str,
        run_config: str = "{}",
        validation: BaseChannel | None = None,
        statistics: BaseChannel | None = None,
        model_run: BaseChannel | None = None,
        parity: BaseChannel | None = None,
    ) -> None:
        super().__init__(
            spec=EvaluationReportSpec(
                predictions=predictions,
                verdict=verdict,
                model_blessing=model_blessing,
                evaluation=evaluation,
                examples=examples,
                manifest=manifest,
                validation=validation,
                statistics=statistics,
                model_run=model_run,
                parity=parity,
                config=json.dumps(dataclasses.asdict(config), sort_keys=True),
                run_config=run_config,
                title=title,
                code=code_digest(
                    "components.evaluation_report",
                    "components.evaluation",
                    "components.predictions.table",
                ),
                report=channel_utils.as_channel([EvaluationReport()]),
            )
        )
