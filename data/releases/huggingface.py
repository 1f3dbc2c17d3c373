"""A release as a repository of the Hugging Face Hub.

In: a release's directory. Out: a folder to push as it is: `README.md` (a model card with metadata),
the ONNX files, `config.json` and `preprocessor_config.json`, `LICENSE`, `release.json`. Nothing is
sent anywhere.

The ONNX models take pixels as they are (uint8, any size) and hold resizing and scaling themselves:
the preprocessor's configuration says that nothing is to be done but to align the face.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

import yaml

from data import contract
from data.errors import ReleaseError
from data.releases import checksums, release
from data.releases.release import ONNX_FILES, Release

README: Final = "README.md"
_OURS: Final = "release.json"
_SHOWN_METRICS: Final = ("accuracy", "balanced_accuracy", "auc", "fpr", "fnr", "calibration_error")
_ATTRIBUTES: Final = "*.onnx filter=lfs diff=lfs merge=lfs -text\n"
"""The Hub keeps large files in Git LFS; without this line it refuses a push of theirs."""


def export(release_dir: Path, folder: Path) -> list[Path]:
    """Writes the repository; returns its files.

    Args:
      release_dir: of the release; its checksums are verified.
      folder: new, empty, a clone of the Hub's repository, or of an earlier export.

    Raises:
      ReleaseError: if the release is damaged or has no ONNX model, or the folder holds other things
        or cannot be written.
    """
    info = release.read_release(release_dir)
    checksums.verify(release_dir)
    models = [file for file in ONNX_FILES.values() if (release_dir / file).is_file()]
    if not models:
        raise ReleaseError(
            f"Release {info.version} of {info.model_name} holds no ONNX model.",
            "Publish one that does: export.variants.",
        )
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if there and not there & {".git", _OURS}:
        raise ReleaseError(
            f"{folder} is not empty, and neither a clone of a repository nor an earlier export.",
            "Name a new folder, or a clone of the Hub's repository.",
        )
    card = release_dir / "model_card.md"
    texts = {
        README: readme(info, card.read_text() if card.is_file() else "", models),
        "config.json": _json(config(info)),
        "preprocessor_config.json": _json(preprocessor(info)),
        "LICENSE": f"{info.licence}\n\n{info.notice}\n",
        ".gitattributes": _ATTRIBUTES,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in there & set(ONNX_FILES.values()) - set(models):
            (folder / stale).unlink()  # a variant that this release does not have
        for name, text in texts.items():
            (folder / name).write_text(text)
        for name in (*models, _OURS):
            # As content only: a release's files are read-only.
            shutil.copyfile(release_dir / name, folder / name)
    except OSError as error:
        raise ReleaseError(
            f"{folder}: cannot be written: {error.strerror or error}.",
            "Name a folder that this user may write, with room for the models.",
        ) from error
    return [folder / name for name in (*texts, *models, _OURS)]


def metadata(info: Release) -> dict[str, Any]:
    """Returns the model card's metadata, as the Hub's specification of model cards names it."""
    results = [
        {"type": kind, "name": name, "value": round(info.metrics.overall[name].value, 4)}
        for name in _SHOWN_METRICS
        if name in info.metrics.overall
        for kind in [{"auc": "roc_auc"}.get(name, name)]
    ]
    data = (
        {"type": "genq-synthetic", "name": "genq's drawn faces", "split": "test"}
        if info.synthetic
        else {"type": "celeba", "name": "CelebA, or data in its format", "split": "test"}
    )
    found: dict[str, Any] = {
        "license": "apache-2.0" if info.synthetic else "other",
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "tags": ["onnx", "face-attributes", "celeba", "genq"],
    }
    if not info.synthetic:
        found |= {"license_name": "celeba-non-commercial-research", "license_link": "LICENSE"}
    if results:
        task = {"type": "image-classification", "name": "appearance of an aligned face"}
        result = {"task": task, "dataset": data, "metrics": results}
        found["model-index"] = [{"name": info.model_name, "results": [result]}]
    return found


def config(info: Release) -> dict[str, Any]:
    """Returns what config.json says: the labels, and what enters and leaves."""
    return {
        "model_type": "genq-inceptionv3",
        "num_labels": len(info.labels),
        "id2label": {str(i): name for i, name in enumerate(info.labels)},
        "label2id": {name: i for i, name in enumerate(info.labels)},
        "inputs": {contract.IMAGE: "uint8 (batch, height, width, 3), RGB, 0 to 255"},
        "outputs": {
            contract.P_POSITIVE: f"float32 (batch,): probability of {info.labels[1]!r}",
            contract.LABEL: "int64 (batch,)",
            contract.UNCERTAIN: "bool (batch,): the model abstains",
        },
    }


def preprocessor(info: Release) -> dict[str, Any]:
    """Returns what preprocessor_config.json says: align the face; the model does the rest."""
    image = info.image
    return {
        "do_convert_rgb": True,
        "do_resize": False,
        "do_rescale": False,
        "do_normalize": False,
        "input_data_format": "channels_last",
        "data_format": "channels_last",
        "size": {"height": image.height_px, "width": image.width_px},
        "left_eye_xy": list(image.left_eye_xy_px),
        "right_eye_xy": list(image.right_eye_xy_px),
    }


def readme(info: Release, card: str, models: list[str]) -> str:
    """Returns the model card: metadata, limits, use, and what the release's own card says.

    Args:
      info: of the release.
      card: its model_card.md, or "".
      models: the ONNX files.
    """
    front = yaml.safe_dump(metadata(info), sort_keys=False, allow_unicode=True)
    image = info.image
    drawn = (
        "\n**Trained on drawn faces only**, to show how genq works. Do not rely on its answers "
        "about photos.\n"
        if info.synthetic
        else ""
    )
    negative, positive = info.labels
    size = f"{image.width_px} x {image.height_px} px"
    eyes = f"{image.left_eye_xy_px} and {image.right_eye_xy_px}"
    outputs = json.dumps([contract.P_POSITIVE, contract.LABEL, contract.UNCERTAIN])
    return f"""---
{front}---

# {info.model_name}, release {info.version}

Says whether a face looks "{negative}" or "{positive}" to annotators (CelebA's attribute
`{info.label_attribute}`). Made by genq.
{drawn}
## Limits of use

**Appearance is not identity.** {info.notice}

- Do not decide anything about a person by it: access, employment, advertising, surveillance,
  statistics on people who did not agree.
- Do not infer sex or gender identity. Where `uncertain` is true there is no answer.
- Licence: {info.licence}

## Use

The models take pixels (uint8, RGB) and hold resizing and scaling. They were trained on faces
aligned as CelebA's crops are: {size}, eyes at {eyes}.

```python
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("{models[0]}")
face = np.asarray(Image.open("face.jpg").convert("RGB"))[None]  # (1, height, width, 3)
p_positive, label, uncertain = session.run({outputs}, {{"{contract.IMAGE}": face}})
print("uncertain" if uncertain[0] else {list(info.labels)}[label[0]], p_positive[0])
```

Files: {", ".join(f"`{m}`" for m in models)}; `release.json` has every figure with its interval,
by group as well.
{_demoted(card)}"""


def _demoted(card: str) -> str:
    """Returns a text with its headings one level lower, so that the README has one title."""
    lines = [f"#{line}" if line.startswith("#") else line for line in card.splitlines()]
    return "\n".join(["", *lines, ""]) if lines else ""


def _json(tree: dict[str, Any]) -> str:
    return json.dumps(tree, indent=2) + "\n"
