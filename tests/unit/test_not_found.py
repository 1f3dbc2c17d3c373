"""Folders that hold no copy of CelebA, but what people have in its place: the remedies work."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from copies import contents

from data.celeba.index import load_index
from data.celeba.layouts import find_layout
from data.celeba.own_photos import import_photos
from data.errors import DataError

Tree = Callable[..., Path]


def follow(remedy: str, tmp: Path) -> None:
    """Types what a remedy says, but for genq's own commands."""
    line = next(x for x in remedy.splitlines() if "> labels.csv" in x)
    subprocess.run(["bash", "-ec", line.strip()], cwd=tmp, check=True)


@pytest.mark.parametrize(
    "classes", [("men", "women"), ("male", "female"), ("with beard, full", "no 'beard'")]
)
@pytest.mark.parametrize("splits", [("",), ("train", "val", "test"), ("Training", "Validation")])
def test_a_folder_a_class_is_refused_and_the_command_works_to_the_letter(
    make_jpeg: Callable[..., bytes], tmp_path: Path, classes: tuple[str, str], splits: list[str]
) -> None:
    """The shell makes the table, and the import reads it; also below train, val and test."""
    root = tmp_path / "my faces"
    for split in splits:
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for number in range(6):
                photo = root / split / name / f"a, {number}.jpg"
                photo.write_bytes(make_jpeg(number))
    shown = ", ".join(sorted(classes))
    with pytest.raises(DataError, match=rf"2 folders with images \({shown}\)") as caught:
        find_layout(str(root))
    follow(caught.value.remedy, tmp_path)
    # A remark stands behind the command as a comment of the shell.
    assert "(--" not in caught.value.remedy
    made = import_photos(root, tmp_path / "labels.csv", tmp_path / "copy", aligned=True)
    assert made.images == 12 * len(splits)
    index = load_index(str(tmp_path / "copy"))[1]
    assert index.attribute("Male").sum() == 6 * len(splits) and index.annotated == ("Male",)
    assert (index.partition is None) == (splits == ("",))
    if "male" in classes:
        rows = (tmp_path / "labels.csv").read_text().splitlines()[1:]
        assert all((",1" in row.rpartition('"')[2]) == ("female" not in row) for row in rows)


def test_an_attribute_file_of_another_name_is_recognised_and_the_remedy_works(
    celeba_tree: Tree, tmp_path: Path
) -> None:
    """It is there; only its name is another."""
    tree = celeba_tree(tmp_path / "my copy", images=9, layout="kaggle")
    _, images = contents(tree)
    (tree / "list_attr_celeba.csv").rename(tree / "attributes.csv")
    with pytest.raises(DataError, match=r"attributes.csv looks like one") as caught:
        find_layout(str(tree))
    command = caught.value.remedy.partition(": ")[2]
    subprocess.run(["bash", "-ec", command], check=True)
    assert contents(tree)[1] == images


def test_archives_that_are_no_zip_are_unpacked_by_what_the_remedy_says(
    celeba_tree: Tree, tmp_path: Path
) -> None:
    """A tar of the whole copy, and the attributes as gzip; others are named as well."""
    tree = celeba_tree(tmp_path / "a/celeba", images=9, layout="kaggle")
    _, images = contents(tree)
    (tmp_path / "my copy").mkdir()
    archive = tmp_path / "my copy/celeba.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", tree.parent, "celeba"], check=True)
    with pytest.raises(DataError, match=r"celeba.tar.gz is packed in a way") as caught:
        find_layout(str(tmp_path / "my copy"))
    subprocess.run(["bash", "-ec", caught.value.remedy.partition(": ")[2]], check=True)
    assert contents(tmp_path / "my copy")[1] == images
    subprocess.run(["gzip", tree / "list_attr_celeba.csv"], check=True)
    with pytest.raises(DataError, match=r"list_attr_celeba.csv.gz is packed") as caught:
        find_layout(str(tree))
    subprocess.run(["bash", "-ec", caught.value.remedy.partition(": ")[2]], check=True)
    assert contents(tree)[1] == images
    shutil.rmtree(tree / "img_align_celeba")
    (tree / "img_align_celeba_png.7z.001").write_bytes(b"7z")
    with pytest.raises(DataError, match=r"img_align_celeba_png.7z.001 is packed") as caught:
        find_layout(str(tree))
    assert f"7z x {tree}/img_align_celeba_png.7z.001 -o{tree}" in caught.value.remedy
    (tree / "img_align_celeba_png.7z.001").unlink()
    (tree / "list_attr_celeba.csv").rename(tree / "list_attr_celeba.xlsx")
    with pytest.raises(DataError, match=r"list_attr_celeba.xlsx, which genq does not read"):
        find_layout(str(tmp_path / "a"))
