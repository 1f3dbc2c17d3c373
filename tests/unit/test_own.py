"""`genq data import`: people's own labelled photos become a data set."""

import csv
import io
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image
from typer.testing import CliRunner

from components.example_gen.sampling import SamplingConfig, draw
from data import contract
from data.celeba.index import load_index
from data.celeba.inspect import inspect
from data.celeba.own_photos import import_photos, read_csv
from data.errors import AnnotationError, DataError, ImageError
from data.faces.crops import detector_crop
from data.faces.detector import FaceDetector
from pipeline.cli.app import app


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A portrait, the same turned by a quarter with EXIF's word for it, and a wall."""
    folder = tmp_path / "photos"
    folder.mkdir()
    with get_sample_data("grace_hopper.jpg") as file:
        portrait = Image.open(file).convert("RGB")
    portrait.save(folder / "grace.jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to show
    portrait.rotate(90, expand=True).save(folder / "turned.png", exif=exif)
    Image.new("RGB", (300, 300), "grey").save(folder / "wall.jpg")
    return folder


def labels(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return path


def test_faces_are_found_turned_and_cut_out_and_what_shows_none_is_listed(
    photos: Path, tmp_path: Path
) -> None:
    """178x218 crops under plain numbers; both copies of the portrait lie alike."""
    table = labels(
        tmp_path, "image_id,Eyeglasses,identity\ngrace.jpg,1,7\nwall.jpg,0,8\nturned.png,1,7\n"
    )
    made = import_photos(photos, table, tmp_path / "own")
    assert (made.images, made.left_out) == (2, (("wall.jpg", "no face was found"),))
    layout, index = load_index(str(tmp_path / "own"))
    assert layout.name == "official folders, images in a folder"
    assert index.ids.tolist() == [b"000001.jpg", b"000002.jpg"]
    assert index.annotated == ("Eyeglasses",)
    assert index.attribute("Eyeglasses").tolist() == [1, 1]
    assert index.identity is not None and index.identity.tolist() == [7, 7]
    crops = [
        np.asarray(Image.open(p).convert("L"), np.float64)
        for p in sorted((tmp_path / "own/Img/img_align_celeba").iterdir())
    ]
    assert [c.shape for c in crops] == [(218, 178)] * 2
    assert np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1] > 0.9
    names = dict(csv.reader((tmp_path / "own/names.csv").open()))
    assert names["000001.jpg"] == "grace.jpg" and names["000002.jpg"] == "turned.png"
    found = inspect(str(tmp_path / "own"), label=contract.Label("Eyeglasses"))
    assert list(found.rates) == ["Eyeglasses"] and found.problems == ()


def test_the_crop_is_what_the_application_sees(photos: Path, tmp_path: Path) -> None:
    """A JPEG, but so good that a model answers alike: colours are not halved."""
    import_photos(photos, labels(tmp_path, "image_id,Male\ngrace.jpg,0\n"), tmp_path / "own")
    seen = detector_crop((photos / "grace.jpg").read_bytes(), FaceDetector(), photo=True)
    assert seen is not None
    with Image.open(tmp_path / "own/Img/img_align_celeba/000001.jpg") as image:
        apart = np.abs(np.asarray(image).astype(int) - seen)
    assert apart.mean() < 1 and apart.max() < 12


def test_what_the_data_say_nothing_of_cannot_be_learnt_or_balanced(
    photos: Path, tmp_path: Path
) -> None:
    """Male is not in the CSV: the error says what is, and what to set."""
    table = labels(tmp_path, "image_id,Smiling,partition\ngrace.jpg,1,train\n")
    import_photos(photos, table, tmp_path / "own")
    _, index = load_index(str(tmp_path / "own"))
    with pytest.raises(DataError, match="nothing of Male") as error:
        draw(index, SamplingConfig(), np.ones(len(index), np.bool_))
    assert "Smiling" in error.value.remedy and "label.attribute" in error.value.remedy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "image_id\ngrace.jpg\n",
            "csv:2: found one field, 'grace.jpg'; expected a file name and one or",
        ),
        ("image_id,Scar\ngrace.jpg,1\n", "csv:1: no column is one of the 40 expected"),
        ("image_id,Smilling\na.jpg,1\n", "unknown column 'Smilling', and column 'Smiling'"),
        ("image_id,Smiling\n", "the file ends after the names of the columns"),
        ("image_id,Smiling\ngrace.jpg,maybe\n", "csv:2: grace.jpg, Smiling: found 'maybe'"),
        ("image_id,Smiling\ngrace.jpg,2\n", "csv:2: grace.jpg, Smiling: found 2"),
        ("image_id,Smiling\ngrace.jpg,1\ngrace.jpg,1\n", "csv:3: grace.jpg duplicates line 2"),
        ("image_id,Smiling\n../grace.jpg,1\n", "image_id is"),
        ("image_id,Smiling,identity\na.jpg,1,2\nb.jpg,1,\n", "b.jpg, identity: it is empty"),
        ("image_id,Smiling,partition\na.jpg,1,nobody\n", "a.jpg, partition: found 'nobody'"),
        ("image_id,Smiling,partition\na.jpg,1,0\nb.jpg,1,\n", "b.jpg, partition: it is empty"),
        ("image_id,Smiling\nanna.jpg\n", "csv:2: found one field, 'anna.jpg'"),
    ],
)
def test_what_is_wrong_with_the_csv_is_named_by_line(tmp_path: Path, text: str, words: str) -> None:
    """And nothing is written."""
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(AnnotationError) as error:
        read_csv(path)
    assert words in error.value.problem


