"""The node `evaluation-report`: what a reviewer opens, and what travels with the model.

In: predictions, both gates' verdicts, and whatever else the run wrote. Out: an EvaluationReport.
It is made for refused models as well: that is when a report is needed most.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter
from tfx.components.evaluator import constants as evaluator_constants
from tfx.dsl.components.base import base_executor, executor_spec
from tfx.types import (
    Artifact,
    artifact_utils,
    standard_artifacts,
)

from components.evaluation.config import EvaluationConfig
from components.evaluation.tfma_results import validation_failures
from components.evaluation_report import render
from components.evaluation_report.artifacts import EvaluationReport
from components.evaluation_report.content import Sources, decide_commands, gather
from components.example_gen.artifacts import SamplingManifest
from components.fairness_gate import FairnessVerdict
from components.model_exporter.artifacts import Parity
from components.node import Node
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
        uri = artifact_utils.get_single_uri(output_dict["report"])
        workdir = local_workdir(uri)
        sources = Sources(
            **folders(
                {key: artifacts[0].uri for key, artifacts in input_dict.items() if artifacts}
            ),
            blessed=_blessed(input_dict["model_blessing"]),
            split=SPLIT,
            title=exec_properties["title"],
            run=run_id or "",
            decide=decide_commands(run_id, workdir) if run_id and workdir else (),
            config=run_config,
            lineage=tuple(
                (key, f"{artifacts[0].type_name} {artifacts[0].id}", artifacts[0].uri)
                for key, artifacts in input_dict.items()
                if artifacts
            ),
        )
        render.write(gather(sources, config), Path(uri))


def local_workdir(uri: str) -> Path | None:
    """Returns the work directory of WORKDIR/pipeline/NODE/OUTPUT/ID.

    None elsewhere, such as on Kubeflow: `genq approve` finds no metadata there.
    """
    place = Path(uri).parents
    found = len(place) > 3 and (place[3] / "metadata.sqlite").is_file()
    return place[3] if found else None


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


class EvaluationReporter(Node):
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

    INPUTS = {
        "predictions": Predictions,
        "verdict": FairnessVerdict,
        "model_blessing": standard_artifacts.ModelBlessing,
        "evaluation": standard_artifacts.ModelEvaluation,
        "examples": standard_artifacts.Examples,
        "manifest": SamplingManifest,
        "validation": Validation,
        "statistics": standard_artifacts.ExampleStatistics,
        "model_run": standard_artifacts.ModelRun,
        "parity": Parity,
    }
    OPTIONAL = frozenset({"validation", "statistics", "model_run", "parity"})
    OUTPUTS = {"report": EvaluationReport}
    PROPERTIES = {"config": str, "run_config": str, "title": str}
    CODE = ("components.evaluation_report", "components.evaluation", "components.predictions.table")
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
