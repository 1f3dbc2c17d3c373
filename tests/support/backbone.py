"""Random weights of InceptionV3 at 75 px that tell upright stripes from level ones."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.trainer import preprocessing
from components.trainer.config import TrainerConfig
from components.trainer.model import build_backbone

SIZE_PX = 75


def striped(seed: int, label: int) -> np.ndarray:
    """Upright (0) or level (1) grey stripes of random phase, in noise: (218, 178, 3).

    Even random convolutions tell them apart; what is left when pixels are permuted tells nothing.
    """
    rng = np.random.default_rng(seed)
    axis = np.indices((218, 178))[label]
    wave = np.sin(axis * 0.25 + rng.uniform(0, 7))[..., None]
    pixels = 127 + 80 * wave + rng.normal(0, 15, (218, 178, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def write_weights(path: Path) -> Path:
    """Writes random weights of InceptionV3 without top, as Keras does; its name ends .weights.h5.

    The statistics of its BatchNorm layers are those of stripes; else signals die out on the way up.
    """
    keras.utils.set_random_seed(7)
    config = TrainerConfig(
        image_size_px=SIZE_PX, weights="none", strategy="full", batch_norm_momentum=0.5
    )
    backbone = build_backbone(config)
    images = tf.constant(np.stack([striped(s, s % 2) for s in range(500, 532)]))
    for _ in range(6):
        backbone(preprocessing.resize_and_scale(images, SIZE_PX), training=True)
    backbone.save_weights(path)
    return path
