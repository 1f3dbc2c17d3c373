"""What a model's judgement came to: one state, one sentence, one colour, one exit code.

In: the blessing that counts and the gate's outcome. Out: a State, which the terminal, the report,
the model card, the dashboard, verdict.json and release.json show. Nothing else words it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from data.errors import GateError

Colour = Literal["green", "amber", "red", "grey"]
BLOCKED: Final = "blocked"
WARNED: Final = "warned"


@dataclass(frozen=True)
class State:
    """Of a model.

    Attributes:
      name: for programs.
      label: two or three words, for a table.
      sentence: for people.
      exit_code: of `genq run`: that of a GateError where nothing was published, and one of its own
        where a setting let an unsound model through.
    """

    name: Literal["blessed", "warned", "let_through", "refused", "not_judged"]
    label: str
    sentence: str
    colour: Colour
    exit_code: int

    @property
    def tone(self) -> str:
        """Returns the class of the pages' style sheet."""
        return {"green": "good", "amber": "warn", "red": "bad", "grey": ""}[self.colour]

    @property
    def tag(self) -> str:
        """Returns the class of a pill in the pages' style sheet."""
        return {"green": "within", "amber": "may_exceed", "red": "exceeds", "grey": "too_few"}[
            self.colour
        ]


LET_THROUGH_EXIT_CODE: Final = 10
"""No error has it: the run went through, and whoever reads exit codes must still look."""

BLESSED: Final = State(
    "blessed",
    "blessed",
    "Blessed: it may be released. Every threshold and every limit holds.",
    "green",
    0,
)
BLESSED_WITH_WARNINGS: Final = State(
    "warned",
    "blessed, warnings",
    "Blessed, with warnings: it may be released; read them first.",
    "green",
    0,
)
LET_THROUGH: Final = State(
    "let_through",
    "not sound, let through",
    "Not sound: the gate blocks it, and a setting (evaluation.fairness.on_failure=warn) let it "
    "through.",
    "amber",
    LET_THROUGH_EXIT_CODE,
)
REFUSED: Final = State(
    "refused",
    "not blessed",
    "Not blessed: it must not be released, and nothing was published.",
    "red",
    GateError.exit_code,
)
NOT_JUDGED: Final = State("not_judged", "not judged", "Measured, not judged.", "grey", 0)


def state(blessed: bool | None, outcome: str | None) -> State:
    """Returns the state.

    Args:
      blessed: by the gate whose word counts; None where nobody judged (`genq evaluate`, whose
        limits are shown but bind nobody).
      outcome: fairness-gate's: "blocked", "warned" or "passed"; None where it did not look.
    """
    if blessed is None:
        return NOT_JUDGED
    if not blessed:
        return REFUSED
    if outcome == BLOCKED:
        return LET_THROUGH
    return BLESSED_WITH_WARNINGS if outcome == WARNED else BLESSED
