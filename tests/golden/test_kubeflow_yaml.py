"""What `genq kubeflow compile` writes: read by the kfp client and by KFP's own messages."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format

from data.errors import ConfigError

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "deploy/kubeflow/small.yaml"
GOLDEN = ROOT / "tests/golden/kubeflow.yaml"
# Digests of code and schema: they change with every module, and are no part of the interface.
DIGEST = re.compile(r"\b[0-9a-f]{64}\b|\b(?=[0-9a-f]*[a-f0-9])[0-9a-f]{16}\b")


def compiled(name: str, target: str = "kubeflow", *overrides: str) -> Any:
    from pipeline.kubeflow.compile import compile_pipeline
    from pipeline.kubeflow.settings import load_settings

    settings = load_settings(ROOT / f"deploy/kubeflow/{name}.yaml", overrides)
    return compile_pipeline(settings, target)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small() -> Any:
    return compiled("small")


@pytest.fixture(scope="module")
def gpu() -> Any:
    return compiled("gpu")


def test_the_yaml_is_the_one_we_looked_at(small: Any) -> None:
    """`genq kubeflow compile deploy/kubeflow/small.yaml --output tests/golden/kubeflow.yaml`."""
    assert DIGEST.sub("<digest>", small.to_yaml()) == DIGEST.sub("<digest>", GOLDEN.read_text())


def test_kfp_reads_both_documents(small: Any, gpu: Any, tmp_path: Path) -> None:
    """As the API server does: schema 2.1.0, strict about fields, a platform for kubernetes."""
    from kfp import components
    from kfp.kubernetes import kubernetes_executor_config_pb2
    from kfp.pipeline_spec import pipeline_spec_pb2

    for one in (small, gpu):
        file = tmp_path / "p.yaml"
        file.write_text(one.to_yaml())
        loaded = components.load_component_from_file(str(file))
        assert loaded.pipeline_spec.schema_version == "2.1.0"
        spec, platform = yaml.safe_load_all(file.read_text())
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        deployment = pipeline_spec_pb2.PipelineDeploymentConfig()
        json_format.ParseDict(spec["deploymentSpec"], deployment)
        json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
        executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        assert executors.keys() == deployment.executors.keys()
        for executor in executors.values():
            json_format.ParseDict(
                executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig()
            )


def test_every_reference_leads_somewhere(small: Any) -> None:
    """Producers, outputs, parameters, components and executors exist; ids are kebab-case."""
    spec = small.spec
    tasks = spec["root"]["dag"]["tasks"]
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    for name, task in tasks.items():
        assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
        component = spec["components"][task["componentRef"]["name"]]
        assert component["executorLabel"] in spec["deploymentSpec"]["executors"]
        inputs = task.get("inputs", {})
        declared = component.get("inputDefinitions", {})
        assert inputs.get("parameters", {}).keys() == declared.get("parameters", {}).keys()
        assert inputs.get("artifacts", {}).keys() == declared.get("artifacts", {}).keys()
        for artifact in inputs.get("artifacts", {}).values():
            source = artifact["taskOutputArtifact"]
            producer = spec["components"][source["producerTask"]]
            assert source["outputArtifactKey"] in producer["outputDefinitions"]["artifacts"]
            assert source["producerTask"] in task["dependentTasks"]
        for parameter in inputs.get("parameters", {}).values():
            if "componentInputParameter" in parameter:
                assert parameter["componentInputParameter"] in parameters
            if source := parameter.get("taskOutputParameter"):
                outputs = spec["components"][source["producerTask"]]["outputDefinitions"]
                assert source["outputParameterKey"] in outputs["parameters"]
                assert source["producerTask"] in task["dependentTasks"]
        assert set(task.get("dependentTasks", ())) <= tasks.keys()


def test_parameters_have_their_defaults_and_the_root_its_place(small: Any) -> None:
    """TFX's compiler drops both."""
    parameters = small.spec["root"]["inputDefinitions"]["parameters"]
    assert {k: p["defaultValue"] for k, p in parameters.items()} == {
        "data_root": "/mnt/genq/data",
        "serving_dir": "/mnt/genq/serving",
    }
    assert small.spec["defaultPipelineRoot"] == "minio://mlpipeline/v2/artifacts"


