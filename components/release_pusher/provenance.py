"""Where a release comes from: code, packages, data.

In: the repository, the sampling manifest. Out: parts of data.releases.release.Release.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
from pathlib import Path
from typing import Final

from components.example_gen.artifacts import MANIFEST_CSV, read_manifest
from data.releases import checksums
from data.releases.release import Sample

ROOT: Final = Path(__file__).parents[2]
LOCK_FILE: Final = "requirements.lock"


def code_version(root: Path = ROOT) -> str:
    """Returns git's commit, with "+changes" where files differ from it; else the distribution's."""
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        # A container or an installed package: there is no repository.
        try:
            return f"genq {importlib.metadata.version('genq')}"
        except importlib.metadata.PackageNotFoundError:
            return "unknown"
    return f"{commit}+changes" if changes else commit


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def packages(root: Path = ROOT) -> dict[str, str]:
    """Returns the hash of the lock file, where there is one."""
    lock = root / LOCK_FILE
    return {"requirements_lock_sha256": checksums.sha256(lock)} if lock.exists() else {}


def sample(manifest: Path) -> Sample:
    """Returns which images the model was made of, from example-gen's manifest."""
    content = read_manifest(manifest)
    return Sample(
        manifest_sha256=checksums.sha256(manifest / MANIFEST_CSV),
        counts=content["counts"],
        seed=content["seed"],
    )


def data_fingerprint(manifest: Path) -> str:
    """Returns one hash over those of the data set's files (the sample's own left out)."""
    hashes = read_manifest(manifest)["sha256"]
    lines = sorted(f"{digest}  {name}" for name, digest in hashes.items() if name != MANIFEST_CSV)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
