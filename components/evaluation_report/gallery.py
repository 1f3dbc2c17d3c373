"""The images that teach most: where the model was sure and wrong, and where it was least sure.

In: predictions, and the examples they were made from. Out: cards with a small picture inlined.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from PIL import Image

from data import contract

THUMBNAIL_PX: Final = (112, 137)
"""Width and height: CelebA's 178x218, smaller; some 4 kB each as JPEG."""

_FIRST: Final = ("Young", "Eyeglasses", "Wearing_Hat", "Smiling", "Blurry", "Pale_Skin", "Bald")
_HIDDEN: Final = (contract.MALE, "Attractive")
SHOWN_ATTRIBUTES: Final = (
    *_FIRST,
    *(name for name in contract.ATTRIBUTES if name not in (*_FIRST, *_HIDDEN)),
)
"""All but the usual label, and an attribute that says more about its annotators; slices' first."""
MAX_ATTRIBUTES: Final = 8


@dataclass(frozen=True)
class Card:
    """One image.

    Attributes:
      said: what the model said, labelled: what the annotators said.
      picture: data URI, or "" where the examples are gone.
    """

    image_id: str
    p_positive: float
    said: str
    labelled: str
    attributes: tuple[str, ...]
    picture: str


def choose(table: pd.DataFrame, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the rows of the most confident errors, and of the least certain answers.

    Args:
      table: predictions of one split.
      count: of each, at most.
    """
    wrong = (table[contract.P_POSITIVE] >= 0.5) != (table[contract.LABEL] == 1)
    certainty = (table[contract.P_POSITIVE] - 0.5).abs()
    # Ties by image id, so that two runs show the same.
    ranked = table.assign(_certainty=certainty).sort_values(["_certainty", contract.IMAGE_ID])
    uncertain = ranked.head(count)
    errors = ranked[wrong.loc[ranked.index]].iloc[::-1].head(count)
    return errors, uncertain


def cards(rows: pd.DataFrame, pictures: dict[str, str], label: contract.Label) -> list[Card]:
    """Returns one card a row.

    Args:
      rows: of the table of predictions.
      pictures: image id -> data URI.
      label: what is learnt.
    """
    return [
        Card(
            row[contract.IMAGE_ID],
            float(row[contract.P_POSITIVE]),
            label.names[int(row[contract.P_POSITIVE] >= 0.5)],
            label.names[int(row[contract.LABEL])],
            attributes(row),
            pictures.get(row[contract.IMAGE_ID], ""),
        )
        for row in _records(rows)
    ]


def attributes(row: dict[str, Any]) -> tuple[str, ...]:
    """Returns the names of those that a row has, and how many more there are."""
    names = [n.replace("_", " ") for n in SHOWN_ATTRIBUTES if row.get(n) == 1]
    more = len(names) - MAX_ATTRIBUTES
    return (*names[:MAX_ATTRIBUTES], *([f"{more} more"] if more > 0 else []))


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")]


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
            found[image_id] = thumbnail(features[contract.IMAGE].bytes_list.value[0])
            left.discard(image_id)
        if not left:
            break
    return found


def read_files(folder: Path, wanted: Iterable[str]) -> dict[str, str]:
    """Returns image id -> data URI, for files of a folder."""
    return {
        name: thumbnail((folder / name).read_bytes())
        for name in wanted
        if (folder / name).is_file()
    }


def thumbnail(encoded: bytes) -> str:
    """Returns a small JPEG as a data URI; without metadata of the original."""
    with Image.open(io.BytesIO(encoded)) as opened:
        picture = opened.convert("RGB")
        picture.thumbnail(THUMBNAIL_PX, Image.Resampling.LANCZOS)
        clean = Image.fromarray(np.asarray(picture))
    buffer = io.BytesIO()
    clean.save(buffer, "JPEG", quality=78, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
