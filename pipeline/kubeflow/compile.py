"""From a TFX pipeline to what Kubeflow Pipelines accepts.

In: Settings of an environment. Out: a PipelineSpec of schema 2.1.0 and its platform document, as
one YAML; or a PipelineJob as JSON for Vertex. TFX's own compiler makes the graph; what it makes
does not run on open-source KFP, and is fixed here, step by step, on the plain dictionary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from google.protobuf import json_format
from tfx import v1 as tfx
from tfx import version as tfx_version
from tfx.dsl.components.base import executor_spec
from tfx.orchestration.kubeflow.v2 import compiler_utils, pipeline_builder

from data.errors import ConfigError
from pipeline.kubeflow.entrypoint import RUN_ID
from pipeline.kubeflow.lookup import FOUND
from pipeline.kubeflow.platform import EXECUTOR, platform_spec
from pipeline.kubeflow.settings import DEFAULT, Resources, Settings, TargetName, pipeline_config
from pipeline.kubeflow.target import PASSED, Cluster
from pipeline.pipeline import SCHEMA, create_pipeline

COMMAND: Final = ("python", "-m", "pipeline.kubeflow.entrypoint")
SCHEMA_VERSION: Final = "2.1.0"
NOTES: Final = "final-errors"
"""Folder below the work directory: what no further attempt can fix (entrypoint.py)."""


PARAMETERS: Final = {
    "data_root": (("data-version", "data_root"), ("example-gen", "input_base")),
    "serving_dir": (
        ("data-version", "serving_dir"),
        ("baseline-version", "serving_dir"),
        ("baseline", "serving_dir"),
        ("release-pusher", "serving_dir"),
    ),
}
"""A run's parameter -> the nodes' parameters that it sets. Its default is what is compiled."""

UNCACHED: Final = (
    "data-version",
    "baseline-version",
    "previous-version",
    "passed-statistics",
    "release-pusher",
)
"""Nodes that look at, or change, what KFP's cache key does not hold: files on volumes."""

PATIENCE_S: Final = 365 * 24 * 3600
"""How long after its first attempt's start a task may begin another. KFP makes Argo's `maxDuration`
of it, and tells a later attempt to end by then. So it only has to be long, also for a task that
waits days for a machine: `retries.attempts` and `timeout_s` are what limits an attempt."""

JUDGES: Final = ("validation-gate", "fairness-gate")
"""Nodes that say no for good: trying again only hides it for a while."""


@dataclass(frozen=True)
class Compiled:
    """A pipeline as KFP has it.

    Attributes:
      spec: the PipelineSpec, in JSON's names.
      platform: the PlatformSpec; empty for Vertex.
    """

    spec: dict[str, Any]
    platform: dict[str, Any]
    pipeline_root: str

    def to_yaml(self) -> str:
        """Returns what open-source KFP accepts."""
        name = self.spec["pipelineInfo"]["name"]
        lines = ["# PIPELINE DEFINITION", f"# Name: {name}", "# Inputs:"]
        for key, parameter in self.spec["root"]["inputDefinitions"]["parameters"].items():
            lines.append(f"#    {key}: str [Default: '{parameter['defaultValue']}']")
        documents = [self.spec, *([self.platform] if self.platform else [])]
        return "\n".join(lines) + "\n" + yaml.dump_all(documents, Dumper=_Dumper, width=100)

    def to_vertex_json(self) -> str:
        """Returns a PipelineJob as Vertex accepts it."""
        spec = {key: value for key, value in self.spec.items() if key != "defaultPipelineRoot"}
        job = {
            "displayName": spec["pipelineInfo"]["name"],
            "pipelineSpec": spec,
            "runtimeConfig": {"gcsOutputDirectory": self.pipeline_root},
        }
        return json.dumps(job, indent=2, sort_keys=True) + "\n"


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, which people can read, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Returns True: Go's reader knows aliases, people do not."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def compile_pipeline(settings: Settings, target: TargetName = "kubeflow") -> Compiled:
    """Returns the pipeline of an environment.

    Raises:
      ConfigError: if the settings name a node that there is not, or what a cluster cannot do.
    """
    config = pipeline_config(settings, target)
    pipeline = create_pipeline(config, Cluster(config))
    nodes = {component.id: component for component in pipeline.components}
    check_nodes(settings, nodes)
    spec = build(pipeline)
    tasks = spec["root"]["dag"]["tasks"]
    executors = spec["deploymentSpec"]["executors"]
    for name, node in nodes.items():
        made = container(node, settings, target, f"{config.workdir}/{NOTES}")
        executors[EXECUTOR.format(name)] = {"container": made}
        tasks[name] |= policies(name, settings)
    shorten_titles(spec)
    connect_lookups(spec)
    name_runs(spec)
    use_image_paths(spec, settings)
    expose_parameters(spec)
    spec["defaultPipelineRoot"] = settings.pipeline_root
    spec["schemaVersion"] = SCHEMA_VERSION
    spec["sdkVersion"] = f"tfx-{tfx_version.__version__}"
    platform = platform_spec(settings, sorted(nodes)) if target == "kubeflow" else {}
    return Compiled(spec, platform, settings.pipeline_root)


