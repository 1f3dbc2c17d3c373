"""What a release is on disk, and how readers find the one to use.

In: the directory of a model's releases, `<serving_dir>/<model_name>/`. Out: `Release` (what
`release.json` says), and paths. Imports no TensorFlow: serving and the command line read releases
through this module and `data/releases/checksums.py`, `components/release_pusher` writes them.

    <model_dir>/
      1764000000/            one immutable directory a version; the name is its time of creation in
        saved_model.pb       unix seconds, always larger than every earlier one, never reused
        variables/  …
        model.onnx  model.int8.onnx
        release.json  model_card.html  report/  manifest/
        SHA256SUMS           of every other file; `sha256sum -c SHA256SUMS` reads it
      config.pbtxt           Triton's
      CURRENT                optional: pins the version that readers use
      .staging/  .lock …     the pusher's own; names that are no number are no releases

Readers use the newest version, unless `CURRENT` (one line of text: a version) pins another. It is
replaced by one rename, so that a reader sees the old pin or the new one and nothing between.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from data import contract
from data.errors import ReleaseError

RELEASE_JSON: Final = "release.json"
CURRENT: Final = "CURRENT"
STAGING: Final = ".staging"
"""Where releases are written before they are seen; the pusher clears what killed processes left."""
SCHEMA_VERSION: Final = 1

VariantName = Literal["saved_model", "float32", "float16", "int8"]
ONNX_FILES: Final[dict[VariantName, str]] = {
    "float32": "model.onnx",
    "float16": "model.float16.onnx",
    "int8": "model.int8.onnx",
}
"""Variant -> its file in a release. `model.onnx` is the name that Triton looks for."""


class _Model(BaseModel):
    # Fields that a later minor version adds do not stop an older reader.
    model_config = ConfigDict(frozen=True, extra="ignore")


class ImageGeometry(_Model):
    """What the model was trained on: CelebA's aligned crop. Points are (x, y) in pixels."""

    height_px: int = contract.IMAGE_HEIGHT_PX
    width_px: int = contract.IMAGE_WIDTH_PX
    left_eye_xy_px: tuple[float, float] = contract.LEFT_EYE_XY_PX
    right_eye_xy_px: tuple[float, float] = contract.RIGHT_EYE_XY_PX


class Variant(_Model):
    """One form of the model.

    Attributes:
      file: path below the release's directory; for the SavedModel, of its `saved_model.pb`.
      bytes: size of the file; for the SavedModel, of all its files.
      sha256: of the file; for the SavedModel, of the lines of SHA256SUMS that name its files.
    """

    name: VariantName
    file: str
    bytes: int
    sha256: str


