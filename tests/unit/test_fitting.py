"""One phase of training, on a network of a few numbers."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer import run_fn
from components.trainer.batches import Source
from components.trainer.config import TrainerConfig
from components.trainer.fitting import fit_phase
from components.trainer.hardware import seed_everything
from components.trainer.training_state import EpochRow, TrainingState
from data.errors import GateError

# Labels are coin tosses: whatever is learnt of `train` is wrong for `val`, so its loss rises again.
CONFIG = TrainerConfig(
    head_epochs=12,
    head_learning_rate=0.03,
    warmup_fraction=0.25,
    batch_size=8,
    early_stopping_epochs=3,
    weight_decay=0.0,
)


def source(seed: int) -> Source:
    rng = np.random.default_rng(seed)
    features = tf.constant(rng.normal(size=(32, 6)), tf.float32)
    labels = rng.integers(0, 2, 32).astype(np.float32)

    def rows(index: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        return tf.gather(features, index)

    return Source(labels, rows, rows)


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    x = keras.layers.Dropout(0.3, seed=1)(keras.layers.Dense(16, activation="relu")(inputs))
    return keras.Model(inputs, keras.layers.Dense(1)(x))


def fit(
    folder: Path,
    config: TrainerConfig = CONFIG,
    watch: Callable[[TrainingState], None] = lambda state: None,
) -> tuple[keras.Model, TrainingState]:
    """Trains, from where the state in `folder` left off."""
    model, state = network(), TrainingState.load(folder / "state.npz")
    fit_phase(
        model,
        "head",
        source(0),
        source(1),
        config,
        state=state,
        state_file=folder / "state.npz",
        watch=watch,
        strategy=tf.distribute.get_strategy(),
    )
    return model, state


def val_loss(model: keras.Model) -> float:
    """Binary cross entropy on val, from its definition."""
    val = source(1)
    logits = model(val.plain(tf.range(32), None), training=False).numpy()[:, 0].astype(np.float64)
    return float(np.mean(np.logaddexp(0, -logits * (2 * val.labels - 1))))


def test_training_stops_when_val_gets_worse_and_leaves_the_best_weights(tmp_path: Path) -> None:
    """It ends `early_stopping_epochs` after the best epoch, with that epoch's weights."""
    model, state = fit(tmp_path)
    losses = [row.val_loss for row in state.history]
    best = int(np.argmin(losses)) + 1
    assert state.finished
    assert len(losses) == best + CONFIG.early_stopping_epochs < CONFIG.head_epochs
    assert val_loss(model) == pytest.approx(min(losses), rel=1e-5)
    assert losses[-1] > min(losses)


def test_without_early_stopping_every_epoch_runs_and_the_last_weights_stay(tmp_path: Path) -> None:
    config = TrainerConfig(**{**vars(CONFIG), "early_stopping_epochs": 0})
    model, state = fit(tmp_path, config)
    assert len(state.history) == 12
    assert val_loss(model) == pytest.approx(state.history[-1].val_loss, rel=1e-5)


