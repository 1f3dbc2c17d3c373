"""A real server on loopback with a small real model, and photos that ship inside packages.

The model is an ONNX graph by the contract: p_positive = sigmoid(slope * (brightness - centre)).
It knows nothing of faces, so that a test can say beforehand what it will answer.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from data import contract
from data.releases.release import (
    Calibration,
    Metric,
    Metrics,
    Release,
    SliceMetrics,
    Statistic,
    Variant,
)

ROOT = Path(__file__).parents[2]
NOTICE = "Labels say how a face appears to annotators."


def brightness_model(*, slope: float = 0.1, centre: float = 110.0, band: float = 0.1) -> bytes:
    """An ONNX model by the contract; batch, height and width are free."""
    constants = {
        "slope": np.float32(slope),
        "centre": np.float32(centre),
        "half": np.float32(0.5),
        "band": np.float32(band),
        "axes": np.array([1, 2, 3], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "centre"], ["above"]),
        helper.make_node("Mul", ["above", "slope"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], [contract.P_POSITIVE]),
        helper.make_node("GreaterOrEqual", [contract.P_POSITIVE, "half"], ["is_positive"]),
        helper.make_node("Cast", ["is_positive"], [contract.LABEL], to=TensorProto.INT64),
        helper.make_node("Sub", [contract.P_POSITIVE, "half"], ["off"]),
        helper.make_node("Abs", ["off"], ["distance"]),
        helper.make_node("Less", ["distance", "band"], [contract.UNCERTAIN]),
    ]
    outputs = [
        (contract.P_POSITIVE, TensorProto.FLOAT),
        (contract.LABEL, TensorProto.INT64),
        (contract.UNCERTAIN, TensorProto.BOOL),
    ]
    shape = ["batch", "height", "width", 3]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info(contract.IMAGE, TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info(name, kind, ["batch"]) for name, kind in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def expected_p_positive(crop: np.ndarray, *, slope: float = 0.1, centre: float = 110.0) -> float:
    """What `brightness_model` says, computed without it."""
    return float(1 / (1 + np.exp(-slope * (crop.astype(np.float64).mean() - centre))))


def write_release(
    model_dir: Path,
    version: int,
    *,
    int8: bool = False,
    content: bytes | None = None,
    **model: float,
) -> Path:
    """Writes a release directory as data.releases.release says; published by one rename."""
    staged = model_dir / ".staging" / str(version)
    (staged / "report").mkdir(parents=True)
    content = content or brightness_model(**model)
    files = {"float32": "model.onnx"} | ({"int8": "model.int8.onnx"} if int8 else {})
    for file in files.values():
        (staged / file).write_bytes(content)
    rate = Metric(value=0.94, low=0.93, high=0.95, n=1000)
    release = Release(
        model_name=model_dir.name,
        version=version,
        created="2026-11-24T00:00:00+00:00",
        variants=tuple(
            Variant(name=n, file=f, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
            for n, f in files.items()
        ),
        calibration=Calibration(temperature=1.3, uncertain_below=model.get("band", 0.1)),
        metrics=Metrics(
            overall={"accuracy": rate, "auc": Metric(value=0.98)},
            slices=(
                SliceMetrics(
                    name="Young=0, Male=0", accuracy=Metric(value=0.85, low=0.8, high=0.89, n=200)
                ),
                SliceMetrics(
                    name="sharpness_band=low",
                    accuracy=Metric(value=0.92, low=0.89, high=0.94, n=300),
                ),
                SliceMetrics(
                    name="Young=1", accuracy=Metric(value=0.96, low=0.94, high=0.97, n=700)
                ),
            ),
        ),
        statistics={
            "brightness": Statistic(mean=120.0, std_dev=25.0, n=1000),
            "sharpness": Statistic(mean=14.0, std_dev=4.0, n=1000),
        },
        licence="CelebA: non-commercial research",
        notice=NOTICE,
    )
    (staged / "release.json").write_text(release.model_dump_json(indent=1))
    (staged / "model_card.html").write_text("<!doctype html><title>Card</title><h1>Model card</h1>")
    (staged / "model_card.md").write_text("# Model card\n")
    (staged / "report" / "tfma.html").write_text("<!doctype html><h1>Views</h1>")
    (staged / "report" / "report.html").write_text(
        "<!doctype html><title>Report</title><h1>Report</h1>"
    )
    names = sorted(p.relative_to(staged).as_posix() for p in staged.rglob("*") if p.is_file())
    sums = [f"{hashlib.sha256((staged / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (staged / "SHA256SUMS").write_text("".join(sums))
    target = model_dir / str(version)
    staged.rename(target)
    return target


def package_file(package: str, *path: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], *path)


def astronaut() -> Image.Image:
    return Image.open(package_file("skimage", "data", "astronaut.png")).convert("RGB")


def hopper() -> Image.Image:
    path = package_file("matplotlib", "mpl-data", "sample_data", "grace_hopper.jpg")
    return Image.open(path).convert("RGB")


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@dataclass
class Server:
    """A running `genq serve`."""

    url: str
    process: subprocess.Popen[bytes]
    log_file: Path
    model_dir: Path

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **options)

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + 180  # a busy machine is slow, not wrong
        while not condition():
            assert time.monotonic() < deadline_s, f"{what} did not happen:\n{self.log}"
            time.sleep(0.05)

    def version(self) -> int | None:
        with self.client() as client:
            version: int | None = client.get("/readyz").json()["version"]
            return version

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def serving(
    model_dir: Path,
    folder: Path,
    *arguments: str,
    ready: bool = True,
    port: int = 0,
    python: Path | None = None,
    under: tuple[str | Path, ...] = (),
    **settings: Any,
) -> Iterator[Server]:
    """Starts `genq serve` in a process of its own and stops it at the end.

    `python` is that of another environment, whose installed genq is used instead of this tree;
    `under` is a command that starts the server, as strace does.
    """
    port = port or free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": "" if python else str(ROOT),
        "GENQ_RELOAD_INTERVAL_S": "0.1",
        "GENQ_WEB_DIR": str(folder / "no-page"),
        **{
            f"GENQ_{k.upper()}": v if isinstance(v, str) else json.dumps(v)
            for k, v in settings.items()
        },
    }
    log_file = folder / f"server-{port}.log"
    command = [str(python or sys.executable), "-m", "pipeline.cli", "serve", str(model_dir)]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*under, *command, "--port", str(port), *arguments],
            env=environment,
            cwd=folder if python else ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    server = Server(f"http://127.0.0.1:{port}", process, log_file, model_dir)

    def up() -> bool:
        assert process.poll() is None, server.log
        try:
            status = httpx.get(f"{server.url}/readyz", timeout=5).status_code
            return status == 200 or not ready
        except httpx.TransportError:
            return False

    try:
        server.wait_for(up, "start")
        yield server
    finally:
        if process.poll() is None:
            # What was started by strace is asked to end; strace itself hears no signals.
            for one in psutil.Process(process.pid).children() if under else [process]:
                one.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
