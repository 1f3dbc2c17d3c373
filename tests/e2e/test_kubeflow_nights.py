"""What the compiled pipeline looks up from night to night: drift, and the baseline.

The tasks that look up, judge and keep run with their containers' arguments, on a rehearsed cluster
(object store, cache, ABSENT, parameters between tasks), in this process. Importers stand for the
tasks that made their inputs.
"""

import hashlib
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import standard_artifacts  # noqa: F401  # TFX before TFDV

import tensorflow_data_validation as tfdv  # isort: skip  # after tfx

from data import contract
from data.releases import checksums, release
from pipeline.kubeflow import entrypoint
from pipeline.kubeflow.compile import compile_pipeline
from pipeline.kubeflow.lookup import FOUND, NOTHING
from pipeline.kubeflow.rehearse import Outcome, Rehearsal, TaskResult, local_settings
from pipeline.kubeflow.settings import load_settings

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "data/schema.pbtxt"
PLACE = "minio://mlpipeline/test"


class Cluster:
    """The compiled pipeline, cut down to some tasks; `given` is what importers hand over."""

    def __init__(self, folder: Path, tasks: tuple[str, ...], given: dict[str, str]) -> None:
        settings = load_settings(ROOT / "deploy/kubeflow/small.yaml", ["preset=demo"])
        compiled = compile_pipeline(local_settings(settings, folder / "data", folder))
        self.spec, self.platform = yaml.safe_load_all(compiled.to_yaml())
        self.folder = folder
        self.models = folder / "serving/gender"
        dag = self.spec["root"]["dag"]["tasks"]
        for name in set(dag) - {*tasks, *given}:
            del dag[name]
        for task in dag.values():
            task["dependentTasks"] = [t for t in task.get("dependentTasks", ()) if t in dag]
        for name, output in given.items():
            component = self.spec["components"][dag[name]["componentRef"]["name"]]
            made = component["outputDefinitions"]["artifacts"]
            component["outputDefinitions"]["artifacts"] = {output: made[output]}
            dag[name]["inputs"], dag[name]["dependentTasks"] = {}, []

    def hand_over(self, name: str, local: Path, metadata: dict[str, Any] | None = None) -> None:
        """Puts a folder into the store; the importer named so hands it over from now on."""
        uri = f"{PLACE}/{name}/{len(list(self.folder.iterdir()))}-{local.name}"
        self._rehearsal().store.upload(local, uri)
        label = self.spec["components"][name]["executorLabel"]
        importer = {"artifactUri": {"constant": uri}, "metadata": metadata or {}}
        self.spec["deploymentSpec"]["executors"][label] = {"importer": importer}

    def _rehearsal(self) -> Rehearsal:
        # A new object each time: what is known of earlier nights lies on the disk.
        return Rehearsal(self.folder, self.spec, self.platform)

    def run(self) -> dict[str, TaskResult]:
        return self._rehearsal().run(workers=1)


@pytest.fixture(autouse=True)
def _containers_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """TFX is imported once, not once a task."""

    def run(command: list[str], env: dict[str, str], **_: Any) -> SimpleNamespace:
        assert command[:3] == ["python", "-m", "pipeline.kubeflow.entrypoint"]
        with pytest.MonkeyPatch.context() as patch:
            for name in set(env) - set(os.environ):
                patch.setenv(name, env[name])
            return SimpleNamespace(returncode=entrypoint.main(command[3:]))

    monkeypatch.setattr(subprocess, "run", run)


