"""What a person watches: the history as a table, as TensorBoard logs and as figures.

In: rows of history. Out: files in the run's folder, written anew after every epoch, so that a run
that was continued has all of them.
"""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
    canvas = FigureCanvasAgg(figure)
    for place, name in enumerate(("accuracy", "loss"), start=1):
        _draw(figure.add_subplot(1, 2, place), rows, name)
    canvas.print_png(folder / FIGURE)  # type: ignore[no-untyped-call]


def _draw(axes: Axes, rows: Sequence[EpochRow], name: str) -> None:
    """Draws one of the two, with a line where a phase begins."""
    steps = range(1, len(rows) + 1)
    for prefix, label, style in (("", "train", "o-"), ("val_", "validation", "s-")):
        values = [getattr(row, prefix + name) for row in rows]
        axes.plot(steps, values, style, label=label, markersize=4)
    for step in steps:
        if step == 1 or rows[step - 1].phase != rows[step - 2].phase:
            axes.axvline(step - 0.5, color="0.7", linestyle="--", linewidth=1)
            axes.annotate(
                rows[step - 1].phase,
                (step - 0.5, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, -10),
                textcoords="offset points",
                fontsize=8,
                color="0.4",
            )
    axes.set(title=f"Training and validation {name}", xlabel="epoch", ylabel=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
