"""What would be said of many things, said once: a count, five examples, and where all are listed.

In: names, or names with the problem of each. Out: lines a person reads.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

SHOWN: Final = 5
_NUMBER: Final = re.compile(r"\d+")


def some(names: Sequence[str], shown: int = SHOWN) -> str:
    """Returns "a, b, c, d, e and 196,594 more"."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest:,} more" if rest > 0 else "")


def alike(texts: Iterable[str]) -> list[list[str]]:
    """Returns texts in groups that differ in numbers only; the largest group first."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for text in texts:
        groups[_NUMBER.sub("…", text)].append(text)
    return sorted(groups.values(), key=len, reverse=True)


def by_problem(problems: Iterable[tuple[str, str]]) -> list[str]:
    """Returns one line for each kind of problem, the most frequent first.

    Args:
      problems: (name, what is wrong with it); texts that differ in numbers only are of one kind,
        and then an ellipsis stands for each number.
    """
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name, text in problems:
        names[text].append(name)
    lines = []
    for texts in alike(names):
        found = [name for text in texts for name in names[text]]
        text = texts[0] if len(texts) == 1 else _NUMBER.sub("…", texts[0])
        lines.append((len(found), f"{len(found):,} x {text}: {some(found)}"))
    return [line for _, line in sorted(lines, key=lambda pair: -pair[0])]
