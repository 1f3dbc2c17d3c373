"""No command looks up an address of its own: reports of use are off before libraries come."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from served import ROOT, astronaut, encoded, serving, write_release
from traced import asked, left_in, strace

OFF = "ORT_DISABLE_TELEMETRY"
CANARY = """
import sys
from components.model_exporter import canary
request = {"variants": {"float32": sys.argv[1]}, "images": [sys.argv[2]]}
canary.run(canary.ONNX_CANARY, request, sys.argv[3])
"""
EXPORTED = """
import sys
from components.model_exporter import models
import onnxruntime
onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
"""
PREDICTED = "from pipeline.cli.app import main; main()"


@pytest.mark.parametrize("package", ["data", "components", "pipeline", "serving"])
def test_each_of_our_packages_turns_reports_off_before_onnxruntime_can_come(package: str) -> None:
    """Whichever is imported first, and without overruling who set the variable."""
    code = f"import os, sys, {package}; print(os.environ['{OFF}'], 'onnxruntime' in sys.modules)"
    environment = {k: v for k, v in os.environ.items() if k != OFF}
    for given, expected in (({}, "1 False"), ({OFF: "0"}, "0 False")):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT,
            env=environment | given,
        )  # fmt: skip
        assert done.stdout.strip() == expected


def test_mlflows_reports_are_off_too() -> None:
    """Its client, where tracking.mlflow brings it, would tell its makers what is called."""
    code = "import os, pipeline; print(os.environ['MLFLOW_DISABLE_TELEMETRY'])"
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT,
        env=environment,
    )  # fmt: skip
    assert done.stdout == "true\n"


def test_what_it_keeps_is_noticed(home: Path) -> None:
    """What the checks below would see. Whether onnxruntime writes it depends on the machine."""
    kept = home / ".cache" / "Microsoft" / "DeveloperTools" / "deviceid"
    kept.parent.mkdir(parents=True)
    kept.write_text("an id")
    assert left_in(home) == [
        ".cache/Microsoft",
        ".cache/Microsoft/DeveloperTools",
        ".cache/Microsoft/DeveloperTools/deviceid",
    ]


def test_predict_export_and_canary_keep_and_look_up_nothing(
    home: Path, tmp_path: Path, lacking: Callable[[str], NoReturn]
) -> None:
    """Under strace: no connection but to this machine, and no question to a resolver."""
    release = write_release(tmp_path / "releases" / "gender", 1000)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encoded(astronaut()))
    commands = {
        "predict": [PREDICTED, "predict", photo, "--model-dir", tmp_path / "releases"],
        "canary": [CANARY, release / "model.onnx", photo, tmp_path],
        "export": [EXPORTED, release / "model.onnx"],
    }
    for name, (code, *arguments) in commands.items():
        trace = tmp_path / f"{name}.trace"
        command = [*strace(trace, lacking), sys.executable, "-c", code, *arguments]
        subprocess.run(command, check=True, cwd=ROOT, timeout=600)
        assert asked(trace.read_text()) == [], name
        assert left_in(home) == [], name


def test_an_asked_address_is_noticed() -> None:
    """What the check above would see."""
    lookup = (
        'connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.1")}, 16)'
    )
    far = 'connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("10.1.1.1")}, 16)'
    near = (
        'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16)'
    )
    cache = 'connect(3, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110)'
    none = f"{cache} = -1 ENOENT (No such file or directory)"
    assert asked("\n".join((lookup, far, near, f"{cache} = 0", none))) == [
        *(lookup, far),
        f"{cache} = 0",
    ]


def test_the_application_keeps_and_looks_up_nothing(
    home: Path, tmp_path: Path, lacking: Callable[[str], NoReturn]
) -> None:
    """A photo is answered, the home directory stays as it was, and no address is asked for."""
    write_release(tmp_path / "releases" / "gender", 1000)
    trace = tmp_path / "serve.trace"
    under = strace(trace, lacking)
    with (
        serving(tmp_path / "releases", tmp_path, under=under) as server,
        server.client() as client,
    ):
        answer = client.post("/v1/faces", files={"file": encoded(astronaut())})
        assert answer.status_code == 200
        assert client.get("/metrics").status_code == 200
        variables = Path(f"/proc/{server.process.pid}/environ").read_text()
    assert left_in(home) == []
    assert "HOME=" + str(home) in variables
    assert "SIGTERM" in trace.read_text()  # it was followed to its end
    assert asked(trace.read_text()) == []


def test_what_is_deployed_says_it_too() -> None:
    """Images, unit, manifests and the page's build: for processes that import onnxruntime first."""
    for name in (
        *("Dockerfile.pipeline", "Dockerfile.serving", "compose.yaml"),
        *("systemd/genq-serving.service", "kubernetes/genq-serving.yaml", "kubernetes/kserve.yaml"),
    ):
        assert OFF in (ROOT / "deploy" / name).read_text(), name
    assert "NEXT_TELEMETRY_DISABLED=1 next build" in (ROOT / "serving/web/package.json").read_text()
