"""Writes docs/coverage.md: how much of the code the tests run, from build/coverage.json.

`make coverage` measures and then calls this. What stands below MARKER is written by hand and stays.

Run: .venv/bin/python scripts/coverage.py
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "coverage.md"
FOUND = ROOT / "build" / "coverage.json"
MARKER = "<!-- Below this line by hand; scripts/coverage.py keeps it. -->"
LEAST = 10

HEAD = """\
# Coverage

Which lines and which branches of `data`, `components`, `pipeline` and `serving` run in the tests; measured by `make coverage`, which also
counts the commands that tests start. That a line ran does not say that a test looked at what it did.
"""  # noqa: E501  # lines of the page


@dataclass(frozen=True)
class Counts:
    """Lines and branches: how many there are, how many ran."""

    lines: int = 0
    lines_run: int = 0
    branches: int = 0
    branches_run: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.lines + other.lines,
            self.lines_run + other.lines_run,
            self.branches + other.branches,
            self.branches_run + other.branches_run,
        )

    @property
    def share(self) -> float:
        """Of lines and branches together; 1 where there are none."""
        all_ = self.lines + self.branches
        return (self.lines_run + self.branches_run) / all_ if all_ else 1.0

    def cells(self) -> tuple[str, str, str]:
        """Lines, and the shares of lines and branches that ran, for a table."""
        return (
            f"{self.lines:,}",
            percent(self.lines_run, self.lines),
            percent(self.branches_run, self.branches),
        )


def percent(part: int, whole: int) -> str:
    """Returns a share, rounded down: 100 % is all of them. "none" where there is nothing."""
    return f"{part * 1000 // whole / 10:.1f} %" if whole else "none"


def counts(summary: dict[str, Any]) -> Counts:
    """Returns the counts of a summary in coverage's JSON."""
    return Counts(
        summary["num_statements"],
        summary["covered_lines"],
        summary["num_branches"],
        summary["covered_branches"],
    )


def folder(module: str) -> str:
    """Returns the folder of a module, two levels deep at most."""
    return "/".join(Path(module).parts[:-1][:2])


def total(parts: Iterable[Counts]) -> Counts:
    """Returns the sum."""
    return sum(parts, Counts())


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Returns a Markdown table; all columns but the first are figures."""
    line = ("---", *("---:" for _ in head[1:]))
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, line, *rows))


def page(found: dict[str, Any], by_hand: str) -> str:
    """Returns the page.

    Args:
      found: coverage's JSON.
      by_hand: what stands below the marker.
    """
    every = {name: counts(file["summary"]) for name, file in found["files"].items()}
    modules = {name: one for name, one in every.items() if one.lines}
    folders: dict[str, list[Counts]] = defaultdict(list)
    for name, one in modules.items():
        folders[folder(name)].append(one)
    least = sorted(modules.items(), key=lambda item: (item[1].share, item[0]))[:LEAST]
    figures = ("lines", "run", "branches taken")
    parts = [
        HEAD.rstrip(),
        f"Measured on {found['meta']['timestamp'][:10]}.",
        table(
            ("folder", *figures),
            [
                *((f"`{name}`", *total(parts).cells()) for name, parts in sorted(folders.items())),
                ("**all**", *total(modules.values()).cells()),
            ],
        ),
        f"## The {LEAST} least covered modules",
        table(("module", *figures), [(f"`{name}`", *one.cells()) for name, one in least]),
        MARKER,
        by_hand.strip(),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Rewrites the page above its marker."""
    if not FOUND.exists():
        sys.exit(f"{FOUND.relative_to(ROOT)} is missing. Run: make coverage")
    _, marker, by_hand = PAGE.read_text().partition(MARKER)
    if not marker:
        sys.exit(f"{PAGE.relative_to(ROOT)} has lost its line {MARKER!r}; nothing was written.")
    PAGE.write_text(page(json.loads(FOUND.read_text()), by_hand))


if __name__ == "__main__":
    main()