def check_nodes(settings: Settings, nodes: Mapping[str, Any]) -> None:
    """Raises ConfigError if the settings name a node that the pipeline does not have."""
    named = {
        "images": settings.images.keys(),
        "resources": settings.resources.keys(),
        "secrets": {node for secret in settings.secrets for node in secret.nodes},
    }
    for key, names in named.items():
        if unknown := sorted(set(names) - set(nodes) - {DEFAULT}):
            raise ConfigError(
                f"{key} names {', '.join(unknown)}; there is no such node.",
                f"Nodes: {', '.join(sorted(nodes))}, and {DEFAULT} for all others.",
            )


def build(pipeline: tfx.dsl.Pipeline) -> dict[str, Any]:
    """Returns what TFX makes of the pipeline."""
    with any_title():
        built = pipeline_builder.PipelineBuilder(
            tfx_pipeline=pipeline, default_image=DEFAULT, use_pipeline_spec_2_1=True
        ).build()
    spec: dict[str, Any] = json_format.MessageToDict(built)
    return spec


@contextmanager
def any_title() -> Iterator[None]:
    """Lets TFX compile artifact types whose name is an import path with more than one dot.

    TFX wants "<package>.<Class>" in a schema's title, and finds the class by it. Our entrypoint
    gets the classes otherwise (see `container`); shorten_titles makes the titles legal.
    """
    strict = compiler_utils._SCHEMA_TITLE_RE
    compiler_utils._SCHEMA_TITLE_RE = re.compile(r"[\w.]+")
    try:
        yield
    finally:
        compiler_utils._SCHEMA_TITLE_RE = strict


def container(node: Any, settings: Settings, target: TargetName, notes: str) -> dict[str, Any]:
    """Returns a node's container: image, command line, environment, resources.

    KFP hands inputs over without their types: the command line carries them.

    Args:
      node: of the pipeline.
      settings: of the environment.
      target: what it is compiled for.
      notes: folder on a volume that all attempts of a task see.
    """
    spec = node.executor_spec
    beam = isinstance(spec, executor_spec.BeamExecutorSpec)
    arguments = ["--node", node.id, "--input", "{{$}}"]
    if function := getattr(node, "FUNCTION", None):
        arguments += ["--function", function]
    else:
        arguments += ["--executor", _path(spec.executor_class)]
    arguments += ["--types", json.dumps(types(node), sort_keys=True)]
    if node.id not in JUDGES:  # which are not tried again
        arguments += ["--notes", notes]
    if node.id == "example-gen":
        arguments += ["--driver", _path(node.DRIVER_CLASS)]
    image = settings.images.get(node.id) or settings.images.get(DEFAULT) or settings.image
    if beam:
        arguments += spec.beam_pipeline_args
        # What distributed workers run; without it TFX packs itself up before each pipeline.
        arguments.append(f"--sdk_container_image={image}")
    result: dict[str, Any] = {
        "image": image,
        "command": list(COMMAND),
        "args": arguments,
        "resources": resources(settings.resources_of(node.id), target),
    }
    if settings.env:
        result["env"] = [{"name": k, "value": v} for k, v in sorted(settings.env.items())]
    return result


def types(node: Any) -> dict[str, Any]:
    """Returns the import paths of the classes of a node's artifacts, and its whole-number names."""
    return {
        "inputs": {key: _path(channel.type) for key, channel in node.inputs.items()},
        "outputs": {key: _path(channel.type) for key, channel in node.outputs.items()},
        "integers": sorted(k for k, v in node.exec_properties.items() if isinstance(v, int)),
    }


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def resources(wanted: Resources, target: TargetName) -> dict[str, Any]:
    """Returns a ResourceSpec; Vertex reads the older, numeric fields."""
    if target == "vertex":
        result: dict[str, Any] = {
            "cpuLimit": float(wanted.cpu.removesuffix("m")) / (1000 if "m" in wanted.cpu else 1),
            "memoryLimit": _gigabytes(wanted.memory),
        }
        if wanted.gpus:
            result["accelerator"] = {"type": wanted.gpu_type, "count": str(wanted.gpus)}
        return result
    result = {
        "resourceCpuLimit": wanted.cpu,
        "resourceCpuRequest": wanted.cpu_request or wanted.cpu,
        "resourceMemoryLimit": wanted.memory,
        "resourceMemoryRequest": wanted.memory_request or wanted.memory,
    }
    if wanted.gpus:
        result["accelerator"] = {
            "resourceType": wanted.gpu_type,
            "resourceCount": str(wanted.gpus),
        }
    return result


