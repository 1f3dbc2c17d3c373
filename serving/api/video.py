"""A video's answers: faces followed from frame to frame, one answer a person.

In: a video file and an Engine. Out: a Clip: its tracks, each with one answer; as JSON, as CSV, and
as a video with the answers drawn. Frames are read one after the other and none is kept: memory does
not grow with the length but by a box and a probability a look.

A track's probability is the mean of its looks'. Looks at one face are no independent witnesses, so
their odds are not multiplied; and where the mean lies in the release's range of abstention, the
answer is "uncertain", as for a photo.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.errors import ConfigError, ImageError, PhotoError
from data.faces.alignment import align
from data.faces.detector import Face, FaceDetector
from data.faces.order import in_reading_order
from data.faces.tracks import Tracker
from serving.api.answers import said
from serving.api.releases import Engine
from serving.api.schemas import Answer

Box = tuple[float, float, float, float]

SUFFIXES: Final = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi")
LOOKS_PER_S: Final = 6.0
"""How often faces are looked for; between two looks their places are interpolated."""
_FEWEST_LOOKS: Final = 2
"""A face that is seen once is a flicker; unless the clip is a single look."""
_MAX_GAP_S: Final = 0.5
"""Boxes are drawn between two looks that are no further apart."""


@dataclass(frozen=True)
class Look:
    """A face at one moment: seconds from the start, frame, box in pixels of the video."""

    time_s: float
    frame: int
    box: Box
    p_positive: float


@dataclass
class Track:
    """One person, as far as a face can be followed."""

    number: int
    answer: Answer
    looks: list[Look]


@dataclass
class Clip:
    """What came of a video.

    Attributes:
      frames, duration_s: that could be read.
      passing: faces that were seen for one look only, and have no answer.
      doubtful: looks at places that may be faces.
      cut_off: the file ends too early.
    """

    width: int = 0
    height: int = 0
    frames: int = 0
    duration_s: float = 0.0
    looks: int = 0
    passing: int = 0
    doubtful: int = 0
    cut_off: bool = False
    tracks: list[Track] = field(default_factory=list)

    def answers(self) -> dict[str, Any]:
        """For programs."""
        return {
            "width": self.width,
            "height": self.height,
            "duration_s": round(self.duration_s, 3),
            "frames": self.frames,
            "looks": self.looks,
            "cut_off": self.cut_off,
            "passing_faces": self.passing,
            "doubtful_looks": self.doubtful,
            "tracks": [
                {
                    "track": track.number,
                    **track.answer.model_dump(),
                    "first_s": round(track.looks[0].time_s, 3),
                    "last_s": round(track.looks[-1].time_s, 3),
                    "looks": len(track.looks),
                }
                for track in self.tracks
            ],
        }

    def write_csv(self, path: Path) -> None:
        """Writes one line a look."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(
                ("track", "time_s", "frame", "x1", "y1", "x2", "y2", "p_positive", "track_label")
            )
            for track in self.tracks:
                for look in track.looks:
                    box = (round(v, 1) for v in look.box)
                    p = round(look.p_positive, 4)
                    row = (track.number, round(look.time_s, 3), look.frame, *box, p)
                    writer.writerow((*row, track.answer.label))


def analyse(
    path: Path,
    engine: Engine,
    detector: FaceDetector,
    max_pixels: int,
    on_frame: Callable[[float, float], None] = lambda done_s, all_s: None,
) -> Clip:
    """Follows every face of a video.

    Args:
      path: the video.
      engine: answers.
      detector: finds faces; photos that lie on their side are not turned, the video's own word is
        followed.
      max_pixels: of a frame.
      on_frame: called with the seconds that are done, and those that the file claims.

    Raises:
      PhotoError: if it is no video, holds no picture, or its frames are too large.
      ConfigError: if PyAV is not installed.
    """
    clip, tracker = Clip(), Tracker()
    found: dict[int, list[Look]] = {}
    due_s = 0.0
    for time_s, all_s, pixels in frames(path, max_pixels, clip):
        on_frame(time_s, all_s)
        if time_s + 1e-6 >= due_s:
            due_s = max(due_s + 1 / LOOKS_PER_S, time_s)
            clip.looks += 1
            seen = detector.find(pixels, retry_rotated=False)
            clip.doubtful += len(seen.doubtful)
            faces = list(_aligned(in_reading_order(seen.faces), pixels))
            numbers = tracker.follow(time_s, faces)
            for number, (face, crop) in zip(numbers, faces, strict=True):
                p_positive = float(engine.classify(crop[None]).p_positive[0])
                look = Look(time_s, clip.frames - 1, face.box, p_positive)
                found.setdefault(number, []).append(look)
    if not clip.frames:
        raise PhotoError(f"{path.name}: no frame of the video can be decoded")
    fewest = min(_FEWEST_LOOKS, clip.looks)
    for looks in found.values():
        if len(looks) < fewest:
            clip.passing += 1
        else:
            clip.tracks.append(Track(len(clip.tracks) + 1, pooled(looks, engine), looks))
    return clip


