"""The lookups as TFX nodes: what the graph shows of pipeline/kubeflow/lookup.py."""

from __future__ import annotations

from typing import Any

from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import BaseChannel, channel_utils, component_spec, standard_artifacts

from components.code_digest import code_digest
from components.validation_gate import Validation
from pipeline.kubeflow.lookup import FOUND, NOTHING

CODE = "pipeline.kubeflow.lookup"


class PlaceholderExecutor(base_executor.BaseExecutor):  # type: ignore[misc]  # TFX ships no types
    """Stands where TFX wants an executor: the container calls the node's FUNCTION."""


def _text() -> component_spec.ExecutionParameter:
    return component_spec.ExecutionParameter(type=str)


class DataVersionSpec(component_spec.ComponentSpec):  # type: ignore[misc]
    """No inputs: what is read lies outside the pipeline."""

    PARAMETERS = {"data_root": _text(), "window": _text()}  # noqa: RUF012  # as TFX declares it
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS: dict[str, Any] = {}  # noqa: RUF012


class DataVersion(base_component.BaseComponent):  # type: ignore[misc]
    """Which data there are now; answers with the parameter FOUND."""

    SPEC_CLASS = DataVersionSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PlaceholderExecutor)
    FUNCTION = f"{CODE}.data_version"

    def __init__(self, data_root: str, window: int) -> None:
        super().__init__(spec=DataVersionSpec(data_root=data_root, window=str(window)))


class BaselineVersionSpec(component_spec.ComponentSpec):  # type: ignore[misc]
    """The candidate, and where releases are."""

    PARAMETERS = {"serving_dir": _text(), "model_name": _text()}  # noqa: RUF012
    INPUTS = {  # noqa: RUF012
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model)
    }
    OUTPUTS: dict[str, Any] = {}  # noqa: RUF012


class BaselineVersion(base_component.BaseComponent):  # type: ignore[misc]
    """Which release to compare with; answers with the parameter FOUND."""

    SPEC_CLASS = BaselineVersionSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PlaceholderExecutor)
    FUNCTION = f"{CODE}.baseline_version"

    def __init__(self, model: BaseChannel, serving_dir: str, model_name: str) -> None:
        super().__init__(
            spec=BaselineVersionSpec(model=model, serving_dir=serving_dir, model_name=model_name)
        )


class BaselineSpec(component_spec.ComponentSpec):  # type: ignore[misc]
    """FOUND is set by pipeline/kubeflow/compile.py, from baseline-version."""

    PARAMETERS = {  # noqa: RUF012
        name: _text() for name in (FOUND, "serving_dir", "model_name", "code")
    }
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS = {  # noqa: RUF012
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model)
    }


class Baseline(base_component.BaseComponent):  # type: ignore[misc]
    """The release's model, or an absent one."""

    SPEC_CLASS = BaselineSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PlaceholderExecutor)
    FUNCTION = f"{CODE}.baseline"

    def __init__(self, serving_dir: str, model_name: str) -> None:
        super().__init__(
            spec=BaselineSpec(
                found=NOTHING,
                serving_dir=serving_dir,
                model_name=model_name,
                code=code_digest(CODE, "data.releases.release", "data.releases.checksums"),
                model=channel_utils.as_channel([standard_artifacts.Model()]),
            )
        )


class PreviousVersionSpec(component_spec.ComponentSpec):  # type: ignore[misc]
    """The run's statistics, and where earlier ones are kept."""

    PARAMETERS = {"history_dir": _text()}  # noqa: RUF012
    INPUTS = {  # noqa: RUF012
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics)
    }
    OUTPUTS: dict[str, Any] = {}  # noqa: RUF012


class PreviousVersion(base_component.BaseComponent):  # type: ignore[misc]
    """Which statistics came before; answers with the parameter FOUND."""

    SPEC_CLASS = PreviousVersionSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PlaceholderExecutor)
    FUNCTION = f"{CODE}.previous_version"

    def __init__(self, statistics: BaseChannel, history_dir: str) -> None:
        super().__init__(spec=PreviousVersionSpec(statistics=statistics, history_dir=history_dir))


class PreviousStatisticsSpec(component_spec.ComponentSpec):  # type: ignore[misc]
    """FOUND is set by pipeline/kubeflow/compile.py, from previous-version."""

    PARAMETERS = {name: _text() for name in (FOUND, "history_dir", "code")}  # noqa: RUF012
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS = {  # noqa: RUF012
        "previous": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics)
    }


class PreviousStatistics(base_component.BaseComponent):  # type: ignore[misc]
    """The statistics of the data before, or absent ones."""

    SPEC_CLASS = PreviousStatisticsSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PlaceholderExecutor)
    FUNCTION = f"{CODE}.previous_statistics"

    def __init__(self, history_dir: str) -> None:
        super().__init__(
            spec=PreviousStatisticsSpec(
                found=NOTHING,
                history_dir=history_dir,
                code=code_digest(CODE),
                previous=channel_utils.as_channel([standard_artifacts.ExampleStatistics()]),
            )
        )


class PassedStatisticsSpec(component_spec.ComponentSpec):  # type: ignore[misc]
    """The run's statistics, that they passed, and where they are kept."""

    PARAMETERS = {"history_dir": _text()}  # noqa: RUF012
    INPUTS = {  # noqa: RUF012
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "validation": component_spec.ChannelParameter(type=Validation),
    }
    OUTPUTS: dict[str, Any] = {}  # noqa: RUF012


class PassedStatistics(base_component.BaseComponent):  # type: ignore[misc]
    """Keeps statistics that validation-gate let pass, for the next night's comparison."""

    SPEC_CLASS = PassedStatisticsSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PlaceholderExecutor)
    FUNCTION = f"{CODE}.passed_statistics"

    def __init__(self, statistics: BaseChannel, validation: BaseChannel, history_dir: str) -> None:
        super().__init__(
            spec=PassedStatisticsSpec(
                statistics=statistics, validation=validation, history_dir=history_dir
            )
        )
