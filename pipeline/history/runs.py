"""All runs of a pipeline root, and what reviewers decided, from ML Metadata.

In: a connection to ML Metadata. Out: Run objects, oldest first; decisions written.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.approval import APPROVE, DIGEST, REJECT, ReviewDecision, model_digest
from components.evaluation.checks import Check, count, read_checks
from components.evaluation.state import State, state
from components.evaluation_report.artifacts import METRICS, REPORT
from data.errors import ConfigError, DataError, ReleaseError
from data.releases import release
from pipeline.history import place
from pipeline.history.summary import PIPELINE_RUN, run_outputs
from pipeline.workdir import ARTIFACTS, METADATA

logger = logging.getLogger("genq.history")

REPORT_NODE: Final = "evaluation-report"
_EXECUTION_TYPE: Final = "components.approval.Review"


@dataclass(frozen=True)
class Run:
    """One run that has got as far as a report.

    Attributes:
      outputs: (node id, output key) -> artifact, cached ones included.
      metrics: content of metrics.json.
      release: version of the published release, or None; `live` if it is the one in use.
      decision: the newest about its model, or None.
      properties: of the report node: "config", "run_config", "title".
    """

    id: str
    started: str
    outputs: dict[tuple[str, str], mlmd.Artifact]
    metrics: dict[str, Any]
    blessed: bool
    release: str | None
    live: bool
    decision: dict[str, str] | None
    properties: dict[str, str]

    @property
    def report(self) -> Path:
        """The page that the run wrote."""
        return Path(self.outputs[REPORT_NODE, "report"].uri) / REPORT

    @property
    def state(self) -> State:
        """What the judgement of its model came to."""
        return state(self.blessed, self.metrics["fairness"]["outcome"])

    @property
    def checks(self) -> list[Check]:
        """What was required of its model and what came out, the worst first."""
        return read_checks(self.metrics)

    def summary(self) -> dict[str, Any]:
        """Returns a row of the history, as the report's templates show it."""
        decision = self.decision
        return {
            "run": self.id,
            "metrics": self.metrics["overall"]["metrics"],
            "n": self.metrics["overall"]["n"],
            "checks": count(self.checks),
            "blessed": self.blessed,
            "state": self.state,
            "release": self.release,
            "live": self.live,
            "decision": f"{decision['decision']} ({decision['reviewer']})" if decision else None,
        }


def connect(workdir: Path) -> MetadataStore:
    """Opens the metadata of a work directory; of one that was moved, at its new place.

    Raises:
      DataError: if there is none.
    """
    path = workdir / METADATA
    if not path.is_file():
        raise DataError(
            f"{workdir}: there is no metadata.sqlite, so no run has been here.",
            "Name the work directory of a pipeline with --workdir, or start one with `genq run`.",
        )
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    store = MetadataStore(config)
    for old in place.relocate(store, workdir.absolute(), workdir.absolute() / ARTIFACTS):
        logger.warning("The work directory was at %s; its metadata now say %s.", old, workdir)
    return store


def list_runs(store: MetadataStore) -> list[Run]:
    """Returns the runs that wrote a report whose files are still there, oldest first."""
    decisions = _decisions(store)
    runs = []
    for context in sorted(store.get_contexts_by_type(PIPELINE_RUN), key=lambda c: c.id):
        outputs = run_outputs(store, context.name)
        report = outputs.get((REPORT_NODE, "report"))
        if report is None or not (Path(report.uri) / METRICS).is_file():
            continue
        metrics = json.loads((Path(report.uri) / METRICS).read_text())
        version, live = _release(outputs)
        model = outputs.get(("trainer", "model"))
        runs.append(
            Run(
                id=context.name,
                started=datetime.fromtimestamp(
                    context.create_time_since_epoch / 1000, UTC
                ).isoformat(timespec="seconds"),
                outputs=outputs,
                metrics=metrics,
                blessed=bool(metrics["blessed"]),
                release=version,
                live=live,
                decision=_about(model, decisions) if model is not None else None,
                properties=_properties(store, report),
            )
        )
    return runs


def first_of_each_report(runs: list[Run]) -> list[Run]:
    """Returns the runs without those whose report is an earlier run's, from the cache."""
    seen: set[int] = set()
    fresh = []
    for run in runs:
        report = run.outputs[REPORT_NODE, "report"].id
        if report not in seen:
            seen.add(report)
            fresh.append(run)
    return fresh


