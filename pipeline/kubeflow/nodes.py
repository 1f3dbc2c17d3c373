"""The lookups as TFX nodes: what the graph shows of pipeline/kubeflow/lookup.py."""

from __future__ import annotations

from tfx.dsl.components.base import base_executor, executor_spec
from tfx.types import BaseChannel, standard_artifacts

from components.node import Node
from components.validation_gate import Validation
from pipeline.kubeflow.lookup import FOUND, NOTHING

LOOKUP = "pipeline.kubeflow.lookup"


class PlaceholderExecutor(base_executor.BaseExecutor):  # type: ignore[misc]  # TFX ships no types
    """Stands where TFX wants an executor: the container calls the node's FUNCTION."""


class DataVersion(Node):
    """Which data there are now; answers with the parameter FOUND. Later nodes write the folders."""

    PROPERTIES = {"data_root": str, "window": str, "workdir": str, "serving_dir": str}
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PlaceholderExecutor)
    FUNCTION = f"{LOOKUP}.data_version"

    def __init__(self, data_root: str, window: int, workdir: str, serving_dir: str) -> None:
        super().__init__(
            data_root=data_root, window=str(window), workdir=workdir, serving_dir=serving_dir
        )


class BaselineVersion(Node):
    """Which release to compare with; answers with the parameter FOUND."""

    INPUTS = {"model": standard_artifacts.Model}
    PROPERTIES = {"serving_dir": str, "model_name": str}
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PlaceholderExecutor)
    FUNCTION = f"{LOOKUP}.baseline_version"

    def __init__(self, model: BaseChannel, serving_dir: str, model_name: str) -> None:
        super().__init__(model=model, serving_dir=serving_dir, model_name=model_name)


class Baseline(Node):
    """The release's model, or an absent one."""

    OUTPUTS = {"model": standard_artifacts.Model}
    PROPERTIES = {FOUND: str, "serving_dir": str, "model_name": str}
    CODE = (LOOKUP, "data.releases.release", "data.releases.checksums")
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PlaceholderExecutor)
    FUNCTION = f"{LOOKUP}.baseline"

    def __init__(self, serving_dir: str, model_name: str) -> None:
        super().__init__(found=NOTHING, serving_dir=serving_dir, model_name=model_name)


class PreviousVersion(Node):
    """Which statistics came before; answers with the parameter FOUND."""

    INPUTS = {"statistics": standard_artifacts.ExampleStatistics}
    PROPERTIES = {"history_dir": str}
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PlaceholderExecutor)
    FUNCTION = f"{LOOKUP}.previous_version"

    def __init__(self, statistics: BaseChannel, history_dir: str) -> None:
        super().__init__(statistics=statistics, history_dir=history_dir)


class PreviousStatistics(Node):
    """The statistics of the data before, or absent ones."""

    OUTPUTS = {"previous": standard_artifacts.ExampleStatistics}
    PROPERTIES = {FOUND: str, "history_dir": str}
    CODE = (LOOKUP,)
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PlaceholderExecutor)
    FUNCTION = f"{LOOKUP}.previous_statistics"

    def __init__(self, history_dir: str) -> None:
        super().__init__(found=NOTHING, history_dir=history_dir)


class PassedStatistics(Node):
    """Keeps statistics that validation-gate let pass, for the next night's comparison."""

    INPUTS = {"statistics": standard_artifacts.ExampleStatistics, "validation": Validation}
    PROPERTIES = {"history_dir": str}
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PlaceholderExecutor)
    FUNCTION = f"{LOOKUP}.passed_statistics"

    def __init__(self, statistics: BaseChannel, validation: BaseChannel, history_dir: str) -> None:
        super().__init__(statistics=statistics, validation=validation, history_dir=history_dir)
