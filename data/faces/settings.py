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

    The first five are what one may want to set; the others belong to the three networks and to the
    alignment. Thresholds of PNet and RNet are those of the `mtcnn` package 1.0.0; what ONet
    proposes is looked at again (`looks`), because its score alone does not tell a small false face
    (0.7 to 0.98) from a real one (0.9 to 1): docs/field-log.md has the figures.

    Attributes:
      min_face_px: smallest face that is looked for.
      min_score: score below which nothing is told of a place.
      answer_score: with a lower score it is "not sure that this is a face", and gets no answer.
      max_pixels: larger photos are scaled down to this many before they are searched.
      retry_rotated: whether a photo without a sure face is also looked at turned.
      cell_px: PNet's field of view.
      step_px: PNet looks at every second pixel.
      pyramid_factor: 1/sqrt(2): each level has half the area (Zhang et al. 2016).
      rnet_px, onet_px: size of the patches that RNet and ONet look at.
      outside: value of a patch's pixels outside the photo.
      pnet_score, rnet_score, onet_score: below it, a proposal is dropped.
      looks: where ONet looks again: (shift right, shift down, size) in units of the box's longer
        side, each also mirrored, of the box as far as it lies within the photo.
      looks_left_out: the lowest scores of these, where a face fills the photo and a look is beyond
        it. The mean of the others is the face's score.
      level_overlap: largest intersection over union of two proposals of one level of the pyramid.
      overlap: the same between levels and after RNet; after ONet, intersection over the smaller
        box.
      max_proposals: a level's and the whole photo's, best first; a noisy photo gives tens of
        thousands, and suppression costs their square.
      sure_score: nearly all upright faces have this or more; with less the photo may lie on its
        side.
      turn_margin: by how much the best face of a turned photo must surpass that of the photo as it
        is.
      turned_score: and what it must have at least: three of four false faces of textures were found
        turned.
      landmarks: order of the five; left and right as the viewer sees an upright face.
      min_eye_distance_px: closer eyes give no direction to turn by: a full profile, or a face of a
        few pixels.
    """

    min_face_px: int = 20
    min_score: float = 0.8
    answer_score: float = 0.95
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
    onet_score: float = 0.7
    looks: tuple[tuple[float, float, float], ...] = (
        (0.0, 0.0, 1.0),
        (0.0, 0.0, 0.9),
        (0.0, 0.0, 1.1),
        (0.08, 0.0, 1.0),
        (-0.08, 0.0, 1.0),
        (0.0, 0.08, 1.0),
        (0.0, -0.08, 1.0),
    )
    looks_left_out: int = 2
    level_overlap: float = 0.5
    overlap: float = 0.7
    max_proposals: int = 1500
    sure_score: float = 0.98
    turn_margin: float = 0.02
    turned_score: float = 0.97
    landmarks: tuple[str, ...] = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    min_eye_distance_px: float = 2.0

    def __post_init__(self) -> None:
        if self.min_face_px < self.cell_px:
            raise ConfigError(
                f"min_face_px is {self.min_face_px}; expected {self.cell_px} or more."
            )
        if not self.onet_score <= self.min_score < 1:
            raise ConfigError(
                f"min_score is {self.min_score}; expected {self.onet_score} to below 1."
            )
        if not self.min_score <= self.answer_score < 1:
            raise ConfigError(
                f"answer_score is {self.answer_score}; expected min_score, {self.min_score}, to "
                "below 1."
            )
        if self.max_pixels < 10_000:
            raise ConfigError(f"max_pixels is {self.max_pixels}; expected 10,000 or more.")
