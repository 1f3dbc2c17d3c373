"""A small, real model that has learnt something, and what the pipeline's nodes wrote for it.

Built once a session: InceptionV3 at 75 px with random filters, under a head fitted in closed form,
so that its answers are decided and quantisation has something to spoil.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data import contract

IMAGES = {"train": 48, "val": 24, "test": 40}


def face(seed: int, label: int) -> bytes:
    """A JPEG of coarse noise, bright at the top for label 1 and at the bottom for label 0."""
    rng = np.random.default_rng(seed)
    coarse = (
        rng.integers(0, 120, (6, 5, 3)) + np.linspace(120, 0, 6)[:: 1 if label else -1, None, None]
    )
    buffer = io.BytesIO()
    Image.fromarray(coarse.astype(np.uint8)).resize((178, 218), Image.Resampling.BICUBIC).save(
        buffer, "JPEG"
    )
    return buffer.getvalue()


def faces(split: str) -> list[tuple[str, int, bytes]]:
    """(image id, label, JPEG) of a split."""
    first = 1000 * list(IMAGES).index(split)
    return [(f"{i:06d}.jpg", i % 2, face(i, i % 2)) for i in range(first, first + IMAGES[split])]


def write_examples(root: Path) -> Path:
    """Writes Split-train, Split-val and Split-test as example-gen does."""
    import tensorflow as tf

    for split in IMAGES:
        (root / f"Split-{split}").mkdir()
        with tf.io.TFRecordWriter(str(root / f"Split-{split}" / "data_tfrecord")) as writer:
            for row, (name, label, encoded) in enumerate(faces(split)):
                example = tf.train.Example()
                feature = example.features.feature
                feature[contract.IMAGE].bytes_list.value.append(encoded)
                feature[contract.IMAGE_ID].bytes_list.value.append(name.encode())
                for attribute in contract.ATTRIBUTES:
                    feature[attribute].int64_list.value.append(0)
                feature[contract.MALE].int64_list.value[:] = [label]
                feature[contract.LABEL].int64_list.value[:] = [label]
                feature["Young"].int64_list.value[:] = [row // 2 % 2]
                writer.write(example.SerializeToString())
    return root


def write_saved_model(path: Path) -> Path:
    """Writes the SavedModel as the trainer exports it."""
    import keras
    import tensorflow as tf
    from sklearn.linear_model import LogisticRegression

    from components.trainer import preprocessing, signatures
    from components.trainer.calibration import Calibration
    from components.trainer.config import TrainerConfig
    from components.trainer.model import build

    keras.utils.set_random_seed(5)
    model = build(TrainerConfig(image_size_px=75, weights="none", strategy="full"))
    rows = faces("train")
    pixels = preprocessing.decode_batch(tf.constant([encoded for *_, encoded in rows]), 75)
    features = keras.Model(model.input, model.get_layer("head_dropout").input)
    x = features(pixels, training=False).numpy()
    mean, scale = x.mean(0), x.std(0) + 1e-9
    fitted = LogisticRegression(C=0.01).fit((x - mean) / scale, [label for _, label, _ in rows])
    kernel = fitted.coef_[0] / scale
    bias = fitted.intercept_[0] - kernel @ mean
    model.get_layer("head_logit").set_weights([kernel[:, None], np.array([bias])])
    signatures.export(model, Calibration(temperature=1.2, uncertain_below=0.05), path)
    return path


def write_manifest(root: Path) -> Path:
    """Writes the sampling manifest of these examples."""
    lines = [f"{name},{split},{label},1" for split in IMAGES for name, label, _ in faces(split)]
    table = "\n".join(["image_id,split,label,identity", *lines]) + "\n"
    (root / "manifest.csv").write_text(table)
    content: dict[str, Any] = {
        "seed": 7,
        "counts": {s: {"Male=0": n // 2, "Male=1": n // 2} for s, n in IMAGES.items()},
        "sha256": {
            "Anno/list_attr_celeba.txt": "ab" * 32,
            "manifest.csv": hashlib.sha256(table.encode()).hexdigest(),
        },
    }
    (root / "manifest.json").write_text(json.dumps(content))
    return root


@pytest.fixture(scope="session")
def examples_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_saved_model(tmp_path_factory.mktemp("model") / "saved_model")


@pytest.fixture(scope="session")
def manifest_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("manifest"))
