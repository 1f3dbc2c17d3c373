"""The node that brings the curated schema into the pipeline.

TFX's ImportSchemaGen, with the file's SHA-256 as a property: TFX's cache compares the path only, so
a changed schema would be served from the cache, and the gate would judge by the old one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tfx import v1 as tfx
from tfx.types import channel_utils, component_spec, standard_artifacts, standard_component_specs


class SchemaImporterSpec(standard_component_specs.ImportSchemaGenSpec):  # type: ignore[misc]
    """ImportSchemaGen's specification and the file's digest."""

    PARAMETERS = {
        **standard_component_specs.ImportSchemaGenSpec.PARAMETERS,
        "schema_sha256": component_spec.ExecutionParameter(type=str),
    }


class SchemaImporter(tfx.components.ImportSchemaGen):  # type: ignore[misc]  # TFX ships no types
    """Copies the schema into the pipeline; runs again when its content changes.

    Args:
      schema_file: text format; must exist while the pipeline is built.
    """

    SPEC_CLASS = SchemaImporterSpec

    def __init__(self, schema_file: Path) -> None:
        spec = SchemaImporterSpec(
            schema_file=str(schema_file),
            schema_sha256=hashlib.sha256(schema_file.read_bytes()).hexdigest(),
            schema=channel_utils.as_channel([standard_artifacts.Schema()]),
        )
        # Past ImportSchemaGen.__init__, which would make TFX's own specification.
        super(tfx.components.ImportSchemaGen, self).__init__(spec=spec)
