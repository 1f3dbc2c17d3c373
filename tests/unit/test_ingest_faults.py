"""Faults of images, folders and zips: each is named."""

import io
import os
import zipfile

import numpy as np
import pytest
from apache_beam.io.localfilesystem import LocalFileSystem
from PIL import Image

from data.celeba.images import check_jpeg, list_images, locate, quality, read_images
from data.celeba.index import load_index
from data.celeba.layouts import find_layout
from data.errors import DataError, ImageError


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (178, 218)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda jpeg: b"", r"empty \(0 bytes\)"),
        (lambda jpeg: jpeg()[:-400], "cut off after .* no end marker"),
        (lambda jpeg: jpeg()[:1], "no JPEG"),
        (lambda jpeg: png(), "a PNG; expected a JPEG"),
        (lambda jpeg: b"\n<!DOCTYPE html><html></html>", "an HTML page"),
        (lambda jpeg: b"GIF89a...", "a GIF"),
        (lambda jpeg: jpeg(size=(178, 178)), r"178x178 px; expected 178x218"),
        (lambda jpeg: jpeg(size=(218, 178)), r"218x178 px; expected 178x218"),
        (lambda jpeg: jpeg(mode="L"), r"greyscale \(1 components\)"),
        (lambda jpeg: jpeg(mode="CMYK"), r"CMYK \(4 components\)"),
        (lambda jpeg: b"\xff\xd8\xff\xd9", "no frame header"),
    ],
)
def test_files_that_are_not_celebas_jpegs_are_told_apart(make_jpeg, damage, message):
    """Zero bytes, cut off, PNG, HTML, size, colour: each has its own words."""
    with pytest.raises(ImageError, match=message):
        check_jpeg(damage(lambda **kwargs: make_jpeg(1, **kwargs)))


def test_sound_jpegs_pass(make_jpeg):
    """Baseline and progressive JPEGs, with and without padding or EXIF, are accepted."""
    check_jpeg(make_jpeg(1))
    check_jpeg(make_jpeg(1) + b"\0\0")
    for options in ({"progressive": True}, {"exif": Image.Exif()}, {"comment": b"x" * 500}):
        buffer = io.BytesIO()
        Image.new("RGB", (178, 218)).save(buffer, "JPEG", **options)
        check_jpeg(buffer.getvalue())


def test_quality_follows_light_and_blur(make_jpeg):
    """Brightness is the mean luminance; blur lowers sharpness; a broken scan is an error."""

    def encode(grey):
        buffer = io.BytesIO()
        image = Image.fromarray(np.repeat(grey[..., None], 3, axis=2).astype(np.uint8))
        image.save(buffer, "JPEG", quality=95)
        return buffer.getvalue()

    checks = np.indices((218, 178)).sum(axis=0) // 16 % 2 * 200.0
    ramp = np.tile(np.linspace(0, 200, 178), (218, 1))
    bright, sharp = quality(encode(checks))
    assert abs(bright - checks.mean()) < 6
    assert sharp > 3 * quality(encode(ramp))[1]
    assert abs(quality(encode(np.full((218, 178), 90.0)))[0] - 90) < 2
    with pytest.raises(ImageError, match="cannot be decoded"):
        quality(make_jpeg(1)[:300] + b"\xff\xd9")


def test_missing_and_unannotated_images_are_found(celeba_tree, tmp_path):
    """Both directions, by name."""
    root = celeba_tree(tmp_path)
    folder = root / "Img/img_align_celeba"
    (folder / "000003.jpg").rename(folder / "stranger.jpg")
    layout, index = load_index(str(root))
    place, unannotated = locate(index.ids, list_images(layout))
    assert index.ids[place < 0].tolist() == [b"000003.jpg"]
    assert unannotated == [b"stranger.jpg"]


def test_unreadable_image_is_an_error_of_that_image(celeba_tree, tmp_path):
    """A file that vanished after listing, or is a folder, does not stop the others."""
    root = celeba_tree(tmp_path)
    folder = root / "Img/img_align_celeba"
    (folder / "000002.jpg").unlink()
    (folder / "000002.jpg").mkdir()
    ids = [b"000001.jpg", b"000002.jpg", b"000009.jpg", b"nobody.jpg"]
    first, second, third, fourth = read_images(str(folder), ids, None)
    assert isinstance(first, bytes) and first == third  # eight pictures in turn
    assert isinstance(second, ImageError) and "000002.jpg: cannot be read" in second.problem
    assert isinstance(fourth, ImageError) and "nobody.jpg: cannot be read" in fourth.problem


