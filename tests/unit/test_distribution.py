"""The distribution: what it installs, under which names, and what the lock file holds."""

import importlib.metadata
import importlib.util
import os
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

from pipeline.cli.checks import set_up_names

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
OURS = {"components", "data", "pipeline", "serving"}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


groups, lock = script("groups"), script("lock")


def requirements(group: str) -> set[str]:
    text = (ROOT / f"requirements/{group}.in").read_text()
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {Requirement(line).name.lower() for line in lines if line}


def chosen(*names: str) -> dict[str, str]:
    """Distribution -> version, of some groups, on this Python."""
    return on_this_python("\n".join(groups.select(LOCK, names)))


def on_this_python(text: str) -> dict[str, str]:
    pins = re.findall(r"^([a-z0-9._-]+)==(\S+)(?: ; (.+?))? \\$", text, re.M)
    return {name: version for name, version, marker in pins if not marker or holds(marker)}


def holds(marker: str) -> bool:
    return Marker(marker).evaluate()


def test_our_import_names_are_ours_alone():
    """No other installed distribution brings a package of one of our four names."""
    owners = importlib.metadata.packages_distributions()
    assert {owner for name in OURS for owner in owners.get(name, ["genq"])} == {"genq"}


def test_tests_are_not_a_package():
    """The tf2onnx wheel installs a top-level `tests`; ours must not compete with it."""
    assert not list((ROOT / "tests").rglob("__init__.py"))
    installed = importlib.metadata.distribution("genq").read_text("top_level.txt") or ""
    assert {"data"} <= set(installed.split()) <= OURS


@pytest.mark.parametrize(
    ("extra", "files", "more"),
    [
        ("pipeline", ("run",), {"uv"}),
        ("serving", ("serving",), set()),
        ("video", ("serving", "video"), set()),
        ("kubeflow", ("kubeflow",), set()),
        ("mlflow", ("run", "mlflow"), {"uv"}),
        ("dev", ("tests", "lint", "docs"), set()),
    ],
)
def test_an_extra_of_setup_and_its_groups_ask_for_the_same(
    extra: str, files: tuple[str, ...], more: set[str], monkeypatch: pytest.MonkeyPatch
):
    """With what every part needs: `more` is what only scripts/setup wants."""
    # Of setup.py itself: the installed metadata may be of an earlier one.
    declared: dict[str, Any] = {}
    stand_in = SimpleNamespace(setup=declared.update, find_packages=lambda **_: [])
    monkeypatch.setitem(sys.modules, "setuptools", stand_in)
    runpy.run_path(str(ROOT / "setup.py"))
    core = {Requirement(r).name.lower() for r in declared["install_requires"]}
    wanted = {Requirement(r).name.lower() for r in declared["extras_require"][extra]}
    asked = set.union(*map(requirements, files))
    assert (wanted | core | more) - {"uv"} == (asked | core) - {"uv"}
    assert extra not in ("pipeline", "serving") or core <= asked


def test_every_pin_has_a_hash_and_the_overrides_are_explained():
    """The lock is installed with --no-deps --require-hashes; a reader meets the reason."""
    pin = r"^[a-z0-9._-]+==\S+(?: ; python_version [<>]=? '3\.\d+')?"
    assert len(re.findall(pin + r" \\\n    --hash=sha256:", LOCK, re.M)) == LOCK.count("==") - len(
        re.findall(r"^#.*==", LOCK, re.M)
    )
    assert len(re.findall(pin, LOCK, re.M)) > 300
    assert "manylinux_2_39" in (ROOT / "requirements/overrides.txt").read_text()
    # The header of the lock file, too, says where the reason is.
    assert "requirements/overrides.txt" in "".join(LOCK.splitlines()[:3])


@pytest.mark.parametrize(
    ("python", "tfdv", "mlmd"),
    [("3.11", "1.16.1", "1.17.1"), ("3.12", "1.21.0", "1.21.0"), ("3.13", "1.21.0", "1.21.0")],
)
def test_older_systems_get_what_runs_there_and_newer_ones_tfxs_own_pins(
    python: str, tfdv: str, mlmd: str
):
    """And no Python gets a package twice, or one that would have to be compiled in C++."""
    pins = re.findall(r"^([a-z0-9._-]+)==(\S+)(?: ; (.+?))? \\$", LOCK, re.M)
    mine = [(n, v) for n, v, m in pins if not m or Marker(m).evaluate({"python_version": python})]
    assert len(mine) == len(dict(mine))
    versions = dict(mine)
    assert versions["tensorflow-data-validation"] == tfdv
    assert versions["ml-metadata"] == mlmd
    assert versions["pyfarmhash"] == "0.5.1"


def test_groups_bring_what_they_name_and_what_that_asks_for():
    """`make run` brings no tool of tests, checks or documentation; one kind of TensorFlow each."""
    run = set(chosen("run", "cpu"))
    assert {"tfx", "apache-beam", "tensorflow-cpu", "onnxruntime", "typer"} <= run
    assert not run & {"tensorflow", "pytest", "mypy", "sphinx", "fastapi", "av", "playwright"}
    gpu = set(chosen("run", "gpu"))
    assert gpu - run == {"tensorflow"} | {name for name in gpu if name.startswith("nvidia-")}
    assert run - gpu == {"tensorflow-cpu"}
    assert "nvidia-cudnn-cu12" in gpu
    everything = chosen(*(p.stem for p in (ROOT / "requirements").glob("*.in")))
    assert everything == on_this_python(LOCK)
    assert not set(chosen("serving")) & {"tfx", "tensorflow", "tensorflow-cpu", "av"}
    assert {"fastapi", "starlette", "pillow"} <= set(chosen("serving"))


def test_an_unknown_group_is_named(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match=r"No such group: dev\. There are: cpu, docs, gpu"):
        groups.main(["run", "dev"])
    assert capsys.readouterr().out == ""


def test_the_locks_markers_say_which_python_and_nothing_else():
    """What uv repeats the platform on every line goes; what holds nowhere is an error."""
    both = "platform_machine == 'x86_64' and sys_platform == 'linux'"
    assert lock.simplified(f"a==1 ; {both} \\\n") == "a==1 \\\n"
    old = f"a==1 ; python_full_version < '3.12' and {both} \\\n"
    assert lock.simplified(old) == "a==1 ; python_version < '3.12' \\\n"
    new = f"a==1 ; python_full_version >= '3.12' and {both} \\\n"
    assert lock.simplified(new) == "a==1 ; python_version >= '3.12' \\\n"
    middle = (
        f"a==1 ; python_full_version >= '3.12' and python_full_version < '3.13' and {both} \\\n"
    )
    assert "; python_version >= '3.12' and python_version < '3.13' \\" in lock.simplified(middle)
    with pytest.raises(SystemExit, match="for no Python"):
        lock.simplified("a==1 ; sys_platform == 'win32' \\\n")


def test_what_is_installed_is_what_the_lock_says():
    """A stale .venv is noticed; make sets it up again. What it was asked for, it has noted."""
    asked = set_up_names(Path(sys.prefix))
    assert asked or "CI" not in os.environ
    pins = {name: version for name, version in on_this_python(LOCK).items() if name in asked}
    wrong = {n: v for n, v in pins.items() if importlib.metadata.version(n) != v}
    assert wrong == {}
