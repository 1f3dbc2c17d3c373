"""What the routes answer, over a real connection."""

import base64
import io

import httpx
import numpy as np
import pytest
from PIL import Image
from served import astronaut, encoded, expected_p_positive, hopper

from data import contract
from data.faces.alignment import align
from data.faces.detector import FaceDetector


def test_every_face_is_answered_with_place_score_and_release(client: httpx.Client) -> None:
    """Two people side by side: two faces from left to right, p_positive as the model has it."""
    photo = Image.new("RGB", (1030, 600), "white")
    photo.paste(astronaut(), (0, 0))
    photo.paste(hopper(), (515, 0))
    answer = client.post("/v1/faces", files={"file": encoded(photo, "PNG")})
    assert answer.status_code == 200
    body = answer.json()
    assert body["image"] == {
        "width": 1030, "height": 600, "format": "PNG", "rotated_deg": 0, "cut_off": False,
    }  # fmt: skip
    assert [f["box"]["x1"] for f in body["faces"]] == pytest.approx([181, 693], abs=10)
    assert body["release"] == {
        "model_name": "gender", "version": 1000, "variant": "int8", "canary": False,
        "labels": ["female", "male"], "synthetic": False,
    }  # fmt: skip
    # The same crop, cut by the library and judged without onnxruntime.
    faces = sorted(FaceDetector().find(np.asarray(photo)).faces, key=lambda f: f.box[0])
    for said, face in zip(body["faces"], faces, strict=True):
        expected = expected_p_positive(align(np.asarray(photo), face.landmarks))
        assert said["p_positive"] == pytest.approx(expected, abs=1e-3)
        uncertain = abs(expected - 0.5) < 0.1
        assert said["label"] == ("uncertain" if uncertain else ["female", "male"][expected >= 0.5])
        assert said["detector_score"] > 0.9
    assert set(body["timings_ms"]) >= {"decode", "detect", "align", "classify", "total"}


def test_no_face_is_an_answer(client: httpx.Client) -> None:
    """A wall has no faces: 200 and an empty list."""
    answer = client.post("/v1/faces", files={"file": encoded(Image.new("RGB", (300, 200), "teal"))})
    assert answer.status_code == 200
    assert answer.json()["faces"] == []


def test_preview_and_crops_come_when_asked_for(client: httpx.Client) -> None:
    """Both are JPEGs; the crop has CelebA's size."""
    url, files = "/v1/faces?preview=true&crops=true", {"photo": encoded(astronaut())}
    body = client.post(url, files=files).json()
    shown = Image.open(io.BytesIO(base64.b64decode(body["preview_jpeg"])))
    assert shown.size == (512, 512)
    crop = Image.open(io.BytesIO(base64.b64decode(body["faces"][0]["crop_jpeg"])))
    assert crop.size == (contract.IMAGE_WIDTH_PX, contract.IMAGE_HEIGHT_PX)
    assert client.post("/v1/faces", files=files).json()["preview_jpeg"] is None


def test_a_plain_body_is_a_photo_too(client: httpx.Client) -> None:
    """`curl --data-binary @photo.jpg` needs no form."""
    answer = client.post(
        "/v1/faces", content=encoded(astronaut()), headers={"Content-Type": "image/jpeg"}
    )
    assert len(answer.json()["faces"]) == 1


def test_crops_are_classified_in_order(client: httpx.Client) -> None:
    """A batch of grey crops: each gets the model's answer for its brightness."""
    greys = [60, 110, 200]
    crops = [Image.new("RGB", (178, 218), (g, g, g)) for g in greys]
    files = [("files", ("x.png", encoded(crop, "PNG"))) for crop in crops]
    body = client.post("/v1/classify", files=files).json()
    expected = [1 / (1 + np.exp(-0.1 * (g - 110))) for g in greys]
    assert [a["p_positive"] for a in body["answers"]] == pytest.approx(expected, abs=1e-4)
    assert [a["label"] for a in body["answers"]] == ["female", "uncertain", "male"]


