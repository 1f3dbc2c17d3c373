"""tf.train.Examples as bytes, at the speed of the disk.

In: one image and its row of the index. Out: a serialized tf.train.Example.

`tf.train.Example(...)` in Python takes longer than reading the image. Forty of the features can
only be 0 or 1, so their bytes are made once, by protobuf itself; the rest is one small message, and
the image is put around without a copy through a message. Serialized protobuf messages may simply be
concatenated (https://protobuf.dev/programming-guides/encoding/#last-one-wins).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from tensorflow.core.example import feature_pb2

from data import contract

Value = Sequence[int] | Sequence[float] | Sequence[bytes]


def features(values: Mapping[str, Value]) -> bytes:
    """Returns a serialized Features message."""
    message = feature_pb2.Features()
    for key, value in values.items():
        # Filled in place: half the time of messages that are made first and put in.
        feature = message.feature[key]
        if isinstance(value[0], bytes):
            feature.bytes_list.value.extend(value)
        elif isinstance(value[0], float):
            feature.float_list.value.extend(value)
        else:
            feature.int64_list.value.extend(value)
    return bytes(message.SerializeToString(deterministic=True))


@functools.cache
def _block(names: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns all attributes as one block, and where in it their values stand.

    Only this many bytes differ: 0 and 1 take one byte each, the last of their feature.
    """
    parts = [features({name: [0]}) for name in names]
    block = np.frombuffer(b"".join(parts), np.uint8)
    return block, np.cumsum([len(part) for part in parts]) - 1


def attribute_blocks(
    attributes: NDArray[np.uint8], names: tuple[str, ...] = contract.ATTRIBUTES
) -> Iterator[bytes]:
    """Yields each image's attributes as features.

    Args:
      attributes: uint8 0 or 1, (images, len(names)).
      names: of the attributes.
    """
    empty, values_at = _block(names)
    for start in range(0, len(attributes), _IMAGES_AT_ONCE):
        some = attributes[start : start + _IMAGES_AT_ONCE]
        blocks = np.tile(empty, (len(some), 1))
        blocks[:, values_at] = some
        yield from map(bytes, blocks)


def encode_example(image: bytes, *others: bytes) -> bytes:
    """Returns a serialized tf.train.Example.

    Args:
      image: encoded JPEG, as it is on disk.
      others: the other features, each part as `features` or `attribute_blocks` gives it.
    """
    head = b"".join((*others, _image_head(len(image))))
    return b"".join((_TAG, _varint(len(head) + len(image)), head, image))


# Tags are (field number << 3) | 2, the wire type of length-delimited fields.
_TAG = (
    b"\x0a"  # field 1: Example.features, Features.feature, a map's key, Feature.bytes_list, value
)
_MAP_VALUE_TAG = b"\x12"  # field 2
_IMAGES_AT_ONCE = 1024  # about a megabyte of attributes
_IMAGE_KEY = _TAG + bytes([len(contract.IMAGE)]) + contract.IMAGE.encode()


@functools.lru_cache(1 << 16)  # CelebA's images have some 20,000 different sizes
def _image_head(size: int) -> bytes:
    """Returns what precedes an image of `size` bytes: Features{feature: {IMAGE: {bytes_list: […"""
    value = _TAG + _varint(size)  # BytesList.value
    bytes_list = _TAG + _varint(len(value) + size) + value  # Feature.bytes_list
    entry = _IMAGE_KEY + _MAP_VALUE_TAG + _varint(len(bytes_list) + size) + bytes_list
    return _TAG + _varint(len(entry) + size) + entry


def _varint(number: int) -> bytes:
    """Returns protobuf's base-128 varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
