"""People's own labelled photos as a copy of CelebA: faces found, turned upright, cut out.

In: a folder of photos, each of one person, and a CSV of labels. Out: a folder in the official
layout, which `genq run --data` reads. Attributes that the CSV does not name are 0 in every row:
"says nothing" (data/celeba/index.py).
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from data import contract
from data.celeba import layouts
from data.celeba.convert import aligned_jpeg
from data.celeba.labels import read_labels
from data.errors import AnnotationError, DataError, ImageError
from data.faces.crops import detector_crop
from data.faces.detector import FaceDetector
from data.several import by_problem, some

PARTITION: Final = "partition"
IDENTITY: Final = "identity"
LEFT_OUT: Final = "left_out.csv"
JPEG: Final = {"quality": 98, "subsampling": 0}
"""So that a model answers about the file as about the face in the photo: of 29 faces p differed by
0.008 at most; at 95 and with halved colours, Pillow's way, by 0.08."""
NOBODY_KNOWN: Final = (
    "The labels have neither identity nor partition: `genq run` will deal the photos out to train, "
    "val and test at random. Photos of one person may then be in two splits, and measured accuracy "
    "is higher than it will be on people the model has not seen. A column identity (a number or a "
    "name for each person) prevents that."
)


@dataclass(frozen=True)
class Row:
    """One line of the CSV.

    Attributes:
      name: file name of the photo.
      attributes: name -> 0 or 1.
      identity: number of the person, or None.
      partition: one of contract.SPLITS, or "".
      extra: further columns -> text.
    """

    name: str
    attributes: dict[str, int]
    identity: int | None
    partition: str
    extra: dict[str, str]


@dataclass(frozen=True)
class Imported:
    """What came of it.

    Attributes:
      root: the folder.
      images: faces written.
      left_out: (photo, why), also in left_out.csv.
      notes: what was assumed, and what the data lack.
    """

    root: Path
    images: int
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()


def import_photos(
    photos: Path,
    labels: Path,
    root: Path,
    *,
    aligned: bool = False,
    partial: bool = False,
    on_photo: Callable[[], None] = lambda: None,
) -> Imported:
    """Makes the folder.

    Args:
      photos: folder of the files that the CSV names.
      labels: CSV: image_id, one or more attributes (0 or 1; CelebA's -1 is taken for 0), and
        optionally identity (a number or a name), partition (train, val, test) and further columns.
      root: for the copy; must be empty or absent.
      aligned: they are 178x218 crops as CelebA's already: taken as they are.
      partial: leave out lines whose photo is not there; otherwise they are an error.
      on_photo: called after each photo that is there.

    Raises:
      AnnotationError: names the line and field of the CSV that is wrong.
      DataError: if `root` holds something, or no face was found at all.
      ImageError: if photos that the CSV names are not there.
    """
    if root.exists() and any(root.iterdir()):
        raise DataError(f"{root} is not empty.", "Name a new folder; nothing is written over.")
    rows, notes = read_csv(labels)
    if rows[0].identity is None and not rows[0].partition:
        notes = (*notes, NOBODY_KNOWN)
    left_out = [(r.name, "the photo is missing") for r in rows if not (photos / r.name).is_file()]
    missing = {name for name, _ in left_out}
    if missing and not (partial and len(missing) < len(rows)):
        raise ImageError(
            f"{labels} names {len(rows):,} photos, and {len(missing):,} of them are not in "
            f"{photos}: {some([name for name, _ in left_out])}.",
            "Give the folder that holds them, or leave their lines out: --partial.",
        )
    detector = None if aligned else FaceDetector()
    images = root / "Img" / layouts.IMAGES
    images.mkdir(parents=True)
    try:
        there = [row for row in rows if row.name not in missing]
        kept, faceless = _cut_out(there, photos, images, detector, on_photo)
        left_out += faceless
        if not kept:
            raise DataError(
                f"{photos}: not one of {len(there):,} photos shows a face that can be used.\n"
                + "\n".join(by_problem(left_out)),
                "Give photos in which a face is at least 20 pixels wide, or --aligned for crops.",
            )
        _write_annotations(root, kept)
        _write_csv(root / "names.csv", ("image_id", "photo"), [(n, r.name) for n, r in kept])
        _write_csv(root / LEFT_OUT, ("photo", "why"), left_out)
    except BaseException:
        shutil.rmtree(root)  # half a data set looks like a whole one
        raise
    return Imported(root, len(kept), tuple(left_out), notes)


