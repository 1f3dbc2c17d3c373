"""Where a pipeline runs, as far as its graph differs: who looks up what earlier runs left.

On one machine ML Metadata answers, through TFX's Resolver. Open-source Kubeflow Pipelines has no
Resolver: pipeline/kubeflow/target.py puts containers in its place.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from tfx import v1 as tfx

from components.approval import decision_resolver
from components.lookups.baseline import baseline_resolver
from components.lookups.previous_statistics import previous_statistics

Node = Any
"""A TFX node; TFX ships no types."""


@dataclass(frozen=True)
class Lookup:
    """What was looked up.

    Attributes:
      output: channel of what was found; it may resolve to nothing.
      nodes: that look it up, in dataflow order.
    """

    output: tfx.types.BaseChannel
    nodes: tuple[Node, ...]


class Target(Protocol):
    """What differs between the places where a pipeline runs."""

    def watch(self, example_gen: Node) -> tuple[Node, ...]:
        """Returns nodes that notice changed data, where example-gen's driver cannot."""

    def previous_statistics(self, statistics: tfx.types.BaseChannel) -> Lookup:
        """Looks up the newest statistics older than these that passed validation-gate."""

    def keep_passed(
        self, statistics: tfx.types.BaseChannel, validation: tfx.types.BaseChannel
    ) -> tuple[Node, ...]:
        """Returns nodes that keep what passed, for `previous_statistics` of later runs."""

    def baseline(self, candidate: tfx.types.BaseChannel) -> Lookup:
        """Looks up the released model that the candidate is compared with."""

    def decision(self, candidate: tfx.types.BaseChannel) -> Lookup | None:
        """Looks up what a reviewer decided about the candidate; None where nobody can decide."""


class Local:
    """One machine: ML Metadata in a file beside the artifacts."""

    def watch(self, example_gen: Node) -> tuple[Node, ...]:
        """Returns none: TFX runs example-gen's driver before it asks the cache."""
        return ()

    def previous_statistics(self, statistics: tfx.types.BaseChannel) -> Lookup:
        """See Target."""
        node = previous_statistics(statistics)
        return Lookup(node.outputs["previous"], (node,))

    def keep_passed(
        self, statistics: tfx.types.BaseChannel, validation: tfx.types.BaseChannel
    ) -> tuple[Node, ...]:
        """Returns none: ML Metadata keeps statistics and what the gate said of them."""
        return ()

    def baseline(self, candidate: tfx.types.BaseChannel) -> Lookup:
        """See Target."""
        node = baseline_resolver(candidate)
        return Lookup(node.outputs["model"], (node,))

    def decision(self, candidate: tfx.types.BaseChannel) -> Lookup:
        """See Target."""
        node = decision_resolver(candidate)
        return Lookup(node.outputs["decision"], (node,))
