"""The fused AdamW against Keras' own."""

import keras
import numpy as np

from components.trainer.optimizer import NOT_DECAYED, FusedAdamW


def trained(make: type, **arguments: object) -> list[np.ndarray]:
    """Returns the weights of a small network after 50 steps, through warm-up and clipping."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,))
    x = keras.layers.Dense(16, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.BatchNormalization()(x)))
    schedule = keras.optimizers.schedules.CosineDecay(0.0, 40, warmup_target=0.1, warmup_steps=10)
    optimizer = make(schedule, global_clipnorm=0.5, **arguments)
    if make is keras.optimizers.AdamW:
        optimizer.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    model.compile(optimizer, "mse")
    features = np.random.default_rng(0).normal(size=(640, 8)).astype(np.float32)
    model.fit(features, features[:, :1] ** 2, batch_size=64, epochs=5, verbose=0, shuffle=False)
    assert int(optimizer.iterations) == 50
    return [np.asarray(w) for w in (*model.get_weights(), *optimizer.variables)]


def test_it_computes_what_keras_adamw_computes() -> None:
    """Weights and the optimiser's variables are equal but for rounding, decay included."""
    ours = trained(FusedAdamW, decay=0.3)
    theirs = trained(keras.optimizers.AdamW, weight_decay=0.3)
    undecayed = trained(FusedAdamW, decay=0.0)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3)
    assert np.abs(ours[0]).sum() < 0.9 * np.abs(undecayed[0]).sum()
