"""What benchmarks/training.py compares: the seed project's recipe, ours, and the frozen part alone.

Each contestant runs in a process of its own, on striped pictures with random weights, and returns
what it measured. benchmarks/inference.py takes pictures and weights from here, too.
"""

from __future__ import annotations

import hashlib
import io
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    size_px: int
    train: int
    val: int
    seed_steps: int
    accuracy_epochs: int


FULL = Scale(size_px=299, train=1024, val=128, seed_steps=6, accuracy_epochs=30)
QUICK = Scale(size_px=75, train=32, val=16, seed_steps=2, accuracy_epochs=2)
ACCURACY_SIZE_PX, ACCURACY_TRAIN, ACCURACY_VAL = 75, 256, 128

# --- The input -----------------------------------------------------------------------------------


def striped(seed: int) -> bytes:
    """A JPEG of 178x218 px: upright (even seeds) or level stripes in noise."""
    rng = np.random.default_rng(seed)
    axis = np.indices((218, 178))[seed % 2]
    wave = np.sin(axis * 0.25 + rng.uniform(0, 7))[..., None]
    pixels = 127 + 80 * wave + rng.normal(0, 15, (218, 178, 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def labelled(first: int, count: int) -> Any:
    """Returns LabelledImages of `count` striped pictures."""
    import tensorflow as tf

    from components.trainer.images import LabelledImages

    encoded = [striped(seed) for seed in range(first, first + count)]
    return LabelledImages(
        tf.constant(encoded),
        (np.arange(first, first + count) % 2).astype(np.float32),
        tuple(hashlib.sha256(image).digest() for image in encoded),
    )


def make_weights(path: Path, size_px: int) -> None:
    """Writes random weights whose BatchNorm statistics are those of striped pictures."""
    import keras

    from components.trainer import preprocessing
    from components.trainer.config import TrainerConfig
    from components.trainer.model import build_backbone

    keras.utils.set_random_seed(0)
    config = TrainerConfig(
        image_size_px=size_px, weights="none", strategy="full", batch_norm_momentum=0.5
    )
    backbone = build_backbone(config)
    batch = preprocessing.decode_batch(labelled(9000, 32).encoded, size_px)
    for _ in range(6):
        backbone(batch, training=True)
    backbone.save_weights(path)


# --- The contestants; each runs in its own process -----------------------------------------------


def seed_network(size_px: int, weights: Path) -> Any:
    """The seed project's network and optimiser."""
    import keras

    from components.trainer.weights import load_backbone_weights, read_weights

    backbone = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(size_px, size_px, 3), pooling="avg"
    )
    load_backbone_weights(backbone, read_weights(weights), weights)
    x = keras.layers.Dense(1024, activation="relu")(backbone.output)
    network = keras.Model(backbone.input, keras.layers.Dense(2, activation="softmax")(x))
    network.compile(
        keras.optimizers.Adam(),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # XLA is slower on CPUs
    )
    return network


def seed_batches(images: Any, size_px: int, batch: int, *, augment: bool) -> Any:
    """ImageDataGenerator(zoom_range=0.2, shear_range=0.2, horizontal_flip=True) as tf.data."""
    import keras
    import tensorflow as tf

    from components.trainer import preprocessing

    changes = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomZoom(0.2, fill_mode="nearest"),
            keras.layers.RandomShear(0.2, 0.2, fill_mode="nearest"),
        ]
    )
    dataset = tf.data.Dataset.from_tensor_slices((images.encoded, images.labels))
    if augment:
        dataset = dataset.shuffle(len(images), seed=0)
    dataset = dataset.batch(batch, drop_remainder=augment).map(
        lambda e, y: (preprocessing.decode_batch(e, size_px), y), tf.data.AUTOTUNE
    )
    if augment:
        dataset = dataset.map(lambda x, y: (changes(x, training=True), y), tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE)


