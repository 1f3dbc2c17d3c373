"""The command line from the outside: what it imports, what it says of mistakes."""

import io
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from components.evaluation.checks import Check
from components.evaluation.state import BLESSED
from data.errors import ConfigError
from pipeline.beam_config import BeamConfig
from pipeline.cli.run import check_programs, show
from pipeline.config import load
from pipeline.history.summary import Summary

HEAVY = (
    *("numpy", "pandas", "tensorflow", "apache_beam", "tfx", "keras", "onnxruntime"),
    *("requests", "pydantic", "yaml"),
)


def genq(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *arguments], capture_output=True, text=True
    )


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    """`genq --help` answers at once, because nothing is loaded before it is needed."""
    code = (
        "import sys; sys.argv = ['genq', '--help']\n"
        "import atexit; atexit.register(lambda: print('loaded:',"
        f" [m for m in {HEAVY!r} if m in sys.modules]))\n"
        "from pipeline.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in ("run", "data"):
        assert f" {command} " in done.stdout
    assert done.stdout.strip().endswith("loaded: []")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "--preset", "dmeo"], 2, ("no preset 'dmeo'", "demo, celeba, celeba_full")),
        (
            ["run", "--set", "trainer.epochs=3"],
            2,
            ("no setting 'trainer.epochs'", "trainer.fine_tune_epochs"),
        ),
        (
            ["run", "--set", "trainer.batch_size=many"],
            2,
            ("trainer.batch_size", "'many'", "integer"),
        ),
        (["run", "--set", "trainer.dropout=1.5"], 2, ("trainer.dropout is 1.5", "below 1")),
        (["run", "--data", "nowhere"], 3, ("nowhere is not a folder", "--data DIR")),
        (["data", "inspect", "nowhere"], 3, ("nowhere: there is no such folder",)),
        (["run", "--config", "nowhere.yaml"], 2, ("nowhere.yaml cannot be read",)),
    ],
)
def test_a_mistake_gets_a_sentence_and_an_exit_code_not_a_traceback(
    arguments: list[str], code: int, words: tuple[str, ...]
) -> None:
    """The bad name or value is named, and what would be accepted."""
    done = genq(*arguments)
    # The console wraps by the terminal's width; words may be torn apart by a line end.
    said = " ".join(done.stderr.split())
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in said


def test_debug_shows_the_traceback() -> None:
    """For whoever has to debug genq itself."""
    done = genq("--debug", "data", "inspect", "nowhere")
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("there", "settings", "words"),
    [
        (False, {}, "beam.runner=flink: there is no Java here"),
        (True, {"flink_job_server": "nowhere.jar"}, "nowhere.jar: there is no such file"),
    ],
)
def test_what_flink_needs_is_asked_for_before_the_run(
    there: bool,
    settings: dict[str, str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if there:
        java = tmp_path / "java"
        java.write_text('#!/bin/sh\necho "openjdk version 17"\n')
        java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/nowhere" if not there else f"{tmp_path}:/bin")
    config = replace(load("demo"), beam=BeamConfig("flink", **settings))
    with pytest.raises(ConfigError, match=words):
        check_programs(config)
    check_programs(load("demo"))


def test_a_client_of_mlflow_that_is_not_installed_is_asked_for_before_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what to type; without the setting nobody is asked."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"mlflow-skinny.*not installed") as error:
        check_programs(load("demo", overrides=["tracking.mlflow=http://127.0.0.1:5000"]))
    assert "scripts/setup mlflow" in error.value.remedy
    check_programs(load("demo"))


def test_a_busy_address_is_told_before_a_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = genq("serve", "nowhere", "--port", port)
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert f"127.0.0.1:{port} cannot be listened on" in said and "--port" in said


def test_the_closing_table_is_the_reports() -> None:
    """Every check, worst first, with what was required and measured; and why something warns."""
    config = load("demo", None)
    checks = (
        Check("No test image in train", "at most 0.1%", "9 of 80", "failed", "They leak.", "data"),
        Check("Accuracy, all images", "0.90 or more", "0.95 (0.9 to 1.0)", "passed", "", "overall"),
    )
    here = Path("runs/demo").absolute()
    left_out = {"int8": "too few labels"}
    summary = Summary("data", checks, BLESSED, None, here, here, None, left_out)
    console = Console(width=200, record=True, file=io.StringIO())
    show(summary, config, console)
    said = console.export_text()
    assert "1 of 2 checks failed." in said
    assert said.index("9 of 80") < said.index("0.95 (0.9 to 1.0)")
    assert "No test image in train: They leak." in said
    assert "Report:     runs/demo" in said
    assert "Not in the release: int8. too few labels" in said
