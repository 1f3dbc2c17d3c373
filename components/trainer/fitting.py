"""Training one phase: the recipe, the best weights, and a state on disk after every epoch.

In: the part of the network that trains, and where its inputs come from. Out: that part, trained in
place; rows of history.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from components.trainer.batches import Source, changed_batches, plain_batches, training_batches
from components.trainer.calibration import Floats, nll
from components.trainer.config import TrainerConfig
from components.trainer.optimizer import FusedAdamW
from components.trainer.training_state import EpochRow, TrainingState, assign, values
from data.errors import GateError

logger = logging.getLogger("genq.trainer")

GRADIENT_NORM: Final = 5.0
"""Longer gradients are shortened to this: a whole network at a high rate has rare large ones."""


def fit_phase(
    model: keras.Model,
    phase: str,
    train: Source,
    val: Source,
    config: TrainerConfig,
    *,
    state: TrainingState,
    state_file: Path,
    watch: Callable[[TrainingState], None],
    strategy: tf.distribute.Strategy,
) -> Validation:
    """Trains `model` in place, from where `state` left off.

    Returns what it was validated by, for more questions: its forward pass is traced already.

    With early stopping, `model` has the weights of the phase's best epoch on `val` afterwards;
    without, those of the last.

    `freeze` has set which layers train. `state` is changed in place, written to `state_file` and
    handed to `watch` after every epoch.

    Raises:
      GateError: if a loss is not finite; `state_file` keeps the last good epoch.
    """
    epochs = config.epochs(phase)
    if state.phase != phase:
        state.phase, state.epochs_done, state.finished = phase, 0, False
        state.best_epoch, state.best_val_loss, state.best = 0, float("inf"), []
    elif not state.finished:
        logger.info("%s goes on after epoch %d of %d", phase, state.epochs_done, epochs)
    validation = Validation(model, val, config.batch_size)
    if state.finished:
        assign(model.variables, state.variables)
        return validation
    batches, steps = training_batches(
        train, config, phase=phase, first_epoch=state.epochs_done, epochs=epochs
    )
    with strategy.scope():
        compile_recipe(model, config, phase, steps * epochs)
        # Not while the first step is traced, where each of its variables takes longer.
        model.optimizer.build(model.trainable_variables)
        if state.epochs_done:
            assign(model.variables, state.variables)
            assign(model.optimizer.variables, state.optimizer)
    keep = CheckpointAndEarlyStop(state, state_file, watch, validation, config, epochs)
    if not keep.over:
        model.fit(
            batches,
            steps_per_epoch=steps,
            initial_epoch=state.epochs_done,
            epochs=epochs,
            callbacks=[keep],
            verbose=0,
            shuffle=False,
        )
    if state.best:
        assign(model.variables, state.best)
        logger.info("%s: keeps the weights of epoch %d", phase, state.best_epoch)
    state.finished = True
    state.variables, state.optimizer, state.best = values(model.variables), [], []
    state.save(state_file)
    return validation


def compile_recipe(model: keras.Model, config: TrainerConfig, phase: str, steps: int) -> None:
    """Compiles with AdamW, warm-up and cosine decay over all `steps`; see TrainerConfig."""
    warmup = int(config.warmup_fraction * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, steps - warmup),
        warmup_target=config.learning_rate(phase),
        warmup_steps=warmup,
    )
    optimizer = FusedAdamW(schedule, decay=config.weight_decay, global_clipnorm=GRADIENT_NORM)
    model.compile(
        optimizer,
        keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=config.label_smoothing),
        metrics=[keras.metrics.MeanMetricWrapper(is_correct, name="accuracy")],
        # On CPUs XLA is no faster than oneDNN (docs/field-log.md), and takes long to compile.
        jit_compile="auto" if tf.config.list_physical_devices("GPU") else False,
    )


def is_correct(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """(batch, 1) each -> float32 (batch, 1); labels mixed by MixUp count as the nearer class."""
    return tf.cast(tf.equal(labels > 0.5, logits > 0.0), tf.float32)


class Validation:
    """What a model says of examples as they are.

    Not Keras' `evaluate`: that fails where the last batch leaves one of several devices without an
    example, and its loss contains the label smoothing of training.
    """

    def __init__(self, model: keras.Model, source: Source, batch: int) -> None:
        self._labels = source.labels.astype(np.float64)
        self._source, self._batch = source, batch
        self._batches = plain_batches(source, batch)

        @tf.function(input_signature=self._batches.element_spec[:1])  # type: ignore[untyped-decorator]
        def forward(inputs: tf.Tensor) -> tf.Tensor:
            return model(inputs, training=False)

        self._forward = forward

    def predict(self) -> tuple[Floats, Floats]:
        """Returns (logits, labels), each (n,), in the source's order; one forward pass."""
        logits = [self._forward(inputs).numpy()[:, 0] for inputs, _ in self._batches]
        return np.concatenate(logits).astype(np.float64), self._labels

    def predict_changed(self, times: int) -> Floats:
        """Returns the logits of the same examples as training sees them, (times, n)."""
        logits = [
            [
                self._forward(inputs).numpy()[:, 0]
                for inputs in changed_batches(self._source, self._batch, number)
            ]
            for number in range(times)
        ]
        return np.stack([np.concatenate(one) for one in logits]).astype(np.float64)

    def metrics(self) -> dict[str, float]:
        """Returns the history's figures: binary cross entropy in nats, and accuracy."""
        logits, labels = self.predict()
        return {
            "val_accuracy": float(np.mean((logits > 0) == (labels > 0.5))),
            "val_loss": nll(logits, labels),
        }


