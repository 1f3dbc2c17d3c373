"""Which earlier statistics the data are compared with for drift.

In: the statistics of this run and all of the pipeline. Out: the newest that are older than this
run's, or nothing. "The newest of all" would be this run's own on an unchanged rerun: data would be
compared with themselves, and the gate would never be taken from the cache.
"""

from tfx import v1 as tfx
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact, standard_artifacts

from components.lookups.files import present


class OlderStatistics(ResolverStrategy):  # type: ignore[misc]  # TFX ships no types
    """Resolves `previous` to the newest statistics older than `current`, or to nothing."""

    def resolve_artifacts(
        self, store: object, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """Returns the resolved artifacts; `previous` is empty in a first run."""
        return choose_previous(**input_dict)


def choose_previous(current: list[Artifact], previous: list[Artifact]) -> dict[str, list[Artifact]]:
    """Picks the previous statistics whose files exist; MLMD counts ids up."""
    newest = max((c.id for c in current), default=0)
    older = present([p for p in previous if p.id < newest], "previous-statistics")
    return {"current": current, "previous": [max(older, key=lambda p: p.id)] if older else []}


def previous_statistics(statistics: tfx.types.BaseChannel) -> tfx.dsl.Resolver:
    """Returns the node; its output `previous` goes to the gate's `previous_statistics`."""
    return tfx.dsl.Resolver(
        strategy_class=OlderStatistics,
        current=statistics,
        previous=tfx.dsl.Channel(type=standard_artifacts.ExampleStatistics),
    ).with_id("previous-statistics")
