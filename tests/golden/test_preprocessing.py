"""Preprocessing gives one tensor, whoever computes it: eager, tf.data, SavedModel, ONNX.

The tensor is kept in `preprocessing.npz`, so a change of TensorFlow, tf2onnx or of the code shows.
Made by `PYTHONPATH=. python tests/golden/test_preprocessing.py`; a new tensor is a new kind
of model, and a decision.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import tf2onnx

from components.trainer import preprocessing

GOLDEN = Path(__file__).with_name("preprocessing.npz")
SIZE_PX = 75
ATOL = 1e-5
"""Of numbers in [-1, 1]: float32 rounding of two interpolations and a division."""


class Preprocessing(tf.Module):
    """Only the preprocessing of the exported model."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, "image")])
    def __call__(self, image: tf.Tensor) -> tf.Tensor:
        """uint8 (batch, height, width, 3) -> float32 (batch, 75, 75, 3)."""
        return preprocessing.resize_and_scale(image, SIZE_PX)


def eager(image: np.ndarray, folder: Path) -> np.ndarray:
    return preprocessing.resize_and_scale(tf.constant(image), SIZE_PX).numpy()


def inside_tf_data(image: np.ndarray, folder: Path) -> np.ndarray:
    dataset = tf.data.Dataset.from_tensors(image)
    mapped = dataset.map(lambda i: preprocessing.resize_and_scale(i, SIZE_PX))
    return next(mapped.as_numpy_iterator())


def saved_model(image: np.ndarray, folder: Path) -> np.ndarray:
    tf.saved_model.save(Preprocessing(), str(folder))
    return tf.saved_model.load(str(folder))(tf.constant(image[None])).numpy()[0]


def onnx(image: np.ndarray, folder: Path) -> np.ndarray:
    module = Preprocessing()
    model, _ = tf2onnx.convert.from_function(
        module.__call__, input_signature=module.__call__.input_signature, opset=18
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: image[None]})[0][0]


@pytest.mark.parametrize("compute", [eager, inside_tf_data, saved_model, onnx])
@pytest.mark.parametrize("name", ["smaller", "larger"])
def test_every_way_gives_the_golden_tensor(
    compute: Callable[[np.ndarray, Path], np.ndarray], name: str, tmp_path: Path
) -> None:
    """From an image that is shrunk, and one that is enlarged."""
    golden = np.load(GOLDEN)
    found = compute(golden[f"{name}_image"], tmp_path)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, golden[f"{name}_tensor"], atol=ATOL)


def make() -> None:
    """Writes the golden file: smooth pictures in CelebA's ratio, with some noise."""
    rng = np.random.default_rng(20261124)
    content = {}
    for name, (height, width) in {"smaller": (109, 89), "larger": (41, 33)}.items():
        y, x, c = np.indices((height, width, 3))
        wave = 127.5 + 100 * np.sin(x / 7 + c) * np.cos(y / 11 - c) + rng.normal(0, 8, x.shape)
        image = wave.clip(0, 255).astype(np.uint8)
        content[f"{name}_image"] = image
        content[f"{name}_tensor"] = preprocessing.resize_and_scale(image, SIZE_PX).numpy()
    np.savez_compressed(GOLDEN, **content)


if __name__ == "__main__":
    make()
