"""Writes the table of figures in docs/benchmarks.md from what the benchmarks printed.

`--run NAME … [-- ARGUMENTS]` runs benchmarks/NAME.py first, with the arguments, and keeps its last
line, JSON, in benchmarks/results/NAME.json. Without it only the table is made anew.

Run: .venv/bin/python scripts/figures.py [--check | --run NAME … [-- ARGUMENTS]]
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- figures -->\n", "<!-- /figures -->\n"
GROUPS = {
    "demo": "",
    "ingest": "ingestion: ",
    "training": "training: ",
    "inference": "the model: ",
    "evaluation": "evaluation: ",
    "serving": "the service: ",
    "detection": "face detection: ",
    "runners": "Beam: ",
    "real_faces": "real faces: ",
}
"""Benchmark -> what its claims are about; as a reader asks: the whole, then along the pipeline."""


def run(name: str, more: list[str]) -> None:
    """Runs a benchmark with its arguments and keeps its claims."""
    command = [sys.executable, ROOT / "benchmarks" / f"{name}.py", *more]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout)
    claims = json.loads(done.stdout.strip().splitlines()[-1])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(claims, indent=1) + "\n")


def number(value: float | None) -> str:
    """Returns three digits of a measured value."""
    if value is None:
        return ""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1 else f"{value:.3f}".rstrip("0")


def row(claim: dict[str, Any], name: str) -> str:
    """Returns a line of the table; shares as percentages."""
    share = claim["unit"] == "share"

    def shown(value: float | None) -> str:
        return f"{number(100 * value)} %" if share and value is not None else number(value)

    ours = shown(claim["ours"]) if share else f"{shown(claim['ours'])} {claim['unit']}"
    peer = shown(claim["peer"])
    if claim.get("peer_name") and peer:
        peer = f"{peer} ({claim['peer_name']})"
    return (
        f"| {GROUPS[name]}{claim['claim']} | {ours} | {peer} | {number(claim.get('ratio'))} | "
        f"{shown(claim.get('goal'))} | {claim['date']} | `{name}.py` |"
    )


def table() -> str:
    """Returns the table, with the hardware of each date where they differ."""
    lines = [
        "| what | genq | the other, in the same run | ratio | goal | date | in `benchmarks/` |",
        "|---|---:|---:|---:|---:|---|---|",
    ]
    hardware = set()
    for name in GROUPS:
        path = RESULTS / f"{name}.json"
        for claim in json.loads(path.read_text()) if path.exists() else []:
            lines.append(row(claim, name))
            hardware.add(claim["hardware"])
    return "\n".join([*lines, "", f"Hardware: {'; '.join(sorted(hardware))}."]) + "\n"


def with_table(page: str) -> str:
    """Returns the page with the current table."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + "\n" + table() + "\n" + END + tail


def main() -> None:
    """Rewrites the page, or says that it is out of date."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--run"]:
        names, more = arguments[1:], list[str]()
        if "--" in names:
            at = names.index("--")
            names, more = names[:at], names[at + 1 :]
        for name in names or GROUPS:
            run(name, more)
    current = PAGE.read_text()
    wanted = with_table(current)
    if arguments != ["--check"]:
        PAGE.write_text(wanted)
    elif current != wanted:
        sys.exit("docs/benchmarks.md is out of date: .venv/bin/python scripts/figures.py")


if __name__ == "__main__":
    main()
