"""More work than there are threads: bounded waiting, honest refusals, no photo lost at a stop."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from served import astronaut, encoded, serving

NOISE = encoded(
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1100, 1100, 3), dtype=np.uint8)),
    "JPEG",
)
"""Takes the detector long: thousands of proposals, and it is turned three times."""


def post(url: str, data: bytes = NOISE) -> httpx.Response:
    return httpx.post(f"{url}/v1/faces", files={"file": data}, timeout=120)


def test_a_full_queue_says_when_to_come_back(model_dir: Path, tmp_path: Path) -> None:
    """One works, one waits, the others get 503 with Retry-After at once; health still answers."""
    with serving(model_dir, tmp_path, concurrency=1, queue_size=1) as server:
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(post, server.url) for _ in range(6)]
            assert httpx.get(f"{server.url}/healthz", timeout=5).status_code == 200
            answers = [f.result() for f in asked]
        refused = [a for a in answers if a.status_code == 503]
        assert sorted(a.status_code for a in answers) == [200] * (6 - len(refused)) + [503] * len(
            refused
        )
        assert len(refused) >= 3
        for answer in refused:
            assert answer.json()["error"]["code"] == "busy"
            assert int(answer.headers["retry-after"]) >= 1
        # Afterwards there is room again.
        assert post(server.url, encoded(astronaut())).status_code == 200


def test_a_photo_that_takes_too_long_gets_504(model_dir: Path, tmp_path: Path) -> None:
    """The answer comes at the limit, and the thread is free soon after."""
    with serving(model_dir, tmp_path, concurrency=1, request_timeout_s=0.05) as server:
        answer = post(server.url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
        server.wait_for(
            lambda: "genq_running 0.0" in httpx.get(f"{server.url}/metrics").text, "the thread"
        )


def test_a_body_that_never_comes_gets_408(model_dir: Path, tmp_path: Path) -> None:
    """A slow sender is given up: no connection is held for ever."""
    with serving(model_dir, tmp_path, request_timeout_s=0.3) as server:
        address = server.url.removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1])), timeout=20) as s:
            s.sendall(
                b"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
                b"Content-Length: 100000\r\n\r\nabc"
            )
            assert s.recv(100).startswith(b"HTTP/1.1 408")


def test_work_ends_when_the_client_goes_away(model_dir: Path, tmp_path: Path) -> None:
    """The connection closes, the work is called off, nothing is counted as answered."""
    with serving(model_dir, tmp_path, concurrency=1, queue_size=5) as server:
        address = server.url.removeprefix("http://").split(":")
        for _ in range(4):
            with socket.create_connection((address[0], int(address[1]))) as s:
                s.sendall(
                    b"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
                    b"Content-Length: " + str(len(NOISE)).encode() + b"\r\n\r\n" + NOISE
                )
                time.sleep(0.05)

        def gone() -> bool:
            text = httpx.get(f"{server.url}/metrics").text
            return 'genq_errors_total{code="client_gone"} 4.0' in text and (
                "genq_running 0.0" in text
            )

        server.wait_for(gone, "calling off")
        assert "genq_photos_total" not in [
            line.split("{")[0] for line in httpx.get(f"{server.url}/metrics").text.splitlines()
        ]


def test_a_stop_finishes_what_is_running(model_dir: Path, tmp_path: Path) -> None:
    """SIGTERM during a request: the request is answered, then the server is gone."""
    with serving(model_dir, tmp_path, concurrency=1) as server:
        answers: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: answers.append(post(server.url)))
        thread.start()
        server.wait_for(
            lambda: "genq_running 1.0" in httpx.get(f"{server.url}/metrics").text, "work"
        )
        server.stop()
        thread.join()
        assert answers[0].status_code == 200


def test_several_processes_share_uploads_and_numbers(model_dir: Path, tmp_path: Path) -> None:
    """Two workers: what one took the other knows, and /metrics adds both up."""
    with serving(model_dir, tmp_path, "--workers", "2") as server:
        data = encoded(astronaut())
        for _ in range(6):  # a new connection each, so that both workers get some
            name = httpx.post(f"{server.url}/upload/", files={"file": data}).json()["filename"]
            answer = httpx.post(f"{server.url}/predict", json={"filename": name}, timeout=60)
            assert [f["label"] for f in answer.json()] == ["Laki-laki"]
        for _ in range(6):
            text = httpx.get(f"{server.url}/metrics").text
            assert 'genq_photos_total{found="faces"} 6.0' in text
