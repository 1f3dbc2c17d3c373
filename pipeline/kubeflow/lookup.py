"""What earlier runs left, found by containers: TFX's Resolver does not exist on Kubeflow Pipelines.

KFP's cache compares the ids of artifacts, so a lookup that ran anew would make everything after it
run anew. Each lookup is therefore two nodes: one that always runs and answers with a short text, a
parameter; and one that KFP takes from the cache while the text is the same, and that hands over the
artifact. Where there is nothing yet, the text is NOTHING and the artifact holds the file ABSENT:
pipeline/kubeflow/entrypoint.py then drops that input, as TFX does with an empty channel.

    data-version         fingerprint of the data set     -> a parameter of example-gen
    baseline-version     which release to compare with   -> baseline             -> its model
    previous-version     which statistics came before    -> previous-statistics  -> the statistics
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path
from typing import Any, Final

from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import (
    Artifact,
    BaseChannel,
    artifact_utils,
    channel_utils,
    component_spec,
    standard_artifacts,
)
from tfx.utils import path_utils

from components.code_digest import code_digest
from components.example_gen.driver import Driver
from data import release
from data.errors import ReleaseError

logger = logging.getLogger("genq.lookup")

NOTHING: Final = "none"
ABSENT: Final = "ABSENT"
FOUND: Final = "found"
"""The parameter that connects the two nodes of a lookup."""
CODE: Final = "pipeline.kubeflow.lookup"
RELEASE_PROPERTY: Final = "release"

Artifacts = dict[str, list[Artifact]]


def absent(uri: str, why: str) -> None:
    """Marks an artifact as absent."""
    Path(uri).mkdir(parents=True, exist_ok=True)
    (Path(uri) / ABSENT).write_text(f"{why}\n")


class DataVersionExecutor(base_executor.BaseExecutor):  # type: ignore[misc]  # TFX has no types
    """Asks example-gen's driver, which sees every file's size and the annotations' content."""

    def Do(  # noqa: N802  # TFX's name
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]
    ) -> dict[str, str]:
        """Returns the fingerprint.

        Raises:
          DataError: if there is no data set.
        """
        resolved = Driver(None).resolve_exec_properties(dict(exec_properties), None, None)
        digest = hashlib.sha256(resolved["input_fingerprint"].encode()).hexdigest()[:16]
        logger.info("Data %s: span %s, %s", exec_properties["input_base"], resolved["span"], digest)
        return {FOUND: f"span-{resolved['span']}-{digest}"}


class BaselineVersionExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Chooses the release that the candidate is compared with."""

    def Do(  # noqa: N802
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]
    ) -> dict[str, str]:
        """Returns its version, or NOTHING."""
        uri = artifact_utils.get_single_uri(input_dict["model"])
        models = Path(exec_properties["serving_dir"]) / exec_properties["model_name"]
        found = choose_release(models, Path(path_utils.serving_model_path(uri)))
        logger.info("Baseline: %s", f"release {found}" if found else "none; this is the first")
        return {FOUND: str(found) if found else NOTHING}


def choose_release(model_dir: Path, candidate: Path) -> int | None:
    """Returns the pinned release, else the newest, that is older than the candidate's own.

    A rerun of a model that was released already is compared with what it was compared with then,
    never with itself.

    Args:
      model_dir: of the releases.
      candidate: folder of the SavedModel.
    """
    older: list[int] = []
    files = {p.relative_to(candidate).as_posix() for p in candidate.rglob("*") if p.is_file()}
    own = {name: release.sha256(candidate / name) for name in files}
    for version in release.versions(model_dir):
        sums = release.read_sums(model_dir / str(version))
        if own.get("saved_model.pb") and own == {n: d for n, d in sums.items() if n in files}:
            break
        older.append(version)
    pinned = release.pinned_version(model_dir)
    return pinned if pinned in older else max(older, default=None)


class BaselineExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Hands over a release's SavedModel."""

    def Do(  # noqa: N802
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]
    ) -> None:
        """Copies the model, whose checksums are verified.

        Raises:
          ReleaseError: if the release is missing or damaged.
        """
        model = artifact_utils.get_single_instance(output_dict["model"])
        version = exec_properties[FOUND]
        if version == NOTHING:
            absent(model.uri, "There is no release yet.")
            return
        models = Path(exec_properties["serving_dir"]) / exec_properties["model_name"]
        source = models / version
        sums = release.read_sums(source)
        top = ("saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra")
        names = [name for name in sums if name.split("/")[0] in top]
        if faults := release.problems(source, only=names):
            raise ReleaseError(
                f"Release {version}, the baseline, is damaged: {'; '.join(faults)}.",
                "Remove it, or pin another one: `genq releases promote`.",
            )
        for name in names:
            target = Path(path_utils.serving_model_path(model.uri)) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target)
        model.set_string_custom_property(RELEASE_PROPERTY, version)
        logger.info("The candidate is compared with release %s.", version)


class PreviousVersionExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Keeps a copy of the statistics outside the artifact store, and names the one before."""

    def Do(  # noqa: N802
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]
    ) -> dict[str, str]:
        """Returns the name of the previous statistics, or NOTHING."""
        current = Path(artifact_utils.get_single_uri(input_dict["statistics"]))
        return {FOUND: remember(current, Path(exec_properties["history_dir"])) or NOTHING}


def remember(current: Path, history: Path) -> str | None:
    """Adds a folder to the history; returns the name of the entry before it.

    The history grows by one folder for each content that it has not seen last.
    """
    digest = hashlib.sha256()
    for file in sorted(p for p in current.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(current).as_posix()}\0".encode())
        digest.update(file.read_bytes())
    name = digest.hexdigest()[:16]
    history.mkdir(parents=True, exist_ok=True)
    entries = sorted(p.name for p in history.iterdir() if p.name[:1].isdigit())
    if not entries or not entries[-1].endswith(f"-{name}"):
        staged = history / f".{name}"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(current, staged)
        entries.append(f"{int(entries[-1].split('-')[0]) + 1 if entries else 1:06d}-{name}")
        staged.rename(history / entries[-1])
    return entries[-2] if len(entries) > 1 else None


class PreviousStatisticsExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Hands over earlier statistics."""

    def Do(  # noqa: N802
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]
    ) -> None:
        """Copies them."""
        previous = artifact_utils.get_single_instance(output_dict["previous"])
        if exec_properties[FOUND] == NOTHING:
            absent(previous.uri, "There are no earlier statistics.")
            return
        source = Path(exec_properties["history_dir"]) / exec_properties[FOUND]
        shutil.copytree(source, previous.uri, dirs_exist_ok=True)
        splits = sorted(p.name.removeprefix("Split-") for p in source.glob("Split-*"))
        previous.split_names = artifact_utils.encode_split_names(splits)


def _text(optional: bool = False) -> component_spec.ExecutionParameter:
    return component_spec.ExecutionParameter(type=str, optional=optional)


class DataVersionSpec(component_spec.ComponentSpec):  # type: ignore[misc]
    """No inputs: what is read lies outside the pipeline."""

    PARAMETERS = {"input_base": _text(), "input_config": _text()}  # noqa: RUF012  # as TFX declares
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS: dict[str, Any] = {}  # noqa: RUF012


class DataVersion(base_component.BaseComponent):  # type: ignore[misc]
    """Which data there are now; answers with the parameter FOUND."""

    SPEC_CLASS = DataVersionSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(DataVersionExecutor)

    def __init__(self, input_base: str, input_config: str) -> None:
        super().__init__(spec=DataVersionSpec(input_base=input_base, input_config=input_config))


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
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(BaselineVersionExecutor)

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
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(BaselineExecutor)

    def __init__(self, serving_dir: str, model_name: str) -> None:
        super().__init__(
            spec=BaselineSpec(
                found=NOTHING,
                serving_dir=serving_dir,
                model_name=model_name,
                code=code_digest(CODE, "data.release"),
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
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PreviousVersionExecutor)

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
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PreviousStatisticsExecutor)

    def __init__(self, history_dir: str) -> None:
        super().__init__(
            spec=PreviousStatisticsSpec(
                found=NOTHING,
                history_dir=history_dir,
                code=code_digest(CODE),
                previous=channel_utils.as_channel([standard_artifacts.ExampleStatistics()]),
            )
        )
