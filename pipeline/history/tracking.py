"""A run in MLflow: settings, figures by epoch, metrics, report, and the release in its registry.

In: a run as pipeline/history/runs.py reads it, and the address of a server. Out: one MLflow run,
and for a release one version of a registered model. The pipeline is over by then: a server that
fails costs this copy, not a release, and the next `genq run` makes up for it from the cache.

What is there already is not written twice: MLflow's run carries the id of the run that wrote the
report, the registered version that of the release.
"""

from __future__ import annotations

import csv
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import numpy as np

from data.errors import ClusterError
from data.releases import checksums, release
from pipeline.history.compare import flat
from pipeline.history.runs import REPORT_NODE, Run, first_of_each_report

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.entities import Run as MlflowRun
    from mlflow.models import ModelSignature
    from mlflow.tracking import MlflowClient

RUN_TAG: Final = "genq.run"
RELEASE_TAG: Final = "genq.release"
_VALUE_CHARS: Final = 6000
"""MLflow refuses longer values of a parameter."""
_SETTINGS: Final = {
    # MLflow's own: seven tries of two minutes. What fails here is made up for by the next run.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    # It would print the address with a name and password that stand in it.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_DTYPES: Final = {1: "float32", 2: "uint8", 6: "int32", 7: "int64", 9: "bool"}
"""ONNX's number of a type -> NumPy's name."""


def require_answer(uri: str) -> None:
    """Raises ClusterError where no tracking server answers."""
    with _connected(uri) as client:
        client.search_experiments(max_results=1)


def track(uri: str, experiment: str, runs: list[Run], run_id: str, models: Path) -> list[str]:
    """Writes a run, and the release that it published; returns what to tell.

    Args:
      uri: of the tracking server, or another place that MLflow knows.
      experiment: its name there.
      runs: of the work directory, oldest first.
      run_id: which of them.
      models: directory of the model's releases.

    Raises:
      ClusterError: if the server does not answer or refuses.
    """
    run = next(r for r in runs if r.id == run_id)
    # Of a run whose report came from the cache, the one that wrote it.
    report = run.outputs[REPORT_NODE, "report"].id
    [first] = [
        r for r in first_of_each_report(runs) if r.outputs[REPORT_NODE, "report"].id == report
    ]
    with _connected(uri) as client:
        found = client.get_experiment_by_name(experiment)
        place = found.experiment_id if found else client.create_experiment(experiment)
        tracked, new = _tracked(client, place, first)
        if new:
            _log(client, tracked.info.run_id, first)
            client.set_terminated(tracked.info.run_id)
        address = f"experiments/{place}/runs/{tracked.info.run_id}"
        said = [f"{_shown(uri)}/#/{address}{'' if new else ', which was there already'}"]
        if run.release is not None:
            said.append(_register(client, tracked.info.run_id, models / run.release))
    return said


@contextmanager
def _connected(uri: str) -> Iterator[MlflowClient]:
    """Yields a client of the server.

    pipeline/cli/run.py has made sure that MLflow's package is there.

    Raises:
      ClusterError: for whatever the server, the way to it or MLflow itself objects to inside.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import mlflow
    from mlflow.exceptions import MlflowException

    before = mlflow.get_tracking_uri()
    try:
        mlflow.set_tracking_uri(uri)
        yield mlflow.MlflowClient()
    except (MlflowException, OSError, ValueError) as error:
        why = str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
        raise ClusterError(
            f"tracking.mlflow: {_shown(uri)} did not take the run: {why}",
            "The release and the report are not touched by it. Once the server answers, the same "
            "`genq run` writes there what is missing; nothing is trained again.",
        ) from error
    finally:
        mlflow.set_tracking_uri(before)


def _shown(uri: str) -> str:
    """Returns the address without a name and password."""
    host = urlsplit(uri).netloc
    return uri.replace(host, host.rpartition("@")[2]).rstrip("/")


def _tracked(client: MlflowClient, experiment: str, run: Run) -> tuple[MlflowRun, bool]:
    """Returns MLflow's run of ours, and whether it is still to be written."""
    for tracked in client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{run.id}'"):
        return tracked, tracked.info.status != "FINISHED"
    started = int(np.datetime64(run.started.partition("+")[0], "ms").astype(int))
    made = client.create_run(
        experiment, start_time=started, run_name=run.id, tags={RUN_TAG: run.id}
    )
    return made, True


def _log(client: MlflowClient, tracked: str, run: Run) -> None:
    """Writes parameters, metrics, figures and report."""
    from mlflow.entities import Param, RunTag

    settings = flat(json.loads(run.properties["run_config"] or "{}"))
    params = [Param(key, value[:_VALUE_CHARS]) for key, value in settings.items()]
    tags = [RunTag("genq.state", run.state.name.lower()), RunTag("genq.blessed", str(run.blessed))]
    model_run = Path(run.outputs["trainer", "model_run"].uri)
    metrics = [*epochs(model_run / "history.csv"), *judged(run.metrics)]
    client.log_batch(tracked, metrics=metrics, params=params, tags=tags)
    for figure in sorted(model_run.glob("*.png")):
        client.log_artifact(tracked, str(figure), "figures")
    for file in ("history.csv", "calibration.json", "compute.json"):
        if (model_run / file).is_file():
            client.log_artifact(tracked, str(model_run / file), "training")
    client.log_artifacts(tracked, str(run.report.parent), "report")
    manifest = Path(run.outputs["example-gen", "manifest"].uri)
    for paper in sorted([*manifest.glob("*.json"), *manifest.glob("*.md")]):
        client.log_artifact(tracked, str(paper), "data")


def epochs(history: Path) -> list[Metric]:
    """Returns the trainer's figures, a step an epoch, counted over all phases."""
    from mlflow.entities import Metric

    if not history.is_file():
        return []
    now_ms = int(history.stat().st_mtime * 1000)
    with history.open(newline="") as file:
        return [
            Metric(f"epoch/{name}", float(value), now_ms, step)
            for step, row in enumerate(csv.DictReader(file), start=1)
            for name, value in row.items()
            if name not in ("phase", "epoch") and value
        ]


def judged(metrics: dict[str, Any]) -> list[Metric]:
    """Returns what was measured on `test`: overall with its interval, and accuracy by slice."""
    from mlflow.entities import Metric

    now_ms = int(np.datetime64(metrics["created"].partition("+")[0], "ms").astype(int))
    values: dict[str, float | None] = {}
    for name, metric in metrics["overall"]["metrics"].items():
        values |= {f"test/{name}": metric["value"]}
        values |= {f"test/{name}_{end}": metric[end] for end in ("low", "high")}
    for part in metrics["slices"]:
        if "accuracy" in part["metrics"]:
            # MLflow knows no "=" and no "," in a name.
            key = re.sub(r"[^\w. :/-]", "_", part["name"].replace(", ", " "))
            values[f"test accuracy of slices/{key}"] = part["metrics"]["accuracy"]["value"]
    return [Metric(k, float(v), now_ms, 0) for k, v in values.items() if v is not None]


def _register(client: MlflowClient, tracked: str, folder: Path) -> str:
    """Makes a release a version of the registered model, once; returns what to tell."""
    from mlflow.exceptions import MlflowException

    info = release.read_release(folder)
    name, version = info.model_name, str(info.version)
    alias = f"release-{version}"
    known = client.search_model_versions(f"name = '{name}'")
    for there in known:
        if there.tags.get(RELEASE_TAG) == version:
            return f"model {name}, version {there.version} ({alias}), which was there already"
    _upload(client, tracked, folder)
    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name, description=info.notice)
    made = client.create_model_version(
        name,
        f"runs:/{tracked}/model",
        tracked,
        tags={RELEASE_TAG: version, "genq.state": info.state, "genq.label": info.label_attribute},
        description=f"genq's release {version}. {info.notice}",
    )
    client.set_registered_model_alias(name, alias, made.version)
    return f"model {name}, version {made.version} ({alias})"


