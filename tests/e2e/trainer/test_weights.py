"""Backbone weights from every kind of file, and what is said of one that does not fit."""

import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.config import TrainerConfig
from components.trainer.model import build, build_backbone
from components.trainer.weights import load_backbone_weights, read_weights
from data.errors import WeightsError

PLAIN = TrainerConfig(image_size_px=75, weights="none", strategy="full")


@pytest.fixture(scope="module")
def source(weights_file: Path) -> keras.Model:
    """A backbone with known weights."""
    backbone = build_backbone(PLAIN)
    backbone.load_weights(weights_file)
    return backbone


@pytest.fixture(scope="module")
def target() -> keras.Model:
    return build_backbone(PLAIN)


@pytest.mark.parametrize("name", ["b.weights.h5", "b.keras", "b.h5", "notop.h5", "saved_model"])
def test_every_kind_of_file_is_read(
    name: str, source: keras.Model, target: keras.Model, tmp_path: Path
) -> None:
    """Keras 3's two formats, Keras 2's with and without architecture, a SavedModel."""
    path = tmp_path / name
    if name == "saved_model":
        # What `source.export` does, less the tracing of the network, which takes half a minute.
        archive = keras.export.ExportArchive()
        archive.track(source)
        signature = [keras.InputSpec(shape=(None, 4), dtype="float32")]
        archive.add_endpoint("serve", lambda x: x, input_signature=signature)
        archive.write_out(path, verbose=False)
    elif name == "notop.h5":  # as Keras' own release of ImageNet's weights: no "model_weights"
        source.save(tmp_path / "whole.h5")
        import h5py

        with h5py.File(tmp_path / "whole.h5") as whole, h5py.File(path, "w") as bare:
            for key, value in whole["model_weights"].attrs.items():
                bare.attrs[key] = value
            for group in whole["model_weights"]:
                whole["model_weights"].copy(group, bare)
    elif name == "b.weights.h5":
        source.save_weights(path)
    else:
        source.save(path)
    for variable in target.variables:
        variable.assign(tf.zeros_like(variable))
    load_backbone_weights(target, read_weights(path), path)
    for ours, theirs in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_earlier_release_is_a_warm_start(two_phase: SimpleNamespace, tmp_path: Path) -> None:
    """Backbone and head of a release are taken over; of a model's folder, the newest release."""
    shutil.copytree(two_phase.model, tmp_path / "gender" / "1700000000")
    (tmp_path / "gender" / "1600000000").mkdir()
    released = two_phase.loaded._weights
    for path in (two_phase.model, tmp_path / "gender"):
        network = build(TrainerConfig(image_size_px=75, weights=str(path)))
        ours = [v for v in network.variables if "seed" not in v.path]
        theirs = [v for v in released if v.dtype.is_floating]
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_what_does_not_fit_is_named(target: keras.Model, tmp_path: Path) -> None:
    """Missing, not weights, another width, too short, with ImageNet's classes: file and layer."""

    def problem(path: Path) -> str:
        with pytest.raises(WeightsError) as caught:
            load_backbone_weights(target, read_weights(path), path)
        assert str(path) in caught.value.problem
        return caught.value.problem

    assert "which is not a file" in problem(tmp_path / "nowhere.h5")
    html = tmp_path / "quota.h5"
    html.write_text("<html>Too many users have viewed this file</html>")
    assert "does not hold weights that fit" in problem(html)
    (tmp_path / "folder").mkdir()
    assert "neither a SavedModel" in problem(tmp_path / "folder")

    inputs = keras.Input((75, 75, 3))
    wide = keras.layers.Conv2D(40, 3, strides=2, use_bias=False, name="stem")(inputs)
    keras.Model(inputs, wide).save(tmp_path / "wide.h5")
    first = next(layer.name for layer in target.layers if layer.weights)
    assert (
        f"layer {first} has a kernel of shape (3, 3, 3, 32), the file's stem one of (3, 3, 3, 40)"
        in problem(tmp_path / "wide.h5")
    )
    narrow = keras.layers.Conv2D(32, 3, strides=2, use_bias=False)(inputs)
    keras.Model(inputs, narrow).save_weights(tmp_path / "short.weights.h5")
    second = [layer.name for layer in target.layers if layer.name.startswith("conv2d")][1]
    found = problem(tmp_path / "short.weights.h5")
    assert "1 arrays of the kind kernel, the network 94" in found
    assert f"without a counterpart is layer {second}" in found


