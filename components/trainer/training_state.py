"""Where training stands, on disk after every epoch: a killed run goes on, not anew.

In and out: one file, replaced in one rename. NumPy only.

It holds all that the next epoch depends on: weights, the optimiser's variables, dropout's random
state (both among a model's and an optimiser's variables), the best weights so far and the history.
Order and augmentation of an epoch are functions of its number. So a run that was killed and
continued ends with the same weights as one that was not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class EpochRow:
    """One line of the history; epochs count from 1 within a phase."""

    phase: str
    epoch: int
    accuracy: float
    loss: float
    val_accuracy: float
    val_loss: float
    learning_rate: float


@dataclass
class TrainingState:
    """After the last whole epoch.

    Attributes:
      phase: "" before the first.
      epochs_done: of this phase.
      finished: the phase is over, and `variables` are those it leaves.
      best_epoch: of this phase, from 1; 0 before the first.
      variables: of the model that the phase trains, in Keras' order.
      best: the same after the best epoch; empty when early stopping is off.
    """

    phase: str = ""
    epochs_done: int = 0
    finished: bool = False
    best_epoch: int = 0
    best_val_loss: float = float("inf")
    history: list[EpochRow] = field(default_factory=list)
    variables: Arrays = field(default_factory=list)
    optimizer: Arrays = field(default_factory=list)
    best: Arrays = field(default_factory=list)

    GROUPS = ("variables", "optimizer", "best")

    def save(self, path: Path) -> None:
        """Writes the state, or leaves the file as it was.

        Raises:
          OSError: if it cannot be written.
        """
        numbers = {
            key: value
            for key, value in self.__dict__.items()
            if key not in (*self.GROUPS, "history")
        }
        numbers["history"] = [asdict(row) for row in self.history]
        arrays = {
            f"{group}-{i}": array
            for group in self.GROUPS
            for i, array in enumerate(getattr(self, group))
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".tmp")
        try:
            with partial.open("wb") as file:
                np.savez(file, numbers=np.array(json.dumps(numbers)), **arrays)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path) -> TrainingState:
        """Reads the state; a fresh one when there is no file."""
        if not path.exists():
            return cls()
        with np.load(path) as file:
            numbers = json.loads(str(file["numbers"]))
            history = [EpochRow(**row) for row in numbers.pop("history")]
            groups: dict[str, Any] = {}
            for group in cls.GROUPS:
                count = sum(name.startswith(f"{group}-") for name in file.files)
                groups[group] = [file[f"{group}-{i}"] for i in range(count)]
        return cls(**numbers, history=history, **groups)


def values(variables: Sequence[Any]) -> Arrays:
    """Returns copies of Keras variables' values."""
    return [np.array(variable.numpy()) for variable in variables]


def assign(variables: Sequence[Any], arrays: Arrays) -> None:
    """Sets Keras variables."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
