"""What the exported SavedModel offers: three ways in, the same three numbers out; and embeddings.

In: a trained network and its calibration. Out: a tf.Module with the signatures that data.contract
names. Preprocessing is inside; a consumer hands over bytes, examples or pixels and nothing else.
"""

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from components.trainer import preprocessing
from components.trainer.calibration import Calibration
from components.trainer.model import POOLED, tensor_at
from data import contract


class ServingModule(tf.Module):  # type: ignore[misc]  # TensorFlow ships no types
    """The network with preprocessing, temperature and uncertainty band around it."""

    def __init__(self, model: keras.Model, calibration: Calibration) -> None:
        super().__init__(name="genq")
        self._size_px = int(model.input_shape[1])
        with_embedding = keras.Model(model.input, [model.output, tensor_at(model, POOLED)])
        # One function that all signatures call: else each has the network's thousand operations of
        # its own, traced here, written, and read by everybody who loads the model.
        self._network = tf.function(
            lambda scaled: with_embedding(scaled, training=False),
            input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)],
        )
        # Tracked by the module, so that the variables go into the SavedModel.
        self._weights = list(model.variables)
        self._calibration = calibration

    def _answers(self, scaled: tf.Tensor) -> dict[str, tf.Tensor]:
        """float32 (batch, size, size, 3) -> the three outputs of data.contract, each (batch,)."""
        logits, _ = self._network(scaled)
        return self._answer(logits)

    def _answer(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """(batch, 1) -> the three outputs."""
        logits = tf.cast(logits, tf.float32)[:, 0]
        p_positive = tf.sigmoid(logits / self._calibration.temperature)
        certainty = tf.abs(p_positive - 0.5)
        return {
            contract.P_POSITIVE: tf.identity(p_positive, contract.P_POSITIVE),
            contract.LABEL: tf.cast(p_positive >= 0.5, tf.int64, name=contract.LABEL),
            contract.UNCERTAIN: tf.less(
                certainty, self._calibration.uncertain_below, name=contract.UNCERTAIN
            ),
        }

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])  # type: ignore[untyped-decorator]
    def encoded(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """JPEG or PNG bytes, string (batch,)."""
        return self._answers(preprocessing.decode_batch(image_bytes, self._size_px))

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "examples")])  # type: ignore[untyped-decorator]
    def examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialized tf.train.Example, string (batch,)."""
        return self._answers(self._scaled(examples))

    def _scaled(self, examples: tf.Tensor) -> tf.Tensor:
        """Serialized tf.train.Example -> float32 (batch, size, size, 3)."""
        image = {contract.IMAGE: preprocessing.EXAMPLE_FEATURES[contract.IMAGE]}
        parsed = tf.io.parse_example(examples, image)
        return preprocessing.decode_batch(parsed[contract.IMAGE], self._size_px)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, "image")])  # type: ignore[untyped-decorator]
    def pixels(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """uint8 (batch, height, width, 3), RGB."""
        return self._answers(preprocessing.resize_and_scale(image, self._size_px))

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "examples")])  # type: ignore[untyped-decorator]
    def embedding(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialized tf.train.Example, string (batch,): the outputs and what the head sees."""
        logits, embedding = self._network(self._scaled(examples))
        return self._answer(logits) | {contract.EMBEDDING: tf.cast(embedding, tf.float32)}

    def signatures(self) -> dict[str, Callable[..., dict[str, tf.Tensor]]]:
        """Signature name -> tf.function."""
        return {
            contract.SIGNATURE_ENCODED: self.encoded,
            contract.SIGNATURE_EXAMPLES: self.examples,
            contract.SIGNATURE_PIXELS: self.pixels,
            contract.SIGNATURE_EMBEDDING: self.embedding,
        }


def export(model: keras.Model, calibration: Calibration, path: Path) -> None:
    """Writes the SavedModel to `path`, computing in float32.

    Training may have run in bfloat16; what is shipped does not, so that SavedModel and ONNX agree
    to 1e-4 (bfloat16 carries three digits). The weights are float32 in either case.
    """
    float32 = as_float32(model)
    module = ServingModule(float32, calibration)
    tf.saved_model.save(module, str(path), signatures=module.signatures())


def as_float32(model: keras.Model) -> keras.Model:
    """Returns a copy of `model` whose layers compute in float32, with the same weights."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        config["dtype"] = "float32"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy
