"""The images of a split in memory, still encoded, each with its label and its fingerprint.

In: record files of an Examples artifact, read once. Out: a LabelledImages.

Encoded images are small (8 kB; 1.4 GB for the whole of CelebA's training partition), so every
epoch's order is a true permutation, and any image can be had by number.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.evaluation.clusters import People, people
from components.example_files import example_dataset
from components.trainer import preprocessing
from data import contract
from data.errors import DataError

UNKNOWN: Final = -1
"""Identity of an example that has none."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """One split.

    Attributes:
      encoded: string tensor (n,), JPEG or PNG bytes.
      labels: float32 (n,), 0 or 1.
      digests: SHA-256 of each image's bytes, 32 bytes each.
      whose: the images' people; None where nothing is known of them.
    """

    encoded: tf.Tensor
    labels: NDArray[np.float32]
    digests: tuple[bytes, ...]
    whose: People | None = None

    def __len__(self) -> int:
        return len(self.digests)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of all images and labels, in order."""
        digest = hashlib.sha256(self.labels.tobytes())
        for image in self.digests:
            digest.update(image)
        return digest.hexdigest()


def read(patterns: Sequence[str], *, batch: int = 256) -> LabelledImages:
    """Reads the records of all files that match, in file-name order.

    Raises:
      DataError: if no file matches, or the files hold no examples.
    """
    unknown = tf.io.FixedLenFeature([], tf.int64, UNKNOWN)
    features = {**preprocessing.EXAMPLE_FEATURES, contract.IDENTITY: unknown}
    records = example_dataset(patterns).batch(batch)
    parsed = records.map(lambda s: tf.io.parse_example(s, features)).prefetch(2)
    encoded, labels, identities = [], [], []
    digests: list[bytes] = []
    for examples in parsed:
        encoded.append(examples[contract.IMAGE])
        labels.append(examples[contract.LABEL].numpy())
        identities.append(examples[contract.IDENTITY].numpy())
        digests.extend(hashlib.sha256(image).digest() for image in encoded[-1].numpy())
    if not digests:
        raise DataError(
            f"The files of {', '.join(patterns)} hold no examples.",
            "The split is empty: choose a larger sample (sampling.total) and run again.",
        )
    with tf.device("CPU"):
        together = tf.concat(encoded, 0)
    identity = np.concatenate(identities).astype(np.float64)
    identity[identity == UNKNOWN] = np.nan
    return LabelledImages(
        together,
        np.concatenate(labels).astype(np.float32),
        tuple(digests),
        people(identity, len(identity)),
    )
