"""The detector finds real faces where the reference does, and turns photos that lie on their side.

Reference: `mtcnn` 1.0.0 on TensorFlow 2.21, detect_faces(…, output_type="numpy"), 2026-11-24.
tests/e2e/test_face_networks.py compares the three networks with the package's own.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data.errors import WeightsError
from data.faces import mtcnn_graphs
from data.faces.detector import Face, FaceDetector, Found, suppress
from data.faces.settings import DetectorConfig

# box, then (left eye, right eye, nose, left mouth, right mouth)
REFERENCE = {
    "astronaut": (
        (181.6, 63.7, 264.6, 171.1),
        [(203.5, 100.1), (245.4, 102.2), (224.2, 126.4), (201.8, 138.6), (244.4, 140.4)],
    ),
    "grace_hopper": (
        (178.4, 109.9, 351.4, 329.8),
        [(220.4, 190.2), (308.2, 186.0), (268.3, 237.4), (231.7, 277.0), (303.6, 272.9)],
    ),
}


def portrait(name: str) -> NDArray[np.uint8]:
    """A real photo that ships inside scikit-image or matplotlib."""
    package, file = {
        "astronaut": ("skimage", "data/astronaut.png"),
        "grace_hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    }[name]
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return np.asarray(Image.open(Path(spec.submodule_search_locations[0]) / file).convert("RGB"))


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b)]
    return shared / (sum(areas) - shared)


@pytest.mark.parametrize("name", REFERENCE)
def test_real_portraits_as_the_reference_finds_them(detector: FaceDetector, name: str) -> None:
    """One face; box and landmarks agree with the package's own up to its other resampling."""
    box, landmarks = REFERENCE[name]
    [face] = detector.find(portrait(name)).faces
    assert iou(face.box, box) > 0.9
    assert face.score > 0.95
    assert np.abs(face.landmarks - landmarks).max() < 0.03 * (box[2] - box[0])


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_photo_on_its_side_is_turned(detector: FaceDetector, quarter_turns: int) -> None:
    """Nothing sure found upright: the photo is turned; the face is told in the photo's pixels."""
    upright = portrait("astronaut")
    [expected] = detector.find(upright).faces
    turned = np.ascontiguousarray(np.rot90(upright, -quarter_turns))
    found = detector.find(turned)
    assert found.rotated_deg == 90 * quarter_turns
    [face] = found.faces
    # Independent of the detector's own arithmetic: mark the eye in the photo, turn the photo.
    for point, seen in zip(expected.landmarks, face.landmarks, strict=True):
        mark = np.zeros(upright.shape[:2], np.uint8)
        mark[round(float(point[1])), round(float(point[0]))] = 1
        [[y, x]] = np.argwhere(np.rot90(mark, -quarter_turns))
        assert abs(seen[0] - x) <= 1 and abs(seen[1] - y) <= 1
    for lying in detector.find(turned, retry_rotated=False).faces:
        assert lying.score < face.score


def test_a_large_photo_is_searched_small_and_told_large() -> None:
    """Beyond max_pixels the photo is shrunk for the search; boxes are in its own pixels."""
    small = portrait("astronaut")
    large = np.asarray(Image.fromarray(small).resize((2048, 2048), Image.Resampling.BICUBIC))
    shrinking = FaceDetector(DetectorConfig(max_pixels=512 * 512))
    [expected], [face] = shrinking.find(small).faces, shrinking.find(large).faces
    assert iou(face.box, tuple(4 * v for v in expected.box)) > 0.9


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (11, 11), (12, 12), (13, 400)])
def test_tiny_and_thin_photos_hold_no_face(detector: FaceDetector, shape: tuple[int, int]) -> None:
    """Smaller than the smallest face: nothing found, and no error."""
    assert detector.find(np.full((*shape, 3), 128, np.uint8)).faces == ()


def test_noise_is_bounded(detector: FaceDetector) -> None:
    """Noise proposes thousands of places; suppression looks at a bounded number of them."""
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    assert len(detector.find(noise, retry_rotated=False).faces) == 0


def test_a_dropped_box_drops_no_other() -> None:
    """Greedy: b overlaps a and is dropped; c overlaps b only, and stays."""
    a, b, c = [0, 0, 100, 100, 0.99], [25, 0, 125, 100, 0.98], [50, 0, 150, 100, 0.97]
    kept = suppress(np.array([c, a, b], np.float32), 0.5, "union", 10)  # a-b and b-c 0.6, a-c 0.33
    assert kept[:, 0].tolist() == [0, 50]


