"""The network: InceptionV3, a small head, which layers train when, and where it can be cut.

In: a TrainerConfig. Out: Keras models that turn scaled images into logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras

from components.trainer.config import TrainerConfig
from components.trainer.weights import load_backbone_weights, load_head_weights, read_weights
from data.errors import WeightsError

POOLED = "pooled"
"""Names the backbone's output (batch, 2048), as BLOCKS name the outputs of its blocks."""

HEAD_FIRST, HEAD_LAST = "head_dropout", "head_logit"


def build(config: TrainerConfig) -> keras.Model:
    """Returns the whole network: float32 (batch, size, size, 3) in [-1, 1] -> logits (batch, 1).

    A logit, not a softmax of two: the two have the same solutions, and temperature scaling acts on
    one number. The head computes in float32 whatever the precision policy.

    Raises:
      WeightsError: if the weights cannot be had, or do not fit.
    """
    backbone = build_backbone(config)
    x = backbone.output  # (batch, 2048), pooled
    x = keras.layers.Dropout(config.dropout, name=HEAD_FIRST, seed=config.seed)(x)
    head = keras.layers.Dense(1, dtype="float32", name=HEAD_LAST)
    model = keras.Model(backbone.input, head(x), name="genq")
    if config.weights not in ("imagenet", "none"):
        path = Path(config.weights)
        saved = read_weights(path)
        load_backbone_weights(backbone, saved, path)
        load_head_weights(head, saved, path)
    return model


def build_backbone(config: TrainerConfig) -> keras.Model:
    """Returns InceptionV3 without top, globally average-pooled: ImageNet's or random weights.

    Raises:
      WeightsError: if ImageNet's weights cannot be had.
    """
    shape = (config.image_size_px, config.image_size_px, 3)
    kind = "imagenet" if config.weights == "imagenet" else None
    try:
        backbone = keras.applications.InceptionV3(
            include_top=False, weights=kind, input_shape=shape, pooling="avg"
        )
    except Exception as error:
        # keras.utils.get_file raises a bare Exception for every network failure, and a ValueError
        # for a wrong hash; without a download neither can come from the architecture itself.
        if kind is None:
            raise
        raise WeightsError(
            "The ImageNet weights of InceptionV3 could not be downloaded by Keras "
            f"(keras.applications.InceptionV3(weights='imagenet')): {error}",
            "Without internet: download inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5 "
            "from Keras' releases elsewhere, and give its path: "
            "--set trainer.weights=/path/to/the_file.h5",
        ) from error
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = config.batch_norm_momentum
    return backbone


def tensor_at(model: keras.Model, name: str) -> keras.KerasTensor:
    """Returns the output of a block, or with POOLED the head's input, of a network from `build`."""
    return model.get_layer(HEAD_FIRST).input if name == POOLED else model.get_layer(name).output


def part(model: keras.Model, below: str | None, upto: str | Sequence[str] | None) -> keras.Model:
    """Returns what lies between two cuts of a network from `build`; it shares the layers.

    So training the part trains the whole, and nothing has to be put together afterwards.

    Args:
      model: the whole network.
      below: a block or POOLED, whose output is the part's input; None is the image.
      upto: a block or POOLED, or several of them, that the part computes; None is the logit.
    """
    inputs = model.input if below is None else tensor_at(model, below)
    if upto is None:
        return keras.Model(inputs, model.output)
    if isinstance(upto, str):
        return keras.Model(inputs, tensor_at(model, upto))
    return keras.Model(inputs, [tensor_at(model, name) for name in upto])


def freeze(model: keras.Model, config: TrainerConfig, *, phase: str) -> None:
    """Sets which layers train in `phase`: "head", "fine_tune" or "full".

    A BatchNormalization layer that is not trainable also uses its stored statistics (Keras 3):
    that is what "frozen" means for them. Takes effect when a model of these layers is compiled.
    """
    names = [layer.name for layer in model.layers]
    first_trainable = {
        "full": 0,
        "fine_tune": names.index(config.unfreeze_above) + 1,
        "head": names.index(HEAD_FIRST),
    }[phase]
    for index, layer in enumerate(model.layers):
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = index >= first_trainable and not (
            is_norm and config.batch_norm == "frozen"
        )
