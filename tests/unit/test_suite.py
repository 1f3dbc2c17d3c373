"""What the test suite itself says."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_without_chromium_the_last_lines_say_what_was_skipped_and_what_brings_it() -> None:
    """One line for all tests of one reason."""
    file = "tests/e2e/serving/test_page_video.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file],
        cwd=ROOT,
        env=os.environ | {"GENQ_CHROMIUM": "/nowhere/chromium", "CI": ""},
        capture_output=True,
        text=True,
    )
    *_, told, last = done.stdout.splitlines()
    assert told == (
        "3 skipped: /nowhere/chromium is not there: apt-get install chromium, or set GENQ_CHROMIUM."
    )
    assert last.startswith("3 skipped")
