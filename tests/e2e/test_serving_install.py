"""`pip install genq[serving]` in a clean environment: small, without TensorFlow, and it serves."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from served import ROOT, astronaut, encoded, serving, write_release

MAX_MIB = 450
HEAVY = ("tensorflow", "tfx", "keras", "apache_beam", "torch")
UV = Path(sys.executable).parent / "uv"
PAGE = "<!doctype html><title>the page of this wheel</title>"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, with a page of one line in the place of the one that Node builds."""
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    left_out = shutil.ignore_patterns("__pycache__", "node_modules", ".next", "out")
    for name in ("data", "components", "pipeline", "serving"):
        shutil.copytree(ROOT / name, source / name, ignore=left_out)
    page = source / "serving" / "web" / "out"
    (page / "model").mkdir(parents=True)
    for path in (page / "index.html", page / "model" / "index.html"):
        path.write_text(PAGE)
    build = [UV, "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", base]
    subprocess.run([*build, source], check=True, timeout=600)
    (built,) = base.glob("genq-*.whl")
    return built


def check(wheel: Path, interpreter: str, tmp_path: Path) -> None:
    """Nothing heavy comes along, the command line works, the page is there, a photo is answered."""
    venv = tmp_path / "venv"
    subprocess.run([UV, "venv", "--quiet", "--python", interpreter, venv], check=True)
    python = venv / "bin" / "python"
    install = [UV, "pip", "install", "--quiet", "--link-mode=copy", "--python", python]
    subprocess.run([*install, f"genq[serving] @ file://{wheel}"], check=True, timeout=600)
    packages = {p.name for p in (venv / "lib").glob("python*/site-packages/*")}
    assert not packages & set(HEAVY)
    size_mib = sum(p.stat().st_size for p in venv.rglob("*") if p.is_file()) / 2**20
    assert size_mib < MAX_MIB, f"{size_mib:.0f} MiB"
    write_release(tmp_path / "releases" / "gender", 1000)
    (places,) = (venv / "lib").glob("python*/site-packages/serving/web/out")
    with serving(tmp_path / "releases", tmp_path, python=python, web_dir=str(places)) as server:
        with server.client() as client:
            answer = client.post("/v1/faces", files={"file": encoded(astronaut())})
            assert client.get("/").text == PAGE
        assert len(answer.json()["faces"]) == 1
        loaded = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert "tensorflow" not in loaded and "site-packages/onnxruntime" in loaded


def test_a_clean_environment_is_small_and_serves(wheel: Path, tmp_path: Path) -> None:
    check(wheel, sys.executable, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_it_serves_on_every_python(version: str, wheel: Path, tmp_path: Path) -> None:
    find = [UV, "python", "find", "--no-project", "--no-python-downloads", version]
    found = subprocess.run(find, capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"Python {version} is not here: uv python install {version}")
    check(wheel, found.stdout.strip(), tmp_path)


def test_the_wheel_has_what_is_read_at_run_time(wheel: Path) -> None:
    """Every file of the tree that is no Python, but for the page's sources."""
    names = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(
        ["git", "ls-files", "data", "components", "pipeline", "serving"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    ).stdout.split()  # fmt: skip
    read = {n for n in listed if not n.startswith("serving/web/")}
    assert read - names == set()
    assert "serving/web/out/index.html" in names and "serving/web/out/model/index.html" in names
    assert {n.split("/")[0] for n in names} - {"data", "components", "pipeline", "serving"} == {
        n.split("/")[0] for n in names if ".dist-info/" in n
    }
