"""A reviewer's decision, and the gate that waits for it before anything is published.

In: ReviewDecision artifacts, which `genq approve` and the dashboard write into ML Metadata. Out: a
run that ends before release-pusher if somebody has rejected the model; with `--require-approval`,
also until somebody has approved it, by name; the next run takes everything before it from the cache
and publishes.

A decision is about a model and not about a file: one whose files were removed and made again is the
same model, if it computes the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
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
DIGEST: Final = "genq_model_digest"
"""Custom property of a model, and of a decision about it: what `model_digest` returned."""


def model_digest(folder: Path) -> str:
    """Returns the SHA-256 over what a SavedModel computes, or "" if there is none.

    Not of its files: in these TensorFlow numbers functions by what else the process has made, and
    draws a fingerprint. Weights, and all operations with their constants, such as temperature and
    image size, are the same whenever the same model is trained and exported again.
    """
    found = sorted(folder.rglob("saved_model.pb"))
    if not found:
        return ""
    digest = hashlib.sha256()
    for line in _operations(found[0]):
        digest.update(line)
    weights = tf.train.load_checkpoint(str(found[0].parent / "variables" / "variables"))
    for name, shape in sorted(weights.get_variable_to_shape_map().items()):
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH":
            digest.update(
                f"{name} {shape}".encode() + np.asarray(weights.get_tensor(name)).tobytes()
            )
    return digest.hexdigest()


def _operations(path: Path) -> list[bytes]:
    """Returns each operation of a saved_model.pb, a constant with its value, sorted."""
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    lines = []
    for graph in (each.graph_def for each in model.meta_graphs):
        for function in graph.library.function:
            for node in function.node_def:
                value = node.attr["value"].SerializeToString(deterministic=True)
                lines.append(f"{node.op} ".encode() + value)
    return sorted(lines)


class ReviewDecision(Artifact):  # type: ignore[misc]  # TFX ships no types
    """What a reviewer decided about a model.

    Custom properties: decision (APPROVE or REJECT), reviewer, comment, date (ISO 8601, UTC), run,
    and model_id and DIGEST, the Model artifact's.
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
    newest = [newest_decision(c, decision) for c in candidate]
    return {
        "candidate": candidate,
        "decision": [d for d in newest if d is not None][:1],
    }


def newest_decision(model: Artifact, decisions: Sequence[Artifact]) -> Artifact | None:
    """Returns the newest of the decisions about a model or one that computes the same."""
    digest = model.get_string_custom_property(DIGEST)
    about = [
        d
        for d in decisions
        if d.get_int_custom_property("model_id") == model.id
        or (digest and d.get_string_custom_property(DIGEST) == digest)
    ]
    return max(about, key=lambda d: d.id, default=None)


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
          GateError: if somebody has rejected it, or nobody has decided yet who has to.
        """
        blessing = artifact_utils.get_single_instance(input_dict["model_blessing"])
        found = input_dict.get("decision") or []
        content: dict[str, str] = {}
        if blessing.get_int_custom_property("blessed") == 1:
            if not found and exec_properties["required"]:
                raise GateError(
                    "The model waits for a reviewer's approval; nothing was published.",
                    "Look at it with `genq report` or `genq dashboard`, then `genq approve`, then "
                    "run again: everything up to here comes from the cache.",
                )
            if found:
                content = {
                    key: found[0].get_string_custom_property(key)
                    for key in ("decision", "reviewer", "comment", "date")
                }
            if content.get("decision") == REJECT:
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
    """Raises GateError if a reviewer has rejected the model, or until one has approved it.

    Args:
      model_blessing: from fairness-gate.
      decision: from decision-resolver; may resolve to nothing.
      required: whether somebody has to approve it.
    """

    INPUTS = {"model_blessing": standard_artifacts.ModelBlessing, "decision": ReviewDecision}
    OPTIONAL = frozenset({"decision"})
    OUTPUTS = {"approval": Approval}
    PROPERTIES = {"required": int}
    CODE = ("components.approval",)
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
