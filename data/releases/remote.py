"""Releases in an object store: objects first, the pointer last.

In: a release's directory and a URI that fsspec knows (s3://, gs://, az://, file://, …). Out: the
same files below `<uri>/<version>/`, or a local copy of them. An object store has no rename, so
order takes its place:

    <uri>/<version>/…           every file of the release but SHA256SUMS
    <uri>/<version>/SHA256SUMS  written after all of them: a version without it is not whole
    <uri>/config.pbtxt          Triton's
    <uri>/LATEST                the newest whole version, one line of text; written last

Nothing that is whole is written again. Readers ask LATEST, fetch what SHA256SUMS names, verify it
and make it visible by one local rename. TensorFlow Serving and Triton list version directories and
know no LATEST: give them a local directory that `genq releases pull` fills.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import filelock

from data.errors import ReleaseError
from data.releases import checksums, release

LATEST: Final = "LATEST"
TRITON_CONFIG: Final = "config.pbtxt"


def upload(release_dir: Path, uri: str) -> str:
    """Copies a release to `<uri>/<version>/` and moves LATEST forward; returns that address.

    May be repeated: a version that is whole there is left alone, one that is not is written again.

    Args:
      release_dir: `<model_dir>/<version>`, as it was published.
      uri: the model's place, e.g. "s3://bucket/models/gender".

    Raises:
      ReleaseError: if the local files are not those that were published, the store holds another
        release of this version, or it cannot be written. LATEST then names what it named.
    """
    checksums.verify(release_dir)
    version = release_dir.resolve().name
    with _store(uri) as (files, root):
        target = f"{root}/{version}"
        sums = (release_dir / checksums.SUMS).read_bytes()
        there = _read(files, f"{target}/{checksums.SUMS}")
        if there is not None and there != sums:
            raise ReleaseError(
                f"{uri} holds another release of version {version}.",
                "Releases are immutable: push to another place, or make a new version.",
            )
        if there is None:
            names = checksums.file_names(release_dir)
            names += [checksums.SIGNATURE] * (release_dir / checksums.SIGNATURE).is_file()
            for name in names:
                _put(files, (release_dir / name).read_bytes(), f"{target}/{name}")
            _put(files, sums, f"{target}/{checksums.SUMS}")
        beside = release_dir.resolve().parent / TRITON_CONFIG
        if beside.is_file() and _read(files, f"{root}/{TRITON_CONFIG}") != beside.read_bytes():
            _put(files, beside.read_bytes(), f"{root}/{TRITON_CONFIG}")
        # Two uploads at a time: whoever writes last has looked after both were whole.
        while latest(uri) != (newest := max(versions(uri))):
            _put(files, f"{newest}\n".encode(), f"{root}/{LATEST}")
    return f"{uri.rstrip('/')}/{version}"


def download(uri: str, model_dir: Path, version: int | None = None) -> Path:
    """Brings one release into a local directory, verified, by one rename; returns its directory.

    Args:
      uri: the model's place.
      model_dir: local `<serving_dir>/<model_name>`; made if it is missing.
      version: None for the one that LATEST names.

    Raises:
      ReleaseError: if there is no such release, it does not arrive as it was published, or the
        directory cannot be written. What is there stays as it was.
    """
    if version is None:
        version = latest(uri)
    whole = versions(uri)
    if version not in whole:
        raise ReleaseError(
            f"{uri} holds no {'release' if version is None else f'whole release {version}'}.",
            f"Whole ones: {', '.join(map(str, whole)) or 'none'}.",
        )
    target = model_dir / str(version)
    if target.exists():
        checksums.verify(target)
        return target
    with _store(uri) as (files, root):
        staging = model_dir / release.STAGING
        staging.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(staging / f"{version}.lock"):
            if target.exists():  # another process brought it meanwhile
                return target
            staged = staging / str(version)
            shutil.rmtree(staged, ignore_errors=True)  # of a process that was killed
            source = f"{root}/{version}"
            _fetch(files, f"{source}/{checksums.SUMS}", staged / checksums.SUMS)
            if files.exists(f"{source}/{checksums.SIGNATURE}"):
                _fetch(files, f"{source}/{checksums.SIGNATURE}", staged / checksums.SIGNATURE)
            for name in checksums.read_sums(staged):
                if not (staged / name).resolve().is_relative_to(staged.resolve()):
                    raise ReleaseError(f"{source}/{checksums.SUMS} names {name!r}, outside of it.")
                _fetch(files, f"{source}/{name}", staged / name)
            for folder in [*(p for p in staged.rglob("*") if p.is_dir()), staged]:
                release.sync(folder)
            checksums.verify(staged)
            release.read_release(staged)
            config = _read(files, f"{root}/{TRITON_CONFIG}")
            if config is not None:
                release.write_atomically(model_dir / TRITON_CONFIG, config)
            staged.rename(target)
            release.sync(model_dir)
        (staging / f"{version}.lock").unlink(missing_ok=True)
    return target


def versions(uri: str) -> list[int]:
    """Returns the whole releases in the store, oldest first.

    Raises:
      ReleaseError: if the store cannot be read.
    """
    with _store(uri) as (files, root):
        files.invalidate_cache()
        if not files.exists(root):
            return []
        names = (path.rstrip("/").rsplit("/", 1)[-1] for path in files.ls(root, detail=False))
        numbers = [name for name in names if re.fullmatch(r"[1-9]\d*", name, re.ASCII)]
        return sorted(int(n) for n in numbers if files.exists(f"{root}/{n}/{checksums.SUMS}"))


def latest(uri: str) -> int | None:
    """Returns the version that LATEST names, or None where there is none yet.

    Raises:
      ReleaseError: if the store cannot be read, or LATEST does not hold a version.
    """
    with _store(uri) as (files, root):
        content = _read(files, f"{root}/{LATEST}")
    if content is None:
        return None
    text = content.decode(errors="replace").strip()
    if not re.fullmatch(r"[1-9]\d*", text, re.ASCII):
        raise ReleaseError(
            f"{uri}/{LATEST} holds {text[:40]!r}; expected a version.",
            "Upload a release again: `genq releases upload`; that writes it anew.",
        )
    return int(text)


@contextmanager
def _store(uri: str) -> Iterator[tuple[Any, str]]:
    """Yields the file system and the root in it; whatever the store says becomes a ReleaseError."""
    import fsspec

    try:
        files, root = fsspec.core.url_to_fs(uri)
        yield files, str(root).rstrip("/")
    except (ImportError, ValueError) as error:
        raise ReleaseError(
            f"{uri} cannot be reached: {error}",
            "Give a URI that fsspec knows, and install its driver: s3fs, gcsfs, adlfs, ….",
        ) from error
    except ReleaseError:
        raise
    except Exception as error:  # every driver has errors of its own
        raise ReleaseError(
            f"{uri}: {type(error).__name__}: {error}",
            "Nothing that was there has changed. Look at the address, the rights and the "
            "connection, and do it again.",
        ) from error


def _read(files: Any, path: str) -> bytes | None:
    files.invalidate_cache()
    try:
        return bytes(files.cat_file(path))
    except FileNotFoundError:
        return None


def _put(files: Any, content: bytes, path: str) -> None:
    """Writes one object in one piece (100 MB at most here), and reads its size back.

    Raises:
      ReleaseError: if it has another size there.
    """
    files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    files.pipe_file(path, content)
    files.invalidate_cache()
    size = files.info(path)["size"]
    if size != len(content):
        raise ReleaseError(
            f"{path} has {size} bytes in the store; {len(content)} were sent.", "Upload again."
        )


def _fetch(files: Any, source: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    files.get_file(source, str(target))
    release.sync(target)
    target.chmod(0o444)
