"""From a face in a photo to the crop that the model was trained on.

In: a photo and five landmarks. Out: an upright crop of 178x218 whose eyes lie where CelebA's
aligned images have them (data.contract), by one similarity transform: rotation, one scale, shift.

Points are (x, y) in pixels; (0, 0) is the centre of the upper left pixel.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data import contract
from data.errors import ImageError
from data.faces.settings import DetectorConfig

Landmarks = NDArray[np.floating]
"""(5, 2), in the order of DetectorConfig.landmarks."""


def similarity(landmarks: Landmarks) -> tuple[complex, complex]:
    """Returns the similarity transform from crop to photo, as complex numbers.

    A point z = x + iy of the crop lies at `a * z + b` in the photo. |a| is photo pixels a crop
    pixel, the angle of a the face's roll. Both eyes are met exactly; CelebA's images were aligned
    by them, and nose and mouth move with expression and pose.

    Raises:
      ImageError: if the eyes coincide, or a coordinate is no number.
    """
    eyes = np.asarray(landmarks, np.float64)[:2]
    left, right = complex(*eyes[0]), complex(*eyes[1])
    if not np.isfinite(eyes).all() or abs(right - left) < DetectorConfig.min_eye_distance_px:
        raise ImageError(
            f"the eyes at {eyes.round(1).tolist()} give no direction to turn the face by; expected "
            f"at least {DetectorConfig.min_eye_distance_px:g} px between them",
            "Take a photo in which both eyes can be seen.",
        )
    to_left, to_right = complex(*contract.LEFT_EYE_XY_PX), complex(*contract.RIGHT_EYE_XY_PX)
    a = (right - left) / (to_right - to_left)
    return a, left - a * to_left


def align(
    photo: NDArray[np.uint8],
    landmarks: Landmarks,
    *,
    width_px: int = contract.IMAGE_WIDTH_PX,
    height_px: int = contract.IMAGE_HEIGHT_PX,
) -> NDArray[np.uint8]:
    """Cuts the aligned crop of one face out of a photo.

    Large faces are averaged down before they are turned, so that nothing aliases. What lies outside
    the photo repeats its edge.

    Args:
      photo: uint8, (height, width, 3).
      landmarks: (5, 2), see DetectorConfig.landmarks.
      width_px: of the crop.
      height_px: of the crop; the eyes' places are the contract's.

    Returns:
      uint8, (height_px, width_px, 3).

    Raises:
      ImageError: as `similarity`.
    """
    a, b = similarity(landmarks)
    factor = max(1, int(abs(a)))
    # The photo's rectangle that the crop needs, in whole blocks of factor x factor; one more block
    # on each side for the interpolation.
    corners = np.array([a * complex(x, y) + b for x in (0, width_px) for y in (0, height_px)])
    height, width = photo.shape[:2]
    x0, x1 = _blocks(corners.real, factor)
    y0, y1 = _blocks(corners.imag, factor)
    rows = np.clip(np.arange(y0, y1), 0, math.ceil(height / factor) - 1)
    columns = np.clip(np.arange(x0, x1), 0, math.ceil(width / factor) - 1)
    patch = _averaged(photo, factor, rows, columns)

    # From the crop's pixel corners to the patch's, which is what Pillow wants: pixel (0, 0) has
    # its centre at (0.5, 0.5) there.
    half = complex(0.5, 0.5)
    shift = (a * -half + b + half) / factor - complex(x0, y0)
    m = a / factor
    crop = Image.fromarray(patch).transform(
        (width_px, height_px),
        Image.Transform.AFFINE,
        (m.real, -m.imag, shift.real, m.imag, m.real, shift.imag),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(crop)


def _blocks(values: NDArray[np.float64], factor: int) -> tuple[int, int]:
    """Returns first and last + 1 of the blocks that cover the values, and one beside each."""
    return math.floor(values.min() / factor) - 1, math.ceil(values.max() / factor) + 2


def _averaged(
    photo: NDArray[np.uint8], factor: int, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Averages blocks of factor x factor; of the rectangle of these blocks only, edges repeated."""
    (y0, y1), (x0, x1) = (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
    part = photo[y0 * factor : y1 * factor, x0 * factor : x1 * factor]
    if factor > 1:
        part = np.asarray(Image.fromarray(part).reduce(factor))
    return part[np.ix_(rows - y0, columns - x0)]
