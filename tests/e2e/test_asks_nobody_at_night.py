"""Nothing that a run or the page's build uses looks up an address: commands under strace."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from traced import asked, left_in, strace

ROOT = Path(__file__).parents[2]


LIBRARIES = """
import pipeline, numpy as np, tensorflow as tf, keras
from components.trainer.frozen import openvino_forward
model = keras.Sequential([keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
model.predict(np.zeros((1, 8, 8, 3)), verbose=0)
print(openvino_forward(model, bfloat16=False)(np.zeros((1, 8, 8, 3))).shape)
"""


@pytest.mark.nightly
def test_tensorflow_and_openvino_look_up_nothing(
    home: Path, tmp_path: Path, lacking: Callable[[str], NoReturn]
) -> None:
    """A model is made, computed and compiled."""
    trace = tmp_path / "libraries.trace"
    command = [*strace(trace, lacking), sys.executable, "-c", LIBRARIES]
    subprocess.run(command, check=True, cwd=ROOT, timeout=900)
    assert asked(trace.read_text()) == []
    assert left_in(home) == []


@pytest.mark.nightly
def test_mlflows_client_asks_only_its_server(
    home: Path, tmp_path: Path, lacking: Callable[[str], NoReturn]
) -> None:
    """A run in a folder has no server at all."""
    pytest.importorskip("mlflow", reason="make nightly installs it")
    code = (
        "import sys, pipeline, mlflow; mlflow.set_tracking_uri(sys.argv[1])\n"
        "with mlflow.start_run(): mlflow.log_metric('accuracy', 0.9)"
    )
    trace = tmp_path / "mlflow.trace"
    store = (tmp_path / "store").as_uri()
    command = [*strace(trace, lacking), sys.executable, "-c", code, store]
    allowed = os.environ | {"MLFLOW_ALLOW_FILE_STORE": "true"}
    subprocess.run(command, check=True, cwd=ROOT, timeout=600, env=allowed)
    assert asked(trace.read_text()) == []


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_whole_run_looks_up_nothing(
    home: Path, tmp_path: Path, lacking: Callable[[str], NoReturn]
) -> None:
    """From drawn faces to a release: TFX, Beam, TFDV, TFMA, Keras, tf2onnx, onnxruntime."""
    settings = ("--set", "evaluation.fairness.on_failure=warn")
    settings += ("--set", "trainer.fine_tune_epochs=1")
    made = ("data", "synthesize", str(tmp_path / "data"), "--images", "600")
    run = ("run", "--data", str(tmp_path / "data"), "--workdir", str(tmp_path / "work"))
    for name, arguments in (("data", made), ("run", (*run, *settings))):
        trace = tmp_path / f"{name}.trace"
        command = [*strace(trace, lacking), sys.executable, "-m", "pipeline.cli", *arguments]
        done = subprocess.run(command, cwd=ROOT)
        assert done.returncode in (0, 4, 10), name  # what the gates say is not asked here
        assert asked(trace.read_text()) == [], name
    assert left_in(home) == []


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_the_pages_build_looks_up_nothing(
    home: Path, tmp_path: Path, lacking: Callable[[str], NoReturn]
) -> None:
    """Next.js reports of its use, and looks for newer versions, unless it is told not to."""
    web = ROOT / "serving/web"
    if not (web / "node_modules").is_dir():
        lacking("serving/web/node_modules is not there: make web")
    npm = shutil.which("npm") or lacking("npm is not installed")
    copy = tmp_path / "serving/web"
    shutil.copytree(web, copy, symlinks=True, ignore=shutil.ignore_patterns("out", ".next"))
    (tmp_path / "tests/golden").mkdir(parents=True)
    shutil.copy(ROOT / "tests/golden/openapi.json", tmp_path / "tests/golden")
    trace = tmp_path / "build.trace"
    environment = os.environ | {"npm_config_update_notifier": "false"}
    command = [*strace(trace, lacking), npm, "run", "build"]
    subprocess.run(command, check=True, cwd=copy, env=environment)
    assert (copy / "out/index.html").exists()
    assert asked(trace.read_text()) == []
