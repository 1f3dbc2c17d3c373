"""From a drawing to a photograph: pose, light, blur, noise, JPEG.

In: a Photo. Out: JPEG bytes, and where the face is.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

from data import contract
from data.synthetic.canvas import SCALE, turned
from data.synthetic.drawing import draw_face
from data.synthetic.looks import Look, look_of
from data.synthetic.people import Photo

JPEG_QUALITY: Final = 85


@dataclass(frozen=True)
class Drawn:
    """Where the face is, pixels.

    Attributes:
      landmarks: ten numbers in contract.LANDMARK_NAMES order.
      bbox: x, y, width, height of the head, in the aligned image (CelebA's own boxes are those of
        the images before alignment, which a look-alike has not).
    """

    landmarks: tuple[int, ...]
    bbox: tuple[int, int, int, int]


def draw(photo: Photo, seed: int) -> tuple[Drawn, bytes]:
    """Draws one image; returns where things are, and the JPEG."""
    look = look_of(photo, seed)
    image = draw_face(look).image.reduce(SCALE)
    if look.blur_px > 0.2:
        image = image.filter(ImageFilter.GaussianBlur(look.blur_px))
    buffer = io.BytesIO()
    expose(image, look).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return where(look), buffer.getvalue()


def expose(image: Image.Image, look: Look) -> Image.Image:
    """Returns the image under its light: brightness, contrast, a gradient, and grain."""
    pixels = np.asarray(image, np.float32)  # (218, 178, 3)
    height, width, _ = pixels.shape
    angle = np.radians(look.tilt_deg)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * np.float32(np.cos(angle))
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    gain = np.float32(look.light) * (1 + np.float32(look.tilt) * (x + y))  # (218, 178)
    pixels = (pixels - 128) * np.float32(look.contrast) + 128
    pixels *= gain[:, :, None]
    rng = np.random.Generator(np.random.PCG64(look.seed))
    # One grain for all channels: cheap, and what luminance noise looks like.
    grain = rng.integers(-128, 128, (height, width), np.int16).astype(np.float32)
    pixels += (grain * np.float32(look.noise / 74))[:, :, None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def where(look: Look) -> Drawn:
    """Returns landmarks and box of the head as rolled."""
    (left_x, left_y), (right_x, right_y) = contract.LEFT_EYE_XY_PX, contract.RIGHT_EYE_XY_PX
    nose_x = look.cx + 4 * look.yaw
    mouth_x = look.cx + 2 * look.yaw
    corner_y = look.mouth_y - look.smile
    points = np.array(
        [
            (left_x, left_y),
            (right_x, right_y),
            (nose_x, look.nose_y),
            (mouth_x - look.mouth_w, corner_y),
            (mouth_x + look.mouth_w, corner_y),
        ]
    )
    rounded = np.rint(turned(points, look.roll_deg)).astype(int)
    box = (look.cx - look.face_w, look.forehead_y, 2 * look.face_w, look.chin_y - look.forehead_y)
    return Drawn(tuple(rounded.ravel().tolist()), tuple(round(v) for v in box))  # type: ignore[arg-type]
