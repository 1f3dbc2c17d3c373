"""The rehearsal plays KFP's driver and launcher as their sources say; containers of one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import ConfigError
from pipeline.kubeflow.rehearse import Outcome, Rehearsal, TaskFailedError, failure, pods

TYPE = {"artifactType": {"instanceSchema": "title: tfx.Model\ntype: object\n"}}
TEXT = {"parameterType": "STRING"}
MAKE = """
import json, pathlib, sys
task = json.loads(sys.argv[1])
folder, answer = map(pathlib.Path, sys.argv[2:])
folder.mkdir(); (folder / "empty").mkdir()
(folder / "file").write_text("made of " + task["inputs"]["parameterValues"]["data"])
answer.write_text("v1")
model = {"artifacts": [{"metadata": {"split_names": "[]"}}]}
pathlib.Path(task["outputs"]["outputFile"]).write_text(json.dumps({"artifacts": {"model": model}}))
"""
USE = """
import json, os, pathlib, sys
task = json.loads(sys.argv[1])
folder = pathlib.Path(sys.argv[2])
said = {"task": task, "path": str(folder), "uri": sys.argv[3], "environment": dict(os.environ),
        "files": sorted(p.name for p in folder.rglob("*")), "parameter": sys.argv[4]}
pathlib.Path(sys.argv[5]).write_text(json.dumps(said))
"""


def make(script: str = MAKE) -> dict[str, Any]:
    return {
        "image": "genq:1",
        "command": ["python", "-c"],
        "args": [
            script, "{{$}}", "{{$.outputs.artifacts['model'].path}}",
            "{{$.outputs.parameters['found'].output_file}}",
        ],
    }  # fmt: skip


def spec(**changes: Any) -> dict[str, Any]:
    """Two containers and an importer: make -> use <- imported."""
    use = {
        "image": "genq:1",
        "command": ["python", "-c"],
        "args": [
            USE, "{{$}}", "{{$.inputs.artifacts['model'].path}}",
            "{{$.inputs.artifacts['model'].uri}}", "{{$.inputs.parameters['version']}}",
            "{{$.outputs.artifacts['said'].path}}",
        ],
        "env": [{"name": "SET", "value": "here"}],
    }  # fmt: skip
    importer = {"artifactUri": {"constant": "s3://other/place"}, "metadata": {"n": 1}}
    artifact = {"taskOutputArtifact": {"producerTask": "make", "outputArtifactKey": "model"}}
    imported = {"taskOutputArtifact": {"producerTask": "imported", "outputArtifactKey": "old"}}
    version = {"taskOutputParameter": {"producerTask": "make", "outputParameterKey": "found"}}
    tree: dict[str, Any] = {
        "pipelineInfo": {"name": "p"},
        "defaultPipelineRoot": "minio://bucket/root",
        "components": {
            "make": {
                "executorLabel": "make",
                "inputDefinitions": {"parameters": {"data": TEXT, "run": TEXT}},
                "outputDefinitions": {"artifacts": {"model": TYPE}, "parameters": {"found": TEXT}},
            },
            "imported": {
                "executorLabel": "imported",
                "outputDefinitions": {"artifacts": {"old": TYPE}},
            },
            "use": {
                "executorLabel": "use",
                "inputDefinitions": {
                    "artifacts": {"model": TYPE, "old": TYPE},
                    "parameters": {
                        "version": TEXT,
                        "extra": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3.0},
                    },
                },
                "outputDefinitions": {"artifacts": {"said": TYPE}},
            },
        },
        "deploymentSpec": {
            "executors": {
                "make": {"container": make()},
                "imported": {"importer": importer},
                "use": {"container": use},
            }
        },
        "root": {
            "inputDefinitions": {"parameters": {"data": {**TEXT, "defaultValue": "defaults"}}},
            "dag": {
                "tasks": {
                    "use": {
                        "componentRef": {"name": "use"},
                        "cachingOptions": {"enableCache": True},
                        "dependentTasks": ["imported", "make"],
                        "inputs": {
                            "artifacts": {"model": artifact, "old": imported},
                            "parameters": {"version": version},
                        },
                    },
                    "imported": {"componentRef": {"name": "imported"}},
                    "make": {
                        "componentRef": {"name": "make"},
                        "cachingOptions": {"enableCache": changes.get("cache", True)},
                        "inputs": {
                            "parameters": {
                                "data": {"componentInputParameter": "data"},
                                "run": {"runtimeValue": {"constant": "x"}},
                            }
                        },
                    },
                }
            },
        },
    }
    return tree


def test_a_task_gets_what_kfp_gives(tmp_path: Path) -> None:
    """Empty types, numbers for names, remote URIs, local copies, defaults, a bare environment."""
    cluster = Rehearsal(tmp_path, spec(), {})
    results = cluster.run()
    assert {r.outcome for r in results.values()} == {Outcome.RAN}
    artifacts = results["use"].artifacts
    assert artifacts is not None
    said = json.loads(cluster.store.path(artifacts["said"]).read_text())
    [model] = said["task"]["inputs"]["artifacts"]["model"]["artifacts"]
    assert model["type"] == {"instanceSchema": ""} and model["name"].isdecimal()
    assert model["uri"] == said["uri"] and said["uri"].startswith("minio://bucket/root/p/")
    assert model["metadata"]["split_names"] == "[]" and "store_session_info" in model["metadata"]
    assert said["files"] == ["file"]  # an object store keeps no empty folder
    assert said["parameter"] == "v1"
    assert said["task"]["inputs"]["parameterValues"] == {"version": "v1", "extra": 3.0}
    assert said["environment"]["SET"] == "here"
    assert "PYTEST_CURRENT_TEST" not in said["environment"]
    [old] = said["task"]["inputs"]["artifacts"]["old"]["artifacts"]
    assert old["uri"] == "s3://other/place" and old["metadata"]["n"] == 1


def test_the_cache_knows_ids_and_not_content(tmp_path: Path) -> None:
    """A rerun is cached; after a task that is not cached, everything runs anew."""
    first = Rehearsal(tmp_path, spec(), {}).run()
    again = Rehearsal(tmp_path, spec(), {}).run()
    assert again["make"].outcome is Outcome.CACHED
    assert again["make"].artifacts == first["make"].artifacts
    # The importer registers its artifact anew each time, so its consumer is not cached.
    assert again["use"].outcome is Outcome.RAN
    other = Rehearsal(tmp_path, spec(), {}).run({"data": "others"})
    assert other["make"].outcome is Outcome.RAN
    uncached = Rehearsal(tmp_path, spec(cache=False), {}).run()
    assert uncached["make"].outcome is Outcome.RAN


def test_a_failure_ends_the_run_with_the_containers_message(tmp_path: Path) -> None:
    """What ran before it is kept; what depends on it does not run."""
    tree = spec()
    script = (
        "import os, sys; open(os.environ['GENQ_TERMINATION_LOG'], 'w').write('No.'); sys.exit(4)"
    )
    tree["deploymentSpec"]["executors"]["make"]["container"] = make(script)
    results = Rehearsal(tmp_path, tree, {}).run()
    assert results["make"].outcome is Outcome.FAILED and "use" not in results
    error = failure(results)
    assert isinstance(error, TaskFailedError) and error.exit_code == 4
    # As Argo says it: the launcher ends with 1, and hands the program's message on.
    assert error.problem == "main: Error (exit code 1): No."
    assert error.remedy == "make failed after 1 attempt; its program ended with 4."
    made = results["make"]
    assert (made.exit_code, made.program_exit_code) == (1, 4)
    # The pipeline's driver, make's driver and container; use never began.
    assert made.pods == 2 and pods({"make": made}) == 3


COUNT = """
import os, pathlib, sys
count = pathlib.Path({count!r})
number = len(count.read_text()) if count.exists() else 0
count.write_text("x" * (number + 1))
folder = pathlib.Path(sys.argv[2])
assert not folder.exists()  # a new pod has nothing of the last one's
if number < {failures}:
    folder.mkdir()
    print("attempt", number)
    open(os.environ["GENQ_TERMINATION_LOG"], "w").write(f"No {{number}}.")
    sys.exit(3)
