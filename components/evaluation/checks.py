"""The table of checks: what was required of a model, what came out, and what nobody looked at.

In: Check objects, from find_checks.py or a metrics.json. Out: counts and sentences. Report, model
card, dashboard and terminal show these and nothing of their own. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Status = Literal["failed", "warning", "skipped", "passed"]
STATUSES: Final[dict[Status, str]] = {
    "failed": "the requirement is missed; one of an interval, by more than chance allows",
    "warning": "it looks missed, but chance can explain it, or a setting lets it through",
    "skipped": "nobody looked: nothing can be said",
    "passed": "the requirement holds",
}
"""The worst first: what nobody looked at comes before what is known to be right."""
MOST_NAMED: Final = 3


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
      name: what was checked, a few words.
      required: what had to come out; "" where nothing can be required.
      measured: what came out, with its interval and how many images it is of.
      why: a whole sentence: why it failed or was skipped, or what else there is to know; or "".
      evidence: id of the report's section that shows it.
    """

    name: str
    required: str
    measured: str
    status: Status
    why: str
    evidence: str


def read_checks(metrics: Mapping[str, Any]) -> list[Check]:
    """Returns the checks of a metrics.json; none where an earlier version wrote it."""
    return [Check(**each) for each in metrics.get("checks", ())]


def count(checks: Sequence[Check]) -> dict[Status, int]:
    """Returns how many there are of each status, the worst first."""
    return {status: sum(c.status == status for c in checks) for status in STATUSES}


def sentence(checks: Sequence[Check]) -> str:
    """Returns e.g. "2 of 21 checks failed, 1 warns, 4 were skipped." """
    by = count(checks)
    parts = [f"{by['failed'] or 'none'} of {len(checks)} checks failed"]
    if by["warning"]:
        parts.append(f"{by['warning']} warn" + ("s" if by["warning"] == 1 else ""))
    if by["skipped"]:
        parts.append(f"{by['skipped']} {'was' if by['skipped'] == 1 else 'were'} skipped")
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def deciding(checks: Sequence[Check]) -> list[Check]:
    """Returns the checks that the decision hangs on: what failed; without, what warns.

    The first of each section of evidence leads, so that five gaps do not hide a low accuracy.
    """
    for status in ("failed", "warning"):
        found = [c for c in checks if c.status == status]
        if found:
            evidence = [c.evidence for c in found]
            lead = [c for i, c in enumerate(found) if c.evidence not in evidence[:i]]
            return lead + [c for c in found if c not in lead]
    return []


def reason(checks: Sequence[Check]) -> str:
    """Returns which checks the decision hangs on, e.g. "Failed: Accuracy, all images." """
    found = deciding(checks)
    if not found:
        return ""
    names = [c.name for c in found]
    more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    title = "Failed" if found[0].status == "failed" else "Warned"
    return f"{title}: {'; '.join(names[:MOST_NAMED])}{more}."
