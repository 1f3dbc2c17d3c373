"""The lock against the registry: overrides that are no longer needed, wheels that do not fit."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"
OVERRIDES = (ROOT / "requirements/overrides.txt").read_text().splitlines()
SOURCES = ("google-apitools", "kfp-server-api", "rouge-score")
"""Published without a wheel; pure Python, so no compiler is needed."""
OLDER = ("3.11", "x86_64-manylinux_2_28")
NEWER = [("3.12", "x86_64-manylinux_2_39"), ("3.13", "x86_64-manylinux_2_39")]


def resolve(tmp_path: Path, left_out: str, platform: tuple[str, str]) -> tuple[int, str]:
    """Resolves tfx from wheels, without the override of one package; uv's exit code and errors."""
    kept = [line for line in OVERRIDES if not line.startswith(f"{left_out}==")]
    assert (len(kept) < len(OVERRIDES)) == (left_out != "nothing")
    (tmp_path / "overrides.txt").write_text("\n".join(kept) + "\n")
    (tmp_path / "in.txt").write_text("tfx==1.21.0\n")
    python, system = platform
    done = subprocess.run(
        [
            *(UV, "pip", "compile", tmp_path / "in.txt", "--override", tmp_path / "overrides.txt"),
            *("--python-version", python, "--python-platform", system, "--no-config"),
            *(f"--only-binary={name}" for name in ("tensorflow-data-validation", "ml-metadata")),
            "--only-binary=pyfarmhash",
        ],
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr[-2000:]


@pytest.mark.nightly
@pytest.mark.parametrize("package", ["tensorflow-data-validation", "ml-metadata", "pyfarmhash"])
def test_the_overrides_are_still_needed(package: str, tmp_path: Path) -> None:
    """Without it nothing fits glibc 2.28; when something does, the override can go."""
    code, said = resolve(tmp_path, "nothing", OLDER)
    assert code == 0, said
    code, said = resolve(tmp_path, package, OLDER)
    assert code != 0, (
        f"TFX resolves on {' with '.join(OLDER)} without the override of {package} now: take it "
        "out of requirements/overrides.txt and run `make update`. When TFDV's and ML Metadata's "
        "are both gone there is one world: scripts/setup takes any of genq's Pythons everywhere, "
        "and docs/decisions/0001 is changed."
    )
    assert package in said, said


@pytest.mark.nightly
@pytest.mark.parametrize("platform", [OLDER, *NEWER])
def test_every_pin_has_a_wheel_for_the_oldest_system_of_its_python(
    platform: tuple[str, str], tmp_path: Path
) -> None:
    """But for three of pure Python: nothing is compiled on a user's machine."""
    python, system = platform
    lock = tmp_path / "requirements.lock"
    lock.write_text(re.sub(r"^    #.*\n", "", (ROOT / "requirements.lock").read_text(), flags=re.M))
    done = subprocess.run(
        [
            *(UV, "pip", "install", "--dry-run", "--no-deps", "--require-hashes", "-r", lock),
            *("--python-version", python, "--python-platform", system, "--no-config"),
            *("--target", tmp_path / "target", "--only-binary=:all:"),
            *(f"--no-binary={name}" for name in SOURCES),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.nightly
@pytest.mark.parametrize("system", ["macos", "windows"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("extra", ["", "[serving]", "[video]"])
def test_what_runs_on_macos_and_windows_resolves_there(
    system: str, python: str, extra: str, tmp_path: Path
) -> None:
    """The application, predictions and the data tools, from wheels; the pipeline has none there."""
    (tmp_path / "in.txt").write_text(f"genq{extra} @ file://{ROOT}\n")
    done = subprocess.run(
        [
            *(UV, "pip", "compile", tmp_path / "in.txt", "--no-config", "--quiet"),
            *("--python-version", python, "--python-platform", system),
            *("--only-binary=:all:", "--no-binary=genq"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "typer==" in done.stdout
    assert ("onnxruntime==" in done.stdout) == bool(extra)
    assert ("uvloop==" in done.stdout) == (bool(extra) and system != "windows")
