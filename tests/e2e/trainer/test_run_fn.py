"""Training on a few dozen real images: what is exported, what was trained, what goes wrong."""

import csv
import errno
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pydantic import TypeAdapter
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from components.trainer import images, preprocessing, run_fn
from components.trainer.config import TrainerConfig
from components.trainer.exhaustion import explained
from components.trainer.model import build, build_backbone
from data import contract
from data.errors import BusyError, ConfigError, DataError, ResourceError, WeightsError

FULL = TrainerConfig(
    image_size_px=75,
    weights="none",
    strategy="full",
    batch_norm="trained",
    batch_norm_momentum=0.5,
    fine_tune_epochs=1,
    batch_size=8,
)


@pytest.fixture(scope="module")
def records(examples: Path) -> list[bytes]:
    """Five serialized examples."""
    return list(tf.data.TFRecordDataset(str(examples / "val")).take(5).as_numpy_iterator())


@pytest.fixture(scope="module")
def encoded(records: list[bytes]) -> list[bytes]:
    """Their JPEG bytes."""
    features = (tf.train.Example.FromString(r).features.feature[contract.IMAGE] for r in records)
    return [feature.bytes_list.value[0] for feature in features]


def test_three_signatures_give_the_same_answers(
    two_phase: SimpleNamespace, records: list[bytes], encoded: list[bytes]
) -> None:
    """Encoded bytes, tf.Examples and pixels of the same images lead to equal outputs."""
    signatures = two_phase.loaded.signatures
    pixels = tf.stack([preprocessing.decode(e) for e in encoded])
    answers = [
        signatures[contract.SIGNATURE_ENCODED](image_bytes=tf.constant(encoded)),
        signatures[contract.SIGNATURE_EXAMPLES](examples=tf.constant(records)),
        signatures[contract.SIGNATURE_PIXELS](image=pixels),
    ]
    for answer in answers:
        assert set(answer) == {contract.P_POSITIVE, contract.LABEL, contract.UNCERTAIN}
        assert answer[contract.P_POSITIVE].shape == answer[contract.LABEL].shape == (5,)
        np.testing.assert_allclose(
            answer[contract.P_POSITIVE], answers[0][contract.P_POSITIVE], atol=1e-6
        )
        assert answer[contract.LABEL].dtype == tf.int64
        assert answer[contract.UNCERTAIN].dtype == tf.bool


def test_all_signatures_share_one_copy_of_the_network(two_phase: SimpleNamespace) -> None:
    """InceptionV3's 94 convolutions are in the file once; each copy costs whoever loads it."""
    saved = SavedModel.FromString((two_phase.model / "saved_model.pb").read_bytes())
    [graph] = [each.graph_def for each in saved.meta_graphs]
    nodes = [node.op for function in graph.library.function for node in function.node_def]
    assert nodes.count("Conv2D") == 94


def test_the_embedding_is_what_the_head_sees(
    two_phase: SimpleNamespace, records: list[bytes]
) -> None:
    """The head's own kernel on it gives the answer, which is that of the other signatures."""
    signatures = two_phase.loaded.signatures
    found = signatures[contract.SIGNATURE_EMBEDDING](examples=tf.constant(records))
    plain = signatures[contract.SIGNATURE_EXAMPLES](examples=tf.constant(records))
    assert found[contract.EMBEDDING].shape == (5, 2048)
    np.testing.assert_allclose(found[contract.P_POSITIVE], plain[contract.P_POSITIVE], atol=1e-6)
    *_, kernel, bias = (v for v in two_phase.loaded._weights if v.dtype.is_floating)
    assert kernel.shape == (2048, 1)
    report = json.loads((two_phase.run / "calibration.json").read_text())["calibration"]
    logits = (found[contract.EMBEDDING].numpy() @ kernel.numpy() + bias.numpy())[:, 0]
    expected = 1 / (1 + np.exp(-logits / report["temperature"]))
    np.testing.assert_allclose(found[contract.P_POSITIVE], expected, atol=1e-5)


