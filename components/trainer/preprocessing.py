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
    consumer hands over crops of the same ratio. The resize is linear and antialiased, Pillow's
    BILINEAR: without antialiasing a sharp photo looks unlike a soft one after shrinking, and the
    network learns how sharp its training images were (docs/decisions/0019). It is two products
    with small matrices, because tf2onnx carries those over exactly and no version of ONNX's Resize
    does antialiasing as TensorFlow does. The scale is that of
    `keras.applications.inception_v3.preprocess_input`.
    """
    pixels = tf.cast(image, tf.float32)
    height, width = tf.shape(pixels)[-3], tf.shape(pixels)[-2]
    before = list(range(pixels.shape.rank - 3))
    first, second, third = (len(before) + axis for axis in range(3))
    planes = tf.transpose(pixels, [*before, third, first, second])  # -> (..., 3, height, width)
    rows = _resize_weights(height, size_px) @ planes  # -> (..., 3, size, width)
    resized = rows @ tf.transpose(_resize_weights(width, size_px))  # -> (..., 3, size, size)
    return tf.transpose(resized, [*before, second, third, first]) / 127.5 - 1.0


def _resize_weights(pixels: tf.Tensor, size_px: int) -> tf.Tensor:
    """Returns float32 (size_px, pixels): what each pixel of an axis adds to each output pixel.

    A triangle around each output pixel's centre, as wide as the step between two of them, at least
    one pixel; normalised at the edges. So does Pillow (`Resample.c`, `precompute_coeffs`).
    """
    step = tf.cast(pixels, tf.float32) / size_px
    centre = (tf.range(size_px, dtype=tf.float32) + 0.5) * step - 0.5  # (size,)
    away = tf.range(tf.cast(pixels, tf.float32))[None, :] - centre[:, None]  # (size, pixels)
    weights = tf.maximum(1.0 - tf.abs(away) / tf.maximum(step, 1.0), 0.0)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


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
