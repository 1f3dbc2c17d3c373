"""Folders and files as people have them: found, or refused with a remedy that works."""

import io
import shutil
import struct
import zipfile
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from copies import contents, zipped
from PIL import Image

from data import contract
from data.celeba.convert import aligned_jpeg
from data.celeba.images import list_images, read_images
from data.celeba.index import Index, load_index
from data.celeba.layouts import INPUT_PATTERNS, find_layout
from data.errors import AnnotationError, DataError, ImageError

Tree = Callable[..., Path]


MOVED: dict[str, Callable[[Path, Path], Path]] = {
    "torchvision's celeba/ below the root": lambda tree, tmp: shutil.move(tree, tmp / "r/celeba"),
    "the Drive's CelebA/": lambda tree, tmp: shutil.move(tree, tmp / "r/CelebA"),
    "two folders down": lambda tree, tmp: shutil.move(tree, tmp / "r/data/CelebA"),
}


@pytest.mark.parametrize("layout", ["official", "flat", "kaggle"])
@pytest.mark.parametrize("how", MOVED)
def test_a_copy_some_folders_down_is_found(
    celeba_tree: Tree, tmp_path: Path, layout: str, how: str
) -> None:
    """Whatever its own arrangement."""
    reference, images = contents(celeba_tree(tmp_path / "a", images=30, layout=layout))
    tree = celeba_tree(tmp_path / "b", images=30, layout=layout)
    (tmp_path / "r/data").mkdir(parents=True)
    MOVED[how](tree, tmp_path)
    index, found = contents(tmp_path / "r")
    assert found == images and np.array_equal(index.attributes, reference.attributes)


@pytest.mark.parametrize("layout", ["kaggle", "official", "flat"])
@pytest.mark.parametrize("named", ["the folder", "the zip"])
def test_an_archive_with_everything_is_read_unopened(
    celeba_tree: Tree, tmp_path: Path, layout: str, named: str
) -> None:
    """Kaggle's archive.zip."""
    tree = celeba_tree(tmp_path / "a", images=30, layout=layout)
    reference, images = contents(tree)
    (tmp_path / "r").mkdir()
    zipped(tree, tmp_path / "r/archive.zip")
    index, found = contents(tmp_path / ("r" if named == "the folder" else "r/archive.zip"))
    assert found == images and np.array_equal(index.partition, reference.partition)
    assert all("archive.zip!/" in path for path in index.sha256)


def test_a_zip_in_a_zip_is_refused_and_unpacking_it_works(
    celeba_tree: Tree, tmp_path: Path
) -> None:
    """As the Drive packs its folder."""
    tree = celeba_tree(tmp_path / "a", images=30, images_in="zip")
    _, images = contents(tree)
    (tmp_path / "r").mkdir()
    zipped(tree, tmp_path / "r/CelebA.zip")
    with pytest.raises(DataError, match="img_align_celeba.zip is a zip in the zip") as caught:
        find_layout(str(tmp_path / "r"))
    command = caught.value.remedy.partition(": ")[2].split()
    assert command[0] == "unzip" and command[2] == "-d"
    archive, folder = command[1], command[3]
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    assert contents(Path(folder))[1] == images


def test_two_copies_are_named(celeba_tree: Tree, tmp_path: Path) -> None:
    """Rather than one of them taken."""
    celeba_tree(tmp_path / "r/one", images=9)
    celeba_tree(tmp_path / "r/two", images=9)
    with pytest.raises(DataError, match=r"holds 2 copies: .*/one, .*/two") as caught:
        find_layout(str(tmp_path / "r"))
    assert "Name the one" in caught.value.remedy