def _gigabytes(quantity: str) -> float:
    """Returns 10^9 bytes."""
    units = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    match = re.fullmatch(r"([\d.]+)(\w*)", quantity)
    assert match  # settings.py checked it
    return float(match[1]) * units.get(match[2], 2**40 if match[2] == "Ti" else 1) / 1e9


def policies(node: str, settings: Settings) -> dict[str, Any]:
    """Returns a task's caching and retries."""
    # TFX writes `enableCache` only where it is on; KFP's page shows what is written.
    result: dict[str, Any] = {"cachingOptions": {"enableCache": node not in UNCACHED}}
    retries = settings.retries
    if retries.attempts and node not in JUDGES:
        waits_s = retries.backoff_s * (2**retries.attempts - 1)
        all_attempts_s = (retries.attempts + 1) * settings.timeout_s + waits_s
        result["retryPolicy"] = {
            "maxRetryCount": retries.attempts,
            "backoffDuration": f"{retries.backoff_s}s",
            "backoffFactor": 2.0,
            "backoffMaxDuration": f"{max(PATIENCE_S, all_attempts_s)}s",
        }
    return result


def shorten_titles(spec: dict[str, Any]) -> None:
    """Names our artifact types "genq.<Class>", as KFP's page shows them and Vertex allows."""
    for component in spec["components"].values():
        for side in ("inputDefinitions", "outputDefinitions"):
            for artifact in component.get(side, {}).get("artifacts", {}).values():
                schema = yaml.safe_load(artifact["artifactType"]["instanceSchema"])
                namespace, _, name = schema["title"].rpartition(".")
                if namespace != "tfx":
                    schema["title"] = f"genq.{name}"
                artifact["artifactType"]["instanceSchema"] = yaml.safe_dump(schema)


def connect_lookups(spec: dict[str, Any]) -> None:
    """Makes what a lookup answers a parameter of the node that is cached by it."""
    tasks = spec["root"]["dag"]["tasks"]
    for consumer, (producer, parameter) in PASSED.items():
        text = {"parameterType": "STRING"}
        outputs = spec["components"][producer].setdefault("outputDefinitions", {})
        outputs.setdefault("parameters", {})[FOUND] = text
        inputs = spec["components"][consumer].setdefault("inputDefinitions", {})
        inputs.setdefault("parameters", {})[parameter] = text
        task = tasks[consumer]
        task.setdefault("inputs", {}).setdefault("parameters", {})[parameter] = {
            "taskOutputParameter": {"producerTask": producer, "outputParameterKey": FOUND}
        }
        task["dependentTasks"] = sorted({*task.get("dependentTasks", ()), producer})


def name_runs(spec: dict[str, Any]) -> None:
    """Tells the pusher the run's id, which release.json keeps. Only uncached nodes may know it."""
    parameters = spec["components"]["release-pusher"]["inputDefinitions"]["parameters"]
    parameters[RUN_ID] = {"parameterType": "STRING"}
    inputs = spec["root"]["dag"]["tasks"]["release-pusher"]["inputs"]["parameters"]
    inputs[RUN_ID] = {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}}


def use_image_paths(spec: dict[str, Any], settings: Settings) -> None:
    """Names the schema's file where the image has it."""
    inputs = spec["root"]["dag"]["tasks"]["schema-importer"]["inputs"]["parameters"]
    below = SCHEMA.relative_to(SCHEMA.parents[1]).as_posix()
    inputs["schema_file"]["runtimeValue"]["constant"] = f"{settings.image_root}/{below}"


def expose_parameters(spec: dict[str, Any]) -> None:
    """Turns constants into parameters of the run, with the constant as default."""
    tasks = spec["root"]["dag"]["tasks"]
    exposed = spec["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})
    for name, places in PARAMETERS.items():
        for node, key in places:
            inputs = tasks[node]["inputs"]["parameters"]
            default = inputs[key]["runtimeValue"]["constant"]
            exposed[name] = {"parameterType": "STRING", "defaultValue": default}
            inputs[key] = {"componentInputParameter": name}


def write(compiled: Compiled, file: Path, target: TargetName) -> None:
    """Writes YAML, or JSON for Vertex.

    Raises:
      ConfigError: if the file cannot be written, or its name does not tell its format.
    """
    suffixes = (".json",) if target == "vertex" else (".yaml", ".yml")
    if file.suffix not in suffixes:
        raise ConfigError(
            f"--output {file}: {target} takes {' or '.join(suffixes)}.",
            "The kfp client tells the format by the name.",
        )
    text = compiled.to_vertex_json() if target == "vertex" else compiled.to_yaml()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}.") from error
