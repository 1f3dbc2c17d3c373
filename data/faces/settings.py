"""What detector and aligner go by: one set of numbers for every place that looks for faces.

The server, `genq predict`, the import of people's own photos and the evaluation read it from here.
A browser that looks for faces itself (the page's mode "on this device") gets the same numbers and
the same three networks from the API: GET /v1/detector.
"""

from __future__ import annotations

from dataclasses import dataclass

from data.errors import ConfigError


@dataclass(frozen=True)
class DetectorConfig:
    """How faces are found and turned upright.

    The first four are what one may want to set; the others belong to the three networks and to the
    alignment (thresholds: those of the `mtcnn` package 1.0.0).

    Attributes:
      min_face_px: smallest face that is looked for.
      min_score: ONet's score below which a face is dropped.
      max_pixels: larger photos are scaled down to this many before they are searched.
      retry_rotated: whether a photo without a sure face is also looked at turned.
      cell_px: PNet's field of view.
      step_px: PNet looks at every second pixel.
      pyramid_factor: 1/sqrt(2): each level has half the area (Zhang et al. 2016).
      rnet_px, onet_px: size of the patches that RNet and ONet look at.
      outside: value of a patch's pixels outside the photo.
      pnet_score, rnet_score: below it, a proposal is dropped.
      level_overlap: largest intersection over union of two proposals of one level of the pyramid.
      overlap: the same between levels and after RNet; after ONet, intersection over the smaller
        box.
      max_proposals: a level's and the whole photo's, best first; a noisy photo gives tens of
        thousands, and suppression costs their square.
      sure_score: upright faces have this or more; with less the photo may lie on its side.
      turn_margin: by how much the best face of a turned photo must surpass that of the photo as it
        is.
      landmarks: order of the five; left and right as the viewer sees an upright face.
      min_eye_distance_px: closer eyes give no direction to turn by: a full profile, or a face of a
        few pixels.
    """

    min_face_px: int = 20
    min_score: float = 0.9
    max_pixels: int = 2_000_000
    retry_rotated: bool = True
    cell_px: int = 12
    step_px: int = 2
    pyramid_factor: float = 0.709
    rnet_px: int = 24
    onet_px: int = 48
    outside: float = 127.5
    pnet_score: float = 0.6
    rnet_score: float = 0.7
    level_overlap: float = 0.5
    overlap: float = 0.7
    max_proposals: int = 1500
    sure_score: float = 0.98
    turn_margin: float = 0.02
    landmarks: tuple[str, ...] = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    min_eye_distance_px: float = 2.0

    def __post_init__(self) -> None:
        if self.min_face_px < self.cell_px:
            raise ConfigError(
                f"min_face_px is {self.min_face_px}; expected {self.cell_px} or more."
            )
        if not 0.7 <= self.min_score < 1:
            raise ConfigError(f"min_score is {self.min_score}; expected 0.7 to below 1.")
        if self.max_pixels < 10_000:
            raise ConfigError(f"max_pixels is {self.max_pixels}; expected 10,000 or more.")