def test_what_lies_below_the_cut_is_as_it_was_and_what_lies_above_has_learnt(
    two_phase: SimpleNamespace, weights_file: Path
) -> None:
    """Two-phase training changes no weight below `unfreeze_above`, and most above it."""
    # Equal architecture: the variables of both networks come in the same order.
    trained = two_phase.loaded._weights
    fresh = build_backbone(FULL)
    fresh.load_weights(weights_file)
    below = 0
    changed_above = 0
    cut = [layer.name for layer in fresh.layers].index("mixed9")
    variables = {v.path: i for i, v in enumerate(fresh.variables)}
    for position, layer in enumerate(fresh.layers):
        for variable in layer.variables:
            same = np.array_equal(variable.numpy(), trained[variables[variable.path]].numpy())
            if position <= cut:
                assert same, f"{variable.path} lies below the cut and changed"
                below += 1
            elif "kernel" in variable.path:
                changed_above += not same
            elif "moving" in variable.path:
                assert same, f"{variable.path}: frozen statistics changed"
    assert below > 200
    assert changed_above == 9, "the convolutions above mixed9"


def test_what_a_person_watches_is_kept(two_phase: SimpleNamespace) -> None:
    """A line, a row, a TensorBoard point and a mark for each epoch; the calibration."""
    rows = list(csv.DictReader((two_phase.run / "history.csv").open()))
    assert list(rows[0]) == [
        *("phase", "epoch", "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate")
    ]
    assert two_phase.log.count("val accuracy") == len(rows) == 5
    for run, metric in (("train", "loss"), ("validation", "val_loss")):
        [events] = (two_phase.run / run).glob("events*")
        points = {
            event.step: tf.make_ndarray(value.tensor).item()
            for event in tf.compat.v1.train.summary_iterator(str(events))
            for value in event.summary.value
            if value.tag == "epoch_loss"
        }
        expected = {i + 1: float(row[metric]) for i, row in enumerate(rows)}
        assert points == pytest.approx(expected, rel=1e-6)
    with Image.open(two_phase.run / "training.png") as figure:
        assert figure.size == (1000, 400)
        assert len(set(figure.convert("L").get_flattened_data())) > 10, "nothing was drawn"
    report = json.loads((two_phase.run / "calibration.json").read_text())
    assert report["calibration"]["temperature"] > 0
    assert report["ece_after"] <= 1 and report["ece_before"] <= 1
    cost = json.loads((two_phase.run / "compute.json").read_text())
    assert (cost["epochs"], cost["earlier_epochs"]) == (len(rows), 0)
    assert cost["wall_seconds"] > 0 and cost["processor_seconds"] > 0
    assert cost["cores"] == len(os.sched_getaffinity(0)) and cost["gpus"] == []
    assert cost["precision"] == "float32"


@pytest.mark.nightly
def test_the_whole_network_trains_in_mixed_precision_and_ships_in_float32(
    tmp_path: Path, examples: Path
) -> None:
    """strategy=full in bfloat16 exports a model whose variables and outputs are float32.

    Without a cache folder nothing but the outputs is left.
    """
    config = replace(
        FULL, precision="mixed_bfloat16", class_weight="balanced", mixup=0.2, photo_like=1.0
    )
    args = SimpleNamespace(
        train_files=[str(examples / "train*")],
        eval_files=[str(examples / "val*")],
        serving_model_dir=str(tmp_path / "model"),
        model_run_dir=str(tmp_path / "run"),
        custom_config={run_fn.CONFIG_KEY: TypeAdapter(TrainerConfig).dump_json(config).decode()},
    )
    run_fn.run_fn(args)
    loaded = tf.saved_model.load(args.serving_model_dir)
    # Dropout's seed is an integer variable.
    assert {v.dtype for v in loaded._weights if v.dtype.is_floating} == {tf.float32}
    graph = loaded.signatures[contract.SIGNATURE_PIXELS].graph.as_graph_def()
    dtypes = {
        node.attr["T"].type
        for function in graph.library.function
        for node in function.node_def
        if node.op == "Conv2D"
    }
    assert dtypes == {tf.float32.as_datatype_enum}
    assert keras.mixed_precision.dtype_policy().name == "float32", "the policy was given back"
    assert json.loads((tmp_path / "run/calibration.json").read_text())["changed"]
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {
        "history.csv",
        "training.png",
        "calibration.json",
        "compute.json",
        "train",
        "validation",
    }


