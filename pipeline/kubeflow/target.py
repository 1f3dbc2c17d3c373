"""The cluster as a pipeline's target: containers look up what TFX's Resolver does elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tfx import v1 as tfx
from tfx.types import standard_component_specs

from pipeline.config import PipelineConfig
from pipeline.kubeflow.lookup import FOUND
from pipeline.kubeflow.nodes import (
    Baseline,
    BaselineVersion,
    DataVersion,
    PassedStatistics,
    PreviousStatistics,
    PreviousVersion,
)
from pipeline.targets import Lookup, Node

PASSED: Final = {
    "example-gen": ("data-version", "data_version"),
    "baseline": ("baseline-version", FOUND),
    "previous-statistics": ("previous-version", FOUND),
}
"""Consumer -> (producer, the consumer's parameter): what compile.py connects. TFX can, but names a
task that does not exist ("<id>_task")."""


class Cluster:
    """Kubeflow Pipelines: releases and statistics are kept on volumes.

    Args:
      config: whose paths are those in the containers.
    """

    def __init__(self, config: PipelineConfig) -> None:
        self._config = config
        self._history = str(Path(config.workdir) / "statistics")

    def watch(self, example_gen: Node) -> tuple[Node, ...]:
        """Returns `data-version`, whose answer is a parameter of example-gen, and so of its cache.

        KFP runs no driver before it asks its cache: changed data would go unseen.
        """
        root = example_gen.exec_properties[standard_component_specs.INPUT_BASE_KEY]
        config = self._config
        folders = (config.workdir, str(config.serving_dir))
        return (DataVersion(root, config.data.window, *folders).with_id("data-version"),)

    def previous_statistics(self, statistics: tfx.types.BaseChannel) -> Lookup:
        """See pipeline.targets.Target."""
        version = PreviousVersion(statistics, self._history).with_id("previous-version")
        node = PreviousStatistics(self._history).with_id("previous-statistics")
        return Lookup(node.outputs["previous"], (version, node))

    def keep_passed(
        self, statistics: tfx.types.BaseChannel, validation: tfx.types.BaseChannel
    ) -> tuple[Node, ...]:
        """See pipeline.targets.Target."""
        node = PassedStatistics(statistics, validation, self._history)
        return (node.with_id("passed-statistics"),)

    def baseline(self, candidate: tfx.types.BaseChannel) -> Lookup:
        """See pipeline.targets.Target."""
        place = (str(self._config.serving_dir), self._config.release.model_name)
        version = BaselineVersion(candidate, *place).with_id("baseline-version")
        node = Baseline(*place).with_id("baseline")
        return Lookup(node.outputs["model"], (version, node))

    def decision(self, candidate: tfx.types.BaseChannel) -> None:
        """Is not offered: pipeline.kubeflow.settings refuses require_approval."""
