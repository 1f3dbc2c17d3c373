"""`genq kubeflow doctor`: whether an environment's cluster can do what a run will ask of it.

In: Settings. Out: findings, one after another: from here (the server, its version, who we are, the
namespace), then from inside, by a run of one small task with the environment's image, volumes and
secrets (inside.py). What hangs on a failed check is skipped and says so. What the pod found comes
back as its termination message in Argo's workflow, which the API server hands out.
"""

from __future__ import annotations

import contextlib
import enum
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

from data.errors import ClusterError, GenqError
from pipeline.config import PipelineConfig
from pipeline.kubeflow import inside
from pipeline.kubeflow.client import Cluster, Progress
from pipeline.kubeflow.platform import platform_spec
from pipeline.kubeflow.settings import DEFAULT, Settings, pipeline_config

NODE: Final = "doctor"
NAME: Final = "genq-doctor"
CHECKS_FROM_HERE: Final = ("settings", "server", "version", "authentication", "namespace")
POLL_S: Final = 3.0
ENDED: Final = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
SEE_NODES: Final = "Look at the run's page, or: kubectl -n {namespace} describe pods"


class Status(enum.StrEnum):
    """What became of a check."""

    PASSED = inside.PASSED
    FAILED = inside.FAILED
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """One check: what was found, and what to do where it failed."""

    check: str
    status: Status
    found: str
    todo: str = ""


def examine(settings: Settings, from_inside: bool, timeout_s: float) -> Iterator[Finding]:
    """Yields findings as they are made.

    Args:
      settings: of the environment.
      from_inside: whether to start the small run.
      timeout_s: how long the small run may take, pulling the image included.
    """
    found = list[Finding]()
    for finding in _from_here(settings):
        found.append(finding)
        yield finding
    broken = [f.check for f in found if f.status is Status.FAILED]
    if not broken and from_inside:
        yield from _from_inside(settings, timeout_s)
        return
    why = f"{broken[0]} failed" if broken else "--outside"
    asked = None if "settings" in broken else questions(settings, pipeline_config(settings))
    done = {f.check for f in found}
    rest = (*CHECKS_FROM_HERE, "pod", *(inside.names(asked) if asked else ()), "object store")
    for check in rest:
        if check not in done:
            yield Finding(check, Status.SKIPPED, why)


def _from_here(settings: Settings) -> Iterator[Finding]:
    """Yields what can be seen without a pod, up to the first fault."""
    try:
        config = pipeline_config(settings)
    except GenqError as error:
        yield _failed("settings", error)
        return
    yield Finding("settings", Status.PASSED, f"pipeline {config.name}, preset {settings.preset}")
    try:
        cluster = Cluster(settings)
    except GenqError as error:
        status = getattr(error.__cause__, "status", None)
        if status in (401, 403):
            yield Finding("server", Status.PASSED, f"{settings.host} answers")
            yield _failed("authentication", error)
        else:
            yield _failed("server", error)
        return
    where = settings.host or "the cluster of kubectl"
    yield Finding("server", Status.PASSED, f"{where} answers")
    version = cluster.health.version
    try:
        cluster.check_version()
    except ClusterError as error:
        yield _failed("version", error)
    else:
        said = f"Kubeflow Pipelines {version}" if version else "the server names none"
        yield Finding("version", Status.PASSED if version else Status.SKIPPED, said)
    try:
        schedules = len(cluster.schedules())
    except ClusterError as error:
        forbidden = getattr(error.__cause__, "status", None) == 403
        if forbidden:
            yield Finding("authentication", Status.PASSED, "the server knows this user")
        yield _failed("namespace" if forbidden else "authentication", error)
        return
    yield Finding("authentication", Status.PASSED, "experiments may be listed")
    if cluster.health.several_users:
        said = f"profile {settings.profile}, {schedules} schedules in {settings.experiment!r}"
        yield Finding("namespace", Status.PASSED, said)
    else:
        yield Finding("namespace", Status.SKIPPED, "the server has one user; profiles are off")


def _failed(check: str, error: GenqError) -> Finding:
    return Finding(check, Status.FAILED, error.problem, error.remedy)


def questions(settings: Settings, config: PipelineConfig) -> dict[str, Any]:
    """Returns what the pod is asked."""
    secrets: dict[str, dict[str, list[str]]] = {}
    for secret in settings.secrets:
        wanted = secrets.setdefault(secret.name, {"env": [], "mounts": []})
        wanted["env"] += sorted(secret.env.values())
        wanted["mounts"] += [secret.mount_path] if secret.mount_path else []
    return {
        "write": {
            "workdir": config.workdir,
            "release.serving_dir": str(config.serving_dir),
        },
        "data": config.data.root,
        "window": config.data.window,
        "secrets": secrets,
        "gpus": max((r.gpus for r in settings.resources.values()), default=0),
    }


