"""Real examples to compare models on: encoded images with labels and attributes.

In: file patterns of a split. Out: TestImages; decoded as consumers decode them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from components.example_files import example_dataset
from components.trainer import preprocessing
from data import contract

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class TestImage:
    """One example.

    Attributes:
      name: file name, e.g. "000001.jpg".
      encoded: JPEG bytes.
      label: index into the names of what is learnt.
      attributes: name -> 0 or 1, of those that the data have.
    """

    # Not a test case, whatever pytest thinks of the name.
    __test__ = False

    name: str
    encoded: bytes
    label: int
    attributes: dict[str, int]


def read_images(patterns: Sequence[str], limit: int, *, skip: int = 0) -> list[TestImage]:
    """Returns `limit` examples after the first `skip`; example-gen writes them in a hash's order.

    Raises:
      DataError: if no file matches.
    """
    features = {
        contract.IMAGE: tf.io.FixedLenFeature([], tf.string),
        contract.IMAGE_ID: tf.io.FixedLenFeature([], tf.string),
        **{name: tf.io.FixedLenFeature([], tf.int64, -1) for name in contract.ATTRIBUTES},
        contract.LABEL: tf.io.FixedLenFeature([], tf.int64),
    }
    records = example_dataset(patterns).skip(skip).take(limit)
    return [
        TestImage(
            name=e[contract.IMAGE_ID].decode(),
            encoded=e[contract.IMAGE],
            label=int(e[contract.LABEL]),
            attributes={n: int(e[n]) for n in contract.ATTRIBUTES if e[n] >= 0},
        )
        for e in records.map(
            lambda record: tf.io.parse_single_example(record, features)
        ).as_numpy_iterator()
    ]


def decode_tensorflow(encoded: bytes) -> Pixels:
    """Decodes as the SavedModel does: uint8, (height, width, 3), RGB."""
    pixels: Pixels = preprocessing.decode(tf.constant(encoded)).numpy()
    return pixels


def decode_pillow(encoded: bytes) -> Pixels:
    """Decodes as serving does: uint8, (height, width, 3), RGB."""
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image.convert("RGB"))


def batches(images: Sequence[Pixels], size: int) -> Iterator[tuple[list[int], Pixels]]:
    """Yields (indices, uint8 (batch, height, width, 3)) of images that have one shape."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        by_shape.setdefault(image.shape, []).append(index)
    for indices in by_shape.values():
        for start in range(0, len(indices), size):
            part = indices[start : start + size]
            yield part, np.stack([images[i] for i in part])
