"""Annotation files as people have them: the unambiguous is read, and what was assumed is said."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from data import contract
from data.celeba.index import ATTRIBUTE_TABLE, Index, load_index
from data.celeba.tables import parse
from data.errors import AnnotationError

Rows = list[tuple[str, list[str]]]
ATTRIBUTES = "list_attr_celeba"
NAMES = list(contract.ATTRIBUTES)


@pytest.fixture
def tree(celeba_tree: Callable[..., Path], tmp_path: Path) -> Path:
    """A flat copy of 60 images."""
    return celeba_tree(tmp_path / "copy", images=60, layout="flat")


def rows_of(tree: Path, name: str = ATTRIBUTES) -> Rows:
    lines = (tree / f"{name}.txt").read_text().splitlines()
    lines = lines[2:] if lines[0].isdigit() else lines
    return [(line.split()[0], line.split()[1:]) for line in lines]


def text(
    rows: Rows,
    *,
    sep: str = " ",
    end: str = "\n",
    count: bool = True,
    header: Iterable[str] | None = NAMES,
    id_name: str = "",
    value: Callable[[str], str] = str,
    name: Callable[[str], str] = str,
    first: Callable[[int], str] | None = None,
) -> str:
    """Writes a table; `id_name` is the heading of the file names."""
    lines = [str(len(rows))] if count else []
    if header is not None:
        lines.append(sep.join([*([id_name] if id_name else []), *header]))
        if first:
            lines[-1] = sep + lines[-1]
    for number, (image, values) in enumerate(rows):
        fields = [name(image), *map(value, values)]
        lines.append(sep.join([*([first(number)] if first else []), *fields]))
    return end.join(lines) + end


def zero_one(v: str) -> str:
    return "0" if v == "-1" else "1"


def quoted(v: str) -> str:
    return f'"{v}"'


CSV = {"sep": ",", "count": False, "id_name": "image_id"}
READ: dict[str, tuple[Callable[[Rows], str | bytes], str]] = {
    "as the authors wrote it": (lambda r: text(r), ""),
    "Kaggle's": (lambda r: text(r, **CSV), ""),
    "no count line": (lambda r: text(r, count=False), "no line says how many rows"),
    "0 and 1": (lambda r: text(r, value=zero_one), "are taken for -1 and 1"),
    "0 and 1, no count": (lambda r: text(r, count=False, value=zero_one), "0 and 1 (false"),
    "Kaggle's with 0 and 1": (lambda r: text(r, **CSV, value=zero_one), "0 and 1 (false"),
    "true and false": (
        lambda r: text(r, **CSV, value=lambda v: str(v == "1")), "0 and 1 (false"),
    "true and false in lower case": (
        lambda r: text(r, **CSV, value=lambda v: str(v == "1").lower()), "0 and 1 (false"),
    "yes and no": (
        lambda r: text(r, **CSV, value=lambda v: "yes" if v == "1" else "no"), "0 and 1 (false"),
    "T and F": (lambda r: text(r, **CSV, value=lambda v: "FT"[v == "1"]), "0 and 1 (false"),
    "no suffix": (
        lambda r: text(r, **CSV, name=lambda n: n[:-4]), "000001 is taken for 000001.jpg"),
    "numbers for names": (
        lambda r: text(r, **CSV, name=lambda n: str(int(n[:-4]))), "1 is taken for 000001.jpg"),
    "UTF-16, semicolons and an index": (
        lambda r: text(r, **{**CSV, "sep": ";"}, first=str).encode("utf-16"),
        "the text is UTF-16; the first column counts the rows and is ignored; fields are separ"),
    "CR line ends, 0 and 1, no count": (
        lambda r: text(r, count=False, value=zero_one, end="\r"), "0 and 1 (false"),
    "decimals": (lambda r: text(r, **CSV, value=lambda v: f"{v}.0"), ""),
    "0.0 and 1.0": (lambda r: text(r, **CSV, value=lambda v: zero_one(v) + ".0"), "0 and 1"),
    "plus signs": (lambda r: text(r, value=lambda v: v if v == "-1" else "+1"), ""),
    "a BOM": (lambda r: ("\ufeff" + text(r)).encode(), ""),
    "a BOM, Kaggle's": (lambda r: ("\ufeff" + text(r, **CSV)).encode(), ""),
    "UTF-16 with BOM": (lambda r: text(r).encode("utf-16"), "the text is UTF-16"),
    "UTF-16, little end first": (lambda r: text(r).encode("utf-16-le"), "the text is UTF-16"),
    "UTF-16, big end first": (lambda r: text(r).encode("utf-16-be"), "the text is UTF-16"),
    "semicolons": (lambda r: text(r, **{**CSV, "sep": ";"}), "separated by semicolons"),
    "semicolons and decimal commas": (
        lambda r: text(r, **{**CSV, "sep": ";"}, value=lambda v: f"{v},0"), "separated by semi"),
    "tabs": (lambda r: text(r, **{**CSV, "sep": "\t"}), "separated by tabs"),
    "tabs with a count": (lambda r: text(r, sep="\t"), ""),
    "commas in a .txt": (lambda r: text(r, **CSV), ""),
    "commas and a count": (lambda r: text(r, sep=","), ""),
    "spaces after commas": (lambda r: text(r, **{**CSV, "sep": ", "}), ""),
    "quotes": (lambda r: text(r, **CSV, name=quoted, value=quoted), ""),
    "quotes and spaces": (lambda r: text(r, name=quoted, value=quoted), ""),
    "quoted header": (
        lambda r: text(r, **{**CSV, "id_name": '"image_id"'}, header=map(quoted, NAMES)), ""),
    "an index column": (lambda r: text(r, **CSV, first=str), "first column counts the rows"),
    "an index column called index": (
        lambda r: text(r, **CSV, first=str).replace(",image_id", "index,image_id", 1),
        "first column counts the rows"),
    "CR line ends": (lambda r: text(r, end="\r"), ""),
    "CRLF line ends": (lambda r: text(r, end="\r\n"), ""),
    "CRLF, Kaggle's": (lambda r: text(r, **CSV, end="\r\n"), ""),
    "blank lines between": (lambda r: text(r, end="\n\n"), ""),
    "blank lines first and last": (lambda r: "\n\n" + text(r) + "\n \n", ""),
    "no last line end": (lambda r: text(r).rstrip("\n"), ""),
    "spaces at line ends": (lambda r: text(r, end="  \n"), ""),
    "many spaces": (lambda r: text(r, sep="    "), ""),
    "extra columns": (
        lambda r: text([(i, [*v, "nice photo", "3"]) for i, v in r], **CSV,
                       header=[*NAMES, "notes", "rating"]),
        "columns are not used: 'notes', 'rating'"),
    "extra column between": (
        lambda r: text([(i, ["x", *v]) for i, v in r], **CSV, header=["notes", *NAMES]),
        "columns are not used: 'notes'"),
    "columns in another order": (
        lambda r: text([(i, v[::-1]) for i, v in r], **CSV, header=NAMES[::-1]), "taken by name"),
    "official, in another order": (
        lambda r: text([(i, v[::-1]) for i, v in r], header=NAMES[::-1]), "taken by name"),
    "names in lower case": (lambda r: text(r, **CSV, header=[n.lower() for n in NAMES]), ""),
    "names with spaces": (
        lambda r: text(r, **CSV, header=[n.replace("_", " ") for n in NAMES]), ""),
    "the image column is called filename": (
        lambda r: text(r, **{**CSV, "id_name": "filename"}), ""),
    "the image column is called like nothing": (
        lambda r: text(r, **{**CSV, "id_name": "bild"}), ""),
    "the image column comes last": (
        lambda r: "\n".join([",".join([*NAMES, "image_id"]), *(",".join([*v, i]) for i, v in r)]),
        ""),
    "official with a heading for the names": (lambda r: text(r, id_name="image_id"), ""),
    "no header": (lambda r: text(r, header=None, count=False), "in CelebA's order"),
    "folders before the names": (
        lambda r: text(r, **CSV, name=lambda n: f"img_align_celeba/{n}"), "folders before"),
    "Windows' folders": (
        lambda r: text(r, **CSV, name=lambda n: f"C:\\celeba\\{n}"), "folders before"),
    "rows in another order": (lambda r: text(r[::-1]), ""),
}  # fmt: skip


def by_id(index: Index) -> dict[bytes, tuple[list[int], int, int]]:
    assert index.partition is not None and index.identity is not None
    return {
        i: (index.attributes[n].tolist(), int(index.partition[n]), int(index.identity[n]))
        for n, i in enumerate(index.ids.tolist())
    }


@pytest.mark.parametrize("suffix", ["txt", "csv"])
@pytest.mark.parametrize("variant", READ)
def test_a_file_that_can_be_read_in_one_way_is_read(tree: Path, variant: str, suffix: str) -> None:
    """The same arrays, whatever the suffix; one line says what was assumed."""
    reference = load_index(str(tree))[1]
    write, said = READ[variant]
    content = write(rows_of(tree))
    (tree / f"{ATTRIBUTES}.txt").unlink()
    path = tree / f"{ATTRIBUTES}.{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    index = load_index(str(tree))[1]
    assert by_id(index) == by_id(reference)
    assert index.annotated == contract.ATTRIBUTES
    if said:
        assert said in "\n".join(index.notes) and len(index.notes) == 1
        assert index.notes[0].startswith(str(path))
    else:
        assert not index.notes


PARTS: dict[str, tuple[str, Callable[[Rows], str], str]] = {
    "partition by names": ("list_eval_partition", lambda r: text(
        r, count=False, header=None, value=lambda v: ["train", "val", "test"][int(v)]), ""),
    "partition as valid": ("list_eval_partition", lambda r: text(
        r, **CSV, header=["split"], value=lambda v: ["train", "valid", "test"][int(v)]), ""),
    "partition as Validation": ("list_eval_partition", lambda r: text(
        r, **CSV, header=["partition"], value=lambda v: ["Train", "Validation", "Test"][int(v)]),
        ""),
    "partition with decimals": ("list_eval_partition", lambda r: text(
        r, **CSV, header=["partition"], value=lambda v: f"{v}.0"), ""),
    "partition with a count line": (
        "list_eval_partition", lambda r: text(r, header=None), ""),
    "partition with another heading": ("list_eval_partition", lambda r: text(
        r, **CSV, header=["which"]), "'which' is taken for the partition"),
    "partition with semicolons": ("list_eval_partition", lambda r: text(
        r, **{**CSV, "sep": ";"}, header=["partition"]), "semicolons"),
    "partition of more images": ("list_eval_partition", lambda r: text(
        [*r, ("999999.jpg", ["0"])], count=False, header=None), "lists 1 images more"),
    "identity with a heading": ("identity_CelebA", lambda r: text(
        r, **CSV, header=["identity"]), ""),
    "identity as celeb_id": ("identity_CelebA", lambda r: text(
        r, **CSV, header=["celeb_id"]), ""),
    "identity with decimals": ("identity_CelebA", lambda r: text(
        r, count=False, header=None, value=lambda v: f"{v}.0"), ""),
    "identity with an index": ("identity_CelebA", lambda r: text(
        r, **CSV, header=["identity"], first=str), "counts the rows"),
    "identity, blank lines": ("identity_CelebA", lambda r: text(
        r, count=False, header=None, end="\n\n"), ""),
    "landmarks by commas": ("list_landmarks_align_celeba", lambda r: text(
        r, **CSV, header=contract.LANDMARK_NAMES, value=lambda v: f"{v}.0"), ""),
}  # fmt: skip


@pytest.mark.parametrize("variant", PARTS)
def test_the_other_files_as_well(tree: Path, variant: str) -> None:
    """Partition, identities, landmarks."""
    reference = load_index(str(tree))[1]
    name, write, said = PARTS[variant]
    (tree / f"{name}.txt").write_text(write(rows_of(tree, name)))
    index = load_index(str(tree))[1]
    assert by_id(index) == by_id(reference)
    assert index.landmarks is not None and reference.landmarks is not None
    assert np.array_equal(index.landmarks, reference.landmarks)
    assert (said in "\n".join(index.notes)) and bool(index.notes) == bool(said)


def test_a_subset_of_the_rows(tree: Path) -> None:
    """Of the attributes, or of the partition: the images of both are used, and it is said."""
    rows = rows_of(tree)
    (tree / f"{ATTRIBUTES}.txt").write_text(text(rows[:30]))
    index = load_index(str(tree))[1]
    assert len(index) == 30 and any("lists 30 images more" in note for note in index.notes)
    (tree / f"{ATTRIBUTES}.txt").write_text(text(rows))
    partition = rows_of(tree, "list_eval_partition")
    lines = text(partition[:45], count=False, header=None)
    (tree / "list_eval_partition.txt").write_text(lines)
    index = load_index(str(tree))[1]
    assert len(index) == 45
    assert any("lists 45 of the 60 images" in note for note in index.notes)


def test_partition_and_identity_may_be_columns_of_the_attributes(tree: Path) -> None:
    """Where there are no files of their own."""
    reference = load_index(str(tree))[1]
    splits, people = (dict(rows_of(tree, n)) for n in ("list_eval_partition", "identity_CelebA"))
    rows = [
        (i, [*v, ["train", "val", "test"][int(splits[i][0])], f"p{int(people[i][0]):03d}"])
        for i, v in rows_of(tree)
    ]
    (tree / f"{ATTRIBUTES}.txt").write_text(text(rows, **CSV, header=[*NAMES, "split", "celeb_id"]))
    for name in ("list_eval_partition", "identity_CelebA"):
        (tree / f"{name}.txt").unlink()
    assert by_id(load_index(str(tree))[1]) == by_id(reference)


def test_columns_that_are_not_there_say_nothing(tree: Path) -> None:
    """A table of one's own with three of the attributes."""
    rows = [(i, [v[NAMES.index(n)] for n in ("Male", "Young")]) for i, v in rows_of(tree)]
    (tree / f"{ATTRIBUTES}.txt").write_text(
        text(rows, **CSV, header=["Male", "Young"], value=zero_one)
    )
    index = load_index(str(tree))[1]
    assert index.annotated == ("Male", "Young")
    assert "38 of 40 columns are not there" in index.notes[0]


