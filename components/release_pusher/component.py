"""The node: one immutable, checksummed release directory, published by one rename.

In: a blessed model, its ONNX variants with their parity, the sampling manifest, the evaluation and,
where the pipeline has them, report, training run and statistics. Out: `<serving_dir>/<model_name>/
<version>/` (data/releases/release.py says what is in it), and a PushedRelease artifact that names
it. A model that is not blessed is not published: `pushed` is 0.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor, executor_spec
from tfx.types import (
    Artifact,
    artifact_utils,
    standard_artifacts,
)
from tfx.utils import path_utils

from components.evaluation_report.artifacts import EvaluationReport
from components.example_gen.artifacts import SamplingManifest
from components.model_exporter.artifacts import EXPORTED, ExportedModel, Parity
from components.node import Node
from components.release_pusher import contents, publish, sbom, triton
from components.release_pusher.artifacts import (
    PUSHED,
    RELEASE_DIR,
    REMOTE,
    VERSION,
    PushedRelease,
)
from data.releases import checksums, release, remote

logger = logging.getLogger("genq.pusher")


def push(
    sources: contents.Sources,
    model_dir: Path,
    *,
    pipeline_run: str | None = None,
    run_config: str = "",
    sign_command: str = "",
) -> Path:
    """Publishes what the sources hold; returns the release's directory.

    Raises:
      ReleaseError: if something is missing or cannot be written; nothing is published then.
    """
    files = contents.collect(sources)

    def describe(version: int, parent: int | None, sums: Any) -> release.Release:
        return contents.describe(
            sources,
            files,
            sums,
            model_name=model_dir.name,
            version=version,
            parent=parent,
            pipeline_run=pipeline_run,
            run_config=run_config,
        )

    with tempfile.TemporaryDirectory(prefix="genq-sbom-") as scratch:
        bill = Path(scratch) / sbom.SBOM
        bill.write_text(sbom.sbom())
        files[sbom.SBOM] = bill
        return publish.publish(
            model_dir,
            files,
            describe,
            beside={"config.pbtxt": triton.config_pbtxt(model_dir.name)},
            sign_command=sign_command,
        )


class Executor(base_executor.BaseExecutor):  # type: ignore[misc]  # TFX ships no types
    """Unpacks the artifacts and calls `push`."""

    def Do(  # noqa: N802  # TFX's name
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Publishes, if the model is blessed and exported.

        Raises:
          ReleaseError: see `push` and `remote.upload`. A release that was published here stays;
            the next run finds it and only repeats the upload.
        """
        pushed = artifact_utils.get_single_instance(output_dict["pushed_release"])
        out = Path(pushed.uri)
        out.mkdir(parents=True, exist_ok=True)
        blessing = artifact_utils.get_single_instance(input_dict["model_blessing"])
        exported = artifact_utils.get_single_instance(input_dict["exported_model"])
        infra = input_dict.get("infra_blessing")
        if infra and not model_utils.is_infra_validated(artifact_utils.get_single_instance(infra)):
            pushed.set_int_custom_property(PUSHED, 0)
            logger.warning(
                "InfraValidator (TensorFlow Serving) rejected the model: nothing is published."
            )
            return
        if not (
            model_utils.is_model_blessed(blessing) and exported.get_int_custom_property(EXPORTED)
        ):
            pushed.set_int_custom_property(PUSHED, 0)
            logger.warning("The model is not blessed: nothing is published.")
            return

        def folder(key: str) -> Path | None:
            artifacts = input_dict.get(key)
            return Path(artifact_utils.get_single_uri(artifacts)) if artifacts else None

        model = artifact_utils.get_single_instance(input_dict["model"])
        release_dir = push(
            contents.Sources(
                saved_model=Path(path_utils.serving_model_path(model.uri)),
                exported=Path(exported.uri),
                parity=Path(artifact_utils.get_single_uri(input_dict["parity"])),
                manifest=Path(artifact_utils.get_single_uri(input_dict["manifest"])),
                evaluation=Path(artifact_utils.get_single_uri(input_dict["evaluation"])),
                report=folder("report"),
                model_run=folder("model_run"),
                statistics=folder("statistics"),
            ),
            Path(exec_properties["serving_dir"]) / exec_properties["model_name"],
            pipeline_run=self._context.pipeline_run_id if self._context else None,
            run_config=exec_properties.get("run_config") or "",
            sign_command=exec_properties.get("sign_command") or "",
        )
        for name in (release.RELEASE_JSON, checksums.SUMS):
            shutil.copyfile(release_dir / name, out / name)
        if remote_uri := exec_properties.get("remote"):
            address = remote.upload(
                release_dir, f"{remote_uri.rstrip('/')}/{release_dir.parent.name}"
            )
            pushed.set_string_custom_property(REMOTE, address)
        pushed.set_int_custom_property(PUSHED, 1)
        pushed.set_string_custom_property(RELEASE_DIR, str(release_dir))
        pushed.set_string_custom_property(VERSION, release_dir.name)
        logger.info("Published release %s", release_dir.name)


class ReleasePusher(Node):
    """Publishes a blessed, exported model as one release directory.

    Args:
      model: from Trainer.
      exported_model: from ModelExporter.
      parity: from ModelExporter.
      model_blessing: from Evaluator.
      manifest: from example-gen.
      evaluation: from Evaluator.
      serving_dir: folder that holds `<model_name>/<version>/`.
      model_name: of the served model.
      report: from evaluation-report; goes into the release, and its figures into release.json.
      model_run: from Trainer; its calibration goes into release.json.
      statistics: from StatisticsGen; brightness and sharpness go into release.json.
      run_config: the run's configuration as JSON; goes into release.json.
      sign_command: signs SHA256SUMS before the release is seen; see
        data.releases.checksums.run_signer.
      remote: URI to copy `<model_name>/<version>/` to as well; see data.releases.remote.
      infra_blessing: from InfraValidator, where the pipeline has one; without it nothing is pushed.
    """

    INPUTS = {
        "model": standard_artifacts.Model,
        "exported_model": ExportedModel,
        "parity": Parity,
        "model_blessing": standard_artifacts.ModelBlessing,
        "manifest": SamplingManifest,
        "evaluation": standard_artifacts.ModelEvaluation,
        "report": EvaluationReport,
        "model_run": standard_artifacts.ModelRun,
        "statistics": standard_artifacts.ExampleStatistics,
        "infra_blessing": standard_artifacts.InfraBlessing,
    }
    OPTIONAL = frozenset(
        {
            "run_config",
            "sign_command",
            "remote",
            "report",
            "model_run",
            "statistics",
            "infra_blessing",
        }
    )
    OUTPUTS = {"pushed_release": PushedRelease}
    PROPERTIES = {
        "serving_dir": str,
        "model_name": str,
        "run_config": str,
        "sign_command": str,
        "remote": str,
    }
    CODE = (
        "components.release_pusher",
        "data.releases.release",
        "data.releases.checksums",
        "data.releases.remote",
        "data.contract",
    )
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
