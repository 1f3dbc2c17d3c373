"""Faces of a video keep their tracks: when they cross, are hidden for a moment, or leave."""

import numpy as np
from numpy.typing import NDArray

from data.faces.detector import Face
from data.faces.tracks import Tracker

Crop = NDArray[np.uint8]


def person(seed: int) -> Crop:
    """A crop that looks like nobody else's: coarse patches of its own."""
    coarse = np.random.default_rng(seed).integers(40, 220, (8, 8, 3), dtype=np.uint8)
    return coarse.repeat(28, 0).repeat(23, 1)[:218, :178]


def seen(crop: Crop, x: float, noise: int, size_px: float = 80) -> tuple[Face, Crop]:
    """A face at x, 100, with a little noise."""
    dirt = np.random.default_rng(noise).integers(-12, 12, crop.shape)
    face = Face((x, 100, x + size_px, 100 + size_px), np.zeros((5, 2), np.float32), 1.0)
    return face, (crop.astype(int) + dirt).clip(0, 255).astype(np.uint8)


def test_two_people_who_cross_are_two_tracks() -> None:
    """One walks right, one left; where they meet, the one behind is not seen for four looks."""
    tracker, left, right = Tracker(), person(1), person(2)
    numbers: dict[str, set[int]] = {"left": set(), "right": set()}
    for n in range(25):
        faces = {"left": seen(left, 100 + 20 * n, n)}
        if not 10 <= n <= 13:
            faces["right"] = seen(right, 560 - 20 * n, 100 + n)
        names = sorted(faces, reverse=bool(n % 2))  # in any order
        found = tracker.follow(n / 6, [faces[name] for name in names])
        for name, number in zip(names, found, strict=True):
            numbers[name].add(number)
    assert numbers == {"left": {1}, "right": {2}}


def test_somebody_who_takes_anothers_place_is_somebody_else() -> None:
    """The same place and size a moment later, and another face: a new track."""
    tracker = Tracker()
    assert tracker.follow(0, [seen(person(1), 100, 0)]) == [1]
    assert tracker.follow(0.2, [seen(person(2), 100, 1)]) == [2]


def test_a_cut_begins_anew_and_so_does_who_was_long_away() -> None:
    """Far from where it was, or after more than max_gap_s: a new track."""
    tracker, crop = Tracker(), person(1)
    assert tracker.follow(0, [seen(crop, 100, 0)]) == [1]
    assert tracker.follow(0.2, [seen(crop, 900, 1)]) == [2]
    assert tracker.follow(5, [seen(crop, 900, 2)]) == [3]