@pytest.mark.parametrize(
    "text",
    [
        "image_id,Smiling,identity,partition\na.jpg,1,7,train\nb.jpg,0,9,val\nc/d.jpg,1,7,test\n",
        "image_id,Smiling,identity,split\na.jpg,yes,7,0\nb.jpg,no,9,1\nc/d.jpg,yes,7,2\n",
        "filename;smiling;celeb_id;set\na.jpg;1;7;Train\nb.jpg;-1;9;valid\nc/d.jpg;1;7;Test\n",
        '"image_id", "Smiling", "identity", "partition"\n\n"a.jpg", 1, 7, training\n\n'
        "b.jpg, 0, 9, validation\nc/d.jpg, 1, 7, testing\n\n",
        "\ufeff,image_id,Smiling,identity,partition,notes\n0,a.jpg,True,7,train,nice\n"
        "1,b.jpg,False,9,val,\n2,c/d.jpg,True,7,test,two of them\n",
    ],
)
def test_tables_of_labels_as_people_write_them(tmp_path: Path, text: str) -> None:
    """The same photos, labels, people and splits; free columns are kept, blank lines skipped."""
    rows, _ = read_csv(labels(tmp_path, text))
    assert [(r.name, r.attributes, r.identity, r.partition) for r in rows] == [
        ("a.jpg", {"Smiling": 1}, 7, "train"),
        ("b.jpg", {"Smiling": 0}, 9, "val"),
        ("c/d.jpg", {"Smiling": 1}, 7, "test"),
    ]


def test_people_may_have_names_and_photos_any_letters(tmp_path: Path) -> None:
    """Anna is one number, whichever."""
    text = "image_id,Male,identity\nmüller.jpg,1,jörg\nanna.jpg,0,anna\nanna 2.jpg,0,anna\n"
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    rows, _ = read_csv(path)
    assert rows[0].name == "müller.jpg" and rows[2].name == "anna 2.jpg"
    assert rows[1].identity == rows[2].identity != rows[0].identity