def resaved(image: bytes, kind: str, size: tuple[int, int] = (178, 218)) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(image)).resize(size).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("folder", "renamed"),
    [("img_align_celeba", True), ("img_align_celeba", False), ("img_align_celeba_png", True)],
)
def test_pngs_in_place_are_read(
    celeba_tree: Tree, tmp_path: Path, folder: str, renamed: bool
) -> None:
    """The annotations say 000001.jpg, the disk has 000001.png; or PNGs that are called .jpg."""
    tree = celeba_tree(tmp_path, images=12, layout="flat")
    files = tree / "img_align_celeba"
    for path in list(files.iterdir()):
        path.write_bytes(resaved(path.read_bytes(), "PNG"))
        if renamed:
            path.rename(path.with_suffix(".png"))
    files.rename(tree / folder)
    _, images = contents(tree)
    assert len(images) == 12
    for image in images.values():
        with Image.open(io.BytesIO(aligned_jpeg(image))) as opened:
            assert (opened.format, opened.size, opened.mode) == ("JPEG", (178, 218), "RGB")


@pytest.mark.parametrize(("kind", "size"), [("PNG", (178, 218)), ("JPEG", (89, 109)),
                                            ("WEBP", (178, 218)), ("JPEG", (356, 436)),
                                            ("BMP", (89, 109))])  # fmt: skip
def test_other_formats_and_sizes_show_the_same_picture(
    make_jpeg: Callable[..., bytes], kind: str, size: tuple[int, int]
) -> None:
    """Up to what compression and the change of size cost."""
    original = make_jpeg(3)
    made = aligned_jpeg(resaved(original, kind, size))
    pixels = [np.asarray(Image.open(io.BytesIO(i)), np.float32) for i in (original, made)]
    assert pixels[1].shape == (218, 178, 3) and np.abs(pixels[0] - pixels[1]).mean() < 6
    assert aligned_jpeg(original) is original


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (178, 178), (64, 78)])
def test_crops_of_other_proportions_are_refused_with_the_cause(
    make_jpeg: Callable[..., bytes], size: tuple[int, int]
) -> None:
    """What was cut off is not in the file; the size that is half of CelebA's is."""
    small = resaved(make_jpeg(3), "JPEG", size)
    if size == (64, 78):  # the same proportions
        assert aligned_jpeg(small)
        return
    with pytest.raises(ImageError, match=f"{size[0]}x{size[1]} px; .*genq data fetch"):
        aligned_jpeg(small)


def test_images_beside_the_annotations(celeba_tree: Tree, tmp_path: Path) -> None:
    """All in one folder."""
    tree = celeba_tree(tmp_path, images=12, layout="flat")
    _, images = contents(tree)
    for path in list((tree / "img_align_celeba").iterdir()):
        path.rename(tree / path.name)
    (tree / "img_align_celeba").rmdir()
    assert contents(tree)[1] == images


@pytest.mark.parametrize("beside", ["all annotations", "the identities"])
def test_an_archive_with_annotations_beside_it_is_read_unopened(
    celeba_tree: Tree, tmp_path: Path, beside: str
) -> None:
    """The zip of another name with the images only, or without the identities."""
    tree = celeba_tree(tmp_path / "a", images=30, layout="flat")
    reference, images = contents(tree)
    (tmp_path / "r").mkdir()
    for path in list(tree.glob("*.txt")):
        if beside == "all annotations" or path.stem == "identity_CelebA":
            path.rename(tmp_path / "r" / path.name)
    zipped(tree, tmp_path / "r/archive.zip")
    index, found = contents(tmp_path / "r")
    assert found == images
    assert np.array_equal(index.identity, reference.identity)
    assert np.array_equal(index.partition, reference.partition)


def test_two_archives_with_images_are_named(celeba_tree: Tree, tmp_path: Path) -> None:
    """Rather than one of them taken."""
    tree = celeba_tree(tmp_path / "r", images=9, layout="flat")
    for name in ("one.zip", "two.zip"):
        zipped(tree / "img_align_celeba", tree / name)
    shutil.rmtree(tree / "img_align_celeba")
    with pytest.raises(DataError, match=r"2 zips with images: .*one.zip, .*two.zip") as caught:
        find_layout(str(tree))
    assert "Call the one that is meant img_align_celeba.zip" in caught.value.remedy


