"""Whether the two real overrides of requirements/overrides.txt are still needed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OVERRIDES = (ROOT / "requirements/overrides.txt").read_text().splitlines()


def resolve(tmp_path: Path, left_out: str) -> subprocess.CompletedProcess[str]:
    """Resolves tfx for our platform, from wheels, without the override of one package."""
    kept = [line for line in OVERRIDES if not line.startswith(f"{left_out}==")]
    assert len(kept) == len(OVERRIDES) - (left_out != "nothing")
    (tmp_path / "overrides.txt").write_text("\n".join(kept) + "\n")
    (tmp_path / "in.txt").write_text("tfx==1.21.0\n")
    return subprocess.run(
        [
            *(Path(sys.executable).parent / "uv", "pip", "compile", tmp_path / "in.txt"),
            *("--override", tmp_path / "overrides.txt", "--python-version", "3.11"),
            *("--python-platform", "x86_64-manylinux_2_28"),
            *("--only-binary", "tensorflow-data-validation", "--only-binary", "ml-metadata"),
        ],
        capture_output=True,
        text=True,
    )


@pytest.mark.nightly
@pytest.mark.parametrize("package", ["tensorflow-data-validation", "ml-metadata"])
def test_the_overrides_are_still_needed(package: str, tmp_path: Path) -> None:
    """Without it nothing fits glibc 2.28; when something does, the override can go."""
    with_all = resolve(tmp_path, "nothing")
    assert with_all.returncode == 0, with_all.stderr[-2000:]
    without = resolve(tmp_path, package)
    assert without.returncode != 0, (
        f"TFX resolves without the override of {package} now: take it out of "
        "requirements/overrides.txt, run `make lock`, and change docs/decisions/0001."
    )
    assert package in without.stderr, without.stderr[-2000:]
