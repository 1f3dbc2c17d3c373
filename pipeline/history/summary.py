"""What a run came to, read from its metadata and artifacts.

In: a run's id. Out: a Summary: every check, the verdict, and where evaluation and release are.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.components.evaluator import constants as evaluator_constants

from components.evaluation.checks import Check, read_checks
from components.evaluation.state import State, state
from components.evaluation_report.artifacts import METRICS, REPORT
from components.example_gen.artifacts import DEAD_LETTER, MANIFEST_JSON, PARTIAL
from components.fairness_gate import VERDICT
from components.model_exporter.artifacts import EXPORT_JSON

PIPELINE_RUN = "pipeline_run"


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes:
      data: one line on the data set and the sample drawn from it.
      state: what the judgement of the model came to.
      checks: what was required and what came out, the worst first.
      baseline: version-like name of the model it was compared with, or None.
      evaluation: folder of TFMA's results.
      report: the page for a reviewer.
      release: folder of the published release, or None.
      left_out: variants that are not in it because they failed: name -> why.
    """

    data: str
    checks: tuple[Check, ...]
    state: State
    baseline: str | None
    evaluation: Path
    report: Path
    release: Path | None
    left_out: dict[str, str] = field(default_factory=dict)


def summarize(connection: mlmd.ConnectionConfig, run_id: str) -> Summary:
    """Reads a finished run."""
    store = MetadataStore(connection)
    outputs = run_outputs(store, run_id)
    evaluation = Path(outputs["evaluator", "evaluation"].uri)
    # fairness-gate's blessing is the one that counts; it carries the Evaluator's.
    blessing = outputs["fairness-gate", "blessing"]
    verdict = json.loads((Path(outputs["fairness-gate", "verdict"].uri) / VERDICT).read_text())
    blessed = _custom(blessing, evaluator_constants.ARTIFACT_PROPERTY_BLESSED_KEY) == 1
    baseline_id = _custom(blessing, evaluator_constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY)
    report = Path(outputs["evaluation-report", "report"].uri)
    metrics = json.loads((report / METRICS).read_text())
    pushed = outputs.get(("release-pusher", "pushed_release"))
    release = _custom(pushed, "release_dir") if pushed is not None else None
    return Summary(
        data=describe_data(Path(outputs["example-gen", "manifest"].uri)),
        checks=tuple(read_checks(metrics)),
        state=state(blessed, verdict["outcome"]),
        baseline=f"model {baseline_id}" if baseline_id else None,
        evaluation=evaluation,
        report=report / REPORT,
        release=Path(str(release)) if release else None,
        left_out=read_left_out(outputs.get(("model-exporter", "exported_model"))),
    )


def read_left_out(exported: mlmd.Artifact | None) -> dict[str, str]:
    """Returns variant -> why it is not in the release; empty where nothing was exported."""
    path = None if exported is None else Path(exported.uri) / EXPORT_JSON
    if path is None or not path.exists():
        return {}
    left_out: dict[str, str] = json.loads(path.read_text()).get("left_out", {})
    return left_out


def describe_data(manifest: Path) -> str:
    """Returns the layout, the examples of each split, and what was set aside."""
    content = json.loads((manifest / MANIFEST_JSON).read_text())
    sizes = ", ".join(f"{split} {sum(by.values()):,}" for split, by in content["counts"].items())
    line = f"{content['layout']}; {content['annotated_images']:,} annotated images; drew {sizes}"
    if partial := content.get("partial"):
        line += (
            f"; a partial copy, of which {partial['there']:,} images are there "
            f"({manifest / PARTIAL} lists the others)"
        )
    if content["set_aside"]:
        line += f"; set aside {content['set_aside']} (listed in {manifest / DEAD_LETTER})"
    return line


def run_outputs(store: MetadataStore, run_id: str) -> dict[tuple[str, str], mlmd.Artifact]:
    """Returns (node id, output key) -> artifact of a run, cached ones included."""
    context = store.get_context_by_type_and_name(PIPELINE_RUN, run_id)
    outputs = {}
    for execution in store.get_executions_by_context(context.id):
        nodes = [c for c in store.get_contexts_by_execution(execution.id) if c.type == "node"]
        events = store.get_events_by_execution_ids([execution.id])
        for event in events:
            if event.type == mlmd.Event.OUTPUT and nodes and event.path.steps:
                [artifact] = store.get_artifacts_by_id([event.artifact_id])
                node = nodes[0].name.partition(".")[2]
                outputs[node, event.path.steps[0].key] = artifact
    return outputs


def _custom(artifact: mlmd.Artifact, key: str) -> int | str | None:
    """Returns a custom property, or None where it is absent."""
    if key not in artifact.custom_properties:
        return None
    value = artifact.custom_properties[key]
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
