"""The description of the API is the golden one, and the running API keeps to it."""

import io
import json
import random
import subprocess
import sys
from pathlib import Path

import httpx
import pillow_heif
import psutil
import pytest
from PIL import Image
from served import ROOT, Server, astronaut, encoded, serving

from serving.api.app import create_app
from serving.api.errors import CODES, ApiError, language_of
from serving.api.settings import Settings

GOLDEN = ROOT / "tests" / "golden" / "openapi.json"


def test_openapi_is_the_golden_one() -> None:
    """A change of the API shows in review, and the page's types are made from this file.

    Write it anew: python -m serving.api.describe > tests/golden/openapi.json
    """
    assert create_app(Settings()).openapi() == json.loads(GOLDEN.read_text())


def test_every_error_has_texts_in_both_languages() -> None:
    """Each code: a status, two different texts, and only values that the text names."""
    values = {
        "problem": "p", "limit_s": 3, "limit_mib": 2, "limit_mp": 5, "limit": 7, "found": 9,
        "found_mp": 1.5, "known": "k", "retry_after_s": 4, "labels": "a, b",
    }  # fmt: skip
    for code in CODES:
        error = ApiError(code, **values)
        assert 400 <= error.status < 600
        assert error.text("en") and error.text("id") and error.text("en") != error.text("id")


@pytest.mark.parametrize(
    ("query", "header", "expected"),
    [(None, None, "en"), (None, "id", "id"), (None, "de, id;q=0.8, en;q=0.5", "id"),
     (None, "en-US,en;q=0.9,id;q=0.8", "en"), ("id", "en", "id"), ("xx", "in-ID", "id")],
)  # fmt: skip
def test_the_language_is_negotiated(query: str, header: str, expected: str) -> None:
    """The query wins, then the first known language of the header, then English."""
    assert language_of(query, header) == expected


def test_schemathesis_finds_no_broken_promise(server: Server, tmp_path: Path) -> None:
    """Generated requests to every route: no 500, and answers by the description."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/api/openapi.json",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
        "response_schema_conformance",
        "--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1",
        "--no-color", "--generation-database", "none",
    ]  # fmt: skip
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]


def seeds() -> list[bytes]:
    small = astronaut().resize((96, 96))
    buffer = io.BytesIO()
    pillow_heif.from_pillow(small).save(buffer)
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        encoded(small, "JPEG", exif=exif),
        encoded(small, "JPEG", progressive=True),
        encoded(small.convert("CMYK"), "JPEG"),
        encoded(small, "PNG"),
        encoded(small.convert("P"), "PNG"),
        encoded(small, "WEBP"),
        encoded(small, "AVIF"),
        encoded(small, "GIF"),
        encoded(small, "BMP"),
        buffer.getvalue(),
    ]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Flips, overwrites, cuts, doubles or inserts; mostly near the header."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        reach = chance.choice((64, 512, len(out)))
        at = chance.randrange(max(1, min(reach, len(out))))
        match chance.randrange(5):
            case 0:
                out[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                out[at : at + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
            case 2:
                del out[at + chance.randrange(1, 200) :]
            case 3:
                out[at:at] = out[at : at + chance.randrange(1, 64)]
            case _:
                out[at:at] = chance.randbytes(chance.randrange(1, 16))
        if not out:
            return b"\0"
    return bytes(out)


def test_mutated_images_never_break_the_server(model_dir: Path, tmp_path: Path) -> None:
    """3,000 mutated files of every kind: an answer or a typed 4xx; it lives, and does not grow."""
    chance = random.Random(20261124)
    originals = seeds()
    allowed = {"damaged_image", "unsupported_image", "too_many_pixels", "empty_file"}
    settings = {"max_pixels": 1_000_000, "retry_rotated": False}
    with serving(model_dir, tmp_path, **settings) as server, server.client() as client:
        process = psutil.Process(server.process.pid)

        def send(count: int) -> None:
            for _ in range(count):
                data = mutated(chance.choice(originals), chance)
                answer = client.post("/v1/faces", content=data)
                if answer.status_code != 200:
                    assert answer.status_code < 500, (answer.text, data[:80])
                    assert answer.json()["error"]["code"] in allowed

        send(1000)  # decoders, sessions and allocators have grown to their size
        before_bytes = process.memory_info().rss
        send(2000)
        grown_mib = (process.memory_info().rss - before_bytes) / 2**20
        assert grown_mib < 40, f"{grown_mib:.0f} MiB more after 2,000 files"
        assert server.process.poll() is None
        assert client.post("/v1/faces", content=encoded(astronaut())).json()["faces"]


def test_prometheus_numbers_are_counted(server: Server) -> None:
    """Faces by label and version, scores and crops as histograms: one photo, one count."""
    from prometheus_client.parser import text_string_to_metric_families

    def numbers() -> dict[str, float]:
        text = httpx.get(f"{server.url}/metrics").text
        return {
            s.name + json.dumps(s.labels, sort_keys=True): s.value
            for family in text_string_to_metric_families(text)
            for s in family.samples
        }

    before = numbers()
    answer = httpx.post(f"{server.url}/v1/faces", content=encoded(astronaut()), timeout=60).json()
    after = numbers()
    [face] = answer["faces"]
    version = str(answer["release"]["version"])
    faces = "genq_faces_total" + json.dumps({"label": face["label"], "version": version})
    assert after[faces] - before.get(faces, 0) == 1
    for name in (
        "genq_p_positive",
        "genq_crop_brightness",
        "genq_crop_sharpness",
        "genq_crop_face_px",
    ):
        count = f"{name}_count" + json.dumps({"version": version})
        assert after[count] - before.get(count, 0) == 1
    total = "genq_p_positive_sum" + json.dumps({"version": version})
    assert after[total] - before.get(total, 0) == pytest.approx(face["p_positive"], abs=1e-6)


def test_grey_noise_is_no_growth_of_labels(server: Server) -> None:
    """Unknown paths share one label: nobody can blow up /metrics by asking for nonsense."""
    for n in range(20):
        httpx.get(f"{server.url}/nonsense/{n}")
    text = httpx.get(f"{server.url}/metrics").text
    assert "nonsense" not in text
