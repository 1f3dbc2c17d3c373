"""Face 1 is the same face wherever a photo is looked at."""

import itertools

import numpy as np

from data.faces.detector import Face
from data.faces.order import in_reading_order


def face(x: float, y: float, side: float, score: float = 0.99) -> Face:
    return Face((x, y, x + side, y + side), np.zeros((5, 2), np.float32), score)


def test_faces_are_numbered_row_by_row() -> None:
    """Two rows, heads of different height: as one reads, however the detector gave them."""
    rows = [
        face(10, 30, 40),
        face(100, 10, 80),
        face(200, 25, 40),
        face(5, 120, 50),
        face(90, 135, 90),
    ]
    for given in itertools.permutations(rows):
        assert in_reading_order(given) == rows
    assert in_reading_order([]) == []


def test_a_face_below_another_comes_second_though_it_is_further_left() -> None:
    """Not from left to right: that would mix the rows."""
    above, below = face(300, 10, 50), face(20, 200, 50)
    assert in_reading_order([below, above]) == [above, below]
