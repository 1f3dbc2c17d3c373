"""Makes training images look as photographs of other sources do once a detector has cut them out.

In: scaled images and seeds. Out: changed images of the same shape. CelebA's crops are alike in what
a photo is not: the eyes stand at the same two pixels, every image is as sharp and as compressed as
the next. A network learns that with the faces, and fails where it is missing (docs/field-log.md,
2026-11-28). So each image is turned, scaled, stretched and shifted, made softer or sharper,
changed in colour, sometimes made grey, noisy, compressed anew, covered in part, given the hair and
background of another image, or cut so tightly that the rest of the crop is the repeated edge, as
`data.faces.alignment` makes it of a photo that ends at the forehead.

The changes are drawn from the seeds: a repeated epoch changes its images alike. Figures of val and
test are of images as they are; only the band of "uncertain" is chosen on changed ones of val, too.
"""

from __future__ import annotations

from typing import Final

import tensorflow as tf

DRAWS: Final = 32
"""Random numbers an image takes."""

CROP_RATIO: Final = 218 / 178
"""Height to width of the crop that was squeezed into a square; a turn has to allow for it."""


def photo_like(images: tf.Tensor, seed: tf.Tensor, strength: float) -> tf.Tensor:
    """float32 (batch, size, size, 3) in [-1, 1] -> the same shape and range, changed.

    Args:
      images: scaled images.
      seed: int32 (2,); the same seed gives the same changes.
      strength: 0 changes nothing; 1 is the range that docs/field-log.md compares. It scales how far
        and how often an image is changed.
    """
    count = tf.shape(images)[0]
    draw = tf.unstack(tf.random.stateless_uniform((DRAWS, count), seed), num=DRAWS)  # each (batch,)
    turned = tf.random.stateless_normal((count,), seed + 1)
    images = _change_surroundings(images, draw[31], strength)
    images = _cut_tightly(images, draw[20:31], strength)
    images = _move(images, draw[:8], turned, strength)
    pixels = (images + 1.0) * 127.5
    pixels = _sharpen_or_soften(pixels, draw[8:12], strength)
    pixels = _recolour(pixels, draw[12:15], seed, strength)
    pixels = _cover(pixels, draw[15:18], seed, strength)
    pixels = _compress(tf.clip_by_value(pixels, 0.0, 255.0), draw[18:20], strength)
    return pixels / 127.5 - 1.0