def test_what_looks_outside_is_never_cached_and_judges_are_not_asked_twice(small: Any) -> None:
    """Everything else is cached, by parameters that the lookups answer."""
    tasks = small.spec["root"]["dag"]["tasks"]
    uncached = {n for n, t in tasks.items() if not t["cachingOptions"]["enableCache"]}
    assert uncached == {
        *("data-version", "baseline-version", "previous-version", "passed-statistics"),
        "release-pusher",
    }
    assert {n for n, t in tasks.items() if "retryPolicy" not in t} == {
        "validation-gate",
        "fairness-gate",
    }
    version = tasks["example-gen"]["inputs"]["parameters"]["data_version"]
    assert version == {
        "taskOutputParameter": {"producerTask": "data-version", "outputParameterKey": "found"}
    }


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def test_a_slow_attempt_is_tried_again(small: Any, gpu: Any) -> None:
    """Argo takes backoffMaxDuration for a time from the first attempt's start: all attempts, each
    as long as it may take, and the waits between them must fit, with days for a queue."""
    for one, timeout_s, attempts in ((small, 0, 1), (gpu, 86400, 3)):
        for name, task in one.spec["root"]["dag"]["tasks"].items():
            if retry := task.get("retryPolicy"):
                assert retry["maxRetryCount"] == attempts
                waits_s = sum(seconds(retry["backoffDuration"]) * 2**n for n in range(attempts))
                longest_s = (attempts + 1) * (timeout_s or 14 * 86400) + waits_s
                assert seconds(retry["backoffMaxDuration"]) > longest_s + 14 * 86400, name


def test_more_time_than_a_year_is_given_where_the_settings_ask_for_it() -> None:
    """Ten attempts of a hundred days."""
    from pipeline.kubeflow.compile import policies
    from pipeline.kubeflow.settings import load_settings

    settings = load_settings(SMALL, ["retries.attempts=10", "timeout_s=8640000"])
    compiled = policies("trainer", settings)["retryPolicy"]
    assert seconds(compiled["backoffMaxDuration"]) == 11 * 8640000 + 30 * (2**10 - 1)


def test_the_trainer_gets_its_gpu_and_its_machines_and_only_the_pusher_the_key(gpu: Any) -> None:
    """As deploy/kubeflow/gpu.yaml says."""
    trainer = gpu.spec["deploymentSpec"]["executors"]["trainer_executor"]["container"]
    assert trainer["image"].startswith("registry.example.com/genq-gpu:")
    assert trainer["resources"]["accelerator"] == {
        "resourceType": "nvidia.com/gpu",
        "resourceCount": "1",
    }
    executors = gpu.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors["trainer_executor"]["nodeSelector"]["labels"] == {
        "cloud.google.com/gke-accelerator": "nvidia-l4"
    }
    assert executors["trainer_executor"]["tolerations"][0]["key"] == "nvidia.com/gpu"
    with_secret = {n for n, e in executors.items() if "secretAsVolume" in e}
    assert with_secret == {"release-pusher_executor"}


def test_what_containers_call_can_be_imported(small: Any) -> None:
    """Functions and executors, by the path in the command line."""
    for executor in small.spec["deploymentSpec"]["executors"].values():
        arguments = executor["container"]["args"]
        key = "--function" if "--function" in arguments else "--executor"
        module, _, name = arguments[arguments.index(key) + 1].rpartition(".")
        assert hasattr(importlib.import_module(module), name)


def test_no_path_of_this_machine_is_compiled(small: Any) -> None:
    """The image has the repository elsewhere."""
    assert str(ROOT) not in small.to_yaml()
    assert "/app/data/schema.pbtxt" in small.to_yaml()


def test_vertex_gets_a_pipeline_job(tmp_path: Path) -> None:
    """JSON, without a platform document; titles as Vertex allows them."""
    from kfp.pipeline_spec import pipeline_spec_pb2

    from pipeline.kubeflow.compile import write

    one = compiled("vertex", "vertex")
    with pytest.raises(ConfigError, match="vertex takes .json"):
        write(one, tmp_path / "p.yaml", "vertex")
    write(one, tmp_path / "p.json", "vertex")
    job = json.loads((tmp_path / "p.json").read_text())
    json_format.ParseDict(job, pipeline_spec_pb2.PipelineJob())
    json_format.ParseDict(job["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())
    titles = set(re.findall(r"title: ([\w.]+)", json.dumps(job)))
    pattern = r"[a-z][a-z0-9-_]{2,20}[.][A-Z][a-zA-Z0-9-_]{2,49}"
    assert titles and all(re.fullmatch(pattern, title) for title in titles)
    container = job["pipelineSpec"]["deploymentSpec"]["executors"]["trainer_executor"]["container"]
    assert container["resources"]["cpuLimit"] == 8
    assert container["resources"]["accelerator"] == {"type": "NVIDIA_TESLA_T4", "count": "1"}


def test_a_node_that_is_not_there_is_named() -> None:
    """A typing error in a settings file would otherwise leave the trainer without its GPU."""
    with pytest.raises(
        ConfigError, match="resources names trianer; there is no such node"
    ) as error:
        compiled("small", "kubeflow", "resources.trianer.gpus=1")
    assert "trainer" in error.value.remedy
