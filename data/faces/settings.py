"""What detector and aligner go by: one set of numbers for every place that looks for faces.

The server, `genq predict`, the import of people's own photos and the evaluation read it from here.
A browser that looks for faces itself (the page's mode "on this device") gets the same numbers and
the same three networks from the API: GET /v1/detector says what `served` returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from data.errors import ConfigError

CELL_PX: Final = 12
"""PNet's field of view."""
STEP_PX: Final = 2
"""PNet looks at every second pixel."""
PYRAMID_FACTOR: Final = 0.709
"""1/sqrt(2): each level has half the area (Zhang et al. 2016)."""
PATCH_PX: Final = {"rnet": 24, "onet": 48}
"""What RNet and ONet look at."""
OUTSIDE: Final = 127.5
"""Value of a patch's pixels outside the photo."""
PNET_SCORE: Final = 0.6
RNET_SCORE: Final = 0.7
LEVEL_OVERLAP: Final = 0.5
"""Largest intersection over union of two proposals of one level of the pyramid."""
OVERLAP: Final = 0.7
"""The same between levels and after RNet; after ONet, intersection over the smaller box."""
MAX_PROPOSALS: Final = 1500
"""A level's and the whole photo's proposals, best first; a noisy photo gives tens of thousands,
and suppression costs their square."""

SURE_SCORE: Final = 0.98
"""Upright faces have 0.98 or more; with less the photo may lie on its side, and is turned."""
TURN_MARGIN: Final = 0.02
"""By how much the best face of a turned photo must surpass the best one of the photo as it is."""

LANDMARKS: Final = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""Order of the five landmarks; left and right as the viewer sees an upright face."""
MIN_EYE_DISTANCE_PX: Final = 2.0
"""Closer eyes give no direction to turn by: a full profile, or a face of a few pixels."""


@dataclass(frozen=True)
class DetectorConfig:
    """What can be set.

    Attributes:
      min_face_px: smallest face that is looked for.
      min_score: ONet's score below which a face is dropped.
      max_pixels: larger photos are scaled down to this many before they are searched.
      retry_rotated: whether a photo without a sure face is also looked at turned.
      threads: of onnxruntime, inside one run.
    """

    min_face_px: int = 20
    min_score: float = 0.9
    max_pixels: int = 2_000_000
    retry_rotated: bool = True
    threads: int = 1

    def __post_init__(self) -> None:
        if self.min_face_px < CELL_PX:
            raise ConfigError(f"min_face_px is {self.min_face_px}; expected {CELL_PX} or more.")
        if not 0.7 <= self.min_score < 1:
            raise ConfigError(f"min_score is {self.min_score}; expected 0.7 to below 1.")
        if self.max_pixels < 10_000:
            raise ConfigError(f"max_pixels is {self.max_pixels}; expected 10,000 or more.")
        if self.threads < 1:
            raise ConfigError(f"threads is {self.threads}; expected 1 or more.")


def served(config: DetectorConfig) -> dict[str, Any]:
    """Returns everything that another implementation of detector and aligner needs, as JSON."""
    return {
        "min_face_px": config.min_face_px,
        "min_score": config.min_score,
        "max_pixels": config.max_pixels,
        "retry_rotated": config.retry_rotated,
        "cell_px": CELL_PX,
        "step_px": STEP_PX,
        "pyramid_factor": PYRAMID_FACTOR,
        "patch_px": dict(PATCH_PX),
        "outside": OUTSIDE,
        "pnet_score": PNET_SCORE,
        "rnet_score": RNET_SCORE,
        "level_overlap": LEVEL_OVERLAP,
        "overlap": OVERLAP,
        "max_proposals": MAX_PROPOSALS,
        "sure_score": SURE_SCORE,
        "turn_margin": TURN_MARGIN,
        "landmarks": list(LANDMARKS),
        "min_eye_distance_px": MIN_EYE_DISTANCE_PX,
    }
