"""The containers' entrypoint, given what KFP's driver and launcher give it."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.kubeflow import entrypoint

STANDARD = "tfx.types.standard_artifacts"
TYPES = {
    "inputs": {
        "examples": f"{STANDARD}.Examples",
        "blessing": f"{STANDARD}.ModelBlessing",
        "baseline_model": f"{STANDARD}.Model",
    },
    "outputs": {"model": f"{STANDARD}.Model"},
    "integers": ["shards"],
}


def artifact(uri: str, name: str = "", **metadata: Any) -> dict[str, Any]:
    """As the driver hands it over: with an empty type, and metadata of its own."""
    metadata |= {"display_name": "x", "store_session_info": "{}"}
    one = {"name": name, "type": {"instanceSchema": ""}, "uri": uri, "metadata": metadata}
    return {"artifacts": [one]}


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An ExecutorInput, and the launcher's folders below tmp_path."""
    monkeypatch.setenv("GENQ_LAUNCHER_ROOT", str(tmp_path))
    monkeypatch.setenv("GENQ_TERMINATION_LOG", str(tmp_path / "termination-log"))
    absent = tmp_path / "minio/bucket/run/baseline/model"
    absent.mkdir(parents=True)
    (absent / "ABSENT").write_text("There is no release yet.\n")
    return {
        "inputs": {
            "parameterValues": {"shards": 2, "title": "T", "run_id": "abc"},
            "artifacts": {
                "examples": artifact(
                    "minio://bucket/run/gen/examples",
                    "12",
                    split_names='["a"]',
                    links={"to": ["b"]},
                ),
                "blessing": artifact("s3://bucket/b", "projects/1/artifacts/2", blessed=1),
                "baseline_model": artifact("minio://bucket/run/baseline/model", "13"),
            },
        },
        "outputs": {
            "artifacts": {
                "model": artifact("minio://bucket/run/t/model"),
                "executor-logs": artifact("minio://bucket/run/t/executor-logs"),
            },
            "parameters": {"found": {"outputFile": str(tmp_path / "kfp/outputs/found")}},
            "outputFile": str(tmp_path / "minio/bucket/run/t/output_metadata.json"),
        },
    }


def run(executor: str, task: dict[str, Any], notes: Path | None = None, **types: Any) -> int:
    return entrypoint.main(
        ["--node", "gate", "--executor", f"kubeflow_nodes.{executor}", "--input", json.dumps(task),
         "--types", json.dumps({**TYPES, **types}), *(["--notes", str(notes)] if notes else [])]
    )  # fmt: skip


def test_executors_see_local_artifacts_of_the_right_class(
    task: dict[str, Any], tmp_path: Path
) -> None:
    """Types from the command line, whole numbers, properties; what is absent is dropped."""
    assert run("Copier", task) == 0
    seen = (tmp_path / "minio/bucket/run/t/model/seen.txt").read_text().splitlines()
    assert f"examples={tmp_path}/minio/bucket/run/gen/examples" in seen
    assert f"blessing={tmp_path}/s3/bucket/b" in seen
    assert "examples Examples 12" in seen and '["a"]' in seen
    assert "blessed=1" in seen and "links={'to': ['b']}" in seen
    assert {"shards=2", "title='T'", "run=abc"} <= set(seen)
    assert not any("baseline_model" in line for line in seen)
    # An input that had no files is an empty folder, not a missing one.
    assert (tmp_path / "s3/bucket/b").is_dir()


def test_outputs_have_the_uris_of_the_object_store(task: dict[str, Any], tmp_path: Path) -> None:
    """And their properties as metadata, and the parameter in both places where KFP looks."""
    assert run("Copier", task) == 0
    written = json.loads((tmp_path / "minio/bucket/run/t/output_metadata.json").read_text())
    [model] = written["artifacts"]["model"]["artifacts"]
    assert model["uri"] == "minio://bucket/run/t/model"
    assert model["metadata"]["made_of"] == "minio://bucket/run/gen/examples"
    assert model["metadata"]["links"] == {"to": ["a"]}
    assert model["metadata"]["blessed"] == 1 and model["metadata"]["tfx_version"]
    assert written["artifacts"].keys() == {"model"}
    assert written["parameterValues"] == {"found": "release-7"}
    assert (tmp_path / "kfp/outputs/found").read_text() == "release-7"


