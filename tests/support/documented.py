"""The commands that the documentation shows: blocks of `sh`, with what the page says of them.

An HTML comment on the line before a block says how the tests treat it:

- `<!-- test: not run: WHY -->`: only its `genq` and `make` commands are looked up
- `<!-- test: a server -->`: its last command goes on until the page ends
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"(?:<!-- test: (?P<how>[^\n]*?) -->\n)?```sh\n(?P<text>.*?)^```", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One block.

    Attributes:
      how: what the comment says; "" without one.
      lines: its commands, comments left out.
    """

    page: Path
    how: str
    lines: tuple[str, ...]

    @property
    def is_run(self) -> bool:
        """Whether the tests run it."""
        return not self.how.startswith("not run")

    @property
    def is_server(self) -> bool:
        """Whether its last command does not end by itself."""
        return self.how == "a server"


def pages() -> list[Path]:
    """Returns all pages, the README first."""
    guides = [p for p in sorted((ROOT / "docs").rglob("*.md")) if "decisions" not in p.parts]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *guides]


def blocks(page: Path) -> list[Block]:
    """Returns a page's blocks, in their order."""
    return [
        Block(page, found["how"] or "", tuple(_commands(found["text"])))
        for found in _BLOCK.finditer(page.read_text())
    ]


def _commands(text: str) -> list[str]:
    """Returns the lines, continued ones joined, without comments; a here-document is one line."""
    lines, here = [], ""
    for line in text.replace("\\\n", " ").splitlines():
        if here:
            here = "" if line.strip() == here else here
            continue
        words = shlex.split(line, comments=True)
        if words:
            lines.append(line)
        if found := re.search(r"<<'?(\w+)'?", line):
            here = found[1]
    return lines


def words(line: str) -> list[str]:
    """Returns a command's words."""
    return shlex.split(line, comments=True)
