"""One environment: which cluster, images, storage, resources. The files are in deploy/kubeflow/.

In: a YAML file. Out: Settings, and the PipelineConfig of that environment. Imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from data.errors import ConfigError
from pipeline.config import PipelineConfig, load, read_yaml

DEFAULT: Final = "default"
"""The key of `images` and `resources` for every node that is not named."""

CPU: Final = re.compile(r"(\d+(?:\.\d+)?)(m?)")
MEMORY: Final = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
MEMORY_UNITS: Final = {
    "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip
LEAST_MEMORY_BYTES: Final = 256 * 2**20
"""No node starts in less: Python with TFX imported takes more. A smaller value is a wrong unit."""
PIPELINE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
"""What TFX's compiler accepts (tfx/orchestration/kubeflow/v2/pipeline_builder.py)."""
ROOT_SCHEMES: Final = {"kubeflow": ("minio://", "s3://", "gs://"), "vertex": ("gs://",)}
TargetName = Literal["kubeflow", "vertex"]


def _cpu(value: str) -> str:
    match = CPU.fullmatch(value)
    if value and (match is None or not float(match[1])):
        raise ValueError(f"{value!r} is no Kubernetes quantity of CPUs such as 500m or 2")
    return value


def _memory(value: str) -> str:
    if not value:
        return value
    match = MEMORY.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is no Kubernetes quantity of memory such as 512Mi or 8Gi")
    if (size := float(match[1]) * MEMORY_UNITS[match[2] or ""]) < LEAST_MEMORY_BYTES:
        raise ValueError(
            f"{value!r} is {size:,.12g} bytes of memory; no node runs in less than 256Mi. Units "
            f"are Mi and Gi, e.g. {match[1]}Gi"
        )
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError(f"{value!r} is not an absolute path in the container")
    return value


Cpu = Annotated[str, AfterValidator(_cpu)]
Memory = Annotated[str, AfterValidator(_memory)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]


class _Model(BaseModel):
    # `cpu: 2` in YAML is a number; an unknown key is a typing error.
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class Toleration(_Model):
    """A taint that a pod may stand on; the same words as in Kubernetes."""

    key: str
    operator: Literal["Equal", "Exists"] = "Exists"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


class Resources(_Model):
    """What one node's container gets.

    Attributes:
      cpu: limit, and request unless `cpu_request` says less.
      memory: limit, and request unless `memory_request` says less.
      gpus: of `gpu_type`.
      node_selector: label -> value of the machines that it may run on.
    """

    cpu: Cpu = "1"
    memory: Memory = "4Gi"
    cpu_request: Cpu = ""
    memory_request: Memory = ""
    gpus: int = Field(default=0, ge=0)
    gpu_type: str = "nvidia.com/gpu"
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()


class Volume(_Model):
    """A persistent volume claim, mounted into every container."""

    claim: str
    mount_path: AbsolutePath
    sub_path: str = ""


class Secret(_Model):
    """A Kubernetes secret; its values are in no file of ours.

    Attributes:
      env: key in the secret -> environment variable.
      mount_path: where its keys appear as files; "" mounts nothing.
      nodes: that get it; empty is every node.
    """

    name: str
    env: dict[str, str] = {}
    mount_path: str = ""
    nodes: tuple[str, ...] = ()


class Retries(_Model):
    """When a container fails: how often it is tried again, and after how long (doubling)."""

    attempts: int = Field(default=2, ge=0, le=10)
    backoff_s: int = Field(default=30, gt=0, le=86400)

    @model_validator(mode="before")
    @classmethod
    def _no_longest_wait(cls, given: Any) -> Any:
        if isinstance(given, dict) and "max_backoff_s" in given:
            raise ValueError(
                "max_backoff_s is gone: Kubeflow Pipelines knows no longest wait, and took it for "
                "the time in which all attempts must begin. Leave it out"
            )
        return given


class Settings(_Model):
    """One environment.

    Attributes:
      preset: of pipeline/config.py.
      config: settings that differ from the preset; paths are those in the container.
      image: that every node runs; `images` names others, by node.
      image_root: where the image has this repository.
      pipeline_root: URI below which KFP keeps artifacts.
      volumes: what the data, the releases and the work directory lie on.
      host: of the KFP API, e.g. http://localhost:8080; "" is for inside the cluster, or what
        kubectl is set to.
      timeout_s: of one attempt of one task, from its pod's start; 0 sets no limit.
      namespace: where KFP's services are.
      profile: namespace of the user, where KFP is set up for several users.
      max_concurrency: runs of the schedule at the same time.
    """

    preset: str = "demo"
    config: dict[str, Any] = {}
    image: str
    images: dict[str, str] = {}
    image_root: AbsolutePath = "/app"
    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    image_pull_secrets: tuple[str, ...] = ()
    pipeline_root: str
    volumes: tuple[Volume, ...] = ()
    env: dict[str, str] = {}
    secrets: tuple[Secret, ...] = ()
    resources: dict[str, Resources] = {}
    retries: Retries = Retries()
    timeout_s: int = Field(default=0, ge=0)
    host: str = ""
    namespace: str = "kubeflow"
    profile: str = ""
    experiment: str = "genq"
    service_account: str = ""
    request_timeout_s: int = Field(default=30, gt=0)
    max_concurrency: int = Field(default=1, ge=1, le=10)

    @model_validator(mode="after")
    def _volumes_have_names_of_their_own(self) -> Settings:
        claims = {volume.claim for volume in self.volumes}
        if both := sorted(claims & {s.name for s in self.secrets if s.mount_path}):
            raise ValueError(
                f"a claim and a secret that is mounted are both called {both[0]}; Kubeflow "
                "Pipelines names a pod's volume after either, and would mount one of them twice. "
                "Copy the secret under another name"
            )
        return self

    def resources_of(self, node: str) -> Resources:
        """Returns the node's own, else the default's."""
        return self.resources.get(node) or self.resources.get(DEFAULT) or Resources()


