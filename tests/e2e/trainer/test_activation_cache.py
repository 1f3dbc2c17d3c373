"""The frozen part runs once an image; the cut network is the uncut one; bad caches are noticed."""

import csv
import importlib.util
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer import frozen, images, preprocessing
from components.trainer.activation_cache import ActivationCache
from components.trainer.batches import image_source
from components.trainer.config import TrainerConfig
from components.trainer.fitting import Validation
from components.trainer.model import POOLED, build, part
from components.trainer.run_fn import Training
from data import contract
from data.errors import ConfigError

ONE_DEVICE = tf.distribute.get_strategy()
TRAIN, VAL = 24, 9


@pytest.fixture(scope="module")
def splits(examples: Path) -> tuple[images.LabelledImages, images.LabelledImages]:
    return images.read([str(examples / "train*")]), images.read([str(examples / "val*")])


@pytest.fixture(scope="module")
def network(two_phase_config: TrainerConfig) -> keras.Model:
    return build(two_phase_config)


@pytest.fixture
def cache_root(two_phase: SimpleNamespace, tmp_path: Path) -> Path:
    """A copy of the activations that the finished run left."""
    root = tmp_path / "activations"
    shutil.copytree(two_phase.cache / "activations", root)
    return root


def test_one_forward_pass_an_image_and_mirrored_image_whatever_the_epochs(
    two_phase: SimpleNamespace,
) -> None:
    """Five epochs in two phases, validation after each, calibration: 24 x 2 + 9 images in all."""
    epochs = list(csv.DictReader((two_phase.run / "history.csv").open()))
    assert [(row["phase"], row["epoch"]) for row in epochs] == [
        ("head", "1"), ("head", "2"), ("fine_tune", "1"), ("fine_tune", "2"), ("fine_tune", "3")
    ]  # fmt: skip
    assert two_phase.forward_passes == 2 * TRAIN + VAL


