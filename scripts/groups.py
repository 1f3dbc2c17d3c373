"""Prints the part of requirements.lock that some groups need: scripts/groups.py run cpu tests

A group is a file of requirements/. The lock notes with each package who asks for it ("# via");
what a group names belongs to it, and what that asks for. Run by scripts/setup and the Dockerfiles
before any package is installed: the standard library is enough.
"""

import re
import sys
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TENSORFLOW = {"tensorflow": "gpu", "tensorflow-cpu": "cpu"}
"""Two distributions with the same files: which group brings which. A set-up has one of them."""


def parse(text: str) -> list[tuple[str, set[str], list[str]]]:
    """Returns [(name, who asks for it: names and "-r requirements/GROUP.in", lines of the pin)]."""
    pins = []
    for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
        lines = [line for line in block.splitlines() if line.strip()]
        pin = [line for line in lines if not line.lstrip().startswith("#")]
        notes = [line.strip().lstrip("#").strip() for line in lines if line not in pin]
        asked_by = {re.sub(r"^via\s*", "", note) for note in notes} - {""}
        pins.append((re.split(r"[^a-z0-9._-]", block)[0], asked_by, pin))
    return pins


def select(text: str, groups: Collection[str]) -> list[str]:
    """Returns the lines of the pins that the groups need, in the lock's order."""
    pins = parse(text)
    unwanted = {name for name, group in TENSORFLOW.items() if group not in groups}
    wanted = {f"-r requirements/{group}.in" for group in groups}
    while True:
        found = {n for n, asked_by, _ in pins if asked_by & wanted and n not in unwanted}
        if found <= wanted:
            break
        wanted |= found
    return [line for name, _, pin in pins if name in wanted for line in pin]


def main(groups: list[str]) -> None:
    """Prints; ends with 1 where a group is not known."""
    known = sorted(path.stem for path in (ROOT / "requirements").glob("*.in"))
    strange = [group for group in groups if group not in known]
    if strange or not groups:
        sys.exit(f"No such group: {', '.join(strange) or '(none)'}. There are: {', '.join(known)}.")
    print("\n".join(select((ROOT / "requirements.lock").read_text(encoding="utf-8"), groups)))


if __name__ == "__main__":
    main(sys.argv[1:])
