"""benchmarks/real_faces.py: what answers are worth, the peers' protocol, the sets it reads."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

STAND_IN = """
import json, struct, sys
while header := sys.stdin.buffer.read(8):
    width, height = struct.unpack("<II", header)
    pixels = sys.stdin.buffer.read(width * height * 3)
    if width == 13:
        sys.exit("no model")
    answer = {"p_male": max(pixels) / 255, "found": width > height, "seconds": 0.5}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/real_scores.py, which is no package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("real_scores")


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/gender_peers.py."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gender_peers")


def faces(labels: list[int], identity: list[int] | None = None) -> object:
    """A FaceSet without files."""
    return importlib.import_module("real_contestants").FaceSet(
        tuple(Path(str(n)) for n in range(len(labels))),
        np.array(labels, bool),
        None if identity is None else np.array(identity),
    )


def test_accuracy_is_the_mean_of_both_classes_where_there_is_an_answer(scores: ModuleType) -> None:
    """Two of three men and one of one woman; the photo without a face counts as not found only."""
    labels = [1, 1, 1, 0, 0]
    p = np.array([0.9, 0.8, 0.2, 0.1, np.nan])
    found = scores.score("genq", p, np.array([0, 0, 1, 0, 0], bool), faces(labels), per_s=2.0)
    assert found.accuracy.value == pytest.approx((2 / 3 + 1) / 2)
    assert found.accuracy.low < found.accuracy.value < found.accuracy.high
    assert (found.found, found.abstains) == (0.8, 0.25)
    assert found.wrong.value == 0  # the wrong answer was uncertain


def test_images_of_few_people_make_a_wider_interval(scores: ModuleType) -> None:
    """400 images, a tenth wrong: of 400 people, and of 20 of whom two are always wrong."""
    labels = [n % 2 for n in range(400)]
    wrong = np.arange(400) // 20 % 10 == 0
    p = np.where(wrong, 1.0 - np.array(labels), np.array(labels)).astype(float)
    many, few = (
        scores.score("x", p, None, faces(labels, who)).accuracy
        for who in (list(range(400)), [n // 20 for n in range(400)])
    )
    assert many.value == pytest.approx(0.9) and few.value == pytest.approx(0.9)
    assert few.high - few.low > 2 * (many.high - many.low)


def test_claims_compare_detector_with_detector_and_time_with_time(scores: ModuleType) -> None:
    """Peers stand beside genq's answers by its own detector, the seed's beside aligned ones."""
    labels = [0, 1] * 10
    right, worse = np.array(labels, float), np.array([0.0] * 10 + [0.0, 1.0] * 5)
    sure = np.zeros(20, bool)
    rows = [
        scores.score("genq", right, sure, faces(labels)),
        scores.score("genq, own detector", worse, sure, faces(labels), per_s=10.0),
        scores.score("the seed's recipe", right, None, faces(labels)),
        scores.score("human", worse, None, faces(labels), per_s=4.0),
    ]
    results = {
        "people": {"test": {"images": 20, "men": 10, "people": None}},
        "genq": {"training_s": 10.0},
        "seed": {"training_s": 90.0, "full_s": 300.0, "scaled": True},
    }
    claims = scores.claims(results, {"test": rows})
    assert json.loads(json.dumps(claims)) == claims
    told = {(c["claim"], c["peer_name"]): (c["ours"], c["ratio"]) for c in claims}
    accuracy = "balanced accuracy, held-out people"
    assert told[accuracy, "the seed's recipe"] == (1.0, 1.0)
    assert told[accuracy, "human"] == (0.75, 1.0)
    assert told["one image, detection included", "human"] == (10.0, 2.5)
    assert told["training", "the seed's recipe, extrapolated"] == (10.0, 30.0)
    assert told["wrong among answers, held-out people", ""] == (0.25, None)


def test_a_peer_answers_image_by_image(peers: ModuleType) -> None:
    """Sizes differ; the worker gets RGB bytes and its lines come back in order."""
    images = [np.full((2, 5, 3), 255, np.uint8), np.zeros((4, 3, 3), np.uint8)]
    found = peers.answers([sys.executable, "-c", STAND_IN], images)
    assert found.p_male.tolist() == [1.0, 0.0]
    assert found.found.tolist() == [True, False]
    assert found.seconds.tolist() == [0.5, 0.5]


def test_a_peer_that_ends_is_quoted(peers: ModuleType) -> None:
    """What it wrote, and after how many images."""
    images = [np.zeros((2, 5, 3), np.uint8), np.zeros((13, 13, 3), np.uint8)]
    with pytest.raises(peers.PeerError, match=r"(?s)after 1 images:.*no model"):
        peers.answers([sys.executable, "-c", STAND_IN], images)


def test_without_node_the_error_names_the_way_out(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(peers.PeerError, match=r"node is not on PATH.*--without-peers"):
        peers.install(tmp_path / "peers")
    assert not (tmp_path / "peers").exists()


def test_a_set_is_a_folder_with_labels(scores: ModuleType, tmp_path: Path) -> None:
    """Images beside labels.csv or in images/; a wrong label or a missing image is named."""
    read = importlib.import_module("real_contestants").face_set
    labels = tmp_path / "labels.csv"
    labels.write_text("image_id,Male,identity\na.png,1,7\nb.png,0,8\n")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(SystemExit, match=r"names 1 images that are not there.*b\.png"):
        read(tmp_path)
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / "images" / name)
    found = read(tmp_path)
    assert found.labels.tolist() == [True, False] and found.identity.tolist() == [7, 8]
    assert [file.parent.name for file in found.files] == ["images", "images"]
    labels.write_text("image_id,Male\na.png,2\n")
    with pytest.raises(SystemExit, match="expected image_id and Male"):
        read(tmp_path)


@pytest.mark.nightly
def test_quick_trains_both_and_ends_with_claims(tmp_path: Path) -> None:
    """Drawn faces, random weights, no peers; a second run with the same folder trains nothing."""
    command = [sys.executable, str(BENCHMARKS / "real_faces.py"), "--quick"]
    command += ["--workdir", str(tmp_path / "work")]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    claims = json.loads(first.stdout.splitlines()[-1])
    about = [(claim["claim"], claim["peer_name"]) for claim in claims]
    assert about == [
        ("balanced accuracy, held-out people", "the seed's recipe"),
        ("wrong among answers, held-out people", ""),
        ("training", "the seed's recipe, 75 px, 1 epochs"),
    ]
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stderr.count("taken from") == 4
    assert json.loads(again.stdout.splitlines()[-1])[-1]["ours"] == claims[-1]["ours"]
