"""Crops as the application makes them, of images whose face is known to be in the middle.

In: an encoded image with one main face, e.g. CelebA's. Out: the crop that the application would cut
out of it, or None where its detector finds no face. The evaluation scores a model on these beside
the aligned images: the difference is what detector and alignment cost in service.
"""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.errors import ImageError
from data.faces.alignment import align
from data.faces.detector import Face, FaceDetector


def detector_crop(image: bytes, detector: FaceDetector) -> NDArray[np.uint8] | None:
    """Finds the face nearest to the middle and aligns it.

    Returns:
      uint8, (218, 178, 3); None without a face that can be aligned.

    Raises:
      ImageError: if the image cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(image)) as opened:
            photo = np.asarray(opened.convert("RGB"))
    except OSError as error:
        raise ImageError(f"the image cannot be decoded: {error}") from error
    height, width = photo.shape[:2]

    def from_middle(face: Face) -> float:
        x1, y1, x2, y2 = face.box
        return math.dist(((x1 + x2) / 2, (y1 + y2) / 2), (width / 2, height / 2))

    for face in sorted(detector.find(photo, retry_rotated=False).faces, key=from_middle):
        try:
            return align(photo, face.landmarks)
        except ImageError:
            continue
    return None