def test_neither_identity_nor_partition_is_said_at_once(tmp_path: Path, photos: Path) -> None:
    """What it costs, and what prevents it; further columns are in the copy."""
    table = labels(tmp_path, "image_id,Smiling,race\ngrace.jpg,1,White\n")
    done = CliRunner().invoke(app, ["data", "import", str(photos), str(table), str(tmp_path / "o")])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "measured accuracy is higher" in said and "A column identity" in said
    table = next((tmp_path / "o/Anno").glob("list_attr*")).read_text()
    assert table.splitlines() == ["image_id,Smiling,race", "000001.jpg,1,White"]


def test_bad_photos_and_places_are_refused_before_anything_is_written(
    photos: Path, tmp_path: Path
) -> None:
    """A photo that is not there, no face at all, a folder that holds something."""
    table = labels(tmp_path, "image_id,Smiling\nnobody.jpg,1\n")
    with pytest.raises(ImageError, match="nobody.jpg"):
        import_photos(photos, table, tmp_path / "own")
    assert not (tmp_path / "own").exists()
    table = labels(tmp_path, "image_id,Smiling\nwall.jpg,1\n")
    with pytest.raises(DataError, match="not one of 1 photos"):
        import_photos(photos, table, tmp_path / "own")
    assert not (tmp_path / "own").exists()
    with pytest.raises(DataError, match="is not empty"):
        import_photos(photos, table, photos)


def test_photos_that_are_not_there_are_left_out_where_that_is_asked_for(
    tmp_path: Path, photos: Path
) -> None:
    """Without --partial: one message with the count, five names and the flag."""
    buffer = io.BytesIO()
    Image.new("RGB", (178, 218), "tan").save(buffer, "JPEG")
    (photos / "crop.jpg").write_bytes(buffer.getvalue())
    lines = "".join(f"absent{n}.jpg,1\n" for n in range(20))
    table = labels(tmp_path, f"image_id,Smiling\ncrop.jpg,0\n{lines}")
    with pytest.raises(ImageError, match="21 photos, and 20 of them") as error:
        import_photos(photos, table, tmp_path / "own", aligned=True)
    assert error.value.problem.count("absent") == 5 and "--partial" in error.value.remedy
    arguments = ["data", "import", str(photos), str(table), str(tmp_path / "own")]
    done = CliRunner().invoke(app, [*arguments, "--aligned", "--partial"])
    assert done.exit_code == 0, done.output
    assert "20 x the photo is missing" in done.output and done.output.count("absent") == 5
    assert len((tmp_path / "own/left_out.csv").read_text().splitlines()) == 21


def test_photos_are_read_as_the_application_reads_them(photos: Path, tmp_path: Path) -> None:
    """HEIC, 16 bit and TIFF are taken; a decompression bomb is one photo's error, and no more."""
    pillow_heif.register_heif_opener()
    portrait = Image.open(photos / "grace.jpg")
    portrait.save(photos / "ben.heic")
    portrait.save(photos / "scan.tiff")
    grey = np.asarray(portrait.convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(photos / "deep.png")
    data = bytearray((photos / "turned.png").read_bytes())
    data[16:24] = (60_000).to_bytes(4) * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4)
    (photos / "bomb.png").write_bytes(data)
    names = ("ben.heic", "scan.tiff", "deep.png", "bomb.png")
    lines = "".join(f"{name},{n % 2}\n" for n, name in enumerate(names))
    made = import_photos(photos, labels(tmp_path, f"image_id,Male\n{lines}"), tmp_path / "own")
    assert made.images == 3
    [(name, why)] = made.left_out
    assert name == "bomb.png" and "3600 million pixels; 50 million are the limit" in why


