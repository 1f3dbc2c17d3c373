"""Both images are built by a real engine, weighed, and started.

Docker's daemon if one answers, else buildah as root, without namespaces (apt-get install buildah).
An engine that has the base images asks no registry.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
from served import ROOT, astronaut, encoded, free_port

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]
GB = 1e9
UID = "4242"
BASE = {"pipeline": "python:3.11-slim-trixie", "serving": "python:3.11-slim-bookworm"}
MOST_ABOVE_BASE_GB = {"pipeline": 3.05, "serving": 0.45}
"""Goals of 3.2 GB with a base of 0.15, and of 450 MB above the base."""


class Docker:
    """Containers of Docker's engine."""

    def build(self, dockerfile: str, tag: str) -> None:
        subprocess.run(
            ["docker", "build", "-q", "-f", dockerfile, "-t", tag, "."], cwd=ROOT, check=True
        )

    def size(self, image: str) -> int:
        return int(_said("docker", "image", "inspect", "--format", "{{.Size}}", image))

    @contextmanager
    def running(self, image: str, releases: Path, port: int) -> Iterator[None]:
        """The service, with a root that it cannot write, without capabilities."""
        container = _said(
            *("docker", "run", "-d", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
            *(
                "--user",
                UID,
                "-p",
                f"127.0.0.1:{port}:8000",
                "-v",
                f"{releases}:/releases:ro",
                image,
            ),
        )
        try:
            yield
        finally:
            subprocess.run(["docker", "rm", "-f", container], check=True)

    def version(self, image: str) -> str:
        return _said("docker", "run", "--rm", "--entrypoint", "genq", image, "--version")


class Buildah:
    """The same by buildah: its chroot isolation has no read-only root and no network of its own."""

    def build(self, dockerfile: str, tag: str) -> None:
        subprocess.run(
            ["buildah", "bud", "--isolation=chroot", "--layers", "-q", "-f", dockerfile, "-t", tag],
            cwd=ROOT,
            check=True,
        )

    def size(self, image: str) -> int:
        number, unit = json.loads(_said("buildah", "images", "--json", image))[0]["size"].split()
        return int(float(number) * {"MB": 1e6, "GB": 1e9}[unit])

    @contextmanager
    def running(self, image: str, releases: Path, port: int) -> Iterator[None]:
        container = _said("buildah", "from", "--pull-never", image)
        command = ["buildah", "run", "--isolation=chroot", "--cap-drop=all", f"--user={UID}"]
        command += ["-v", f"{releases}:/releases:ro", container, "--", "genq", "serve"]
        process = subprocess.Popen([*command, "--port", str(port)], start_new_session=True)
        try:
            yield
        finally:
            os.killpg(process.pid, 15)
            process.wait()
            subprocess.run(["buildah", "rm", container], check=True)

    def version(self, image: str) -> str:
        container = _said("buildah", "from", "--pull-never", image)
        try:
            return _said(
                "buildah", "run", "--isolation=chroot", container, "--", "genq", "--version"
            )
        finally:
            subprocess.run(["buildah", "rm", container], check=True)


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def engine(lacking: Callable[[str], NoReturn]) -> Docker | Buildah:
    if (
        shutil.which("docker")
        and not subprocess.run(["docker", "info"], capture_output=True).returncode
    ):
        return Docker()
    if shutil.which("buildah") and not os.geteuid():
        return Buildah()
    lacking("No engine: start Docker, or as root `apt-get install buildah`.")


@pytest.mark.parametrize("image", ["pipeline", "serving"])
def test_the_image_is_built_and_is_no_larger_than_its_goal(
    engine: Docker | Buildah, image: str
) -> None:
    """What it adds to its base image; the program in it starts as the image's own user."""
    engine.build(f"deploy/Dockerfile.{image}", f"genq-test-{image}")
    added = engine.size(f"genq-test-{image}") - engine.size(BASE[image])
    assert 0.1 < added / GB < MOST_ABOVE_BASE_GB[image]
    assert engine.version(f"genq-test-{image}").startswith("genq ")


def test_the_service_answers_as_another_user_without_capabilities(
    engine: Docker | Buildah, model_dir: Path
) -> None:
    """Releases are mounted read-only; the page is in the image."""
    engine.build("deploy/Dockerfile.serving", "genq-test-serving")
    model_dir.parent.chmod(0o755)
    port = free_port()
    with engine.running("genq-test-serving", model_dir.parent, port):
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, "not ready"
            time.sleep(0.5)
        answer = httpx.post(
            f"{url}/v1/faces", files={"file": ("a.jpg", encoded(astronaut()))}, timeout=60
        ).raise_for_status()
        assert len(answer.json()["faces"]) == 1
        assert "<html" in httpx.get(f"{url}/").text