class Metric(_Model):
    """A measured value; the 95 % interval and the number of examples where they are known."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


class SliceMetrics(_Model):
    """Accuracy on one slice of `test`, e.g. "Young=1, Male=0"."""

    name: str
    accuracy: Metric


class Metrics(_Model):
    """Measured on `test`: overall by name ("accuracy", "auc"), and accuracy by slice."""

    overall: dict[str, Metric] = {}
    slices: tuple[SliceMetrics, ...] = ()


class Calibration(_Model):
    """p_positive = sigmoid(logit / temperature); uncertain within uncertain_below of 0.5."""

    temperature: float
    uncertain_below: float


class Statistic(_Model):
    """Mean and standard deviation of an image property over the training images, 0 to 255."""

    mean: float
    std_dev: float
    n: int


class Sample(_Model):
    """Which images the model was made of.

    Attributes:
      manifest_sha256: of `manifest/manifest.csv`.
      counts: split -> group (e.g. "Male=1") -> images.
    """

    manifest_sha256: str
    counts: dict[str, dict[str, int]]
    seed: int


class Signature(_Model):
    """Tensor name -> "dtype (shape)", e.g. "uint8 (batch, height, width, 3)"."""

    inputs: dict[str, str]
    outputs: dict[str, str]


class Release(_Model):
    """What `release.json` says.

    Attributes:
      version: also the directory's name: unix seconds, strictly increasing.
      created: ISO 8601, UTC.
      label_attribute: the attribute of CelebA that was learnt.
      labels: names of its values 0 and 1.
      synthetic: whether it was learnt from genq's drawn faces only.
      left_out: variants that were asked for and failed: name -> why.
      state: what the judgement of the model came to: "blessed", "warned" or "let_through" (not
        sound, and a setting let it through); "" where an earlier version published it.
      unit: what the intervals of `metrics` take as independent: "people" or "images"; or "".
      thresholds: what the evaluation demanded, by name, as far as it is known.
      statistics: "brightness", "sharpness" of the training images; empty where not measured.
      data_fingerprint: SHA-256 over the hashes of the data set's annotation files.
      code_version: git commit (with "+changes" where the tree had some) or distribution version.
      pipeline_run: id of the run in ML Metadata.
      parent: version of the release before this one, or None.
      provenance: what `genq releases reproduce` needs, e.g. "config" (JSON of the run's
        configuration) and "requirements_lock_sha256".
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    model_name: str
    version: int
    created: str
    label_attribute: str = contract.MALE
    labels: tuple[str, str] = contract.Label().names
    synthetic: bool = False
    image: ImageGeometry = ImageGeometry()
    variants: tuple[Variant, ...]
    left_out: dict[str, str] = {}
    signatures: dict[str, Signature] = {}
    calibration: Calibration | None = None
    metrics: Metrics = Metrics()
    state: str = ""
    unit: str = ""
    thresholds: dict[str, float] = {}
    statistics: dict[str, Statistic] = {}
    sample: Sample | None = None
    data_fingerprint: str | None = None
    code_version: str | None = None
    pipeline_run: str | None = None
    parent: int | None = None
    licence: str
    notice: str
    provenance: dict[str, str] = {}

    @property
    def label(self) -> contract.Label:
        """What is learnt."""
        return contract.Label(self.label_attribute, *self.labels)

    def variant(self, name: VariantName) -> Variant:
        """Returns the variant of that name.

        Raises:
          ReleaseError: if the release has none; says which it has.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        why = f" It was left out: {self.left_out[name]}" if name in self.left_out else ""
        raise ReleaseError(
            f"Release {self.version} of {self.model_name} has no variant {name!r}.{why}",
            f"It has {', '.join(v.name for v in self.variants)}.",
        )


def versions(model_dir: Path) -> list[int]:
    """Returns the published versions, oldest first; empty where there is no such directory.

    Raises:
      ReleaseError: if the directory cannot be read.
    """
    try:
        names = [entry.name for entry in os.scandir(model_dir) if entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ReleaseError(
            f"{model_dir} cannot be read: {error.strerror}.",
            "Name the directory of a model's releases, and give this user the right to read it.",
        ) from error
    # As TensorFlow Serving and Triton: directories named by a number without leading zeros.
    return sorted(int(name) for name in names if re.fullmatch(r"[1-9]\d*", name, re.ASCII))


def find_model_dir(path: Path) -> Path:
    """Returns `path`, or the one directory below it that holds releases.

    Raises:
      ReleaseError: if several models are there.
    """
    if versions(path) or not path.is_dir():
        return path
    models = [child for child in sorted(path.iterdir()) if child.is_dir() and versions(child)]
    if len(models) > 1:
        raise ReleaseError(
            f"{path} holds several models: {', '.join(m.name for m in models)}.",
            "Name one of them: --model-dir DIR, GENQ_MODEL_DIR, or `genq serve DIR`.",
        )
    return models[0] if models else path


def read_release(release_dir: Path) -> Release:
    """Reads a release's `release.json`; verifies no checksums.

    Raises:
      ReleaseError: if it is missing, damaged, of a schema this code does not know, or of another
        version than the directory.
    """
    path = release_dir / RELEASE_JSON
    try:
        release = Release.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ReleaseError(
            f"{path} cannot be read: {error.strerror}.",
            f"A release is a directory with {RELEASE_JSON}; `genq releases list` shows them.",
        ) from error
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(str(part) for part in e['loc']) or 'file'}: {e['msg']}"
            for e in error.errors()
        )
        raise ReleaseError(
            f"{path} is not what schema version {SCHEMA_VERSION} says: {found}.",
            "If a newer genq wrote it, update; otherwise the file is damaged: push again.",
        ) from error
    if release_dir.resolve().name != str(release.version):
        raise ReleaseError(
            f"{path} says version {release.version}, but its directory is named "
            f"{release_dir.resolve().name}.",
            "Releases are immutable: give the directory back its name.",
        )
    return release


def pinned_version(model_dir: Path) -> int | None:
    """Returns the version that CURRENT names, or None where nothing is pinned.

    Raises:
      ReleaseError: if CURRENT does not hold a version.
    """
    path = model_dir / CURRENT
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(f"{path} cannot be read: {error}.") from error
    if not re.fullmatch(r"[1-9]\d*", text, re.ASCII):
        raise ReleaseError(
            f"{path} holds {text[:40]!r}; expected a version.",
            "Pin again: `genq releases promote VERSION`.",
        )
    return int(text)


def current_release(model_dir: Path) -> Path:
    """Returns the directory of the release that readers use: the pinned one, else the newest.

    Raises:
      ReleaseError: if there is no release, or the pinned one is missing.
    """
    published = versions(model_dir)
    pinned = pinned_version(model_dir)
    if pinned is not None and pinned not in published:
        raise ReleaseError(
            f"{model_dir / CURRENT} pins version {pinned}, which is not there.",
            f"Published: {', '.join(map(str, published)) or 'none'}. Pin one of them, or follow "
            "the newest: `genq releases promote latest`.",
        )
    if not published:
        raise ReleaseError(
            f"{model_dir} holds no release.", "Publish one: `genq run`, or name another directory."
        )
    return model_dir / str(pinned or published[-1])


def pin(model_dir: Path, version: int | None) -> None:
    """Makes readers use `version`; None makes them follow the newest. One rename.

    Raises:
      ReleaseError: if there is no such release, or the directory cannot be written.
    """
    path = model_dir / CURRENT
    try:
        if version is None:
            path.unlink(missing_ok=True)
        else:
            read_release(model_dir / str(version))
            write_atomically(path, f"{version}\n".encode())
        sync(model_dir)
    except OSError as error:
        raise ReleaseError(
            f"{path} cannot be written: {error.strerror}.", "The pin is as it was before."
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file by one rename; synced, so that a power cut leaves the old or the new.

    Raises:
      OSError: if it cannot be written; the old file is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Makes a file, or a directory's entries, durable (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
