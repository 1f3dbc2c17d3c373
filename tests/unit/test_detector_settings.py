"""One set of numbers for detector and aligner, in Python and for the page."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from fastapi.testclient import TestClient

from data.faces.mtcnn_graphs import graphs
from serving.api.app import create_app
from serving.api.settings import Settings


def test_the_api_serves_the_numbers_and_networks_of_the_server(tmp_path: Path) -> None:
    """GET /v1/detector has every constant, what is set, and the networks that it names."""
    settings = Settings(model_dir=tmp_path, min_face_px=32, retry_rotated=False)
    with TestClient(create_app(settings)) as client:
        told = client.get("/v1/detector").json()
        networks, numbers = told["networks"], told["settings"]
        assert numbers == json.loads(json.dumps(asdict(settings.detector)))
        assert numbers["min_face_px"] == 32 and numbers["retry_rotated"] is False
        for name, graph in graphs().items():
            got = client.get(networks[name]["path"])
            assert got.content == graph
            assert networks[name]["bytes"] == len(graph)
            assert networks[name]["sha256"] == hashlib.sha256(graph).hexdigest()
            assert got.headers["etag"] == f'"{networks[name]["sha256"]}"'
