"""The images that teach most, with what the application would say of them.

In: predictions, and the examples they were made from. Out: cards with a picture inlined, each with
what makes its label or its answer doubtful.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from components.evaluation.config import QUALITIES
from components.evaluation.names import slice_label
from components.evaluation.slices import Slice, find_slices
from components.evaluation_report.comparison import flips
from components.predictions.table import (
    BASELINE_P_POSITIVE,
    DETECTOR_P_POSITIVE,
    SHA256,
    SPLIT,
)
from data import contract

PICTURE_PX: Final = (178, 218)
"""Width and height: CelebA's own, so that a larger view shows all there is; some 8 kB as JPEG."""

_FIRST: Final = ("Young", "Eyeglasses", "Wearing_Hat", "Smiling", "Blurry", "Pale_Skin", "Bald")
_HIDDEN: Final = (contract.MALE, "Attractive")
SHOWN_ATTRIBUTES: Final = (
    *_FIRST,
    *(name for name in contract.ATTRIBUTES if name not in (*_FIRST, *_HIDDEN)),
)
"""All but the usual label, and an attribute that says more about its annotators; slices' first."""
MAX_ATTRIBUTES: Final = 8
EXTREME: Final = 0.02
"""An image among this share of the darkest or least sharp is told to be."""

KINDS: Final = {
    "wrong": "answered, and wrong",
    "silent": "no answer",
    "near": "answered right, by a hair",
    "worse": "wrong now, right before",
    "better": "right now, wrong before",
}
"""What is shown, in this order; `before` is the other model that a report compares with."""


@dataclass(frozen=True)
class Card:
    """One image.

    Attributes:
      kinds: of KINDS.
      says: what the application would say; labelled: what the annotators said.
      forced: the label that it would have been at threshold 0.5, where it says nothing; or "".
      attributes: to be shown; groups: positions in `filters` of what it can be found by.
      doubts: why label or answer may be wrong; sentences.
      picture: data URI, or "" where the examples are gone.
    """

    image_id: str
    kinds: tuple[str, ...]
    p_positive: float
    says: str
    forced: str
    labelled: str
    attributes: tuple[str, ...]
    groups: tuple[int, ...]
    doubts: tuple[str, ...]
    picture: str


def choose(
    rows: pd.DataFrame, count: int, before: Sequence[float] | NDArray[np.float64] | None = None
) -> dict[str, tuple[str, ...]]:
    """Returns image id -> kinds, of at most `count` images of each kind.

    Args:
      rows: predictions of one split.
      count: of each kind.
      before: what the other model said, (n,); NaN where it did not; None without one.
    """
    p_positive = rows[contract.P_POSITIVE]
    wrong = (p_positive >= 0.5) != (rows[contract.LABEL] == 1)
    silent = rows[contract.UNCERTAIN].astype(bool)
    certainty = (p_positive - 0.5).abs()
    # Ties by image id, so that two runs show the same.
    order = pd.DataFrame({"c": certainty, "i": rows[contract.IMAGE_ID]}).sort_values(["c", "i"])
    nearest = order.index
    chosen: dict[str, Any] = {
        "wrong": nearest[(wrong & ~silent).loc[nearest]][::-1],
        "silent": nearest[silent.loc[nearest]],
        "near": nearest[(~wrong & ~silent).loc[nearest]],
    }
    if before is not None:
        better, worse = flips(rows, before)
        chosen["worse"] = nearest[worse.loc[nearest]][::-1]
        chosen["better"] = nearest[better.loc[nearest]][::-1]
    found: dict[str, tuple[str, ...]] = {}
    for kind in KINDS:
        for row in chosen.get(kind, ())[:count]:
            name = str(rows.at[row, contract.IMAGE_ID])
            found[name] = (*found.get(name, ()), kind)
    return found


def cards(
    rows: pd.DataFrame,
    chosen: Mapping[str, tuple[str, ...]],
    pictures: Mapping[str, str],
    label: contract.Label,
    doubts: Mapping[str, tuple[str, ...]],
) -> tuple[list[Card], list[str]]:
    """Returns one card an image, in the order of `chosen`; and by what they can be filtered.

    Args:
      rows: of the table of predictions.
      chosen: of `choose`.
      pictures: image id -> data URI.
      label: what is learnt.
      doubts: image id -> why it may be wrong.
    """
    few = rows[rows[contract.IMAGE_ID].isin(list(chosen))].reset_index(drop=True)
    by_name = {row[contract.IMAGE_ID]: row for row in _records(few, chosen)}
    # The label first: the worst groups are often of one label and one attribute.
    features = [(name,) for name in (contract.MALE, *SHOWN_ATTRIBUTES, *QUALITIES)]
    slices: list[Slice] = find_slices(few, features)[1:]
    groups = {
        name: tuple(i for i, each in enumerate(slices) if each.rows[at])
        for at, name in enumerate(few[contract.IMAGE_ID])
    }
    made = []
    for name, kinds in chosen.items():
        row = by_name[name]
        p = float(row[contract.P_POSITIVE])
        called = label.names[int(p >= 0.5)]
        made.append(
            Card(
                name,
                kinds,
                p,
                "no answer" if row[contract.UNCERTAIN] else f"{called} ({max(p, 1 - p):.0%})",
                called if row[contract.UNCERTAIN] else "",
                label.names[int(row[contract.LABEL])],
                attributes(row),
                groups[name],
                doubts.get(name, ()),
                pictures.get(name, ""),
            )
        )
    return made, [slice_label(each.name) for each in slices]


