"""The state of training on disk."""

from pathlib import Path

import numpy as np
import pytest

from components.trainer.training_state import EpochRow, TrainingState


def a_state() -> TrainingState:
    rng = np.random.default_rng(0)
    return TrainingState(
        phase="fine_tune",
        epochs_done=3,
        best_epoch=2,
        best_val_loss=0.25,
        history=[EpochRow("head", 1, 0.5, 0.7, 0.6, 0.65, 1e-3)],
        variables=[rng.normal(size=(3, 2)).astype(np.float32), np.array([1, 2], np.uint32)],
        optimizer=[rng.normal(size=i).astype(np.float32) for i in range(12)],
        best=[np.zeros((3, 2), np.float32)],
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    """Numbers, history and arrays, in order and of the same types."""
    state = a_state()
    state.save(tmp_path / "training" / "state.npz")
    loaded = TrainingState.load(tmp_path / "training" / "state.npz")
    for group in TrainingState.GROUPS:
        for ours, theirs in zip(getattr(loaded, group), getattr(state, group), strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
    assert loaded.history == state.history
    assert (loaded.phase, loaded.epochs_done, loaded.best_epoch) == ("fine_tune", 3, 2)
    assert (loaded.best_val_loss, loaded.finished) == (0.25, False)


def test_without_a_file_training_begins(tmp_path: Path) -> None:
    state = TrainingState.load(tmp_path / "state.npz")
    assert (state.phase, state.epochs_done, state.best_val_loss) == ("", 0, float("inf"))


def test_a_state_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full in the middle: the old file is whole, nothing else is there."""
    file = tmp_path / "state.npz"
    state = a_state()
    state.save(file)
    state.epochs_done = 4

    def no_room(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", no_room)
    with pytest.raises(OSError, match="No space"):
        state.save(file)
    assert TrainingState.load(file).epochs_done == 3
    assert list(tmp_path.iterdir()) == [file]
