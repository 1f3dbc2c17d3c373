"""Crops lie as CelebA's do, whatever the face's size, place and roll."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from data import contract
from data.errors import ImageError
from data.faces.alignment import align, similarity

TEMPLATE = np.array([contract.LEFT_EYE_XY_PX, contract.RIGHT_EYE_XY_PX], np.float64)


def photo_with_eyes(
    scale: float, roll_deg: float, centre: tuple[float, float], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Draws a red left and a green right eye, soft; returns the photo and five landmarks."""
    turn = scale * np.exp(1j * math.radians(roll_deg))
    middle = complex(*TEMPLATE.mean(0))
    eyes = [(complex(*p) - middle) * turn + complex(*centre) for p in TEMPLATE]
    photo = np.full((size[1], size[0], 3), 90, np.uint8)
    y, x = np.mgrid[: size[1], : size[0]]
    for channel, eye in enumerate(eyes):  # a soft spot, so that its centre is exact
        distance = ((x - eye.real) ** 2 + (y - eye.imag) ** 2) / (4 * scale) ** 2
        photo[..., channel] = np.maximum(photo[..., channel], 90 + 165 * np.exp(-distance))
    points = [(e.real, e.imag) for e in eyes] + [(0.0, 0.0)] * 3
    return photo, np.array(points)


def centre_of(crop: NDArray[np.uint8], channel: int) -> tuple[float, float]:
    """Centre of mass of one colour: an independent look at where the eye went."""
    others = [c for c in range(3) if c != channel]
    weight = np.maximum(crop[..., channel].astype(float) - crop[..., others].max(2) - 5, 0)
    y, x = np.mgrid[: crop.shape[0], : crop.shape[1]]
    return float((x * weight).sum() / weight.sum()), float((y * weight).sum() / weight.sum())


@pytest.mark.parametrize("roll_deg", [0, 20, -35, 90, 180])
@pytest.mark.parametrize("scale", [0.3, 1.0, 3.7])
def test_eyes_land_on_celebas_places(scale: float, roll_deg: float) -> None:
    """Any size and roll: both eyes are where the contract says, within half a pixel."""
    photo, landmarks = photo_with_eyes(scale, roll_deg, (500.3, 410.8), (1000, 900))
    crop = align(photo, landmarks)
    assert crop.shape == (contract.IMAGE_HEIGHT_PX, contract.IMAGE_WIDTH_PX, 3)
    assert centre_of(crop, 0) == pytest.approx(contract.LEFT_EYE_XY_PX, abs=0.5)
    assert centre_of(crop, 1) == pytest.approx(contract.RIGHT_EYE_XY_PX, abs=0.5)


def test_an_aligned_image_comes_back_unchanged() -> None:
    """A photo that lies as CelebA's do is its own crop, bit for bit."""
    photo = np.random.default_rng(0).integers(
        0, 256, (contract.IMAGE_HEIGHT_PX, contract.IMAGE_WIDTH_PX, 3), dtype=np.uint8
    )
    landmarks = np.vstack([TEMPLATE, np.zeros((3, 2))])
    np.testing.assert_array_equal(align(photo, landmarks), photo)


def test_a_face_at_the_border_repeats_the_edge() -> None:
    """Outside the photo no black appears that the photo does not have."""
    photo, landmarks = photo_with_eyes(1.0, 0.0, (5.0, 5.0), (300, 300))
    assert align(photo, landmarks).max(2).min() >= 90 - 1


def test_large_faces_are_averaged_not_sampled() -> None:
    """A fine checkerboard becomes even grey: nothing aliases."""
    board = (np.indices((3000, 3000)).sum(0) % 2 * 255).astype(np.uint8)
    photo = np.repeat(board[..., None], 3, 2)
    _, landmarks = photo_with_eyes(10.0, 0.0, (1500.0, 1500.0), (10, 10))
    inner = align(photo, landmarks)[60:160, 40:140]
    assert inner.min() > 120 and inner.max() < 135


def test_a_roll_is_the_angle_of_the_transform() -> None:
    """|a| is the scale and its angle the roll."""
    _, landmarks = photo_with_eyes(2.5, 30.0, (100.0, 100.0), (10, 10))
    a, _ = similarity(landmarks)
    assert abs(a) == pytest.approx(2.5)
    assert math.degrees(math.atan2(a.imag, a.real)) == pytest.approx(30.0)


@pytest.mark.parametrize("eyes", [[(5, 5), (5, 5)], [(0, 0), (float("nan"), 1)]])
def test_eyes_in_one_place_are_refused(eyes: list[tuple[float, float]]) -> None:
    """Coinciding or absurd eyes are an error that names them, not a division by zero."""
    with pytest.raises(ImageError, match="no direction"):
        align(np.zeros((20, 20, 3), np.uint8), np.array(eyes + [(0, 0)] * 3, np.float64))
