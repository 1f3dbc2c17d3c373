"""`make lock`: resolves requirements/*.in into requirements.lock, for every Python of genq's.

uv resolves once for all of them and notes with each package who asks for it (scripts/groups.py
reads that). Its markers repeat the platform on every line; only what differs between Pythons stays.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from packaging.markers import Marker

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = "requirements.lock"
PYTHONS: Final = ("3.11", "3.12", "3.13")
"""As python_requires of setup.py says; [tool.uv] of pyproject.toml has the platform."""
MADE_BY: Final = (
    "make lock (three pins override bounds of TFX: requirements/overrides.txt says which and why)"
)


def main(*options: str) -> None:
    """Writes requirements.lock; options are uv's, e.g. --upgrade."""
    inputs = sorted(path.relative_to(ROOT) for path in (ROOT / "requirements").glob("*.in"))
    subprocess.run(
        [
            *(Path(sys.executable).parent / "uv", "pip", "compile", *inputs, *options),
            *("--override", "requirements/overrides.txt", "--universal"),
            *("--python-version", PYTHONS[0], "--fork-strategy", "fewest"),
            *("--generate-hashes", "--custom-compile-command", MADE_BY),
            *("--quiet", "--output-file", LOCK),
        ],
        cwd=ROOT,
        check=True,
    )
    lock = ROOT / LOCK
    lock.write_text(simplified(lock.read_text()))


def simplified(text: str) -> str:
    """Returns the lock with markers that say which Pythons a pin is for, and nothing else."""

    def pin(found: re.Match[str]) -> str:
        name_and_version, marker = found.groups()
        where = [python for python in PYTHONS if holds(marker, python)]
        if not where:
            raise SystemExit(f"{name_and_version} is for no Python of {', '.join(PYTHONS)}")
        return f"{name_and_version}{simple_marker(where)} \\"

    return re.sub(r"^([a-z0-9][^ ;]*) ; (.+) \\$", pin, text, flags=re.MULTILINE)


def holds(marker: str, python: str) -> bool:
    """Returns whether a marker holds for a CPython on Linux, x86-64."""
    environment = {
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "python_version": python,
        "python_full_version": f"{python}.1",
    }
    return Marker(marker).evaluate(environment)


def simple_marker(pythons: list[str]) -> str:
    """Returns " ; python_version ..." for some of PYTHONS in a row, "" for all."""
    first, last = PYTHONS.index(pythons[0]), PYTHONS.index(pythons[-1])
    if list(PYTHONS[first : last + 1]) != pythons:
        raise SystemExit(f"A pin for {', '.join(pythons)} only: not one range.")
    bounds = []
    if first > 0:
        bounds.append(f"python_version >= '{PYTHONS[first]}'")
    if last < len(PYTHONS) - 1:
        bounds.append(f"python_version < '{PYTHONS[last + 1]}'")
    return f" ; {' and '.join(bounds)}" if bounds else ""


if __name__ == "__main__":
    main(*sys.argv[1:])