def documents(settings: Settings, asked: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Returns the small pipeline: PipelineSpec and PlatformSpec.

    It runs where the node with most GPUs runs, with that node's image, and with every secret.
    """
    nodes = sorted(settings.resources, key=lambda n: -settings.resources[n].gpus)
    node = nodes[0] if asked["gpus"] else DEFAULT
    small = settings.resources_of(node).model_copy(
        update={"cpu": "1", "memory": "4Gi", "cpu_request": "100m", "memory_request": "512Mi"}
    )
    here = settings.model_copy(
        update={
            "resources": {**settings.resources, NODE: small},
            "secrets": tuple(s.model_copy(update={"nodes": ()}) for s in settings.secrets),
        }
    )
    image = settings.images.get(node) or settings.images.get(DEFAULT) or settings.image
    resources: dict[str, Any] = {
        "resourceCpuLimit": small.cpu,
        "resourceCpuRequest": small.cpu_request,
        "resourceMemoryLimit": small.memory,
        "resourceMemoryRequest": small.memory_request,
    }
    if small.gpus:
        count = str(small.gpus)
        resources["accelerator"] = {"resourceType": small.gpu_type, "resourceCount": count}
    checks = json.dumps(asked, sort_keys=True)
    container = {
        "image": image,
        "command": ["python", "-m", "pipeline.kubeflow.inside"],
        "args": ["--input", "{{$}}", "--checks", checks],
        "env": [{"name": k, "value": v} for k, v in sorted(settings.env.items())],
        "resources": resources,
    }
    artifact = {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}
    spec = {
        "pipelineInfo": {"name": NAME},
        "defaultPipelineRoot": settings.pipeline_root,
        "schemaVersion": "2.1.0",
        "sdkVersion": "genq",
        "components": {
            NODE: {
                "executorLabel": f"{NODE}_executor",
                "outputDefinitions": {"artifacts": {inside.REPORT: artifact}},
            }
        },
        "deploymentSpec": {"executors": {f"{NODE}_executor": {"container": container}}},
        "root": {
            "dag": {
                "tasks": {
                    NODE: {
                        "taskInfo": {"name": NODE},
                        "componentRef": {"name": NODE},
                        "cachingOptions": {"enableCache": False},
                    }
                }
            }
        },
    }
    return spec, platform_spec(here, [NODE])


def _from_inside(settings: Settings, timeout_s: float) -> Iterator[Finding]:
    """Starts the small run, waits for it, and yields what its pod found."""
    asked = questions(settings, pipeline_config(settings))
    checks = inside.names(asked)
    pipeline = documents(settings, asked)
    [executor] = pipeline[0]["deploymentSpec"]["executors"].values()
    image = executor["container"]["image"]
    try:
        cluster = Cluster(settings)
        with TemporaryDirectory(prefix="genq-doctor-") as scratch:
            package = Path(scratch) / "doctor.yaml"
            package.write_text(yaml.safe_dump_all(pipeline))
            run = cluster.run(package, {}, NAME)
        progress = _wait(cluster, run, timeout_s)
        if progress.state not in ENDED:
            cluster.end(run)
    except ClusterError as error:
        yield _failed("pod", error)
        yield from _skipped(("object store", *checks), "pod failed")
        return
    page = cluster.url(run)
    told = _told(progress)
    if progress.state == "SUCCEEDED":
        yield Finding("pod", Status.PASSED, f"{image} ran: {page}")
        for check in checks:
            yield Finding(check, Status.PASSED, "")
        yield Finding("object store", Status.PASSED, f"wrote below {settings.pipeline_root}")
        return
    if told is None:
        ended = progress.state in ENDED
        said = "the pod ended without a word" if ended else f"no pod ended in {timeout_s:.0f} s"
        seen = "; ".join(progress.messages) or "nothing is said of why"
        namespace = settings.profile or settings.namespace
        yield Finding(
            "pod",
            Status.FAILED,
            f"{said} (run {progress.state}): {seen}",
            f"{SEE_NODES.format(namespace=namespace)}. {page}",
        )
        yield from _skipped((*checks, "object store"), "pod failed")
        return
    yield Finding("pod", Status.PASSED, f"{image} ran: {page}")
    yield from told
    if any(f.status is Status.FAILED for f in told):
        yield from _skipped(("object store",), "the task failed before")
        return
    yield Finding(
        "object store",
        Status.FAILED,
        f"the program ended well, and KFP's launcher could not write below "
        f"{settings.pipeline_root}",
        f"Read the launcher's last lines: {page}. See `kfp-launcher` in the guide, section 1.",
    )


def _skipped(checks: tuple[str, ...], why: str) -> Iterator[Finding]:
    for check in checks:
        yield Finding(check, Status.SKIPPED, why)


def _wait(cluster: Cluster, run: str, timeout_s: float) -> Progress:
    """Returns how the run stands when it has ended, or when the time is over."""
    until_s = time.monotonic() + timeout_s
    while True:
        progress = cluster.progress(run)
        if progress.state in ENDED or time.monotonic() > until_s:
            return progress
        time.sleep(POLL_S)


def _told(progress: Progress) -> list[Finding] | None:
    """Returns what the pod found, if it said so."""
    for message in progress.messages:
        _, mark, text = message.partition(inside.MARK)
        if mark:
            # Argo may add words of its own behind it; what was cut off is no finding.
            with contextlib.suppress(ValueError):
                findings, _ = json.JSONDecoder().raw_decode(text)
                return [Finding(c, Status(s), found, todo) for c, s, found, todo in findings]
    return None