def test_a_rerun_computes_nothing_and_damage_costs_one_shard(
    cache_root: Path,
    network: keras.Model,
    two_phase_config: TrainerConfig,
    splits: tuple[images.LabelledImages, images.LabelledImages],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bit that flipped in one shard is noticed; its eight images are computed again, equal."""

    def filled() -> ActivationCache:
        cache = ActivationCache(cache_root, network, two_phase_config, *splits, ONE_DEVICE)
        cache.fill()
        return cache

    cache = filled()
    assert cache.computed_images == 0
    [folder] = cache_root.glob("mixed9-*")
    damaged = sorted(folder.glob("*.npy"))[1]
    content = bytearray(damaged.read_bytes())
    before = bytes(content)
    content[-5] ^= 1
    damaged.write_bytes(content)
    lost = json.loads(damaged.with_suffix(".json").read_text())["keys"]
    with caplog.at_level(logging.WARNING, "genq.trainer"):
        cache = filled()
    assert f"{damaged} is damaged" in caplog.text
    assert cache.computed_images == len(lost) == 8
    store = cache.stores["mixed9"]
    again = store.gather(store.rows(lost)).view(np.float16)
    size = again.nbytes
    np.testing.assert_allclose(
        again, np.frombuffer(before[-size:], np.float16).reshape(again.shape), rtol=2e-3, atol=1e-4
    )


def test_other_weights_other_rows(
    cache_root: Path,
    network: keras.Model,
    two_phase_config: TrainerConfig,
    splits: tuple[images.LabelledImages, images.LabelledImages],
) -> None:
    """Weights above the cut leave its rows valid; weights below make every row stale."""
    kernels = [w for w in network.weights if w.path.endswith("kernel")]
    above, below = kernels[-2], kernels[0]
    above.assign(above + 0.01)
    try:
        cache = ActivationCache(cache_root, network, two_phase_config, *splits, ONE_DEVICE)
        cache.fill()
        assert cache.computed_images == 0, "pooled outputs come from the rows of mixed9"
        plain = image_source(splits[1], two_phase_config).plain(tf.range(VAL), None)
        expected = part(network, None, POOLED)(plain, training=False)
        pooled = cache.stores[POOLED]
        rows = pooled.rows([d.hex() for d in splits[1].digests])
        np.testing.assert_allclose(
            pooled.gather(rows).view(np.float16), expected, rtol=5e-3, atol=5e-3
        )
        below.assign(below + 0.01)
        cache = ActivationCache(cache_root, network, two_phase_config, *splits, ONE_DEVICE)
        assert all(len(store) == 0 for store in cache.stores.values())
    finally:
        above.assign(above - 0.01)
        below.assign(below - 0.01)


def test_openvino_computes_what_tensorflow_does(
    tmp_path: Path,
    network: keras.Model,
    two_phase_config: TrainerConfig,
    splits: tuple[images.LabelledImages, images.LabelledImages],
) -> None:
    """In float32: each image and mirrored image once, rows as TensorFlow's; in folders apart."""
    config = replace(two_phase_config, frozen_engine="openvino", deterministic=False)

    def filled() -> ActivationCache:
        cache = ActivationCache(tmp_path, network, config, *splits, ONE_DEVICE)
        cache.fill()
        return cache

    cache = filled()
    assert cache.engine == "openvino" and cache.computed_images == 2 * TRAIN + VAL
    plain = image_source(splits[1], config).plain(tf.range(VAL), None)
    expected = part(network, None, ["mixed9", POOLED])(plain, training=False)
    keys = [d.hex() for d in splits[1].digests]
    found = [store.gather(store.rows(keys)) for store in cache.stores.values()]
    for rows, tensor in zip(found, expected, strict=True):
        np.testing.assert_allclose(rows.view(np.float16), tensor, rtol=5e-3, atol=5e-3)
    # Pooled outputs made later, from the rows of the cut, are those of the pass, bit for bit.
    shutil.rmtree(cache.stores[POOLED].folder)
    again = filled()
    assert again.computed_images == 0
    pooled = again.stores[POOLED]
    np.testing.assert_array_equal(pooled.gather(pooled.rows(keys)), found[1])
    other = replace(config, frozen_engine="tensorflow")
    others = ActivationCache(tmp_path, network, other, *splits, ONE_DEVICE).stores
    assert all(len(store) == 0 for store in others.values())


def test_the_engine_is_chosen_by_what_is_there(
    two_phase_config: TrainerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO where it is installed and bits need not be equal; an error where it is missing."""
    free = replace(two_phase_config, deterministic=False)
    assert frozen.choose_engine(free, ONE_DEVICE) == "openvino"
    assert frozen.choose_engine(two_phase_config, ONE_DEVICE) == "tensorflow"
    asked = replace(free, frozen_engine="openvino")
    with pytest.raises(ConfigError, match="several devices"):
        frozen.choose_engine(asked, SimpleNamespace(num_replicas_in_sync=2))  # type: ignore[arg-type]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert frozen.choose_engine(free, ONE_DEVICE) == "tensorflow"
    with pytest.raises(ConfigError, match="not installed") as caught:
        frozen.choose_engine(asked, ONE_DEVICE)
    assert "pip install openvino" in caught.value.remedy


@pytest.mark.parametrize("cut", ["mixed9", "mixed8", POOLED])
def test_the_cut_network_is_the_uncut_one(cut: str, network: keras.Model) -> None:
    """Above a cut, on what lies below it: the whole network's logits, bit for bit."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 218, 178, 3), dtype=np.uint8)
    image = preprocessing.resize_and_scale(tf.constant(pixels), 75)
    activations = part(network, None, cut)(image, training=False)
    logits = part(network, cut, None)(activations, training=False)
    np.testing.assert_array_equal(logits, network(image, training=False))


def test_the_exported_model_answers_as_the_part_that_was_trained(
    two_phase: SimpleNamespace,
    cache_root: Path,
    examples: Path,
    two_phase_config: TrainerConfig,
    splits: tuple[images.LabelledImages, images.LabelledImages],
) -> None:
    """The SavedModel, from pixels, and the trained top, on cached rows: equal within float16."""
    exported = two_phase.loaded
    trained = build(replace(two_phase_config, weights=str(two_phase.model)))
    original = build(two_phase_config)
    cache = ActivationCache(cache_root, original, two_phase_config, *splits, ONE_DEVICE)
    cache.fill()
    assert cache.computed_images == 0
    top = part(trained, "mixed9", None)
    logits, _ = Validation(top, cache.source("mixed9", "val"), 8).predict()
    report = json.loads((two_phase.run / "calibration.json").read_text())["calibration"]
    records = tf.data.TFRecordDataset(str(examples / "val")).batch(VAL).get_single_element()
    answers = exported.signatures[contract.SIGNATURE_EXAMPLES](examples=records)
    expected = 1 / (1 + np.exp(-logits / report["temperature"]))
    np.testing.assert_allclose(answers[contract.P_POSITIVE], expected, atol=5e-3)
    certain = np.abs(np.abs(expected - 0.5) - report["uncertain_below"]) > 5e-3
    np.testing.assert_array_equal(
        answers[contract.UNCERTAIN].numpy()[certain],
        (np.abs(expected - 0.5) < report["uncertain_below"])[certain],
    )


def test_an_augmentation_that_cannot_be_cached_trains_uncached_and_says_what_it_costs(
    tmp_path: Path,
    network: keras.Model,
    two_phase_config: TrainerConfig,
    splits: tuple[images.LabelledImages, images.LabelledImages],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """zoom: no cache is made, and the log compares the forward passes."""
    config = replace(two_phase_config, zoom=0.2, shear=0.1)
    with caplog.at_level(logging.WARNING, "genq.trainer"):
        training = Training(config, network, *splits, tmp_path, ONE_DEVICE)
    assert training.cache is None
    assert not list(tmp_path.iterdir())
    # (2 + 3 epochs) x (24 + 9), and val once more to calibrate.
    assert "trainer.zoom and trainer.shear cannot be cached" in caplog.text
    assert "up to 174 forward passes" in caplog.text
    assert "instead of 57" in caplog.text


def test_a_budget_that_is_too_small_is_refused_before_anything_is_spent(
    tmp_path: Path,
    network: keras.Model,
    two_phase_config: TrainerConfig,
    splits: tuple[images.LabelledImages, images.LabelledImages],
) -> None:
    """0.1 MB for 57 rows: the error has size, budget and knobs; the folder stays empty."""
    config = replace(two_phase_config, cache_budget_gb=1e-4)
    with pytest.raises(ConfigError, match=r"cache_budget_gb allows 0\.0001") as caught:
        ActivationCache(tmp_path / "activations", network, config, *splits, ONE_DEVICE)
    for knob in ("cache_budget_gb=", "flip=false", "strategy=head_only", "sampling.total"):
        assert knob in caught.value.remedy
    assert not (tmp_path / "activations").exists()
