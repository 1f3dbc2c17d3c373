"""Trains the network: what TFX's Trainer calls.

In: examples of `train` and `val`. Out: a SavedModel with preprocessing, calibration and signatures
in `serving_model_dir`; `history.csv`, `training.png`, `calibration.json`, `compute.json` and
TensorBoard logs in `model_run_dir`.

TFX gives every attempt new output folders. What has to outlive an attempt, activations and the
state of training, is in a cache folder beside the run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import keras
import tensorflow as tf
from pydantic import TypeAdapter

from components.trainer import calibration, compute, figures, images, signatures
from components.trainer.activation_cache import ActivationCache, weights_digest
from components.trainer.batches import Source, image_source
from components.trainer.config import TrainerConfig
from components.trainer.exhaustion import explained
from components.trainer.fitting import Validation, fit_phase
from components.trainer.hardware import choose_precision, choose_strategy, seed_everything
from components.trainer.model import HEAD_FIRST, POOLED, build, freeze, part
from components.trainer.training_state import Arrays, TrainingState, assign
from data.errors import BusyError, ConfigError
from data.files import is_remote

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs  # slow to import

logger = logging.getLogger("genq.trainer")

CONFIG_KEY = "trainer"
"""Key of the Trainer's `custom_config` under which the TrainerConfig travels, as JSON."""
CACHE_DIR_KEY = "cache_dir"
"""Key for the folder of activations and training states; without it, they last for the call."""
CODE_KEY = "code"
"""Key for the digest of the trainer's code; other code does not go on from an old state."""

KEPT_STATES = 2
"""Unfinished trainings (of other settings or data) whose state is kept."""
CHANGED_TIMES = 3
"""The band has to hold for `val` changed in so many ways: between two, it differs by a point of the
answers (docs/field-log.md)."""


