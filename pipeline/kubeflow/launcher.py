"""What KFP's driver and launcher do, and Argo's retries, as a function of what they are given.

In: a task's inputs and its component, as JSON. Out: where its outputs go, its cache key, what
stands in its command line, how often it is tried. As KFP's sources say (2.17: backend/src/v2/), and
Argo's (4.0: processNodeRetries).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.kubeflow.artifacts import FOLDERS


def provision(declared: dict[str, Any], root: str, task: str, pod: Path) -> dict[str, Any]:
    """Returns where a task's outputs go: never the same place twice (driver.go)."""
    base = f"{root}/{task}/{uuid.uuid4()}"
    return {
        "artifacts": {
            key: {
                "artifacts": [
                    {
                        "name": key,
                        "uri": f"{base}/{key}",
                        "type": artifact["artifactType"],
                        "metadata": artifact.get("metadata", {}),
                    }
                ]
            }
            for key, artifact in declared.get("artifacts", {}).items()
        },
        "parameters": {
            key: {"outputFile": str(pod / "tmp/kfp/outputs" / key)}
            for key in declared.get("parameters", {})
        },
        "outputFile": str(in_pod(pod, f"{base}/output_metadata.json")),
    }


def in_pod(pod: Path, uri: str) -> Path:
    """Returns where the launcher has an artifact, below the pod's own root."""
    scheme = next(s for s in FOLDERS if uri.startswith(s))
    return pod / FOLDERS[scheme] / uri.removeprefix(scheme)


def cache_key(
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    component: dict[str, Any],
    container: dict[str, Any],
    volumes: list[str],
) -> str:
    """Returns KFP's fingerprint of a task (cacheutils/cache.go): ids and texts, not content."""
    declared = component.get("outputDefinitions", {}).get("parameters", {})
    key = {
        "inputArtifactNames": {
            k: [a["name"] for a in v["artifacts"]] for k, v in inputs["artifacts"].items()
        },
        "inputParameterValues": inputs["parameterValues"],
        "outputArtifactsSpec": {
            k: {n: v["artifacts"][0][n] for n in ("name", "type", "metadata")}
            for k, v in outputs["artifacts"].items()
        },
        "outputParametersSpec": {k: v["parameterType"] for k, v in declared.items()},
        "containerSpec": {
            "image": container["image"],
            "cmdArgs": [*container["command"], *container["args"]],
            "pvcNames": sorted(set(volumes)),
        },
    }
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def placeholders(
    inputs: dict[str, Any], outputs: dict[str, Any], pod: Path
) -> list[tuple[str, str]]:
    """Returns what the launcher replaces in a command line, in its order."""
    found = [("{{$}}", json.dumps({"inputs": inputs, "outputs": outputs}))]
    for side, artifacts in (("inputs", inputs["artifacts"]), ("outputs", outputs["artifacts"])):
        for key, value in artifacts.items():
            uri = value["artifacts"][0]["uri"]
            found.append((f"{{{{$.{side}.artifacts['{key}'].uri}}}}", uri))
            found.append((f"{{{{$.{side}.artifacts['{key}'].path}}}}", str(in_pod(pod, uri))))
    for key, value in inputs["parameterValues"].items():
        text = value if isinstance(value, str) else json.dumps(value)
        found.append((f"{{{{$.inputs.parameters['{key}']}}}}", text))
    for key, place in outputs["parameters"].items():
        found.append((f"{{{{$.outputs.parameters['{key}'].output_file}}}}", place["outputFile"]))
    return found


def replace(word: str, known: list[tuple[str, str]]) -> str:
    """Returns a word of the command line with its placeholders filled in."""
    for placeholder, value in known:
        word = word.replace(placeholder, value)
    return word


@dataclass(frozen=True)
class Attempts:
    """How often a container was started, and how its last start ended."""

    number: int = 0
    message: str = ""
    code: int = 0


def try_again(policy: Mapping[str, Any], launch: Callable[[], tuple[str, int]]) -> Attempts:
    """Starts a container until it succeeds or the policy ends it; the waits are only counted.

    The policy is what KFP makes of it: `backoffMaxDuration` is the time from the first attempt's
    start in which others begin, and 0 where it is missing.

    Args:
      policy: of the task, in JSON's names; empty where it is not tried again.
      launch: returns a message and an exit code.
    """
    began_s, waited_s = time.monotonic(), 0.0
    wait_s = _seconds(policy.get("backoffDuration", "0s"))
    longest_s = _seconds(policy.get("backoffMaxDuration", "0s"))
    for number in itertools.count(1):
        message, code = launch()
        waited_s += wait_s
        wait_s *= policy.get("backoffFactor", 2.0)
        late = time.monotonic() - began_s + waited_s > longest_s
        if not code or late or number > policy.get("maxRetryCount", 0):
            break
    return Attempts(number, message, code)


def _seconds(duration: str) -> int:
    """Reads a protobuf Duration in JSON, of which KFP takes the whole seconds."""
    return int(float(duration.removesuffix("s")))