LOOKED_AT_STEPS: Final = 50
"""The loss is looked at once in this many steps: each look waits for the device."""
PROGRESS_INTERVAL_S: Final = 30
"""An epoch that takes longer says how far it is."""


class CheckpointAndEarlyStop(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Early stopping, history and state: Keras' own callbacks for these forget when killed."""

    def __init__(
        self,
        state: TrainingState,
        file: Path,
        watch: Callable[[TrainingState], None],
        validation: Validation,
        config: TrainerConfig,
        epochs: int,
    ) -> None:
        super().__init__()
        self._state, self._file, self._watch = state, file, watch
        self._validation = validation
        self._config = config
        self._patience, self._epochs = config.early_stopping_epochs, epochs
        self._started_s = self._said_s = 0.0

    @property
    def over(self) -> bool:
        """Whether the phase has had all its epochs, or enough without improvement."""
        waited = self._state.epochs_done - self._state.best_epoch
        stopped = bool(self._patience and self._state.epochs_done and waited >= self._patience)
        return stopped or self._state.epochs_done >= self._epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the time."""
        self._started_s = self._said_s = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """In a long epoch says now and then where it is."""
        if batch % LOOKED_AT_STEPS == 0:
            # The loss of an epoch is a mean: once it is not finite, it stays so.
            self._require_finite({"loss": float((logs or {}).get("loss", 0.0))}, batch + 1)
        if time.monotonic() - self._said_s > PROGRESS_INTERVAL_S:
            self._said_s = time.monotonic()
            steps = self.params.get("steps") or 0
            logger.info(
                "%s epoch %d/%d: step %d of %d",
                *(self._state.phase, self._state.epochs_done + 1, self._epochs, batch + 1, steps),
            )

    def _require_finite(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Raises GateError if a figure is not finite; the state on disk stays that of before."""
        bad = {name: value for name, value in metrics.items() if not np.isfinite(value)}
        if not bad:
            return
        state, config = self._state, self._config
        where = f" at step {step}" if step else ""
        good = f"epoch {state.epochs_done}" if state.epochs_done else "none"
        raise GateError(
            f"Training diverged in {state.phase} epoch {state.epochs_done + 1} of {self._epochs}"
            f"{where}: {', '.join(f'{name} is {value}' for name, value in bad.items())}; expected "
            f"finite numbers. Last good epoch of this phase: {good}.",
            f"Lower trainer.{state.phase}_learning_rate (now {config.learning_rate(state.phase):g})"
            f", raise trainer.warmup_fraction (now {config.warmup_fraction:g}), or, in mixed "
            "precision, set trainer.precision=float32. If it is the first step, look at the images "
            "with `genq data inspect`.",
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Brings the state up to date, writes it, says a line, and stops if it is time."""
        state = self._state
        metrics = {name: float((logs or {})[name]) for name in ("accuracy", "loss")}
        self._require_finite(metrics)
        metrics |= self._validation.metrics()
        self._require_finite(metrics)
        rate = float(self.model.optimizer.learning_rate)
        state.history.append(EpochRow(state.phase, epoch + 1, **metrics, learning_rate=rate))
        state.epochs_done = epoch + 1
        state.variables = values(self.model.variables)
        state.optimizer = values(self.model.optimizer.variables)
        if metrics["val_loss"] < state.best_val_loss:
            state.best_val_loss, state.best_epoch = metrics["val_loss"], epoch + 1
            state.best = state.variables if self._patience else []
        state.save(self._file)
        logger.info(
            "%s epoch %d/%d: loss %.3f, accuracy %.3f; val loss %.3f, val accuracy %.3f (%.1f s)",
            state.phase,
            epoch + 1,
            self._epochs,
            metrics["loss"],
            metrics["accuracy"],
            metrics["val_loss"],
            metrics["val_accuracy"],
            time.monotonic() - self._started_s,
        )
        self._watch(state)
        if self.over:
            self.model.stop_training = True
