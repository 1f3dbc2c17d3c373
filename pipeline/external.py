"""`genq evaluate`: any labelled set, scored with a release, under the same metrics and report.

In: a release, a folder of aligned faces, a CSV of labels. Out: the files of an evaluation report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from components.evaluation.config import EvaluationConfig
from components.evaluation_report import render
from components.evaluation_report.artifacts import REPORT
from components.evaluation_report.content import Sources, gather
from components.fairness_gate import VERDICT, as_json, judge
from components.predictions import table
from components.predictions.scoring import BATCH_SIZE
from data import contract
from data.errors import AnnotationError, DataError, ImageError
from data.images import check_jpeg, quality
from data.release import read_release, verify

SPLIT: Final = "external"


def evaluate_release(release_dir: Path, photos: Path, labels: Path, out: Path) -> Path:
    """Scores a labelled set and writes its report; returns the page.

    Args:
      release_dir: of a release; its checksums are verified.
      photos: holds the images, aligned as CelebA's crops (178x218 JPEG).
      labels: CSV with the columns image_id and Male, and any other attributes, 0 or 1 (or -1, 1).
      out: gets report.html, model_card.*, metrics.json and predictions/.

    Raises:
      ReleaseError: if the release is damaged.
      DataError: if labels or images are not what they should be; nothing is written then.
    """
    verify(release_dir)
    release = read_release(release_dir)
    annotated = read_labels(labels)
    rows = list(score(release_dir, photos, annotated))
    folder = out / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.SCHEMA), folder / table.PREDICTIONS)
    (folder / table.SCORING).write_text("{}\n")
    config = EvaluationConfig()
    found = table.load(folder).split(SPLIT)
    verdict = judge(found, found[table.FINGERPRINT_SCHEMA.names], config)
    (out / VERDICT).write_text(as_json(verdict, config, evaluator_blessed=True))
    sources = Sources(
        predictions=folder,
        verdict=out,
        photos=photos,
        split=SPLIT,
        title=f"{release.model_name} {release.version} on {photos.name}",
        run=release.pipeline_run or "",
        lineage=(
            ("release", f"{release.model_name} {release.version}", str(release_dir)),
            ("labels", hashlib.sha256(labels.read_bytes()).hexdigest()[:16], str(labels)),
        ),
        reproduce=(f"genq evaluate --release {release_dir} --photos {photos} --labels {labels}",),
    )
    render.write(gather(sources, config), out)
    return out / REPORT


def read_labels(path: Path) -> pd.DataFrame:
    """Reads the labels.

    Raises:
      AnnotationError: names the column or the first line that is wrong.
    """
    try:
        found = pd.read_csv(path, dtype={contract.IMAGE_ID: str})
    except (OSError, ValueError) as error:
        raise AnnotationError(f"{path}: cannot be read as CSV: {error}.") from error
    for needed in (contract.IMAGE_ID, contract.LABEL_ATTRIBUTE):
        if needed not in found:
            raise AnnotationError(
                f"{path}: there is no column {needed!r}; found {', '.join(map(str, found))}.",
                "The first line names the columns: image_id,Male and any other attributes.",
            )
    if found.empty:
        raise AnnotationError(f"{path}: there is no line but the first.")
    if found[contract.IMAGE_ID].duplicated().any():
        twice = found[contract.IMAGE_ID][found[contract.IMAGE_ID].duplicated()].iloc[0]
        raise AnnotationError(f"{path}: {twice} is there more than once.")
    for name in [n for n in contract.ATTRIBUTES if n in found]:
        bad = ~found[name].isin((-1, 0, 1))
        if bad.any():
            line = int(bad.to_numpy().argmax()) + 2
            raise AnnotationError(
                f"{path}:{line}: {name} is {found[name].iloc[line - 2]!r}; expected 0 or 1."
            )
        found[name] = (found[name] == 1).astype(int)
    return found


def score(release_dir: Path, photos: Path, labels: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yields one row of the table of predictions an image; one forward pass each.

    Raises:
      ImageError: if an image is missing or no aligned crop.
    """
    model = tf.saved_model.load(str(release_dir))
    signature = model.signatures[contract.SIGNATURE_ENCODED]
    for start in range(0, len(labels), BATCH_SIZE):
        batch = labels.iloc[start : start + BATCH_SIZE]
        images = [read_image(photos / name) for name in batch[contract.IMAGE_ID]]
        answers = signature(image_bytes=tf.constant(images))
        p_male = answers[contract.P_MALE].numpy()
        uncertain = answers[contract.UNCERTAIN].numpy()
        for i, record in enumerate(batch.to_dict("records")):
            brightness, sharpness = quality(images[i])
            yield {
                table.SPLIT: SPLIT,
                contract.IMAGE_ID: record[contract.IMAGE_ID],
                table.SHA256: hashlib.sha256(images[i]).hexdigest(),
                contract.LABEL: int(record[contract.LABEL_ATTRIBUTE]),
                contract.P_MALE: float(p_male[i]),
                contract.UNCERTAIN: bool(uncertain[i]),
                **{n: int(record[n]) for n in contract.ATTRIBUTES if n in record},
                contract.BRIGHTNESS: brightness,
                contract.SHARPNESS: sharpness,
                contract.IMAGE_BYTES: len(images[i]),
            }


def read_image(path: Path) -> bytes:
    """Reads an aligned crop.

    Raises:
      ImageError: if it is missing, or not one.
    """
    try:
        encoded = path.read_bytes()
        check_jpeg(encoded)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}.") from error
    except DataError as error:
        raise ImageError(
            f"{path}: {error.problem}.",
            "Give faces aligned as CelebA's crops: the model has seen no others.",
        ) from error
    return encoded