def test_names_in_capitals_are_found(celeba_tree: Tree, tmp_path: Path) -> None:
    """As some file systems and people write them."""
    tree = celeba_tree(tmp_path, images=9, layout="flat")
    reference, images = contents(tree)
    for path in list(tree.glob("*.txt")):
        path.rename(path.with_name(path.name.upper()))
    index, found = contents(tree)
    assert found == images and np.array_equal(index.partition, reference.partition)


def _matches(name: str) -> bool:
    """Whether a pattern of example-gen's fingerprint matches a path below the root; no * over /."""
    return any(
        name.count("/") == pattern.count("/") and fnmatch(name, pattern)
        for pattern in INPUT_PATTERNS.values()
    )


@pytest.mark.parametrize("images_in", ["folder", "zip"])
@pytest.mark.parametrize("layout", ["official", "flat", "kaggle"])
def test_the_fingerprint_sees_every_file_that_is_read(
    celeba_tree: Tree, tmp_path: Path, layout: str, images_in: str
) -> None:
    """A file that no pattern matches could change unseen."""
    celeba_tree(tmp_path, images=9, layout=layout, images_in=images_in)
    found = find_layout(str(tmp_path))
    images = [found.images]
    if images_in == "folder":
        images = [f"{found.images}/{name.decode()}" for name in list_images(found).names.tolist()]
    for path in [*found.annotation_files, *images]:
        assert _matches(str(Path(path).relative_to(found.root)))
    assert _matches("archive.zip") and _matches("train-00000-of-00002.parquet")
    assert _matches("celeb_a-train.tfrecord-00000-of-00014")
    assert _matches("img_align_celeba_png/000001.png") and _matches("000001.jpeg")
    assert len(set(INPUT_PATTERNS.values())) == len(INPUT_PATTERNS)


# --- tables with images --------------------------------------------------------------------------


def as_parquet(tree: Path, root: Path, *, struct_images: bool, names: bool, kind: str) -> None:
    """Writes a copy as the Hub has it: a file or two a split, small groups of rows."""
    index, images = contents(tree)
    assert index.partition is not None and index.identity is not None
    for split in range(3):
        rows = np.flatnonzero(index.partition == split)
        parts = np.array_split(rows, 2 if split == 0 else 1)
        for number, part in enumerate(parts):
            ids = index.ids[part].tolist()
            image: list[object] = [images[i] for i in ids]
            if struct_images:
                image = [{"bytes": images[i], "path": i.decode() if names else None} for i in ids]
            values = {n: index.attributes[part, c] for c, n in enumerate(contract.ATTRIBUTES)}
            shown = {
                "bool": lambda v: v.astype(bool),
                "0/1": lambda v: v.astype(np.int64),
                "-1/1": lambda v: v.astype(np.int64) * 2 - 1,
            }[kind]
            table = pa.table(
                {
                    "image": image,
                    "celeb_id": index.identity[part],
                    **{n: shown(v) for n, v in values.items()},
                }
            )
            name = ("train", "validation", "test")[split]
            (root / "data").mkdir(parents=True, exist_ok=True)
            path = root / "data" / f"{name}-{number:05d}-of-{len(parts):05d}.parquet"
            pq.write_table(table, path, row_group_size=7)


@pytest.mark.parametrize(
    ("struct_images", "names", "kind"),
    [(True, True, "bool"), (True, False, "bool"), (False, False, "0/1"), (True, True, "-1/1")],
)
def test_the_hubs_parquet_is_read(
    celeba_tree: Tree, tmp_path: Path, struct_images: bool, names: bool, kind: str
) -> None:
    """Images as bytes or as bytes and path; the same images, attributes, people and splits."""
    tree = celeba_tree(tmp_path / "a")
    reference, images = contents(tree)
    as_parquet(tree, tmp_path / "hub", struct_images=struct_images, names=names, kind=kind)
    index, found = contents(tmp_path / "hub")
    assert reference.identity is not None and index.identity is not None
    assert index.annotated == contract.ATTRIBUTES and not index.notes

    def rows(i: Index, of: dict[bytes, bytes]) -> list[tuple[object, ...]]:
        assert i.partition is not None
        return sorted(
            (int(i.partition[n]), i.attributes[n].tobytes(), of[name])
            for n, name in enumerate(i.ids.tolist())
        )

    assert rows(index, found) == rows(reference, images)
    assert len(np.unique(index.identity)) == len(np.unique(reference.identity))
    if names:
        assert set(index.ids.tolist()) == set(reference.ids.tolist())
    else:
        assert index.ids[0] == b"test-000000.jpg"
    # In any order, over the borders of files and groups of rows.
    layout = find_layout(str(tmp_path / "hub"))
    listing = list_images(layout)
    mixed = np.random.default_rng(0).permutation(len(listing.names))[:50]
    assert listing.entries is not None
    some = list(read_images(listing.path, [], listing.entries.take(mixed)))
    assert some == [found[listing.names[i]] for i in mixed]