def _between(draw: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Uniform in [0, 1) -> uniform in [low, high)."""
    return low + (high - low) * draw


def _often(draw: tf.Tensor, probability: float) -> tf.Tensor:
    """Uniform in [0, 1) -> 1.0 with the probability, else 0.0."""
    return tf.cast(draw < probability, tf.float32)


FACE_MIDDLE: Final = (0.50, 0.575)
FACE_RADII: Final = (0.26, 0.235)
"""The oval from the hairline to the chin, as x and y in shares of CelebA's crop: eyes are 39 of its
178 px apart, at y = 111 of 218, the mouth is at 150."""


def _change_surroundings(images: tf.Tensor, draw: tf.Tensor, strength: float) -> tf.Tensor:
    """Puts one of five faces into the hair and background of the batch's next image.

    Hair alone decides most of CelebA; a woman with short hair was taken for a man.
    """
    axis = (tf.range(float(images.shape[1])) + 0.5) / images.shape[1]
    x = (axis[None, :] - FACE_MIDDLE[0]) / FACE_RADII[0]
    y = (axis[:, None] - FACE_MIDDLE[1]) / FACE_RADII[1]
    face = tf.sigmoid((1.0 - tf.sqrt(x**2 + y**2)) / 0.06)[None, :, :, None]
    kept = 1.0 - _often(draw, 0.2 * strength)[:, None, None, None] * (1.0 - face)
    return kept * images + (1.0 - kept) * tf.roll(images, 1, 0)


TIGHT_SIDES: Final = ((0.08, 0.30), (0.70, 0.92), (0.12, 0.42), (0.76, 0.97))
"""Where a tight photo ends: ranges of left, right, top and bottom as shares of the crop. Eyes, nose
and mouth lie inside of all of them."""


def _cut_tightly(images: tf.Tensor, draw: list[tf.Tensor], strength: float) -> tf.Tensor:
    """Cuts two of five images at most of their sides.

    Outside is the repeated edge, or in three of ten cut images black or one grey.
    """
    size = images.shape[1]
    cut = draw[0] < 0.4 * strength

    def border(
        place: tf.Tensor, chosen: tf.Tensor, share: tuple[float, float], whole: float
    ) -> tf.Tensor:
        here = tf.logical_and(cut, chosen < 0.8)
        return (size - 1) * tf.where(here, _between(place, *share), whole)[:, None]  # (batch, 1)

    left, right, top, bottom = (
        border(draw[1 + 2 * side], draw[2 + 2 * side], share, float(side % 2))
        for side, share in enumerate(TIGHT_SIDES)
    )
    axis = tf.range(float(size))[None, :]
    x = tf.minimum(tf.maximum(axis, left), right)  # (batch, size)
    y = tf.minimum(tf.maximum(axis, top), bottom)
    rows = tf.gather(images, tf.cast(tf.round(y), tf.int32), axis=1, batch_dims=1)
    repeated = tf.gather(rows, tf.cast(tf.round(x), tf.int32), axis=2, batch_dims=1)
    inside = tf.logical_and((y == axis)[:, :, None], (x == axis)[:, None, :])[..., None]
    level = tf.maximum(_between(draw[9], -3.0, 1.0), -1.0)[:, None, None, None]
    flat = tf.where(inside, images, level)
    return tf.where((draw[10] < 0.3)[:, None, None, None], flat, repeated)


def _move(
    images: tf.Tensor, draw: list[tf.Tensor], turned: tf.Tensor, strength: float
) -> tf.Tensor:
    """Turns (standard deviation 10 degrees), scales, stretches, shears and shifts, in one step.

    What comes from outside is the repeated edge, or in three of ten images grey (0), as in a photo
    whose face touches the border.
    """
    size = images.shape[1]
    on = strength * _often(draw[0], 0.85)
    angle = on * 0.17 * turned
    scale = tf.exp(on * _between(draw[1], -0.3, 0.3))
    stretch = tf.exp(on * _between(draw[2], -0.1, 0.1))
    shear = on * _between(draw[3], -0.1, 0.1)
    shift_x = on * size * _between(draw[4], -0.1, 0.1)
    shift_y = on * size * _between(draw[5], -0.1, 0.1)
    cos, sin = tf.cos(angle), tf.sin(angle)
    # Output (x, y) takes its pixel from (a x + b y + dx, c x + d y + dy); the middle stays there
    # but for the shift. In the squeezed square an upright pixel is CROP_RATIO times as high.
    a, b = scale * stretch * cos, -scale * sin * CROP_RATIO + shear
    c, d = scale * sin / CROP_RATIO, scale * cos / stretch
    middle = size / 2
    dx = middle + shift_x - (a + b) * middle
    dy = middle + shift_y - (c + d) * middle
    zero = tf.zeros_like(a)
    transforms = tf.stack([a, b, dx, c, d, dy, zero, zero], 1)  # (batch, 8)

    def moved(fill: str) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=transforms,
            output_shape=[size, size],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode=fill,
        )

    grey = draw[6] < 0.3 * strength
    return tf.where(grey[:, None, None, None], moved("CONSTANT"), moved("NEAREST"))


def _sharpen_or_soften(pixels: tf.Tensor, draw: list[tf.Tensor], strength: float) -> tf.Tensor:
    """Unsharp masks of two radii: a positive amount sharpens, -1 leaves only the blurred image."""
    size = pixels.shape[1]
    fine = _between(draw[0], -1.0, 1.5) * _often(draw[1], 0.6 * strength)
    coarse = _between(draw[2], -0.9, 0.2) * _often(draw[3], 0.3 * strength)
    fine_detail = pixels - _blur(pixels, size / 150)
    coarse_detail = pixels - _blur(pixels, 2.2 * size / 150)
    return (
        pixels
        + fine[:, None, None, None] * fine_detail
        + (coarse[:, None, None, None] * coarse_detail)
    )


def _blur(pixels: tf.Tensor, sigma_px: float) -> tf.Tensor:
    """Gaussian blur, separable, nine taps a side."""
    kernel = tf.exp(-(tf.range(-4.0, 5.0) ** 2) / (2 * sigma_px**2))
    kernel = tf.tile((kernel / tf.reduce_sum(kernel))[:, None, None, None], (1, 1, 3, 1))
    rows = tf.nn.depthwise_conv2d(pixels, kernel, [1, 1, 1, 1], "SAME")
    return tf.nn.depthwise_conv2d(rows, tf.transpose(kernel, (1, 0, 2, 3)), [1, 1, 1, 1], "SAME")


def _recolour(
    pixels: tf.Tensor, draw: list[tf.Tensor], seed: tf.Tensor, strength: float
) -> tf.Tensor:
    """Saturation (one in eight becomes grey), contrast, brightness, white balance, noise."""
    count = tf.shape(pixels)[0]
    more = tf.random.stateless_uniform((4, count), seed + 2)
    grey = tf.image.rgb_to_grayscale(pixels)
    saturation = 1.0 + strength * _between(draw[0], -0.4, 0.4)
    saturation *= 1.0 - _often(draw[1], 0.12 * strength)
    pixels = grey + saturation[:, None, None, None] * (pixels - grey)
    mean = tf.reduce_mean(pixels, (1, 2, 3), keepdims=True)
    contrast = 1.0 + strength * _between(draw[2], -0.35, 0.35)
    pixels = mean + contrast[:, None, None, None] * (pixels - mean)
    brightness = 1.0 + strength * _between(more[0], -0.3, 0.3)
    white = 1.0 + strength * tf.random.stateless_uniform((count, 1, 1, 3), seed + 3, -0.1, 0.1)
    pixels = pixels * brightness[:, None, None, None] * white
    # Half of the images stay as they are.
    noise = strength * tf.maximum(_between(more[1], -10.0, 10.0), 0.0)
    drawn = tf.random.stateless_normal(tf.shape(pixels), seed + 4)
    return pixels + noise[:, None, None, None] * drawn


def _cover(pixels: tf.Tensor, draw: list[tf.Tensor], seed: tf.Tensor, strength: float) -> tf.Tensor:
    """Covers a square of one colour, a tenth to two fifths of the side, in three of ten images.

    Random erasing (Zhong et al. 2020): hair, chin or background alone must not decide.
    """
    size = float(pixels.shape[1])
    count = tf.shape(pixels)[0]
    centre = size * tf.random.stateless_uniform((2, count), seed + 5)  # (2, batch)
    half = size * _between(draw[0], 0.1, 0.4) / 2 * _often(draw[1], 0.3 * strength)  # (batch,)
    axis = tf.range(size)
    inside_y = tf.abs(axis[None, :] - centre[0][:, None]) < half[:, None]  # (batch, size)
    inside_x = tf.abs(axis[None, :] - centre[1][:, None]) < half[:, None]
    inside = tf.logical_and(inside_y[:, :, None], inside_x[:, None, :])[..., None]
    return tf.where(inside, 255.0 * draw[2][:, None, None, None], pixels)


def _compress(pixels: tf.Tensor, draw: list[tf.Tensor], strength: float) -> tf.Tensor:
    """Writes three of ten images as JPEG of quality 25 to 90 and reads them again."""
    quality = tf.cast(_between(draw[1], 25.0, 91.0), tf.int32)

    def one(args: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, chosen, level = args
        return tf.cond(
            chosen,
            lambda: tf.cast(
                tf.image.adjust_jpeg_quality(tf.cast(image, tf.uint8), level), tf.float32
            ),
            lambda: image,
        )

    return tf.map_fn(
        one,
        (pixels, draw[0] < 0.3 * strength, quality),
        fn_output_signature=tf.TensorSpec(pixels.shape[1:], tf.float32),
    )