def find_doubts(
    rows: pd.DataFrame,
    wanted: Iterable[str],
    everyone: pd.DataFrame,
    fingerprints: pd.DataFrame,
    label: contract.Label,
) -> dict[str, tuple[str, ...]]:
    """Returns image id -> why its label or its answer may be wrong; sentences.

    Args:
      rows: predictions of one split.
      wanted: image ids.
      everyone: predictions of all scored splits: who is labelled how.
      fingerprints: of all splits; see components/predictions/table.py.
      label: what is learnt.
    """
    wanted = set(wanted)
    copies = fingerprints.groupby(SHA256)[[SPLIT, contract.IMAGE_ID]]
    same = {k: g for k, g in copies if k in set(rows[SHA256]) and len(g) > 1}
    known = everyone[everyone[contract.IDENTITY].notna()].drop_duplicates(contract.IMAGE_ID)
    labels = known.groupby(contract.IDENTITY)[contract.LABEL].agg(["sum", "count"])
    limits = {
        q: rows[q].quantile(EXTREME)
        for q in (contract.BRIGHTNESS, contract.SHARPNESS)
        if q in rows and rows[q].notna().any()
    }
    found = {}
    for row in _records(rows, wanted):
        name, told = row[contract.IMAGE_ID], []
        if (twins := same.get(row[SHA256])) is not None:
            others = twins[twins[contract.IMAGE_ID] != name]
            places = [f"{s} {i}" for s, i in others[[SPLIT, contract.IMAGE_ID]].to_numpy()[:3]]
            if places:
                told.append(f"The same file is also {', '.join(places)}.")
        person = row.get(contract.IDENTITY)
        if person is not None and person == person and person in labels.index:
            positive, count = (int(v) for v in labels.loc[person])
            if 0 < positive < count:
                told.append(
                    f"This person's {count} images contradict each other: "
                    f"{positive} labelled {label.names[1]}, {count - positive} {label.names[0]}."
                )
        told += _by_detector(row, rows)
        for quality, words in (
            (contract.BRIGHTNESS, "darker"),
            (contract.SHARPNESS, "less sharp"),
        ):
            if quality in limits and row[quality] <= limits[quality]:
                told.append(f"It is {words} than {1 - EXTREME:.0%} of the split.")
        before = row.get(BASELINE_P_POSITIVE)
        if before is not None and before == before:
            called, then = float(row[contract.P_POSITIVE]) >= 0.5, float(before) >= 0.5
            told += [] if called == then else [f"The baseline calls it {label.names[int(then)]}."]
        found[name] = tuple(told)
    return found


def _by_detector(row: dict[str, Any], rows: pd.DataFrame) -> list[str]:
    if DETECTOR_P_POSITIVE not in rows or not rows[DETECTOR_P_POSITIVE].notna().any():
        return []
    p = row[DETECTOR_P_POSITIVE]
    if p is None or p != p:
        return ["The application's detector finds no face in it."]
    if (p >= 0.5) != (row[contract.P_POSITIVE] >= 0.5):
        return ["As the application's detector crops it, it gets the other label."]
    return []


def attributes(row: dict[str, Any]) -> tuple[str, ...]:
    """Returns the names of those that a row has, and how many more there are."""
    names = [n.replace("_", " ") for n in SHOWN_ATTRIBUTES if row.get(n) == 1]
    more = len(names) - MAX_ATTRIBUTES
    return (*names[:MAX_ATTRIBUTES], *([f"{more} more"] if more > 0 else []))


def _records(rows: pd.DataFrame, wanted: Iterable[str]) -> list[dict[str, Any]]:
    few = rows[rows[contract.IMAGE_ID].isin(list(wanted))]
    return [{str(k): v for k, v in row.items()} for row in few.to_dict("records")]


def read_pictures(patterns: Sequence[str], wanted: Iterable[str]) -> dict[str, str]:
    """Returns image id -> data URI, for those found in the examples.

    Args:
      patterns: of the split's record files.
      wanted: image ids.
    """
    import tensorflow as tf

    from components.example_files import example_dataset

    left, found = set(wanted), {}
    if not left or not any(tf.io.gfile.glob(p) for p in patterns):
        return {}
    for record in example_dataset(patterns).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        image_id = features[contract.IMAGE_ID].bytes_list.value[0].decode()
        if image_id in left:
            found[image_id] = picture_uri(features[contract.IMAGE].bytes_list.value[0])
            left.discard(image_id)
        if not left:
            break
    return found


def read_files(folder: Path, wanted: Iterable[str]) -> dict[str, str]:
    """Returns image id -> data URI, for files of a folder."""
    return {
        name: picture_uri((folder / name).read_bytes())
        for name in wanted
        if (folder / name).is_file()
    }


def picture_uri(encoded: bytes) -> str:
    """Returns a JPEG of at most PICTURE_PX as a data URI; without metadata of the original."""
    with Image.open(io.BytesIO(encoded)) as opened:
        picture = opened.convert("RGB")
        picture.thumbnail(PICTURE_PX, Image.Resampling.LANCZOS)
        clean = Image.fromarray(np.asarray(picture))
    buffer = io.BytesIO()
    clean.save(buffer, "JPEG", quality=78, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
