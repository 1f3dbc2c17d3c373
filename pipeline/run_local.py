"""Runs the pipeline in this process and tells, node by node, what happens.

In: a TFX pipeline. Out: a NodeResult for every node. Works as TFX's LocalDagRunner does, which says
nothing while it runs, leaves executions of a killed process RUNNING for ever, and carries on when a
node's inputs cannot be resolved.
"""

import copy
import enum
import itertools
import logging
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx import v1 as tfx
from tfx.components.example_gen.utils import FINGERPRINT_PROPERTY_NAME
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import cache_utils, launcher, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2
from tfx.types.standard_component_specs import INPUT_BASE_KEY

from components.approval import DIGEST
from components.example_gen.driver import SAME
from data.errors import ConfigError, GenqError
from pipeline.history import place
from pipeline.workdir import locked

logger = logging.getLogger("genq.run")


class Outcome(enum.Enum):
    """How a node ended."""

    RAN = "ran"
    CACHED = "cached"


@dataclass(frozen=True)
class NodeResult:
    """One node of one run."""

    node_id: str
    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class Progress:
    """What the runner calls as it goes; the command line draws it."""

    started: Callable[[str], None]
    ended: Callable[[NodeResult], None]


def run(
    pipeline: tfx.dsl.Pipeline,
    progress: Progress,
    *,
    rerun: Collection[str] = (),
    cache: bool = True,
) -> tuple[str, list[NodeResult]]:
    """Runs every node in order; returns the run's id and what happened.

    Args:
      pipeline: what to run.
      progress: what to call as it goes.
      rerun: ids of nodes that run even if their result is in the cache; what reads it follows.
      cache: False lets every node run.

    Raises:
      ConfigError: if `rerun` names a node that there is not.
      BusyError: if another process runs a pipeline in the same place.
      GenqError: whatever a node found wrong; nodes before it keep their results.
    """
    ids = [component.id for component in pipeline.components]
    if unknown := sorted(set(rerun) - set(ids)):
        raise ConfigError(
            f"There is no node {unknown[0]!r} to run again.", f"Nodes are {', '.join(ids)}."
        )
    root = Path(pipeline.pipeline_info.pipeline_root)
    connection = pipeline.metadata_connection_config
    with locked(root), portable_cache(workdir_of(connection, root)):
        settle(connection, root)
        run_id = datetime.now(UTC).isoformat(timespec="milliseconds")
        ir = compiler.Compiler().compile(pipeline)
        for node in ir.nodes:
            if not cache or node.pipeline_node.node_info.id in rerun:
                node.pipeline_node.execution_options.caching_options.enable_cache = False
        runtime_parameter_utils.substitute_runtime_parameter(
            ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
        )
        return run_id, list(run_nodes(ir, run_id, connection, progress))


def run_nodes(
    ir: pipeline_pb2.Pipeline,
    run_id: str,
    connection: mlmd.ConnectionConfig,
    progress: Progress,
) -> Iterator[NodeResult]:
    """Launches the nodes of compiled IR, which are in topological order."""
    root = Path(ir.runtime_spec.pipeline_root.field_value.string_value)
    deployment = runner_utils.extract_local_deployment_config(ir)
    for node in ir.nodes:
        pipeline_node = node.pipeline_node
        node_id = pipeline_node.node_info.id
        progress.started(node_id)
        started_s = time.monotonic()
        launcher.Launcher(
            pipeline_node=pipeline_node,
            mlmd_connection=metadata.Metadata(connection),
            pipeline_info=ir.pipeline_info,
            pipeline_runtime_spec=ir.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
        ).launch()
        outcome = recorded_outcome(connection, run_id, node_id, root)
        result = NodeResult(node_id, outcome, time.monotonic() - started_s)
        progress.ended(result)
        yield result


def recorded_outcome(
    connection: mlmd.ConnectionConfig, run_id: str, node_id: str, root: Path
) -> Outcome:
    """Reads from the metadata how a node of a run ended, and notes its outputs' number of files.

    Raises:
      GenqError: if it neither ran nor was cached; TFX's launcher returns quietly when a node's
        inputs cannot be resolved.
    """
    with metadata.Metadata(connection) as handle:
        context = handle.store.get_context_by_type_and_name("pipeline_run", run_id)
        executions = handle.store.get_executions_by_context(context.id) if context else []
        for execution in executions:
            of_node = any(
                c.type == "node" and c.name.endswith(f".{node_id}")
                for c in handle.store.get_contexts_by_execution(execution.id)
            )
            if of_node and execution.last_known_state in OUTCOMES:
                outcome = OUTCOMES[execution.last_known_state]
                if outcome is Outcome.RAN:
                    place.record_files(handle.store, execution.id, root)
                return outcome
    raise GenqError(
        f"{node_id}: its inputs could not be resolved, so it did not run.",
        "The log says which input; run again with -v to see it here.",
    )


