"""What earlier runs left, found by containers: TFX's Resolver does not exist on Kubeflow Pipelines.

KFP's cache compares the ids of artifacts, so a lookup that ran anew would make everything after it
run anew. Each lookup is therefore two nodes: one that always runs and answers with a short text, a
parameter; and one that KFP takes from the cache while the text is the same, and that hands over the
artifact. Where there is nothing yet, the text is NOTHING and the artifact holds the file ABSENT:
pipeline/kubeflow/entrypoint.py then drops that input, as TFX does with an empty channel.

    data-version         fingerprint of the data set     -> a parameter of example-gen
                         (the first task: it also sees whether work and releases can be written)
    baseline-version     which release to compare with   -> baseline             -> its model
    previous-version     which statistics passed before  -> previous-statistics  -> the statistics
    passed-statistics    keeps this run's, once validation-gate let them pass

Plain functions on folders; TFX, which takes many seconds to import, is not needed here.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from data import files
from data.celeba.layouts import IMAGE_SUFFIXES, find_layout, is_part
from data.celeba.spans import newest_spans
from data.errors import ConfigError, ReleaseError, ResourceError
from data.releases import checksums, release

logger = logging.getLogger("genq.lookup")

NOTHING: Final = "none"
ABSENT: Final = "ABSENT"
FOUND: Final = "found"
"""The parameter that connects the two nodes of a lookup."""
RELEASE_PROPERTY: Final = "release"
LET_THROUGH: Final = "let_through"
"""As components.evaluation.state names it; importing that is not needed for one word."""
SERVING_MODEL: Final = "Format-Serving"
"""Where TFX has a Model artifact's SavedModel (tfx.utils.path_utils)."""


@dataclass(frozen=True)
class Task:
    """What a container was given, and its answer.

    Attributes:
      inputs: name -> folder.
      outputs: name -> folder, which is there and empty.
      parameters: as KFP hands them over.
      answers: output parameters, by name; to be filled in.
      metadata: output -> properties; to be filled in.
    """

    inputs: dict[str, Path]
    outputs: dict[str, Path]
    parameters: dict[str, Any]
    answers: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)


def data_version(task: Task) -> None:
    """Answers with a fingerprint of the data set that will be read.

    Raises:
      ConfigError: if a later task could not write what it makes.
      DataError: if there is no data set.
    """
    parameters = task.parameters
    check_writable(Path(parameters["workdir"]), "workdir")
    check_writable(Path(parameters["serving_dir"]), "release.serving_dir")
    task.answers[FOUND] = version_of(parameters["data_root"], int(parameters.get("window", 1)))


