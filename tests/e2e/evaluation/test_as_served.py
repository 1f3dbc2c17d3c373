"""A model on the faces that the application's detector cuts out, beside the aligned images."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pushed
import pytest
import tensorflow as tf
from executed import at, examples_at, execute
from PIL import Image, ImageOps
from served import astronaut, encoded, hopper
from tfx.types import standard_artifacts

from components.evaluation.config import EvaluationConfig, Kind
from components.evaluation_report.content import Sources, gather
from components.evaluation_report.for_programs import metrics_json
from components.evaluation_report.render import write
from components.example_gen.encoding import attribute_blocks, encode_example, features
from components.predictions import table
from components.predictions.artifacts import Predictions
from components.predictions.component import Executor
from components.release_pusher.publish import publish
from data import contract
from data.celeba.own_photos import LEFT_OUT
from data.errors import DataError, ImageError
from data.faces.alignment import align
from data.faces.crops import detector_crop
from data.faces.detector import FaceDetector
from pipeline.evaluate_release import evaluate_release

WALL = np.full((300, 400, 3), 90, np.uint8)


class Brightness(tf.Module):
    """p_positive = mean of the pixels / 255, through every signature."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, "image")])
    def pixels(self, image):
        p_positive = tf.reduce_mean(tf.cast(image, tf.float32), (1, 2, 3)) / 255.0
        label = tf.cast(p_positive >= 0.5, tf.int64)
        return {
            contract.P_POSITIVE: p_positive,
            contract.LABEL: label,
            contract.UNCERTAIN: tf.abs(p_positive - 0.5) < 0.05,
        }

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def encoded(self, image_bytes):
        return self.pixels(
            tf.map_fn(
                lambda b: tf.ensure_shape(tf.io.decode_jpeg(b, 3), (218, 178, 3)),
                image_bytes,
                fn_output_signature=tf.uint8,
            )
        )

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "examples")])
    def examples(self, examples):
        feature = {contract.IMAGE: tf.io.FixedLenFeature([], tf.string)}
        return self.encoded(tf.io.parse_example(examples, feature)[contract.IMAGE])


def expected(crop: np.ndarray) -> float:
    return float(crop.astype(np.float64).mean() / 255)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "Format-Serving"
    network = Brightness()
    signatures = {
        contract.SIGNATURE_PIXELS: network.pixels,
        contract.SIGNATURE_ENCODED: network.encoded,
        contract.SIGNATURE_EXAMPLES: network.examples,
    }
    tf.saved_model.save(network, str(folder), signatures=signatures)
    return folder


