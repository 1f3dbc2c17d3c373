"""From bytes to the backbone's input, inside the graph: once, for training, evaluation and export.

In: encoded images or uint8 pixels. Out: float32 in [-1, 1] at the model's size.
"""

from collections.abc import Mapping

import tensorflow as tf

from data import contract


def decode(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes one JPEG or PNG: string, () -> uint8, (height, width, 3)."""
    # tf.io.decode_jpeg reads PNG, too; `INTEGER_ACCURATE` is what every other decoder (Pillow,
    # browsers) does, where TensorFlow's default is a faster approximation.
    image = tf.io.decode_jpeg(image_bytes, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(image, (None, None, 3))


def resize_and_scale(image: tf.Tensor, size_px: int) -> tf.Tensor:
    """uint8, (..., height, width, 3) -> float32, (..., size_px, size_px, 3) in [-1, 1].

    The aspect ratio is not kept (178x218 becomes square), as most CelebA models do it; every
    consumer hands over crops of the same ratio. Bilinear with half-pixel centres and without
    antialiasing is what tf2onnx carries over exactly. The scale is that of
    `keras.applications.inception_v3.preprocess_input`.
    """
    # tf2onnx 1.17 drops the conversion that TensorFlow's resize does by itself: say it.
    pixels = tf.cast(image, tf.float32)
    resized = tf.image.resize(pixels, (size_px, size_px), method="bilinear", antialias=False)
    return resized / 127.5 - 1.0


def decode_batch(image_bytes: tf.Tensor, size_px: int) -> tf.Tensor:
    """string, (batch,) -> float32, (batch, size_px, size_px, 3). Images may differ in size."""
    return tf.map_fn(
        lambda encoded: resize_and_scale(decode(encoded), size_px),
        image_bytes,
        fn_output_signature=tf.TensorSpec((size_px, size_px, 3), tf.float32),
    )


EXAMPLE_FEATURES: Mapping[str, tf.io.FixedLenFeature] = {
    contract.IMAGE: tf.io.FixedLenFeature([], tf.string),
    contract.LABEL: tf.io.FixedLenFeature([], tf.int64),
}
"""What training reads of an example."""


def parse_example(serialized: tf.Tensor, size_px: int) -> tuple[tf.Tensor, tf.Tensor]:
    """One example -> (float32 image (size_px, size_px, 3), float32 label () 0 or 1)."""
    features = tf.io.parse_single_example(serialized, dict(EXAMPLE_FEATURES))
    image = resize_and_scale(decode(features[contract.IMAGE]), size_px)
    return image, tf.cast(features[contract.LABEL], tf.float32)
