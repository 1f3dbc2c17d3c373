"""Data that arrive in portions: `<root>/span-0001/`, `<root>/span-0002/`, each a copy of CelebA.

In: a root. Out: the folder to read, which is the newest span, or the root itself where it holds no
spans. A span is written beside, under a name that begins with a dot, and then renamed: what is
named `span-…` is whole.
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


def newest_span(root: str) -> Span:
    """Returns the span of the highest number, or all of `root`.

    Raises:
      DataError: if the folder may not be read.
    """
    numbers = {
        int(match[1]): name
        for name in files.list_names(root.rstrip("/"))
        if (match := SPAN.fullmatch(name))
    }
    if not numbers:
        return Span(root, None)
    number = max(numbers)
    return Span(files.join(root, numbers[number]), number)
