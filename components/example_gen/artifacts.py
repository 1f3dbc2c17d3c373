"""The artifact that says which images a run used, and why.

A folder with:

- `manifest.csv`: image_id, split, label, identity; one line an example, in the order written
- `manifest.json`: configuration, counts, layout, SHA-256 of the inputs
- `summary.md`: the same for people
- `dead_letter.csv`: image_id, where, problem; one line for each image or annotation set aside
- `partial.csv`: of a partial copy: image_id, problem; one line for each annotation without image
  and each image without annotation
"""

import json
from pathlib import Path
from typing import Any

from tfx.types.artifact import Artifact

from data import contract

MANIFEST_CSV = "manifest.csv"
MANIFEST_JSON = "manifest.json"
SUMMARY = "summary.md"
DEAD_LETTER = "dead_letter.csv"
PARTIAL = "partial.csv"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the content of a manifest.json."""
    content: dict[str, Any] = json.loads((folder / MANIFEST_JSON).read_text())
    return content


def read_label(manifest: dict[str, Any]) -> contract.Label:
    """Returns what was learnt from the sample."""
    return contract.Label(**manifest.get("label", {}))


class SamplingManifest(Artifact):  # type: ignore[misc]  # TFX ships no types
    """Which images a run used; see the module."""

    # Kubeflow Pipelines finds the class of an own artifact by this name: its import path.
    TYPE_NAME = "components.example_gen.artifacts.SamplingManifest"
