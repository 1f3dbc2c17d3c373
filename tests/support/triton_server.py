"""NVIDIA's Triton Inference Server, from the wheel that brings it, on a real model repository."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from served import ROOT, Server, free_port

# By hash and beside the environment: the wheel wants glibc 2.35 and NumPy 1, the lock has neither.
# (With NumPy 2 its Python backend sees arrays of no bytes.)
WHEELS = """\
nvidia-pytriton==0.7.0 \
    --hash=sha256:21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df
numpy==1.26.4 \
    --hash=sha256:666dbfb6ec68962c033a450943ded891bed2d54e6755e35e5835d63f4f6931d5
"""
GLIBC = (2, 35)


def install(folder: Path) -> Path:
    """Makes an environment with the server below `folder`; returns the server's directory."""
    if tuple(map(int, platform.libc_ver()[1].split("."))) < GLIBC:
        pytest.skip(f"Triton's wheel needs glibc {GLIBC[0]}.{GLIBC[1]}.")
    venv, wheels = folder / "venv", folder / "wheels.txt"
    # Triton's Python backend runs the `python3` of PATH and takes no PYTHONPATH.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    lock = (ROOT / "requirements.lock").read_text()
    pin = re.search(r"^onnxruntime==.*?(?=^ {4}#)", lock, re.M | re.S)
    assert pin is not None
    wheels.write_text(WHEELS + pin[0])
    uv = Path(sys.executable).parent / "uv"
    command = [uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", wheels]
    subprocess.run([*command, "--python", venv / "bin/python"], check=True, timeout=300)
    [server] = venv.glob("lib/python*/site-packages/pytriton/tritonserver")
    shutil.copytree(
        Path(__file__).parent / "triton_onnxruntime", server / "backends" / "onnxruntime"
    )
    stub = "triton_python_backend_stub"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    shutil.copy(
        server / "python_backend_stubs" / version / stub, server / "backends" / "python" / stub
    )
    return server


@contextmanager
def serving(server: Path, repository: Path, folder: Path) -> Iterator[Server]:
    """Starts Triton on a repository that it polls every second."""
    port = free_port()
    log_file = folder / f"triton-{port}.log"
    venv = next(p for p in server.parents if (p / "pyvenv.cfg").exists())
    environment = {**os.environ, "PATH": f"{venv / 'bin'}:{os.environ['PATH']}"}
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [
                *(server / "bin/tritonserver", "--model-repository", repository),
                *("--backend-directory", server / "backends"),
                *("--model-control-mode", "poll", "--repository-poll-secs", "1"),
                *("--http-address", "127.0.0.1", "--http-port", str(port)),
                *("--allow-grpc", "false", "--allow-metrics", "false"),
            ],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    running = Server(f"http://127.0.0.1:{port}", process, log_file, repository)

    def up() -> bool:
        assert process.poll() is None, running.log
        try:
            return httpx.get(f"{running.url}/v2/health/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        running.wait_for(up, "start")
        yield running
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
