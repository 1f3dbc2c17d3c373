"""Image files: where they are, and whether one is the JPEG that it should be.

In: a Layout. Out: an ImageStore that lists names without reading an image, and reads single images
from a folder, or by ranges from the zip; and `check_jpeg`, which looks at markers and decodes
nothing.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data import contract, files
from data.celeba.kinds import Ids
from data.celeba.layouts import IMAGE_SUFFIXES, TABLES, Layout, is_part
from data.celeba.packed import PackedTable
from data.celeba.parquet import ParquetEntries, read_parquet
from data.celeba.tfrecords import RecordEntries, read_records
from data.errors import DataError, ImageError

_REFETCH = "Fetch the image again, or allow more with data.faults.max_bad_image_fraction."
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature; lengths of name and extra field (APPNOTE.TXT 4.3.7)."""


@dataclass(frozen=True)
class ZipEntries:
    """Where images lie in a zip; row i of every array is the same image.

    Attributes:
      header_offset, compressed_bytes: int64, (n,).
      method: 0 stored, 8 deflated, (n,).
      crc32: of the image, (n,).
    """

    header_offset: NDArray[np.int64]
    compressed_bytes: NDArray[np.int64]
    method: NDArray[np.int64]
    crc32: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> ZipEntries:
        """Returns the entries of these rows, in their order."""
        return ZipEntries(
            self.header_offset[rows],
            self.compressed_bytes[rows],
            self.method[rows],
            self.crc32[rows],
        )


Entries = ZipEntries | ParquetEntries | RecordEntries


@dataclass(frozen=True)
class Listing:
    """The images that are there; nothing of them is read yet.

    Attributes:
      path: the folder or the zip.
      names: file names without folder, (n,), as bytes; in no order.
      entries: where each lies in its zip or table; None for a folder of image files.
    """

    path: str
    names: NDArray[np.bytes_]
    entries: Entries | None


def list_images(layout: Layout) -> Listing:
    """Lists the images of a copy.

    Raises:
      DataError: if the folder cannot be read, or the zip is none or holds what it should not.
    """
    if layout.images_kind == "zip":
        return _list_zip(layout.images)
    if layout.images_kind in TABLES:
        table = read_packed(layout)
        return Listing(layout.images, table.ids, table.entries)
    names = [n for n in files.list_names(layout.images) if n.lower().endswith(IMAGE_SUFFIXES)]
    return Listing(layout.images, np.array(names, "S"), None)


def read_packed(layout: Layout) -> PackedTable:
    """Reads the annotations of a layout whose files hold the images as well.

    Raises:
      AnnotationError: names the file and column, or the row, that is wrong.
      DataError: if a file cannot be read.
    """
    names = sorted(n for n in files.list_names(layout.images) if is_part(n, layout.images_kind))
    paths = tuple(files.join(layout.images, name) for name in names)
    stamps = tuple(files.stamp(path) for path in paths)
    return (
        read_parquet(paths, stamps)
        if layout.images_kind == "parquet"
        else read_records(paths, stamps)
    )


def _list_zip(path: str) -> Listing:
    try:
        with files.open_seekable(path) as file, zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except zipfile.BadZipFile as error:
        with files.open_seekable(path) as file:
            head = file.read(512).lstrip().lower()
        if head.startswith((b"<!doctype", b"<html")):
            raise DataError(
                f"{path}: this is an HTML page, not a zip.",
                "Google Drive serves such a page when its quota is used up. Wait a day or take "
                "another source, then `genq data fetch` again.",
            ) from error
        raise DataError(
            f"{path}: not a zip, or cut off: {error}.", "`genq data fetch` resumes and verifies it."
        ) from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror or error}.",
            "Check that the file is there and that this user may read it.",
        ) from error
    images = []
    for info in infos:
        parts = info.filename.split("/")
        if ".." in parts or info.filename.startswith("/") or "\\" in info.filename:
            raise DataError(
                f"{path}: the entry {info.filename!r} climbs out of the archive.",
                "This is not CelebA's zip; fetch it from the authors.",
            )
        if info.flag_bits & 1:
            raise DataError(f"{path}: the entry {info.filename!r} is encrypted.")
        if parts[-1].lower().endswith(IMAGE_SUFFIXES) and parts[0] != "__MACOSX":
            images.append((parts[-1], info))
    names = np.array([name for name, _ in images], "S")
    if len(np.unique(names)) != len(names):
        values, counts = np.unique(names, return_counts=True)
        raise DataError(f"{path}: holds {values[counts > 1][0].decode()} more than once.")
    numbers = np.array(
        [(i.header_offset, i.compress_size, i.compress_type, i.CRC) for _, i in images], np.int64
    ).reshape(len(images), 4)
    return Listing(path, names, ZipEntries(*numbers.T.copy()))