def load_settings(file: Path, overrides: Iterable[str] = ()) -> Settings:
    """Reads an environment's file.

    Args:
      file: YAML.
      overrides: "image=registry/genq:1", "resources.trainer.gpus=1"; the value is read as YAML.

    Raises:
      ConfigError: names the key or value that is wrong.
    """
    tree = dict(read_yaml(file))
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"--set {override}: expected KEY=VALUE, found no '='.")
        place = tree
        *parents, last = key.split(".")
        for number, parent in enumerate(parents, start=1):
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ConfigError(
                    f"--set {override}: {'.'.join(parents[:number])} is {place!r}, which has no "
                    f"settings below it.",
                )
        try:
            place[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {override}: the value is not YAML: {error}") from error
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        lines, first = [], error.errors()[0]["loc"]
        for e in error.errors():
            where = ".".join(str(part) for part in e["loc"])
            found = f"{where}: found {e['input']!r}; " if where else ""
            lines.append(f"{file}: {found}{e['msg']}.")
        raise ConfigError("\n".join(lines), _siblings(first) if first else "") from error


def _siblings(where: tuple[int | str, ...]) -> str:
    """Returns a sentence with the keys of the group in which a value is wrong.

    Args:
      where: as pydantic says it, e.g. ("resources", "trainer", "memry") or ("volumes", 0, "claim").
    """
    group: type[BaseModel] = Settings
    at = 0
    for end, part in enumerate(where[:-1], start=1):
        field = group.model_fields.get(str(part))
        if field is None:
            continue  # the name of a dictionary's entry, or the number of an item
        inner = [field.annotation, *get_args(field.annotation)]
        found = [t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)]
        if found:
            group = found[0]
            # Of a dictionary or a list, one more part leads to the group.
            at = end if found[0] is field.annotation else end + 1
    prefix = "".join(f"{part}." for part in where[:at])
    return f"Settings at this place: {', '.join(prefix + name for name in group.model_fields)}."


def pipeline_config(settings: Settings, target: TargetName = "kubeflow") -> PipelineConfig:
    """Returns the configuration of that environment's pipeline.

    Raises:
      ConfigError: if it asks for what a cluster cannot give.
    """
    flat = [f"{key}={value}" for key, value in _flatten(settings.config)]
    config = load(settings.preset, None, flat)
    if not PIPELINE_NAME.fullmatch(config.name):
        near = re.sub(r"[^a-z0-9]+", "-", config.name.lower()).strip("-")[:128] or "genq"
        raise ConfigError(
            f"config.name is {config.name!r}; Kubeflow Pipelines takes 1 to 128 of the characters "
            "a-z, 0-9 and -, the first of them no -.",
            f"For example config.name={near}.",
        )
    if not settings.pipeline_root.startswith(ROOT_SCHEMES[target]):
        raise ConfigError(
            f"pipeline_root is {settings.pipeline_root!r}; {target} opens "
            f"{', '.join(ROOT_SCHEMES[target])}.",
            "Name the bucket that this cluster's artifacts go to.",
        )
    for key, path in {
        "data.root": config.data.root,
        "workdir": config.workdir,
        "release.serving_dir": config.release.serving_dir,
    }.items():
        if not path.startswith("/"):
            raise ConfigError(
                f"config.{key} is {path!r}; expected an absolute path in the container.",
                "Name a folder on one of the volumes, e.g. /mnt/genq/data.",
            )
    if config.release.require_approval:
        raise ConfigError(
            "config.release.require_approval is on; on a cluster there is no ML Metadata in which "
            "`genq approve` could write a decision.",
            "Switch it off here and let the reviewer promote the release: `genq releases promote`.",
        )
    if config.release.infra_validator:
        raise ConfigError(
            f"config.release.infra_validator is {config.release.infra_validator!r}; Kubeflow "
            "Pipelines has no InfraValidator.",
            'Leave it to the canary: config.release.infra_validator="".',
        )
    if config.tracking.mlflow:
        raise ConfigError(
            "config.tracking.mlflow is set; `genq run` writes to MLflow when a run is over, and on "
            "a cluster no process of genq's is left then.",
            "Leave it out here; Kubeflow Pipelines keeps settings, figures and report of each run.",
        )
    return config


def _flatten(tree: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Returns "a.b.c" -> value as YAML, for pipeline.config.load."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", yaml.safe_dump(value, default_flow_style=True).strip()