def _cut_out(
    rows: Sequence[Row],
    photos: Path,
    images: Path,
    detector: FaceDetector | None,
    on_photo: Callable[[], None],
) -> tuple[list[tuple[str, Row]], list[tuple[str, str]]]:
    """Writes the faces; returns (name, row) of each, and (photo, why) of what was left out."""
    kept: list[tuple[str, Row]] = []
    left_out: list[tuple[str, str]] = []
    for row in rows:
        try:
            content = _face((photos / row.name).read_bytes(), detector)
        except ImageError as error:
            left_out.append((row.name, error.problem))
        except OSError as error:
            left_out.append((row.name, f"cannot be read: {error.strerror}"))
        else:
            # Plain numbers: CelebA's names, and nobody's in the file names of an artifact.
            name = f"{len(kept) + 1:06d}.jpg"
            (images / name).write_bytes(content)
            kept.append((name, row))
        on_photo()
    return kept, left_out


def read_csv(path: Path) -> tuple[list[Row], tuple[str, ...]]:
    """Reads the labels; returns them and what was assumed.

    Raises:
      AnnotationError: names the line and field that is wrong.
    """
    table = read_labels(path)
    if not table.attributes:
        raise AnnotationError(
            f"{path}:1: found no attribute; expected image_id, one or more of CelebA's attributes, "
            "and optionally identity, partition and further columns.",
            f"Attributes are {', '.join(contract.ATTRIBUTES)}. For one of your own take a free "
            "name, and say what it means by label.positive and label.negative.",
        )
    columns = {name: values.tolist() for name, values in table.attributes.items()}
    extra = {name: texts.tolist() for name, texts in table.extra.items()}
    rows = [
        Row(
            name,
            {attribute: int(values[i]) for attribute, values in columns.items()},
            None if table.identity is None else int(table.identity[i]),
            "" if table.partition is None else contract.SPLITS[int(table.partition[i])],
            {column: texts[i] for column, texts in extra.items()},
        )
        for i, name in enumerate(table.names)
    ]
    return rows, table.notes


def _face(photo: bytes, detector: FaceDetector | None) -> bytes:
    """Returns the crop as JPEG.

    Raises:
      ImageError: if there is none.
    """
    if detector is None:
        return aligned_jpeg(photo)
    crop = detector_crop(photo, detector, photo=True)
    if crop is None:
        raise ImageError("no face was found")
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(crop)).save(buffer, "JPEG", **JPEG)
    return buffer.getvalue()


def _write_annotations(root: Path, kept: Sequence[tuple[str, Row]]) -> None:
    first = kept[0][1]
    # Attributes that nobody labelled have no column: the data say nothing of them.
    header = (contract.IMAGE_ID, *first.attributes, *first.extra)
    rows = [
        (name, *(str(2 * value - 1) for value in row.attributes.values()), *row.extra.values())
        for name, row in kept
    ]
    (root / "Anno").mkdir(parents=True, exist_ok=True)
    _write_csv(root / "Anno" / f"{layouts.ATTRIBUTES}.csv", header, rows)
    if first.identity is not None:
        lines = [f"{name} {row.identity}" for name, row in kept]
        _write(root / "Anno" / f"{layouts.IDENTITY}.txt", lines)
    if first.partition:
        splits: list[str] = list(contract.SPLITS)
        lines = [f"{name} {splits.index(row.partition)}" for name, row in kept]
        _write(root / "Eval" / f"{layouts.PARTITION}.txt", lines)


def _write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
