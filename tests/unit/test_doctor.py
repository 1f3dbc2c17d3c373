"""`genq doctor`: each finding against a machine that lacks the thing."""

import json
import platform
import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from typer.testing import CliRunner

from pipeline.cli import app as cli
from pipeline.cli import checks as doctor
from pipeline.cli.checks import Status


def test_this_machine_runs_the_demo_and_says_so(tmp_path: Path) -> None:
    """Whoever runs the tests has Python, packages and platform; every remedy is a sentence."""
    findings = doctor.examine(tmp_path)
    assert len({f.subject for f in findings}) == len(findings) == 14
    by_subject = {f.subject: f.status for f in findings}
    assert by_subject["Python"] == by_subject["platform"] == Status.OK
    assert all(f.remedy for f in findings if f.status is not Status.OK)


def test_the_lock_file_is_compared_package_by_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One missing, one of another version, one right; names in any case."""
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "# comment\nRich==13.0 \\\n    --hash=sha256:ab\ntyper==1.0\nno-such==2\nmypy==1\n"
        "old==1 ; python_version < '3.11' \\\nold==2 ; python_version >= '3.11' \\\n"
    )
    # What scripts/setup was asked for; mypy was not.
    prefix = tmp_path / "venv"
    prefix.mkdir()
    (prefix / "run.lock").write_text("rich==13.0\ntyper==0.9\nold==2 \\\n")
    (prefix / "tests.lock").write_text("no-such==2\n")
    versions = {"rich": "13.0", "typer": "1.1", "old": "2"}
    monkeypatch.setattr(doctor, "installed_version", versions.get)
    finding = doctor.packages(lock, prefix)
    assert finding.status is Status.BROKEN
    assert finding.found == "no-such is missing; typer is 1.1, not 1.0"
    versions |= {"no-such": "2"}
    assert doctor.packages(lock, prefix).status is Status.LIMITED
    versions |= {"typer": "1.0"}
    assert doctor.packages(lock, prefix).status is Status.OK
    assert doctor.packages(tmp_path / "none", prefix).status is Status.LIMITED
    assert doctor.packages(lock, tmp_path / "elsewhere").status is Status.LIMITED


@pytest.mark.parametrize(
    ("python", "library", "status", "remedy"),
    [
        ((3, 10), "2.41", Status.BROKEN, "Install Python 3.11, 3.12 or 3.13"),
        ((3, 11), "2.28", Status.OK, ""),
        ((3, 11), "2.41", Status.OK, ""),
        ((3, 12), "2.36", Status.BROKEN, "Install Python 3.11,"),
        ((3, 12), "2.39", Status.OK, ""),
        ((3, 13), "2.41", Status.OK, ""),
        ((3, 14), "2.41", Status.BROKEN, "Install Python 3.11, 3.12 or 3.13"),
    ],
)
def test_which_python_fits_depends_on_the_c_library(
    monkeypatch: pytest.MonkeyPatch,
    python: tuple[int, int],
    library: str,
    status: Status,
    remedy: str,
) -> None:
    """3.11 everywhere; 3.12 and 3.13 where TFX's own pins have wheels."""
    monkeypatch.setattr(doctor.sys, "version_info", python)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", library))
    finding = doctor.python()
    assert finding.status is status and remedy in finding.remedy


@pytest.mark.parametrize(
    ("there", "driver", "status", "found"),
    [
        ({"tensorflow-cpu": "2.21.0"}, "", Status.OK, "2.21.0 without CUDA: no driver"),
        ({"tensorflow-cpu": "2.21.0"}, "GPU 0", Status.LIMITED, "2.21.0 without CUDA"),
        ({"tensorflow": "2.21.0", "nvidia-cudnn-cu12": "9"}, "GPU 0", Status.OK, "with CUDA"),
        ({"tensorflow": "2.21.0"}, "GPU 0", Status.LIMITED, "without CUDA's libraries"),
        ({"tensorflow": "2.21.0"}, "", Status.OK, "computes on the processor"),
        ({"tensorflow": "2", "tensorflow-cpu": "2"}, "", Status.BROKEN, "overwrite"),
        ({}, "", Status.BROKEN, "none"),
    ],
)
def test_the_kind_of_tensorflow_is_named_with_the_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: dict[str, str],
    driver: str,
    status: Status,
    found: str,
) -> None:
    """With CUDA or without, why, and what to do where the other would be better."""
    (tmp_path / "tensorflow-kind").write_text("no driver\n")
    monkeypatch.setattr(doctor, "installed_version", there.get)
    monkeypatch.setattr(doctor, "call", lambda *command: driver)
    finding = doctor.tensorflow(tmp_path)
    assert finding.status is status and found in finding.found
    assert bool(finding.remedy) == (status is not Status.OK)


def test_too_little_memory_or_disk_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is not there yet is judged by its parent."""
    little = SimpleNamespace(available=2 * doctor.GIB, total=4 * doctor.GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    assert doctor.memory().status is Status.BROKEN
    assert "2.0 GiB free of 4.0" in doctor.memory().found
    usage = namedtuple("usage", "total used free")(0, 0, doctor.GIB)
    assert doctor.disk(tmp_path / "a" / "b").status is Status.OK
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    finding = doctor.disk(tmp_path / "a" / "b")
    assert finding.status is Status.BROKEN
    assert finding.found.endswith(f"at {tmp_path}")


@pytest.mark.parametrize(
    ("library", "machine", "status"),
    [
        (("glibc", "2.28"), "x86_64", Status.OK),
        (("glibc", "2.9"), "x86_64", Status.BROKEN),
        (("glibc", "2.36"), "aarch64", Status.BROKEN),
        (("", ""), "x86_64", Status.BROKEN),
    ],
)
def test_platform(
    monkeypatch: pytest.MonkeyPatch, library: tuple[str, str], machine: str, status: Status
) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert doctor.c_library().status is status


def test_programs_are_asked_and_may_be_missing_fail_or_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kubectl that answers, one whose cluster does not, none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "CALL_TIMEOUT_S", 3)
    assert doctor.cluster().found == "no kubectl"
    kubectl = tmp_path / "kubectl"
    for script, status, found in (
        ("echo prod", Status.OK, "prod answers"),
        ("[ $1 = config ] && echo prod && exit 0; exit 1", Status.LIMITED, "prod does not answer"),
        (
            "[ $1 = config ] && echo prod && exit 0; exec /bin/sleep 30",
            Status.LIMITED,
            "does not answer",
        ),
        ("exit 1", Status.LIMITED, "kubectl has no context"),
    ):
        kubectl.write_text(f"#!/bin/sh\n{script}\n")
        kubectl.chmod(0o755)
        finding = doctor.cluster()
        assert finding.status is status and found in finding.found


def test_the_command_ends_with_1_when_the_demo_would_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And says which finding; --json holds the same."""
    good = doctor.Finding("memory", Status.OK, "8 GiB")
    bad = doctor.Finding("disk", Status.BROKEN, "none", "free some")
    monkeypatch.setattr(doctor, "examine", lambda workdir: [good])
    assert CliRunner().invoke(cli.app, ["doctor"]).exit_code == 0
    monkeypatch.setattr(doctor, "examine", lambda workdir: [good, bad])
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert result.exit_code == 1 and "will not run: disk" in result.output
    result = CliRunner().invoke(cli.app, ["doctor", "--json"])
    assert json.loads(result.output)[1] == vars(bad)
