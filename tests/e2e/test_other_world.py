"""The two commands of the README on other Debians than this machine's, in roots made for it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.nightly
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize(
    ("suite", "python", "glibc"), [("trixie", "3.13", "2.41"), ("bookworm", "3.11", "2.36")]
)
def test_from_a_bare_system_to_a_release_and_the_unit_tests(
    suite: str, python: str, glibc: str, lacking: Callable[[str], NoReturn]
) -> None:
    """With no more than python3, python3-venv, make, git and ca-certificates."""
    if os.geteuid():
        lacking("chroot needs root")
    if not shutil.which("debootstrap"):
        lacking("debootstrap is not installed: apt-get install debootstrap")
    done = subprocess.run(
        [ROOT / "scripts/other-world"],
        env={**os.environ, "SUITE": suite},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert f"Python {python}." in done.stdout and f"glibc {glibc}\n" in done.stdout
    assert "\nRelease:" in done.stdout and " passed" in done.stdout
