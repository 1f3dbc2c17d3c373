"""The compiled pipeline on a rehearsed cluster, every node through its container's command line.

Three nights: the first without a baseline, the second on unchanged data, the third on changed data.
The third ends with the verdict: what comes after is as in the first, and takes a minute.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from data.releases import checksums, release
from data.synthetic import SyntheticConfig
from pipeline.cli.app import app
from pipeline.kubeflow.compile import UNCACHED
from pipeline.kubeflow.lookup import FOUND, NOTHING
from pipeline.kubeflow.rehearse import (
    Outcome,
    Rehearsal,
    TaskFailedError,
    TaskResult,
    failure,
    pods,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SETTINGS = (
    "preset=demo",
    "config.trainer.strategy=head_only",
    "config.trainer.head_epochs=2",
    "config.evaluation.min_accuracy=0.1",
    "config.evaluation.min_auc=0.1",
    "config.evaluation.max_accuracy_drop=1",
    "config.evaluation.max_auc_drop=1",
    "config.evaluation.fairness.on_failure=warn",
    "config.data.faults.max_bad_image_fraction=0",
)
AFTER_THE_VERDICT = ("model-exporter", "evaluation-report", "release-pusher")
Night = dict[str, TaskResult]


@dataclass(frozen=True)
class Nights:
    """What became of the tasks, and where things are."""

    cluster: Rehearsal
    first: Night
    second: Night
    third: Night
    models: Path


def complete(results: Night) -> Night:
    """Fails with what KFP's page would show."""
    error = failure(results)
    assert error is None, str(error)
    return results


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    import keras

    from data.synthetic.folder import synthesize
    from pipeline.kubeflow.compile import compile_pipeline
    from pipeline.kubeflow.rehearse import local_settings
    from pipeline.kubeflow.settings import load_settings

    base = tmp_path_factory.mktemp("cluster")
    synthesize(base / "data", SyntheticConfig(num_images=200))
    # Random, but a file: then the head alone is trained, on activations computed once.
    backbone = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(75, 75, 3)
    )
    backbone.save_weights(base / "backbone.weights.h5")
    weights = f"config.trainer.weights={base / 'backbone.weights.h5'}"
    settings = load_settings(ROOT / "deploy/kubeflow/small.yaml", [*SETTINGS, weights])
    compiled = compile_pipeline(local_settings(settings, base / "data", base))
    spec, platform = yaml.safe_load_all(compiled.to_yaml())

    def night() -> Night:
        # A new object each time: what is known of earlier nights lies on the disk.
        return complete(Rehearsal(base, spec, platform).run())

    first, second = night(), night()
    # Trained on 200 faces it is hardly sound, and only a setting let it through: no baseline then,
    # unless somebody pins it.
    [made] = release.versions(base / "serving/gender")
    release.pin(base / "serving/gender", made)
    tasks = spec["root"]["dag"]["tasks"]
    for name in AFTER_THE_VERDICT:
        del tasks[name]
    labels = base / "data/Anno/list_attr_celeba.txt"
    lines = labels.read_text().splitlines()
    smiling = lines[1].split().index("Smiling") + 1
    for number in range(2, len(lines), 3):
        fields = lines[number].split()
        fields[smiling] = "-1" if fields[smiling] == "1" else "1"
        lines[number] = " ".join(fields)
    labels.write_text("\n".join(lines) + "\n")
    third = night()
    models = base / "serving/gender"
    yield Nights(Rehearsal(base, spec, platform), first, second, third, models)


def test_the_first_night_runs_everything_and_publishes(nights: Nights) -> None:
    """No baseline: the input is dropped, and absolute thresholds decide."""
    assert {r.outcome for r in nights.first.values()} == {Outcome.RAN}
    assert nights.first.keys() == nights.cluster.spec["components"].keys()
    assert nights.first["baseline-version"].answers == {FOUND: NOTHING}
    assert nights.first["previous-version"].answers == {FOUND: NOTHING}
    [version] = release.versions(nights.models)
    assert not checksums.problems(nights.models / str(version))
    assert release.read_release(nights.models / str(version)).pipeline_run
    assert scored(nights, nights.first) == {"candidate"}


