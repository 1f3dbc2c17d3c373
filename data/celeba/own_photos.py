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
from data.celeba.images import check_jpeg
from data.errors import AnnotationError, DataError, ImageError
from data.faces.crops import detector_crop
from data.faces.detector import FaceDetector
from data.several import by_problem, some

PARTITION: Final = "partition"
IDENTITY: Final = "identity"
LEFT_OUT: Final = "left_out.csv"
JPEG_QUALITY: Final = 95


@dataclass(frozen=True)
class Row:
    """One line of the CSV.

    Attributes:
      name: file name of the photo.
      attributes: name -> 0 or 1.
      identity: number of the person, or None.
      partition: one of contract.SPLITS, or "".
    """

    name: str
    attributes: dict[str, int]
    identity: int | None
    partition: str


@dataclass(frozen=True)
class Imported:
    """What came of it.

    Attributes:
      root: the folder.
      images: faces written.
      left_out: (photo, why), also in left_out.csv.
    """

    root: Path
    images: int
    left_out: tuple[tuple[str, str], ...]


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
        optionally identity (a number) and partition (train, val, test).
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
    rows = read_csv(labels)
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
    kept: list[tuple[str, Row]] = []
    for row in [row for row in rows if row.name not in missing]:
        try:
            content = _face((photos / row.name).read_bytes(), detector)
        except ImageError as error:
            left_out.append((row.name, error.problem))
        else:
            # Plain numbers: CelebA's names, and nobody's in the file names of an artifact.
            name = f"{len(kept) + 1:06d}.jpg"
            (images / name).write_bytes(content)
            kept.append((name, row))
        on_photo()
    if not kept:
        shutil.rmtree(root)
        raise DataError(
            f"{photos}: not one of {len(rows) - len(missing):,} photos shows a face that can be "
            "used.\n" + "\n".join(by_problem(left_out)),
            "Give photos in which a face is at least 20 pixels wide, or --aligned for crops.",
        )
    _write_annotations(root, kept)
    _write_csv(root / "names.csv", ("image_id", "photo"), [(n, r.name) for n, r in kept])
    _write_csv(root / LEFT_OUT, ("photo", "why"), left_out)
    return Imported(root, len(kept), tuple(left_out))


def read_csv(path: Path) -> list[Row]:
    """Reads the labels.

    Raises:
      AnnotationError: names the line and field that is wrong.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header, lines = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeError, csv.Error) as error:
        raise AnnotationError(f"{path}: cannot be read as CSV: {error}.") from error
    known = [name for name in header if name in contract.ATTRIBUTES]
    strange = [n for n in header if n not in (*known, contract.IMAGE_ID, IDENTITY, PARTITION)]
    if contract.IMAGE_ID not in header or not known or strange:
        wrong = f"unknown column {strange[0]!r}" if strange else f"found {', '.join(header)}"
        raise AnnotationError(
            f"{path}:1: {wrong}; expected image_id, one or more of CelebA's attributes, and "
            "optionally identity and partition.",
            f"Attributes are {', '.join(contract.ATTRIBUTES)}. For one of your own take a free "
            "name, and say what it means by label.positive and label.negative.",
        )
    if not lines:
        raise AnnotationError(f"{path}: there is no line but the first.")
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=2):
        try:
            row = _row(line, known)
        except ValueError as error:
            raise AnnotationError(f"{path}:{number}: {error}.") from error
        if row.name in seen:
            raise AnnotationError(
                f"{path}:{number}: {row.name} is there already, in line {seen[row.name]}."
            )
        seen[row.name] = number
        rows.append(row)
    for column, missing in (
        (IDENTITY, [r.identity is None for r in rows]),
        (PARTITION, [not r.partition for r in rows]),
    ):
        if any(missing) and not all(missing):
            raise AnnotationError(
                f"{path}:{missing.index(True) + 2}: {column} is empty; other lines have one.",
                "Fill it in every line, or leave the column out.",
            )
    return rows


def _row(line: dict[str, str | None], known: Sequence[str]) -> Row:
    """Returns a line's Row.

    Raises:
      ValueError: says what is wrong with it.
    """
    text = {key: (value or "").strip() for key, value in line.items() if key}
    name = text[contract.IMAGE_ID]
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"image_id is {name!r}; expected a file name below the folder of photos")
    for attribute in known:
        if text[attribute] not in ("-1", "0", "1"):
            raise ValueError(f"{name}, {attribute}: found {text[attribute]!r}; expected 0 or 1")
    identity, partition = text.get(IDENTITY, ""), text.get(PARTITION, "")
    if identity and (not identity.isdecimal() or not 0 < int(identity) < 2**31):
        raise ValueError(f"{name}, identity: found {identity!r}; expected a number from 1 up")
    if partition and partition not in contract.SPLITS:
        raise ValueError(f"{name}, partition: found {partition!r}; expected train, val or test")
    return Row(
        name,
        {attribute: int(text[attribute] == "1") for attribute in known},
        int(identity) if identity else None,
        partition,
    )


def _face(photo: bytes, detector: FaceDetector | None) -> bytes:
    """Returns the crop as JPEG.

    Raises:
      ImageError: if there is none.
    """
    if detector is None:
        check_jpeg(photo)
        return photo
    crop = detector_crop(photo, detector, photo=True)
    if crop is None:
        raise ImageError("no face was found")
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(crop)).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _write_annotations(root: Path, kept: Sequence[tuple[str, Row]]) -> None:
    def value(row: Row, attribute: str) -> str:
        if attribute not in row.attributes:
            return "0"
        return "1" if row.attributes[attribute] else "-1"

    lines = [str(len(kept)), " ".join(contract.ATTRIBUTES)]
    lines += [" ".join([n, *(value(r, a) for a in contract.ATTRIBUTES)]) for n, r in kept]
    _write(root / "Anno" / f"{layouts.ATTRIBUTES}.txt", lines)
    first = kept[0][1]
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
