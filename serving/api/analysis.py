"""From a photo's bytes to answers: decode, find, align, classify.

In: bytes and an Engine. Out: an Analysis. Pure but for the two models; runs in a worker's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.errors import ImageError
from data.faces.alignment import align, similarity
from data.faces.detector import Face, FaceDetector
from data.faces.order import in_reading_order
from data.faces.photos import Photo
from serving.api.errors import ApiError
from serving.api.images import decode
from serving.api.releases import Answers, Engine
from serving.api.workers import Check


@dataclass(frozen=True)
class Quality:
    """What can be said of a crop without keeping it; compared with the training images (drift).

    Attributes:
      brightness, sharpness: as data.celeba.images.quality measures them, 0 to 255.
      face_px: eye distance in the photo times the crop's width over its eye distance: how wide the
        crop is in the photo. Below 178 the crop is blown up.
    """

    brightness: float
    sharpness: float
    face_px: float


@dataclass(frozen=True)
class FaceAnswer:
    """One face: where, and what the model says.

    Attributes:
      face: in pixels of the file's picture, upright.
      crop: uint8, (218, 178, 3): what the model saw.
    """

    face: Face
    crop: NDArray[np.uint8]
    quality: Quality
    p_positive: float
    label: int
    uncertain: bool


@dataclass
class Timer:
    """Milliseconds by step."""

    ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Adds the time of its body."""
        started_s = time.perf_counter()
        try:
            yield
        finally:
            taken_ms = (time.perf_counter() - started_s) * 1000
            self.ms[name] = self.ms.get(name, 0.0) + taken_ms


@dataclass(frozen=True)
class Analysis:
    """One photo.

    Attributes:
      found: the faces in pixels of `photo.pixels`; for drawing.
      unusable: faces that were found and cannot be aligned (both eyes in one place).
      doubtful: places that may be faces and get no answer; in pixels of the file's picture.
    """

    photo: Photo
    rotated_deg: int
    found: list[Face]
    answers: list[FaceAnswer]
    unusable: int
    doubtful: list[Face] = field(default_factory=list)


class Analyser:
    """Holds the detector.

    Args:
      detector: see data.faces.detector.
      max_pixels: of a photo.
      max_faces: in a photo.
    """

    def __init__(self, detector: FaceDetector, max_pixels: int, max_faces: int) -> None:
        self._detector, self._max_pixels, self._max_faces = detector, max_pixels, max_faces

    def photo(self, data: bytes, engine: Engine, check: Check, timer: Timer) -> Analysis:
        """Answers about every face in a photo, in reading order.

        Raises:
          ApiError: as images.decode; too_many_faces.
        """
        with timer.step("decode"):
            photo = decode(data, self._max_pixels)
        check()
        with timer.step("detect"):
            found = self._detector.find(photo.pixels, check=check)
        if len(found.faces) > self._max_faces:
            raise ApiError("too_many_faces", found=len(found.faces), limit=self._max_faces)
        faces = in_reading_order(found.faces)
        answers, drawn = [], []
        for face in faces:
            check()
            with timer.step("align"):
                try:
                    crop = align(photo.pixels, face.landmarks)
                except ImageError:
                    continue
                whole = _scaled(face, photo.scale)
                a, _ = similarity(whole.landmarks)
                crop_quality = quality(crop, abs(a) * crop.shape[1])
            with timer.step("classify"):
                answer = engine.classify(crop[None])
            drawn.append(face)
            answers.append(_answer(whole, crop, crop_quality, answer))
        doubtful = [_scaled(face, photo.scale) for face in in_reading_order(found.doubtful)]
        unusable = len(faces) - len(answers)
        return Analysis(photo, found.rotated_deg, drawn, answers, unusable, doubtful)

    def crop(self, data: bytes, engine: Engine, timer: Timer) -> tuple[Photo, Answers]:
        """Answers about one image that is an aligned crop already.

        Raises:
          ApiError: as images.decode.
        """
        with timer.step("decode"):
            photo = decode(data, self._max_pixels)
        with timer.step("classify"):
            return photo, engine.classify(photo.pixels[None])


def _answer(face: Face, crop: NDArray[np.uint8], measured: Quality, answer: Answers) -> FaceAnswer:
    return FaceAnswer(
        face,
        crop,
        measured,
        float(answer.p_positive[0]),
        int(answer.label[0]),
        bool(answer.uncertain[0]),
    )


def _scaled(face: Face, scale: tuple[float, float]) -> Face:
    if scale == (1.0, 1.0):
        return face
    factor = np.array(scale, np.float32)
    x1, y1, x2, y2 = ((np.array(face.box).reshape(2, 2) + 0.5) * factor - 0.5).ravel().tolist()
    landmarks = ((face.landmarks + 0.5) * factor - 0.5).astype(np.float32)
    return replace(face, box=(x1, y1, x2, y2), landmarks=landmarks)


def quality(crop: NDArray[np.uint8], face_px: float) -> Quality:
    """Measures a crop as data.celeba.images.quality does an image: luminance at 1/8 size."""
    grey = np.asarray(Image.fromarray(crop).convert("L").reduce(8), np.float32)  # -> (28, 23)
    gradient = np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()
    return Quality(float(grey.mean()), float(gradient / 2), face_px)


def shadow(
    engine: Engine, answers: list[FaceAnswer], report: Callable[[FaceAnswer, Answers], None]
) -> None:
    """Lets another release see the crops; its answers are only reported."""
    for answer in answers:
        report(answer, engine.classify(answer.crop[None]))
