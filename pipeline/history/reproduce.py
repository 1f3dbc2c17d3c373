"""`genq releases reproduce`: builds a release again from what it says of itself, and compares.

In: a release. Out: rows of what was, what is now, and whether they are equal; one of them says how
far the answers of the two models are apart.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import TypeAdapter, ValidationError

from components.model_exporter import models
from components.model_exporter.images import decode_pillow, read_images
from components.release_pusher import provenance
from data.errors import ConfigError, ReleaseError
from data.releases import release
from pipeline.config import PRESETS, PipelineConfig, merge

COMPARED_IMAGES: Final = 100


@dataclass(frozen=True)
class Row:
    """One thing that was compared; `equal` says whether they agree."""

    what: str
    before: str
    now: str
    equal: bool


def recorded_config(info: release.Release, workdir: Path, data: Path | None) -> PipelineConfig:
    """Returns the configuration that made a release, in another work directory.

    Args:
      info: of the release.
      workdir: for this run.
      data: the data set; None draws the look-alike again, where the release was made of one.

    Raises:
      ReleaseError: if the release does not say how it was made, or not what this genq knows.
      ConfigError: if it was made of data that have to be named.
    """
    recorded = info.provenance.get("config")
    if recorded is None:
        raise ReleaseError(
            f"Release {info.version} does not say how it was made: its provenance has no config.",
            "It is from before genq recorded that; it cannot be reproduced.",
        )
    tree = dataclasses.asdict(PRESETS["demo"]())
    changes: dict[str, Any] = json.loads(recorded)
    try:
        merge(tree, changes, origin=f"release {info.version}")
        config = TypeAdapter(PipelineConfig).validate_python(tree)
    except (ConfigError, ValidationError) as error:
        raise ReleaseError(
            f"Release {info.version} was made with settings that this genq does not know: {error}",
            f"Use the code that made it: git checkout {(info.code_version or '').split('+')[0]}",
        ) from error
    return dataclasses.replace(
        config,
        workdir=str(workdir),
        data=dataclasses.replace(config.data, root=str(data) if data else ""),
        release=dataclasses.replace(config.release, model_name=info.model_name),
    )


def require_same_sources(info: release.Release) -> None:
    """Refuses code and packages other than those that made the release.

    Raises:
      ReleaseError: names each that differs.
    """
    code, lock = provenance.code_version(), provenance.packages()
    found = []
    if info.code_version != code:
        found.append(f"code: the release is of {info.code_version}, this is {code}")
    elif code.endswith("+changes"):
        found.append(f"code: {code}: both have changes that no commit holds")
    key = "requirements_lock_sha256"
    if info.provenance.get(key) != lock.get(key):
        found.append(
            f"packages: requirements.lock was {str(info.provenance.get(key))[:12]}, is "
            f"{str(lock.get(key))[:12]}"
        )
    if found:
        raise ReleaseError(
            f"Release {info.version} was made of other sources:\n  " + "\n  ".join(found),
            f"git checkout {(info.code_version or '').split('+')[0]} && make setup, or see what "
            "comes of these sources: --anyway.",
        )


def compare(before: Path, now: Path, examples: Path) -> list[Row]:
    """Compares two releases: sources, sample, files, metrics, and answers to `examples`."""
    old, new = release.read_release(before), release.read_release(now)
    key = "requirements_lock_sha256"
    rows = [
        _row("code", old.code_version, new.code_version),
        _row("packages", old.provenance.get(key), new.provenance.get(key)),
        _row("data", old.data_fingerprint, new.data_fingerprint),
        _row(
            "sample",
            old.sample.manifest_sha256 if old.sample else None,
            new.sample.manifest_sha256 if new.sample else None,
        ),
    ]
    theirs = {v.name: v.sha256 for v in new.variants}
    rows += [_row(f"file of {v.name}", v.sha256, theirs.get(v.name)) for v in old.variants]
    for name, metric in sorted(old.metrics.overall.items()):
        other = new.metrics.overall.get(name)
        rows.append(_row(name, f"{metric.value:.6f}", f"{other.value:.6f}" if other else None))
    return [*rows, answers(before, now, examples)]


def answers(before: Path, now: Path, examples: Path) -> Row:
    """Returns the largest difference of p_positive on the first examples of `test`."""
    images = read_images([f"{examples}/Split-test/*"], COMPARED_IMAGES)
    pixels = [decode_pillow(image.encoded) for image in images]
    name = release.ONNX_FILES["float32"]
    old, new = (models.answers(models.onnx_model(r / name), pixels) for r in (before, now))
    largest = float(np.abs(old - new).max())
    labels = float(np.mean((old >= 0.5) == (new >= 0.5)))
    return Row(
        f"p_positive on {len(pixels)} test images",
        "",
        f"differs by {largest:.1e} at most; {labels:.1%} equal labels",
        largest == 0,
    )


def _row(what: str, before: str | None, now: str | None) -> Row:
    return Row(what, _short(before), _short(now), before == now)


def _short(value: str | None) -> str:
    """Shortens a hash, but keeps what was added to it ("+changes")."""
    digest, plus, more = (value or "-").partition("+")
    return digest[:12] + plus + more
