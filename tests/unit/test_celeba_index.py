"""Annotation files: every layout read alike, every fault named by file and line."""

import numpy as np
import pytest

from data import contract
from data.celeba.images import list_images, locate, read_images
from data.celeba.index import load_index
from data.celeba.layouts import find_layout
from data.errors import AnnotationError, DataError

ATTRIBUTES = "Anno/list_attr_celeba.txt"
PARTITION = "Eval/list_eval_partition.txt"
MALE = contract.ATTRIBUTES.index("Male")


@pytest.mark.parametrize("images_in", ["folder", "zip"])
@pytest.mark.parametrize("layout", ["official", "flat", "kaggle"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_every_layout_reads_the_same(celeba_tree, tmp_path, layout, images_in, line_end):
    """Folders, flat, Kaggle; images in a folder or a zip; LF or CRLF: the same index and bytes."""
    reference = load_index(str(celeba_tree(tmp_path / "a")))[1]
    root = celeba_tree(tmp_path / "b", layout=layout, images_in=images_in, line_end=line_end)
    found, index = load_index(str(root))
    assert np.array_equal(index.ids, reference.ids)
    assert np.array_equal(index.attributes, reference.attributes)
    assert np.array_equal(index.partition, reference.partition)
    assert np.array_equal(index.landmarks, reference.landmarks)
    assert (index.identity is None) == (layout == "kaggle")
    assert found.images_kind == images_in and images_in in found.name
    listing = list_images(found)
    place, unannotated = locate(index.ids, listing)
    assert not unannotated and (place >= 0).all()
    entries = None if listing.entries is None else listing.entries.take(place)
    images = list(read_images(listing.path, index.ids.tolist(), entries))
    # The tree reuses eight pictures in turn.
    assert images[:8] == images[8:16] and len(set(images)) == 8


def test_index_agrees_with_a_naive_reader(celeba_tree, tmp_path):
    """Attributes, partition and identities are what plain string splitting gives."""
    root = celeba_tree(tmp_path)
    _, index = load_index(str(root))
    lines = (root / ATTRIBUTES).read_text().splitlines()[2:]
    for row, line in enumerate(lines):
        name, *values = line.split()
        assert index.ids[row] == name.encode()
        assert index.attributes[row].tolist() == [int(v == "1") for v in values]
    partition = dict(line.split() for line in (root / PARTITION).read_text().splitlines())
    assert index.partition.tolist() == [int(partition[i.decode()]) for i in index.ids]


def test_row_order_of_other_files_does_not_matter(celeba_tree, tmp_path):
    """Files are joined by image id, not by position."""
    root = celeba_tree(tmp_path)
    before = load_index(str(root))[1]
    lines = (root / PARTITION).read_text().splitlines()
    (root / PARTITION).write_text("\n".join(reversed(lines)) + "\n")
    assert np.array_equal(load_index(str(root))[1].partition, before.partition)


def replace_line(root, file, number, change):
    path = root / file
    lines = path.read_text().split("\n")
    lines[number - 1] = change(lines[number - 1])
    path.write_text("\n".join(lines))


def set_value(column, value):
    def change(line):
        fields = line.split()
        fields[column + 1] = value
        return " ".join(fields)

    return change


FAULTS = {
    "value 0": (
        ATTRIBUTES, 7, set_value(MALE, "0"), r"list_attr_celeba.txt:7: 000005.jpg, Male: found 0; "
        "expected -1 or 1"),
    "value 2": (
        ATTRIBUTES, 9, set_value(0, "2"), r":9: 000007.jpg, 5_o_Clock_Shadow: found 2"),
    "no number": (
        ATTRIBUTES, 9, set_value(39, "x"), r":9: 000007.jpg, Young: found 'x'; expected a number"),
    "39 columns": (
        ATTRIBUTES, 5, lambda line: line.rsplit(None, 1)[0],
        r":5: found 39 values after the file name; expected 40"),
    "41 columns": (
        ATTRIBUTES, 5, lambda line: line + " 1", r":5: found 41 values after the file name"),
    "first row has 41 columns": (
        ATTRIBUTES, 3, lambda line: line + " 1", r":3: found 41 values after the file name"),
    "duplicate id": (
        ATTRIBUTES, 6, lambda line: line.replace("000004", "000001"),
        r":6: 000001.jpg duplicates line 3"),
    "unknown attribute": (
        ATTRIBUTES, 2, lambda line: line.replace("Male", "Masculine"),
        r":2: unknown column 'Masculine', and column 'Male' is missing"),
    "count that lies": (
        ATTRIBUTES, 1, lambda line: "121", r":1: the first line says 121 rows; the file has 120"),
    "count that is none": (
        ATTRIBUTES, 1, lambda line: "many", r":1: found 'many'; expected the number of rows, or"),
    "unknown partition": (
        PARTITION, 3, lambda line: "000003.jpg 3", r":3: 000003.jpg, partition: found 3; "
        "expected 0 or 1 or 2"),
    "partition of another image": (
        PARTITION, 3, lambda line: "999999.jpg 0",
        r"list_eval_partition.txt: no line for 000003.jpg"),
    "identity is no number": (
        "Anno/identity_CelebA.txt", 4, lambda line: "000004.jpg Ann",
        r"identity_CelebA.txt:4: 000004.jpg, identity: found 'Ann'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_annotation_faults_are_named(celeba_tree, tmp_path, fault):
    """Each fault stops at once and names file, line, field, what was found and expected."""
    file, number, change, message = FAULTS[fault]
    root = celeba_tree(tmp_path)
    replace_line(root, file, number, change)
    with pytest.raises(AnnotationError, match=message):
        load_index(str(root))


def test_allowed_faults_are_set_aside_and_listed(celeba_tree, tmp_path):
    """With a limit, bad lines are left out of every array and counted; one more stops the run."""
    root = celeba_tree(tmp_path)
    replace_line(root, ATTRIBUTES, 7, set_value(MALE, "0"))
    replace_line(root, PARTITION, 9, lambda line: "000009.jpg 7")
    _, index = load_index(str(root), max_faults=2)
    assert len(index) == 118
    assert {b"000005.jpg", b"000009.jpg"}.isdisjoint(index.ids.tolist())
    assert [f.line for f in index.faults] == [7, 9]
    assert len(index.identity) == len(index.landmarks) == len(index.partition) == 118
    with pytest.raises(AnnotationError, match="list_eval_partition.txt:9"):
        load_index(str(root), max_faults=1)


def test_quota_page_in_place_of_annotations_is_recognised(celeba_tree, tmp_path):
    """Google Drive's HTML page under the name of a file is called what it is."""
    root = celeba_tree(tmp_path)
    (root / ATTRIBUTES).write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    with pytest.raises(AnnotationError, match="HTML page"):
        load_index(str(root))


def test_missing_parts_are_named(celeba_tree, tmp_path):
    """An empty folder, and one without images or attributes, say what was looked for."""
    with pytest.raises(DataError, match="no such folder, or it is empty"):
        find_layout(str(tmp_path / "nothing"))
    root = celeba_tree(tmp_path / "a", partition=False)
    assert "list_eval_partition" in find_layout(str(root)).missing_parts
    (root / ATTRIBUTES).unlink()
    with pytest.raises(DataError, match=r"no attribute file.*Anno/list_attr_celeba.txt"):
        find_layout(str(root))


def test_an_uncountable_error_has_no_silent_repair(celeba_tree, tmp_path):
    """A file cut off in the middle of a line is refused, and the line named."""
    root = celeba_tree(tmp_path)
    text = (root / ATTRIBUTES).read_text()
    (root / ATTRIBUTES).write_text(text[: len(text) - 30])
    with pytest.raises(AnnotationError, match=r"list_attr_celeba.txt:122: found \d+ values"):
        load_index(str(root))


def test_a_column_of_zeros_says_nothing_and_a_single_zero_is_a_fault(celeba_tree, tmp_path) -> None:
    """People's own data: 0 in every row; 0 in one row is named by its line, also in the first."""
    root = celeba_tree(tmp_path)
    path = root / "Anno/list_attr_celeba.txt"
    lines = path.read_text().splitlines()
    rows = [line.split() for line in lines[2:]]
    column = contract.ATTRIBUTES.index("Bald") + 1
    for row in rows:
        row[column] = "0"
    path.write_text("\n".join([*lines[:2], *map(" ".join, rows)]) + "\n")
    _, index = load_index(str(root))
    assert set(contract.ATTRIBUTES) - set(index.annotated) == {"Bald"}
    rows[1][column + 1] = "7"  # a fault elsewhere takes the slow way
    path.write_text("\n".join([*lines[:2], *map(" ".join, rows)]) + "\n")
    _, index = load_index(str(root), max_faults=1)
    assert "Bald" not in index.annotated and len(index.faults) == 1
    first = [line.split() for line in lines[2:]]
    first[0][column] = "0"
    path.write_text("\n".join([*lines[:2], *map(" ".join, first)]) + "\n")
    with pytest.raises(AnnotationError, match=r"list_attr_celeba.txt:3: .*Bald: found 0"):
        load_index(str(root))