def test_an_interrupted_phase_ends_with_the_same_weights(tmp_path: Path) -> None:
    """Interrupted after its second and its fourth epoch: weights and history are bit-equal."""

    class KilledError(Exception):
        pass

    def interrupt_after(epoch: int) -> Callable[[TrainingState], None]:
        def watch(state: TrainingState) -> None:
            if state.epochs_done == epoch:
                raise KilledError

        return watch

    whole, whole_state = fit(tmp_path / "whole")
    for epoch in (2, 4):
        with pytest.raises(KilledError):
            fit(tmp_path / "parts", watch=interrupt_after(epoch))
    model, state = fit(tmp_path / "parts")
    assert state.history == whole_state.history
    for ours, theirs in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    again, _ = fit(tmp_path / "parts")
    for ours, theirs in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_learning_rate_warms_up_and_falls_to_zero_as_a_cosine(tmp_path: Path) -> None:
    """After each epoch of 4 steps: a quarter of 48 steps rising, then half a cosine."""
    config = TrainerConfig(**{**vars(CONFIG), "early_stopping_epochs": 0})
    _, state = fit(tmp_path, config)
    steps = 4 * np.arange(1, 13)
    expected = np.where(
        steps < 12, 0.03 * steps / 12, 0.03 * (1 + np.cos(np.pi * (steps - 12) / 36)) / 2
    )
    np.testing.assert_allclose([row.learning_rate for row in state.history], expected, atol=1e-8)


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_last_good_epoch(
    tmp_path: Path,
) -> None:
    """Which epoch, what was found, and what to try; nothing of it is on the disk."""
    broken = source(0)
    calls = 0

    def rows(index: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        # Of the third epoch's batches, the features are not numbers.
        def some(i: np.ndarray) -> np.ndarray:
            nonlocal calls
            calls += 1
            found = np.asarray(broken.plain(tf.constant(i), None))
            return np.full_like(found, np.nan) if 8 < calls <= 12 else found

        found = tf.numpy_function(some, [index], tf.float32)
        found.set_shape((None, 6))
        return found

    # Without a ReLU, which makes zeros of some NaN.
    inputs = keras.Input((6,))
    model, state = keras.Model(inputs, keras.layers.Dense(1)(inputs)), TrainingState()
    with pytest.raises(GateError) as error:
        fit_phase(
            model,
            "head",
            Source(broken.labels, rows, rows),
            source(1),
            CONFIG,
            state=state,
            state_file=tmp_path / "state.npz",
            watch=lambda state: None,
            strategy=tf.distribute.get_strategy(),
        )
    done = state.epochs_done
    assert f"head epoch {done + 1} of 12" in error.value.problem and "nan" in error.value.problem
    assert "trainer.head_learning_rate (now 0.03)" in error.value.remedy
    kept = TrainingState.load(tmp_path / "state.npz")
    assert kept.epochs_done == done < 3
    assert all(np.isfinite(array).all() for array in kept.variables)


def test_an_attempt_after_the_last_epoch_still_leaves_history_figure_and_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it exported: the next attempt trains nothing, and its folder is a new one."""
    rows = [EpochRow("head", epoch, 0.7, 0.6, 0.6, 0.7, 0.01) for epoch in (1, 2)]
    state = TrainingState(phase="head", epochs_done=2, finished=True, history=rows)
    training = object.__new__(run_fn.Training)
    training._config, training._model = CONFIG, network()
    training._strategy = tf.distribute.get_strategy()
    monkeypatch.setattr(run_fn, "freeze", lambda *args, **options: None)
    monkeypatch.setattr(run_fn, "fit_phase", lambda *args, **options: None)
    monkeypatch.setattr(run_fn.Training, "_inputs", lambda self, phase: (None, None, None))
    training.fit(state, tmp_path / "state.npz", tmp_path)
    assert (tmp_path / "history.csv").read_text().count("\nhead,") == 2
    assert (tmp_path / "training.png").stat().st_size > 0
    assert list(tmp_path.glob("train/events*")) and list(tmp_path.glob("validation/events*"))


def test_determinism_that_cannot_be_had_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One operation at a time, or a line that says what to set before the program starts."""
    asked: list[int] = []

    def too_late(number: int) -> None:
        asked.append(number)
        raise RuntimeError

    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
    monkeypatch.setattr(tf.config.threading, "set_inter_op_parallelism_threads", too_late)
    monkeypatch.delenv("TF_NUM_INTEROP_THREADS", raising=False)
    seed_everything(TrainerConfig())
    assert not asked
    seed_everything(TrainerConfig(deterministic=True))
    assert asked == [1] and "TF_NUM_INTEROP_THREADS=1" in caplog.text
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "1")
    seed_everything(TrainerConfig(deterministic=True))
    assert asked == [1]
