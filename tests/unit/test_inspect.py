"""What `genq data inspect` says, against plain counts."""

import io

import pytest
from rich.console import Console
from typer.testing import CliRunner

from data.celeba.inspect import inspect, render
from pipeline.cli.data import app


def test_inspection_counts_what_is_there(celeba_tree, tmp_path):
    """Images, identities, splits and rates are those of the annotation files."""
    found = inspect(str(celeba_tree(tmp_path)))
    assert (found.annotated, found.images, found.identities) == (120, 120, 40)
    assert found.split_sizes == {"train": 96, "val": 12, "test": 12}
    lines = (tmp_path / "Anno/list_attr_celeba.txt").read_text().splitlines()
    smiling = lines[1].split().index("Smiling") + 1
    male = lines[1].split().index("Male") + 1
    rows = [line.split() for line in lines[2:]]
    men = [r for r in rows if r[male] == "1"]
    assert found.rates["Smiling"]["all"] == sum(r[smiling] == "1" for r in rows) / 120
    assert found.rates["Smiling"]["male"] == sum(r[smiling] == "1" for r in men) / len(men)
    assert found.rates["Male"]["male"] == 1
    assert found.missing_parts == ("list_bbox_celeba",)
    assert found.problems == ()
    assert found.duplicates is None
    console = Console(file=io.StringIO(), width=120)
    render(found, console)
    assert "official folders, images in a folder" in console.file.getvalue()


def test_inspection_lists_problems_instead_of_stopping(celeba_tree, tmp_path):
    """All bad lines, missing and unannotated images, shared identities and damaged images."""
    root = celeba_tree(tmp_path)
    attributes = root / "Anno/list_attr_celeba.txt"
    lines = attributes.read_text().split("\n")
    lines[4] = lines[4].replace("-1", " 0", 1)
    lines[5] += " 1"
    attributes.write_text("\n".join(lines))
    partition = root / "Eval/list_eval_partition.txt"
    partition.write_text(partition.read_text().replace("000010.jpg  0", "000010.jpg  2"))
    folder = root / "Img/img_align_celeba"
    (folder / "000020.jpg").rename(folder / "stranger.jpg")
    (folder / "000021.jpg").write_bytes(b"")
    found = inspect(str(root), check_images=True)
    problems = "\n".join(found.problems)
    for words in (
        "list_attr_celeba.txt:5: 000003.jpg",
        "list_attr_celeba.txt:6: found 41 values",
        "1 annotated images are missing, e.g. 000020.jpg",
        "images have no annotation, e.g.",
        "1 identities are in more than one partition, e.g. 4",
        "000021.jpg: the file is empty",
    ):
        assert words in problems
    # The tree repeats eight pictures, and 000021.jpg, which is damaged, is not a copy of anything.
    assert found.duplicates is not None and len(found.duplicates) == 8
    assert sum(len(group) for group in found.duplicates) == 119


@pytest.mark.parametrize("damage", [False, True])
def test_command_line_exits_with_3_on_problems(celeba_tree, tmp_path, damage):
    """So that a script can tell."""
    root = celeba_tree(tmp_path)
    if damage:
        (root / "Img/img_align_celeba/000001.jpg").unlink()
    result = CliRunner().invoke(app, ["inspect", str(root)])
    assert result.exit_code == (3 if damage else 0)
    assert "120 annotated images" in result.stdout


def test_many_problems_are_a_count_and_five_examples(celeba_tree, tmp_path):
    """And a file with all of them, for who asks."""
    root = celeba_tree(tmp_path / "data")
    folder = root / "Img/img_align_celeba"
    for number in range(1, 31):
        (folder / f"{number:06d}.jpg").unlink()
    for number in range(31, 51):
        (folder / f"{number:06d}.jpg").write_bytes(b"")
    listed = tmp_path / "all.txt"
    arguments = ["inspect", str(root), "--check-images"]
    shown = CliRunner().invoke(app, arguments).stdout
    assert "30 annotated images are missing" in shown and "--partial" in shown
    assert "and 15 more of this kind" in shown and "--problems FILE" in shown
    assert shown.count(".jpg") < 20
    result = CliRunner().invoke(app, [*arguments, "--problems", str(listed)])
    assert str(listed) in result.stdout.replace("\n", "")
    lines = listed.read_text().splitlines()
    assert sum(line.endswith("the image is missing") for line in lines) == 30
    assert sum("the file is empty" in line for line in lines) == 20
