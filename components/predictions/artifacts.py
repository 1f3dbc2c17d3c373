"""The artifact that says what the models answered, example by example.

A folder with the files that components/predictions/table.py names and reads.
"""

from tfx.types.artifact import Artifact


class Predictions(Artifact):  # type: ignore[misc]  # TFX ships no types
    """Scores of the candidate and the baseline; see components/predictions/table.py."""

    # Kubeflow Pipelines finds the class of an own artifact by this name: its import path.
    TYPE_NAME = "components.predictions.artifacts.Predictions"
