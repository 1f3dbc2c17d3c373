"""Writes docs/commands.md: every command of `genq` with its options, by typer's own tool.

Run: .venv/bin/python scripts/commands.py [--check]
"""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

from generated import publish

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "commands.md"
HEAD = """# Commands

What `genq COMMAND --help` says, as one page. Exit codes: [errors](errors.md). Settings of a run:
[settings](settings.md). This page is made from the code by `scripts/commands.py`.
"""


def page() -> str:
    """Returns the page."""
    command = [sys.executable, "-m", "typer", "pipeline.cli.app", "utils", "docs", "--name", "genq"]
    # Without a terminal's width and colours, so that it is the same everywhere.
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment
    )
    _, _, commands = done.stdout.partition("## `genq run`")
    text = html.unescape(f"## `genq run`{commands}")
    text = text.replace("```console\n", "```text\n")
    # What readers do not need on each command.
    text = re.sub(r"^\* `--help`: .*\n", "", text, flags=re.M)
    text = re.sub(r"\*\*Options\*\*:\n\n(?!\*)", "", text)
    return HEAD + "\n" + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def main() -> None:
    """Writes the page, or says that it is out of date."""
    publish(PAGE, page())


if __name__ == "__main__":
    main()
