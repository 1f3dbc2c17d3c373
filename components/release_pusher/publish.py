"""Publishing: many files appear as one version, whole and synced, or not at all.

In: a model's directory, files to publish, and what `release.json` says. Out: `<version>/` with
them. Everything is written beside its place (`.staging/<version>/`), synced, read back and compared
with the sources' hashes, and then renamed: one rename makes it visible.

- A version is allotted under a lock that is held for milliseconds, so pushers at the same time get
  different ones and both survive. `.last_version` remembers the highest ever: a clock that goes
  back, or a release that was pruned, leads to no reuse.
- A push that was killed leaves its staging folder; the next push removes it. A lock file tells a
  killed push from one that still works: the system frees a dead process' lock.
- Files that the newest release has already, byte for byte, are not published again: a run that was
  killed after the rename, and is repeated, finds its release.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import filelock

from data.errors import ReleaseError
from data.releases import checksums, release
from data.releases.checksums import SUMS
from data.releases.release import RELEASE_JSON, Release

logger = logging.getLogger("genq.pusher")

LAST_VERSION: Final = ".last_version"
LOCK: Final = ".lock"
COPY_BYTES: Final = 1 << 20

Describe = Callable[[int, int | None, Mapping[str, str]], Release]
"""(version, parent, path below the release -> SHA-256) -> what release.json says."""


def publish(
    model_dir: Path,
    files: Mapping[str, Path],
    describe: Describe,
    *,
    beside: Mapping[str, str] | None = None,
    sign_command: str = "",
    now_s: Callable[[], float] = time.time,
) -> Path:
    """Publishes `files` as the next version; returns its directory.

    Args:
      model_dir: `<serving_dir>/<model_name>`; made if it is missing.
      files: path below the release, with "/" -> source file.
      describe: makes release.json.
      beside: name -> text of files next to the versions (Triton's configuration); replaced
        atomically where they differ, before the version can be seen.
      sign_command: signs SHA256SUMS before anybody sees it; see data.releases.checksums.run_signer.
      now_s: unix time in seconds.

    Raises:
      ReleaseError: if the target cannot be written, or what was written is not what was read.
        Earlier releases are as they were.
    """
    try:
        model_dir.mkdir(parents=True, exist_ok=True)
        remove_dead_staging(model_dir)
        sums = {name: checksums.sha256(path) for name, path in sorted(files.items())}
        if (same := find_same(model_dir, sums)) is not None:
            logger.info("%s holds these files already; nothing to publish.", same)
            return same
        version, parent = allot(model_dir, now_s())
        with filelock.FileLock(model_dir / release.STAGING / f"{version}.lock").acquire(timeout=0):
            staged = model_dir / release.STAGING / str(version)
            try:
                stage(staged, files, sums, describe(version, parent, sums))
                if sign_command:
                    sign(staged, sign_command)
                for name, text in (beside or {}).items():
                    replace_if_different(model_dir / name, text.encode())
                return reveal(staged, model_dir / str(version))
            finally:
                shutil.rmtree(staged, ignore_errors=True)
                (model_dir / release.STAGING / f"{version}.lock").unlink(missing_ok=True)
    except OSError as error:
        raise ReleaseError(
            f"The release could not be written to {model_dir}: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}. Nothing was published; earlier "
            "releases are as they were.",
            "Make room, or give this user the right to write there, and run again: only the push "
            "is repeated.",
        ) from error


def allot(model_dir: Path, now_s: float) -> tuple[int, int | None]:
    """Returns a version larger than every earlier one, and the newest published (the parent)."""
    with filelock.FileLock(model_dir / LOCK):
        published = release.versions(model_dir)
        last = model_dir / LAST_VERSION
        highest = max([*published, int(last.read_text()) if last.exists() else 0])
        version = max(int(now_s), highest + 1)
        release.write_atomically(last, f"{version}\n".encode())
        (model_dir / release.STAGING).mkdir(exist_ok=True)
        return version, published[-1] if published else None


def stage(staged: Path, files: Mapping[str, Path], sums: Mapping[str, str], info: Release) -> None:
    """Writes a whole release to `staged`, synced and read back.

    Raises:
      OSError: if it cannot be written.
      ReleaseError: if a file reads back other than its source was.
    """
    staged.mkdir(parents=True)
    for name, source in sorted(files.items()):
        target = staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as reader, target.open("xb") as writer:
            shutil.copyfileobj(reader, writer, COPY_BYTES)
            _finish(writer)
    _write(staged / RELEASE_JSON, info.model_dump_json(indent=2).encode() + b"\n")
    every = {**sums, RELEASE_JSON: checksums.sha256(staged / RELEASE_JSON)}
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(every.items()))
    _write(staged / SUMS, lines.encode())
    for folder in [*(p for p in staged.rglob("*") if p.is_dir()), staged]:
        release.sync(folder)
    checksums.verify(staged)
    release.Release.model_validate_json((staged / RELEASE_JSON).read_bytes())


def sign(staged: Path, command: str) -> None:
    """Signs a staged release.

    Raises:
      ReleaseError: if the command fails or leaves no signature.
    """
    checksums.run_signer(command, staged)
    signature = staged / checksums.SIGNATURE
    if not signature.is_file() or not signature.stat().st_size:
        raise ReleaseError(
            f"The signature command left no {checksums.SIGNATURE}: {command}",
            "It has to write {signature}. Nothing was published.",
        )
    with signature.open("rb") as file:
        os.fsync(file.fileno())
    signature.chmod(0o444)
    release.sync(staged)


def reveal(staged: Path, target: Path) -> Path:
    """Makes the release visible: one rename, synced.

    Raises:
      OSError: if the place is taken.
    """
    staged.rename(target)
    try:
        release.sync(target.parent)
    except OSError as error:
        # Readers see it already, and it is whole: this is no failure of the push.
        logger.warning("%s is published, but a power cut may undo it: %s.", target, error)
    return target


def replace_if_different(path: Path, content: bytes) -> None:
    """Writes a small file, unless it holds these bytes already."""
    if not (path.exists() and path.read_bytes() == content):
        release.write_atomically(path, content)


def find_same(model_dir: Path, sums: Mapping[str, str]) -> Path | None:
    """Returns the newest release if it holds exactly these files beside its release.json."""
    published = release.versions(model_dir)
    if not published:
        return None
    newest = model_dir / str(published[-1])
    try:
        there = checksums.read_sums(newest)
    except ReleaseError:
        return None
    there.pop(RELEASE_JSON, None)
    return newest if there == dict(sums) and not checksums.problems(newest) else None


def remove_dead_staging(model_dir: Path) -> None:
    """Removes what killed pushes left; leaves what a living one works on."""
    for folder in (model_dir / release.STAGING).glob("[0-9]*"):
        if not folder.is_dir():
            continue
        lock = filelock.FileLock(folder.with_name(f"{folder.name}.lock"))
        try:
            with lock.acquire(timeout=0):
                # The push that worked here may have ended since: then its release stands.
                if folder.is_dir():
                    logger.warning("An earlier push was killed; removing %s.", folder)
                    shutil.rmtree(folder, ignore_errors=True)
        except (filelock.Timeout, FileNotFoundError):
            continue
        folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        _finish(file)


def _finish(file: BinaryIO) -> None:
    """Syncs a file and takes the right to write it: releases are immutable."""
    file.flush()
    os.fsync(file.fileno())
    os.fchmod(file.fileno(), 0o444)
