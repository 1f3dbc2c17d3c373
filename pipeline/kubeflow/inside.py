"""What a pod of an environment can do: `python -m pipeline.kubeflow.inside`, for doctor.py.

In: what is to be looked at, as JSON. Out: a line a check in the log, all of them in the pod's
termination message, which reaches the one who asked through the workflow; and the task's one
artifact, which KFP's launcher has to put into the object store. Ends with 1 if a check failed.
Imports neither TFX nor, unless a GPU was asked for, TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from data.celeba.layouts import find_layout
from data.celeba.spans import newest_spans
from data.errors import GenqError
from pipeline.kubeflow.artifacts import local_path
from pipeline.kubeflow.entrypoint import MAX_MESSAGE_BYTES, tell
from pipeline.kubeflow.lookup import check_writable

MARK: Final = "genq doctor: "
"""Before the findings in a termination message."""
REPORT: Final = "report"
"""The output artifact."""
PASSED: Final = "passed"
FAILED: Final = "failed"
GPU_TIME_S: Final = 300
Finding = tuple[str, str, str, str]
"""Check, PASSED or FAILED, what was found, what to do."""
COUNT_GPUS: Final = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"


def main(argv: Sequence[str] | None = None) -> int:
    """Looks at this container; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.kubeflow.inside")
    parser.add_argument("--input", required=True, help="ExecutorInput as JSON; KFP fills it in")
    parser.add_argument("--checks", required=True, help="what doctor.py asks, as JSON")
    arguments = parser.parse_args(argv)
    findings = list(examine(json.loads(arguments.checks)))
    for check, status, found, todo in findings:
        print(f"{status:<8} {check:<12} {found}{f' -> {todo}' if todo else ''}", flush=True)
    [artifact] = json.loads(arguments.input)["outputs"]["artifacts"][REPORT]["artifacts"]
    report = local_path(artifact["uri"])
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("".join(f"{' | '.join(finding)}\n" for finding in findings))
    # Also where all is well: if the launcher then cannot upload, this is what remains.
    tell(message(findings))
    return int(any(status == FAILED for _, status, _, _ in findings))


def message(findings: Sequence[Finding]) -> str:
    """Returns the findings as a termination message, shortened until it fits."""
    for length in (400, 200, 100, 50, 0):
        short = [(check, status, f[:length], t[:length]) for check, status, f, t in findings]
        text = MARK + json.dumps(short, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode()) <= MAX_MESSAGE_BYTES:
            break
    return text


def examine(asked: Mapping[str, Any]) -> Iterator[Finding]:
    """Yields a finding for each thing that was asked; in the order of `names`."""
    for setting, folder in asked["write"].items():
        try:
            check_writable(Path(folder), setting)
        except GenqError as error:
            yield setting, FAILED, error.problem, error.remedy
        else:
            yield setting, PASSED, f"{folder} can be written by uid {os.geteuid()}", ""
    yield _data(asked["data"], asked["window"])
    for secret, wanted in asked["secrets"].items():
        yield _secret(secret, wanted)
    if asked["gpus"]:
        yield _gpu(asked["gpus"])


def names(asked: Mapping[str, Any]) -> list[str]:
    """Returns the names of the checks that `examine` makes."""
    secrets = [f"secret {name}" for name in asked["secrets"]]
    return [*asked["write"], "data.root", *secrets, *(["GPU"] if asked["gpus"] else [])]


def _data(root: str, window: int) -> Finding:
    try:
        spans = newest_spans(root, window)
        layouts = [find_layout(span.root) for span in spans]
    except GenqError as error:
        return "data.root", FAILED, error.problem, error.remedy
    except OSError as error:
        return "data.root", FAILED, f"{root} cannot be read: {error.strerror}", "Let uid read it."
    read = ", ".join(f"{s.root} ({one.name})" for s, one in zip(spans, layouts, strict=True))
    return "data.root", PASSED, read, ""


def _secret(name: str, wanted: Mapping[str, Any]) -> Finding:
    missing = [f"variable {v}" for v in wanted["env"] if not os.environ.get(v)]
    for folder in wanted["mounts"]:
        try:
            if not any(p.is_file() for p in Path(folder).iterdir()):
                missing.append(f"files in {folder}")
        except OSError as error:
            missing.append(f"{folder} ({error.strerror})")
    check = f"secret {name}"
    if missing:
        todo = f"Look at its keys: kubectl get secret {name} -o jsonpath='{{.data}}'."
        return check, FAILED, f"there is no {', no '.join(missing)}", todo
    return check, PASSED, "its keys are there", ""


def _gpu(wanted: int) -> Finding:
    devices = sorted(p.name for p in Path("/dev").glob("nvidia[0-9]*"))
    if not devices:
        return (
            *("GPU", FAILED, "the pod has no /dev/nvidia0"),
            "Is the device plugin there, and do resources.<node>.gpu_type and node_selector fit?",
        )
    try:
        done = subprocess.run(
            [sys.executable, "-c", COUNT_GPUS], capture_output=True, text=True, timeout=GPU_TIME_S
        )
        seen = int(done.stdout.strip() or 0)
    except (subprocess.TimeoutExpired, ValueError) as error:
        return "GPU", FAILED, f"TensorFlow does not start: {type(error).__name__}", "See its log."
    if seen < wanted:
        return (
            *("GPU", FAILED, f"{', '.join(devices)}, of which TensorFlow sees {seen}"),
            "Build the image with --build-arg GPU=1; the driver must be as new as its CUDA.",
        )
    return "GPU", PASSED, f"TensorFlow sees {seen}", ""


if __name__ == "__main__":
    sys.exit(main())