def run_fn(fn_args: FnArgs) -> None:
    """Trains and exports. TFX gives paths and `custom_config`; see fn_args_utils.FnArgs.

    Raises:
      WeightsError: if the backbone's weights cannot be had.
      DataError: if a split is empty.
      ConfigError: if the activation cache does not fit its budget.
      ResourceError: if disk or memory run out.
      BusyError: if another training uses the cache folder.
    """
    config = configuration(fn_args)
    run_dir = Path(fn_args.model_run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    cache_dir = cache_folder(fn_args)
    with (
        locked(cache_dir),
        explained(config, folders=f"{cache_dir}, {run_dir}, {fn_args.serving_model_dir}"),
        precision(config),
        compute.measured(run_dir) as count_epochs,
    ):
        train = images.read(fn_args.train_files)
        val = images.read(fn_args.eval_files)
        seed_everything(config)
        strategy = choose_strategy(config.batch_size)
        with strategy.scope():
            model = build(config)
        state_file = find_state(cache_dir, fn_args, model, train, val, strategy)
        state = TrainingState.load(state_file)
        training = Training(config, model, train, val, cache_dir, strategy)
        earlier = len(state.history)
        validation = training.fit(state, state_file, run_dir)
        count_epochs(earlier, len(state.history))
        report = training.calibrate(validation)
        signatures.export(model, report.calibration, Path(fn_args.serving_model_dir))
        (run_dir / "calibration.json").write_text(
            json.dumps(dataclasses.asdict(report), indent=2) + "\n"
        )
        shutil.rmtree(state_file.parent, ignore_errors=True)
    if CACHE_DIR_KEY not in (fn_args.custom_config or {}):
        shutil.rmtree(cache_dir)
    keras.backend.clear_session()


def configuration(fn_args: FnArgs) -> TrainerConfig:
    """Returns the recipe, with what a tuner found best put into it."""
    config = TypeAdapter(TrainerConfig).validate_json(fn_args.custom_config[CONFIG_KEY])
    found = (getattr(fn_args, "hyperparameters", None) or {}).get("values", {})
    return dataclasses.replace(config, **found)


def cache_folder(fn_args: FnArgs) -> Path:
    """Returns the folder that outlives attempts, made if missing.

    Raises:
      ConfigError: if it is not a local path; a memory map needs one.
    """
    asked = str(fn_args.custom_config.get(CACHE_DIR_KEY) or Path(fn_args.model_run_dir) / "cache")
    if is_remote(asked):
        raise ConfigError(
            f"The trainer's cache folder is {asked}; activations are memory-mapped.",
            "Give a local path, or one on a mounted volume.",
        )
    folder = Path(asked)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(cache_dir: Path) -> Iterator[None]:
    """Holds the cache folder for this process; the lock of a process that died is free.

    Raises:
      BusyError: if another process holds it.
    """
    lock = filelock.FileLock(cache_dir / ".lock")
    try:
        with lock.acquire(timeout=0):
            yield
    except filelock.Timeout as error:
        raise BusyError(
            f"Another training works in {cache_dir}.",
            "Wait for it to end, or give this one a workdir of its own: --workdir DIR.",
        ) from error


@contextmanager
def precision(config: TrainerConfig) -> Iterator[None]:
    """Sets Keras' policy, which is the process's: evaluation may run in the same one later."""
    previous = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(choose_precision(config.precision))
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(previous)


def find_state(
    cache_dir: Path,
    fn_args: FnArgs,
    model: keras.Model,
    train: images.LabelledImages,
    val: images.LabelledImages,
    strategy: tf.distribute.Strategy,
) -> Path:
    """Returns the file of this training's state: same recipe, data, weights, code and devices."""
    digest = hashlib.sha256(
        json.dumps(
            [
                dataclasses.asdict(configuration(fn_args)),
                fn_args.custom_config.get(CODE_KEY, ""),
                train.fingerprint,
                val.fingerprint,
                weights_digest(model).hexdigest(),
                keras.mixed_precision.dtype_policy().name,
                strategy.num_replicas_in_sync,
            ]
        ).encode()
    )
    states = cache_dir / "training"
    folder = states / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    others = sorted(set(states.iterdir()) - {folder}, key=lambda f: f.stat().st_mtime)
    for old in others[: max(0, len(others) - KEPT_STATES)]:
        shutil.rmtree(old)
    return folder / "state.npz"


class Training:
    """One training: the network, and for each phase what trains and on what."""

    def __init__(
        self,
        config: TrainerConfig,
        model: keras.Model,
        train: images.LabelledImages,
        val: images.LabelledImages,
        cache_dir: Path,
        strategy: tf.distribute.Strategy,
    ) -> None:
        self._config, self._model, self._strategy = config, model, strategy
        self._images = {"train": train, "val": val}
        logger.info(
            "InceptionV3 at %d px, weights %s, strategy %s, %s, %d device(s); %d images to train "
            "on, %d to validate",
            config.image_size_px,
            config.weights,
            config.strategy,
            keras.mixed_precision.dtype_policy().name,
            strategy.num_replicas_in_sync,
            len(train),
            len(val),
        )
        self.cache: ActivationCache | None = None
        if config.strategy != "full" and config.activation_cache and not config.uncacheable:
            self.cache = ActivationCache(
                cache_dir / "activations", model, config, train, val, strategy
            )
            self.cache.fill()
        elif config.strategy != "full":
            self._say_what_it_costs()

    def _say_what_it_costs(self) -> None:
        """Logs how many forward passes the cache would have saved."""
        config = self._config
        train, val = len(self._images["train"]), len(self._images["val"])
        epochs = sum(config.epochs(phase) for phase in config.phases)
        why = " and ".join(f"trainer.{name}" for name in config.uncacheable)
        cached = train * (1 + config.flip) + val
        logger.warning(
            "Trains without the activation cache (%s): up to %s forward passes through the frozen "
            "layers in %d epochs, instead of %s with the cache",
            f"{why} cannot be cached" if why else "trainer.activation_cache is false",
            f"{epochs * (train + val) + val:,}",
            epochs,
            f"{cached:,}",
        )

    def _inputs(self, phase: str) -> tuple[keras.Model, Source, Source]:
        """Returns what trains in a phase, and its inputs for train and val."""
        cut = None
        if self.cache is None:
            sources = [image_source(self._images[s], self._config) for s in ("train", "val")]
        else:
            cut = POOLED if phase == "head" else self.cache.plan.cut
            assert cut is not None, "a plan for two phases has a cut"
            sources = [self.cache.source(cut, split) for split in ("train", "val")]
        # Never `model` itself: what is compiled cannot be cloned for the export. Keras looks for
        # the devices when a model is made.
        with self._strategy.scope():
            return part(self._model, cut, None), sources[0], sources[1]

    def restart(self, config: TrainerConfig, start: Arrays) -> None:
        """Puts the network back to `start`, to be trained by another recipe on the same cache."""
        self._config = config
        assign(self._model.variables, start)
        self._model.get_layer(HEAD_FIRST).rate = config.dropout

    def fit(
        self,
        state: TrainingState,
        state_file: Path,
        run_dir: Path,
        on_epoch: Callable[[], None] = lambda: None,
    ) -> Validation:
        """Trains all phases, from where `state` left off; calls `on_epoch` after each.

        Returns the last phase's validation, for `calibrate`.

        Raises:
          ConfigError: if there are no epochs to train.
        """
        board = figures.TensorBoardLogs(run_dir)

        def show(state: TrainingState) -> None:
            figures.write_history(state.history, run_dir)
            figures.write_figure(state.history, run_dir)
            board.write(state.history)

        def watch(state: TrainingState) -> None:
            show(state)
            on_epoch()

        # An attempt after the last epoch trains nothing, and its folder is a new one.
        if state.history:
            show(state)

        phases = self._config.phases
        if not phases:
            raise ConfigError(
                f"trainer.strategy={self._config.strategy} has no epochs to train.",
                "Set trainer.head_epochs or trainer.fine_tune_epochs to 1 or more.",
            )
        # A later phase's state holds what the earlier ones left.
        for phase in phases[phases.index(state.phase) if state.phase else 0 :]:
            freeze(self._model, self._config, phase=phase)
            trained, train, val = self._inputs(phase)
            validation = fit_phase(
                trained,
                phase,
                train,
                val,
                self._config,
                state=state,
                state_file=state_file,
                watch=watch,
                strategy=self._strategy,
            )
        return validation

    def calibrate(self, validation: Validation) -> calibration.CalibrationReport:
        """Fits temperature and uncertainty band on val."""
        config = self._config
        logits, labels = validation.predict()
        report = calibration.fit(
            logits,
            labels,
            target_error=config.target_error,
            max_abstention=config.max_abstention,
            whose=self._images["val"].whose,
            changed=validation.predict_changed(CHANGED_TIMES) if config.photo_like else None,
        )
        kept = report.calibration.temperature == report.fitted_temperature
        logger.info(
            "Calibrated on val (%d images of %s): temperature %.2f%s; log loss %.3f, and %.3f with "
            "temperatures fitted on other %s",
            report.images,
            f"{report.people} people" if report.unit == "people" else "people not told apart",
            report.calibration.temperature,
            "" if kept else f", not {report.fitted_temperature:.2f}, which does not surely help",
            report.nll_before,
            report.nll_after,
            report.unit,
        )
        logger.info(
            "Abstains on %.1f %% of val; of the other answers %.1f %% are wrong, at most %.1f %% "
            "with 95 %% confidence%s (%.1f %% asked for)",
            100 * report.abstention,
            100 * report.error_outside,
            100 * report.error_bound,
            report.of_what,
            100 * report.target_error,
        )
        if report.missed:
            logger.warning("%s", report.missed)
        return report
