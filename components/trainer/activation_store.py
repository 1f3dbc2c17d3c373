"""Activations on disk: one row an image, found by the image's fingerprint.

In: rows of 16-bit numbers. Out: the same rows, memory-mapped. NumPy only.

A store is a folder of shards that are only ever added:

- `shard-00007.npy`: rows as uint16 (the bits of bfloat16 or float16), (rows, …)
- `shard-00007.json`: the key of each row, and the SHA-256 of keys and rows; written last, by rename

So a process killed at any point leaves whole shards, which the next one goes on from; a shard that
was damaged is noticed when the store is opened, removed, and its rows are missing again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

logger = logging.getLogger("genq.trainer")

Rows = NDArray[np.uint16]

SHARD_BYTES = 64 * 2**20
MAX_SHARD_ROWS = 512
"""A killed process loses at most one shard: ten seconds of InceptionV3 on two cores."""


def row_key(digest: bytes, *, flipped: bool) -> str:
    """Returns the key of an image (32 bytes) or its mirror image."""
    return digest.hex() + ("-" if flipped else "")


class ActivationStore:
    """The shards of one layer's activations.

    Args:
      folder: made if missing. Its name has to say what the rows depend on.
      shape: of a row.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        self.folder = folder
        self.shape = shape
        self._row_of: dict[str, int] = {}
        self._starts: list[int] = []
        self._shards: list[Rows] = []
        self._next_number = 0
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob("*.tmp"):
            unfinished.unlink()
        self._load()

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return 2 * math.prod(self.shape)

    @property
    def shard_rows(self) -> int:
        """Rows of a full shard; in multiples of 32, so that shards mostly end with batches."""
        rows = max(1, min(MAX_SHARD_ROWS, SHARD_BYTES // self.row_bytes))
        return rows - rows % 32 if rows > 32 else rows

    def __len__(self) -> int:
        return len(self._row_of)

    def __contains__(self, key: str) -> bool:
        return key in self._row_of

    def rows(self, keys: Iterable[str]) -> NDArray[np.int64]:
        """Returns row numbers for `gather`.

        Raises:
          KeyError: if a row is missing.
        """
        return np.array([self._row_of[key] for key in keys], np.int64)

    def gather(self, rows: NDArray[np.int64]) -> Rows:
        """(n,) -> uint16 (n, *shape), read from the memory map."""
        out = np.empty((len(rows), *self.shape), np.uint16)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        for i, (shard, row) in enumerate(zip(shards, rows, strict=True)):
            out[i] = self._shards[shard][row - self._starts[shard]]
        return out

    def writer(self) -> ShardWriter:
        """Returns a writer; rows are in the store once their shard is full or it is closed."""
        return ShardWriter(self)

    def discard_all_but(self, keys: set[str]) -> int:
        """Removes shards that hold none of `keys`; returns the bytes set free."""
        freed = 0
        for data in sorted(self.folder.glob("*.npy")):
            described = json.loads(data.with_suffix(".json").read_text())
            if keys.isdisjoint(described["keys"]):
                freed += data.stat().st_size
                self._remove(data)
        if freed:
            self._load()
        return freed

    def _load(self) -> None:
        """Builds the index of what is whole."""
        self._row_of, self._starts, self._shards = {}, [], []
        for data in sorted(self.folder.glob("*.npy")):
            self._next_number = int(data.stem.split("-")[1]) + 1
            self._open(data)

    def _open(self, data: Path) -> None:
        """Takes a shard into the index, or removes it when it is damaged."""
        try:
            described = json.loads(data.with_suffix(".json").read_text())
            keys = described["keys"]
            with data.open("rb") as file:
                found = hashlib.file_digest(file, lambda: keyed_digest(keys)).hexdigest()
            if found != described["sha256"]:
                raise ValueError(f"SHA-256 is {found[:12]}…, expected {described['sha256'][:12]}…")
            self._take(data, keys)
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s is damaged and will be computed anew: %s", data, error)
            self._remove(data)

    def _take(self, data: Path, keys: Sequence[str]) -> None:
        """Adds a whole shard to the index."""
        rows = np.load(data, mmap_mode="r")
        if rows.shape != (len(keys), *self.shape):
            raise ValueError(f"shape is {rows.shape}, expected {(len(keys), *self.shape)}")
        start = self._starts[-1] + len(self._shards[-1]) if self._shards else 0
        self._starts.append(start)
        self._shards.append(rows)
        self._row_of.update(zip(keys, range(start, start + len(keys)), strict=True))

    def _remove(self, data: Path) -> None:
        data.with_suffix(".json").unlink(missing_ok=True)
        data.unlink(missing_ok=True)


def keyed_digest(keys: Sequence[str]) -> hashlib._Hash:
    """Returns a SHA-256 that has seen the keys and waits for the file's bytes."""
    return hashlib.sha256("\n".join(keys).encode())


class ShardWriter:
    """Appends rows; hashes them on the way to the disk.

    Rows go through `write`, not through a writable memory map: on a full disk the former raises
    OSError, the latter kills the process with SIGBUS.
    """

    def __init__(self, store: ActivationStore) -> None:
        self._store = store
        self._keys: list[str] = []
        self._rows: list[Rows] = []

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()

    def append(self, keys: Sequence[str], rows: Rows) -> None:
        """Adds rows (n, *shape); those that the store holds already are left out."""
        full = self._store.shard_rows
        for key, row in zip(keys, rows, strict=True):
            if key in self._store:
                continue
            self._keys.append(key)
            self._rows.append(row)
            if len(self._keys) == full:
                self.flush()

    def flush(self) -> None:
        """Writes what has come together as a shard."""
        if not self._keys:
            return
        store = self._store
        data = store.folder / f"shard-{store._next_number:05d}.npy"
        store._next_number += 1
        digest = keyed_digest(self._keys)
        partial = data.with_suffix(".npy.tmp")
        try:
            with partial.open("wb") as file:
                header = {
                    "descr": "<u2",
                    "fortran_order": False,
                    "shape": (len(self._keys), *store.shape),
                }
                npy.write_array_header_1_0(file, header)
                file.flush()
                digest.update(partial.read_bytes())
                for row in self._rows:
                    block = np.ascontiguousarray(row, "<u2").data
                    digest.update(block)
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(data)
            described = data.with_suffix(".json.tmp")
            described.write_text(json.dumps({"keys": self._keys, "sha256": digest.hexdigest()}))
            described.replace(data.with_suffix(".json"))
        except OSError:
            # A full disk: leave room, and nothing half-made.
            for leftover in (partial, data, data.with_suffix(".json.tmp")):
                leftover.unlink(missing_ok=True)
            raise
        store._take(data, self._keys)
        self._keys, self._rows = [], []