def test_kfp_parses_what_is_written(task: dict[str, Any], tmp_path: Path) -> None:
    """As its launcher does: strictly."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    assert run("Copier", task) == 0
    text = (tmp_path / "minio/bucket/run/t/output_metadata.json").read_text()
    json_format.Parse(text, pipeline_spec_pb2.ExecutorOutput())
    json_format.ParseDict(task, pipeline_spec_pb2.ExecutorInput())


@pytest.mark.parametrize(
    ("executor", "code", "said"),
    [
        ("Refuser", 4, "gate: Too few images.\nFetch more."),
        ("Breaker", 1, "gate: KeyError: 'no such thing'"),
    ],
)
def test_a_failure_is_a_sentence_on_the_page_and_an_exit_code(
    executor: str,
    code: int,
    said: str,
    task: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Our errors without a traceback, even from inside Beam's; faults with one, in the log."""
    assert run(executor, task) == code
    assert (tmp_path / "termination-log").read_text() == said
    logged = capsys.readouterr().err
    assert f"Error: {said}" in logged
    assert ("Traceback" in logged) == (executor == "Breaker")
    assert not (tmp_path / "minio/bucket/run/t/output_metadata.json").exists()


def test_what_no_attempt_can_mend_is_not_tried_in_earnest_again(
    task: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt ends at once, with the same words; a fault of the machine's is tried again.

    Another task, and the same one when time has passed or a person retries it, are not held up.
    """
    said, notes = tmp_path / "termination-log", tmp_path / "work/final-errors"

    def attempt(executor: str, of: dict[str, Any] = task) -> int:
        return run(executor, of, notes=notes)

    assert attempt("Breaker") == 1 and not notes.exists()
    assert attempt("Refuser") == 4
    # Had it run, it would have succeeded.
    for _ in range(2):
        assert attempt("Copier") == 4
        assert said.read_text().startswith("gate: Too few images.\nFetch more.\nNot tried again")
        assert said.read_text().count("Not tried again") == 1
    other = json.loads(json.dumps(task).replace("/t/", "/t2/"))
    assert attempt("Copier", other) == 0
    with monkeypatch.context() as newer:
        newer.setenv("KFP_RETRY_INDEX", "0")
        assert attempt("Copier") == 0
        newer.setenv("KFP_RETRY_INDEX", "1")
        assert attempt("Copier") == 4
    [note] = notes.iterdir()
    an_hour_ago = time.time() - 3600
    os.utime(note, (an_hour_ago, an_hour_ago))
    assert attempt("Copier") == 0
    assert attempt("Refuser", other) == 4
    assert not note.exists()
    # Damaged, or on a volume that cannot be written, a note is as if it were not there.
    next(notes.iterdir()).write_text("{")
    assert attempt("Copier", other) == 0
    assert run("Refuser", task, notes=said / "file") == 4
    assert run("Copier", task, notes=said / "file") == 0


def test_a_container_started_by_hand_or_of_another_version_says_so(
    task: dict[str, Any], tmp_path: Path
) -> None:
    """Rather than a KeyError."""
    code = entrypoint.main(
        ["--node", "n", "--executor", "x.Y", "--input", "{{$}}", "--types", "{}"]
    )
    assert code == 2 and "--input is not JSON" in (tmp_path / "termination-log").read_text()
    assert run("Copier", task, inputs={}) == 2
    assert "Compile again" in (tmp_path / "termination-log").read_text()
    task["inputs"]["artifacts"]["examples"] = artifact("hdfs://x/y")
    assert run("Copier", task) == 2
    assert "expected minio://, s3://, gs://" in (tmp_path / "termination-log").read_text()
