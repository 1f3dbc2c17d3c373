"""Releases in an object store: whole or not named, never changed, and brought back as they were."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from pushed import push, state

from data.errors import ReleaseError
from data.releases import release, remote

URI = "memory://bucket/models/gender"


@pytest.fixture(autouse=True)
def store() -> Iterator[Any]:
    """A store in memory: flat keys and no rename, as S3 and GCS have it."""
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def keys(files: Any) -> dict[str, bytes]:
    return {key: bytes(files.cat_file(key)) for key in files.find("/bucket")}


def test_a_release_goes_there_and_comes_back(tmp_path: Path, store: Any) -> None:
    """Every file is equal, read-only and verified; Triton's configuration stands beside."""
    folder = push(tmp_path, "a", beside={"config.pbtxt": "x"})
    assert remote.upload(folder, URI) == f"{URI}/1000"
    assert remote.latest(URI) == 1000 and remote.versions(URI) == [1000]
    other = tmp_path / "elsewhere"
    brought = remote.download(URI, other)
    assert brought == other / "1000"
    assert state(other) == state(folder.parent)
    assert (other / "config.pbtxt").read_text() == "x"
    assert list((other / ".staging").iterdir()) == []
    assert all(not p.stat().st_mode & 0o222 for p in brought.rglob("*") if p.is_file())
    assert remote.download(URI, other) == brought


def test_the_pointer_is_written_last_and_a_failure_at_any_object_changes_nothing(
    tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks at the n-th object, for every n: readers see the old release, whole;
    the next upload succeeds."""
    old, new = push(tmp_path, "old", 1.0), push(tmp_path, "new", 2.0)
    remote.upload(old, URI)
    before = keys(store)
    write, failures = type(store).pipe_file, 0
    while True:
        sent: list[str] = []

        def breaking(self: Any, path: str, value: bytes, *rest: Any, **more: Any) -> None:
            sent.append(path)  # noqa: B023  # called within the loop's turn
            if len(sent) > failures:  # noqa: B023
                raise ConnectionResetError("gone")
            write(self, path, value, *rest, **more)

        monkeypatch.setattr(type(store), "pipe_file", breaking)
        try:
            remote.upload(new, URI)
        except ReleaseError as error:
            assert "ConnectionResetError: gone" in str(error)
        else:
            break
        assert remote.latest(URI) == 1
        assert {k: v for k, v in keys(store).items() if k in before} == before
        if failures < 4:  # its sums were not written yet: nobody takes it for whole
            assert remote.versions(URI) == [1]
        store.store.clear()
        for key, value in before.items():
            write(store, key, value)
        failures += 1
    assert failures == 5  # two files and release.json, SHA256SUMS, LATEST
    assert sent[-2:] == [f"{'/bucket/models/gender'}/2/SHA256SUMS", "/bucket/models/gender/LATEST"]
    assert remote.latest(URI) == 2


def test_an_interrupted_upload_is_completed(tmp_path: Path, store: Any) -> None:
    """Objects without SHA256SUMS are of a broken upload: written again, whatever they hold."""
    folder = push(tmp_path, "a")
    store.pipe_file("/bucket/models/gender/1000/model.onnx", b"half")
    with pytest.raises(ReleaseError, match="holds no release"):
        remote.download(URI, tmp_path / "x")
    remote.upload(folder, URI)
    assert state(remote.download(URI, tmp_path / "x").parent) == state(folder.parent)


def test_a_whole_version_is_never_written_again(tmp_path: Path, store: Any) -> None:
    """The same release: nothing is sent. Another of the same version: refused."""
    folder = push(tmp_path, "a")
    remote.upload(folder, URI)
    before = keys(store)
    store.pipe_file = None  # any write would fail
    try:
        remote.upload(folder, URI)
    finally:
        del store.pipe_file
    other = push(tmp_path / "b", "b") if (tmp_path / "b").mkdir() is None else folder
    with pytest.raises(ReleaseError, match="another release of version 1000"):
        remote.upload(other, URI)
    assert keys(store) == before


def test_latest_only_moves_forward(tmp_path: Path) -> None:
    """An older release that arrives late is there, but not named."""
    old, new = push(tmp_path, "old", 1.0), push(tmp_path, "new", 2.0)
    remote.upload(new, URI)
    remote.upload(old, URI)
    assert remote.versions(URI) == [1, 2] and remote.latest(URI) == 2
    assert remote.download(URI, tmp_path / "x", 1).name == "1"


def test_what_arrives_damaged_is_not_shown(tmp_path: Path, store: Any) -> None:
    """A flipped byte, and a name that climbs out of the directory."""
    folder = push(tmp_path, "a")
    remote.upload(folder, URI)
    key = "/bucket/models/gender/1000/model.onnx"
    content = bytes(store.cat_file(key))
    store.pipe_file(key, b"?" + content[1:])
    there = tmp_path / "x"
    with pytest.raises(ReleaseError, match=r"model\.onnx: SHA-256"):
        remote.download(URI, there)
    assert release.versions(there) == []
    store.pipe_file(key, content)
    assert remote.download(URI, there).name == "1000"
    sums = "/bucket/models/gender/1000/SHA256SUMS"
    store.pipe_file(sums, f"{'0' * 64}  ../../out\n".encode())
    with pytest.raises(ReleaseError, match="outside of it"):
        remote.download(URI, tmp_path / "y")
    assert not (tmp_path / "out").exists() and not (tmp_path / "y/out").exists()


@pytest.mark.parametrize(
    ("uri", "words"),
    [("nosuch://bucket/m", "Protocol not known"), ("memory://bucket/empty", "holds no release")],
)
def test_an_address_that_does_not_serve_is_named(tmp_path: Path, uri: str, words: str) -> None:
    with pytest.raises(ReleaseError, match=words) as caught:
        remote.download(uri, tmp_path / "x")
    assert uri in str(caught.value)


def test_upload_and_pull_from_the_command_line(tmp_path: Path) -> None:
    """Between two folders, through fsspec's file://."""
    folder = push(tmp_path, "a")
    uri = f"file://{tmp_path}/store/gender"
    genq = (sys.executable, "-m", "pipeline.cli", "releases")
    wide = os.environ | {"COLUMNS": "300"}
    for command in (
        ("upload", uri, "--model-dir", str(folder.parent)),
        ("pull", uri, "--model-dir", str(tmp_path / "here")),
    ):
        done = subprocess.run([*genq, *command], capture_output=True, text=True, env=wide)
        assert done.returncode == 0, done.stdout + done.stderr
    assert str(tmp_path / "here/1000") in done.stdout
    assert state(tmp_path / "here") == state(folder.parent)
    lost = subprocess.run(
        [*genq, "pull", uri, "77", "--model-dir", str(tmp_path / "here")],
        capture_output=True,
        text=True,
        env=wide,
    )
    assert lost.returncode == 6 and "Whole ones: 1000" in lost.stderr