def pooled(looks: list[Look], engine: Engine) -> Answer:
    """Returns one answer for a track: the mean of its looks, with the release's abstention."""
    p_positive = float(np.mean([look.p_positive for look in looks]))
    calibration = engine.release.calibration
    band = calibration.uncertain_below if calibration else 0.0
    uncertain = abs(p_positive - 0.5) < band
    return said(p_positive, int(p_positive >= 0.5), uncertain, engine.release.labels)


def _aligned(
    faces: list[Face], pixels: NDArray[np.uint8]
) -> Iterator[tuple[Face, NDArray[np.uint8]]]:
    for face in faces:
        try:
            yield face, align(pixels, face.landmarks)
        except ImageError:  # both eyes in one place
            continue


def frames(
    path: Path, max_pixels: int, clip: Clip
) -> Iterator[tuple[float, float, NDArray[np.uint8]]]:
    """Yields seconds, the whole length in seconds (0 if the file does not say), and the frame.

    Counts into `clip`. Frames are uint8 (height, width, 3), turned as the video says.

    Raises:
      PhotoError: if it is no video, or its frames are too large.
    """
    av = _av()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise PhotoError(f"{path.name} holds no video, only sound or text")
            stream = container.streams.video[0]
            if stream.codec_context.width * stream.codec_context.height > max_pixels:
                raise PhotoError(
                    f"{path.name}: frames of {stream.codec_context.width} x "
                    f"{stream.codec_context.height} pixels; {max_pixels} pixels are the limit",
                    "Give a smaller copy.",
                    code="too_many_pixels",
                )
            stream.thread_type = "AUTO"
            all_s = float(container.duration or 0) / av.time_base
            rate = float(stream.average_rate or 25)
            start_s = 0.0
            for frame in container.decode(stream):
                time_s = frame.time if frame.time is not None else clip.frames / rate
                if not clip.frames:
                    start_s = time_s
                clip.frames += 1
                clip.duration_s = time_s - start_s
                pixels = frame.to_ndarray(format="rgb24")
                turns = round(getattr(frame, "rotation", 0) / 90) % 4
                pixels = np.ascontiguousarray(np.rot90(pixels, turns))
                clip.height, clip.width = pixels.shape[:2]
                yield time_s - start_s, all_s, pixels
    except (av.error.FFmpegError, OSError) as error:
        if not clip.frames:
            raise PhotoError(
                f"{path.name} cannot be read as a video: {error}",
                "Give an MP4, MOV, WebM, MKV or AVI that a player opens.",
                code="unsupported_image",
            ) from error
        clip.cut_off = True


def draw(
    path: Path,
    clip: Clip,
    out: Path,
    max_pixels: int,
    mark: Callable[[Image.Image, Box, Track], None],
) -> None:
    """Writes the video again with boxes and each track's one answer; without its sound.

    Args:
      path: the video.
      clip: what `analyse` made of it.
      out: an MP4.
      max_pixels: of a frame.
      mark: draws one answer into a frame.

    Raises:
      PhotoError: as `frames`.
    """
    av, tick = _av(), Fraction(1, 1000)
    again = Clip()
    with av.open(str(out), "w") as container:
        stream: Any = None
        for time_s, _, pixels in frames(path, max_pixels, again):
            image = Image.fromarray(pixels)
            for track in clip.tracks:
                if (box := _box_at(track.looks, time_s)) is not None:
                    mark(image, box, track)
            if stream is None:
                stream = container.add_stream("libx264", rate=30)
                stream.width, stream.height = image.width // 2 * 2, image.height // 2 * 2
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = tick
            even = image.crop((0, 0, stream.width, stream.height))
            frame = av.VideoFrame.from_image(even)
            frame.pts, frame.time_base = round(time_s / tick), tick
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())


def _box_at(looks: list[Look], time_s: float) -> Box | None:
    """Returns where a track is at a time: between two looks by interpolation; None beyond them."""
    times = np.array([look.time_s for look in looks])
    after = int(np.searchsorted(times, time_s))
    near = looks[max(0, after - 1)], looks[min(len(looks) - 1, after)]
    before, behind = near
    if behind.time_s - before.time_s > _MAX_GAP_S:
        return None
    if not before.time_s - 1e-6 <= time_s <= behind.time_s + 1 / LOOKS_PER_S:
        return None
    span_s = behind.time_s - before.time_s
    share = 0.0 if span_s <= 0 else min(1.0, (time_s - before.time_s) / span_s)
    box = [(1 - share) * a + share * b for a, b in zip(before.box, behind.box, strict=True)]
    return box[0], box[1], box[2], box[3]


def _av() -> Any:
    try:
        import av
    except ModuleNotFoundError as error:
        raise ConfigError(
            "The package av (PyAV), which reads videos, is not installed.",
            "In a clone: scripts/setup video; elsewhere: pip install 'genq[video]'",
        ) from error
    return av
