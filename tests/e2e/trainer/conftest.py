"""Small real things that the trainer's tests share: striped pictures, weights, one finished run."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from backbone import SIZE_PX, striped, write_weights
from PIL import Image
from pydantic import TypeAdapter

from components.trainer.config import TrainerConfig
from data import contract

ROOT = Path(__file__).parents[3]
TRAIN, VAL = 24, 9

TWO_PHASE = TrainerConfig(
    image_size_px=SIZE_PX,
    weights="filled in by a fixture",
    head_epochs=2,
    fine_tune_epochs=3,
    batch_size=8,
    precision="float32",
    deterministic=True,
)

# Forward passes through the frozen part are counted where nothing can go round: in the first
# convolution, by an operation of the graph. Small shards, so that a kill finds something between.
DRIVER = """
import json, logging, sys
from pathlib import Path
from types import SimpleNamespace

import tensorflow as tf

logging.basicConfig(level="INFO")
settings = json.loads(sys.argv[1])
if settings["logical_cpus"] > 1:
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * settings["logical_cpus"],
    )
from components.trainer import activation_store, run_fn

activation_store.MAX_SHARD_ROWS = 8
images = [0]
build = run_fn.build

def count(number):
    images[0] += int(number)
    return number

def counting_build(config):
    model = build(config)
    first = next(layer for layer in model.layers if layer.name.startswith("conv2d"))
    call = first.call

    def counted(inputs):
        with tf.control_dependencies([tf.numpy_function(count, [tf.shape(inputs)[0]], tf.int32)]):
            return call(tf.identity(inputs))

    first.call = counted
    return model

run_fn.build = counting_build
run_fn.run_fn(SimpleNamespace(**settings["fn_args"]))
(Path(settings["fn_args"]["model_run_dir"]) / "forward_passes").write_text(str(images[0]))
"""


def jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def picture() -> Callable[[int, int], np.ndarray]:
    return striped


@pytest.fixture(scope="session")
def encode() -> Callable[[np.ndarray], bytes]:
    return jpeg


def example(seed: int) -> bytes:
    """A serialized example with what training reads; the label is the seed's parity."""
    example = tf.train.Example()
    image = jpeg(striped(seed, seed % 2))
    example.features.feature[contract.IMAGE].bytes_list.value.append(image)
    example.features.feature[contract.LABEL].int64_list.value.append(seed % 2)
    return example.SerializeToString()


def write_examples(path: Path, seeds: range) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for seed in seeds:
            writer.write(example(seed))


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the records `train` and `val`."""
    folder = tmp_path_factory.mktemp("examples")
    write_examples(folder / "train", range(TRAIN))
    write_examples(folder / "val", range(100, 100 + VAL))
    return folder


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of InceptionV3 without top, as Keras writes them."""
    return write_weights(tmp_path_factory.mktemp("weights") / "backbone.weights.h5")


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="session")
def start_training(examples: Path, weights_file: Path) -> Start:
    """Returns a function that trains in a process of its own, as TFX's Trainer calls run_fn."""

    def start(
        folder: Path, config: TrainerConfig, cache_dir: Path, *, logical_cpus: int = 1
    ) -> subprocess.Popen[str]:
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "logical_cpus": logical_cpus,
            "fn_args": {
                "train_files": [str(examples / "train*")],
                "eval_files": [str(examples / "val*")],
                "serving_model_dir": str(folder / "model"),
                "model_run_dir": str(folder / "run"),
                "custom_config": {
                    "trainer": TypeAdapter(TrainerConfig).dump_json(config).decode(),
                    "cache_dir": str(cache_dir),
                },
            },
        }
        log = (folder / "log").open("w")
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, json.dumps(settings)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"},
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def finished(process: subprocess.Popen[str], folder: Path) -> SimpleNamespace:
    """Waits for a training and returns where its outputs are."""
    code = process.wait(timeout=600)
    log = (folder / "log").read_text()
    assert code == 0, log[-4000:]
    return SimpleNamespace(
        model=folder / "model",
        run=folder / "run",
        log=log,
        forward_passes=int((folder / "run" / "forward_passes").read_text()),
    )


@pytest.fixture(scope="session")
def wait_for() -> Callable[[subprocess.Popen[str], Path], SimpleNamespace]:
    return finished


@pytest.fixture(scope="session")
def two_phase_config(weights_file: Path) -> TrainerConfig:
    return TypeAdapter(TrainerConfig).validate_python(
        {**vars(TWO_PHASE), "weights": str(weights_file)}
    )


@pytest.fixture(scope="session")
def two_phase(
    tmp_path_factory: pytest.TempPathFactory, start_training: Start, two_phase_config: TrainerConfig
) -> SimpleNamespace:
    """A training in two phases that nobody interrupted: outputs, cache folder, SavedModel."""
    folder = tmp_path_factory.mktemp("two_phase")
    run = finished(start_training(folder, two_phase_config, folder / "cache"), folder)
    run.cache = folder / "cache"
    run.loaded = tf.saved_model.load(str(run.model))
    return run
