"""A search over head and learning rates: what TFX's Tuner calls. Off unless asked for.

In: the examples and the TrainerConfig, as the Trainer gets them. Out: the best hyperparameters,
which the Trainer puts into its recipe (`configuration`).

All trials train on the same cached activations, which the Trainer uses afterwards: dozens of trials
for the price of one forward pass.
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
from tfx.components.tuner.component import TunerFnResult

from components.trainer import images
from components.trainer.config import TrainerConfig
from components.trainer.exhaustion import explained
from components.trainer.hardware import choose_strategy, seed_everything
from components.trainer.model import build
from components.trainer.run_fn import (
    CACHE_DIR_KEY,
    Training,
    cache_folder,
    configuration,
    locked,
    precision,
)
from components.trainer.training_state import TrainingState, values
from data.errors import ConfigError

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

logger = logging.getLogger("genq.trainer")

TRIALS_KEY = "trials"
"""Key of `custom_config` for the number of trials."""


def space(hp: keras_tuner.HyperParameters, config: TrainerConfig) -> TrainerConfig:
    """Returns a recipe drawn from the search space; the names are TrainerConfig's fields.

    A decade and a half around the defaults, on a logarithmic scale (Bergstra & Bengio 2012).
    """
    drawn: dict[str, Any] = {
        "head_learning_rate": hp.Float("head_learning_rate", 3e-4, 1e-2, sampling="log"),
        "dropout": hp.Float("dropout", 0.0, 0.5, step=0.1),
        "weight_decay": hp.Float("weight_decay", 1e-5, 1e-2, sampling="log"),
        "label_smoothing": hp.Float("label_smoothing", 0.0, 0.1, step=0.05),
    }
    if "fine_tune" in config.phases:
        drawn["fine_tune_learning_rate"] = hp.Float(
            "fine_tune_learning_rate", 1e-5, 5e-4, sampling="log"
        )
    return dataclasses.replace(config, **drawn)


class ActivationTuner(keras_tuner.RandomSearch):  # type: ignore[misc]  # ships no types
    """Random search whose trials are trainings on one cache."""

    def __init__(self, fn_args: FnArgs, config: TrainerConfig, trials: int) -> None:
        hyperparameters = keras_tuner.HyperParameters()
        space(hyperparameters, config)
        super().__init__(
            hyperparameters=hyperparameters,
            objective=keras_tuner.Objective("val_loss", "min"),
            max_trials=trials,
            seed=config.seed,
            directory=str(fn_args.working_dir),
            project_name="trials",
        )
        self._fn_args, self._config = fn_args, config

    def search(self, **_: Any) -> None:
        """Runs all trials: one forward pass, then trainings on its results."""
        config = self._config
        cache_dir = cache_folder(self._fn_args)
        where = f"{cache_dir}, {self._fn_args.working_dir}"
        with locked(cache_dir), explained(config, folders=where), precision(config):
            train = images.read(self._fn_args.train_files)
            val = images.read(self._fn_args.eval_files)
            seed_everything(config)
            strategy = choose_strategy(config.batch_size)
            with strategy.scope():
                model = build(config)
            self._training = Training(config, model, train, val, cache_dir, strategy)
            self._start = values(model.variables)
            # Epochs are logged by the training itself.
            super().search(verbose=0)
        keras.backend.clear_session()

    def run_trial(self, trial: keras_tuner.engine.trial.Trial, **_: Any) -> float:
        """Trains once from the same start; returns the lowest loss on `val`."""
        drawn = space(trial.hyperparameters, self._config)
        folder = Path(self.get_trial_dir(trial.trial_id))
        folder.mkdir(parents=True, exist_ok=True)
        state = TrainingState()
        self._training.restart(drawn, self._start)
        keras.utils.set_random_seed(drawn.seed)
        self._training.fit(state, folder / "state.npz", folder)
        (folder / "state.npz").unlink()
        last = state.history[-1].phase
        return min(row.val_loss for row in state.history if row.phase == last)

    def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
        """Keeps nothing: the Trainer trains the winner."""


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Returns the search; see tfx.components.Tuner.

    Raises:
      ConfigError: if the recipe has nothing that is cached.
    """
    config = configuration(fn_args)
    if config.strategy == "full" or config.uncacheable or not config.activation_cache:
        raise ConfigError(
            "The tuner searches on cached activations; this recipe has none "
            f"(trainer.strategy={config.strategy}, trainer.activation_cache="
            f"{str(config.activation_cache).lower()}, {', '.join(config.uncacheable) or 'flip'}).",
            "Set trainer.strategy=two_phase without zoom, shear, crop, colour and photo_like, or "
            "tuner.trials=0.",
        )
    if CACHE_DIR_KEY not in fn_args.custom_config:
        fn_args.custom_config[CACHE_DIR_KEY] = str(Path(fn_args.working_dir) / "cache")
    tuner = ActivationTuner(fn_args, config, int(fn_args.custom_config[TRIALS_KEY]))
    return TunerFnResult(tuner=tuner, fit_kwargs={})
