"""The node: from a blessed SavedModel to ONNX, proven equal.

In: the model, its blessing, examples of `train`, `val` and `test`. Out: `exported_model` and
`parity` (artifacts.py says what they hold). A model that is not blessed is not exported. If ONNX
float32 disagrees with the SavedModel, GateError is raised and nothing is published; int8 or float16
is then left out, or raises too (`export.on_variant_failure`).
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor, executor_spec
from tfx.types import (
    Artifact,
    artifact_utils,
    standard_artifacts,
)
from tfx.utils import path_utils

from components.example_gen.artifacts import (
    MANIFEST_CSV,
    SamplingManifest,
    read_label,
    read_manifest,
)
from components.model_exporter.artifacts import EXPORTED, ExportedModel, Parity
from components.model_exporter.config import ExportConfig
from components.model_exporter.export import export
from components.node import Node
from data import contract
from data.releases import checksums

logger = logging.getLogger("genq.exporter")

SPLITS = ("train", "val", "test")


class Executor(base_executor.BaseExecutor):  # type: ignore[misc]  # TFX ships no types
    """Unpacks the artifacts and calls `export`."""

    def Do(  # noqa: N802  # TFX's name
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Exports, if the model is blessed.

        Raises:
          GateError: see `export`.
        """
        blessing = artifact_utils.get_single_instance(input_dict["model_blessing"])
        exported = artifact_utils.get_single_instance(output_dict["exported_model"])
        verdict = artifact_utils.get_single_instance(output_dict["parity"])
        blessed = model_utils.is_model_blessed(blessing)
        for artifact in (exported, verdict):
            artifact.set_int_custom_property(EXPORTED, int(blessed))
            Path(artifact.uri).mkdir(parents=True, exist_ok=True)
        if not blessed:
            logger.warning("The model is not blessed: it is not exported.")
            return
        metadata: dict[str, str] = {}
        label = contract.Label()
        if self._context and self._context.pipeline_run_id:
            metadata["pipeline_run"] = self._context.pipeline_run_id
        if input_dict.get("manifest"):
            manifest = Path(artifact_utils.get_single_uri(input_dict["manifest"]))
            metadata["sample_sha256"] = checksums.sha256(manifest / MANIFEST_CSV)
            label = read_label(read_manifest(manifest))
        model = artifact_utils.get_single_instance(input_dict["model"])
        [examples] = input_dict["examples"]
        there = artifact_utils.decode_split_names(examples.split_names)
        splits = [s for s in (*SPLITS, contract.TEST_NATURAL) if s in there]
        uris = {s: artifact_utils.get_split_uri([examples], s) for s in splits}
        export(
            Path(path_utils.serving_model_path(model.uri)),
            {split: [f"{uri}/*"] for split, uri in uris.items()},
            TypeAdapter(ExportConfig).validate_json(exec_properties["config"]),
            Path(exported.uri),
            Path(verdict.uri),
            metadata=metadata,
            slices=json.loads(exec_properties["slices"]),
            label=label,
        )


class ModelExporter(Node):
    """Exports a blessed model to ONNX; raises GateError when the variants disagree.

    Args:
      model: from Trainer.
      model_blessing: from Evaluator.
      examples: splits `train` and `val` for int8, `test` to compare on, what is left of these and
        of `test_natural` to compare labels.
      config: which variants, which limits.
      slices: attributes whose combinations are compared, e.g. (("Male",), ("Male", "Young")).
      manifest: from example-gen; its hash and the labels' names go into the ONNX files.
    """

    INPUTS = {
        "model": standard_artifacts.Model,
        "model_blessing": standard_artifacts.ModelBlessing,
        "examples": standard_artifacts.Examples,
        "manifest": SamplingManifest,
    }
    OPTIONAL = frozenset({"manifest"})
    OUTPUTS = {"exported_model": ExportedModel, "parity": Parity}
    PROPERTIES = {"config": str, "slices": str}
    CODE = (
        "components.model_exporter",
        "components.trainer.preprocessing",
        "components.example_files",
        "components.evaluation.intervals",
        "data.contract",
        "data.releases.release",
        "data.releases.checksums",
    )
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
