"""TFX's file-based driver, with a fingerprint that sees the annotations' content.

TFX's own fingerprint is of the number, sizes and modification times of the files. Flipping a label
changes no size, and copies may keep their times; the annotation files are small enough to be
hashed in a tenth of a second. data/celeba/spans.py finds spans: TFX's patterns know one layout.
"""

from __future__ import annotations

import hashlib
from typing import Any

from tfx.components.example_gen import driver, utils
from tfx.dsl.io import fileio
from tfx.orchestration import data_types
from tfx.types import Artifact, BaseChannel

from data import files
from data.celeba.layouts import find_layout
from data.celeba.spans import newest_spans


class Driver(driver.FileBasedDriver):  # type: ignore[misc]  # TFX ships no types
    """Adds the annotations' SHA-256 to the fingerprint."""

    def resolve_exec_properties(
        self, exec_properties: dict[str, Any], pipeline_info: object, component_info: object
    ) -> dict[str, Any]:
        """Returns the properties with span, version, fingerprint, and the folder of the span.

        With a window of several spans, `spans` gets their names, and the folder stays the root.

        Raises:
          DataError: if there is no data set.
        """
        root, window = exec_properties["input_base"], int(exec_properties.get("window") or 1)
        spans = newest_spans(root, window)
        key = utils.FINGERPRINT_PROPERTY_NAME
        fingerprints = []
        for span in spans:
            layout = find_layout(span.root)
            # The patterns are those of the folder that holds the copy.
            exec_properties["input_base"] = layout.root
            resolved: dict[str, Any] = super().resolve_exec_properties(
                exec_properties, pipeline_info, component_info
            )
            # Executor and release name the folder, or the zip, that was given.
            exec_properties["input_base"] = resolved["input_base"] = span.root
            digest = hashlib.sha256()
            for path in layout.annotation_files:
                digest.update(hashlib.sha256(files.read_bytes(path)).digest())
            fingerprints.append(f"{resolved[key]}\nannotations_sha256:{digest.hexdigest()}")
        if len(spans) > 1:
            exec_properties["input_base"] = root
            names = [span.root.rpartition("/")[2] for span in spans]
            exec_properties["spans"] = ",".join(names)
        if spans[-1].number is not None:
            resolved[utils.SPAN_PROPERTY_NAME] = spans[-1].number
        resolved[key] = "\n".join(fingerprints)
        return resolved

    def _prepare_output_artifacts(
        self,
        input_artifacts: dict[str, list[Artifact]],
        output_dict: dict[str, BaseChannel],
        exec_properties: dict[str, Any],
        execution_id: int,
        pipeline_info: data_types.PipelineInfo,
        component_info: data_types.ComponentInfo,
    ) -> dict[str, list[Artifact]]:
        """Returns the outputs; InteractiveContext asks, and TFX knows `examples` only."""
        made: dict[str, list[Artifact]] = super()._prepare_output_artifacts(
            *(input_artifacts, output_dict, exec_properties),
            *(execution_id, pipeline_info, component_info),
        )
        [examples] = made["examples"]
        manifest = output_dict["manifest"].type()
        manifest.uri = examples.uri.replace("/examples/", "/manifest/")
        fileio.makedirs(manifest.uri)
        return {**made, "manifest": [manifest]}
