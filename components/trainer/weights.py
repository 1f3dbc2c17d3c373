"""Backbone weights from files: which array belongs to which layer, and what does not fit.

In: a Keras weights file (.h5 of Keras 2, .weights.h5, .keras), a SavedModel, or a release of genq.
Out: the arrays by kind, in layer order, put into a network.

Names differ between Keras' versions and with what else a process has built ("conv2d_94"), so layers
are matched by their order within a kind of weight, which the architecture fixes, and by shape.
"""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from data.errors import WeightsError

logger = logging.getLogger("genq.trainer")

Saved = dict[str, list[tuple[str, NDArray[Any]]]]
"""Kind ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance") -> (layer, array)."""

KINDS = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
FIT = "does not hold weights that fit InceptionV3 without top"
REMEDY = (
    "Save them with `keras.applications.InceptionV3(include_top=False).save_weights(...)`, or use "
    "Keras' own notop file, a SavedModel of it, or a release of genq."
)


TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")
# A scale after normalisation (gamma, which Keras' has not) can be folded into kernel and mean, one
# of the input into the first kernel: the pooling is what no choice of weights makes equal.
TORCH = (
    "torchvision's inception_v3 is another network than Keras' InceptionV3: in nine blocks its "
    "average pooling counts the zeros around the border, and Keras' leaves them out, so with the "
    "same weights everything near an edge comes out differently. Its weights cannot be converted "
    "exactly."
)


def read_weights(path: Path) -> Saved:
    """Reads every array of a file or folder.

    Args:
      path: a weights file; a SavedModel's folder; a release (which is one), or the folder of a
        model's releases, of which the newest is taken.

    Raises:
      WeightsError: if there is nothing, or it is not of these kinds.
    """
    try:
        if path.is_dir():
            return by_kind(saved_model_arrays(path))
        if not path.is_file():
            raise WeightsError(
                f"trainer.weights names {path}, which is not a file.",
                "Give an existing .h5, .weights.h5 or .keras file, the folder of a SavedModel or "
                'of a release, "imagenet", or "none".',
            )
        if _is_torch(path):
            raise WeightsError(f"{path} looks like weights of PyTorch. {TORCH}", REMEDY)
        if path.suffix.lower() not in (".keras", ".zip") and not h5py.is_hdf5(path):
            raise WeightsError(f"{path} {FIT}: it is no HDF5 file, or cut off.", REMEDY)
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                content = io.BytesIO(archive.read("model.weights.h5"))
            with h5py.File(content, "r") as file:
                return by_kind(keras3_arrays(file))
        with h5py.File(path, "r") as file:
            keras3 = "layers" in file and "layer_names" not in file.attrs
            return by_kind(keras3_arrays(file) if keras3 else keras2_arrays(file))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, tf.errors.OpError) as error:
        raise WeightsError(f"{path} {FIT}: {error}", REMEDY) from error


def _is_torch(path: Path) -> bool:
    """Returns whether a file is PyTorch's: by its name, or a zip that holds a pickle."""
    if path.suffix.lower() in TORCH_SUFFIXES:
        return True
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/data.pkl") for name in archive.namelist())


def by_kind(arrays: Iterator[tuple[str, str, NDArray[Any]]]) -> Saved:
    """Sorts (layer, kind, array) by kind; what has another kind is left out (seeds, counters)."""
    saved: Saved = {kind: [] for kind in KINDS}
    for layer, kind, array in arrays:
        if kind in saved:
            saved[kind].append((layer, array))
    return saved


def keras2_arrays(file: h5py.File) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Yields the arrays of Keras 2's format, which names layers and weights in attributes."""
    group = file.get("model_weights", file)
    for layer in attribute(group, "layer_names"):
        for weight in attribute(group[layer], "weight_names"):
            yield layer, weight.split("/")[-1].split(":")[0], group[layer][weight][()]


def attribute(group: h5py.Group, name: str) -> list[str]:
    """Returns a list of names; Keras cuts lists above HDF5's 64 kB into name0, name1, …

    Raises:
      KeyError: if the file is not of Keras 2's format.
    """
    found = group.attrs[name] if name in group.attrs else group.attrs[f"{name}0"]
    names, chunk = list(found), 1
    while name not in group.attrs and f"{name}{chunk}" in group.attrs:
        names.extend(group.attrs[f"{name}{chunk}"])
        chunk += 1
    return [n.decode() if isinstance(n, bytes) else str(n) for n in names]


