"""Rows of activations on disk."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from components.trainer import activation_store
from components.trainer.activation_store import ActivationStore, row_key

SHAPE = (2, 3)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation_store, "MAX_SHARD_ROWS", 4)


def some_rows(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**16, (count, *SHAPE), dtype=np.uint16)


def write(folder: Path, keys: list[str], rows: np.ndarray) -> ActivationStore:
    store = ActivationStore(folder, SHAPE)
    with store.writer() as writer:
        writer.append(keys, rows)
    return store


KEYS = [f"image{i}" for i in range(10)]


def test_rows_come_back_by_key_in_any_order(tmp_path: Path) -> None:
    """Ten rows in three shards, read at once and after opening anew."""
    rows = some_rows(10)
    for store in (write(tmp_path, KEYS, rows), ActivationStore(tmp_path, SHAPE)):
        assert len(store) == 10
        order = [7, 0, 9, 3, 3]
        found = store.gather(store.rows(KEYS[i] for i in order))
        np.testing.assert_array_equal(found, rows[order])
    assert len(list(tmp_path.glob("*.npy"))) == 3


def test_rows_that_are_there_are_not_written_again(tmp_path: Path) -> None:
    """Appending eight old and two new rows adds two."""
    rows = some_rows(10)
    write(tmp_path, KEYS[:8], rows[:8])
    store = write(tmp_path, KEYS, rows)
    assert sum(len(np.load(f)) for f in tmp_path.glob("*.npy")) == len(store) == 10


def test_what_a_killed_writer_left_is_not_taken_for_rows(tmp_path: Path) -> None:
    """A half-written file, and rows without their keys, are removed; whole shards stay."""
    rows = some_rows(10)
    write(tmp_path, KEYS, rows)
    (tmp_path / "shard-00009.npy.tmp").write_bytes(b"half")
    (tmp_path / "shard-00001.json").unlink()
    store = ActivationStore(tmp_path, SHAPE)
    assert [key in store for key in KEYS] == [True] * 4 + [False] * 4 + [True] * 2
    assert not (tmp_path / "shard-00001.npy").exists()
    assert not list(tmp_path.glob("*.tmp"))
    store = write(tmp_path, KEYS, rows)
    np.testing.assert_array_equal(store.gather(store.rows(KEYS)), rows)


@pytest.mark.parametrize("what", ["flipped bit", "cut short", "keys swapped"])
def test_damage_is_noticed(tmp_path: Path, what: str) -> None:
    """The shard's rows are missing afterwards, the others are not."""
    write(tmp_path, KEYS, some_rows(10))
    data, described = tmp_path / "shard-00001.npy", tmp_path / "shard-00001.json"
    content = bytearray(data.read_bytes())
    if what == "flipped bit":
        content[-1] ^= 8
    elif what == "cut short":
        del content[-10:]
    else:
        parsed = json.loads(described.read_text())
        parsed["keys"].reverse()
        described.write_text(json.dumps(parsed))
    data.write_bytes(content)
    store = ActivationStore(tmp_path, SHAPE)
    assert [key in store for key in KEYS] == [True] * 4 + [False] * 4 + [True] * 2


@contextmanager
def largest_file(max_bytes: int) -> Iterator[None]:
    """Lets no file grow beyond `max_bytes`: the next best thing to a full disk (OSError EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_an_error_and_leaves_nothing_half_made(tmp_path: Path) -> None:
    """Not the SIGBUS of a writable memory map; shards that were whole stay."""
    rows = some_rows(10)
    write(tmp_path, KEYS[:4], rows[:4])
    store = ActivationStore(tmp_path, SHAPE)
    with largest_file(140), pytest.raises(OSError, match="File too large"):
        writer = store.writer()
        writer.append(KEYS, rows)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["shard-00000.json", "shard-00000.npy"]


def test_shards_without_wanted_rows_can_be_dropped(tmp_path: Path) -> None:
    """Only whole shards go; what is left is found."""
    rows = some_rows(10)
    store = write(tmp_path, KEYS, rows)
    assert store.discard_all_but({KEYS[0], KEYS[9]}) > 0
    np.testing.assert_array_equal(store.gather(store.rows([KEYS[9], KEYS[1]])), rows[[9, 1]])
    assert KEYS[5] not in store


def test_an_image_and_its_mirror_image_have_different_keys() -> None:
    assert row_key(b"\1" * 32, flipped=False) != row_key(b"\1" * 32, flipped=True)
