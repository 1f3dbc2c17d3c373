"""Answers without a server: photos on this disk, one release, the application's own code.

In: bytes of a photo and an Engine. Out: the photo with its faces and answers, as the API gives
them, and a drawing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFont

from data.errors import ImageError, PhotoError
from data.faces.detector import FaceDetector
from data.faces.photos import Photo, register_decoders
from serving.api.analysis import Analyser, Analysis, Timer
from serving.api.answers import doubtful_face, face_answer, said
from serving.api.errors import ApiError
from serving.api.releases import Engine
from serving.api.schemas import Answer
from serving.api.settings import Settings
from serving.api.video import Box, Clip, Track, analyse, draw

_COLOURS: Final = ("#f2b134", "#4aa8ff")
_DOUBT: Final = "#d0d0d0"


@dataclass(frozen=True)
class Answered:
    """A photo's answers, and what they are drawn on.

    Attributes:
      answers: for programs; boxes and landmarks in pixels of the file's picture, upright.
    """

    answers: dict[str, Any]
    picture: Callable[[], Image.Image]


class Predictor:
    """A release and a detector.

    Args:
      engine: the release.
      settings: bounds on pixels and faces.
    """

    def __init__(self, engine: Engine, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        register_decoders()
        self.engine = engine
        self._detector, self._max_pixels = FaceDetector(settings.detector), settings.max_pixels
        self._analyser = Analyser(self._detector, settings.max_pixels, settings.max_faces)

    def photo(self, data: bytes) -> Answered:
        """Finds every face and answers about each, in reading order.

        Raises:
          ImageError: if it is no picture, or beyond the bounds.
        """
        try:
            found = self._analyser.photo(data, self.engine, lambda: None, Timer())
        except ApiError as error:
            raise _in_words(error) from error
        faces = [face_answer(a, self.engine.release.labels) for a in found.answers]
        answers = self._about(found.photo) | {
            "rotated_deg": found.rotated_deg,
            "faces": [f.model_dump(exclude={"crop_jpeg"}) for f in faces],
            "unusable_faces": found.unusable,
            "doubtful": [doubtful_face(face).model_dump() for face in found.doubtful],
        }
        return Answered(answers, lambda: drawing(found, faces))

    def video(self, path: Path, on_frame: Callable[[float, float], None]) -> Clip:
        """Follows every face of a video: one answer a person.

        Raises:
          ImageError: if it is no video, or beyond the bounds.
          ConfigError: if PyAV is not installed.
        """
        return analyse(path, self.engine, self._detector, self._max_pixels, on_frame)

    def draw_video(self, path: Path, clip: Clip, out: Path) -> None:
        """Writes the video again with its answers drawn.

        Raises:
          ImageError: if it cannot be read any more.
        """

        def mark(image: Image.Image, box: Box, track: Track) -> None:
            draw_answer(image, box, track.answer, f"{track.number}  ")

        draw(path, clip, out, self._max_pixels, mark)

    def about(self) -> dict[str, Any]:
        """Names the release."""
        release = self.engine.release
        return {
            "model_name": release.model_name,
            "version": release.version,
            "variant": self.engine.variant,
        }

    def crop(self, data: bytes) -> Answered:
        """Answers about one crop that is aligned as CelebA's are.

        Raises:
          ImageError: if it is no picture, or beyond the bounds.
        """
        try:
            photo, answer = self._analyser.crop(data, self.engine, Timer())
        except ApiError as error:
            raise _in_words(error) from error
        face = said(
            float(answer.p_positive[0]),
            int(answer.label[0]),
            bool(answer.uncertain[0]),
            self.engine.release.labels,
        )

        def picture() -> Image.Image:
            image = Image.fromarray(photo.pixels)
            _label(ImageDraw.Draw(image), (2, 2), face, image.width)
            return image

        return Answered(self._about(photo) | {"faces": [face.model_dump()]}, picture)

    def _about(self, photo: Photo) -> dict[str, Any]:
        return {
            "width": photo.width,
            "height": photo.height,
            "cut_off": photo.cut_off,
            "release": self.about(),
        }


def _in_words(error: ApiError) -> ImageError:
    """Returns the decoder's own error, which is not of requests; else the API's text."""
    cause = error.__cause__
    return cause if isinstance(cause, PhotoError) else ImageError(error.text("en"))


def drawing(found: Analysis, faces: Sequence[Answer]) -> Image.Image:
    """Returns the photo with a box and the answer at every face."""
    image = Image.fromarray(found.photo.pixels)
    for place, face in zip(found.found, faces, strict=True):
        draw_answer(image, place.box, face)
    return image


def draw_answer(
    image: Image.Image, box: tuple[float, float, float, float], face: Answer, before: str = ""
) -> None:
    """Draws a box and the answer above it, in place."""
    draw = ImageDraw.Draw(image)
    draw.rectangle(box, outline=_colour(face), width=max(2, image.width // 300))
    _label(draw, box[:2], face, image.width, before)


def p_label(face: dict[str, Any]) -> float | None:
    """Returns the probability of the label that is told; None where none is."""
    p_positive = float(face["p_positive"])
    return None if face["uncertain"] else max(p_positive, 1 - p_positive)


def _colour(face: Answer) -> str:
    return _DOUBT if face.uncertain else _COLOURS[int(face.p_positive >= 0.5)]


def _label(
    draw: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    face: Answer,
    width: int,
    before: str = "",
) -> None:
    """Writes the answer above `corner`, or below it at the photo's edge, on a dark ground."""
    font = ImageFont.load_default(max(12, width // 45))
    p_told = p_label(face.model_dump())
    text = before + face.label + ("" if p_told is None else f"  {p_told:.2f}")
    _, _, wide, high = draw.textbbox((0, 0), text, font=font)
    x, y = corner[0], corner[1] - high - 6 if corner[1] > high + 6 else corner[1]
    draw.rectangle((x, y, x + wide + 6, y + high + 6), fill="#202020")
    draw.text((x + 3, y + 2), text, font=font, fill=_colour(face))
