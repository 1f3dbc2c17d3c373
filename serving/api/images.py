"""Photos in and pictures out: the decoder's errors as the API's, previews, JPEGs."""

from __future__ import annotations

import base64
import io
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from data.errors import PhotoError
from data.faces import photos
from data.faces.detector import Face
from data.faces.photos import Photo
from serving.api.errors import ApiError, Code

_PREVIEW_PX: Final = 1600


def decode(data: bytes, max_pixels: int) -> Photo:
    """Decodes a photo.

    Raises:
      ApiError: empty_file, unsupported_image, too_many_pixels or damaged_image.
    """
    try:
        return photos.decode(data, max_pixels)
    except PhotoError as error:
        code = cast("Code", error.code)
        raise ApiError(code, **error.details) from error


def jpeg_base64(pixels: NDArray[np.uint8], quality: int = 85) -> str:
    """Returns a JPEG as base64 text."""
    return base64.b64encode(jpeg(Image.fromarray(pixels), quality)).decode()


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    """Returns a JPEG's bytes; without EXIF or any other metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def preview(pixels: NDArray[np.uint8], faces: list[Face]) -> str:
    """Returns a JPEG with the boxes drawn, as base64; for browsers that cannot show the file."""
    image = Image.fromarray(pixels)
    image.thumbnail((_PREVIEW_PX, _PREVIEW_PX))
    factor = image.width / pixels.shape[1]
    draw = ImageDraw.Draw(image)
    for face in faces:
        box = tuple(round(v * factor) for v in face.box)
        draw.rectangle(box, outline="white", width=max(2, image.width // 300) + 2)
        draw.rectangle(box, outline="black", width=max(2, image.width // 300))
    return base64.b64encode(jpeg(image)).decode()
