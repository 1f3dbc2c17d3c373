"""A store without folders, as S3 and Google Cloud Storage are: only names with slashes in them."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apache_beam.io.filesystem import FileMetadata, FileSystem

from data import files
from data.celeba.copies import load_copies
from data.celeba.images import list_images, read_images
from data.celeba.index import load_index
from data.celeba.layouts import find_layout
from data.celeba.spans import newest_spans
from data.errors import DataError

OBJECTS: dict[str, bytes] = {}


class Store(FileSystem):  # type: ignore[misc]  # Beam's classes are untyped
    """Objects by their full names. A prefix that ends in "/" is no object."""

    @classmethod
    def scheme(cls) -> str:
        return "store"

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        for name in sorted(OBJECTS):
            if name.startswith(dir_or_prefix):
                yield FileMetadata(name, len(OBJECTS[name]))

    def open(self, path: str, *args: Any, **kwargs: Any) -> io.BytesIO:
        if path not in OBJECTS:
            raise FileNotFoundError(path)
        return io.BytesIO(OBJECTS[path])

    def exists(self, path: str) -> bool:
        return path in OBJECTS

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def _no(self, *args: Any) -> Any:
        raise NotImplementedError

    join = mkdirs = create = copy = rename = size = last_updated = checksum = metadata = _no
    delete = _no


@pytest.fixture
def upload() -> Iterator[Callable[[Path, str], str]]:
    """Returns a function that puts a folder's files into the store, and empties it at the end."""

    def put(folder: Path, uri: str) -> str:
        for file in folder.rglob("*"):
            if file.is_file():
                OBJECTS[f"{uri}/{file.relative_to(folder)}"] = file.read_bytes()
        return uri

    yield put
    OBJECTS.clear()


@pytest.mark.parametrize("images_in", ["folder", "zip"])
@pytest.mark.parametrize("layout", ["official", "flat", "kaggle"])
@pytest.mark.parametrize("below", ["", "/celeba"])
def test_every_layout_is_found(
    celeba_tree: Callable[..., Path],
    upload: Callable[[Path, str], str],
    tmp_path: Path,
    layout: str,
    images_in: str,
    below: str,
) -> None:
    """As on a disk, also one folder down."""
    tree = celeba_tree(tmp_path, images=24, layout=layout, images_in=images_in)
    here = load_index(str(tree))[1]
    upload(tree, f"store://bucket/data{below}")
    there, index = load_index("store://bucket/data")
    assert there.root == f"store://bucket/data{below}"
    assert np.array_equal(index.ids, here.ids) and np.array_equal(index.attributes, here.attributes)
    listing = list_images(there)
    assert len(listing.names) == 24
    images = list(read_images(listing.path, listing.names.tolist()[:3], listing.entries))
    assert all(isinstance(image, bytes) for image in images[:3])


def test_spans_are_found(
    celeba_tree: Callable[..., Path], upload: Callable[[Path, str], str], tmp_path: Path
) -> None:
    """The newest by number; several as one data set."""
    for number in (1, 2, 10):
        upload(celeba_tree(tmp_path / str(number), images=12), f"store://b/d/span-{number:04d}")
    assert [s.number for s in newest_spans("store://b/d", 2)] == [2, 10]
    copies = load_copies("store://b/d", ["span-0002", "span-0010"])
    assert len(copies.index) == 24 and (copies.locate()[0] >= 0).all()


def test_what_is_not_there_is_said(upload: Callable[[Path, str], str], tmp_path: Path) -> None:
    """A prefix of a name is no folder."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x/readme.md").write_text("nothing")
    upload(tmp_path, "store://b/data")
    with pytest.raises(DataError, match="no such folder, or it is empty"):
        find_layout("store://b/dat")
    with pytest.raises(DataError, match="no attribute file"):
        find_layout("store://b/data")
    assert files.list_folders("store://b/data") == ["x"]
    assert not files.exists("store://b/dat") and files.exists("store://b/data/x")
