"""The three largest risks of a model in words, made from the figures.

In: the fairness gate's verdict, measured slices. Out: Risk objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.evaluation.find_checks import RATE_NAMES
from components.evaluation.metrics import SliceMetrics
from components.evaluation.names import slice_label


@dataclass(frozen=True)
class Risk:
    """One of them.

    Attributes:
      title: which kind.
      text: what was measured, of how many, and how sure.
      evidence: id of the report's section that shows it.
    """

    title: str
    text: str
    evidence: str


def find_risks(
    verdict: Mapping[str, Any] | None, slices: Sequence[SliceMetrics], least: int
) -> list[Risk]:
    """Returns the largest judged gap, the weakest judged group, the largest that nobody judged.

    Args:
      verdict: content of verdict.json; None where no gate looked.
      slices: of the split that groups are judged on, without the overall one.
      least: images that a group needs to be judged.
    """
    found = []
    gaps = [g for g in (verdict or {}).get("gaps", ()) if g["status"] != "too_few"]
    if gaps:
        g = max(gaps, key=lambda g: abs(g["value"]))
        low, high = sorted((abs(g["low"]), abs(g["high"])))
        if g["low"] <= 0 <= g["high"]:
            low = 0.0
        # Where images are reweighted, a rate is no count by n; earlier verdicts have no rates.
        a, b = (g.get(f"rate_{x}", g[f"count_{x}"] / max(1, g[f"n_{x}"])) for x in "ab")
        found.append(
            Risk(
                "Largest gap between groups",
                f"{_name(RATE_NAMES[g['rate']])} of {slice_label(g['a'])} is {_percent(a)} "
                f"({g['n_a']:,} images), of {slice_label(g['b'])} {_percent(b)} ({g['n_b']:,}): "
                f"{100 * abs(g['value']):.1f} points apart, {100 * low:.1f} to {100 * high:.1f}; "
                f"at most {100 * g['limit']:.0f} are accepted.",
                "fairness",
            )
        )
    judged = [s for s in slices if s.n >= least]
    if judged:
        worst = min(judged, key=lambda s: s.metrics["accuracy"].value)
        m = worst.metrics["accuracy"]
        found.append(
            Risk(
                "Weakest judged group",
                f"{slice_label(worst.name)}: {_percent(m.value)} right "
                f"({_percent(m.low)} to {_percent(m.high)}), {_of(worst)}.",
                "slices",
            )
        )
    few = [s for s in slices if s.n < least]
    if few:
        largest = max(few, key=lambda s: s.n)
        m = largest.metrics["accuracy"]
        found.append(
            Risk(
                "Largest group that nobody judged",
                f"{slice_label(largest.name)}: {_of(largest)}, and {least:,} are needed. Anything "
                f"from {_percent(m.low)} to {_percent(m.high)} right agrees with them. "
                f"{len(few):,} of {len(slices):,} groups are too small.",
                "slices",
            )
        )
    return found


def in_words(overall: SliceMetrics) -> str:
    """Returns what the figures mean for somebody who uses the application."""
    m = overall.metrics
    silent = m.get("abstention")
    right = m.get("accuracy_when_certain")
    if right is None or silent is None:
        return "The application gives no answer to any of these images."
    asked = f"Of 1,000 faces like these the application answers {1000 * (1 - silent.value):,.0f}"
    text = f"{asked}. Of 1,000 answers {1000 * (1 - right.value):,.0f} are wrong"
    return f"{text} ({1000 * (1 - right.high):,.0f} to {1000 * (1 - right.low):,.0f})."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _name(text: str) -> str:
    return text[0].upper() + text[1:]


def _of(one: SliceMetrics) -> str:
    people = "" if one.people is None else f" of {one.people:,} people"
    return f"{one.n:,} images{people}"