def find(runs: list[Run], wanted: str) -> Run:
    """Returns the run whose id is, or begins with, `wanted`; "" is the newest.

    Raises:
      ConfigError: if there is none, or more than one.
    """
    if not runs:
        raise ConfigError(
            "There is no run whose report is still here.",
            "`genq run` with the same settings writes it: what was deleted is made again, the rest "
            "comes from the cache.",
        )
    if not wanted:
        return runs[-1]
    found = [r for r in runs if r.id == wanted] or [r for r in runs if r.id.startswith(wanted)]
    if len(found) != 1:
        names = "\n".join(f"  {r.id}" for r in (found or runs)[-10:])
        many = "more than one run begins" if found else "no run begins"
        raise ConfigError(f"{wanted!r}: {many} so. There are:\n{names}", "Give more of the id.")
    return found[0]


def decide(
    store: MetadataStore, run: Run, decision: str, reviewer: str, comment: str = ""
) -> dict[str, str]:
    """Writes a decision about the run's model, and returns it.

    It becomes the output of an execution in the contexts of the pipeline and of the run, with the
    model as its input: lineage tools show it, and the decision-resolver finds it.

    Raises:
      ConfigError: if the decision is unknown, or nobody's name is given.
    """
    if decision not in (APPROVE, REJECT):
        raise ConfigError(f"The decision is {decision!r}; accepted: {APPROVE!r} or {REJECT!r}.")
    if not reviewer.strip():
        raise ConfigError("A decision needs the reviewer's name.", "Give it with --reviewer.")
    model = run.outputs["trainer", "model"]
    values = {
        "decision": decision,
        "reviewer": reviewer.strip(),
        "comment": comment.strip(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": run.id,
    }
    artifact = mlmd.Artifact(
        type_id=store.put_artifact_type(
            ReviewDecision().artifact_type, can_add_fields=True, can_omit_fields=True
        ),
        uri=model.uri,
        state=mlmd.Artifact.LIVE,
    )
    for key, value in values.items():
        artifact.custom_properties[key].string_value = value
    artifact.custom_properties["model_id"].int_value = model.id
    artifact.custom_properties[DIGEST].string_value = _digest(model)
    execution = mlmd.Execution(
        type_id=store.put_execution_type(mlmd.ExecutionType(name=_EXECUTION_TYPE)),
        last_known_state=mlmd.Execution.COMPLETE,
    )
    given = mlmd.Event(type=mlmd.Event.INPUT, artifact_id=model.id)
    given.path.steps.add().key = "model"
    made = mlmd.Event(type=mlmd.Event.OUTPUT)
    made.path.steps.add().key = "decision"
    made.path.steps.add().index = 0
    contexts = [
        c
        for c in store.get_contexts_by_artifact(model.id)
        if c.type == "pipeline" or (c.type == PIPELINE_RUN and c.name == run.id)
    ]
    store.put_execution(execution, [(model, given), (artifact, made)], contexts)
    return values


def _decisions(store: MetadataStore) -> dict[int | str, dict[str, str]]:
    """Returns a model's id, and its digest -> the newest decision about it."""
    found: dict[int | str, dict[str, str]] = {}
    for artifact in sorted(
        store.get_artifacts_by_type(ReviewDecision.TYPE_NAME), key=lambda a: a.id
    ):
        properties = artifact.custom_properties
        said = {
            key: properties[key].string_value
            for key in ("decision", "reviewer", "comment", "date", "run")
        }
        found[properties["model_id"].int_value] = said
        if digest := properties[DIGEST].string_value:
            found[digest] = said
    return found


def _about(
    model: mlmd.Artifact, decisions: dict[int | str, dict[str, str]]
) -> dict[str, str] | None:
    # By its digest first: a model that was made again may have been decided about since.
    return decisions.get(model.custom_properties[DIGEST].string_value) or decisions.get(model.id)


def _digest(model: mlmd.Artifact) -> str:
    """Returns a model's digest; of one that was trained before digests were kept, made now."""
    return model.custom_properties[DIGEST].string_value or model_digest(Path(model.uri))


def _release(outputs: dict[tuple[str, str], mlmd.Artifact]) -> tuple[str | None, bool]:
    pushed = outputs.get(("release-pusher", "pushed_release"))
    if pushed is None or "release_dir" not in pushed.custom_properties:
        return None, False
    folder = Path(pushed.custom_properties["release_dir"].string_value)
    try:
        live = release.current_release(folder.parent).name == folder.name
    except ReleaseError:
        live = False
    return folder.name, live


def _properties(store: MetadataStore, report: mlmd.Artifact) -> dict[str, str]:
    """Returns the properties of the execution that wrote the report, not of one that cached it."""
    events = store.get_events_by_artifact_ids([report.id])
    ids = sorted(e.execution_id for e in events if e.type == mlmd.Event.OUTPUT)
    [execution] = store.get_executions_by_id(ids[:1])
    return {
        key: execution.custom_properties[key].string_value
        for key in ("config", "run_config", "title")
    }
