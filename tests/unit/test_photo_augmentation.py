"""Training images changed as photographs of other sources are; shrinking as Pillow does it."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.trainer import photo_augmentation, preprocessing
from components.trainer.photo_augmentation import photo_like

SIZE_PX = 75


@pytest.fixture(scope="module")
def images() -> tf.Tensor:
    """Smooth pictures with an edge, float32 (6, 75, 75, 3) in [-1, 1]."""
    y, x, c = np.indices((SIZE_PX, SIZE_PX, 3))
    rng = np.random.default_rng(1)
    waves = [np.sin(x / rng.uniform(3, 9) + c) * np.cos(y / rng.uniform(3, 9)) for _ in range(6)]
    return tf.constant(0.8 * np.stack(waves), tf.float32)


def test_the_same_seed_changes_alike_and_another_one_otherwise(images: tf.Tensor) -> None:
    """So an epoch that was interrupted is repeated with the same images."""
    first = photo_like(images, tf.constant([3, 4]), 1.0).numpy()
    again = photo_like(images, tf.constant([3, 4]), 1.0).numpy()
    other = photo_like(images, tf.constant([3, 5]), 1.0).numpy()
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.05


def test_images_keep_shape_and_range_and_change_one_by_one(images: tf.Tensor) -> None:
    """Pixels stay in [-1, 1]; two equal images of a batch are not changed alike."""
    twice = tf.concat([images[:1], images[:1]], 0)
    seen = []
    for seed in range(8):
        changed = photo_like(twice, tf.constant([seed, 0]), 1.0).numpy()
        assert changed.shape == twice.shape
        assert changed.min() >= -1.0
        assert changed.max() <= 1.0
        seen.append(np.abs(changed[0] - changed[1]).mean())
    assert np.median(seen) > 0.05


def test_no_strength_is_no_change(images: tf.Tensor) -> None:
    """Strength 0 gives back the image, but for the rounding of a transform that moves nothing."""
    same = photo_like(images, tf.constant([1, 2]), 0.0)
    np.testing.assert_allclose(same, images, atol=1e-4)


def test_some_images_are_cut_as_tightly_as_a_photo_that_ends_at_the_forehead() -> None:
    """The repeated edge fills the crop's border; the middle, with eyes and mouth, stays."""
    axis = np.linspace(-1, 1, SIZE_PX, dtype=np.float32)
    ramp = np.broadcast_to(axis[:, None, None], (64, SIZE_PX, SIZE_PX, 3))
    draw = tf.unstack(tf.random.stateless_uniform((11, 64), (1, 2)), num=11)
    cut = photo_augmentation._cut_tightly(tf.constant(ramp), draw, 1.0).numpy()
    top = (np.abs(cut[:, 0] - cut[:, 5]).max((1, 2)) < 1e-6).mean()
    assert 0.2 < top < 0.5, "0.4 are cut, four fifths of them at the top"
    middle = slice(int(0.42 * SIZE_PX) + 1, int(0.7 * SIZE_PX))
    np.testing.assert_array_equal(cut[:, middle, middle], ramp[:, middle, middle])


def test_some_faces_get_the_hair_of_the_next_image() -> None:
    """Eyes, nose and mouth stay; the corners are the next image's; the others stay as they are."""
    levels = np.linspace(-1, 1, 60, dtype=np.float32)
    flat = tf.constant(np.broadcast_to(levels[:, None, None, None], (60, SIZE_PX, SIZE_PX, 3)))
    draw = tf.random.stateless_uniform((60,), (3, 4))
    seen = photo_augmentation._change_surroundings(flat, draw, 1.0).numpy()
    swapped = draw.numpy() < 0.2
    assert 4 < swapped.sum() < 24
    np.testing.assert_array_equal(seen[~swapped], flat.numpy()[~swapped])
    eyes = [round(SIZE_PX * part) for part in (111 / 218, 69 / 178)]
    mouth = [round(SIZE_PX * part) for part in (150 / 218, 89 / 178)]
    for y, x in (eyes, mouth):
        np.testing.assert_allclose(seen[:, y, x, 0], levels, atol=0.25)
    for y, x in ((0, 0), (5, 37), (70, 70)):
        corner = seen[swapped][:, y, x, 0]
        np.testing.assert_allclose(corner, np.roll(levels, 1)[swapped], atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(218, 178), (109, 89), (41, 33), (75, 75)])
def test_resizing_is_pillows_bilinear(height: int, width: int) -> None:
    """Antialiased where it shrinks, the same within rounding; one image or a batch."""
    pixels = np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)
    by_pillow = np.stack(
        [
            np.asarray(
                Image.fromarray(pixels[..., c].astype(np.float32)).resize(
                    (SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR
                )
            )
            for c in range(3)
        ],
        -1,
    )
    one = preprocessing.resize_and_scale(tf.constant(pixels), SIZE_PX)
    batch = preprocessing.resize_and_scale(tf.constant(pixels[None]), SIZE_PX)
    np.testing.assert_allclose(one, by_pillow / 127.5 - 1.0, atol=2e-5)
    np.testing.assert_allclose(batch[0], one, atol=1e-6)