OUTCOMES = {mlmd.Execution.COMPLETE: Outcome.RAN, mlmd.Execution.CACHED: Outcome.CACHED}


@contextmanager
def portable_cache(workdir: Path) -> Iterator[None]:
    """Makes TFX's cache keys independent of where the work directory and the data lie.

    TFX hashes the paths of inputs and of parameters, and the time at which an input's metadata were
    last written. In a work directory that was moved everything would run again. Here a key has
    "{workdir}" for its path, and no such time; and of the data their fingerprint, with the name of
    a zip where one was named, since its folder may hold several.
    """
    original = cache_utils.get_cache_context

    def placeless(text: str) -> str:
        return text.replace(str(workdir), "{workdir}")

    def key(*, input_artifacts: Any = None, parameters: Any = None, **others: Any) -> Any:
        inputs = copy.deepcopy(dict(input_artifacts or {}))
        for artifact in itertools.chain.from_iterable(inputs.values()):
            proto = artifact.mlmd_artifact
            proto.uri = placeless(proto.uri)
            proto.last_update_time_since_epoch = 0
            for name in (place.FILES, place.GONE, SAME, DIGEST):
                proto.custom_properties.pop(name, None)
            for value in proto.custom_properties.values():
                if value.WhichOneof("value") == "string_value":
                    value.string_value = placeless(value.string_value)
        values = {
            name: value if name == "module_file" else placeless(str(value))
            for name, value in (parameters or {}).items()
        }
        if values.get(FINGERPRINT_PROPERTY_NAME):
            name = Path(values.get(INPUT_BASE_KEY, "")).name
            values[INPUT_BASE_KEY] = name if name.lower().endswith(".zip") else ""
        return original(input_artifacts=inputs, parameters=values, **others)

    cache_utils.get_cache_context = key
    try:
        yield
    finally:
        cache_utils.get_cache_context = original


def settle(connection: mlmd.ConnectionConfig, root: Path) -> None:
    """Brings the metadata into agreement with the files, and says what had changed.

    Only to be called while holding the lock.
    """
    for execution_id in close_dead_executions(connection, root):
        logger.warning("An earlier run was killed; closed its execution %d.", execution_id)
    workdir = workdir_of(connection, root)
    with metadata.Metadata(connection) as handle:
        for old in place.relocate(handle.store, workdir, root):
            logger.warning("The work directory was at %s; its metadata now say %s.", old, workdir)
        gone, back = place.mark_missing(handle.store, root)
    if gone:
        logger.warning(
            "Files of %d earlier results are gone: %s. They are not used; a node whose result this "
            "run needs runs again.",
            len(gone),
            place.by_node(gone),
        )
    if back:
        logger.warning("Files of %d earlier results are back: %s.", len(back), place.by_node(back))


def workdir_of(connection: mlmd.ConnectionConfig, root: Path) -> Path:
    """Returns the folder of the metadata's file where it holds the artifacts, or else `root`."""
    folder = Path(connection.sqlite.filename_uri).parent
    return folder if root.is_relative_to(folder) else root


def close_dead_executions(connection: mlmd.ConnectionConfig, root: Path) -> list[int]:
    """Marks executions that a killed run left RUNNING as FAILED and removes their half-made output.

    Only to be called while holding the lock: then nobody can be running. Returns their ids.
    """
    dead = []
    with metadata.Metadata(connection) as handle:
        for execution in handle.store.get_executions():
            if execution.last_known_state in (mlmd.Execution.NEW, mlmd.Execution.RUNNING):
                execution.last_known_state = mlmd.Execution.FAILED
                handle.store.put_executions([execution])
                dead.append(execution.id)
    for execution_id in dead:
        # TFX's layout: <root>/<node>/<output key>/<execution id>; none of it was published.
        for leftover in root.glob(f"*/*/{execution_id}"):
            shutil.rmtree(leftover)
    return dead
