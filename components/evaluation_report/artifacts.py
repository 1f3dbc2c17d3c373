"""The artifact that a reviewer opens.

A folder with:

- `report.html`: one file, which needs neither network nor server
- `model_card.html`, `model_card.md`: what goes with the model wherever it goes
- `tfma.html`: TFMA's own views of what its Evaluator wrote; links to the report and back
- `facets.html`: Facets' overview of the statistics
- `metrics.json`: the same figures for programs; metrics, slices and confusion matrices with n and
  interval
"""

from tfx.types.artifact import Artifact

REPORT = "report.html"
MODEL_CARD_HTML = "model_card.html"
MODEL_CARD_MD = "model_card.md"
METRICS = "metrics.json"
TFMA = "tfma.html"
FACETS = "facets.html"


class EvaluationReport(Artifact):  # type: ignore[misc]  # TFX ships no types
    """Report and model card; see the module."""

    # Kubeflow Pipelines finds the class of an own artifact by this name: its import path.
    TYPE_NAME = "components.evaluation_report.artifacts.EvaluationReport"
