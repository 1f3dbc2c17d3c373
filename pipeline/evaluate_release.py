"""`genq evaluate`: any labelled set, scored with a release, under the same metrics and report.

In: a release, a folder of images, a CSV of labels. Out: the files of an evaluation report. The
images are aligned as CelebA's, or photos as people take them: then the application's detector cuts
the faces out; a photo in which it finds none, and a file that is no photo, is counted and listed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from components.evaluation.checks import Check, reason, sentence
from components.evaluation.config import EvaluationConfig, Kind, default_slices
from components.evaluation.metrics import METRICS, Measured, SliceMetrics
from components.evaluation_report import render
from components.evaluation_report.artifacts import REPORT
from components.evaluation_report.content import Sources, gather
from components.evaluation_report.provenance import of_own
from components.fairness_gate import VERDICT, as_json, judge
from components.predictions import table
from components.predictions.scoring import BATCH_SIZE, ScoredModel, add_detector_answers
from data import contract
from data.celeba.groups import encode, find_groups
from data.celeba.images import check_jpeg, quality
from data.celeba.labels import read_labels as read_table
from data.celeba.own_photos import LEFT_OUT
from data.errors import AnnotationError, DataError, ImageError
from data.faces.crops import detector_crop
from data.faces.detector import FaceDetector
from data.releases.checksums import verify
from data.releases.release import read_release
from data.several import by_problem
from data.synthetic.config import STAMP

logger = logging.getLogger("genq.evaluate")

SPLIT: Final = "external"
CROPS: Final = "crops"
WHY: Final = "why"
"""Why a row was not scored; only of such rows."""
FACELESS: Final = "no face was found"

SHOWN: Final = ("accuracy", "balanced_accuracy", "auc", "calibration_error", "abstention")
"""Metrics that the terminal shows, beside the error among the answers given."""


@dataclass(frozen=True)
class Evaluated:
    """What came of it.

    Attributes:
      page: the report.
      overall: figures over all images that were scored.
      confidence: of their intervals.
      images: lines of the CSV; more than were scored where photos show no face.
      left_out: (photo, why) of the others; also in left_out.csv, if they are photos.
      listed: that file; None where no faces were looked for.
      checks: what a model of the pipeline must fulfil, and what came out here; it binds nobody.
    """

    page: Path
    overall: SliceMetrics
    confidence: float
    images: int
    checks: tuple[Check, ...]
    left_out: tuple[tuple[str, str], ...]
    listed: Path | None

    def lines(self) -> list[str]:
        """Returns the figures as a person reads them, the page last."""
        of = self.overall
        lines = []
        if self.listed is not None:
            others = f"; the others are in {self.listed}:" if self.left_out else "."
            lines.append(f"{of.n:,} of {self.images:,} photos were scored{others}")
            lines += [f"  {line}" for line in by_problem(self.left_out)]
        people = "people unknown: intervals take images as independent"
        if of.people is not None:
            people = f"{of.people:,} people, the unit of the intervals"
        lines.append(f"{of.n:,} images ({people}); {self.confidence:.0%} intervals:")
        rows = [(METRICS[name], of.metrics[name]) for name in SHOWN if name in of.metrics]
        if given := of.metrics.get("accuracy_when_certain"):
            error = Measured(1 - given.value, 1 - given.high, 1 - given.low, given.n)
            rows.append(("Error among the answers given", error))
        width = max(len(name) for name, _ in rows)
        lines += [
            f"  {name:<{width}}  {m.value:.3f}  ({m.low:.3f} to {m.high:.3f})  n {m.n:,}"
            for name, m in rows
        ]
        told = [sentence(self.checks), reason(self.checks)]
        return [*lines, *filter(None, told), f"Report: {self.page}"]


def evaluate_release(
    release_dir: Path, photos: Path, labels: Path, out: Path, kind: Kind = Kind.ALIGNED
) -> Evaluated:
    """Scores a labelled set and writes its report; returns the page and its main figures.

    Args:
      release_dir: of a release; its checksums are verified.
      photos: holds the images; 178x218 JPEG unless they are PHOTOS.
      labels: CSV with the columns image_id and Male (or what else the release was taught), any
        other attributes, 0 or 1 (or -1, 1), and further columns, such as race, to slice by; also
        `identity`, a number that people share with no one else: then people are the unit of all
        intervals, and images without it stand alone.
      out: gets report.html, model_card.*, metrics.json and predictions/; for PHOTOS also crops/
        with the faces and left_out.csv with what is no photo or shows none.
      kind: what the images are.

    Raises:
      ReleaseError: if the release is damaged.
      DataError: if labels or images are not what they should be, or no photo is left; no report is
        written then.
    """
    verify(release_dir)
    release = read_release(release_dir)
    annotated, notes = read_labels(labels, release.label_attribute)
    for note in notes:
        logger.warning("%s", note)
    scored = list(score(release_dir, photos, annotated, kind, out / CROPS, release.label_attribute))
    rows = [row for row in scored if row[contract.P_POSITIVE] is not None]
    left_out = tuple((row[contract.IMAGE_ID], row[WHY]) for row in scored if WHY in row)
    if not rows:
        raise DataError(
            f"{photos}: not one of {len(scored):,} photos shows a face that can be used.\n"
            + "\n".join(by_problem(left_out)),
            "Give photos in which a face is at least 20 pixels wide, or --kind aligned for crops.",
        )
    folder = out / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.SCHEMA), folder / table.PREDICTIONS)
    (folder / table.SCORING).write_text(json.dumps({"detector_crops": kind is Kind.BOTH}) + "\n")
    config = EvaluationConfig(slices=default_slices(release.label_attribute))
    found = table.load(folder).split(SPLIT)
    verdict = judge(found, found[table.FINGERPRINT_SCHEMA.names], config, release.label)
    (out / VERDICT).write_text(as_json(verdict, config, evaluator_blessed=True, split=SPLIT))
    title = f"{release.model_name} {release.version} on {photos.name}"
    if kind is Kind.PHOTOS:
        pd.DataFrame(left_out, columns=["photo", "why"]).to_csv(out / LEFT_OUT, index=False)
        faceless = sum(why == FACELESS for _, why in left_out)
        title += f": {len(rows)} of {len(scored)} photos, no face found in {faceless}"
        if len(left_out) > faceless:
            title += f", {len(left_out) - faceless} not readable"
    command = (
        *("genq", "evaluate", "--model-dir", release_dir.parent, "--version", release_dir.name),
        *("--photos", photos, "--labels", labels),
    )
    sources = Sources(
        predictions=folder,
        verdict=out,
        photos=out / CROPS if kind is Kind.PHOTOS else photos,
        split=SPLIT,
        label=release.label,
        provenance=of_own(
            photos.name,
            labels.name,
            release.label,
            drawn=_drawn(photos),
            model_drawn=release.synthetic,
        ),
        model=f"{release.model_name}, release {release.version}",
        title=title,
        run=release.pipeline_run or "",
        lineage=(
            ("release", f"{release.model_name} {release.version}", str(release_dir)),
            ("labels", hashlib.sha256(labels.read_bytes()).hexdigest()[:16], str(labels)),
        ),
        reproduce=(shlex.join(map(str, (*command, "--kind", kind))),),
    )
    content = gather(sources, config)
    render.write(content, out)
    return Evaluated(
        page=out / REPORT,
        overall=content.overall,
        confidence=config.confidence,
        images=len(scored),
        checks=content.checks,
        left_out=left_out,
        listed=out / LEFT_OUT if kind is Kind.PHOTOS else None,
    )


def _drawn(photos: Path) -> bool:
    """Returns whether genq's mark of drawn faces lies beside the images, or in a folder above."""
    place = photos.absolute()
    return any((each / STAMP).is_file() for each in (place, *place.parents[:2]))


