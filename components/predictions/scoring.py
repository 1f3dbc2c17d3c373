"""From serialized examples to rows of the table of predictions, with Beam.

In: records of a split and SavedModels. Out: one row (a dict) an example; every example passes each
network once. Without models, only the fingerprint of each example.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import apache_beam as beam
import tensorflow as tf
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from components.predictions import table
from data import contract
from data.errors import DataError, ImageError
from data.images import quality

BATCH_SIZE: Final = 64
NAMESPACE: Final = "genq.predictions"
"""Of the Beam counters `<model>_forward_passes`: examples that went through a network."""

CANDIDATE: Final = "candidate"
BASELINE: Final = "baseline"

Row = dict[str, Any]


class ScoredModel:
    """A SavedModel and its answers to serialized examples.

    Args:
      path: folder of the SavedModel.

    Raises:
      DataError: if the model has no such signature.
    """

    def __init__(self, path: str) -> None:
        # Kept alive with the signature, which holds no reference to its variables.
        self._model = tf.saved_model.load(path)
        if contract.SIGNATURE_EXAMPLES not in self._model.signatures:
            raise DataError(
                f"{path}: the model has no signature {contract.SIGNATURE_EXAMPLES!r}; it has "
                f"{', '.join(self._model.signatures)}.",
                "Train it with components/trainer, which exports that signature.",
            )
        self._signature = self._model.signatures[contract.SIGNATURE_EXAMPLES]

    def answer(self, serialized: Sequence[bytes]) -> Mapping[str, Any]:
        """One forward pass: returns output name -> array, (batch, …)."""
        answers = self._signature(examples=tf.constant(serialized, tf.string))
        return {name: value.numpy() for name, value in answers.items()}


class _Models:
    """What `Shared` keeps: the models of this process."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self.by_name = {name: ScoredModel(path) for name, path in paths.items()}


class Score(beam.DoFn):  # type: ignore[misc]  # Beam ships no types for it
    """Batches of serialized examples -> rows.

    Args:
      split: written into each row.
      paths: CANDIDATE and, if there is one, BASELINE -> folder of the SavedModel.
      shared: by which workers of a process share the loaded models.
    """

    def __init__(self, split: str, paths: Mapping[str, str], shared: Shared) -> None:
        self._split = split
        self._paths = dict(paths)
        self._shared = shared
        self._passes = {
            name: Metrics.counter(NAMESPACE, f"{name}_forward_passes") for name in paths
        }

    def setup(self) -> None:
        """Loads the models, once a process."""
        self._models = self._shared.acquire(
            lambda: _Models(self._paths), tag=str(self._paths)
        ).by_name

    def process(self, batch: Sequence[bytes]) -> Iterator[Row]:
        """Yields a row for each example."""
        answers = {}
        for name, model in self._models.items():
            answers[name] = model.answer(batch)
            self._passes[name].inc(len(batch))
        for number, serialized in enumerate(batch):
            row = example_row(self._split, serialized)
            add_answer(row, answers, number)
            yield row


def add_answer(row: Row, answers: Mapping[str, Mapping[str, Any]], number: int) -> None:
    """Adds what the models said about the example at `number` of the batch."""
    candidate, baseline = answers[CANDIDATE], answers.get(BASELINE)
    row[contract.P_MALE] = float(candidate[contract.P_MALE][number])
    row[contract.UNCERTAIN] = bool(candidate[contract.UNCERTAIN][number])
    row[table.BASELINE_P_MALE] = baseline and float(baseline[contract.P_MALE][number])
    row[table.BASELINE_UNCERTAIN] = baseline and bool(baseline[contract.UNCERTAIN][number])


def fingerprint_row(split: str, serialized: bytes) -> Row:
    """Returns what tells whether an image or a person is in two splits."""
    return _fingerprint(split, tf.train.Example.FromString(serialized).features.feature)


def _fingerprint(split: str, features: Mapping[str, Any]) -> Row:
    [image_id] = features[contract.IMAGE_ID].bytes_list.value
    [image] = features[contract.IMAGE].bytes_list.value
    identity = features.get(contract.IDENTITY)
    values = identity.int64_list.value if identity else ()
    return {
        table.SPLIT: split,
        contract.IMAGE_ID: image_id.decode(),
        contract.IDENTITY: int(values[0]) if values else None,
        table.SHA256: hashlib.sha256(image).hexdigest(),
    }


def example_row(split: str, serialized: bytes) -> Row:
    """Returns what an example says of itself; quality is measured here, for every image.

    Raises:
      DataError: if the example lacks a feature, or its image cannot be decoded.
    """
    features = tf.train.Example.FromString(serialized).features.feature
    row = _fingerprint(split, features)
    [image] = features[contract.IMAGE].bytes_list.value
    for name in contract.ATTRIBUTES:
        values = features[name].int64_list.value if name in features else ()
        row[name] = int(values[0]) if values else None
    if row[contract.LABEL_ATTRIBUTE] is None:
        raise DataError(
            f"{split}: {row[contract.IMAGE_ID]}: the example has no {contract.LABEL_ATTRIBUTE}.",
            "Make the examples with example-gen.",
        )
    row[contract.LABEL] = row[contract.LABEL_ATTRIBUTE]
    try:
        row[contract.BRIGHTNESS], row[contract.SHARPNESS] = quality(image)
    except ImageError as error:
        raise DataError(
            f"{split}: {row[contract.IMAGE_ID]}: {error.problem}", "Leave the image out."
        ) from error
    row[contract.IMAGE_BYTES] = len(image)
    return row