def test_an_upright_face_stays_upright_without_a_margin(
    detector: FaceDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A middling face is not turned for a hair's breadth of score; for a real gain it is."""
    scores = {0: 0.95, 1: 0.96, 2: 0.2, 3: 0.1}
    order = iter((0, 1, 2, 3) * 2)

    def seen(photo: NDArray[np.uint8], **_: object) -> list[Face]:
        score = scores[next(order)]
        return [Face((10, 10, 60, 60), np.ones((5, 2), np.float32), score)]

    monkeypatch.setattr(detector, "detect", seen)
    assert detector.find(np.zeros((100, 100, 3), np.uint8)).rotated_deg == 0
    scores[3] = 0.999
    assert detector.find(np.zeros((100, 100, 3), np.uint8)).rotated_deg == 270


def test_what_only_one_look_calls_a_face_gets_no_answer(
    detector: FaceDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a face that lasts over shifted looks, every look counts; else it is doubtful, or gone."""
    onet = detector._sessions["onet"]

    class Onet:
        lasting = 1.0

        def run(self, outputs: list[str], feeds: dict[str, NDArray[np.float32]]) -> list[object]:
            if len(outputs) > 1:
                return list(onet.run(outputs, feeds))
            scores = np.full(len(feeds["pixels"]), self.lasting, np.float32)
            scores[0] = 0.999  # the first look
            scores[1:3] = 0.1  # two looks beyond the photo: left out
            return [scores]

    monkeypatch.setitem(detector._sessions, "onet", Onet())
    photo = portrait("astronaut")[:190]  # without the suit, where ONet sees another at first
    assert len(detector.find(photo).faces) == 1
    Onet.lasting = 0.9
    found = detector.find(photo)
    assert not found.faces and len(found.doubtful) == 1
    assert found.doubtful[0].score == pytest.approx(0.908, abs=1e-3)  # (0.999 + 11 * 0.9) / 12
    Onet.lasting = 0.5
    assert detector.find(photo, retry_rotated=False) == Found(())


def test_a_patch_of_a_space_suit_is_no_face(
    detector: FaceDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONet's first look sees a face there; several looks do not, and nothing is told of it."""
    found = detector.find(portrait("astronaut"))
    assert len(found.faces) == 1 and not found.doubtful
    monkeypatch.setattr(detector, "_looked_at_again", lambda photo, boxes: boxes[:, 4])
    first = detector.find(portrait("astronaut"))
    assert any(face.box[1] > 190 for face in first.faces + first.doubtful)


@pytest.mark.parametrize(
    ("upright", "turned", "rotated_deg", "answered"),
    [(0.0, 0.965, 0, 0), (0.0, 0.975, 90, 1), (0.9, 0.975, 90, 1), (0.965, 0.975, 0, 1),
     (0.945, 0.96, 0, 0)],
)  # fmt: skip
def test_a_turned_photo_is_believed_if_its_face_is_surer_than_an_upright_one_has_to_be(
    detector: FaceDetector,
    monkeypatch: pytest.MonkeyPatch,
    upright: float,
    turned: float,
    rotated_deg: int,
    answered: int,
) -> None:
    """Three more looks at a texture find something face-like more often than one."""

    def detect(photo: NDArray[np.uint8], **_: object) -> list[Face]:
        score = upright if photo.shape[0] < photo.shape[1] else turned
        eyes = np.array([[4, 5], [9, 5], [7, 8], [4, 11], [9, 11]], np.float32)
        return [Face((1, 1, 14, 14), eyes, score)] if score else []

    monkeypatch.setattr(detector, "detect", detect)
    found = detector.find(np.zeros((20, 30, 3), np.uint8))
    assert (found.rotated_deg, len(found.faces)) == (rotated_deg, answered)


def test_work_is_called_off_between_steps(detector: FaceDetector) -> None:
    """What `check` raises stops the search."""

    class StoppedError(Exception):
        pass

    def check() -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        detector.find(portrait("astronaut"), check=check)


def test_unknown_weights_are_not_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A weight file with another hash is refused before it could run code."""
    monkeypatch.setitem(mtcnn_graphs.SHA256, "pnet", "0" * 64)
    with pytest.raises(WeightsError, match="SHA-256"):
        mtcnn_graphs.graphs()
