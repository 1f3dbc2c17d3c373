"""Photos as people have them -> pixels: one decoder for server, command line, import, evaluation.

In: a file's bytes. Out: uint8 RGB, upright, within bounds that are checked before anything is
decoded. Known: JPEG, PNG, WebP, HEIC/HEIF, AVIF, GIF, BMP, TIFF; of animations and of several pages
the first; grey, alpha (on white), palettes, CMYK, 16 bit, colour profiles; EXIF orientation. A file
that is cut off is read as far as it goes, as viewers do, if that is half of the picture or more. Of
WebP, AVIF and HEIC neither browsers nor their own libraries show anything then: they are damaged.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from data.errors import ConfigError, PhotoError

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "HEIF", "TIFF")
"""Pillow's names. A JPEG with a second picture inside, as some phones write, is called MPO."""
KNOWN: Final = "JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP, TIFF"
MAX_PIXELS: Final = 50_000_000
"""Of a photo; a camera's have 12 to 50 million. Three bytes each are decoded."""

_ENOUGH_PIXELS: Final = 4_000_000
"""Larger JPEGs are decoded at 1/2, 1/4 or 1/8 as long as this many remain: four times as fast."""
_LEAST_SHARE: Final = 0.5
"""Of the rows of a file that is cut off; with fewer it is refused."""
_BLOCK_PX: Final = 32
"""Two rows of a JPEG's blocks: at most they wait for its end marker, and nobody misses more."""
_BEGINNING: Final = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*"
    rb"|....ftyp(?:avi[fs]|hei[cfmsx]|hev[cx]|mif1|msf1)",
    re.DOTALL,
)
"""Of files of the kinds that are known; what cannot be opened all the same is damaged."""
_USUAL_GAMMA: Final = 1 / 2.2
_SPACES: Final = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
"""Mode -> colour space of the profiles that fit."""
_ALPHA: Final = ("RGBA", "LA", "PA", "La", "RGBa")


@dataclass(frozen=True)
class Photo:
    """One decoded photo.

    Attributes:
      pixels: uint8, (height, width, 3), upright; possibly smaller than the file's picture.
      width, height: of the file's picture, upright.
      format: Pillow's name.
      cut_off: the file ends too early, or is damaged late; a part of the picture is missing.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: str
    cut_off: bool = False

    @property
    def scale(self) -> tuple[float, float]:
        """(x, y) factors from `pixels` to the file's picture."""
        return self.width / self.pixels.shape[1], self.height / self.pixels.shape[0]