@pytest.mark.parametrize("name", ["t.keras", "t.weights.h5", "t.h5"])
def test_a_backbone_inside_a_model_is_taken_and_the_rest_is_named(
    name: str,
    source: keras.Model,
    target: keras.Model,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As guides to transfer learning build it: backbone, pooling, normalisation, dense layers."""
    model = keras.Sequential(
        [
            keras.Input((75, 75, 3)),
            keras.Model(source.input, source.output, name="inception_v3"),
            keras.layers.Reshape((2048,)),
            keras.layers.BatchNormalization(name="after"),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )
    path = tmp_path / name
    if name == "t.weights.h5":
        model.save_weights(path)
    else:
        model.save(path)
    for variable in target.variables:
        variable.assign(tf.zeros_like(variable))
    load_backbone_weights(target, read_weights(path), path)
    for ours, theirs in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert "layers after it were left out" in caplog.text


def test_another_head_is_left_out_and_named(
    source: keras.Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file "with top": the backbone is taken, its thousand classes are not."""
    classes = keras.layers.Dense(1000, name="predictions")(source.output)
    keras.Model(source.input, classes).save(tmp_path / "top.h5")
    built = build(TrainerConfig(image_size_px=75, weights=str(tmp_path / "top.h5")))
    assert "its head was left out, a new one is trained: predictions (2048, 1000)" in caplog.text
    kernels = [v for v in built.variables if v.path.endswith("kernel") and len(v.shape) == 4]
    wanted = [v for v in source.variables if v.path.endswith("kernel") and len(v.shape) == 4]
    np.testing.assert_array_equal(kernels[0].numpy(), wanted[0].numpy())


@pytest.mark.parametrize(
    "name", ["inception_v3_google.pth", "model.safetensors", "weights.PT", "renamed.h5"]
)
def test_weights_of_pytorch_are_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    """The networks differ: what would be wrong is said; another name does not hide them."""
    path = tmp_path / name
    with pytest.raises(WeightsError, match="is not a file"):
        read_weights(path)
    with zipfile.ZipFile(path, "w") as archive:  # as torch.save writes
        archive.writestr("archive/data.pkl", b"x")
    with pytest.raises(WeightsError, match="in nine blocks its average pooling") as caught:
        read_weights(path)
    assert "cannot be converted exactly" in caught.value.problem and caught.value.remedy


@pytest.mark.parametrize("name", ["inception_v3.ckpt", "model.onnx", "page.h5"])
def test_a_file_that_is_none_of_these_is_no_hdf5_file(name: str, tmp_path: Path) -> None:
    """TF-Slim's checkpoint is not PyTorch's; an HTML page is neither."""
    (tmp_path / name).write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(WeightsError, match="it is no HDF5 file") as caught:
        read_weights(tmp_path / name)
    assert "PyTorch" not in caught.value.problem


def test_only_the_pooling_is_in_the_way_of_pytorchs_weights() -> None:
    """A scale after normalisation folds into kernel and mean; at an edge the averages differ."""
    rng = np.random.default_rng(0)
    x, kernel, gamma, mean = (
        rng.normal(size=(4, 6)),
        rng.normal(size=(6, 3)),
        *rng.normal(size=(2, 3)),
    )
    np.testing.assert_allclose(gamma * (x @ kernel - mean), x @ (kernel * gamma) - gamma * mean)
    ones = tf.ones((1, 5, 5, 1))
    keras_average = keras.layers.AveragePooling2D(3, 1, "same")(ones)[0, :, :, 0].numpy()
    torch_average = tf.nn.avg_pool2d(tf.pad(ones, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 1, "VALID")
    assert keras_average[0, 0] == 1 and torch_average[0, 0, 0, 0].numpy() == pytest.approx(4 / 9)
