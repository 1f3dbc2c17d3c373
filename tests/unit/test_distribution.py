"""The distribution: what it installs, under which names, and what the lock file holds."""

import importlib.metadata
import re
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
OURS = {"components", "data", "pipeline", "serving"}


def requirements(path: Path) -> dict[str, Requirement]:
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return {r.name.lower(): r for r in map(Requirement, filter(None, lines))}


def test_our_import_names_are_ours_alone():
    """No other installed distribution brings a package of one of our four names."""
    owners = importlib.metadata.packages_distributions()
    assert {name: owners.get(name, ["genq"]) for name in OURS} == {name: ["genq"] for name in OURS}


def test_tests_are_not_a_package():
    """The tf2onnx wheel installs a top-level `tests`; ours must not compete with it."""
    assert not list((ROOT / "tests").rglob("__init__.py"))
    installed = importlib.metadata.distribution("genq").read_text("top_level.txt") or ""
    assert {"data"} <= set(installed.split()) <= OURS


def test_setup_and_lock_ask_for_the_same():
    """Every requirement of setup.py's extras is in lock.in, and the reverse."""
    declared = [Requirement(r) for r in importlib.metadata.requires("genq") or []]
    asked = requirements(ROOT / "requirements/lock.in")
    assert {r.name.lower() for r in declared} == set(asked)


def test_every_pin_has_a_hash_and_the_two_overrides_are_explained():
    """The lock is installed with --no-deps --require-hashes; a reader meets the reason."""
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9._-]+)==(\S+) \\\n    --hash=sha256:", lock, re.M)
    assert len(pins) == len(re.findall(r"^[a-z0-9._-]+==", lock, re.M)) > 150
    versions = dict(pins)
    assert versions["tensorflow-data-validation"] == "1.16.1"
    assert versions["ml-metadata"] == "1.17.1"
    assert "manylinux_2_39" in (ROOT / "requirements/overrides.txt").read_text()
    # The header of the lock file, too, says where the reason is.
    assert "requirements/overrides.txt" in "".join(lock.splitlines()[:3])


def test_what_is_installed_is_what_the_lock_says():
    """A stale .venv is noticed; make sets it up again."""
    lock = (ROOT / "requirements.lock").read_text()
    pins = dict(re.findall(r"^([a-z0-9._-]+)==(\S+) \\", lock, re.M))
    wrong = {n: v for n, v in pins.items() if importlib.metadata.version(n) != v}
    assert wrong == {}