REFUSED: dict[str, tuple[Callable[[Rows], str | bytes], str, str]] = {
    "a count that is too large": (
        lambda r: text(r).replace("60", "61", 1), r"txt:1: the first line says 61 rows; .* 60",
        "write 60 into the first line, or remove"),
    "a first line that is no count": (
        lambda r: "many\n" + text(r, count=False), r"txt:1: found 'many'", "Remove the line"),
    "a name that is almost right": (
        lambda r: text(r, **CSV, header=["Smilling" if n == "Smiling" else n for n in NAMES]),
        r"txt:1: unknown column 'Smilling', and column 'Smiling' is missing", "Call it 'Smiling'"),
    "another attribute in place of one": (
        lambda r: text(r, **CSV, header=["Masculine" if n == "Male" else n for n in NAMES]),
        r"unknown column 'Masculine', and column 'Male' is missing", "Restore the header"),
    "a heading less": (
        lambda r: text(r, **CSV, header=NAMES[:-3]),
        r"txt:1: the line names 38 columns, and the rows below have 41", "Give every column"),
    "a row with a field less": (
        lambda r: text([*r[:5], (r[5][0], r[5][1][:-1]), *r[6:]], **CSV),
        r"txt:7: found 39 values after the file name; expected 40", "Correct the line"),
    "a cell that is empty": (
        lambda r: text([*r[:5], (r[5][0], ["", *r[5][1][1:]]), *r[6:]], **CSV),
        r"txt:7: 000006.jpg, 5_o_Clock_Shadow: found nothing", "Correct the line"),
    "a cell that is no number": (
        lambda r: text([(r[0][0], ["?", *r[0][1][1:]]), *r[1:]], **CSV),
        r"txt:2: 000001.jpg, 5_o_Clock_Shadow: found '\?'; expected a number", "Correct the line"),
    "a value of 0.5": (
        lambda r: text([(r[0][0], ["0.5", *r[0][1][1:]]), *r[1:]], **CSV),
        r"txt:2: 000001.jpg, 5_o_Clock_Shadow: found '0.5'; expected -1 or 1", "Correct the line"),
    "one zero among -1 and 1": (
        lambda r: text([(r[0][0], ["0", *r[0][1][1:]]), *r[1:]]),
        r"txt:3: 000001.jpg, 5_o_Clock_Shadow: found 0; expected -1 or 1", "Correct the line"),
    "a 2 among 0 and 1": (
        lambda r: text([(r[0][0], ["2", *r[0][1][1:]]), *r[1:]], **CSV, value=lambda v: v.replace(
            "-1", "0")), r"txt:2: 000001.jpg, 5_o_Clock_Shadow: found 2", "Correct the line"),
    "an image twice": (
        lambda r: text([*r, r[0]]), r"txt:63: 000001.jpg duplicates line 3",
        "Correct the line"),
    "a column twice": (
        lambda r: text([(i, [*v, "1"]) for i, v in r], **CSV, header=[*NAMES, "Male"]),
        r"txt:1: column 'Male' is there more than once", "Remove one"),
    "a spreadsheet": (lambda r: b"PK\x03\x04\xff\xfe\x00", "an Excel workbook, not text", "as CSV"),
    "a gzip file": (lambda r: b"\x1f\x8b\x08\xff\xfe", "a gzip file, not text", "as CSV"),
    "an HTML page": (lambda r: "<!DOCTYPE html>", "an HTML page", "quota"),
    "nothing": (lambda r: "", "the file is empty", "Fetch"),
    "a pointer of Git LFS": (
        lambda r: "version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS", "git lfs"),
    "one field a row": (
        lambda r: "\n".join(i for i, _ in r), r"txt:1: found one field, '000001.jpg'", "Separate"),
    "no header and other columns": (
        lambda r: text([(i, v[:7]) for i, v in r], header=None, count=False),
        r"there is no line with the names of the columns, and 7 values", "Write the names"),
    "columns of something else": (
        lambda r: text([(i, ["a", "b"]) for i, v in r], **CSV, header=["caption", "url"]),
        r"no column is one of the 40 expected; found caption, url", "Expected names"),
    "no column with file names": (
        lambda r: text([("x", v) for i, v in r], **{**CSV, "id_name": "whatever"}),
        r"no column names the image", "Call the column with the file names image_id"),
}  # fmt: skip