def check_writable(folder: Path, setting: str) -> None:
    """Makes a folder, writes into it and renames, as trainer and pusher will.

    Raises:
      ConfigError: if that is refused, as on a claim that belongs to root.
      ResourceError: if the volume is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = Path(tempfile.mkdtemp(prefix=".genq-probe-", dir=folder))
        try:
            (probe / "file").write_text("written")
            (probe / "file").rename(probe / "renamed")
        finally:
            shutil.rmtree(probe)
    except OSError as error:
        why = error.strerror or type(error).__name__
        if error.errno == errno.ENOSPC:
            raise ResourceError(f"{folder}: {why}.", "Give the volume more space.") from error
        raise ConfigError(
            f"{folder} ({setting}) cannot be written by this container, which runs as uid "
            f"{os.geteuid()}: {why}{_owner(folder)}.",
            f"Give it to that user once: `chown -R {os.geteuid()} {folder}` in a pod that runs as "
            "root and mounts the claim; deploy/kubernetes/kubeflow-claim.yaml has one. A volume "
            "that is mounted read-only has to be mounted otherwise.",
        ) from error


def _owner(folder: Path) -> str:
    """Returns to whom a folder belongs, or what of its path there is."""
    for there in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            status = there.stat()
            kind = stat.filemode(status.st_mode)
            return f"; {there} belongs to uid {status.st_uid} ({kind})"
    return ""


def version_of(data_root: str, window: int = 1) -> str:
    """Returns the newest span's number, where there are spans, and a fingerprint of the window.

    Raises:
      DataError: if there is no data set.
    """
    spans = newest_spans(data_root, window)
    number = "" if spans[-1].number is None else f"span-{spans[-1].number}-"
    digests = [fingerprint(span.root) for span in spans]
    if len(digests) > 1:
        digests = [hashlib.sha256(" ".join(digests).encode()).hexdigest()[:16]]
    version = f"{number}{digests[0]}"
    logger.info("The data in %s are %s.", ", ".join(span.root for span in spans), version)
    return version


def fingerprint(root: str) -> str:
    """Returns 16 hex digits over the annotations' content and each image file's name, size, time.

    Raises:
      DataError: if there is no data set.
    """
    layout = find_layout(root)
    digest = hashlib.sha256(layout.name.encode())
    for path in layout.annotation_files:
        digest.update(f"{Path(path).name}\0".encode())
        digest.update(hashlib.sha256(files.read_bytes(path)).digest())
    if layout.images_kind == "zip":
        status = Path(layout.images).stat()
        digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    else:
        kind = layout.images_kind
        with os.scandir(layout.images) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                image = entry.name.lower().endswith(IMAGE_SUFFIXES)
                if image if kind == "folder" else is_part(entry.name, kind):
                    status = entry.stat()
                    line = f"{entry.name} {status.st_size} {status.st_mtime_ns}\n"
                    digest.update(line.encode())
    return digest.hexdigest()[:16]


def baseline_version(task: Task) -> None:
    """Answers with the version of the release that the candidate is compared with, or NOTHING."""
    models = Path(task.parameters["serving_dir"]) / task.parameters["model_name"]
    found = choose_release(models, task.inputs["model"] / SERVING_MODEL)
    logger.info("Baseline: %s.", f"release {found}" if found else "none; this is the first")
    task.answers[FOUND] = str(found) if found else NOTHING


def choose_release(model_dir: Path, candidate: Path) -> int | None:
    """Returns the pinned release, else the newest sound one, older than the candidate's own.

    A rerun of a model that was released already is compared with what it was compared with then,
    never with itself. A release that only a setting let through is no baseline, unless somebody
    pinned it.

    Args:
      model_dir: of the releases.
      candidate: folder of the SavedModel.
    """
    older: list[int] = []
    names = {p.relative_to(candidate).as_posix() for p in candidate.rglob("*") if p.is_file()}
    own = {name: checksums.sha256(candidate / name) for name in names}
    for version in release.versions(model_dir):
        sums = checksums.read_sums(model_dir / str(version))
        if "saved_model.pb" in own and own == {n: d for n, d in sums.items() if n in names}:
            break
        older.append(version)
    pinned = release.pinned_version(model_dir)
    if pinned in older:
        return pinned
    sound = [v for v in older if release.read_release(model_dir / str(v)).state != LET_THROUGH]
    return max(sound, default=None)


def baseline(task: Task) -> None:
    """Hands over a release's SavedModel, whose checksums are verified.

    Raises:
      ReleaseError: if the release is missing or damaged.
    """
    out = task.outputs["model"]
    version = task.parameters[FOUND]
    if version == NOTHING:
        absent(out, "There is no release yet.")
        return
    source = Path(task.parameters["serving_dir"]) / task.parameters["model_name"] / version
    top = ("saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra")
    names = [name for name in checksums.read_sums(source) if name.split("/")[0] in top]
    if faults := checksums.problems(source, only=names):
        raise ReleaseError(
            f"Release {version}, the baseline, is damaged: {'; '.join(faults)}.",
            "Remove it, or pin another one: `genq releases promote`.",
        )
    for name in names:
        target = out / SERVING_MODEL / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target)
    task.metadata["model"] = {RELEASE_PROPERTY: version}
    logger.info("The candidate is compared with release %s.", version)


def previous_version(task: Task) -> None:
    """Answers with the newest kept statistics that are not these, or NOTHING."""
    history = Path(task.parameters["history_dir"])
    found = version_before(task.inputs["statistics"], history)
    task.answers[FOUND] = found or NOTHING


def passed_statistics(task: Task) -> None:
    """Keeps the statistics, outside the artifact store; runs only after the gate let them pass.

    Data that were refused are no reference: else a drift that stays would be refused once.
    """
    keep(task.inputs["statistics"], Path(task.parameters["history_dir"]))


def version_before(current: Path, history: Path) -> str | None:
    """Returns the history's last entry; if that has the same content, the one before it."""
    entries = _entries(history)
    if entries and entries[-1].endswith(f"-{_digest(current)}"):
        entries.pop()
    return entries[-1] if entries else None


def keep(current: Path, history: Path) -> None:
    """Adds a folder to the history, if its content is another than the last one's."""
    name, entries = _digest(current), _entries(history)
    if entries and entries[-1].endswith(f"-{name}"):
        return
    history.mkdir(parents=True, exist_ok=True)
    staged = history / f".{name}"
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(current, staged)
    number = int(entries[-1].split("-")[0]) + 1 if entries else 1
    staged.rename(history / f"{number:06d}-{name}")


def _entries(history: Path) -> list[str]:
    """Returns the history's folders, oldest first."""
    if not history.is_dir():
        return []
    return sorted(p.name for p in history.iterdir() if p.name[:1].isdigit())


def _digest(folder: Path) -> str:
    """Returns 16 hex digits over names and content of the files."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def previous_statistics(task: Task) -> None:
    """Hands over the statistics of the data before."""
    out = task.outputs["previous"]
    if task.parameters[FOUND] == NOTHING:
        absent(out, "There are no earlier statistics.")
        return
    source = Path(task.parameters["history_dir"]) / task.parameters[FOUND]
    shutil.copytree(source, out, dirs_exist_ok=True)
    splits = sorted(p.name.removeprefix("Split-") for p in source.glob("Split-*"))
    task.metadata["previous"] = {"split_names": json.dumps(splits)}


def absent(folder: Path, why: str) -> None:
    """Marks an artifact as absent."""
    (folder / ABSENT).write_text(f"{why}\n")


def is_absent(folder: Path) -> bool:
    """Returns whether a lookup found nothing."""
    return (folder / ABSENT).is_file()