def test_unreadable_folder_is_named(celeba_tree, tmp_path):
    """A folder without the right to read it; root, who may read everything, steps down."""
    root = celeba_tree(tmp_path / "data")
    (root / "Anno").chmod(0)
    was_root = os.geteuid() == 0
    if was_root:
        for folder in (*tmp_path.parents[:2], tmp_path):
            folder.chmod(0o755)
        os.seteuid(65534)
    try:
        with pytest.raises(DataError, match="Anno: the folder cannot be read"):
            find_layout(str(root))
    finally:
        if was_root:
            os.seteuid(0)
        (root / "Anno").chmod(0o755)


def zip_path(root):
    return root / "Img/img_align_celeba.zip"


def test_zip_with_a_bad_crc(celeba_tree, tmp_path):
    """A flipped byte in the zip is found for stored and deflated entries, and only there."""
    root = celeba_tree(tmp_path, images_in="zip")
    with zipfile.ZipFile(zip_path(root)) as archive:
        infos = archive.infolist()
        wanted = [archive.read(i) for i in infos]
    content = bytearray(zip_path(root).read_bytes())
    for info in infos[4:6]:  # one stored, one deflated
        content[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 0xFF
    zip_path(root).write_bytes(content)
    layout = find_layout(str(root))
    listing = list_images(layout)
    images = list(read_images(listing.path, listing.names.tolist(), listing.entries))
    for image in images[4:6]:
        assert isinstance(image, ImageError)
        assert "CRC-32" in image.problem or "cannot be read from the zip" in image.problem
    del images[4:6], wanted[4:6]
    assert images == wanted


@pytest.mark.parametrize(
    ("name", "message"),
    [("../000001.jpg", "climbs out"), ("/etc/x.jpg", "climbs out"), ("a\\..\\b.jpg", "climbs out")],
)
def test_zip_with_a_path_that_climbs_out(celeba_tree, tmp_path, name, message):
    """Such an archive is refused as a whole."""
    root = celeba_tree(tmp_path, images_in="zip")
    with zipfile.ZipFile(zip_path(root), "a") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(DataError, match=message):
        list_images(find_layout(str(root)))


def test_zip_that_is_none(celeba_tree, tmp_path):
    """The quota page, and a zip cut off while downloading."""
    root = celeba_tree(tmp_path, images_in="zip")
    content = zip_path(root).read_bytes()
    zip_path(root).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="not a zip, or cut off"):
        list_images(find_layout(str(root)))
    zip_path(root).write_text("<html>Too many users have viewed this file</html>")
    with pytest.raises(DataError, match="HTML page, not a zip"):
        list_images(find_layout(str(root)))


def test_zip_with_an_image_twice(celeba_tree, tmp_path):
    """Two entries of one name would make the content a matter of luck."""
    root = celeba_tree(tmp_path, images_in="zip")
    with zipfile.ZipFile(zip_path(root), "a") as archive:
        archive.writestr("other/000001.jpg", b"x")
    with pytest.raises(DataError, match="000001.jpg more than once"):
        list_images(find_layout(str(root)))


class HereFileSystem(LocalFileSystem):
    """A file system of Beam for "here:///path", as gs:// and s3:// have theirs."""

    @classmethod
    def scheme(cls):
        """The scheme that Beam looks up."""
        return "here"

    def match(self, patterns, limits=None):
        """Matches files, not below folders."""
        results = super().match([p.removeprefix("here://") for p in patterns], limits)
        for result in results:
            for found in result.metadata_list:
                found.path = f"here://{found.path}"
        return results

    def exists(self, path):
        """Whether a file is there."""
        return super().exists(path.removeprefix("here://"))

    def open(self, path, *arguments, **options):
        """Opens a file."""
        return super().open(path.removeprefix("here://"), *arguments, **options)


@pytest.mark.parametrize("images_in", ["folder", "zip"])
@pytest.mark.parametrize("layout", ["official", "kaggle"])
def test_uris_read_as_paths_do(celeba_tree, tmp_path, layout, images_in):
    """Through Beam's file systems: the same index and images as from the local path."""
    root = celeba_tree(tmp_path, images=30, layout=layout, images_in=images_in)
    read = {}
    for address in (str(root), f"here://{root}"):
        found, index = load_index(address)
        listing = list_images(found)
        place, unannotated = locate(index.ids, listing)
        assert not unannotated
        entries = None if listing.entries is None else listing.entries.take(place)
        images = list(read_images(listing.path, index.ids.tolist(), entries))
        read[address] = (found.name, index.ids.tolist(), index.attributes.tolist(), images)
    local, remote = read.values()
    assert local == remote
    assert all(isinstance(i, bytes) for i in local[3])