@pytest.mark.parametrize("variant", REFUSED)
def test_the_rest_is_refused_with_file_line_cause_and_remedy(tree: Path, variant: str) -> None:
    """The file that is wrong is the one that is named."""
    write, problem, remedy = REFUSED[variant]
    content = write(rows_of(tree))
    path = tree / f"{ATTRIBUTES}.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AnnotationError, match=problem) as caught:
        load_index(str(tree))
    assert str(path) in caught.value.problem and remedy in caught.value.remedy


def test_the_remedy_for_a_wrong_count_works_to_the_letter(tree: Path) -> None:
    """Both ways."""
    path = tree / f"{ATTRIBUTES}.txt"
    lines = path.read_text().splitlines()[:-5]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(AnnotationError, match="says 60 rows; the file has 55"):
        load_index(str(tree))
    path.write_text("\n".join(["55", *lines[1:]]) + "\n")
    assert len(load_index(str(tree))[1]) == 55
    path.write_text("\n".join(lines[1:]) + "\n")
    assert len(load_index(str(tree))[1]) == 55


def test_the_slow_way_and_the_fast_way_agree(tree: Path) -> None:
    """Line by line gives what pandas gives."""
    content = (tree / f"{ATTRIBUTES}.txt").read_bytes()
    fast = parse("f", content, ATTRIBUTE_TABLE)
    slow = parse("f", content.replace(b"\n", b"\r"), ATTRIBUTE_TABLE)
    assert np.array_equal(fast.ids, slow.ids) and np.array_equal(fast.values, slow.values)