def locate(ids: Ids, listing: Listing) -> tuple[NDArray[np.int64], list[bytes]]:
    """Finds the image of each annotation: by its name, or by its name in another file format.

    Returns:
      place: int64, (n,): row of the listing for each of the ids; -1 where it is missing.
      unannotated: names of images that the index does not have.
    """
    names = listing.names
    if not len(names):
        return np.full(len(ids), -1, np.int64), []
    if not np.isin(ids[:1000], names).any():
        # 000001.jpg in the annotations, 000001.png on disk: the stem says which.
        stems = _stems(names)
        if len(np.unique(stems)) == len(names):
            ids, names = _stems(ids), stems
    order = np.argsort(names)
    ordered = names[order]
    at = np.minimum(np.searchsorted(ordered, ids), len(names) - 1)
    found = ordered[at] == ids
    place = np.where(found, order[at], -1)
    known = np.zeros(len(names), np.bool_)
    known[place[found]] = True
    return place, sorted(listing.names[~known].tolist())


def _stems(names: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """Returns names without what follows their last dot."""
    return np.array([n.rpartition(b".")[0] or n for n in names.tolist()], "S")


def read_images(
    path: str, ids: Iterable[bytes], entries: Entries | None
) -> Iterator[bytes | ImageError]:
    """Yields each image's bytes, or the error that it met, in the order of `ids`.

    Args:
      path: of the folder, or of the zip when there are entries.
      ids: file names.
      entries: where each lies in the zip or the table.
    """
    if entries is None:
        read = _read_remote if files.is_remote(path) else _read_local
        folder = path.rstrip("/") + "/"
        yield from (read(folder + i.decode()) for i in ids)
        return
    if not isinstance(entries, ZipEntries):
        yield from entries.read()
        return
    with files.open_seekable(path) as file:
        for row, image_id in enumerate(ids):
            yield _read_entry(file, path, image_id.decode(), entries, row)


_AT_ONCE: Final = 1 << 16
"""This many bytes hold a whole image of CelebA."""


def _read_local(path: str) -> bytes | ImageError:
    # Five calls to the system instead of the eight of open() and read(): they are what this costs.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            image = os.read(descriptor, _AT_ONCE)
            while part := os.read(descriptor, _AT_ONCE):  # network file systems may give less
                image += part
            return image
        finally:
            os.close(descriptor)
    except OSError as error:
        return _unreadable(path, error)


def _read_remote(path: str) -> bytes | ImageError:
    try:
        return files.read_bytes(path)
    except OSError as error:
        return _unreadable(path, error)


def _unreadable(path: str, error: OSError) -> ImageError:
    return ImageError(f"{path}: cannot be read: {error.strerror or error}.", _REFETCH)


def _read_entry(
    file: BinaryIO, path: str, name: str, entries: ZipEntries, row: int
) -> bytes | ImageError:
    """Reads one image by its range; verifies its CRC."""
    size, method = int(entries.compressed_bytes[row]), int(entries.method[row])
    offset = int(entries.header_offset[row])
    try:
        file.seek(offset)
        # One read for header, name and body: the header's length is not known before; 128 bytes
        # hold it in every copy seen.
        block = file.read(_LOCAL_HEADER.size + 98 + size)
        signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(block)
        start = _LOCAL_HEADER.size + name_bytes + extra_bytes
        body = block[start : start + size]
        if len(body) < size:
            file.seek(offset + start)
            body = file.read(size)
        if signature != b"PK\x03\x04" or len(body) < size:
            return ImageError(f"{path}: {name}: the zip is damaged at byte {offset}.", _REFETCH)
        if method == zipfile.ZIP_DEFLATED:
            body = zlib.decompress(body, -zlib.MAX_WBITS)
        elif method != zipfile.ZIP_STORED:
            return ImageError(f"{path}: {name}: compression method {method} is not supported.")
    except (OSError, zlib.error, struct.error) as error:
        return ImageError(f"{path}: {name}: cannot be read from the zip: {error}.", _REFETCH)
    if zlib.crc32(body) != entries.crc32[row]:
        return ImageError(
            f"{path}: {name}: CRC-32 {zlib.crc32(body):08x}; the zip's directory says "
            f"{entries.crc32[row]:08x}.",
            _REFETCH,
        )
    return body


_SOI: Final = b"\xff\xd8\xff"
_EOI: Final = b"\xff\xd9"
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""SOF markers (ITU-T T.81, table B.1): what follows holds height, width and components."""
_KINDS: Final = {b"\x89PNG": "a PNG", b"GIF8": "a GIF", b"RIFF": "a WebP", b"BM": "a BMP"}


def check_jpeg(image: bytes) -> None:
    """Checks that an image file is a JPEG as CelebA has them.

    Looks at markers only: a JPEG whose entropy-coded data are damaged in the middle passes.

    Raises:
      ImageError: says what the file is instead.
    """
    if not image:
        raise ImageError("the file is empty (0 bytes)")
    if not image.startswith(_SOI):
        head = image[:256].lstrip().lower()
        if head.startswith((b"<!doctype", b"<html", b"<?xml")):
            raise ImageError("this is an HTML page, not a JPEG")
        kind = next((k for magic, k in _KINDS.items() if image.startswith(magic)), "no JPEG")
        raise ImageError(f"this is {kind}; expected a JPEG")
    if not image.endswith(_EOI) and image.rfind(_EOI, max(0, len(image) - 64)) < 0:
        raise ImageError(f"the JPEG is cut off after {len(image)} bytes: it has no end marker")
    position = 2
    while position + 9 < len(image):
        marker = image[position + 1]
        if image[position] != 0xFF:
            raise ImageError(f"the JPEG is damaged at byte {position}")
        if marker in _FRAMES:
            _check_frame(image, position)
            return
        # 0xFF is a fill byte; any other segment says how long it is.
        position += 1 if marker == 0xFF else 2 + int.from_bytes(image[position + 2 : position + 4])
    raise ImageError("the JPEG has no frame header")


def _check_frame(image: bytes, position: int) -> None:
    height, width = struct.unpack_from(">HH", image, position + 5)
    components = image[position + 9]
    if (width, height) != (contract.IMAGE_WIDTH_PX, contract.IMAGE_HEIGHT_PX):
        raise ImageError(
            f"the image is {width}x{height} px; expected "
            f"{contract.IMAGE_WIDTH_PX}x{contract.IMAGE_HEIGHT_PX} (width x height)"
        )
    if components != 3:
        kind = {1: "greyscale", 4: "CMYK"}.get(components, "not RGB")
        raise ImageError(f"the JPEG is {kind} ({components} components); expected 3")


def quality(image: bytes) -> tuple[float, float]:
    """Returns brightness and sharpness of a JPEG.

    Both are measured on the luminance at 1/8 of the size, which the decoder takes from the DCT's
    constant terms without a full decode (libjpeg scale_num/scale_denom).

    Returns:
      brightness: mean luminance, 0 to 255.
      sharpness: mean absolute difference of horizontal and vertical neighbours, 0 to 255; blur and
        flat light lower it.

    Raises:
      ImageError: if the JPEG cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(image)) as opened:
            opened.draft("L", (opened.width // 8, opened.height // 8))
            grey = np.asarray(opened.convert("L"), np.float32)  # (218, 178) -> (28, 23)
    except OSError as error:
        raise ImageError(f"the JPEG cannot be decoded: {error}") from error
    gradient = np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()
    return float(grey.mean()), float(gradient / 2)