@pytest.fixture(scope="module")
def release_dir(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("release")
    (base / "model.onnx").write_text("not asked here")
    files = {p.relative_to(model).as_posix(): p for p in model.rglob("*") if p.is_file()}
    return publish(base / "gender", files | {"model.onnx": base / "model.onnx"}, pushed.describe)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture(scope="module")
def aligned(detector: FaceDetector) -> dict[str, bytes]:
    """Sixteen aligned faces as JPEG, of two people in different light, and two walls."""
    found = {}
    for name, photo in (("astronaut", astronaut()), ("hopper", hopper())):
        face = max(detector.find(np.asarray(photo)).faces, key=lambda f: f.box[3] - f.box[1])
        crop = align(np.asarray(photo), face.landmarks)
        for flip in (False, True):
            for light in (0.5, 0.8, 1.1, 1.4):
                pixels = np.clip(crop * light, 0, 255).astype(np.uint8)
                image = Image.fromarray(pixels[:, ::-1] if flip else pixels)
                found[f"{name}-{flip}-{light}.jpg"] = encoded(image, quality=95)
    for number in (1, 2):
        found[f"wall-{number}.jpg"] = encoded(Image.fromarray(WALL[:218, :178]), quality=95)
    return found


def labels(path: Path, names: list[str]) -> Path:
    rows = {
        contract.IMAGE_ID: names,
        "Male": [i % 2 for i in range(len(names))],
        "Young": [i // 2 % 2 for i in range(len(names))],
    }
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_photos_are_scored_by_the_faces_in_them(
    release_dir: Path, detector: FaceDetector, tmp_path: Path
) -> None:
    """PNG, JPEG, a photo that EXIF turns; what has no face is counted and listed, not scored."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(encoded(astronaut(), "PNG"))
    (photos / "h.jpg").write_bytes(encoded(hopper()))
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned clockwise by 90 degrees
    lying = astronaut().transpose(Image.Transpose.ROTATE_90)
    (photos / "lying.jpg").write_bytes(encoded(lying, exif=turned, quality=95))
    (photos / "wall.jpg").write_bytes(encoded(Image.fromarray(WALL)))
    table_of_labels = labels(tmp_path / "l.csv", ["a.png", "h.jpg", "lying.jpg", "wall.jpg"])
    out = tmp_path / "out"
    done = evaluate_release(release_dir, photos, table_of_labels, out, Kind.PHOTOS)
    found = table.load(out / "predictions").split("external").set_index(contract.IMAGE_ID)
    assert sorted(found.index) == ["a.png", "h.jpg", "lying.jpg"]
    for name in ("a.png", "h.jpg"):
        with Image.open(photos / name) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        crop = detector_crop(encoded(upright, "PNG"), detector, photo=True)
        assert crop is not None
        assert found.loc[name, contract.P_POSITIVE] == pytest.approx(expected(crop), abs=1e-5)
    same, other = (
        found.loc["a.png", contract.P_POSITIVE],
        found.loc["lying.jpg", contract.P_POSITIVE],
    )
    assert other == pytest.approx(same, abs=0.02)
    assert (out / LEFT_OUT).read_text().splitlines() == [
        "photo,why",
        "wall.jpg,no face was found",
    ]
    said = "\n".join(done.lines())
    assert f"3 of 4 photos were scored; the others are in {out / LEFT_OUT}:" in said
    assert "3 images (people unknown" in said and str(done.page) in said
    text = done.page.read_text()
    assert "3 of 4 photos, no face found in 1" in text and "--kind photos" in text
    assert "data:image/jpeg;base64," in text  # the gallery shows the crops
    with Image.open(out / "crops/a.png") as image:
        assert image.size == (178, 218)


def test_files_that_are_no_photos_are_counted_and_named_and_the_rest_is_scored(
    release_dir: Path, tmp_path: Path
) -> None:
    """As the import does it: by kind, five examples of each, all of them in a list."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(encoded(astronaut(), "PNG"))
    (photos / "h.jpg").write_bytes(encoded(hopper()))
    (photos / "wall.jpg").write_bytes(encoded(Image.fromarray(WALL)))
    pages = [f"page-{n}.jpg" for n in range(7)]
    for name in pages:
        (photos / name).write_text("<html>")
    (photos / "cut.webp").write_bytes(encoded(astronaut(), "WEBP")[:-2])
    names = ["a.png", *pages, "h.jpg", "cut.webp", "wall.jpg"]
    out = tmp_path / "out"
    done = evaluate_release(
        release_dir, photos, labels(tmp_path / "l.csv", names), out, Kind.PHOTOS
    )
    found = table.load(out / "predictions").split("external")
    assert sorted(found[contract.IMAGE_ID]) == ["a.png", "h.jpg"]
    listed = pd.read_csv(out / LEFT_OUT)
    assert listed["photo"].tolist() == [*pages, "cut.webp", "wall.jpg"]
    assert listed["why"].iloc[-1] == "no face was found"
    said = "\n".join(done.lines())
    assert f"2 of 11 photos were scored; the others are in {out / LEFT_OUT}:" in said
    assert "7 x this is an HTML page; known are JPEG" in said
    assert "page-4.jpg and 2 more" in said and "page-5.jpg" not in said
    assert "1 x no face was found: wall.jpg" in said
    assert "no face found in 1, 8 not readable" in done.page.read_text()


def test_photos_of_which_none_is_left_are_refused(release_dir: Path, tmp_path: Path) -> None:
    """By what is wrong with them; and before anything is written."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "page.jpg").write_text("<html>")
    (photos / "wall.jpg").write_bytes(encoded(Image.fromarray(WALL)))
    out = tmp_path / "out"
    both = labels(tmp_path / "l.csv", ["page.jpg", "wall.jpg"])
    with pytest.raises(DataError, match="not one of 2 photos") as caught:
        evaluate_release(release_dir, photos, both, out, Kind.PHOTOS)
    assert "1 x this is an HTML page" in caught.value.problem
    assert "1 x no face was found: wall.jpg" in caught.value.problem
    with pytest.raises(ImageError, match=r"absent\.jpg: cannot be read"):
        evaluate_release(
            release_dir, photos, labels(tmp_path / "m.csv", ["absent.jpg"]), out, Kind.PHOTOS
        )
    with pytest.raises(ImageError, match="--kind photos"):
        evaluate_release(release_dir, photos, labels(tmp_path / "n.csv", ["wall.jpg"]), out)
    assert not (out / "report.html").exists()


def test_aligned_images_and_their_detector_crops_stand_side_by_side(
    release_dir: Path, detector: FaceDetector, aligned: dict[str, bytes], tmp_path: Path
) -> None:
    """Shares, accuracies and their paired difference, against a computation without genq."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, content in aligned.items():
        (photos / name).write_bytes(content)
    out = tmp_path / "out"
    page = evaluate_release(
        release_dir, photos, labels(tmp_path / "l.csv", list(aligned)), out, Kind.BOTH
    ).page
    served = json.loads((out / "metrics.json").read_text())["served"]
    crops = {name: detector_crop(content, detector) for name, content in aligned.items()}
    there = {name: crop for name, crop in crops.items() if crop is not None}
    assert 14 <= len(there) <= 16 and not any(name.startswith("wall") for name in there)
    assert served["found"]["n"] == len(aligned)
    assert served["found"]["value"] == pytest.approx(len(there) / len(aligned))
    truth = {name: i % 2 for i, name in enumerate(aligned)}
    cut_right = [(expected(crop) >= 0.5) == truth[name] for name, crop in there.items()]
    right = []
    for name in there:
        pixels = tf.io.decode_jpeg(aligned[name], 3).numpy()
        right.append((expected(pixels) >= 0.5) == truth[name])
    accuracy = served["detected"][0]["metrics"]["accuracy"]
    assert (accuracy["value"], accuracy["n"]) == (pytest.approx(np.mean(cut_right)), len(there))
    before = served["aligned"][0]["metrics"]["accuracy"]
    assert before["value"] == pytest.approx(np.mean(right))
    difference = served["detected"][0]["against_baseline"]["accuracy"]
    assert difference["value"] == pytest.approx(np.mean(cut_right) - np.mean(right))
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert [s["name"] for s in served["aligned"]] == [s["name"] for s in served["detected"]]
    assert 'id="served-table"' in page.read_text()


def test_the_scorer_adds_detector_crops_where_it_is_asked(
    model: Path, detector: FaceDetector, aligned: dict[str, bytes], tmp_path: Path
) -> None:
    """The node's switch: one more pass a found face, of `test` only; the report says the rest."""
    for split in ("val", "test"):
        (tmp_path / "examples" / f"Split-{split}").mkdir(parents=True)
        file = tmp_path / "examples" / f"Split-{split}" / "a-00000-of-00001"
        with tf.io.TFRecordWriter(str(file)) as writer:
            for number, (name, content) in enumerate(aligned.items()):
                attributes = np.zeros(40, np.uint8)
                attributes[contract.ATTRIBUTES.index("Male")] = number % 2
                own = {
                    contract.IMAGE_ID: [f"{split}-{name}".encode()],
                    contract.LABEL: [number % 2],
                }
                extra = features(own)
                writer.write(encode_example(content, *attribute_blocks(attributes[None]), extra))
    examples = examples_at(tmp_path / "examples", ["val", "test"])
    predictions, _ = execute(
        Executor,
        tmp_path,
        {"examples": examples, "model": at(standard_artifacts.Model, model.parent)},
        {"predictions": Predictions, "scored_examples": standard_artifacts.Examples},
        {"splits": json.dumps(["val", "test"]), "detector_crops": 1},
    )
    loaded = table.load(predictions.uri)
    test, val = loaded.split("test"), loaded.split("val")
    assert val[table.DETECTOR_P_POSITIVE].isna().all()
    here = test[test[table.DETECTOR_P_POSITIVE].notna()]
    assert loaded.scoring["forward_passes"] == {
        "candidate": 2 * len(aligned),
        "detector": len(here),
    }
    for image_id, p_positive in zip(
        here[contract.IMAGE_ID], here[table.DETECTOR_P_POSITIVE], strict=True
    ):
        crop = detector_crop(aligned[image_id.removeprefix("test-")], detector)
        assert crop is not None and p_positive == pytest.approx(expected(crop), abs=1e-5)
    content = gather(Sources(predictions=Path(predictions.uri)), EvaluationConfig())
    assert json.loads(metrics_json(content))["served"]["found"]["n"] == len(aligned)
    write(content, tmp_path / "report")
    assert 'href="#served"' in (tmp_path / "report/report.html").read_text()
