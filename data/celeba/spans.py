"""Data that arrive in portions: `<root>/span-0001/`, `<root>/span-0002/`, each a copy of CelebA.

In: a root. Out: the folders to read: the newest span or a window of the newest, or the root itself
where it holds no spans. A span is written beside, under a name that begins with a dot, and then
renamed: what is named `span-…` is whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from data import files

SPAN: Final = re.compile(r"span-(\d+)")


@dataclass(frozen=True)
class Span:
    """What to read.

    Attributes:
      root: folder or URI with one copy of CelebA.
      number: of the span; None where the data are not divided.
    """

    root: str
    number: int | None


def newest_spans(root: str, window: int = 1) -> tuple[Span, ...]:
    """Returns the spans of the highest numbers, oldest first, or all of `root`.

    Args:
      root: folder or URI.
      window: how many; fewer where there are fewer.

    Raises:
      DataError: if the folder may not be read.
    """
    numbers = {
        int(match[1]): name
        for name in files.list_folders(root.rstrip("/"))
        if (match := SPAN.fullmatch(name))
    }
    if not numbers:
        return (Span(root, None),)
    return tuple(
        Span(files.join(root, numbers[number]), number) for number in sorted(numbers)[-window:]
    )
