"""What training may do to an image beyond mirroring it: zoom, shear, crop, colour.

In: scaled images and one seed each. Out: changed images of the same shape. The same seed gives the
same change, so an epoch can be repeated after a crash. Validation and test never come here.
"""

import tensorflow as tf

from components.trainer.config import TrainerConfig


def mirrored(seeds: tf.Tensor) -> tf.Tensor:
    """int32 (n, 2) -> bool (n,): which images an epoch mirrors; a half, in expectation."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform((), seed) < 0.5,
        seeds,
        fn_output_signature=tf.bool,
    )


def change(image: tf.Tensor, seed: tf.Tensor, config: TrainerConfig) -> tf.Tensor:
    """float32 (size, size, 3) in [-1, 1] -> the same, changed as the configuration says.

    Zoom, shear and crop are one projective transform (nothing is interpolated twice); what comes
    from outside the image repeats its edge, as the seed project's ImageDataGenerator does.
    """
    draw = tf.random.stateless_uniform((8,), seed + 1, -1.0, 1.0)
    if config.zoom or config.shear or config.crop:
        size = tf.cast(tf.shape(image)[0], tf.float32)
        kept = 1.0 - config.crop * (draw[2] + 1.0) / 2.0
        scale = (1.0 + config.zoom * draw[0]) * kept
        slope = tf.tan(config.shear * draw[1])
        # Output (x, y) takes its pixel from (scale x + slope y + dx, scale y + dy); without a
        # crop the centre stays where it is.
        spare = size * (1.0 - kept) / 2.0
        dx = size * (1.0 - scale - slope) / 2.0 + spare * draw[3]
        dy = size * (1.0 - scale) / 2.0 + spare * draw[4]
        transform = tf.stack([scale, slope, dx, 0.0, scale, dy, 0.0, 0.0])
        image = tf.raw_ops.ImageProjectiveTransformV3(
            images=image[None],
            transforms=transform[None],
            output_shape=tf.shape(image)[:2],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )[0]
    if config.colour:
        image = (image + 1.0) * (1.0 + config.colour * draw[5]) - 1.0
        image = tf.image.adjust_contrast(image, 1.0 + config.colour * draw[6])
        image = tf.clip_by_value(image, -1.0, 1.0)
    return image
