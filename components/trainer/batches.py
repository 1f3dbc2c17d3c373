"""What the network is fed: images, or activations that were computed from them.

In: images in memory, or rows of an activation store. Out: tf.data sets of (input, label[, weight]).

A training set is a pure function of (seed, phase, epoch): an epoch that was interrupted is repeated
with the same images in the same order, mirrored alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.trainer import augmentation, preprocessing
from components.trainer.config import TrainerConfig
from components.trainer.images import LabelledImages
from components.trainer.photo_augmentation import photo_like

Fetch = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""(index int64 (batch,), seeds int32 (batch, 2)) -> inputs (batch, …), inside tf.data."""


@dataclass(frozen=True)
class Source:
    """Where a phase's inputs come from.

    Attributes:
      labels: float32 (n,).
      training: inputs as training sees them, augmented by the seeds.
      plain: inputs as they are.
    """

    labels: NDArray[np.float32]
    training: Fetch
    plain: Fetch


def image_source(images: LabelledImages, config: TrainerConfig) -> Source:
    """Returns a source that decodes images: float32 (batch, size, size, 3) in [-1, 1]."""

    def decode(index: tf.Tensor) -> tf.Tensor:
        return preprocessing.decode_batch(tf.gather(images.encoded, index), config.image_size_px)

    def training(index: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        batch = decode(index)  # (B, size, size, 3)
        if any(name != "photo_like" for name in config.uncacheable):
            batch = tf.map_fn(
                lambda each: augmentation.change(each[0], each[1], config),
                (batch, seeds),
                fn_output_signature=tf.TensorSpec(batch.shape[1:], tf.float32),
            )
        if config.flip:
            flip = augmentation.mirrored(seeds)[:, None, None, None]
            batch = tf.where(flip, tf.reverse(batch, [2]), batch)
        if config.photo_like:
            batch = photo_like(batch, seeds[0], config.photo_like)
        return batch

    return Source(images.labels, training, lambda index, seeds: decode(index))


def training_batches(
    source: Source, config: TrainerConfig, *, phase: str, first_epoch: int, epochs: int
) -> tuple[tf.data.Dataset, int]:
    """Returns the batches of all epochs from `first_epoch` on, and how many make one epoch.

    Each epoch is a permutation of all examples; its last, smaller batch is dropped.

    Elements: inputs, float32 labels (batch, 1), and with class weights float32 (batch,).
    """
    count = len(source.labels)
    batch = min(config.batch_size, count)
    steps = count // batch
    # Another order in each phase, the same in every process (hash() is not).
    seed = (config.seed * 1_000_003 + zlib.crc32(phase.encode())) % 2**31

    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        index = tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), key)
        seeds = tf.random.stateless_uniform((count, 2), key, 0, 2**31 - 1, tf.int32)
        return tf.data.Dataset.from_tensor_slices((index, seeds)).batch(batch, drop_remainder=True)

    def fetch(index: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, ...]:
        inputs = source.training(index, seeds)
        target = tf.gather(labels, index)[:, None]
        if config.mixup:
            inputs, target = mix(inputs, target, seeds[0], config.mixup)
        if class_weights is None:
            return inputs, target
        return inputs, target, (target * class_weights[1] + (1 - target) * class_weights[0])[:, 0]

    labels = tf.constant(source.labels)
    class_weights = balanced_weights(source.labels) if config.class_weight == "balanced" else None
    dataset = (
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(order)
        .map(fetch, tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    return dataset, steps


def plain_batches(source: Source, batch: int) -> tf.data.Dataset:
    """Returns all examples once, in order and as they are: what validation sees.

    Elements: inputs (batch, …), float32 labels (batch, 1).
    """
    labels = tf.constant(source.labels)

    def fetch(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        seeds = tf.zeros((tf.size(index), 2), tf.int32)
        return source.plain(index, seeds), tf.gather(labels, index)[:, None]

    order = tf.data.Dataset.range(len(source.labels)).batch(batch)
    return order.map(fetch, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def changed_batches(source: Source, batch: int, number: int) -> tf.data.Dataset:
    """Returns the inputs of all examples once, in order, as training sees them.

    They are always changed alike for the same number.
    """
    count = len(source.labels)
    index = tf.range(count, dtype=tf.int64)
    seeds = tf.random.stateless_uniform((count, 2), (0, number), 0, 2**31 - 1, tf.int32)
    order = tf.data.Dataset.from_tensor_slices((index, seeds)).batch(batch)
    return order.map(source.training, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def mix(
    inputs: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, alpha: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """MixUp (Zhang et al. 2018) of each example with the one at its mirror place in the batch.

    One share a batch is drawn from Beta(alpha, alpha), as a quotient of two gamma variates.
    """
    gamma = tf.random.stateless_gamma((2,), seed, alpha=alpha)
    share = gamma[0] / tf.maximum(tf.reduce_sum(gamma), 1e-20)
    of_inputs = tf.cast(share, inputs.dtype)
    mixed = of_inputs * inputs + (1 - of_inputs) * tf.reverse(inputs, [0])
    return mixed, share * labels + (1 - share) * tf.reverse(labels, [0])


def balanced_weights(labels: NDArray[np.float32]) -> tuple[float, float]:
    """Returns n / (2 n_class) for labels 0 and 1 (scikit-learn's "balanced"); 1 if absent."""
    counts = [float((labels == value).sum()) for value in (0, 1)]
    zero, one = (len(labels) / (2 * count) if count else 1.0 for count in counts)
    return zero, one
