"""From serialized examples to rows of the table of predictions, with Beam.

In: records of a split and SavedModels. Out: one row (a dict) an example; every example passes each
network once. Without models, only the fingerprint of each example.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared
from numpy.typing import NDArray

from components.predictions import table
from data import contract
from data.celeba.images import quality
from data.errors import DataError, ImageError
from data.faces.crops import detector_crop
from data.faces.detector import FaceDetector

BATCH_SIZE: Final = 64
NAMESPACE: Final = "genq.predictions"
"""Of the Beam counters `<model>_forward_passes`: examples that went through a network."""

CANDIDATE: Final = "candidate"
BASELINE: Final = "baseline"
DETECTOR: Final = "detector"
"""Counts the candidate's passes over detector crops."""

Row = dict[str, Any]


class ScoredModel:
    """A SavedModel and its answers: output name -> array, (batch, …); one forward pass a call.

    Args:
      path: folder of the SavedModel.
    """

    def __init__(self, path: str) -> None:
        # Kept alive with the signatures, which hold no reference to their variables.
        self._model = tf.saved_model.load(path)
        self._path = path

    def answer(self, serialized: Sequence[bytes], *, embeddings: bool = False) -> Mapping[str, Any]:
        """Answers serialized tf.train.Examples; with what the head sees, if that is asked for."""
        signature = contract.SIGNATURE_EMBEDDING if embeddings else contract.SIGNATURE_EXAMPLES
        return self._call(signature, examples=tf.constant(serialized, tf.string))

    def answer_images(self, encoded: Sequence[bytes]) -> Mapping[str, Any]:
        """Answers encoded images, JPEG or PNG."""
        return self._call(contract.SIGNATURE_ENCODED, image_bytes=tf.constant(encoded, tf.string))

    def answer_crops(self, crops: Sequence[NDArray[np.uint8]]) -> Mapping[str, Any]:
        """Answers decoded crops of equal size, as serving asks: each uint8, (height, width, 3)."""
        return self._call(contract.SIGNATURE_PIXELS, image=tf.constant(np.stack(crops)))

    def _call(self, signature: str, **inputs: tf.Tensor) -> Mapping[str, Any]:
        """Calls a signature.

        Raises:
          DataError: if the model has no such signature, or no such outputs.
        """
        if signature not in self._model.signatures:
            raise DataError(
                f"{self._path}: the model has no signature {signature!r}; it has "
                f"{', '.join(self._model.signatures)}.",
                "Train it with components/trainer, which exports that signature.",
            )
        answers = self._model.signatures[signature](**inputs)
        if contract.P_POSITIVE not in answers:
            raise DataError(
                f"{self._path}: the model answers {', '.join(answers)}; expected "
                f"{contract.P_POSITIVE} among them.",
                "It is of another genq. Where it is the baseline, pin a newer release "
                "(genq releases promote), or run in another --workdir.",
            )
        return {name: value.numpy() for name, value in answers.items()}


class _Models:
    """What `Shared` keeps: the models of this process, and the face detector if it is asked for."""

    def __init__(self, paths: Mapping[str, str], detector_crops: bool) -> None:
        self.by_name = {name: ScoredModel(path) for name, path in paths.items()}
        self.detector = FaceDetector() if detector_crops else None


