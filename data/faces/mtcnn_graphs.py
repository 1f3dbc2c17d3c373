"""MTCNN's three networks as ONNX, from the weights inside the `mtcnn` package.

In: the installed `mtcnn` 1.0.0 distribution (MIT licence), of which only the weight files are read;
importing it would import TensorFlow. Out: three serialized ONNX models:

    pnet  photo uint8 (1, h, w, 3)     -> face (1, h', w'), box (1, 4, h', w')
    rnet  patches float32 (n, 24, 24, 3) -> face (n,), box (n, 4)
    onet  patches float32 (n, 48, 48, 3) -> face (n,), box (n, 4), landmarks (n, 10)

`face` is the softmax probability, `box` offsets (x1, y1, x2, y2) in units of the box's size.
Patches hold pixel values 0-255. Networks: Zhang et al. 2016, "Joint Face Detection and Alignment
Using Multitask Cascaded Convolutional Networks"; the layers are those of the package's network/.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data.errors import WeightsError

SHA256: Final = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
"""Of the weight files. They are pickles, which can run code: nothing else is ever unpickled."""

_OPSET: Final = 18
_IR_VERSION: Final = 9


def graphs() -> dict[str, bytes]:
    """Returns the serialized ONNX models "pnet", "rnet", "onet".

    Raises:
      WeightsError: if the package is missing, or its weights are not those that we know.
    """
    return {"pnet": _pnet(), "rnet": _rnet(), "onet": _onet()}


def load_weights(name: str) -> list[NDArray[np.float32]]:
    """Returns the arrays of one network in Keras's order and layouts.

    Raises:
      WeightsError: as `graphs`.
    """
    spec = importlib.util.find_spec("mtcnn")  # finds, and does not import
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            "The package mtcnn, which carries the face detector's weights, is not installed.",
            "pip install 'genq[serving]'",
        )
    path = Path(spec.submodule_search_locations[0]) / "assets" / "weights" / f"{name}.lz4"
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror}.",
            "pip install --force-reinstall mtcnn==1.0.0",
        ) from error
    if digest != SHA256[name]:
        raise WeightsError(
            f"{path} has SHA-256 {digest[:12]}…, expected {SHA256[name][:12]}….",
            "pip install --force-reinstall mtcnn==1.0.0",
        )
    import joblib

    weights: list[NDArray[np.float32]] = joblib.load(path)
    return weights


class _Graph:
    """Collects nodes and constants; every method appends one layer and returns its output."""

    def __init__(self, name: str) -> None:
        from onnx import helper, numpy_helper

        self._helper, self._to_tensor = helper, numpy_helper.from_array
        self._name = name
        self._weights = load_weights(name)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._to_tensor(np.asarray(value, order="C"), name))
        return name

    def scaled(self, pixels: str) -> str:
        """(n, h, w, 3), 0-255 -> (n, 3, h, w), (p - 127.5) / 128."""
        x = self.node("Cast", pixels, to=self._helper.np_dtype_to_tensor_dtype(np.dtype("float32")))
        x = self.node("Sub", x, self.constant(np.float32(127.5)))
        x = self.node("Div", x, self.constant(np.float32(128)))
        return self.node("Transpose", x, perm=[0, 3, 1, 2])

    def conv(self, x: str) -> str:
        kernel, bias = self._weights.pop(0), self._weights.pop(0)
        oihw = self.constant(kernel.transpose(3, 2, 0, 1))
        return self.node("Conv", x, oihw, self.constant(bias))

    def dense(self, x: str) -> str:
        kernel, bias = self._weights.pop(0), self._weights.pop(0)
        return self.node("Gemm", x, self.constant(kernel), self.constant(bias))

    def prelu(self, x: str) -> str:
        slope = self._weights.pop(0)
        if slope.ndim == 3:  # (1, 1, c), shared over height and width
            slope = slope.transpose(2, 0, 1)
        return self.node("PRelu", x, self.constant(slope))

    def pool(self, x: str, size: int, *, same: bool) -> str:
        pad = "SAME_UPPER" if same else "VALID"
        return self.node("MaxPool", x, kernel_shape=[size] * 2, strides=[2, 2], auto_pad=pad)

    def flatten(self, x: str) -> str:
        """Width before height before channels, as the package's Permute((2, 1, 3)) + Flatten."""
        return self.node("Flatten", self.node("Transpose", x, perm=[0, 3, 2, 1]))

    def face(self, logits: str) -> None:
        """Names the second of two softmax classes "face"."""
        classes = self.node("Softmax", logits, axis=1)
        second = self.constant(np.int64(1))
        self.node("Gather", classes, second, output="face", axis=1)

    def serialize(self, dtype: str, shape: list[int | str], outputs: dict[str, list[Any]]) -> bytes:
        if self._weights:
            raise WeightsError(f"{self._name}: {len(self._weights)} weight arrays were not used.")
        helper = self._helper

        def value(name: str, dtype: str, shape: list[int | str]) -> Any:
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
            return helper.make_tensor_value_info(name, kind, shape)

        graph = helper.make_graph(
            self._nodes,
            self._name,
            [value("pixels", dtype, shape)],
            [value(name, "float32", s) for name, s in outputs.items()],
            self._constants,
        )
        opset = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION)
        serialized: bytes = model.SerializeToString()
        return serialized


def _pnet() -> bytes:
    g = _Graph("pnet")
    x = g.prelu(g.conv(g.scaled("pixels")))
    x = g.pool(x, 2, same=True)
    x = g.prelu(g.conv(x))
    x = g.prelu(g.conv(x))
    g.node("Identity", g.conv(x), output="box")
    g.face(g.conv(x))
    outputs: dict[str, list[Any]] = {
        "face": [1, "rows", "columns"],
        "box": [1, 4, "rows", "columns"],
    }
    return g.serialize("uint8", [1, "height", "width", 3], outputs)


def _rnet() -> bytes:
    g = _Graph("rnet")
    x = g.pool(g.prelu(g.conv(g.scaled("pixels"))), 3, same=True)  # -> (n, 28, 11, 11)
    x = g.pool(g.prelu(g.conv(x)), 3, same=False)  # -> (n, 48, 4, 4)
    x = g.flatten(g.prelu(g.conv(x)))  # (n, 64, 3, 3) -> (n, 576)
    x = g.prelu(g.dense(x))
    g.node("Identity", g.dense(x), output="box")
    g.face(g.dense(x))
    return g.serialize("float32", ["n", 24, 24, 3], {"face": ["n"], "box": ["n", 4]})


def _onet() -> bytes:
    g = _Graph("onet")
    x = g.pool(g.prelu(g.conv(g.scaled("pixels"))), 3, same=True)  # -> (n, 32, 23, 23)
    x = g.pool(g.prelu(g.conv(x)), 3, same=False)  # -> (n, 64, 10, 10)
    x = g.pool(g.prelu(g.conv(x)), 2, same=True)  # -> (n, 64, 4, 4)
    x = g.flatten(g.prelu(g.conv(x)))  # (n, 128, 3, 3) -> (n, 1152)
    x = g.prelu(g.dense(x))
    g.node("Identity", g.dense(x), output="box")
    g.node("Identity", g.dense(x), output="landmarks")
    g.face(g.dense(x))
    outputs: dict[str, list[Any]] = {"face": ["n"], "box": ["n", 4], "landmarks": ["n", 10]}
    return g.serialize("float32", ["n", 48, 48, 3], outputs)
