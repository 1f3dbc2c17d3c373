"""scripts/setup on machines that it cannot serve: a sentence, not a stack of compiler errors."""

import os
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "scripts" / "setup"


def run_with(folder: Path, name: str, answer: str, **environment: str) -> tuple[int, str]:
    """Runs the script with a program on PATH replaced by one that prints `answer`."""
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    done = subprocess.run(
        ["sh", str(SETUP)],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("uname", "Darwin-arm64", "this is Darwin"),
        ("getconf", "glibc 2.17", "glibc is 2.17"),
        ("getconf", "", "the C library is not glibc"),
    ],
)
def test_a_wrong_platform_is_named_with_what_is_needed(
    tmp_path: Path, name: str, answer: str, words: str
) -> None:
    """What was found, and what genq needs."""
    code, said = run_with(tmp_path, name, answer)
    assert code == 1
    assert words in said
    assert "CPython 3.11 on Linux, x86-64, glibc 2.28 or newer" in said


def test_a_wrong_python_is_named(tmp_path: Path) -> None:
    """PYTHON may name one; another version is refused before anything is installed."""
    code, said = run_with(tmp_path, "other-python", "3.13", PYTHON=str(tmp_path / "other-python"))
    assert code == 1
    assert "other-python is Python 3.13" in said
