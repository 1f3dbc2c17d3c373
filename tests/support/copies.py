"""Copies of CelebA in the tests: read as ingestion reads them, packed as people pack them."""

import zipfile
from pathlib import Path

from data.celeba.images import list_images, locate, read_images
from data.celeba.index import Index, load_index
from data.errors import ImageError


def contents(root: Path) -> tuple[Index, dict[bytes, bytes]]:
    """Returns the index and each annotated image, as ingestion reads them."""
    layout, index = load_index(str(root))
    listing = list_images(layout)
    place, _ = locate(index.ids, listing)
    assert (place >= 0).all()
    entries = None if listing.entries is None else listing.entries.take(place)
    names = listing.names[place].tolist()
    images = list(read_images(listing.path, names, entries))
    assert not any(isinstance(image, ImageError) for image in images)
    return index, dict(zip(index.ids.tolist(), images, strict=True))  # type: ignore[arg-type]


def zipped(root: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(root))
