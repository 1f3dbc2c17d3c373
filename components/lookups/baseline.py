"""Which earlier model a candidate is compared with: the last blessed one.

TFX's LatestBlessedModelStrategy answers "the newest blessed model". On an unchanged rerun that is
the candidate itself: the Evaluator's inputs then differ from the first run's, and it, the exporter
and the pusher all run again. "The newest blessed model older than the candidate" is the same answer
on every rerun, and never compares a model with itself.

The blessing that counts is fairness-gate's. The Evaluator's alone does not make a baseline, nor
does a model that only a setting let through (`on_failure=warn`), unless a reviewer approved it by
name. A model that a reviewer rejected is no baseline, however well it did.
"""

from tfx import v1 as tfx
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact, standard_artifacts

from components.approval import APPROVE, REJECT, ReviewDecision, newest_decision
from components.evaluation.state import BLOCKED
from components.fairness_gate import JUDGE, JUDGE_PROPERTY, OUTCOME_PROPERTY
from components.lookups.files import present

# Written by TFX's Evaluator onto the ModelBlessing (tfx.components.evaluator.constants).
CURRENT_MODEL_ID = "current_model_id"
BLESSED = "blessed"


class BlessedBeforeCandidate(ResolverStrategy):  # type: ignore[misc]  # TFX ships no types
    """Resolves `model` to the newest blessed model that is older than `candidate`, or to nothing.

    Inputs: `candidate` (the model just trained), `model`, `model_blessing` and `decision` (all of
    the pipeline's). Outputs the same keys; `model_blessing` and `decision` are the baseline's.
    """

    def resolve_artifacts(
        self, store: object, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """Returns the resolved artifacts; empty lists where there is no baseline yet."""
        return choose_baseline(**input_dict)


def choose_baseline(
    candidate: list[Artifact],
    model: list[Artifact],
    model_blessing: list[Artifact],
    decision: list[Artifact],
) -> dict[str, list[Artifact]]:
    """Picks the baseline among models whose files exist; MLMD counts ids up."""
    decided = {m.id: d for m in model if (d := newest_decision(m, decision)) is not None}
    said = {m: d.get_string_custom_property("decision") for m, d in decided.items()}
    blessings = {
        m: b
        for b in sorted(model_blessing, key=lambda b: b.id)
        if b.get_int_custom_property(BLESSED) == 1
        and b.get_string_custom_property(JUDGE_PROPERTY) == JUDGE
        and said.get(m := b.get_int_custom_property(CURRENT_MODEL_ID)) != REJECT
        and (b.get_string_custom_property(OUTCOME_PROPERTY) != BLOCKED or said.get(m) == APPROVE)
    }
    newest_candidate = max((c.id for c in candidate), default=0)
    older = [m for m in model if m.id in blessings and m.id < newest_candidate]
    baseline = max(present(older, "baseline-resolver"), key=lambda m: m.id, default=None)
    return {
        "candidate": candidate,
        "model": [baseline] if baseline else [],
        "model_blessing": [blessings[baseline.id]] if baseline else [],
        "decision": [decided[baseline.id]] if baseline and baseline.id in decided else [],
    }


def baseline_resolver(candidate: tfx.types.BaseChannel) -> tfx.dsl.Resolver:
    """Returns the node; its output `model` goes to the Evaluator's `baseline_model`."""
    return tfx.dsl.Resolver(
        strategy_class=BlessedBeforeCandidate,
        candidate=candidate,
        model=tfx.dsl.Channel(type=standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=standard_artifacts.ModelBlessing),
        decision=tfx.dsl.Channel(type=ReviewDecision),
    ).with_id("baseline-resolver")
