"""Images that are CelebA's crops in another file format or size become what training expects.

In: the bytes of an image file. Out: a 178x218 RGB JPEG. A file that is one already is returned as
it is. A PNG, WebP or BMP, or a crop of another size with the same proportions, shows the same part
of the photo in the same place, so it can be converted. A crop of other proportions (the 64x64 files
that people train generators on) was cut or squeezed in a way that the file does not say: refused.
"""

from __future__ import annotations

import io
from typing import Final

from PIL import Image

from data import contract
from data.celeba.images import check_jpeg
from data.errors import ImageError

JPEG_QUALITY: Final = 95
ASPECT_TOLERANCE: Final = 0.01
"""Relative difference of width / height: half of 178x218 is 89x109."""
LEAST_WIDTH_PX: Final = 40
FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP")


def aligned_jpeg(image: bytes) -> bytes:
    """Returns the image as a 178x218 RGB JPEG; the same bytes if it is one.

    Raises:
      ImageError: says what the file is instead.
    """
    try:
        check_jpeg(image)
    except ImageError as error:
        converted = _converted(image)
        if converted is None:
            raise
        if isinstance(converted, str):
            raise ImageError(converted) from error
        return converted
    return image


def _converted(image: bytes) -> bytes | str | None:
    """Returns the JPEG, or why it cannot be made, or None where check_jpeg has said it."""
    try:
        with Image.open(io.BytesIO(image), formats=FORMATS) as opened:
            width, height = opened.size
            if opened.mode not in ("RGB", "RGBA", "P") or width * height > 4000 * 5000:
                return None
            wanted = contract.IMAGE_WIDTH_PX / contract.IMAGE_HEIGHT_PX
            if width < LEAST_WIDTH_PX or abs(width / height / wanted - 1) > ASPECT_TOLERANCE:
                return (
                    f"the image is {width}x{height} px; expected 178x218 (width x height) or the "
                    "same proportions. It was cut or squeezed from CelebA's aligned image: take "
                    "img_align_celeba itself (`genq data fetch`)"
                )
            pixels = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None
    size = (contract.IMAGE_WIDTH_PX, contract.IMAGE_HEIGHT_PX)
    if pixels.size != size:
        pixels = pixels.resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
