"""TFX's file-based driver, with a fingerprint that sees the annotations' content.

TFX's own fingerprint is of the number, sizes and modification times of the files. Flipping a label
changes no size, and copies may keep their times; the annotation files are small enough to be
hashed in a tenth of a second. A copy may also lose its times: where only these differ from an
earlier run's, the images of its sample are compared with what it wrote, and if they are the same,
its fingerprint is this one's. data/celeba/spans.py finds spans: TFX's patterns know one layout.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from typing import Any, Final

from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.components.example_gen import driver, utils
from tfx.dsl.io import fileio
from tfx.orchestration import data_types
from tfx.types import Artifact, BaseChannel

from components.example_gen.same import SETTINGS, writes_the_same
from data import files
from data.celeba.layouts import find_layout
from data.celeba.spans import newest_spans

logger = logging.getLogger("genq.ingest")

SAME: Final = "genq_same_fingerprint"
"""Custom property of examples: a fingerprint of files that were found to hold the same."""
_TIMES: Final = re.compile(r",xor_checksum:-?\d+,sum_checksum:-?\d+")


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
        resolved[key] = self._known("\n".join(fingerprints), resolved)
        return resolved

    def _known(self, fingerprint: str, properties: Mapping[str, Any]) -> str:
        """Returns the fingerprint that an earlier run gave to the same contents, or this one."""
        if self._metadata_handle is None:
            return fingerprint
        with self._metadata_handle as handle:
            return _known(handle.store, fingerprint, properties)

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


def _known(store: Any, fingerprint: str, properties: Mapping[str, Any]) -> str:
    found = [a for a in _alike(store, properties) if _given(a)]
    for artifact in found:
        if fingerprint in (_given(artifact), artifact.custom_properties[SAME].string_value):
            return _given(artifact)
    for artifact in found:
        if _timeless(_given(artifact)) != _timeless(fingerprint):
            continue
        if writes_the_same(artifact.uri, properties):
            logger.info("Files have other times than before, and the sample is the same.")
            artifact.custom_properties[SAME].string_value = fingerprint
            store.put_artifacts([artifact])
            return _given(artifact)
        break
    return fingerprint


def _alike(store: Any, properties: Mapping[str, Any]) -> list[mlmd.Artifact]:
    """Returns the examples that were made with these settings and are there, the newest first."""
    artifacts = {a.id: a for a in store.get_artifacts_by_type("Examples")}
    made = {
        event.execution_id: artifacts[event.artifact_id]
        for event in store.get_events_by_artifact_ids(list(artifacts))
        if event.type == mlmd.Event.OUTPUT
    }
    wanted = {name: str(properties.get(name) or "") for name in SETTINGS}
    alike = {
        made[execution.id].id: made[execution.id]
        for execution in store.get_executions_by_id(list(made))
        if {name: _text(execution.custom_properties[name]) for name in SETTINGS} == wanted
    }
    return [alike[i] for i in sorted(alike, reverse=True) if alike[i].state == mlmd.Artifact.LIVE]


def _text(value: mlmd.Value) -> str:
    kind = value.WhichOneof("value")
    return str(getattr(value, kind)) if kind else ""


def _given(examples: mlmd.Artifact) -> str:
    value: str = examples.custom_properties[utils.FINGERPRINT_PROPERTY_NAME].string_value
    return value


def _timeless(fingerprint: str) -> str:
    return _TIMES.sub("", fingerprint)
