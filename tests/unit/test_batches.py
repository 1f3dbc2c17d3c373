"""What the network is fed: order, mirrors, mixtures, weights."""

from dataclasses import replace

import numpy as np
import tensorflow as tf

from components.trainer import augmentation
from components.trainer.batches import (
    Source,
    balanced_weights,
    changed_batches,
    image_source,
    plain_batches,
    training_batches,
)
from components.trainer.config import TrainerConfig
from components.trainer.images import LabelledImages

CONFIG = TrainerConfig(batch_size=4)
COUNT = 10
LABELS = (np.arange(COUNT) % 2).astype(np.float32)


def numbered() -> Source:
    """Inputs that say which example they are, negative where it would be mirrored."""

    def training(index: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        value = tf.cast(index + 1, tf.float32)
        return tf.where(augmentation.mirrored(seeds), -value, value)[:, None]

    return Source(LABELS, training, lambda index, seeds: tf.cast(index + 1, tf.float32)[:, None])


def epochs(config: TrainerConfig, *, phase: str = "head", first: int = 0) -> list[np.ndarray]:
    """The inputs of each of four epochs, (steps x batch,)."""
    batches, steps = training_batches(numbered(), config, phase=phase, first_epoch=first, epochs=4)
    inputs = [element[0].numpy()[:, 0] for element in batches]
    return [np.concatenate(inputs[i : i + steps]) for i in range(0, len(inputs), steps)]


def test_an_epoch_is_a_permutation_and_each_is_another() -> None:
    """Eight of ten examples (two do not fill a batch), none twice; labels go with them."""
    batches, steps = training_batches(numbered(), CONFIG, phase="head", first_epoch=0, epochs=4)
    assert steps == 2
    for inputs, labels in batches:
        examples = np.abs(inputs.numpy()).astype(int) - 1
        np.testing.assert_array_equal(labels, LABELS[examples])
    orders = [np.abs(epoch) for epoch in epochs(CONFIG)]
    assert all(len(set(order)) == 8 for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_an_epoch_depends_on_seed_phase_and_number_only() -> None:
    """Begun at the third epoch, the order and the mirrors are those of the third epoch."""
    whole = epochs(CONFIG)
    for late, same in zip(epochs(CONFIG, first=2), whole[2:], strict=True):
        np.testing.assert_array_equal(late, same)
    assert any((a != b).any() for a, b in zip(epochs(CONFIG, phase="full"), whole, strict=True))
    other = epochs(replace(CONFIG, seed=1))
    assert any((a != b).any() for a, b in zip(other, whole, strict=True))


def test_about_half_is_mirrored() -> None:
    """2,000 seeds: within four standard deviations of a half."""
    seeds = np.random.default_rng(0).integers(0, 2**31 - 1, (2000, 2), dtype=np.int32)
    assert abs(augmentation.mirrored(tf.constant(seeds)).numpy().mean() - 0.5) < 4 * 0.5 / 2000**0.5


def test_validation_sees_every_example_once_in_order_and_plain() -> None:
    """Ten examples in batches of four, four and two; none negative."""
    inputs = [element[0].numpy()[:, 0] for element in plain_batches(numbered(), 4)]
    assert [len(batch) for batch in inputs] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(inputs), np.arange(COUNT) + 1)


def test_mixup_is_one_convex_mixture_of_inputs_and_labels() -> None:
    """With inputs equal to labels, both are mixed by the same share."""

    def labelled(index: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.constant(LABELS), index)[:, None]

    source = Source(LABELS, labelled, labelled)
    batches, _ = training_batches(
        source, replace(CONFIG, mixup=0.4), phase="head", first_epoch=0, epochs=20
    )
    values = []
    for inputs, labels in batches:
        np.testing.assert_allclose(inputs, labels, atol=1e-6)
        np.testing.assert_allclose(
            labels[0] + labels[-1], np.round(labels[0] + labels[-1]), atol=1e-6
        )
        values.extend(labels.numpy()[:, 0])
    assert min(values) >= 0 and max(values) <= 1
    assert sum(0.01 < value < 0.99 for value in values) > 10


def test_balanced_weights_give_both_classes_the_same_sum() -> None:
    """Three of class 0, one of class 1: 2/3 and 2; the weight goes with its example."""
    labels = np.array([0, 0, 0, 1], np.float32)
    assert balanced_weights(labels) == (4 / 6, 4 / 2)
    assert balanced_weights(np.zeros(3, np.float32)) == (0.5, 1.0)
    source = Source(labels, lambda i, s: tf.zeros((4, 1)), lambda i, s: tf.zeros((4, 1)))
    config = replace(CONFIG, class_weight="balanced")
    batches, _ = training_batches(source, config, phase="head", first_epoch=0, epochs=1)
    [(_, target, weight)] = batches
    np.testing.assert_allclose(weight, np.where(target[:, 0] == 1, 2.0, 2 / 3))


def test_only_training_images_are_made_to_look_like_photos() -> None:
    """With photo_like, what validation sees stays as it is, and training sees changed images."""
    rng = np.random.default_rng(2)
    encoded = [
        tf.io.encode_jpeg(rng.integers(0, 256, (218, 178, 3), np.uint8)).numpy() for _ in range(4)
    ]
    images = LabelledImages(tf.constant(encoded), LABELS[:4], tuple(encoded))
    plain = replace(CONFIG, image_size_px=75, flip=False)
    like_photos = replace(plain, photo_like=1.0)
    index, seeds = tf.range(4, dtype=tf.int64), tf.constant([[1, 2]] * 4)
    as_it_is = image_source(images, plain).training(index, seeds)
    np.testing.assert_array_equal(image_source(images, like_photos).plain(index, seeds), as_it_is)
    changed = image_source(images, like_photos).training(index, seeds)
    assert np.abs(changed - as_it_is).mean() > 0.05
    # The band is chosen on such images, too: all of them, in order, the last batch smaller.
    once, again, other = (
        list(changed_batches(image_source(images, like_photos), 3, number).as_numpy_iterator())
        for number in (0, 0, 1)
    )
    assert [len(batch) for batch in once] == [3, 1]
    np.testing.assert_array_equal(np.concatenate(once), np.concatenate(again))
    assert np.abs(np.concatenate(once) - np.concatenate(other)).mean() > 0.05
    assert np.abs(np.concatenate(once) - as_it_is).mean() > 0.05


def test_augmentation_follows_its_seed_eagerly_and_in_tf_data() -> None:
    """Each change alters the image, stays in [-1, 1], and is the same for the same seed."""
    image = tf.constant(np.random.default_rng(0).uniform(-1, 1, (75, 75, 3)), tf.float32)
    seed = tf.constant([3, 5])
    for changed in ({"zoom": 0.2}, {"shear": 0.2}, {"crop": 0.2}, {"colour": 0.3}):
        config = replace(CONFIG, **changed)
        eager = augmentation.change(image, seed, config).numpy()
        dataset = tf.data.Dataset.from_tensors((image, seed))
        [mapped] = dataset.map(lambda i, s, c=config: augmentation.change(i, s, c))
        np.testing.assert_allclose(eager, mapped, atol=1e-5)
        assert np.abs(eager - image).max() > 0.05
        assert np.abs(eager).max() <= 1
        assert np.abs(augmentation.change(image, seed + 1, config) - eager).max() > 0.01
    unchanged = augmentation.change(image, seed, replace(CONFIG, zoom=1e-9))
    np.testing.assert_allclose(unchanged, image, atol=1e-4)
