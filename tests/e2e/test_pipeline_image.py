"""deploy/Dockerfile.pipeline, step by step in a clean environment: no Docker engine is here.

Its COPY and `pip install` lines are done as they stand (by uv, which takes pip's flags), into an
empty folder and a new virtual environment; a step that this test does not know makes it fail.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile.pipeline"
UV = Path(sys.executable).parent / "uv"
SKIPPED = (
    "useradd",  # needs root; who runs it is looked at below
    'test -z "$GPU"',  # the GPU's packages; GPU is empty
)


def instructions() -> list[tuple[str, str]]:
    """(instruction, its arguments), comments dropped and continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The image's /app and /opt/genq."""
    folder = tmp_path_factory.mktemp("image")
    app, venv = folder / "app", folder / "genq"
    app.mkdir()
    for instruction, arguments in instructions():
        if instruction == "COPY":
            *sources, target = shlex.split(arguments)
            for source in sources:
                place = app / target / Path(source).name if target == "./" else app / target
                place.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, place)
        elif instruction == "RUN" and not arguments.startswith(SKIPPED):
            for command in arguments.split("&&"):
                run(shlex.split(command), app, venv)
    return app, venv


def run(words: list[str], app: Path, venv: Path) -> None:
    """Runs one command of a RUN line."""
    words = [word.replace("/opt/genq", str(venv)) for word in words]
    if words[:3] == ["python", "-m", "venv"]:
        words = [sys.executable, "-m", "venv", "--without-pip", *words[3:]]
    elif words[0] == f"{venv}/bin/pip":
        rest = [word for word in words[2:] if word != "--no-cache-dir"]
        words = [str(UV), "pip", "install", "--quiet", "--python", f"{venv}/bin/python", *rest]
    elif words[0] != f"{venv}/bin/python":
        pytest.fail(f"{DOCKERFILE.name}: this test does not know how to do: {shlex.join(words)}")
    environment = os.environ | {"MPLCONFIGDIR": f"{venv}/matplotlib"}
    subprocess.run(words, cwd=app, check=True, env=environment, timeout=900)


def test_every_node_runs_in_it(image: tuple[Path, Path]) -> None:
    """The launcher's command starts, and everything that nodes import is there."""
    app, venv = image
    environment = {"PATH": f"{venv}/bin:/usr/bin:/bin", "PYTHONPATH": str(app), "HOME": str(app)}
    [(_, command)] = [i for i in instructions() if i[0] == "CMD"]
    words = re.findall(r'"([^"]+)"', command)
    help_ = subprocess.run(
        words, cwd=app, env=environment, capture_output=True, text=True, timeout=300
    )
    assert help_.returncode == 0, help_.stderr
    assert "usage" in help_.stdout
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in ("data", "components", "pipeline")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]
    assert len(modules) > 100
    code = f"import tfx.components, importlib\nfor m in {modules!r}: importlib.import_module(m)"
    imported = subprocess.run(
        ["python", "-c", code], cwd=app, env=environment, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert imported.returncode == 0, imported.stderr[-3000:]


def test_what_is_not_python_came_along(image: tuple[Path, Path]) -> None:
    """Schema, templates and the like: all files of these folders that git knows."""
    app, _ = image
    listed = subprocess.run(
        ["git", "ls-files", "data", "components", "pipeline", "serving/api"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    missing = [name for name in listed.stdout.split() if not (app / name).exists()]
    assert missing == []


def test_it_runs_as_nobody_special() -> None:
    [(_, user)] = [i for i in instructions() if i[0] == "USER"]
    assert user == "10001"
    assert not [i for i in instructions() if i[0] == "ENTRYPOINT"], "KFP's launcher puts its own"
