"""What reaches the terminal and what only the log."""

import subprocess
import sys
import textwrap
from pathlib import Path


def run_noisy(log: Path, verbose: bool) -> subprocess.CompletedProcess[str]:
    """A process that speaks through every channel inside `quiet`."""
    code = f"""
        import logging, os, sys
        from pathlib import Path
        from pipeline.cli.console import quiet
        with quiet(Path({str(log)!r}), verbose={verbose}) as console:
            console.print("for the reader")
            logging.getLogger("genq.trainer").info("epoch 1")
            logging.getLogger("apache_beam").warning("beam noise")
            print("printed noise")
            os.write(2, b"C++ noise\\n")
        print("after")
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )


def test_noise_goes_to_the_log_and_messages_to_both(tmp_path: Path) -> None:
    """By default the reader sees genq's own words; the log has everything else too."""
    log = tmp_path / "logs" / "run.log"
    done = run_noisy(log, verbose=False)
    assert done.stdout.split("\n") == ["for the reader", "       epoch 1", "after", ""]
    assert done.stderr == ""
    for line in ("epoch 1", "beam noise", "printed noise", "C++ noise"):
        assert line in log.read_text()


def test_verbose_shows_all_of_it_and_logs_it_as_well(tmp_path: Path) -> None:
    """-v hides nothing from the terminal and nothing from the log."""
    log = tmp_path / "run.log"
    done = run_noisy(log, verbose=True)
    for line in ("epoch 1", "beam noise", "printed noise", "C++ noise"):
        assert line in done.stdout
        assert line in log.read_text()
    assert done.stdout.count("epoch 1") == 1
