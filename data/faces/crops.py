"""Crops as the application makes them, of images that show one person to be judged.

In: an encoded image, aligned as CelebA's or a photo. Out: the crop that the application would cut
out of it, or None where its detector finds no face. The evaluation scores a model on these beside
the aligned images: the difference is what detector and alignment cost in service.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from data.errors import ImageError
from data.faces.alignment import align
from data.faces.detector import Face, FaceDetector
from data.faces.photos import decode


def detector_crop(
    image: bytes, detector: FaceDetector, *, photo: bool = False
) -> NDArray[np.uint8] | None:
    """Finds the face that counts and aligns it, as the application does.

    Args:
      image: encoded.
      detector: the application's.
      photo: the largest face counts, and as in the application the photo is turned where that
        helps; otherwise, in an aligned image, the face nearest to the middle. What is not surely a
        face does not count.

    Returns:
      uint8, (218, 178, 3); None without a face that can be aligned.

    Raises:
      PhotoError: if the image cannot be decoded.
    """
    pixels = decode(image).pixels
    height, width = pixels.shape[:2]

    def rank(face: Face) -> float:
        x1, y1, x2, y2 = face.box
        if photo:
            return -(x2 - x1) * (y2 - y1)
        return math.dist(((x1 + x2) / 2, (y1 + y2) / 2), (width / 2, height / 2))

    found = detector.find(pixels, retry_rotated=photo)
    for face in sorted(found.faces, key=rank):
        try:
            return align(pixels, face.landmarks)
        except ImageError:
            continue
    return None