def test_tfds_records_are_read(celeba_tree: Tree, tmp_path: Path) -> None:
    """What TensorFlow writes, without TensorFlow; the data set's folder or one above."""
    tf = pytest.importorskip("tensorflow")
    reference, images = contents(celeba_tree(tmp_path / "a"))
    assert reference.partition is not None and reference.landmarks is not None
    folder = tmp_path / "tensorflow_datasets/celeb_a/2.1.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    for split, name in enumerate(("train", "validation", "test")):
        path = folder / f"celeb_a-{name}.tfrecord-00000-of-00001"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for row in np.flatnonzero(reference.partition == split):
                example = tf.train.Example()
                feature = example.features.feature
                for column, attribute in enumerate(contract.ATTRIBUTES):
                    feature[f"attributes/{attribute}"].int64_list.value.append(
                        int(reference.attributes[row, column])
                    )
                for column, mark in enumerate(contract.LANDMARK_NAMES):
                    feature[f"landmarks/{mark}"].int64_list.value.append(
                        int(reference.landmarks[row, column])
                    )
                feature["image"].bytes_list.value.append(images[reference.ids[row]])
                writer.write(example.SerializeToString())
    for root in (folder, folder.parent, folder.parent.parent):
        index, found = contents(root)
        assert index.identity is None and index.landmarks is not None
        for split in range(3):
            here, there = (np.flatnonzero(i.partition == split) for i in (index, reference))
            assert np.array_equal(index.attributes[here], reference.attributes[there])
            assert np.array_equal(index.landmarks[here], reference.landmarks[there])
            assert [found[i] for i in index.ids[here]] == [images[i] for i in reference.ids[there]]
    path = folder / "celeb_a-test.tfrecord-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"celeb_a-test.*cut off, or no TFRecord file: the record"):
        load_index(str(folder))


def test_tables_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    """Images only; no images; a column of words; another file's columns; no Parquet."""
    image = pa.array([b"x", b"y"])
    path = tmp_path / "train-0.parquet"

    def refused(match: str) -> None:
        with pytest.raises(DataError, match=match) as caught:
            load_index(str(tmp_path))
        assert str(path) in caught.value.problem

    pq.write_table(pa.table({"image": image}), path)
    refused("no column is one of CelebA's attributes; found images only")
    pq.write_table(pa.table({"Male": [1, 0]}), path)
    refused("no column holds images; found Male")
    pq.write_table(pa.table({"image": image, "Male": ["m", "f"]}), path)
    refused("column 'Male' is of type string; expected true and false")
    pq.write_table(pa.table({"image": image, "Male": [1, None]}), path)
    refused("column 'Male' has 1 empty values")
    pq.write_table(pa.table({"image": image, "Male": [1, 7]}), path)
    refused("column 'Male', row 1: found 7")
    path.write_bytes(b"PAR1 and no more")
    refused("cannot be read as Parquet")
    path.unlink()
    (tmp_path / "celeb_a-train.tfrecord-00000-of-00001").write_bytes(
        struct.pack("<QI", 4, 0) + b"x" * 8
    )
    with pytest.raises(DataError, match="is no tf.train.Example"):
        load_index(str(tmp_path))
    assert issubclass(AnnotationError, DataError)