@cache
def register_decoders() -> None:
    """Loads Pillow's decoders and HEIC's; once.

    Raises:
      ConfigError: if HEIC's is not installed.
    """
    try:
        import pillow_heif
    except ModuleNotFoundError as error:
        raise ConfigError(
            "The package pillow-heif, which reads photos of phones, is not installed.",
            "pip install 'genq[serving]'",
        ) from error
    Image.init()  # else only the formats that were seen before are known to `formats=`
    pillow_heif.register_heif_opener(thumbnails=False)


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decodes a photo.

    Raises:
      PhotoError: with the code empty_file, unsupported_image, too_many_pixels or damaged_image.
    """
    if not data:
        raise PhotoError("the file is empty", "Give the photo itself.", code="empty_file")
    register_decoders()
    with warnings.catch_warnings():
        # Ours is the smaller limit, and absurd metadata say nothing: it would only fill the log.
        warnings.simplefilter("ignore")
        return _decode(data, max_pixels)


def _decode(data: bytes, max_pixels: int) -> Photo:
    try:
        opened = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        if _BEGINNING.match(data):
            raise _damaged(
                "its beginning is that of a photo, and what it needs is missing"
            ) from error
        found = kind_of(data)
        raise PhotoError(
            f"this is {found}; known are {KNOWN}",
            "Give the bytes of such a file.",
            code="unsupported_image",
            details={"found": found, "known": KNOWN},
        ) from error
    except Image.DecompressionBombError as error:
        told = re.search(r"(\d+) pixels", str(error))
        raise _too_many(int(told[1]) if told else None, max_pixels) from error
    except Exception as error:  # decoders raise whatever they like on damaged headers
        raise _damaged(error) from error
    with opened:
        width, height = opened.size
        if width * height > max_pixels:
            raise _too_many(width * height, max_pixels)
        try:
            loaded, missing = _load(opened, data)
            image = _upright(loaded)
            turned = loaded.size != image.size  # TIFF is turned as it is opened
            pixels = np.asarray(_rgb(image))
        except Exception as error:  # as above: damaged data, missing tiles
            raise _damaged(error) from error
    if turned:
        width, height = height, width
    return Photo(pixels, width, height, opened.format or "", missing > _BLOCK_PX)


def kind_of(data: bytes) -> str:
    """Says what bytes that are no photo seem to be."""
    head = data[:512].lstrip().lower()
    for start, name in (
        (b"data:", "a data URI (text)"),
        (b"{", "JSON"),
        (b"[", "JSON"),
        (b"<svg", "an SVG drawing"),
        (b"<!doctype", "an HTML page"),
        (b"<html", "an HTML page"),
        (b"<?xml", "XML"),
        (b"%pdf", "a PDF"),
        (b"pk\x03\x04", "a zip archive"),
        (b"\x1aE\xdf\xa3".lower(), "a video"),
    ):
        if head.startswith(start):
            return name
    if data[4:8] == b"ftyp" or (data[:4] == b"RIFF" and data[8:12] == b"AVI "):
        return "a video"
    if re.fullmatch(rb"[A-Za-z0-9+/=_\s-]{64,}", data[:512]):
        return "base64 text"
    return "no image of a known kind"


def _too_many(pixels: int | None, max_pixels: int) -> PhotoError:
    found_mp = None if pixels is None else round(pixels / 1e6, 1)
    limit_mp = round(max_pixels / 1e6, 1)
    found = "far too many" if found_mp is None else f"{found_mp:g} million"
    return PhotoError(
        f"the photo has {found} pixels; {limit_mp:g} million are the limit",
        "Give a smaller copy.",
        code="too_many_pixels",
        details={"found_mp": found_mp, "limit_mp": limit_mp},
    )


def _damaged(error: Exception | str) -> PhotoError:
    return PhotoError(
        f"the photo cannot be decoded: {error}",
        "Open it in a viewer and save it anew, or take the original.",
    )


def _load(opened: Image.Image, data: bytes) -> tuple[Image.Image, int]:
    """Decodes; also returns how many rows are missing because the file is cut off or damaged.

    Raises:
      OSError: if the file is damaged, or less than half of the rows are there.
    """
    _shrink(opened)
    try:
        opened.load()
    except OSError as error:
        begun = "truncated" in str(error) or opened.format == "PNG"  # a PNG may be damaged half-way
        if not begun or not hasattr(opened, "tile"):
            raise
        if opened.info.get("progressive"):  # every scan is the whole picture, sharper each time
            image = _ended(data)
            grey = (np.abs(np.asarray(image).astype(np.int16) - 128) <= 1).reshape(image.height, -1)
            missing = int(grey.all(1).sum())
            if missing > (1 - _LEAST_SHARE) * image.height:
                raise
            return image, missing
        opened.tile = []  # nothing is left to decode: `load` gives what there is, the rest is 0
        opened.load()
        there = np.asarray(opened).reshape(opened.height, -1).any(1)
        missing = int(opened.height - there.sum())
        if missing > (1 - _LEAST_SHARE) * opened.height:
            raise
        if opened.format not in ("JPEG", "MPO"):
            return opened, missing
        # Given an end, libjpeg also hands out the row of blocks that it was working on.
        return _ended(data), missing
    return opened, 0


def _ended(data: bytes) -> Image.Image:
    """Decodes a JPEG that lacks its end; what is not there is grey."""
    image = Image.open(io.BytesIO(data + b"\xff\xd9"), formats=("JPEG",))
    _shrink(image)
    image.load()
    return image


def _shrink(opened: Image.Image) -> None:
    """Has a large JPEG decoded at a part of its size."""
    factor = math.sqrt(_ENOUGH_PIXELS / max(1, opened.width * opened.height))
    if opened.format in ("JPEG", "MPO") and factor < 1 and opened.mode in ("RGB", "L"):
        opened.draft(opened.mode, (int(opened.width * factor), int(opened.height * factor)))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF data that make no sense say nothing, as in every viewer
        return image


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode -> RGB; alpha on white, more than 8 bit rescaled (Pillow's own conversion clips)."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.nan_to_num(np.asarray(image).astype(np.float32))
        most = float(values.max(initial=0))
        if image.mode == "F" and most <= 255:
            values *= 255 if most <= 1 else 1
        else:
            values *= 255 / max(most, 65535)
        return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in _ALPHA or "transparency" in image.info:
        rgba = image.convert("RGBA")
        shown = _in_srgb(rgba.convert("RGB"), image.info)
        shown.putalpha(rgba.getchannel("A"))
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, shown).convert("RGB")
    return _in_srgb(image if image.mode in _SPACES else image.convert("RGB"), image.info)


def _in_srgb(image: Image.Image, info: dict[str | tuple[int, int], Any]) -> Image.Image:
    """Converts from the photo's colour profile, as browsers do; a broken profile says nothing."""
    if not (profile := info.get("icc_profile")):
        return _by_gamma(image.convert("RGB"), info)
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        named_srgb = "srgb" in ImageCms.getProfileDescription(own).lower()
        if named_srgb or own.profile.xcolor_space.strip() != _SPACES[image.mode]:
            return image.convert("RGB")
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, own, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")
    assert converted is not None
    return converted


def _by_gamma(image: Image.Image, info: dict[str | tuple[int, int], Any]) -> Image.Image:
    """A PNG may say a gamma in place of a profile; 1/2.2 is as good as sRGB."""
    gamma = float(info.get("gamma") or _USUAL_GAMMA)
    if "srgb" in info or abs(gamma / _USUAL_GAMMA - 1) < 0.05:
        return image
    light = (np.arange(256) / 255) ** (1 / gamma)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return image.point((255 * srgb + 0.5).astype(np.uint8).tolist() * 3)
