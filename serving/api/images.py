"""Photos as people have them -> pixels, within bounds that are checked before anything is decoded.

In: a file's bytes. Out: uint8 RGB, upright. Known: JPEG, PNG, WebP, HEIC/HEIF, AVIF, GIF (first
frame), BMP; grey, alpha (on white), palettes, CMYK, 16 bit; EXIF orientation.
"""

from __future__ import annotations

import base64
import io
import math
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from data.faces.detector import Face
from serving.api.errors import ApiError

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "HEIF")
"""Pillow's names. A JPEG with a second picture inside, as some phones write, is called MPO."""
KNOWN: Final = "JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP"

_ENOUGH_PIXELS: Final = 4_000_000
"""Larger JPEGs are decoded at 1/2, 1/4 or 1/8 as long as this many remain: four times as fast."""
_PREVIEW_PX: Final = 1600


@dataclass(frozen=True)
class Photo:
    """One decoded photo.

    Attributes:
      pixels: uint8, (height, width, 3), upright; possibly smaller than the file's picture.
      width, height: of the file's picture, upright.
      format: Pillow's name.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: str

    @property
    def scale(self) -> tuple[float, float]:
        """(x, y) factors from `pixels` to the file's picture."""
        return self.width / self.pixels.shape[1], self.height / self.pixels.shape[0]


@cache
def register_decoders() -> None:
    """Loads Pillow's decoders and HEIC's; once."""
    import pillow_heif

    Image.init()  # else only the formats that were seen before are known to `formats=`
    pillow_heif.register_heif_opener(thumbnails=False)


def decode(data: bytes, max_pixels: int) -> Photo:
    """Decodes a photo.

    Raises:
      ApiError: empty_file, unsupported_image, too_many_pixels or damaged_image.
    """
    if not data:
        raise ApiError("empty_file")
    register_decoders()
    try:
        with warnings.catch_warnings():
            # Ours is the smaller limit; Pillow's own warning would only fill the log.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ApiError("unsupported_image", known=KNOWN) from error
    except Image.DecompressionBombError as error:
        limit_mp = round(max_pixels / 1e6, 1)
        raise ApiError("too_many_pixels", width="?", height="?", limit_mp=limit_mp) from error
    except Exception as error:  # decoders raise whatever they like on damaged headers
        raise ApiError("damaged_image") from error
    with opened:
        width, height = opened.size
        if width * height > max_pixels:
            raise ApiError(
                "too_many_pixels",
                width=width,
                height=height,
                limit_mp=round(max_pixels / 1e6, 1),
            )
        if width < 1 or height < 1:
            raise ApiError("damaged_image")
        try:
            image, turned = _upright(opened)
            pixels = np.asarray(_rgb(image))
        except Exception as error:  # as above: damaged data, absurd EXIF, missing tiles
            raise ApiError("damaged_image") from error
    if turned:
        width, height = height, width
    return Photo(pixels, width, height, opened.format or "")


def _upright(opened: Image.Image) -> tuple[Image.Image, bool]:
    """Decodes and turns by EXIF; also returns whether width and height changed places."""
    shrink = math.sqrt(_ENOUGH_PIXELS / (opened.width * opened.height))
    if opened.format in ("JPEG", "MPO") and shrink < 1 and opened.mode in ("RGB", "L"):
        opened.draft(opened.mode, (int(opened.width * shrink), int(opened.height * shrink)))
    opened.load()
    turned = opened.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # pillow-heif turns, and says 1
    return ImageOps.exif_transpose(opened), turned


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode -> RGB; alpha on white, 16 bit rescaled (Pillow's own conversion clips)."""
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.float32) / 257
        return Image.fromarray(np.clip(grey + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


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
