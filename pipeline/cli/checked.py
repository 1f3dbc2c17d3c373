"""The table of checks in the terminal, short: what a report's first screen has.

In: Check objects. Out: a Rich table, and lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from components.evaluation.checks import Check, sentence

if TYPE_CHECKING:
    from rich.table import Table

STYLES: Final = {"failed": "bold red", "warning": "yellow", "skipped": "dim", "passed": "green"}


def check_table(checks: Sequence[Check]) -> Table:
    """Returns the table, the worst first; why something failed or was skipped is in the report."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=sentence(checks), title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("check", "result", "required", "measured"):
        table.add_column(column, overflow="fold")
    for c in checks:
        result = Text(c.status, style=STYLES[c.status])
        # Text, because measured values may look like Rich's markup.
        table.add_row(Text(c.name), result, Text(c.required), Text(c.measured))
    return table


def reasons(checks: Sequence[Check]) -> list[str]:
    """Returns why checks failed or warn, one line each."""
    return [f"{c.name}: {c.why}" for c in checks if c.why and c.status in ("failed", "warning")]
