"""Everything below the lowest trainable layer, computed once per image and per mirrored image.

In: the images of train and val, and a network. Out: an ActivationCache, from which both phases
train without running the frozen layers again.

Two layers' outputs are kept, from one forward pass: the pooled output, on which the head trains,
and the output of the block at which fine-tuning cuts. Each has a store of its own, whose folder is
named by what its rows depend on: preprocessing, the weights below, the layer, the precision. Rows
are found by the SHA-256 of the image, so a larger sample, another split or a retrained head reuse
what is there.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.trainer import preprocessing
from components.trainer.activation_store import ActivationStore, Rows, row_key
from components.trainer.augmentation import mirrored
from components.trainer.batches import Source
from components.trainer.cache_plan import GB, plan
from components.trainer.config import BLOCKS, TrainerConfig
from components.trainer.frozen import (
    Forward,
    choose_engine,
    engine_version,
    openvino_forward,
)
from components.trainer.images import LabelledImages
from components.trainer.model import POOLED, part, tensor_at
from components.trainer.signatures import as_float32
from data.errors import ConfigError, ResourceError

logger = logging.getLogger("genq.trainer")

FORMAT = 1
"""Raised when the files' layout changes; part of every store's key."""

RESERVE_BYTES = GB
"""Of the disk, left free for checkpoints and the exported model."""


class ActivationCache:
    """The stores of one training.

    Args:
      root: folder of all stores.
      model: the whole network, with the weights that the cache shall belong to.
      strategy: computes the forward pass.

    Raises:
      ConfigError: if it does not fit the disk budget.
      ResourceError: if the disk has not enough room.
    """

    def __init__(
        self,
        root: Path,
        model: keras.Model,
        config: TrainerConfig,
        train: LabelledImages,
        val: LabelledImages,
        strategy: tf.distribute.Strategy,
    ) -> None:
        self._model = model
        self._config = config
        self._strategy = strategy
        self.engine = choose_engine(config, strategy)
        compute = tensor_at(model, POOLED).dtype
        wanted = {"auto": "float16" if compute == "float32" else compute}
        self._dtype = tf.as_dtype(wanted.get(config.cache_dtype, config.cache_dtype))
        self._keys = {
            flipped: {split: [row_key(d, flipped=flipped) for d in images.digests]
                      for split, images in (("train", train), ("val", val))}
            for flipped in (False, True)
        }  # fmt: skip
        self._splits = {"train": train, "val": val}
        self.wanted = set(self._keys[False]["train"]) | set(self._keys[False]["val"])
        if config.flip:
            self.wanted |= set(self._keys[True]["train"])
        shapes = {name: tuple(tensor_at(model, name).shape[1:]) for name in (*BLOCKS, POOLED)}
        self.plan = plan(
            config, {name: 2 * math.prod(s) for name, s in shapes.items()}, len(self.wanted)
        )
        self.stores = {
            name: ActivationStore(root / f"{name}-{self._store_key(name)}", shapes[name])
            for name in self.plan.layers
        }
        self._make_room(root)
        self.computed_images = 0

    def _store_key(self, layer: str) -> str:
        """Returns a digest of all that a row depends on, beside the image."""
        digest = hashlib.sha256(
            f"{FORMAT} {layer} {self._config.image_size_px} {self._dtype.name} "
            f"{tensor_at(self._model, POOLED).dtype} {engine_version(self.engine)}".encode()
        )
        digest.update(Path(preprocessing.__file__).read_bytes())
        below = part(self._model, None, layer)
        return weights_digest(below, digest).hexdigest()[:16]

    def _make_room(self, root: Path) -> None:
        """Says what will be spent; removes the oldest other stores where they are in the way.

        Raises:
          ResourceError: if the disk is too full even so.
        """
        mine = {store.folder for store in self.stores.values()}
        missing = sum(
            store.row_bytes * sum(key not in store for key in self.wanted)
            for store in self.stores.values()
        )
        if sum(map(folder_bytes, mine)) + missing > self._config.cache_budget_gb * GB:
            for store in self.stores.values():
                store.discard_all_but(self.wanted)
        others = sorted(set(root.iterdir()) - mine, key=lambda folder: folder.stat().st_mtime)
        held = sum(map(folder_bytes, mine)) + missing
        for folder in others:
            free = shutil.disk_usage(root).free
            taken = held + sum(folder_bytes(other) for other in others if other.exists())
            if taken <= self._config.cache_budget_gb * GB and missing + RESERVE_BYTES <= free:
                break
            logger.info("Removes activations of other weights: %s", folder)
            shutil.rmtree(folder)
        free = shutil.disk_usage(root).free
        logger.info(
            "Activation cache: %s of %s images and mirrored images, %.2f GB of the %g GB allowed "
            "(trainer.cache_budget_gb); %.2f GB still to be written to %s, %.1f GB free there",
            " and ".join(self.plan.layers),
            f"{self.plan.rows:,}",
            self.plan.needed_bytes / GB,
            self._config.cache_budget_gb,
            missing / GB,
            root,
            free / GB,
        )
        if missing and missing + RESERVE_BYTES > free:
            raise ResourceError(
                f"The activation cache would write {missing / GB:.1f} GB to {root}, and must leave "
                f"{RESERVE_BYTES / GB:g} GB; {free / GB:.1f} GB are free.",
                "Make room; or put the cache elsewhere (its folder is in the run's workdir: "
                "--workdir DIR); or take less: trainer.flip=false, "
                "trainer.strategy=head_only, a smaller sampling.total.",
            )
        for folder in mine:
            folder.touch()  # "last used", for the next clearing

    def fill(self) -> None:
        """Computes what is missing: one forward pass an image, none for what is there."""
        for split, images in self._splits.items():
            variants = (False, True) if split == "train" and self._config.flip else (False,)
            work: dict[str, tuple[int, bool]] = {}
            first = next(iter(self.stores.values()))
            for index in range(len(images)):
                for flipped in variants:
                    key = self._keys[flipped][split][index]
                    if key not in first:
                        work.setdefault(key, (index, flipped))
            if work:
                self._forward_pass(split, images, work)
        if self.plan.cut is not None:
            self._pool_from_cut()

    def _forward_pass(
        self, split: str, images: LabelledImages, work: dict[str, tuple[int, bool]]
    ) -> None:
        """Runs the frozen part over images and keeps the outputs of all layers of the plan."""
        config = self._config
        size_px = config.image_size_px
        keys = list(work)
        index, flipped = (np.array(column) for column in zip(*work.values(), strict=True))
        # A device must not be left without an image: the rest goes through one of them.
        devices = self._strategy.num_replicas_in_sync
        whole = len(keys) - (len(keys) % config.batch_size if devices > 1 else 0)

        def load(index: tf.Tensor, flipped: tf.Tensor) -> tf.Tensor:
            image = preprocessing.decode(images.encoded[index])
            image = preprocessing.resize_and_scale(image, size_px)
            return tf.cond(flipped, lambda: tf.reverse(image, [1]), lambda: image)

        def batches(rows: slice) -> tf.data.Dataset:
            dataset = tf.data.Dataset.from_tensor_slices((index[rows], flipped[rows]))
            if self.engine == "openvino":
                # Not ahead of time: OpenVINO gives every core an equal part, and waits for the one
                # that something else keeps busy.
                return dataset.map(load, os.cpu_count()).batch(config.batch_size)
            dataset = dataset.map(load, tf.data.AUTOTUNE)
            return dataset.batch(config.batch_size).prefetch(2)

        def outputs() -> Iterator[list[Any]]:
            if self.engine == "openvino":
                for batch in batches(slice(None)):
                    yield self._openvino_layers(batch.numpy())
                return
            for batch in self._strategy.experimental_distribute_dataset(batches(slice(whole))):
                yield self._gathered(self._frozen(batch))
            for batch in batches(slice(whole, None)):
                yield self._gathered(self._frozen_layers(batch))

        progress = Progress(f"Activations of {split}", len(keys))
        done = 0
        with ExitStack() as stack:
            writers = [stack.enter_context(s.writer()) for s in self.stores.values()]
            for layers in outputs():
                count = len(layers[0])
                some = keys[done : done + count]
                for writer, output in zip(writers, layers, strict=True):
                    writer.append(some, self._to_bits(output))
                done += count
                self.computed_images += count
                progress.at(done)

    def _frozen_layers(self, images: tf.Tensor) -> list[tf.Tensor]:
        """(batch, size, size, 3) -> the outputs of the plan's layers.

        The pooled output is that of the *kept* activations of the cut, rounded to 16 bits: the same
        whether it is computed here or later from the store, and what fine-tuning goes on from.
        """
        if self.plan.cut is None:
            return [self._below(images, training=False)]
        cut = self._below(images, training=False)
        kept = tf.cast(tf.cast(cut, self._dtype), cut.dtype)
        return [cut, self._between(kept, training=False)]

    def _openvino_layers(self, images: Any) -> list[Any]:
        """The same by OpenVINO, on arrays."""
        below, between = self._openvino
        cut = below(images)
        if between is None:
            return [cut]
        kept = cut.astype(self._dtype.as_numpy_dtype)
        return [kept, between(kept.astype(np.float32))]

    @cached_property
    def _openvino(self) -> tuple[Forward, Forward | None]:
        """`_below` and `_between`, compiled; the second is None where there is no cut."""
        twin = as_float32(self._model)
        bfloat16 = tensor_at(self._model, POOLED).dtype == "bfloat16"
        below = openvino_forward(part(twin, None, self.plan.layers[0]), bfloat16=bfloat16)
        if self.plan.cut is None:
            return below, None
        return below, openvino_forward(part(twin, self.plan.cut, POOLED), bfloat16=bfloat16)

    @cached_property
    def _below(self) -> keras.Model:
        """From the image to the lowest layer of the plan."""
        return part(self._model, None, self.plan.layers[0])

    @cached_property
    def _between(self) -> keras.Model:
        """From the cut to the pooled output."""
        return part(self._model, self.plan.cut, POOLED)

    @cached_property
    def _frozen(self) -> Callable[[Any], list[Any]]:
        """A batch that is spread over the devices -> the outputs of the plan's layers."""

        size_px = self._config.image_size_px
        # Traced once, for batches of any size. A batch in parts, one a device, has no such type.
        one = [tf.TensorSpec((None, size_px, size_px, 3), tf.float32)]
        signature = one if self._strategy.num_replicas_in_sync == 1 else None

        @tf.function(input_signature=signature, reduce_retracing=True)  # type: ignore[untyped-decorator]
        def forward(batch: Any) -> Any:
            return self._strategy.run(self._frozen_layers, (batch,))

        run: Callable[[Any], list[Any]] = forward
        return run

    def _gathered(self, outputs: list[Any]) -> list[Any]:
        """Returns NumPy arrays of whole batches; a batch is cut among devices in order."""
        local = self._strategy.experimental_local_results
        return [np.concatenate([part.numpy() for part in local(output)]) for output in outputs]

    def _pool_from_cut(self) -> None:
        """Computes pooled outputs that are missing from the cut's rows: no frozen layer below runs.

        They are missing after a kill between two shards, or when the weights above the cut are new.
        """
        cut, pooled = (self.stores[name] for name in self.plan.layers)
        keys = sorted(key for key in self.wanted if key not in pooled)
        batch = self._config.batch_size

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def pool(bits: tf.Tensor) -> Any:  # in a graph, as `_frozen` is: the same fused kernels
            return self._between(self._from_bits(bits), training=False)

        def pool_openvino(bits: tf.Tensor) -> Any:
            between = self._openvino[1]
            assert between is not None, "there is a cut"
            return between(tf.cast(self._from_bits(bits), tf.float32))

        with pooled.writer() as writer:
            for start in range(0, len(keys), batch):
                some = keys[start : start + batch]
                bits = tf.constant(cut.gather(cut.rows(some)))
                found = pool_openvino(bits) if self.engine == "openvino" else pool(bits).numpy()
                writer.append(some, self._to_bits(found))

    def source(self, layer: str, split: str) -> Source:
        """Returns a split's rows of a layer, mirrored or not as each seed says, as inputs."""
        store = self.stores[layer]
        rows = [store.rows(self._keys[False][split])]
        if split == "train" and self._config.flip:
            rows.append(store.rows(self._keys[True][split]))

        def take(index: tf.Tensor, flipped: tf.Tensor) -> tf.Tensor:
            bits = tf.numpy_function(
                lambda i, f: store.gather(np.where(f, rows[-1][i], rows[0][i])),
                (index, flipped),
                tf.uint16,
                stateful=False,
            )
            return self._from_bits(tf.ensure_shape(bits, (None, *store.shape)))

        def training(index: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
            return take(index, mirrored(seeds))

        return Source(
            self._splits[split].labels,
            training,
            lambda index, seeds: take(index, tf.zeros_like(index, tf.bool)),
        )

    def _to_bits(self, output: Any) -> Rows:  # NumPy has no type for arrays of bfloat16
        """(n, …) of the network's type -> uint16 (n, …).

        Raises:
          ConfigError: if a value is too large for float16.
        """
        kept = output.astype(self._dtype.as_numpy_dtype, copy=False)
        if self._dtype == tf.float16 and not np.isfinite(kept).all():
            raise ConfigError(
                f"Activations reach {np.abs(output).max():.3g}; float16 ends at 65504.",
                "Set trainer.cache_dtype=bfloat16.",
            )
        bits: Rows = kept.view(np.uint16)
        return bits

    def _from_bits(self, bits: tf.Tensor) -> tf.Tensor:
        """uint16 -> what the layer above takes."""
        return tf.cast(tf.bitcast(bits, self._dtype), tensor_at(self._model, POOLED).dtype)


def weights_digest(model: keras.Model, digest: hashlib._Hash | None = None) -> hashlib._Hash:
    """Returns a SHA-256 of a network's weights and statistics, in order."""
    digest = digest or hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).data)
    return digest


def folder_bytes(folder: Path) -> int:
    """Returns the size of all files directly in a folder."""
    return sum(file.stat().st_size for file in folder.iterdir())


class Progress:
    """Logs a line every ten seconds: how far, how fast, how long yet."""

    EVERY_S = 10.0

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._started_s = self._said_s = time.monotonic()

    def at(self, done: int) -> None:
        """Is told how far it is."""
        now_s = time.monotonic()
        if done < self._total and now_s - self._said_s < self.EVERY_S:
            return
        self._said_s = now_s
        speed = done / max(now_s - self._started_s, 1e-9)
        logger.info(
            "%s: %s of %s (%.0f images/s, %.0f s left)",
            self._what,
            f"{done:,}",
            f"{self._total:,}",
            speed,
            (self._total - done) / speed,
        )
