"""Runs in the terminal: all of them, one of them, and what differs between two.

In: a metadata store. Out: plain rows, which the command line prints.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.example_gen.artifacts import MANIFEST_JSON
from data.errors import ConfigError
from pipeline.history.runs import Run
from pipeline.history.summary import PIPELINE_RUN

_STATES: Final = {
    mlmd.Execution.COMPLETE: "done",
    mlmd.Execution.CACHED: "cached",
    mlmd.Execution.FAILED: "failed",
    mlmd.Execution.RUNNING: "running",
    mlmd.Execution.NEW: "running",
}


@dataclass(frozen=True)
class Node:
    """One node of a run.

    Attributes:
      state: "done", "cached", "failed" or "running".
      seconds: that it took.
      code: digest of its code; "" where it has none of ours.
    """

    id: str
    state: str
    seconds: float
    code: str


@dataclass(frozen=True)
class Started:
    """A run, however far it came.

    Attributes:
      id: of the run; `started` is when, to the second.
      nodes: in the order in which they ran.
    """

    id: str
    started: str
    nodes: tuple[Node, ...]

    @property
    def state(self) -> str:
        """Returns "done", or where it stopped."""
        stopped = [node for node in self.nodes if node.state in ("failed", "running")]
        return f"{stopped[-1].state} in {stopped[-1].id}" if stopped else "done"


def all_runs(store: MetadataStore) -> list[Started]:
    """Returns every run, oldest first, those without a report as well."""
    runs = []
    for context in sorted(store.get_contexts_by_type(PIPELINE_RUN), key=lambda c: c.id):
        nodes = []
        for execution in sorted(store.get_executions_by_context(context.id), key=lambda e: e.id):
            contexts = store.get_contexts_by_execution(execution.id)
            names = [c.name.partition(".")[2] for c in contexts if c.type == "node"]
            if names:
                took = execution.last_update_time_since_epoch - execution.create_time_since_epoch
                nodes.append(
                    Node(
                        names[0],
                        _STATES.get(execution.last_known_state, "unknown"),
                        took / 1000,
                        execution.custom_properties["code"].string_value,
                    )
                )
        started = datetime.fromtimestamp(context.create_time_since_epoch / 1000, UTC)
        runs.append(Started(context.name, started.isoformat(timespec="seconds"), tuple(nodes)))
    return runs


def find_started(runs: list[Started], wanted: str) -> Started:
    """Returns the run whose id is, or begins with, `wanted`; "" is the newest.

    Raises:
      ConfigError: if there is none, or more than one.
    """
    if not runs:
        raise ConfigError("No run has been here.", "Start one: `genq run`.")
    if not wanted:
        return runs[-1]
    found = [r for r in runs if r.id == wanted] or [r for r in runs if r.id.startswith(wanted)]
    if len(found) != 1:
        many = "more than one run begins" if found else "no run begins"
        names = "\n".join(f"  {r.id}" for r in (found or runs)[-10:])
        raise ConfigError(f"{wanted!r}: {many} so. There are:\n{names}", "Give more of the id.")
    return found[0]


def flat(tree: Any, prefix: str = "") -> dict[str, str]:
    """Returns "a.b" -> value as JSON of nested mappings."""
    if isinstance(tree, Mapping) and tree:
        return {
            path: value
            for key, inner in tree.items()
            for path, value in flat(inner, f"{prefix}{key}.").items()
        }
    return {prefix.rstrip("."): json.dumps(tree)}


def differences(a: Run, b: Run, nodes: tuple[Started, Started]) -> dict[str, list[tuple[str, ...]]]:
    """Returns what differs, under "settings", "data", "code" and "metrics": (what, a's, b's).

    Metrics are all there; a fourth entry says the difference.
    """
    settings = _unequal(*(flat(json.loads(r.properties["run_config"])) for r in (a, b)))
    data = _unequal(*(_data(r) for r in (a, b)))
    codes = [{n.id: n.code[:12] for n in started.nodes if n.code} for started in nodes]
    both = codes[0].keys() & codes[1].keys()  # a node that did not run has none to compare
    codes = [{node: code for node, code in found.items() if node in both} for found in codes]
    metrics: list[tuple[str, ...]] = []
    own, other = (r.metrics["overall"]["metrics"] for r in (a, b))
    for name in own:
        if name in other:
            before, now = float(own[name]["value"]), float(other[name]["value"])
            metrics.append((name, f"{before:.4f}", f"{now:.4f}", f"{now - before:+.4f}"))
    return {
        "settings": settings,
        "data": data,
        "code": _unequal(*codes),
        "metrics": metrics,
    }


def _data(run: Run) -> dict[str, str]:
    """Returns what a run's manifest says of its data, as far as it is still there."""
    artifact = run.outputs.get(("example-gen", "manifest"))
    path = Path(artifact.uri) / MANIFEST_JSON if artifact is not None else None
    if path is None or not path.is_file():
        return {"manifest": '"gone"'}
    content = json.loads(path.read_text())
    shown = ("layout", "annotated_images", "counts", "identities", "set_aside", "sha256")
    return flat({key: content[key] for key in shown if key in content})


def _unequal(a: Mapping[str, str], b: Mapping[str, str]) -> list[tuple[str, ...]]:
    return [
        (key, a.get(key, "-"), b.get(key, "-"))
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    ]