def keras3_arrays(file: h5py.File) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Yields the arrays of Keras 3's format: layers/<class>_<n>/vars/<i>, n counts in a class.

    The variables have no names there, but an order (keras.layers.Layer.save_own_variables).
    """

    def number(name: str) -> tuple[str, int]:
        found = re.fullmatch(r"(.*?)(?:_(\d+))?", name)
        assert found is not None
        return found[1], int(found[2] or 0)

    # A model inside the model (`Sequential([backbone, pooling, dense])`) comes first: the backbone.
    inside = {name: "layers" in file["layers"][name] for name in file["layers"]}
    for layer in sorted(inside, key=lambda name: (not inside[name], number(name))):
        if inside[layer]:
            yield from keras3_arrays(file["layers"][layer])
            continue
        stored = file["layers"][layer].get("vars", {})
        values = [stored[i][()] for i in sorted(stored, key=int)]
        if "normalization" in layer:
            kinds = ["gamma", "beta", "moving_mean", "moving_variance"][4 - len(values) :]
        else:
            kinds = ["kernel", "bias"]
        for kind, value in zip(kinds, values, strict=False):
            yield layer, kind, value


def saved_model_arrays(path: Path) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Yields the variables of a SavedModel, by their own names.

    Raises:
      WeightsError: if the folder holds none.
    """
    if not (path / "saved_model.pb").exists():
        releases = [
            p for p in path.iterdir() if p.name.isdigit() and (p / "saved_model.pb").exists()
        ]
        if not releases:
            raise WeightsError(
                f"{path} holds neither a SavedModel (saved_model.pb) nor releases of a model.",
                "Give the folder in which saved_model.pb is.",
            )
        path = max(releases, key=lambda release: int(release.name))
    loaded = tf.saved_model.load(str(path))
    # genq's own SavedModels keep their variables as `_weights`, Keras' as `variables`.
    variables = getattr(loaded, "_weights", None) or getattr(loaded, "variables", None) or ()
    for variable in variables:
        layer, _, kind = variable.name.split(":")[0].rpartition("/")
        yield layer, kind, variable.numpy()


def load_backbone_weights(backbone: keras.Model, saved: Saved, path: Path) -> None:
    """Puts arrays into InceptionV3 without top.

    `saved` comes from `read_weights(path)`; a dense layer in it (genq's head) is left out, and so
    is what else follows the backbone: its layers are named in the log.

    Raises:
      WeightsError: names the first layer that differs, and how; nothing is changed then.
    """
    expected: dict[str, list[tuple[str, Any]]] = {kind: [] for kind in KINDS}
    for layer in backbone.layers:
        for variable in layer.weights:
            expected[variable.path.rpartition("/")[2]].append((layer.name, variable))
    pairs = []
    left: list[str] = []
    for kind, wanted in expected.items():
        found = [(n, a) for n, a in saved[kind] if not (kind in ("kernel", "bias") and a.ndim <= 2)]
        for (layer, variable), (name, array) in zip(wanted, found, strict=False):
            if tuple(variable.shape) != array.shape:
                raise WeightsError(
                    f"{path} {FIT}: layer {layer} has a {kind} of shape {tuple(variable.shape)}, "
                    f"the file's {name} one of {array.shape}.",
                    REMEDY,
                )
            pairs.append((variable, array))
        left += [name for name, _ in found[len(wanted) :]]
        if len(found) < len(wanted):
            odd = wanted[len(found)][0]
            raise WeightsError(
                f"{path} {FIT}: it has {len(found)} arrays of the kind {kind}, the network "
                f"{len(wanted)}; the first without a counterpart is layer {odd}.",
                REMEDY,
            )
    if left:
        names = ", ".join(dict.fromkeys(left))
        logger.warning("%s: took the backbone; layers after it were left out: %s.", path, names)
    for variable, array in pairs:
        variable.assign(array)


def load_head_weights(head: keras.layers.Dense, saved: Saved, path: Path) -> None:
    """Puts genq's head into place where the file has one, as releases do.

    Another head (ImageNet's thousand classes, one of a model that somebody fine-tuned) is left out,
    and its layers are named in the log.
    """
    kernels = [(n, a) for n, a in saved["kernel"] if a.ndim == 2]
    biases = [a for _, a in saved["bias"] if a.ndim == 1]
    if not kernels:
        return
    kernel = kernels[-1][1]
    if len(kernels) > 1 or kernel.shape != tuple(head.kernel.shape) or len(biases) != 1:
        names = ", ".join(f"{n} {tuple(a.shape)}" for n, a in kernels)
        logger.warning(
            "%s: took the backbone; its head was left out, a new one is trained: %s.", path, names
        )
        return
    head.kernel.assign(kernel)
    head.bias.assign(np.asarray(biases[0]))
