"""What all benchmarks share: contestants in processes of their own, a table, claims as JSON.

A benchmark prints its table for people, then as its last line a list of claims, of which
scripts/figures.py makes docs/benchmarks.md.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table


def in_process(script: str, *arguments: object) -> Any:
    """Runs a script and returns the JSON of its last line."""
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Returns a table of names and figures."""
    made = Table(title=title)
    for column in columns:
        made.add_column(column, justify="right" if made.columns else "left")
    for row in rows:
        made.add_row(*row)
    return made


def claim(
    text: str,
    unit: str,
    ours: float,
    peer: float | None = None,
    peer_name: str = "",
    goal: float | None = None,
    *,
    ratio: float | None = None,
    digits: int = 3,
) -> dict[str, Any]:
    """Returns one claim; the ratio is ours by the peer's, unless it is given."""
    if ratio is None and peer:
        ratio = ours / peer
    return {
        "claim": text,
        "unit": unit,
        "ours": round(ours, digits),
        "peer": None if peer is None else round(peer, digits),
        "peer_name": peer_name,
        "ratio": None if ratio is None else round(ratio, 3),
        "goal": goal,
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}",
        "date": datetime.now(UTC).date().isoformat(),
    }