def read_labels(path: Path, attribute: str = contract.MALE) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Reads the labels.

    Returns:
      table: image_id, the attributes that are there as 0 or 1, identity where it is there, and in
        `groups` what further columns say.
      notes: what was assumed, and which columns are not used.

    Raises:
      AnnotationError: names the column or the line that is wrong.
    """
    labels = read_table(path)
    if attribute not in labels.attributes:
        found = ", ".join([*labels.attributes, *labels.extra]) or "none"
        raise AnnotationError(
            f"{path}: there is no column {attribute!r}; found {found}.",
            f"The first line names the columns: image_id,{attribute} and any others.",
        )
    table = pd.DataFrame({contract.IMAGE_ID: labels.names, **labels.attributes})
    if labels.identity is not None:
        table[contract.IDENTITY] = labels.identity
    groups, free = find_groups(labels.extra)
    if groups:
        table[contract.GROUPS] = [encode(groups, row).decode() for row in range(len(table))]
    notes = labels.notes
    if free:
        notes = (*notes, f"{path}: columns are not used: {', '.join(map(repr, free))}.")
    return table, notes


def score(
    release_dir: Path,
    photos: Path,
    labels: pd.DataFrame,
    kind: Kind,
    crops: Path,
    attribute: str = contract.MALE,
) -> Iterator[dict[str, Any]]:
    """Yields one row of the table of predictions an image; one forward pass a face.

    Args:
      release_dir: of the release.
      photos: folder with the images.
      labels: of read_labels.
      kind: what the images are. Of PHOTOS that show no face, or are none, `p_positive` is None, and
        WHY says which.
      crops: folder that gets the faces cut out of PHOTOS.
      attribute: what the release was taught.

    Raises:
      ImageError: if an image is missing, or none, or no aligned crop where it has to be one.
    """
    model = ScoredModel(str(release_dir))
    detector = None if kind is Kind.ALIGNED else FaceDetector()
    for start in range(0, len(labels), BATCH_SIZE):
        records = labels.iloc[start : start + BATCH_SIZE].to_dict("records")
        rows = [_row(record, attribute) for record in records]
        paths = [photos / row[contract.IMAGE_ID] for row in rows]
        images = [read_photo(p) if kind is Kind.PHOTOS else read_image(p) for p in paths]
        if kind is Kind.PHOTOS:
            assert detector is not None
            found = _cut_out(rows, images, detector)
            answers = model.answer_crops(list(found.values())) if found else {}
            for number, crop in found.items():
                images[number] = _keep(crop, crops / rows[number][contract.IMAGE_ID])
            answered = list(found)
        else:
            answers = model.answer_images(images)
            answered = list(range(len(rows)))
        for position, number in enumerate(answered):
            brightness, sharpness = quality(images[number])
            rows[number] |= {
                contract.P_POSITIVE: float(answers[contract.P_POSITIVE][position]),
                contract.UNCERTAIN: bool(answers[contract.UNCERTAIN][position]),
                contract.BRIGHTNESS: brightness,
                contract.SHARPNESS: sharpness,
            }
        if kind is Kind.BOTH:
            assert detector is not None
            add_detector_answers(rows, images, model, detector)
        for row, image in zip(rows, images, strict=True):
            row[table.SHA256] = hashlib.sha256(image).hexdigest()
            row[contract.IMAGE_BYTES] = len(image)
        yield from rows


def _row(record: dict[Any, Any], attribute: str) -> dict[str, Any]:
    """Returns what the labels say of an image."""
    return {
        table.SPLIT: SPLIT,
        contract.IMAGE_ID: record[contract.IMAGE_ID],
        contract.LABEL: int(record[attribute]),
        contract.P_POSITIVE: None,
        contract.IDENTITY: _identity(record.get(contract.IDENTITY)),
        **{n: int(record[n]) for n in contract.ATTRIBUTES if n in record},
        **{n: record[n] for n in (contract.GROUPS,) if n in record},
    }


def _identity(value: Any) -> int | None:
    return None if value is None or pd.isna(value) else int(value)


def _cut_out(
    rows: Sequence[dict[str, Any]], photos: Sequence[bytes], detector: FaceDetector
) -> dict[int, NDArray[np.uint8]]:
    """Returns position -> crop, of the photos in which a face is found; the other rows gain WHY."""
    found = {}
    for number, (row, photo) in enumerate(zip(rows, photos, strict=True)):
        try:
            crop = detector_crop(photo, detector, photo=True)
        except ImageError as error:
            row[WHY] = error.problem
            continue
        if crop is None:
            row[WHY] = FACELESS
        else:
            found[number] = crop
    return found


def _keep(crop: NDArray[np.uint8], path: Path) -> bytes:
    """Writes a crop as JPEG, for the report's gallery; returns its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(crop).save(path, "JPEG", quality=95)
    return path.read_bytes()


def read_photo(path: Path) -> bytes:
    """Reads a photo of any format that Pillow knows.

    Raises:
      ImageError: if it is missing.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}.") from error


def read_image(path: Path) -> bytes:
    """Reads an aligned crop.

    Raises:
      ImageError: if it is missing, or not one.
    """
    encoded = read_photo(path)
    try:
        check_jpeg(encoded)
    except DataError as error:
        raise ImageError(
            f"{path}: {error.problem}.",
            "Give faces aligned as CelebA's crops, or say that they are photos: --kind photos.",
        ) from error
    return encoded