def test_the_model_and_its_papers(client: httpx.Client) -> None:
    """/v1/model is release.json and more; card and report are pages that reach nothing."""
    model = client.get("/v1/model").json()
    assert model["release"]["version"] == model["active"]["version"] == 1000
    assert model["release"]["metrics"]["slices"][0]["name"] == "Young=0, Male=0"
    assert model["onnx_variants"] == ["float32", "int8"]
    card = client.get("/v1/model-card")
    assert "Model card" in card.text and "sandbox" in card.headers["content-security-policy"]
    assert client.get("/v1/model-card?format=md").text.startswith("# Model card")
    assert "Report" in client.get("/v1/report").text
    view = client.get("/v1/tfma.html")
    assert "Views" in view.text and "sandbox" in view.headers["content-security-policy"]
    assert client.get("/v1/facets.html").status_code == 404, "this release has none"
    onnx = client.get("/v1/model/onnx/int8")
    assert onnx.headers["etag"].strip('"') == model["release"]["variants"][1]["sha256"]
    assert client.get("/v1/model/onnx/float16").status_code == 404
    assert len(client.get("/v1/detector/onet").content) > 100_000


@pytest.mark.parametrize("path", ["/predict", "/predict/crop"])
def test_the_first_apis_clients_still_work(client: httpx.Client, path: str) -> None:
    """Upload, then predict by file name: both spellings, its labels, and crops under /static/."""
    uploaded = client.post("/upload/", files={"file": ("me.png", encoded(astronaut(), "PNG"))})
    name = uploaded.json()["filename"]
    [face] = client.post(path, json={"filename": name}).json()
    assert face["label"] == face["result"] in ("Perempuan", "Laki-laki")
    assert 0.5 <= face["confidence"] == face["score"] <= 1
    assert face["latency"] == face["time"] > 0
    crop = Image.open(io.BytesIO(client.get(f"/static/{face['name']}").content))
    assert crop.size == (178, 218)
    assert Image.open(io.BytesIO(client.get(f"/static/{name}").content)).size == (512, 512)
    [same] = client.post(path, files={"file": encoded(astronaut(), "PNG")}).json()
    assert same["label"] == face["label"]


def test_uploads_under_unknown_names_are_not_found(client: httpx.Client) -> None:
    """Names cannot be guessed, and a path is no name."""
    for name in ("1700000000000.jpg", "../../etc/passwd"):
        answer = client.post("/predict", json={"filename": name})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("request_options", "status", "code"),
    [
        ({"files": {"file": b""}}, 422, "empty_file"),
        ({"files": {"file": b"hello, world"}}, 415, "unsupported_image"),
        ({"files": {"file": b"<svg viewBox='0 0 9 9'/>"}}, 415, "unsupported_image"),
        ({"files": {"other": b"x"}}, 422, "invalid_request"),
        ({"files": [("file", b"x"), ("file", b"y")]}, 422, "invalid_request"),
        ({"files": {"file": encoded(astronaut())[:9000]}}, 422, "damaged_image"),
        (
            {"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}},
            422,
            "invalid_request",
        ),
        ({"params": {"preview": "perhaps"}, "content": b"x"}, 422, "invalid_request"),
    ],
)  # fmt: skip
def test_bad_requests_get_their_own_code(
    client: httpx.Client, request_options: dict, status: int, code: str
) -> None:
    """A stable code, a text, and the id that the log has."""
    answer = client.post("/v1/faces", **request_options)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["message"] and error["request_id"] == answer.headers["x-request-id"]


def test_texts_come_in_english_and_indonesian(client: httpx.Client) -> None:
    """By Accept-Language or ?lang=; the code is the same."""
    empty = {"file": b""}
    english = client.post("/v1/faces", files=empty).json()["error"]
    prefers = {"Accept-Language": "id-ID,id;q=0.9,en;q=0.5"}
    indonesian = client.post("/v1/faces", files=empty, headers=prefers).json()["error"]
    asked = client.post("/v1/faces?lang=id", files=empty).json()["error"]
    nothing = client.post("/v1/faces").json()["error"]
    assert nothing["code"] == "invalid_request" and "'file'" in nothing["message"]
    assert english["message"] == "The file is empty."
    assert indonesian["message"] == asked["message"] == "Berkas kosong."
    assert english["code"] == indonesian["code"]


def test_unknown_paths_and_methods_are_typed_too(client: httpx.Client) -> None:
    """404 and 405 are JSON like every other error."""
    assert client.get("/v1/nothing").json()["error"]["code"] == "not_found"
    answer = client.get("/v1/faces")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
