"""What the API answers, as pydantic models: OpenAPI and the page's types come from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from data.faces.settings import DetectorConfig
from data.releases.release import Release

Probability = Annotated[float, Field(ge=0, le=1)]

NOTICE = (
    "Labels say how a face appears to the annotators of CelebA, not who somebody is. "
    "They are wrong for some groups more often than for others: see the model card."
)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Point(_Model):
    """Pixels of the photo, upright; (0, 0) is the centre of the upper left pixel."""

    x: float
    y: float


class Box(_Model):
    """Pixels of the photo, upright."""

    x1: float
    y1: float
    x2: float
    y2: float


class Landmarks(_Model):
    """Left and right as the viewer sees an upright face."""

    left_eye: Point
    right_eye: Point
    nose: Point
    left_mouth: Point
    right_mouth: Point


class Answer(_Model):
    """What the model says of one face."""

    p_positive: Probability = Field(
        description="Calibrated probability that CelebA's annotators would have given the second "
        "of the release's labels: male, of the usual model."
    )
    label: str = Field(
        description="One of the release's labels; 'uncertain' where the model abstains."
    )
    uncertain: bool


class FaceAnswer(Answer):
    """One face."""

    box: Box
    landmarks: Landmarks
    detector_score: Probability
    size_px: float = Field(description="Longer side of the box.")
    crop_jpeg: str | None = Field(
        default=None, description="What the model saw: aligned, 178x218, base64; if asked for."
    )


class DoubtfulFace(_Model):
    """A place that may be a face, and is not sure enough for an answer."""

    box: Box
    detector_score: Probability
    size_px: float = Field(description="Longer side of the box.")


class ImageInfo(_Model):
    """The photo after EXIF orientation."""

    width: int
    height: int
    format: str
    rotated_deg: int = Field(
        description="Counter-clockwise turn that was needed to find faces; 0, 90, 180 or 270."
    )
    cut_off: bool = Field(
        default=False, description="The file ends too early: the lower part of it is missing."
    )


class AnsweredBy(_Model):
    """The release that gave an answer."""

    model_name: str
    version: int
    variant: str
    canary: bool = False
    labels: tuple[str, str] = Field(
        description="What its answers are called: 'female' and 'male', of the usual model."
    )
    synthetic: bool = Field(
        default=False,
        description="Trained on drawn faces only: do not rely on its answers about photos.",
    )


class Faces(_Model):
    """Every face in one photo, in reading order; none is an answer, too."""

    request_id: str
    image: ImageInfo
    faces: list[FaceAnswer]
    unusable_faces: int = Field(
        description="Faces that were found but cannot be turned upright: their eyes coincide."
    )
    doubtful: list[DoubtfulFace] = Field(
        default=[], description="Places that may be faces: not sure enough for an answer."
    )
    release: AnsweredBy
    timings_ms: dict[str, float]
    preview_jpeg: str | None = Field(
        default=None, description="The photo with boxes, at most 1600 px, base64; if asked for."
    )
    notice: str = NOTICE


class Classified(_Model):
    """Answers about aligned crops, in the order in which they were sent."""

    request_id: str
    answers: list[Answer]
    release: AnsweredBy
    timings_ms: dict[str, float]
    notice: str = NOTICE


class Loaded(_Model):
    """A release that is loaded."""

    version: int
    variant: str
    loaded: str = Field(description="ISO 8601, UTC.")


class Model(_Model):
    """The release that answers, and what else is loaded or was skipped."""

    release: Release
    active: Loaded
    canary: Loaded | None
    canary_share: float
    shadow: Loaded | None
    skipped: dict[str, str] = Field(description="Version -> why it does not load.")
    has_report: bool
    onnx_variants: list[str] = Field(description="What /v1/model/onnx/{variant} offers.")


class DriftRow(_Model):
    """One statistic of the faces served, against the training images."""

    statistic: str
    n: int
    served: float | None
    trained: float | None
    shift: float | None = Field(
        description="Served minus trained, in the unit beside it. Of standard deviations 0.5 is "
        "medium and 0.8 large; of a share 0.05 and 0.1."
    )
    unit: Literal["standard deviations", "share"]
    verdict: str


class Limits(_Model):
    """What one request may hold."""

    max_bytes: int
    max_pixels: int
    max_faces: int
    max_crops: int
    request_timeout_s: float
    formats: list[str]
    api_key_needed: bool


class NetworkFile(_Model):
    """One of the detector's networks."""

    path: str = Field(description="Where to get it, on this server.")
    bytes: int
    sha256: str


class Detector(_Model):
    """What detector and aligner go by: see data/faces/settings.py, where each number is told."""

    networks: dict[str, NetworkFile]
    settings: DetectorConfig


class Health(_Model):
    """Alive, or ready."""

    status: Literal["ok", "not ready"]
    version: int | None = None
    problem: str = ""


class ErrorBody(_Model):
    """See the list of codes in serving/api/errors.py."""

    code: str
    message: str
    details: dict[str, Any]
    request_id: str


class Error(_Model):
    """Any answer that is no result."""

    error: ErrorBody


class LegacyUpload(_Model):
    """Answer of /upload/."""

    filename: str
    url: str


class LegacyFace(_Model):
    """One face as the clients of the first API know it, in both of their spellings."""

    name: str = Field(description="Name of the crop; /static/{name} gives it for a few minutes.")
    label: Literal["Perempuan", "Laki-laki"]
    confidence: float = Field(description="Probability of the label.")
    latency: float = Field(description="Seconds for the photo.")
    result: Literal["Perempuan", "Laki-laki"]
    score: float
    time: float
    uncertain: bool = Field(description="The model would rather not say; new.")
    url: str