def test_half_a_data_set_is_not_left_behind(photos: Path, tmp_path: Path) -> None:
    """Interrupted: the folder is gone, and the command can be given again."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    table = labels(tmp_path, "image_id,Male\ngrace.jpg,0\n")
    with pytest.raises(KeyboardInterrupt):
        import_photos(photos, table, tmp_path / "own", on_photo=interrupted)
    assert not (tmp_path / "own").exists()


def test_aligned_crops_are_taken_as_they_are(tmp_path: Path, photos: Path) -> None:
    """Byte for byte; another size is left out and named."""
    buffer = io.BytesIO()
    Image.new("RGB", (178, 218), "tan").save(buffer, "JPEG")
    (photos / "crop.jpg").write_bytes(buffer.getvalue())
    table = labels(tmp_path, "image_id,Smiling\ncrop.jpg,0\ngrace.jpg,1\n")
    done = CliRunner().invoke(
        app, ["data", "import", str(photos), str(table), str(tmp_path / "own"), "--aligned"]
    )
    assert done.exit_code == 0, done.output
    assert "1 faces" in done.output and "grace.jpg" in done.output
    written = tmp_path / "own/Img/img_align_celeba/000001.jpg"
    assert written.read_bytes() == buffer.getvalue()


def guide_command(beginning: str) -> str:
    """Returns the command of docs/guides/own-data.md that begins so."""
    text = (Path(__file__).parents[2] / "docs/guides/own-data.md").read_text()
    [command] = [c for c in text.split("`") if c.startswith(beginning)]
    return command


def test_fairfaces_own_files_are_read_as_the_guide_says(photos: Path, tmp_path: Path) -> None:
    """Its table after the guide's command; photos below train/ and val/; age, race are slices."""
    (tmp_path / "fairface/val").mkdir(parents=True)
    ages = ("0-2", "3-9", "20-29", "more than 70")
    races = ("East Asian", "Latino_Hispanic", "Middle Eastern", "White")
    rows = []
    for n in range(1, 13):
        shutil.copy(photos / "grace.jpg", tmp_path / f"fairface/val/{n}.jpg")
        gender, kind = ("Male", "Female")[n % 2], n % 4
        rows.append(f"val/{n}.jpg,{ages[kind]},{gender},{races[kind]},{n % 3 == 0}\n")
    table = tmp_path / "fairface/fairface_label_val.csv"
    table.write_text("file,age,gender,race,service_test\n" + "".join(rows))
    subprocess.run(guide_command("sed -e"), shell=True, cwd=table.parent, check=True)
    words = map(str, (table.parent, table.parent / "labels.csv", tmp_path / "own"))
    done = CliRunner().invoke(app, ["data", "import", *words])
    assert done.exit_code == 0, done.output
    _, index = load_index(str(tmp_path / "own"))
    assert index.attribute("Male").tolist() == [n % 2 == 0 for n in range(1, 13)]
    assert set(ages) == set(index.groups["age"]) and set(races) == set(index.groups["race"])


def test_utkfaces_own_files_are_read_as_the_guide_says(photos: Path, tmp_path: Path) -> None:
    """File names are the table: ages in ranges, races as they are; without a race left out."""
    folder = tmp_path / "UTKFace"
    folder.mkdir()
    with Image.open(photos / "grace.jpg") as portrait:
        portrait.resize((200, 234)).crop((0, 0, 200, 200)).save(tmp_path / "face.jpg")
    for n in range(1, 43):
        name = f"{n}_{n % 2}_{n % 5}_201701161745251{n:02}.jpg.chip.jpg"
        shutil.copy(tmp_path / "face.jpg", folder / name)
    shutil.copy(photos / "grace.jpg", folder / "61_1_20170109142408075.jpg.chip.jpg")
    subprocess.run(guide_command("(echo"), shell=True, cwd=folder, check=True)
    done = CliRunner().invoke(
        app, ["data", "import", str(folder), str(folder / "labels.csv"), str(tmp_path / "own")]
    )
    assert done.exit_code == 0, done.output
    _, index = load_index(str(tmp_path / "own"))
    assert len(index) == 42
    assert index.attribute("Male").sum() == 21
    assert len(set(index.groups["race"])) == 5
    assert len(set(index.groups["age"])) == 5 and "1 to 9" in index.groups["age"]