def _upload(client: MlflowClient, tracked: str, folder: Path) -> None:
    """Writes the release's ONNX model with its signature, and its papers, into MLflow's run."""
    import mlflow.onnx
    import onnx

    model = onnx.load(folder / release.ONNX_FILES["float32"])
    with tempfile.TemporaryDirectory(prefix="genq-mlflow-") as scratch:
        mlflow.onnx.save_model(
            model,
            f"{scratch}/model",
            signature=signature(model),
            # Or MLflow would find them out by running the model in a process of its own.
            pip_requirements=["onnx", "onnxruntime", "numpy", "pandas"],
            save_as_external_data=False,
        )
        client.log_artifacts(tracked, f"{scratch}/model", "model")
    for name in (release.RELEASE_JSON, checksums.SUMS, "sbom.cdx.json", "model_card.md"):
        if (folder / name).is_file():
            client.log_artifact(tracked, str(folder / name), "release")


def signature(model: Any) -> ModelSignature:
    """Returns what enters and leaves an ONNX model, with -1 for sizes that are not fixed."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(values: Any) -> Schema:
        return Schema(
            [
                TensorSpec(
                    np.dtype(_DTYPES[v.type.tensor_type.elem_type]),
                    tuple(d.dim_value or -1 for d in v.type.tensor_type.shape.dim),
                    v.name,
                )
                for v in values
            ]
        )

    return ModelSignature(inputs=schema(model.graph.input), outputs=schema(model.graph.output))