def seed(scale: Scale, weights: Path, scratch: Path) -> dict[str, float]:
    """The seed's recipe: seconds per image, to train and to validate."""
    import keras

    keras.utils.set_random_seed(0)
    batch = 128 if psutil.virtual_memory().available > 20 * 2**30 and scale is FULL else 32
    network = seed_network(scale.size_px, weights)
    images = labelled(0, batch * (scale.seed_steps + 1))
    ends: list[float] = []
    network.fit(
        seed_batches(images, scale.size_px, batch, augment=True),
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda step, logs: ends.append(time.perf_counter())
            )
        ],
    )
    val = seed_batches(labelled(5000, scale.val), scale.size_px, 32, augment=False)
    network.evaluate(val, verbose=0)
    started_s = time.perf_counter()
    network.evaluate(val, verbose=0)
    val_s = (time.perf_counter() - started_s) / scale.val
    return {
        "train_s": statistics.median(np.diff(ends)) / batch,
        "val_s": val_s,
        "batch": batch,
    }


def ours(scale: Scale, weights: Path, scratch: Path) -> dict[str, float]:
    """Our recipe, and in the same process the bare loop."""

    from components.trainer import preprocessing, run_fn, signatures
    from components.trainer.activation_cache import ActivationCache
    from components.trainer.config import TrainerConfig
    from components.trainer.hardware import choose_strategy, seed_everything
    from components.trainer.model import build
    from components.trainer.training_state import TrainingState

    config = TrainerConfig(
        image_size_px=scale.size_px, weights=str(weights), head_epochs=4, fine_tune_epochs=4
    )
    train, val = labelled(0, scale.train), labelled(5000, scale.val)
    seed_everything(config)
    began_s = time.perf_counter()
    with run_fn.precision(config):
        strategy = choose_strategy(config.batch_size)
        network = build(config)
        build_s = time.perf_counter() - began_s
        batch = preprocessing.decode_batch(train.encoded[:32], scale.size_px)
        cache = ActivationCache(scratch / "activations", network, config, train, val, strategy)
        if cache.engine == "openvino":
            pixels = batch.numpy()

            def forward() -> Any:
                return cache._openvino_layers(pixels)
        else:

            def forward() -> Any:
                return [output.numpy() for output in cache._frozen(batch)]

        started_s = time.perf_counter()
        forward()
        trace_s = time.perf_counter() - started_s

        def bare(steps: int) -> float:
            started_s = time.perf_counter()
            for _ in range(steps):
                forward()
            return (time.perf_counter() - started_s) / steps / 32

        steps = max(2, scale.train // 64)
        before_s = bare(steps)
        started_s = time.perf_counter()
        cache.fill()
        fill_s = (time.perf_counter() - started_s) / cache.computed_images
        bare_s = statistics.mean((before_s, bare(steps)))

        state, ends = TrainingState(), []
        training = run_fn.Training(config, network, train, val, scratch, strategy)
        training.fit(
            state, scratch / "state.npz", scratch, lambda: ends.append(time.perf_counter())
        )
        report = training.calibrate()
        started_s = time.perf_counter()
        signatures.export(network, report.calibration, scratch / "model")
        export_s = time.perf_counter() - started_s
        name = run_fn.keras.mixed_precision.dtype_policy().name
    each = (scale.train // 32 * 32) + scale.val
    return {
        "fill_s": fill_s,
        "bare_s": bare_s,
        "head_s": statistics.median(np.diff(ends[:4])) / each,
        "fine_tune_s": statistics.median(np.diff(ends[4:])) / each,
        "fixed_s": build_s + trace_s + export_s,
        "bfloat16": float("bfloat16" in name),
        "openvino": float(cache.engine == "openvino"),
    }


def openvino(scale: Scale, weights: Path, scratch: Path) -> dict[str, float]:
    """The frozen part in OpenVINO and in TensorFlow: speed, and how far the outputs differ."""
    import openvino as ov
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from components.trainer import preprocessing, run_fn
    from components.trainer.config import TrainerConfig
    from components.trainer.model import POOLED, build, part

    config = TrainerConfig(image_size_px=scale.size_px, weights=str(weights), precision="float32")
    batch = preprocessing.decode_batch(labelled(0, 32).encoded, scale.size_px)

    def outputs(precision: str) -> tuple[list[np.ndarray], float, Any]:
        with run_fn.precision(TrainerConfig(**{**vars(config), "precision": precision})):
            frozen = part(build(config), None, ["mixed9", POOLED])
        run = tf.function(
            lambda x: frozen(x, training=False),
            input_signature=[tf.TensorSpec((None, scale.size_px, scale.size_px, 3), tf.float32)],
        )
        run(batch)
        steps = 2 if scale is QUICK else 6
        started_s = time.perf_counter()
        for _ in range(steps):
            found = [o.numpy().astype(np.float32) for o in run(batch)]
        return found, (time.perf_counter() - started_s) / steps / 32, run

    exact, _, run = outputs("float32")
    tensorflow, tensorflow_s, _ = outputs("auto")
    # OpenVINO's reader of SavedModels loses the variables of this one; as constants it finds them.
    constants = convert_variables_to_constants_v2(run.get_concrete_function())
    compiled = ov.Core().compile_model(ov.convert_model(constants.graph.as_graph_def()), "CPU")
    image = batch.numpy()
    compiled(image)
    steps = 2 if scale is QUICK else 6
    started_s = time.perf_counter()
    for _ in range(steps):
        result = compiled(image)
    openvino_s = (time.perf_counter() - started_s) / steps / 32
    by_shape = {array.ndim: np.asarray(array, np.float32) for array in result.values()}

    def error(found: list[np.ndarray]) -> float:
        """Root mean square of the difference, relative to that of the pooled output."""
        return float(np.sqrt(np.mean((found[1] - exact[1]) ** 2) / np.mean(exact[1] ** 2)))

    return {
        "openvino_s": openvino_s,
        "tensorflow_s": tensorflow_s,
        "openvino_error": error([by_shape[4], by_shape[2]]),
        "tensorflow_error": error(tensorflow),
    }


def accuracy_seed(scale: Scale, weights: Path, scratch: Path) -> dict[str, float]:
    """Validation accuracy of the seed's recipe on pictures that both recipes learn."""
    import keras

    keras.utils.set_random_seed(0)
    network = seed_network(ACCURACY_SIZE_PX, weights)
    network.fit(
        seed_batches(labelled(0, ACCURACY_TRAIN), ACCURACY_SIZE_PX, 32, augment=True),
        epochs=scale.accuracy_epochs,
        verbose=0,
    )
    val = seed_batches(labelled(5000, ACCURACY_VAL), ACCURACY_SIZE_PX, 32, augment=False)
    return {"accuracy": network.evaluate(val, verbose=0, return_dict=True)["accuracy"]}


def accuracy_ours(scale: Scale, weights: Path, scratch: Path) -> dict[str, float]:
    """The same of ours."""
    from components.trainer import run_fn
    from components.trainer.config import TrainerConfig
    from components.trainer.hardware import choose_strategy, seed_everything
    from components.trainer.model import build
    from components.trainer.training_state import TrainingState

    epochs = scale.accuracy_epochs
    config = TrainerConfig(
        image_size_px=ACCURACY_SIZE_PX,
        weights=str(weights),
        head_epochs=epochs // 2,
        fine_tune_epochs=epochs - epochs // 2,
    )
    seed_everything(config)
    state = TrainingState()
    with run_fn.precision(config):
        train, val = labelled(0, ACCURACY_TRAIN), labelled(5000, ACCURACY_VAL)
        strategy = choose_strategy(config.batch_size)
        training = run_fn.Training(config, build(config), train, val, scratch, strategy)
        training.fit(state, scratch / "state.npz", scratch)
    best = min((row for row in state.history if row.phase == "fine_tune"), key=lambda r: r.val_loss)
    return {"accuracy": best.val_accuracy}


WORKERS: dict[str, Callable[[Scale, Path, Path], dict[str, float]]] = {
    "seed": seed,
    "ours": ours,
    "openvino": openvino,
    "accuracy-seed": accuracy_seed,
    "accuracy-ours": accuracy_ours,
}