class Score(beam.DoFn):  # type: ignore[misc]  # Beam ships no types for it
    """Batches of serialized examples -> rows.

    Args:
      split: written into each row.
      paths: CANDIDATE and, if there is one, BASELINE -> folder of the SavedModel.
      shared: by which workers of a process share the loaded models.
      detector_crops: whether the candidate also answers about detector crops.
      embeddings: whether rows hold the candidate's embedding.
    """

    def __init__(
        self,
        split: str,
        paths: Mapping[str, str],
        shared: Shared,
        *,
        detector_crops: bool = False,
        embeddings: bool = False,
    ) -> None:
        self._split = split
        self._paths = dict(paths)
        self._shared = shared
        self._detector_crops = detector_crops
        self._embeddings = embeddings
        self._passes = {
            name: Metrics.counter(NAMESPACE, f"{name}_forward_passes")
            for name in (*paths, DETECTOR)
        }

    def setup(self) -> None:
        """Loads the models, once a process."""
        key = f"{self._paths} {self._detector_crops}"
        self._models = self._shared.acquire(
            lambda: _Models(self._paths, self._detector_crops), tag=key
        )

    def process(self, batch: Sequence[bytes]) -> Iterator[Row]:
        """Yields a row for each example."""
        answers = {}
        for name, model in self._models.by_name.items():
            wanted = self._embeddings and name == CANDIDATE
            answers[name] = model.answer(batch, embeddings=wanted)
            self._passes[name].inc(len(batch))
        rows = [example_row(self._split, serialized) for serialized in batch]
        for number, row in enumerate(rows):
            add_answer(row, answers, number)
        if self._models.detector is not None:
            found = add_detector_answers(
                rows,
                [_image(serialized) for serialized in batch],
                self._models.by_name[CANDIDATE],
                self._models.detector,
            )
            self._passes[DETECTOR].inc(found)
        yield from rows


def add_answer(row: Row, answers: Mapping[str, Mapping[str, Any]], number: int) -> None:
    """Adds what the models said about the example at `number` of the batch."""
    candidate, baseline = answers[CANDIDATE], answers.get(BASELINE)
    row[contract.P_POSITIVE] = float(candidate[contract.P_POSITIVE][number])
    row[contract.UNCERTAIN] = bool(candidate[contract.UNCERTAIN][number])
    if contract.EMBEDDING in candidate:
        row[contract.EMBEDDING] = candidate[contract.EMBEDDING][number]
    row[table.BASELINE_P_POSITIVE] = baseline and float(baseline[contract.P_POSITIVE][number])
    row[table.BASELINE_UNCERTAIN] = baseline and bool(baseline[contract.UNCERTAIN][number])


def add_detector_answers(
    rows: Sequence[Row], images: Sequence[bytes], model: ScoredModel, detector: FaceDetector
) -> int:
    """Adds what the model says of the face that the detector cuts out of each image.

    Args:
      rows: gain `detector_p_positive` and `detector_uncertain` where a face is found.
      images: encoded, in the order of `rows`.
      model: the candidate.
      detector: the application's.

    Returns:
      How many faces were found: the forward passes.
    """
    crops = {i: detector_crop(image, detector) for i, image in enumerate(images)}
    found = {i: crop for i, crop in crops.items() if crop is not None}
    if found:
        answers = model.answer_crops(list(found.values()))
        for number, i in enumerate(found):
            rows[i][table.DETECTOR_P_POSITIVE] = float(answers[contract.P_POSITIVE][number])
            rows[i][table.DETECTOR_UNCERTAIN] = bool(answers[contract.UNCERTAIN][number])
    return len(found)


def _image(serialized: bytes) -> bytes:
    [image] = (
        tf.train.Example.FromString(serialized).features.feature[contract.IMAGE].bytes_list.value
    )
    return bytes(image)


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
    labels = features[contract.LABEL].int64_list.value if contract.LABEL in features else ()
    if not labels:
        raise DataError(
            f"{split}: {row[contract.IMAGE_ID]}: the example has no {contract.LABEL}.",
            "Make the examples with example-gen.",
        )
    row[contract.LABEL] = int(labels[0])
    weight = features.get(contract.INCLUSION_WEIGHT)
    row[contract.INCLUSION_WEIGHT] = float(weight.float_list.value[0]) if weight else None
    try:
        row[contract.BRIGHTNESS], row[contract.SHARPNESS] = quality(image)
    except ImageError as error:
        raise DataError(
            f"{split}: {row[contract.IMAGE_ID]}: {error.problem}", "Leave the image out."
        ) from error
    row[contract.IMAGE_BYTES] = len(image)
    groups = features[contract.GROUPS].bytes_list.value if contract.GROUPS in features else ()
    row[contract.GROUPS] = groups[0].decode() if groups else None
    return row
