"""Which face of a photo is the first: the order in which all places number them.

In: faces of one photo. Out: the same, as one reads: rows from top to bottom, each from left to
right. The page's mode "on this device" has the same lines in TypeScript
(serving/web/src/lib/answers.ts), and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from data.faces.detector import Face

_SAME_ROW: Final = 0.5
"""Share of the lower one's height that a face shares with the first of its row."""


def in_reading_order(faces: Iterable[Face]) -> list[Face]:
    """Returns the faces, row by row; heads of one row may differ in size and height."""
    rows: list[list[Face]] = []
    for face in sorted(faces, key=_middle):
        if rows and _beside(rows[-1][0], face):
            rows[-1].append(face)
        else:
            rows.append([face])
    return [face for row in rows for face in sorted(row, key=lambda face: face.box[0])]


def _middle(face: Face) -> float:
    return (face.box[1] + face.box[3]) / 2


def _beside(first: Face, other: Face) -> bool:
    (_, a1, _, a2), (_, b1, _, b2) = first.box, other.box
    return min(a2, b2) - max(a1, b1) >= _SAME_ROW * min(a2 - a1, b2 - b1)
