"""How slices are called for people. Pure text."""

from __future__ import annotations

from typing import Final

_CALLED: Final = {"Male=0": "female", "Male=1": "male"}
"""As the labels are called, so that one group has one name wherever it is told."""


def slice_label(name: str) -> str:
    """ "Wearing_Hat=1, Male=0" -> "Wearing Hat · female"; "male (Bald=1)" -> "male · Bald"."""
    head, bracket, rest = name.partition(" (")
    if bracket:
        return f"{head} · {slice_label(rest.rstrip(')'))}"
    parts = []
    for part in name.split(", "):
        feature, equals, value = part.partition("=")
        shown = feature.replace("_band", "").replace("_", " ")
        if not equals:
            parts.append(shown)
        elif part in _CALLED:
            parts.append(_CALLED[part])
        elif value in ("0", "1"):
            parts.append(shown if value == "1" else f"not {shown}")
        else:
            parts.append(f"{shown}: {value}")
    return " · ".join(parts)
