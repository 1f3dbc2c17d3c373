"""A reviewer's decision, and the gate that waits for it before anything is published.

In: ReviewDecision artifacts, which `genq approve` and the dashboard write into ML Metadata. Out:
with `--require-approval`, a run that ends before release-pusher until somebody has approved the
model, by name; the next run takes everything before it from the cache and publishes.
"""

from __future__ import annotations

import json
from typing import Any, Final

from tfx import v1 as tfx
from tfx.dsl.components.base import base_executor, executor_spec
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.dsl.io import fileio
from tfx.types import (
    Artifact,
    BaseChannel,
    artifact_utils,
    standard_artifacts,
)

from components.node import Node
from data.errors import GateError

APPROVE: Final = "approve"
REJECT: Final = "reject"


class ReviewDecision(Artifact):  # type: ignore[misc]  # TFX ships no types
    """What a reviewer decided about a model.

    Custom properties: decision (APPROVE or REJECT), reviewer, comment, date (ISO 8601, UTC), run,
    and model_id, the Model artifact's.
    """

    TYPE_NAME = "components.approval.ReviewDecision"


class Approval(Artifact):  # type: ignore[misc]
    """That the gate let a model pass: `approval.json` says by whom."""

    TYPE_NAME = "components.approval.Approval"


class NewestDecision(ResolverStrategy):  # type: ignore[misc]  # TFX ships no types
    """Resolves `decision` to the newest one about `candidate`, or to nothing."""

    def resolve_artifacts(
        self, store: object, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """Returns the resolved artifacts."""
        return choose_decision(**input_dict)


def choose_decision(
    candidate: list[Artifact], decision: list[Artifact]
) -> dict[str, list[Artifact]]:
    """Picks the decision; artifacts are ordered by id, which MLMD counts up."""
    ids = {c.id for c in candidate}
    about = [d for d in decision if d.get_int_custom_property("model_id") in ids]
    return {
        "candidate": candidate,
        "decision": [max(about, key=lambda d: d.id)] if about else [],
    }


def decision_resolver(candidate: BaseChannel) -> tfx.dsl.Resolver:
    """Returns the node; its output `decision` goes to the ApprovalGate."""
    return tfx.dsl.Resolver(
        strategy_class=NewestDecision,
        candidate=candidate,
        decision=tfx.dsl.Channel(type=ReviewDecision),
    ).with_id("decision-resolver")


class Executor(base_executor.BaseExecutor):  # type: ignore[misc]  # TFX ships no types
    """Looks at the newest decision."""

    def Do(  # noqa: N802  # TFX's name
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Passes an approved model.

        A model that is not blessed passes, too: it is not published anyway.

        Raises:
          GateError: if nobody has decided yet, or somebody has rejected it.
        """
        blessing = artifact_utils.get_single_instance(input_dict["model_blessing"])
        found = input_dict.get("decision") or []
        content: dict[str, str] = {}
        if blessing.get_int_custom_property("blessed") == 1:
            if not found:
                raise GateError(
                    "The model waits for a reviewer's approval; nothing was published.",
                    "Look at it with `genq report` or `genq dashboard`, then `genq approve`, then "
                    "run again: everything up to here comes from the cache.",
                )
            content = {
                key: found[0].get_string_custom_property(key)
                for key in ("decision", "reviewer", "comment", "date")
            }
            if content["decision"] != APPROVE:
                raise GateError(
                    f"{content['reviewer']} rejected the model on {content['date']}: "
                    f"{content['comment'] or 'no comment'}.",
                    "Train another one, or let a reviewer decide again: `genq approve`.",
                )
        uri = artifact_utils.get_single_uri(output_dict["approval"])
        fileio.makedirs(uri)
        with fileio.open(f"{uri}/approval.json", "w") as file:
            json.dump(content, file, indent=2, sort_keys=True)


class ApprovalGate(Node):
    """Raises GateError until a reviewer has approved the model.

    Args:
      model_blessing: from fairness-gate.
      decision: from decision-resolver; may resolve to nothing.
    """

    INPUTS = {"model_blessing": standard_artifacts.ModelBlessing, "decision": ReviewDecision}
    OPTIONAL = frozenset({"decision"})
    OUTPUTS = {"approval": Approval}
    CODE = ("components.approval",)
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, model_blessing: BaseChannel, decision: BaseChannel) -> None:
        super().__init__(model_blessing=model_blessing, decision=decision)
