"""deploy/Dockerfile.pipeline, step by step in a clean environment: no Docker engine is here.

Its COPY and RUN lines are done as they stand, into empty folders and a new virtual environment,
with stand-ins for three programs: `pip` (uv, which takes its flags), `python -m venv` and useradd.
There is no compiler, as in the base image. A step that this test does not know makes it fail.
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
MAX_BYTES = 2_700_000_000
"""Of the packages, before they are compiled to bytecode."""

PYTHON = """#!/bin/sh
case "$1 $2" in
"-m venv")
    {python} -m venv --without-pip "$3"
    printf '#!/bin/sh\nshift\nexec {uv} pip install --quiet --python %s/bin/python "$@"\n' "$3" >"$3/bin/pip"
    chmod +x "$3/bin/pip" ;;
*) exec {python} "$@" ;;
esac
"""  # noqa: E501  # one line of the script


def instructions() -> list[tuple[str, str]]:
    """(instruction, its arguments), comments dropped and continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The image's /app and /opt/genq."""
    folder = tmp_path_factory.mktemp("image")
    venv = folder / "opt" / "genq"
    programs = folder / "programs"
    programs.mkdir()
    for name, text in {
        "python": PYTHON.format(python=sys.executable, uv=UV),
        "useradd": "#!/bin/sh\n",
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}:/usr/bin:/bin", "CC": "false", "CXX": "false", "GPU": "",
    }  # fmt: skip
    here = folder
    for instruction, arguments in instructions():
        if instruction == "WORKDIR":
            here = folder / arguments.strip("/")
            here.mkdir(exist_ok=True)
        elif instruction == "COPY" and arguments.startswith("--from="):
            _, source, target = shlex.split(arguments)
            assert source == target == "/opt/genq", arguments
        elif instruction == "COPY":
            *sources, target = shlex.split(arguments)
            for source in sources:
                place = here / target / (Path(source).name if target.endswith("/") else "")
                place.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, place)
        elif instruction == "RUN":
            command = arguments.replace("/opt/genq", str(venv)).replace("--no-cache-dir ", "")
            done = subprocess.run(
                ["sh", "-c", command], cwd=here, env=environment, timeout=900,
                capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-3000:]
        elif instruction == "ENV":
            values = re.findall(r"(MPLCONFIGDIR)=(\S+)", arguments)
            environment |= {k: v.replace("/opt/genq", str(venv)) for k, v in values}
        else:
            assert instruction in ("FROM", "ARG", "USER", "CMD"), instruction
    return folder / "app", venv


@pytest.mark.slow
def test_it_holds_what_runs_and_no_tool_of_development(image: tuple[Path, Path]) -> None:
    """One kind of TensorFlow; neither tests nor linters; not more than 2.7 GB."""
    _, venv = image
    [packages] = venv.glob("lib/python3*/site-packages")
    names = {p.name.split("-")[0] for p in packages.glob("*.dist-info")}
    assert {"tfx", "tensorflow_cpu", "kfp", "fastapi"} <= names
    assert not names & {"tensorflow", "pytest", "mypy", "sphinx", "playwright", "ruff", "av"}
    assert not (packages / "tensorflow" / "include").exists()
    size = sum(p.stat().st_size for p in venv.rglob("*") if p.is_file() and p.suffix != ".pyc")
    assert size < MAX_BYTES, f"{size:,}"


@pytest.mark.slow
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


@pytest.mark.slow
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
