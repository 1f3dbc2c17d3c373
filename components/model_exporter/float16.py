"""From ONNX float32 to float16, for GPUs.

In: the float32 model. Out: the same graph computing in float16. Inputs and outputs keep their
types; resize and scaling (pixels of 0 to 255 need more than float16's eleven bits between whole
numbers), and what turns the logit into answers, stay in float32.
"""

from typing import Final

import onnx
from onnxruntime.transformers import float16

FLOAT32_OPS: Final = ("Mul", "Sub", "Sigmoid", "Abs", "Less", "GreaterOrEqual")
"""Beside onnxruntime's own list. Of this graph they are the answers, nothing of the network: its
scales and offsets are in the convolutions."""


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy that computes in float16."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    return float16.convert_float_to_float16(
        copy,
        keep_io_types=True,
        op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *FLOAT32_OPS],
        node_block_list=before_convolutions(copy.graph),
    )


def before_convolutions(graph: onnx.GraphProto) -> list[str]:
    """Returns the names of the nodes that no convolution stands before: the preprocessing."""
    behind: set[str] = set()
    names = []
    for node in graph.node:  # in the order in which they are computed
        if node.op_type == "Conv" or not behind.isdisjoint(node.input):
            behind.update(node.output)
        else:
            names.append(node.name)
    return names
