"""What scripts that make pages of the code share: a table, and writing a page or checking it."""

import sys
from pathlib import Path


def publish(page: Path, wanted: str) -> None:
    """Writes the page; with `--check` on the command line only says whether it is out of date."""
    if "--check" not in sys.argv[1:]:
        page.write_text(wanted)
    elif not page.exists() or page.read_text() != wanted:
        script = f"scripts/{Path(sys.argv[0]).name}"
        sys.exit(f"{page.name} is out of date: .venv/bin/python {script}")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Returns a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
