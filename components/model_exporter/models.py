"""The forms of the model as functions from pixels, or from files, to p_positive.

In: a SavedModel or an ONNX file. Out: a function. Both run as their users run them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import tensorflow as tf
from numpy.typing import NDArray

from components.model_exporter.images import Pixels, batches, decode_pillow
from data import contract

P = NDArray[np.float32]
Model = Callable[[Pixels], P]
"""uint8, (batch, height, width, 3) -> p_positive, float32, (batch,)."""

BATCH_SIZE = 32


class SavedModel:
    """The SavedModel; calling it with pixels is its signature `serving_pixels`."""

    def __init__(self, path: Path) -> None:
        # Kept: when the module is garbage, its variables are gone.
        self.module = tf.saved_model.load(str(path))

    def __call__(self, image: Pixels) -> P:
        """uint8, (batch, height, width, 3) -> p_positive, (batch,)."""
        answer = self.module.signatures[contract.SIGNATURE_PIXELS](image=tf.constant(image))
        p_positive: P = answer[contract.P_POSITIVE].numpy()
        return p_positive

    def encoded(self, files: Sequence[bytes]) -> P:
        """JPEG or PNG bytes -> p_positive, (n,), by the signature `serving_default`."""
        signature = self.module.signatures[contract.SIGNATURE_ENCODED]
        parts = [
            signature(image_bytes=tf.constant(list(files[i : i + BATCH_SIZE])))
            for i in range(0, len(files), BATCH_SIZE)
        ]
        return np.concatenate([part[contract.P_POSITIVE].numpy() for part in parts])


def onnx_model(path: Path) -> Model:
    """Returns an ONNX file as a function, run by plain onnxruntime on the CPU."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(image: Pixels) -> P:
        [p_positive] = session.run([contract.P_POSITIVE], {contract.IMAGE: image})
        return np.asarray(p_positive, np.float32)

    return run


def answers_to_files(model: Model, files: Sequence[bytes], chunk: int = 8 * BATCH_SIZE) -> P:
    """Returns p_positive of each encoded image, (n,); decodes only `chunk` of them at a time."""
    parts = [
        answers(model, [decode_pillow(f) for f in files[i : i + chunk]])
        for i in range(0, len(files), chunk)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def answers(model: Model, images: Sequence[Pixels]) -> P:
    """Returns p_positive of each image, (n,); images of one shape are batched."""
    result = np.full(len(images), np.nan, np.float32)
    for indices, batch in batches(images, BATCH_SIZE):
        result[indices] = model(batch)
    return result
