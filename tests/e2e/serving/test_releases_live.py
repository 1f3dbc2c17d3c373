"""Releases come and go while requests run, and none is lost."""

import re
import shutil
import threading
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from served import astronaut, encoded, expected_p_positive, serving, write_release

CROP = encoded(Image.new("RGB", (178, 218), (130, 130, 130)), "PNG")


def ask(client: httpx.Client) -> dict:
    answer = client.post("/v1/classify", files={"files": CROP})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_twenty_switches_lose_no_request(model_dir: Path, tmp_path: Path) -> None:
    """Twenty releases go live under load; every answer is one release's own, in version order."""
    slopes = {1000: 0.1}
    with serving(model_dir, tmp_path) as server:
        seen: list[tuple[int, float]] = []
        stop = threading.Event()

        def load() -> None:
            with server.client() as client:
                while not stop.is_set():
                    body = ask(client)
                    seen.append((body["release"]["version"], body["answers"][0]["p_positive"]))

        thread = threading.Thread(target=load)
        thread.start()
        try:
            for n in range(1, 21):
                slopes[1000 + n] = 0.1 - n * 0.004
                write_release(model_dir, 1000 + n, slope=slopes[1000 + n])
                server.wait_for(lambda n=n: server.version() == 1000 + n, f"switch {n}")
        finally:
            stop.set()
            thread.join()
    versions = [version for version, _ in seen]
    assert versions == sorted(versions) and len(set(versions)) >= 15
    grey = np.full((1, 1, 3), 130)
    for version, p_positive in seen:
        assert abs(p_positive - expected_p_positive(grey, slope=slopes[version])) < 1e-4


def test_deleting_the_newest_rolls_back(model_dir: Path, tmp_path: Path) -> None:
    """The release before answers again; when all are gone the last good one goes on."""
    with serving(model_dir, tmp_path) as server, server.client() as client:
        newest = write_release(model_dir, 2000)
        server.wait_for(lambda: server.version() == 2000, "going live")
        shutil.rmtree(newest)
        server.wait_for(lambda: server.version() == 1000, "rolling back")
        assert ask(client)["release"]["version"] == 1000
        shutil.rmtree(model_dir / "1000")
        server.wait_for(lambda: "no usable release" in client.get("/readyz").text, "a report")
        assert ask(client)["release"]["version"] == 1000


def test_broken_and_half_written_releases_are_skipped_and_reported(
    model_dir: Path, tmp_path: Path
) -> None:
    """Each kind of damage keeps the old release; a copy that is finished goes live after all."""
    with serving(model_dir, tmp_path) as server, server.client() as client:
        whole = write_release(tmp_path / "elsewhere" / "gender", 3000)
        damaged = write_release(model_dir, 2000)
        # Sums that do not fit: the file was changed after it was published.
        (damaged / "model.onnx").write_bytes((damaged / "model.onnx").read_bytes()[:-1])
        half = model_dir / "3000"
        half.mkdir()
        shutil.copy(whole / "release.json", half)

        def skipped() -> dict[str, str]:
            return client.get("/v1/model").json()["skipped"]

        server.wait_for(lambda: {"2000", "3000"} <= set(skipped()), "skipping")
        assert "SHA-256" in skipped()["2000"] and "SHA256SUMS" in skipped()["3000"]
        assert "genq_releases_skipped 2.0" in client.get("/metrics").text
        assert ask(client)["release"]["version"] == 1000
        shutil.copytree(whole, half, dirs_exist_ok=True)
        server.wait_for(lambda: server.version() == 3000, "going live after all")
        assert set(skipped()) == {"2000"}
        assert "release 2000 is skipped" in server.log


def test_a_server_without_a_usable_release_waits_for_one(model_dir: Path, tmp_path: Path) -> None:
    """It is alive and not ready, says why, refuses typed, and recovers by itself."""
    model = (model_dir / "1000" / "model.onnx").read_bytes()
    (model_dir / "1000" / "model.onnx").write_bytes(b"")
    with serving(model_dir, tmp_path, ready=False) as server, server.client() as client:
        server.wait_for(lambda: client.get("/readyz").status_code == 503, "an answer")
        assert "no usable release" in client.get("/readyz").json()["problem"]
        refused = client.post("/v1/classify", files={"files": CROP})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_model")
        (model_dir / "1000" / "model.onnx").write_bytes(model)
        server.wait_for(lambda: server.version() == 1000, "recovering")


def test_pins_hold(model_dir: Path, tmp_path: Path) -> None:
    """GENQ_PIN_VERSION and the file CURRENT both hold a version back."""
    write_release(model_dir, 2000)
    with serving(model_dir, tmp_path, pin_version=1000) as server:
        assert server.version() == 1000
    with serving(model_dir, tmp_path) as server:
        assert server.version() == 2000
        (model_dir / "CURRENT").write_text("1000\n")
        server.wait_for(lambda: server.version() == 1000, "the pin")


def test_canary_gets_its_share_and_shadow_answers_nobody(model_dir: Path, tmp_path: Path) -> None:
    """About half of the requests go to the canary; the shadow is only counted."""
    write_release(model_dir, 2000, slope=0.01)
    write_release(model_dir, 3000, slope=-0.1)
    settings = {"canary_version": 2000, "canary_share": 0.5, "shadow_version": 3000}
    with serving(model_dir, tmp_path, **settings) as server, server.client() as client:
        answers = [ask(client)["release"] for _ in range(60)]
        by_canary = [a for a in answers if a["canary"]]
        assert {a["version"] for a in by_canary} == {2000}
        assert {a["version"] for a in answers} == {1000, 2000}
        assert 10 < len(by_canary) < 50  # 1 in 10^7 by chance
        client.post("/v1/faces", files={"file": encoded(astronaut())})
        counted = re.compile(r'^genq_shadow_disagreements_total\{shadow="3000".*\} 1.0$', re.M)
        server.wait_for(
            lambda: counted.search(client.get("/metrics").text) is not None, "the disagreement"
        )
