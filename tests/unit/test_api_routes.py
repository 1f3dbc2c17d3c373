"""Addresses that there are not, the description, and what several workers say of themselves."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.api.app import create_app
from serving.api.settings import Settings
from serving.api.workers import Workers


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """The application with a built page, not started: routes only."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "404.html").write_text("<!doctype html><title>not here</title>")
    return TestClient(create_app(Settings(model_dir=folder, web_dir=folder)))


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/faces/5", "/v1/", "/api/nothing"])
def test_unknown_addresses_of_the_api_are_json(client: TestClient, method: str, path: str) -> None:
    """404 with a code, whatever the method, although the page's files answer all the rest."""
    answer = client.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert client.get("/nothing").headers["content-type"].startswith("text/html")


def test_a_wrong_method_says_which_are_right(client: TestClient) -> None:
    """405 with Allow."""
    answer = client.get("/v1/faces")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert client.delete("/v1/model").headers["allow"] == "GET"


def test_the_description_says_how_a_key_is_sent(client: TestClient) -> None:
    """OpenAPI's securitySchemes: a header or a bearer token; and neither where none is asked."""
    description = client.get("/api/openapi.json").json()
    schemes = description["components"]["securitySchemes"]
    assert schemes["key"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert schemes["bearer"] == {"type": "http", "scheme": "bearer"}
    assert description["security"] == [{}, {"key": []}, {"bearer": []}]


def test_docs_are_one_page_that_needs_nothing_else(client: TestClient) -> None:
    """Every route is on it; no script, nothing from another place, and a policy that says so."""
    answer = client.get("/docs")
    for path in client.get("/api/openapi.json").json()["paths"]:
        assert path in answer.text
    assert not re.search(r"<script|<link|src=|https?://(?!127)", answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_who_looks_for_videos_is_told_where_they_are_followed(client: TestClient) -> None:
    """No route takes one; the page and the command line do, and /docs says why."""
    for answer in (client.post("/v1/video", files={"file": b"clip"}), client.get("/v1/video")):
        assert answer.status_code == 404
        assert "videos: see /docs" in answer.json()["error"]["message"]
    docs = client.get("/docs").text
    assert "genq predict clip.mp4" in docs and "minutes of a core" in docs
    indonesian = client.post("/v1/video?lang=id").json()["error"]["message"]
    assert "video: lihat /docs" in indonesian


_TWO_WORKERS = """
import os, sys
from types import SimpleNamespace
from serving.api.metrics import Metrics

def engine(version):
    return SimpleNamespace(version=version, variant="int8")

metrics = Metrics()
metrics.releases({"active": engine(1)}, 0)
metrics.work(1, 2)
if os.fork() == 0:
    # The other worker: it never answers /metrics, and says by itself what it does.
    from prometheus_client import values
    other = Metrics()
    other.releases({"active": engine(1)}, 0)
    other.releases({"active": engine(2)}, 0)
    other.work(2, 3)
    os._exit(0)
os.wait()
metrics.releases({"active": engine(2)}, 0)
print(metrics.text())
"""


def test_metrics_of_two_workers_add_up_and_old_releases_go(tmp_path: Path) -> None:
    """Running and waiting are everybody's; a release that nobody has loaded any more is 0."""
    ran = subprocess.run(
        [sys.executable, "-c", _TWO_WORKERS],
        env={"PYTHONPATH": ":".join(sys.path), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    loaded = dict(re.findall(r'genq_release_loaded{.*version="(\d)"} (\S+)', ran.stdout))
    assert loaded == {"1": "0.0", "2": "1.0"}
    assert "genq_running 3.0" in ran.stdout and "genq_waiting 5.0" in ran.stdout


def test_a_worker_says_when_its_work_changes() -> None:
    """Nobody has to ask it: each start and each end of background work is told."""
    told: list[tuple[int, int]] = []
    workers = Workers(1, 4, 10.0, lambda running, waiting: told.append((running, waiting)))
    assert workers.background(lambda: None, lambda error: None)
    workers.close()
    assert told[-1] == (0, 0)
