"""A run in MLflow: a real `genq run`, a real tracking server, and what MLflow's client reads there.

Nightly: the server comes from the registry into an environment of its own, since it asks for other
versions of TFX's packages; the client is that of the group `mlflow`.
"""

import contextlib
import importlib.metadata
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx
import numpy as np
import onnxruntime
import pytest

from components.evaluation.state import LET_THROUGH_EXIT_CODE
from data import contract

ROOT = Path(__file__).parents[2]
SETTINGS = (
    "trainer.fine_tune_epochs=2",
    "evaluation.min_accuracy=0.1",
    "evaluation.min_auc=0.1",
    "evaluation.fairness.on_failure=warn",
)
ENDED = (0, LET_THROUGH_EXIT_CODE)


@dataclass(frozen=True)
class Workplace:
    """A data set and a work directory."""

    base: Path

    def run(self, uri: str) -> subprocess.CompletedProcess[str]:
        """Types `genq run`."""
        settings = [w for s in (*SETTINGS, f"tracking.mlflow={uri}") for w in ("--set", s)]
        places = ["--data", str(self.base / "data"), "--workdir", str(self.base / "work")]
        command = [sys.executable, "-m", "pipeline.cli", "run", *places, *settings]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    @property
    def release(self) -> Path:
        """The only release."""
        folder = self.base / "work/serving/gender"
        [found] = [p for p in folder.iterdir() if p.name.isdigit()]
        return found


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], NoReturn]
) -> Iterator[str]:
    """The address of an MLflow server with a database and a registry."""
    try:
        version = importlib.metadata.version("mlflow-skinny")
    except importlib.metadata.PackageNotFoundError:
        lacking("mlflow-skinny is not installed: scripts/setup mlflow")
    base = tmp_path_factory.mktemp("mlflow")
    uv, python = Path(sys.executable).parent / "uv", base / "env/bin/python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, base / "env"], check=True)
    package = f"mlflow=={version}"
    subprocess.run([uv, "pip", "install", "-q", "--python", python, package], check=True)
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stores = ("--backend-store-uri", f"sqlite:///{base}/db", "--artifacts-destination", base / "a")
    log = (base / "log").open("w")
    process = subprocess.Popen(
        [base / "env/bin/mlflow", "server", *stores, "--port", str(port), "--workers", "1"],
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}, stdout=log, stderr=log, cwd=base,
        start_new_session=True,
    )  # fmt: skip
    uri = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{uri}/health").status_code == 200:
                    break
            assert process.poll() is None, (base / "log").read_text()
            time.sleep(0.5)
        yield uri
    finally:
        os.killpg(process.pid, 15)
        process.wait()
        log.close()


@pytest.mark.nightly
def test_a_run_and_its_release_are_in_mlflow_once_and_a_dead_server_costs_neither(
    server: str, tmp_path: Path
) -> None:
    """First no server answers; then one does, and gets all from the cache; then all is there."""
    import mlflow

    place = Workplace(tmp_path)
    command = [sys.executable, "-m", "pipeline.cli", "data", "synthesize", str(tmp_path / "data")]
    subprocess.run([*command, "--images", "600"], cwd=ROOT, check=True)

    dead = place.run("http://127.0.0.1:9")
    assert dead.returncode in ENDED, dead.stdout + dead.stderr
    warned = [line for line in dead.stdout.splitlines() if "Warning: tracking.mlflow" in line]
    assert len(warned) == 2  # before hours of training, and after
    assert "The release and the report are not touched" in dead.stdout
    version = place.release.name

    done = place.run(server)
    assert done.returncode == dead.returncode, done.stdout + done.stderr
    assert "done in" not in "".join(x for x in done.stdout.splitlines() if "trainer" in x)
    assert f"model gender, version 1 (release-{version})" in done.stdout
    mlflow.set_tracking_uri(server)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("genq-demo")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["trainer.fine_tune_epochs"] == "2"
    steps = client.get_metric_history(run.info.run_id, "epoch/val_accuracy")
    assert [m.step for m in steps] == [1, 2]
    low, value, high = (
        run.data.metrics[f"test/{n}"] for n in ("accuracy_low", "accuracy", "accuracy_high")
    )
    assert low <= value <= high
    assert any(name.startswith("test accuracy of slices/") for name in run.data.metrics)

    def files(folder: str) -> set[str]:
        return {f.path.rpartition("/")[2] for f in client.list_artifacts(run.info.run_id, folder)}

    assert "training.png" in files("figures")
    assert {"report.html", "metrics.json", "model_card.html"} <= files("report")
    assert {"release.json", "SHA256SUMS"} <= files("release")

    registered = client.get_model_version_by_alias("gender", f"release-{version}")
    assert registered.tags["genq.release"] == version
    loaded = mlflow.pyfunc.load_model(f"models:/gender@release-{version}")
    [given] = loaded.metadata.get_input_schema().inputs
    assert (given.name, given.type, given.shape) == (contract.IMAGE, np.uint8, (-1, -1, -1, 3))
    faces = np.random.default_rng(0).integers(0, 256, (2, 218, 178, 3), np.uint8)
    session = onnxruntime.InferenceSession(place.release / "model.onnx")
    [expected] = session.run([contract.P_POSITIVE], {contract.IMAGE: faces})
    answers = loaded.predict({contract.IMAGE: faces})
    np.testing.assert_allclose(np.ravel(answers[contract.P_POSITIVE]), expected, atol=1e-6)

    again = place.run(server)
    assert again.stdout.count("which was there already") == 2
    assert len(client.search_runs([experiment.experiment_id])) == 1
    assert len(client.search_model_versions("name = 'gender'")) == 1
