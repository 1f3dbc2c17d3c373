"""Detector crops of an aligned image lie where the aligned image lies."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.errors import ImageError
from data.faces.alignment import align
from data.faces.crops import detector_crop
from data.faces.detector import FaceDetector


def encoded(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def astronaut() -> np.ndarray:
    spec = importlib.util.find_spec("skimage")
    assert spec is not None and spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0], "data", "astronaut.png")
    return np.asarray(Image.open(path).convert("RGB"))


def test_a_crop_of_an_aligned_image_is_nearly_the_image() -> None:
    """Align once, detect again, align again: the eyes stay within two pixels."""
    detector = FaceDetector()
    [face] = detector.find(astronaut()).faces
    aligned = align(astronaut(), face.landmarks)
    again = detector_crop(encoded(aligned), detector)
    assert again is not None and again.shape == aligned.shape
    [first] = detector.find(aligned, retry_rotated=False).faces
    [second] = detector.find(again, retry_rotated=False).faces
    assert np.abs(first.landmarks[:2] - second.landmarks[:2]).max() < 2


def test_no_face_is_none_and_no_image_is_an_error() -> None:
    """A wall has none; bytes that are no image say so."""
    detector = FaceDetector()
    assert detector_crop(encoded(np.full((218, 178, 3), 90, np.uint8)), detector) is None
    with pytest.raises(ImageError, match="no image of a known kind"):
        detector_crop(b"nothing", detector)
