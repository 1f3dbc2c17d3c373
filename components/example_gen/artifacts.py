"""The artifact that says which images a run used, and why.

A folder with:

- `manifest.csv`: image_id, split, label, identity; one line an example, in the order written
- `manifest.json`: configuration, counts, layout, SHA-256 of the inputs
- `summary.md`: the same for people
- `dead_letter.csv`: image_id, where, problem; one line for each image or annotation set aside
"""

from tfx.types.artifact import Artifact

MANIFEST_CSV = "manifest.csv"
MANIFEST_JSON = "manifest.json"
SUMMARY = "summary.md"
DEAD_LETTER = "dead_letter.csv"


class SamplingManifest(Artifact):  # type: ignore[misc]  # TFX ships no types
    """Which images a run used; see the module."""

    # Kubeflow Pipelines finds the class of an own artifact by this name: its import path.
    TYPE_NAME = "components.example_gen.artifacts.SamplingManifest"