class Nights:
    """Statistics of 2,000 examples a night, of whom a share is Young."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        lookups = ("previous-version", "previous-statistics", "validation-gate")
        given = {
            "statistics-gen": "statistics",
            "example-validator": "anomalies",
            "schema-importer": "schema",
        }
        self.cluster = Cluster(folder / "cluster", (*lookups, "passed-statistics"), given)
        (folder / "cluster").mkdir(exist_ok=True)
        (folder / "schema").mkdir()
        (folder / "schema/schema.pbtxt").write_bytes(SCHEMA.read_bytes())
        self.cluster.hand_over("schema-importer", folder / "schema")

    def night(self, percent: int, accept: str = "[]") -> dict[str, TaskResult]:
        self.number += 1
        schema = text_format.Parse(SCHEMA.read_text(), schema_pb2.Schema())
        rng = np.random.default_rng(self.number)
        columns = {name: rng.integers(0, 2, 2000) for name in contract.ATTRIBUTES}
        columns |= {
            "Young": (np.arange(2000) % 100 < percent).astype(int),
            "label": rng.integers(0, 2, 2000),
            "image": [b"\xff\xd8"] * 2000,
            "image_id": [b"%06d.jpg" % i for i in range(2000)],
            "image_width": np.full(2000, 178),
            "image_height": np.full(2000, 218),
            "image_bytes": rng.integers(5000, 9000, 2000),
            "brightness": rng.normal(120, 20, 2000),
            "sharpness": rng.normal(10, 1, 2000),
        }
        found = tfdv.generate_statistics_from_dataframe(
            pd.DataFrame(columns), tfdv.StatsOptions(schema=schema)
        )
        texts = {
            "statistics-gen": ("FeatureStats.pb", found),
            "example-validator": ("SchemaDiff.pb", tfdv.validate_statistics(found, schema)),
        }
        for name, (file, message) in texts.items():
            place = self.folder / name / str(self.number)
            (place / "Split-train").mkdir(parents=True)
            (place / "Split-train" / file).write_bytes(message.SerializeToString())
            self.cluster.hand_over(name, place, {"split_names": '["train"]'})
        gate = self.cluster.spec["root"]["dag"]["tasks"]["validation-gate"]
        gate["inputs"]["parameters"]["accept_anomalies"]["runtimeValue"]["constant"] = accept
        return self.cluster.run()


def passed(results: dict[str, TaskResult]) -> bool:
    """Whether the gate let the data pass, and they were kept; else it must be the drift's fault."""
    gate = results["validation-gate"]
    if gate.outcome is Outcome.FAILED:
        assert "Young" in gate.message and "previous statistics" in gate.message, gate.message
        assert "passed-statistics" not in results
        return False
    return results["passed-statistics"].outcome is Outcome.RAN


def test_a_drift_that_stays_is_refused_every_night_on_kubeflow(tmp_path: Path) -> None:
    """From the fourth night on, until it is accepted by name; then it is what is normal."""
    nights = Nights(tmp_path)
    first = nights.night(50)
    assert first["previous-version"].answers == {FOUND: NOTHING}
    results = [first, *(nights.night(percent) for percent in (52, 51, 80, 80, 81))]
    assert [passed(r) for r in results] == [True, True, True, False, False, False]
    # Each of the refused nights was compared with the third, the last that passed.
    assert len({str(r["previous-version"].answers) for r in results[3:]}) == 1
    accepted = nights.night(80, '["Young:COMPARATOR_L_INFTY_HIGH"]')
    assert passed(accepted)
    assert passed(nights.night(81))
    assert not passed(nights.night(50))


def publish(models: Path, version: int, state: str) -> None:
    """Writes what a lookup reads of a release."""
    folder = models / str(version)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text(f"graph {version}")
    digest = hashlib.sha256((folder / "saved_model.pb").read_bytes()).hexdigest()
    (folder / checksums.SUMS).write_text(f"{digest}  saved_model.pb\n")
    made = release.Release(
        model_name="gender", version=version, created="", variants=(), licence="", notice=""
    )
    text = made.model_copy(update={"state": state}).model_dump_json()
    (folder / release.RELEASE_JSON).write_text(text)


def test_a_baseline_on_kubeflow_was_not_only_let_through_nor_taken_back(tmp_path: Path) -> None:
    """The newest sound release, or the one that people pinned; the model handed over is its own."""
    cluster = Cluster(tmp_path, ("baseline-version", "baseline"), {"trainer": "model"})
    candidate = tmp_path / "candidate"
    (candidate / "Format-Serving").mkdir(parents=True)
    (candidate / "Format-Serving/saved_model.pb").write_text("a new graph")
    cluster.hand_over("trainer", candidate)

    def compared_with() -> str:
        results = cluster.run()
        assert {r.outcome for r in results.values()} <= {Outcome.RAN, Outcome.CACHED}
        answers, artifacts = results["baseline-version"].answers, results["baseline"].artifacts
        assert answers is not None and artifacts is not None
        place = cluster._rehearsal().store.path(artifacts["model"])
        if answers[FOUND] == NOTHING:
            assert [p.name for p in place.iterdir()] == ["ABSENT"]
        else:
            graph = (place / "Format-Serving/saved_model.pb").read_text()
            assert graph == f"graph {answers[FOUND]}"
        return str(answers[FOUND])

    assert compared_with() == NOTHING
    publish(cluster.models, 100, "let_through")
    assert compared_with() == NOTHING
    publish(cluster.models, 200, "blessed")
    publish(cluster.models, 300, "warned")
    publish(cluster.models, 400, "let_through")
    assert compared_with() == "300"
    # A reviewer takes 300 back: `genq releases rollback` pins the one before it.
    release.pin(cluster.models, 200)
    assert compared_with() == "200"
    # Whoever pins a release answers for it by name.
    release.pin(cluster.models, 400)
    assert compared_with() == "400"
