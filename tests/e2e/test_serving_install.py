"""`pip install .[serving]` in a clean environment: small, without TensorFlow, and it serves."""

import subprocess
import sys
from pathlib import Path

from served import ROOT, astronaut, encoded, serving, write_release

MAX_MIB = 450
HEAVY = ("tensorflow", "tfx", "keras", "apache_beam", "torch")


def test_a_clean_environment_is_small_and_serves(tmp_path: Path) -> None:
    """Nothing heavy comes along, the command line works, and a photo is answered."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    source = tmp_path / "source"
    names = ("setup.py", "pyproject.toml", "data", "components", "pipeline")
    source.mkdir()
    for name in names:  # a copy, because building leaves files beside setup.py
        subprocess.run(["cp", "-r", ROOT / name, source], check=True)
    (source / "serving").mkdir()
    subprocess.run(["cp", "-r", ROOT / "serving" / "__init__.py", source / "serving"], check=True)
    subprocess.run(["cp", "-r", ROOT / "serving" / "api", source / "serving"], check=True)
    uv = Path(sys.executable).parent / "uv"
    install = [uv, "pip", "install", "--quiet", "--link-mode=copy", "--python", python]
    subprocess.run([*install, f"{source}[serving]"], check=True, timeout=600)
    packages = {p.name for p in (venv / "lib").glob("python*/site-packages/*")}
    assert not packages & set(HEAVY)
    size_mib = sum(p.stat().st_size for p in venv.rglob("*") if p.is_file()) / 2**20
    assert size_mib < MAX_MIB, f"{size_mib:.0f} MiB"
    write_release(tmp_path / "releases" / "gender", 1000)
    with serving(tmp_path / "releases", tmp_path, python=python) as server:
        with server.client() as client:
            answer = client.post("/v1/faces", files={"file": encoded(astronaut())})
        assert len(answer.json()["faces"]) == 1
        loaded = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert "tensorflow" not in loaded and "site-packages/onnxruntime" in loaded
