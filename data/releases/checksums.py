"""SHA256SUMS of a release, and its signature: whether the files are those that were published.

In: a release's directory. Out: its sums, one line for each file that differs, or a ReleaseError.
Imports no TensorFlow: whoever reads a release verifies it.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Final

from data.errors import ReleaseError

SUMS: Final = "SHA256SUMS"
SIGNATURE: Final = "SHA256SUMS.sig"
SIGNER_TIMEOUT_S: Final = 120


def sha256(path: Path) -> str:
    """Returns the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_sums(release_dir: Path) -> dict[str, str]:
    """Returns path below the release -> hex SHA-256, as SHA256SUMS says.

    Raises:
      ReleaseError: if it is missing or not in the format of sha256sum.
    """
    path = release_dir / SUMS
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(f"{path} cannot be read: {error}.") from error
    sums = {}
    for number, line in enumerate(lines, 1):
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if match is None:
            raise ReleaseError(f"{path}:{number} is not a line of sha256sum: {line[:80]!r}.")
        sums[match[2]] = match[1]
    return sums


def run_signer(command: str, release_dir: Path) -> None:
    """Runs what signs or checks SHA256SUMS, and so every file of the release.

    Args:
      command: e.g. "cosign sign-blob --yes --key k --output-signature {signature} {file}"; no shell
        reads it. {file} becomes the path of SHA256SUMS, {signature} that of its signature.
      release_dir: of the release.

    Raises:
      ReleaseError: if it cannot be run or fails; with what it said.
    """
    values = {"file": str(release_dir / SUMS), "signature": str(release_dir / SIGNATURE)}
    try:
        words = [word.format_map(values) for word in shlex.split(command)]
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=SIGNER_TIMEOUT_S)
    except (KeyError, ValueError, IndexError) as error:
        raise ReleaseError(
            f"The signature command {command!r} cannot be read: {error!r}.",
            "Use {file} and {signature} and no other braces.",
        ) from error
    except (OSError, subprocess.SubprocessError) as error:
        said = f"{getattr(error, 'stdout', None) or ''}{getattr(error, 'stderr', None) or error}"
        raise ReleaseError(
            f"The signature command failed: {command}: {said.strip()[-500:]}",
            "Run it by hand; without a good signature the release is neither published nor used.",
        ) from error


def file_names(release_dir: Path) -> list[str]:
    """Returns all files below a release but SHA256SUMS and its signature, sorted, with "/"."""
    files = (p.relative_to(release_dir).as_posix() for p in release_dir.rglob("*") if p.is_file())
    return sorted(set(files) - {SUMS, SIGNATURE})


def problems(release_dir: Path, only: Collection[str] | None = None) -> list[str]:
    """Compares the files with SHA256SUMS; returns one line for each that differs.

    Args:
      release_dir: of one release.
      only: paths to look at, e.g. a server's one model file; None reads all, and also finds files
        that nobody has summed.

    Raises:
      ReleaseError: if SHA256SUMS is missing or damaged.
    """
    sums = read_sums(release_dir)
    found = []
    for name in sorted(sums if only is None else only):
        if name not in sums:
            found.append(f"{name}: is not in {SUMS}")
            continue
        try:
            digest = sha256(release_dir / name)
        except OSError as error:
            found.append(f"{name}: cannot be read: {error.strerror}")
            continue
        if digest != sums[name]:
            found.append(f"{name}: SHA-256 {digest[:12]}…, expected {sums[name][:12]}…")
    if only is None:
        found += [f"{n}: is not in {SUMS}" for n in file_names(release_dir) if n not in sums]
    return found


def verify(release_dir: Path, only: Collection[str] | None = None) -> None:
    """Raises ReleaseError unless the files are those that were published; see `problems`."""
    found = problems(release_dir, only)
    if found:
        raise ReleaseError(
            f"{release_dir} is not as it was published:\n  " + "\n  ".join(found),
            "Do not use it. Roll back: `genq releases rollback`, and push again.",
        )