def test_preprocessing_is_the_bilinear_resize_it_says_it_is() -> None:
    """Eager and inside tf.data agree; enlarging, an independent NumPy calculation does, too.

    Shrinking, which is antialiased: tests/unit/test_photo_augmentation.py, against Pillow.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (218, 178, 3), dtype=np.uint8)
    for size_px in (75, 299):
        eager = preprocessing.resize_and_scale(tf.constant(pixels), size_px).numpy()
        [mapped] = (
            tf.data.Dataset.from_tensors(pixels)
            .map(lambda image, s=size_px: preprocessing.resize_and_scale(image, s))
            .as_numpy_iterator()
        )
        np.testing.assert_allclose(eager, mapped, atol=1e-6)
        if size_px > max(pixels.shape):
            np.testing.assert_allclose(eager, bilinear(pixels, size_px) / 127.5 - 1, atol=1e-4)


def bilinear(image: np.ndarray[Any, Any], size_px: int) -> np.ndarray[Any, Any]:
    """Half-pixel-centre bilinear interpolation, written from its definition."""
    height, width, _ = image.shape

    def axis(length: int) -> tuple[Any, Any, Any]:
        at = np.clip((np.arange(size_px) + 0.5) * length / size_px - 0.5, 0, length - 1)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, length - 1), at - low

    y0, y1, fy = axis(height)
    x0, x1, fx = axis(width)
    pixels = image.astype(np.float64)
    top = pixels[y0][:, x0] * (1 - fx)[:, None] + pixels[y0][:, x1] * fx[:, None]
    bottom = pixels[y1][:, x0] * (1 - fx)[:, None] + pixels[y1][:, x1] * fx[:, None]
    return top * (1 - fy)[:, None, None] + bottom * fy[:, None, None]


def test_decoding_is_what_pillow_decodes(encoded: list[bytes]) -> None:
    """TensorFlow's decoder and Pillow's give the same pixels, within one rounding step."""
    ours = preprocessing.decode(tf.constant(encoded[3])).numpy().astype(int)
    pillow = np.asarray(Image.open(io.BytesIO(encoded[3])).convert("RGB")).astype(int)
    assert np.abs(ours - pillow).max() <= 1


def test_imagenet_weights_without_internet_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused download names what was tried and how to give a local file."""
    monkeypatch.setattr(
        "keras.src.applications.inception_v3.WEIGHTS_PATH_NO_TOP", "http://127.0.0.1:9/w.h5"
    )
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    with pytest.raises(WeightsError, match="could not be downloaded") as caught:
        build(TrainerConfig(image_size_px=75))
    assert "--set trainer.weights=/path/to/" in caught.value.remedy


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    """No file under a split's pattern, or no record in it: an error that shows the pattern."""
    with pytest.raises(DataError, match=r"Split-val"):
        images.read([str(tmp_path / "Split-val" / "*")])
    (tmp_path / "Split-empty").write_bytes(b"")
    with pytest.raises(DataError, match=r"Split-empty hold no examples"):
        images.read([str(tmp_path / "Split-empty")])


def test_a_cache_folder_in_use_or_elsewhere_is_refused(tmp_path: Path) -> None:
    """Another process's lock, and a URI: each error says what to do."""
    refused = pytest.raises(BusyError, match="Another training")
    with run_fn.locked(tmp_path), refused, run_fn.locked(tmp_path):
        pass
    args = SimpleNamespace(custom_config={"cache_dir": "gs://bucket/cache"}, model_run_dir="")
    with pytest.raises(ConfigError, match="memory-mapped"):
        run_fn.cache_folder(args)


def test_exhausted_memory_and_disk_name_the_knobs() -> None:
    """What TensorFlow, Python and the file system raise becomes one error with its remedy."""

    def remedy(error: Exception, config: TrainerConfig = FULL) -> str:
        with pytest.raises(ResourceError) as caught, explained(config, folders="/data/cache"):
            raise error
        return str(caught.value)

    oom = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor [32,299]")
    assert "trainer.batch_size=4 (now 8)" in remedy(oom)
    assert "trainer.strategy=two_phase" in remedy(MemoryError())
    assert "mixed9" in remedy(oom, TrainerConfig(unfreeze_above="mixed3"))
    full = tf.errors.ResourceExhaustedError(None, None, "f.data; No space left on device")
    for error in (full, OSError(errno.ENOSPC, "No space left on device")):
        assert "trainer.cache_budget_gb" in remedy(error)
        assert "/data/cache" in remedy(error)
    with pytest.raises(PermissionError), explained(FULL, folders=""):
        raise PermissionError(errno.EACCES, "not a matter of room")
