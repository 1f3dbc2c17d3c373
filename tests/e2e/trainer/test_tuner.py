"""The search over head and learning rates."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import TypeAdapter
from tfx.components.trainer.fn_args_utils import FnArgs

from components.trainer import run_fn, tuner
from components.trainer.config import TrainerConfig
from data.errors import ConfigError
from pipeline import config as pipeline_config
from pipeline import run_local
from pipeline.pipeline import create_pipeline


class EndedError(Exception):
    """Ends a pipeline after the node that a test looks at."""


def fn_args(config: TrainerConfig, folder: Path, examples: Path, cache: Path) -> FnArgs:
    return FnArgs(
        working_dir=str(folder),
        train_files=[str(examples / "train*")],
        eval_files=[str(examples / "val*")],
        custom_config={
            "trainer": TypeAdapter(TrainerConfig).dump_json(config).decode(),
            "cache_dir": str(cache),
            "trials": 3,
        },
    )


def test_trials_share_the_cache_and_the_winner_becomes_the_recipe(
    tmp_path: Path, examples: Path, two_phase: SimpleNamespace, two_phase_config: TrainerConfig
) -> None:
    """Three trials after a training: no forward pass; the best one's values reach the Trainer."""
    # A deterministic training computes with TensorFlow; "auto" would take another engine here, and
    # its activations are others.
    config = replace(
        two_phase_config,
        deterministic=False,
        frozen_engine="tensorflow",
        strategy="head_only",
    )
    arguments = fn_args(config, tmp_path, examples, two_phase.cache)
    result = tuner.tuner_fn(arguments)
    result.tuner.search(**result.fit_kwargs)
    assert result.tuner._training.cache.computed_images == 0
    trials = result.tuner.oracle.get_best_trials(10)
    assert len(trials) == 3
    assert len({trial.hyperparameters.values["head_learning_rate"] for trial in trials}) == 3
    assert trials[0].score == min(trial.score for trial in trials)
    [best] = result.tuner.get_best_hyperparameters()
    arguments.hyperparameters = best.get_config()
    recipe = run_fn.configuration(arguments)
    assert recipe.head_learning_rate == best.values["head_learning_rate"]
    assert recipe.dropout == best.values["dropout"]
    assert recipe.fine_tune_learning_rate == config.fine_tune_learning_rate


def test_a_recipe_without_cached_activations_is_refused(
    tmp_path: Path, examples: Path, two_phase_config: TrainerConfig
) -> None:
    """Zoom cannot be cached, so every trial would cost a whole training."""
    config = replace(two_phase_config, zoom=0.1)
    with pytest.raises(ConfigError, match="searches on cached activations") as caught:
        tuner.tuner_fn(fn_args(config, tmp_path, examples, tmp_path))
    assert "tuner.trials=0" in caught.value.remedy


# Ingestion, search and training as nodes; the search itself is above.
@pytest.mark.slow
def test_the_nodes_tuner_and_trainer_share_one_pass(
    tmp_path: Path,
    celeba_tree: Callable[..., Path],
    weights_file: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the pipeline: two trials, the better one's dropout trains, its activations are reused."""
    config = pipeline_config.load(
        overrides=[
            f"workdir={tmp_path / 'work'}",
            f"data.root={celeba_tree(tmp_path / 'data', images=60)}",
            f"trainer.weights={weights_file}",
            "trainer.strategy=head_only",
            "trainer.batch_norm=frozen",
            "trainer.head_epochs=1",
            "trainer.batch_size=8",
            "tuner.trials=2",
        ]
    )
    pipeline = create_pipeline(config)
    ran: list[str] = []

    def ended(result: run_local.NodeResult) -> None:
        ran.append(result.node_id)
        if result.node_id == "trainer":
            raise EndedError

    caplog.set_level("INFO", "genq.trainer")
    with pytest.raises(EndedError):
        run_local.run(pipeline, run_local.Progress(lambda _: None, ended))
    assert ran[-2:] == ["tuner", "trainer"]
    root = Path(pipeline.pipeline_info.pipeline_root)
    [best] = root.glob("tuner/best_hyperparameters/*/best_hyperparameters.txt")
    values = json.loads(best.read_text())["values"]
    assert set(values) == {"head_learning_rate", "dropout", "weight_decay", "label_smoothing"}
    passes = [m for m in caplog.messages if m.startswith("Activations of train")]
    assert len(passes) == 1
    # The winner's trial is trained over again, to the same loss: recipe and seed arrived.
    *trials, trained = [m.partition(" (")[0] for m in caplog.messages if "epoch 1/1" in m]
    assert len(trials) == 2
    assert trained == min(trials, key=lambda m: float(m.split("val loss ")[1].split(",")[0]))
