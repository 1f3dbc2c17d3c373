"""Nothing uploaded reaches the disk or a log; who may ask, how often, and from where."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from served import Server, astronaut, encoded, serving, write_release

BIG = encoded(astronaut().resize((2600, 2600)), "PNG")
"""Well over the megabyte from which Starlette writes to a temporary file."""


def test_uploads_are_not_written_to_the_disk(model_dir: Path, tmp_path: Path) -> None:
    """Large photos on every route: the kernel counts no bytes written, no file is left open."""
    assert len(BIG) > 2**21
    with serving(model_dir, tmp_path) as server, server.client() as client:
        before = open_files(server.process.pid)
        assert client.post("/v1/faces", files={"file": BIG}).status_code == 200
        name = client.post("/upload/", files={"file": BIG}).json()["filename"]
        assert client.post("/predict", json={"filename": name}).status_code == 200
        written = int(io_counter(server.process.pid, "write_bytes"))
        assert written < 64 * 1024, f"{written} bytes went to a disk"
        assert open_files(server.process.pid) <= before
        assert name not in server.log and "PNG" not in server.log


def open_files(pid: int) -> set[str]:
    """Regular files that a process holds open, deleted temporary ones among them."""
    links = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    return {link for link in links if link.startswith("/") and not link.startswith("/dev")}


def io_counter(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return dict(line.split(": ") for line in lines)[name]


def test_what_is_too_large_is_refused_by_bytes_and_by_pixels(
    model_dir: Path, tmp_path: Path
) -> None:
    """Declared and undeclared sizes, and pixels: each has its code."""
    settings = {"max_bytes": 200_000, "max_pixels": 100_000}
    with serving(model_dir, tmp_path, **settings) as server, server.client() as client:
        declared = client.post("/v1/faces", files={"file": BIG})
        assert declared.json()["error"]["code"] == "too_many_bytes"
        assert declared.status_code == 413

        def chunks() -> Iterator[bytes]:  # httpx then sends no Content-Length
            for start in range(0, len(BIG), 50_000):
                yield BIG[start : start + 50_000]

        kind = {"Content-Type": "image/png"}
        undeclared = client.post("/v1/faces", content=chunks(), headers=kind)
        assert undeclared.json()["error"]["code"] == "too_many_bytes"
        wide = encoded(Image.new("L", (1000, 101)), "PNG")
        pixels = client.post("/v1/faces", files={"file": wide})
        assert pixels.json()["error"]["code"] == "too_many_pixels"


def test_too_many_faces_have_their_own_error(model_dir: Path, tmp_path: Path) -> None:
    """A limit of one, two people."""
    photo = Image.new("RGB", (1024, 512))
    photo.paste(astronaut(), (0, 0))
    photo.paste(astronaut(), (512, 0))
    with serving(model_dir, tmp_path, max_faces=1) as server, server.client() as client:
        error = client.post("/v1/faces", files={"file": encoded(photo)}).json()["error"]
        assert error["code"] == "too_many_faces"
        assert error["details"] == {"found": 2, "limit": 1}


def test_keys_are_asked_for_when_there_are_any(model_dir: Path, tmp_path: Path) -> None:
    """No key, a wrong one, both ways to send the right one; health needs none."""
    with serving(model_dir, tmp_path, api_keys=["s3cret", "other"]) as server:
        with server.client() as client:
            assert client.get("/v1/model").json()["error"]["code"] == "unauthorized"
            wrong = client.get("/v1/model", headers={"X-API-Key": "nope"})
            assert wrong.status_code == 401
            assert client.get("/v1/model", headers={"X-API-Key": "s3cret"}).status_code == 200
            bearer = {"Authorization": "Bearer other"}
            assert client.get("/v1/model", headers=bearer).status_code == 200
            assert client.post("/upload/", files={"file": b"x"}).status_code == 401
            assert client.get("/healthz").status_code == 200
        assert "s3cret" not in server.log


def test_the_rate_limit_says_when_to_come_back(model_dir: Path, tmp_path: Path) -> None:
    """The fourth request of a minute gets 429 with Retry-After."""
    limited = serving(model_dir, tmp_path, rate_limit="3/minute")
    with limited as server, server.client() as client:
        codes = [client.get("/v1/limits").status_code for _ in range(3)]
        refused = client.get("/v1/limits")
        assert codes == [200] * 3 and refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 120
        assert client.get("/healthz").status_code == 200


def test_other_origins_may_call_only_when_set(model_dir: Path, tmp_path: Path) -> None:
    """CORS headers for the origins of the setting, for no other."""
    friend = {"Origin": "https://friend.example"}
    with serving(model_dir, tmp_path) as server, server.client() as client:
        assert "access-control-allow-origin" not in client.get("/v1/limits", headers=friend).headers
    settings = {"cors_origins": ["https://friend.example"]}
    with serving(model_dir, tmp_path, **settings) as server, server.client() as client:
        allowed = client.get("/v1/limits", headers=friend).headers
        assert allowed["access-control-allow-origin"] == "https://friend.example"
        stranger = client.get("/v1/limits", headers={"Origin": "https://evil.example"}).headers
        assert "access-control-allow-origin" not in stranger


def test_every_answer_carries_the_security_headers(server: Server) -> None:
    """Also errors, and pages that are not there."""
    for path in ("/v1/model", "/nope", "/healthz", "/v1/faces"):
        headers = httpx.get(f"{server.url}{path}").headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"GENQ_PORT": "x"}, "GENQ_PORT is 'x'"), ({"GENQ_CANARY_SHARE": "0.5"}, "canary_version")],
)
def test_wrong_settings_are_named(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    """`genq serve` ends with 2 and names the variable, without a traceback."""
    write_release(tmp_path / "gender", 1000)
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "serve", str(tmp_path)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 2
    assert said in ran.stderr and "Traceback" not in ran.stderr
