"""From the SavedModel to ONNX float32.

In: a SavedModel with the signatures of data.contract. Out: an ONNX model with the input `image`
(uint8, batch x height x width x 3, any size) and the outputs of data.contract. Resize, scaling,
temperature and uncertainty band are inside, as in the SavedModel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import onnx
import tensorflow as tf
import tf2onnx
from tf2onnx.constants import ENV_TF2ONNX_CATCH_ERRORS
from tf2onnx.graph import Node

from data import contract
from data.errors import GateError
from data.releases.release import ImageGeometry, Signature

OUTPUTS = (contract.P_POSITIVE, contract.LABEL, contract.UNCERTAIN)
BATCH, HEIGHT, WIDTH = "batch", "height", "width"


def to_onnx(module: Any, opset: int, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Returns the model in ONNX float32, checked.

    Args:
      module: the loaded SavedModel that Trainer exported.
      opset: version of ONNX's operators.
      metadata: goes into the file, beside labels and geometry.

    Raises:
      GateError: if the result does not pass onnx.checker and strict shape inference.
    """
    signature = module.signatures[contract.SIGNATURE_PIXELS]
    spec = tf.TensorSpec((None, None, None, 3), tf.uint8, contract.IMAGE)
    with little_memory():
        model, _ = tf2onnx.convert.from_function(
            tf.function(lambda image: signature(image=image)), [spec], opset=opset
        )
    name_parts(model)
    add_metadata(model, metadata)
    check(model)
    return model


@contextmanager
def little_memory() -> Iterator[None]:
    """Lets tf2onnx 1.17 convert InceptionV3 within about 3 GB instead of 10.

    It copies the graph before each of its optimisers, to go on with the copy where one fails, which
    takes 10 GB and hides the error. After each optimiser it rewrites every node's message in
    place, and a protobuf message gives memory back only as a whole: all weights once more.
    """
    rewrite = Node.update_proto

    def anew(node: Node, external_tensor_storage: object = None) -> None:
        old = node._op
        node._op = onnx.NodeProto(
            name=old.name, op_type=old.op_type, domain=old.domain, doc_string=old.doc_string
        )
        rewrite(node, external_tensor_storage)

    with (
        mock.patch.dict(os.environ, {ENV_TF2ONNX_CATCH_ERRORS: "FALSE"}),
        mock.patch.object(Node, "update_proto", anew),
    ):
        yield


def name_parts(model: onnx.ModelProto) -> None:
    """Gives graph, axes and outputs the names and the order of data.contract, in place."""
    graph = model.graph
    graph.name = "genq"
    outputs = {output.name: output for output in graph.output}
    ordered = [onnx.ValueInfoProto.FromString(outputs[n].SerializeToString()) for n in OUTPUTS]
    del graph.output[:]
    graph.output.extend(ordered)
    axes = {contract.IMAGE: (BATCH, HEIGHT, WIDTH)} | dict.fromkeys(OUTPUTS, (BATCH,))
    for value in [*graph.input, *graph.output]:
        for dimension, axis in zip(
            value.type.tensor_type.shape.dim, axes[value.name], strict=False
        ):
            dimension.dim_param = axis
    # tf2onnx declares ai.onnx.ml whether or not a node uses it.
    used = {node.domain for node in graph.node}
    imports = [o for o in model.opset_import if o.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)


def add_metadata(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Writes the training geometry and `metadata` into the file, in place."""
    onnx.helper.set_model_props(
        model,
        {
            "genq.image": ImageGeometry().model_dump_json(),
            **{f"genq.{key}": value for key, value in metadata.items()},
        },
    )


def check(model: onnx.ModelProto) -> None:
    """Runs ONNX's checker with strict shape inference.

    Raises:
      GateError: says what is wrong with the graph.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateError(
            f"The exported ONNX model is not sound: {error}",
            "tf2onnx converted an operation wrongly; look for a recent change in "
            "components/trainer/preprocessing.py or signatures.py.",
        ) from error


def signatures(module: Any) -> dict[str, Signature]:
    """Returns signature name -> inputs and outputs of a loaded SavedModel."""
    return {
        name: Signature(
            inputs={n: _describe(s) for n, s in f.structured_input_signature[1].items()},
            outputs={n: _describe(s) for n, s in f.structured_outputs.items()},
        )
        for name, f in module.signatures.items()
    }


def _describe(spec: tf.TensorSpec) -> str:
    """uint8, (None, None, None, 3) -> "uint8 (batch, height, width, 3)"."""
    names = (BATCH, HEIGHT, WIDTH)
    axes = [names[i] if size is None else str(size) for i, size in enumerate(spec.shape.as_list())]
    return f"{spec.dtype.name} ({', '.join(axes)}{',' if len(axes) == 1 else ''})"
