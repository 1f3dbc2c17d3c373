"""Killed at any point, training goes on where it was and ends where it would have ended."""

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.config import TrainerConfig
from components.trainer.training_state import TrainingState


# Three trainings. Quick, and without kill -9: tests/unit/test_fitting.py.
@pytest.mark.slow
def test_a_killed_training_continues_and_ends_with_the_same_weights(
    tmp_path: Path,
    two_phase: SimpleNamespace,
    two_phase_config: TrainerConfig,
    start_training: Callable[..., object],
    wait_for: Callable[..., SimpleNamespace],
) -> None:
    """Kill -9 between shards, then kill -9 in the second phase: the third run ends bit-equal.

    Each attempt has output folders of its own, as TFX gives them; only the cache folder is shared.
    """
    cache = tmp_path / "cache"

    def kill_when(attempt: str, reached: Callable[[], bool]) -> None:
        process = start_training(tmp_path / attempt, two_phase_config, cache)
        while not reached():
            assert process.poll() is None, (tmp_path / attempt / "log").read_text()[-3000:]
            time.sleep(0.005)
        process.kill()
        process.wait()

    kill_when("first", lambda: any(cache.glob("activations/mixed9-*/*.json")))
    shards_left = len(list(cache.glob("activations/mixed9-*/*.json")))

    def in_second_phase() -> bool:
        for file in cache.glob("training/*/state.npz"):
            if TrainingState.load(file).phase == "fine_tune":
                return True
        return False

    kill_when("second", in_second_phase)
    [state] = cache.glob("training/*/state.npz")
    epochs_kept = TrainingState.load(state).epochs_done

    last = wait_for(start_training(tmp_path / "third", two_phase_config, cache), tmp_path / "third")
    assert 1 <= shards_left < 8, "the first kill came too late to test anything"
    assert last.forward_passes == 0
    assert "head epoch" not in last.log
    assert f"fine_tune goes on after epoch {epochs_kept} of 3" in last.log
    history = list(csv.DictReader((last.run / "history.csv").open()))
    assert history == list(csv.DictReader((two_phase.run / "history.csv").open()))
    cost = json.loads((last.run / "compute.json").read_text())
    assert cost["epochs"] == 3 - epochs_kept
    assert cost["earlier_epochs"] == len(history) - cost["epochs"]
    for ours, uninterrupted in zip(
        tf.saved_model.load(str(last.model))._weights, two_phase.loaded._weights, strict=True
    ):
        np.testing.assert_array_equal(ours.numpy(), uninterrupted.numpy())
    assert not list(cache.glob("training/*")), "a finished training leaves no state"
