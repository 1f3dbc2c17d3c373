"""Rewrites before quantisation: the same function, another order; or left alone."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.model_exporter.rewrites import pool_after_convolution


def network(*, kernel: int = 1, counted: int = 0, twice: bool = False, stride: int = 1) -> Any:
    """AveragePool -> Conv -> Relu, twice in a row; between them another node, as in real graphs."""
    rng = np.random.default_rng(0)
    nodes, weights, name = [], [], "x"
    for block, (channels_in, channels_out) in enumerate([(12, 4), (4, 3)]):
        shape = (channels_out, channels_in, kernel, kernel)
        weights += [
            numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), f"w{block}"),
            numpy_helper.from_array(rng.normal(size=channels_out).astype(np.float32), f"b{block}"),
        ]
        nodes += [
            helper.make_node(
                "AveragePool",
                [name],
                [f"pooled{block}"],
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
                count_include_pad=counted,
            ),
            helper.make_node("Abs", [name], [f"side{block}"]),
            helper.make_node(
                "Conv",
                [f"pooled{block}", f"w{block}", f"b{block}"],
                [f"conv{block}"],
                kernel_shape=[kernel, kernel],
                pads=[kernel // 2] * 4,
                strides=[stride, stride],
            ),
            helper.make_node("Relu", [f"conv{block}"], [f"y{block}"]),
        ]
        name = f"y{block}"
    outputs = [("y1", 4), ("side0", 4), ("side1", 4), *([("pooled0", 4)] if twice else [])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 12, 9, 11])],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, [None] * rank) for o, rank in outputs],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def answers(model: Any) -> list[Any]:
    x = np.random.default_rng(1).normal(size=(2, 12, 9, 11)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return list(session.run(None, {"x": x}))


def test_pooling_and_a_small_convolution_change_places_and_nothing_else_changes() -> None:
    """At the borders, too, where fewer pixels are averaged; with a bias; one after another."""
    model = network()
    expected = answers(model)
    assert pool_after_convolution(model) == 2
    onnx.checker.check_model(model, full_check=True)
    kinds = [n.op_type for n in model.graph.node]
    assert kinds == ["Conv", "Abs", "AveragePool", "Relu"] * 2
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim][1:]
        for v in model.graph.value_info
    }
    assert shapes["pooled0"] == [4, 9, 11]  # now the convolution's
    for found, before in zip(answers(model), expected, strict=True):
        np.testing.assert_allclose(found, before, atol=1e-5)
    assert pool_after_convolution(model) == 0


@pytest.mark.parametrize(
    "shape", [{"counted": 1}, {"kernel": 3}, {"stride": 2}], ids=["padding", "3x3", "stride"]
)
def test_what_does_not_commute_is_left_alone(shape: dict[str, int]) -> None:
    """Counted padding would dilute the bias; a larger or strided convolution sees neighbours."""
    model = network(**shape)
    before = model.SerializeToString()
    assert pool_after_convolution(model) == 0
    assert [n.op_type for n in onnx.ModelProto.FromString(before).graph.node] == [
        n.op_type for n in model.graph.node
    ]


def test_a_pooling_that_others_read_is_left_alone() -> None:
    """Its values are an output of the graph."""
    assert pool_after_convolution(network(twice=True)) == 1
