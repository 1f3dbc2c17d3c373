"""Which earlier statistics the data are compared with for drift.

In: the statistics of this run, and all statistics and validations of the pipeline. Out: the newest
that are older than this run's and that validation-gate passed, or nothing. Data that were refused
are no reference: else a drift that stays would be refused once and trained on the next night. Data
whose anomalies somebody accepted by name did pass. "The newest of all" would be this run's own on
an unchanged rerun: data would be compared with themselves, and the gate would never be taken from
the cache.
"""

from tfx import v1 as tfx
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact, standard_artifacts

from components.lookups.files import present
from components.validation_gate import STATISTICS_ID, Validation


class OlderStatistics(ResolverStrategy):  # type: ignore[misc]  # TFX ships no types
    """Resolves `previous` to the newest passed statistics older than `current`, or to nothing."""

    def resolve_artifacts(
        self, store: object, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """Returns the resolved artifacts; `previous` is empty in a first run."""
        return choose_previous(**input_dict)


def choose_previous(
    current: list[Artifact], previous: list[Artifact], validation: list[Artifact]
) -> dict[str, list[Artifact]]:
    """Picks the previous statistics whose files exist; MLMD counts ids up.

    Args:
      current: of this run.
      previous: all statistics of the pipeline.
      validation: what the gate wrote; a run that it refused has none.
    """
    newest = max((c.id for c in current), default=0)
    passed = {_about(v) for v in validation}
    older = [p for p in previous if p.id < newest and p.id in passed]
    older = present(older, "previous-statistics")
    chosen = max(older, key=lambda p: p.id, default=None)
    about = [v for v in validation if chosen and _about(v) == chosen.id]
    return {
        "current": current,
        "previous": [chosen] if chosen else [],
        "validation": [max(about, key=lambda v: v.id)] if about else [],
    }


def _about(validation: Artifact) -> int:
    return int(validation.get_int_custom_property(STATISTICS_ID))


def previous_statistics(statistics: tfx.types.BaseChannel) -> tfx.dsl.Resolver:
    """Returns the node; its output `previous` goes to the gate's `previous_statistics`."""
    return tfx.dsl.Resolver(
        strategy_class=OlderStatistics,
        current=statistics,
        previous=tfx.dsl.Channel(type=standard_artifacts.ExampleStatistics),
        validation=tfx.dsl.Channel(type=Validation),
    ).with_id("previous-statistics")
