"""Runs the pipeline in this process and tells, node by node, what happens.

In: a TFX pipeline. Out: a NodeResult for every node. Works as TFX's LocalDagRunner does, which says
nothing while it runs, leaves executions of a killed process RUNNING for ever, and carries on when a
node's inputs cannot be resolved.
"""

import enum
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import filelock
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx import v1 as tfx
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from data.errors import BusyError, GenqError

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


def run(pipeline: tfx.dsl.Pipeline, progress: Progress) -> tuple[str, list[NodeResult]]:
    """Runs every node in order; returns the run's id and what happened.

    Raises:
      BusyError: if another process runs a pipeline in the same place.
      GenqError: whatever a node found wrong; nodes before it keep their results.
    """
    root = Path(pipeline.pipeline_info.pipeline_root)
    root.mkdir(parents=True, exist_ok=True)
    with locked(root):
        connection = pipeline.metadata_connection_config
        for execution_id in close_dead_executions(connection, root):
            logger.warning("An earlier run was killed; closed its execution %d.", execution_id)
        run_id = datetime.now(UTC).isoformat(timespec="milliseconds")
        ir = compiler.Compiler().compile(pipeline)
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
        outcome = recorded_outcome(connection, run_id, node_id)
        result = NodeResult(node_id, outcome, time.monotonic() - started_s)
        progress.ended(result)
        yield result


def recorded_outcome(connection: mlmd.ConnectionConfig, run_id: str, node_id: str) -> Outcome:
    """Reads from the metadata how a node of a run ended.

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
                return OUTCOMES[execution.last_known_state]
    raise GenqError(
        f"{node_id}: its inputs could not be resolved, so it did not run.",
        "The log says which input; run again with -v to see it here.",
    )


OUTCOMES = {mlmd.Execution.COMPLETE: Outcome.RAN, mlmd.Execution.CACHED: Outcome.CACHED}


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Holds `root` for this process; the lock of a process that died is free.

    Raises:
      BusyError: if another process holds it.
    """
    lock = filelock.FileLock(root / ".lock")
    try:
        with lock.acquire(timeout=0):
            yield
    except filelock.Timeout as error:
        raise BusyError(
            f"Another run works in {root}.",
            "Wait for it to end, or choose another place: --workdir DIR.",
        ) from error


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
