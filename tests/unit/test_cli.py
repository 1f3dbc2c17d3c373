"""The command line from the outside: what it imports, what it says of mistakes."""

import subprocess
import sys

import pytest

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
        "from pipeline.cli import main; main()"
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
    """For whoever has to mend genq itself."""
    done = genq("--debug", "data", "inspect", "nowhere")
    assert "Traceback" in done.stderr
