"""`genq predict`: the application's answers without a server."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from served import astronaut, encoded, hopper, write_release
from typer.testing import CliRunner

from data.errors import ConfigError, DataError, ReleaseError
from data.faces.photos import register_decoders
from pipeline.cli import app as cli


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Releases, and a folder of photos: two people, one of them alone, nobody."""
    folder = tmp_path_factory.mktemp("predict")
    for version in (1000, 1001):
        write_release(folder / "gender", version)
    photos = folder / "photos"
    photos.mkdir()
    both = Image.new("RGB", (1040, 600), (40, 60, 70))
    both.paste(astronaut(), (0, 40))
    both.paste(hopper().resize((512, 600)), (528, 0))
    (photos / "both.jpg").write_bytes(encoded(both, quality=90))
    (photos / "grey.png").write_bytes(encoded(Image.new("RGB", (300, 200), "grey"), "PNG"))
    return folder


def run(place: Path, *arguments: str) -> str:
    """Types it; errors are raised, as `main` sees them."""
    command = ["predict", *arguments, "--model-dir", str(place / "gender")]
    result = CliRunner().invoke(cli.app, command)
    if result.exception is not None:
        raise result.exception
    return result.output


def test_every_face_of_a_folder_is_answered_and_drawn(place: Path, tmp_path: Path) -> None:
    """JSON as the API gives it, one line a photo; boxes where the faces are, and drawn there."""
    output = run(place, str(place / "photos"), "--json", "--draw", str(tmp_path / "drawn"))
    both, grey = map(json.loads, output.splitlines())
    assert [Path(a["photo"]).name for a in (both, grey)] == ["both.jpg", "grey.png"]
    assert both["release"] == {"model_name": "gender", "version": 1001, "variant": "float32"}
    assert grey["faces"] == []
    left, right = (face["box"] for face in both["faces"])
    assert 170 < left["x1"] < 195 and right["x1"] > 600
    assert {face["label"] for face in both["faces"]} <= {"female", "male", "uncertain"}
    with (
        Image.open(place / "photos/both.jpg") as before,
        Image.open(tmp_path / "drawn/both.answers.jpg") as after,
    ):
        assert before.size == after.size
        x, y = round(left["x1"]), round((left["y1"] + left["y2"]) / 2)
        changes = ImageChops.difference(before, after).getpixel((x, y))
        assert max(changes) > 40
    assert sorted(p.name for p in (place / "photos").iterdir()) == ["both.jpg", "grey.png"]


def test_an_aligned_crop_is_taken_as_it_is_by_the_release_asked_for(place: Path) -> None:
    """The model answers by brightness: one dark, one light; no box, for nothing was searched."""
    for level, label in ((20, "female"), (240, "male")):
        path = place / f"{label}.png"
        path.write_bytes(encoded(Image.new("RGB", (178, 218), (level,) * 3), "PNG"))
        [line] = run(place, str(path), "--aligned", "--json", "--version", "1000").splitlines()
        answer = json.loads(line)
        assert answer["release"]["version"] == 1000
        [face] = answer["faces"]
        assert face["label"] == label and "box" not in face
    shown = run(place, str(place / "male.png"), "--aligned")
    assert "whole image" in shown and "not who somebody is" in shown


def test_a_bad_photo_is_named_and_the_rest_is_answered(place: Path, tmp_path: Path) -> None:
    bad = tmp_path / "page.jpg"
    bad.write_text("<html>")
    paths = [str(bad), str(place / "photos/grey.png"), str(tmp_path / "none.jpg")]
    with pytest.raises(DataError) as caught:
        run(place, *paths)
    assert f"{bad}: this is an HTML page; known are JPEG" in caught.value.problem
    assert f"{tmp_path / 'none.jpg'}: cannot be read: No such file" in caught.value.problem
    assert caught.value.remedy == "1 of 3 were answered." and caught.value.exit_code == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="without files"):
        run(place, str(tmp_path / "empty"))


def test_no_such_release_and_no_application(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both say what to do."""
    photo = str(place / "photos/grey.png")
    with pytest.raises(ReleaseError, match="holds no release 7") as caught:
        run(place, photo, "--version", "7")
    assert "1000, 1001" in caught.value.remedy
    register_decoders.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(
        ConfigError, match="pillow-heif, which reads photos of phones, is not installed"
    ):
        run(place, photo)
