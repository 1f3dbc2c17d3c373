"""What the exporter writes.

`ExportedModel` is a folder with one ONNX file a variant, under the names of
`data.releases.release`, and `export.json`: variants, opset, signatures, and which layers of int8
stayed in float. `Parity` is a
folder with `parity.json`: variant -> how far it is from the SavedModel on test images, and
`parity_details.json`: the same on adversarial images and for the decoders, and what was left out
and why. Both carry the property EXPORTED: 0 when the model was not blessed; they are empty then.
"""

from tfx.types.artifact import Artifact

EXPORT_JSON = "export.json"
PARITY_JSON = "parity.json"
DETAILS_JSON = "parity_details.json"
EXPORTED = "exported"


class ExportedModel(Artifact):  # type: ignore[misc]  # TFX ships no types
    """The model in ONNX; see the module."""

    # Kubeflow Pipelines finds the class of an own artifact by this name: its import path.
    TYPE_NAME = "components.model_exporter.artifacts.ExportedModel"


class Parity(Artifact):  # type: ignore[misc]
    """How far the variants are from the SavedModel; see the module."""

    TYPE_NAME = "components.model_exporter.artifacts.Parity"
