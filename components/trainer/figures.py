"""What a person watches: the history as a table, as TensorBoard logs and as figures.

In: rows of history. Out: files in the run's folder, written anew after every epoch, so that a run
that was continued has all of them.
"""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import tensorflow as tf
from matplotlib.figure import Figure

from components import charts
from components.trainer.training_state import EpochRow

HISTORY = "history.csv"
FIGURE = "training.png"


def write_history(rows: Sequence[EpochRow], folder: Path) -> None:
    """Writes `history.csv`: one row an epoch, all phases."""
    with (folder / HISTORY).open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(EpochRow)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


class TensorBoardLogs:
    """Writes each row once: `train` and `validation` runs, steps counted over all phases."""

    def __init__(self, folder: Path) -> None:
        self._writers = {
            run: tf.summary.create_file_writer(str(folder / run)) for run in ("train", "validation")
        }
        self._written = 0

    def write(self, rows: Sequence[EpochRow]) -> None:
        """Writes the rows that are new."""
        for step, row in enumerate(rows[self._written :], start=self._written + 1):
            with self._writers["train"].as_default(step=step):
                tf.summary.scalar("epoch_loss", row.loss)
                tf.summary.scalar("epoch_accuracy", row.accuracy)
                tf.summary.scalar("epoch_learning_rate", row.learning_rate)
            with self._writers["validation"].as_default(step=step):
                tf.summary.scalar("epoch_loss", row.val_loss)
                tf.summary.scalar("epoch_accuracy", row.val_accuracy)
        self._written = len(rows)
        for writer in self._writers.values():
            writer.flush()


def write_figure(rows: Sequence[EpochRow], folder: Path) -> None:
    """Draws accuracy and loss by epoch, train and validation, to `training.png`."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    for place, name in enumerate(("accuracy", "loss"), start=1):
        axes = charts.axes(figure, (1, 2, place), title=f"Training and validation {name}")
        train, validation = ([getattr(row, p + name) for row in rows] for p in ("", "val_"))
        phases = [row.phase for row in rows]
        charts.training(axes, name, phases, train=train, validation=validation)
        axes.legend()
    figure.savefig(folder / FIGURE)