def test_the_second_night_trains_nothing(nights: Nights) -> None:
    """Only what looks at volumes runs, and finds what it found."""
    ran = {name for name, r in nights.second.items() if r.outcome is Outcome.RAN}
    assert ran == set(UNCACHED)
    for name in ("data-version", "baseline-version", "previous-version"):
        assert nights.second[name].answers == nights.first[name].answers
    assert nights.second["trainer"].artifacts == nights.first["trainer"].artifacts
    assert len(release.versions(nights.models)) == 1
    # As the guide says: a driver for each task and the pipeline, and the containers that ran.
    assert pods(nights.second) == 1 + len(nights.second) + len(UNCACHED) == 24


def test_the_third_night_trains_and_compares_with_the_released_model(nights: Nights) -> None:
    """Changed labels, no changed size: example-gen sees them, and the baseline is named."""
    cached = {name for name, r in nights.third.items() if r.outcome is Outcome.CACHED}
    assert cached == {"schema-importer"}
    [released] = release.versions(nights.models)
    assert nights.third["baseline-version"].answers == {FOUND: str(released)}
    assert nights.third["previous-version"].answers != {FOUND: NOTHING}
    assert scored(nights, nights.third) == {"candidate", "baseline"}


def test_drift_is_judged_against_the_data_before(nights: Nights) -> None:
    """The first night has nothing to compare with; the third has the first's statistics."""
    first, third = (json.loads(verdict(nights, night)) for night in (nights.first, nights.third))
    name = "train against its previous statistics"
    assert first["comparisons"][name] == "no earlier data passed this gate"
    assert "too few examples" in third["comparisons"][name]


def test_a_night_without_data_ends_at_once_and_says_so(nights: Nights) -> None:
    """Before TFX is imported, with the exit code of data errors."""
    results = nights.cluster.run({"data_root": "/nowhere"})
    error = failure(results)
    assert error is not None and error.exit_code == 3
    assert "/nowhere: there is no such folder" in error.problem
    # KFP starts a second pod, which ends at once; the launcher makes 1 of the exit code.
    result = results["data-version"]
    assert result.attempts == 2 and result.exit_code == 1
    assert result.message.startswith("main: Error (exit code 1): data-version: /nowhere")
    assert "Not tried again, since that would change nothing" in result.message
    assert "example-gen" not in results


def test_the_command_tells_what_became_of_each_task(tmp_path: Path) -> None:
    """And ends as the task that failed."""
    arguments = [str(ROOT / "deploy/kubeflow/small.yaml"), "--set", "preset=demo"]
    arguments += ["--data", str(tmp_path / "none"), "--workdir", str(tmp_path), "--workers", "1"]
    done = CliRunner().invoke(app, ["kubeflow", "rehearse", *arguments])
    assert done.output.startswith("data-version         failed in")
    assert isinstance(done.exception, TaskFailedError) and done.exception.exit_code == 3


def test_artifacts_lie_in_the_object_store_under_their_uris(nights: Nights) -> None:
    """And what KFP knows of them is what TFX needs: splits, blessing, and no local path."""
    known = {a["uri"]: a["metadata"] for a in nights.cluster.state.artifacts.values()}
    assert all(uri.startswith("minio://mlpipeline/v2/artifacts/genq/") for uri in known)
    examples = known[uri_of(nights.third, "example-gen", "examples")]
    assert set(json.loads(examples["split_names"])) == {"train", "val", "test"}
    assert "annotations_sha256" in examples["input_fingerprint"]
    assert known[uri_of(nights.third, "fairness-gate", "blessing")]["blessed"] == 1
    compared = known[uri_of(nights.third, "evaluator", "blessing")]
    assert compared["current_model"] == uri_of(nights.third, "trainer", "model")
    assert compared["baseline_model"] == uri_of(nights.third, "baseline", "model")


def uri_of(night: Night, node: str, key: str) -> str:
    artifacts = night[node].artifacts
    assert artifacts is not None
    return artifacts[key]


def scored(nights: Nights, night: Night) -> set[str]:
    """Returns which models answered."""
    folder = nights.cluster.store.path(uri_of(night, "model-scorer", "predictions"))
    content: Any = json.loads((folder / "scoring.json").read_text())
    return set(content["models"])


def verdict(nights: Nights, night: Night) -> str:
    """Returns what the validation gate wrote."""
    uri = uri_of(night, "validation-gate", "validation")
    return (nights.cluster.store.path(uri) / "verdict.json").read_text()