"""


@pytest.mark.parametrize(
    ("failures", "policy", "attempts"),
    [
        (1, {"maxRetryCount": 2, "backoffDuration": "30s", "backoffMaxDuration": "3600s"}, 2),
        (9, {"maxRetryCount": 2, "backoffDuration": "30s", "backoffMaxDuration": "3600s"}, 3),
        # 30 and 60 s of waiting do not fit; what is left out is taken for 0, as KFP does.
        (9, {"maxRetryCount": 2, "backoffDuration": "30s", "backoffMaxDuration": "80s"}, 2),
        (9, {"maxRetryCount": 2, "backoffDuration": "30s"}, 1),
        (9, {}, 1),
    ],
)
def test_a_task_is_tried_again_as_argo_does(
    tmp_path: Path, failures: int, policy: dict[str, Any], attempts: int
) -> None:
    """Within the time from the first attempt's start; each attempt is a pod."""
    tree = spec()
    script = COUNT.format(count=str(tmp_path / "count"), failures=failures) + MAKE
    tree["deploymentSpec"]["executors"]["make"]["container"] = make(script)
    tree["root"]["dag"]["tasks"]["make"]["retryPolicy"] = policy
    made = Rehearsal(tmp_path, tree, {}).run()["make"]
    assert made.attempts == attempts == len((tmp_path / "count").read_text())
    assert made.pods == 1 + attempts
    assert made.outcome is (Outcome.RAN if attempts > failures else Outcome.FAILED)
    assert made.message == (
        "" if attempts > failures else f"main: Error (exit code 1): No {attempts - 1}."
    )


def test_the_pods_of_a_cached_run_are_counted(tmp_path: Path) -> None:
    """The pipeline's driver, one of each task, and a container only where something ran."""
    first = Rehearsal(tmp_path, spec(), {}).run()
    assert pods(first) == 1 + 2 + 1 + 2
    again = Rehearsal(tmp_path, spec(), {}).run()
    assert again["make"].pods == 1 and again["make"].attempts == 0
    assert pods(again) == 1 + 1 + 1 + 2


def test_parameters_are_checked(tmp_path: Path) -> None:
    """As the API server and the driver do."""
    with pytest.raises(ConfigError, match=r"no parameter dta"):
        Rehearsal(tmp_path, spec(), {}).run({"dta": "x"})
    tree = spec()
    del tree["root"]["inputDefinitions"]["parameters"]["data"]["defaultValue"]
    with pytest.raises(ConfigError, match="neither a value nor a default"):
        Rehearsal(tmp_path, tree, {}).run()
    with pytest.raises(ConfigError, match="data is 3; the component declares STRING"):
        Rehearsal(tmp_path, spec(), {}).run({"data": 3})
