"""Kubeflow Pipelines on one machine: the compiled YAML is run, each task as its container would be.

In: the two documents of a compiled pipeline. Out: what became of each task. Plays KFP's driver and
launcher as their sources say (2.17: driver/container.go, resolve.go, cache.go, launcher_v2.go):
artifacts live in an object store under URIs that only the launcher can open, inputs arrive with an
empty type and a number for a name, the cache knows ids and not content, parameters have defaults,
importers and placeholders are resolved. A task is a process with the container's command line and
environment, and nothing else of this process'. The launcher ends with 1 whatever the program ends
with, Argo tries again as its retry policy says (without the waits), and each task's pods are
counted. What is not played: pods' machines, volumes, users, and the network.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from data.errors import ConfigError, GenqError
from pipeline.kubeflow.artifacts import LAUNCHER_ROOT
from pipeline.kubeflow.entrypoint import TERMINATION_LOG
from pipeline.kubeflow.launcher import (
    Attempts,
    cache_key,
    in_pod,
    placeholders,
    provision,
    replace,
    try_again,
)
from pipeline.kubeflow.object_store import ObjectStore, State
from pipeline.kubeflow.settings import Settings

REPOSITORY: Final = Path(__file__).parents[2]


class Outcome(Enum):
    """How a task ended."""

    RAN = "ran"
    CACHED = "cached"
    FAILED = "failed"


@dataclass(frozen=True)
class TaskResult:
    """One task of one run.

    Attributes:
      message: of a failed task: what KFP's page would show of its last pod.
      exit_code: of its last container: 1 if it failed, for KFP's launcher makes 1 of everything.
      program_exit_code: what the program itself ended with; only the log of a cluster tells it.
      attempts: how often its container was started.
      pods: that Kubernetes would have started: the driver's, and one an attempt.
      answers: its output parameters.
      artifacts: output -> URI.
    """

    name: str
    outcome: Outcome
    seconds: float
    message: str = ""
    exit_code: int = 0
    program_exit_code: int = 0
    attempts: int = 0
    pods: int = 1
    answers: Mapping[str, Any] | None = None
    artifacts: Mapping[str, str] | None = None


class Rehearsal:
    """A cluster's place on this machine: its artifacts, its cache, its logs.

    Args:
      root: folder; what earlier runs left there is found again.
      spec: the PipelineSpec.
      platform: the PlatformSpec; only the names of its volumes matter, for the cache.
    """

    def __init__(self, root: Path, spec: dict[str, Any], platform: dict[str, Any]) -> None:
        self.root = root.absolute()
        self.spec = spec
        kubernetes = platform.get("platforms", {}).get("kubernetes", {})
        self.platform = kubernetes.get("deploymentSpec", {}).get("executors", {})
        self.store = ObjectStore(self.root / "store")
        self.state = State.read(self.root / "state.json")

    def run(
        self,
        parameters: Mapping[str, Any] | None = None,
        ended: Callable[[TaskResult], None] = lambda result: None,
        workers: int = 2,
    ) -> dict[str, TaskResult]:
        """Runs the pipeline; returns the tasks that ended. A failure ends the run, as in KFP.

        Args:
          parameters: of the run; the others have their defaults.
          ended: is called as each task ends.
          workers: tasks at the same time.

        Raises:
          ConfigError: if a parameter is unknown or missing.
        """
        run = _Run(self, resolve_parameters(self.spec, parameters or {}))
        results: dict[str, TaskResult] = {}
        with ThreadPoolExecutor(workers) as pool:
            running: dict[Future[TaskResult], str] = {}
            while True:
                failed = any(r.outcome is Outcome.FAILED for r in results.values())
                started = {*results, *running.values()}
                for name, task in run.tasks.items():
                    ready = set(task.get("dependentTasks", ())) <= results.keys()
                    if ready and name not in started and not failed:
                        running[pool.submit(run.task, name)] = name
                if not running:
                    return results
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    results[running.pop(future)] = result
                    self.state.write(self.root / "state.json")
                    ended(result)


def resolve_parameters(spec: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the run's parameters, with defaults.

    Raises:
      ConfigError: if one is unknown, or has neither value nor default.
    """
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    if unknown := sorted(set(given) - set(declared)):
        raise ConfigError(
            f"The pipeline has no parameter {', '.join(unknown)}.",
            f"It has {', '.join(sorted(declared))}.",
        )
    result = {}
    for name, parameter in declared.items():
        if name not in given and "defaultValue" not in parameter:
            raise ConfigError(f"Parameter {name} has neither a value nor a default.")
        result[name] = given.get(name, parameter.get("defaultValue"))
    return result


def pods(results: Mapping[str, TaskResult]) -> int:
    """Returns how many pods a run would have: those of its tasks, and the pipeline's own driver."""
    return 1 + sum(result.pods for result in results.values())


class _Run:
    """One run: driver and launcher."""

    def __init__(self, rehearsal: Rehearsal, parameters: dict[str, Any]) -> None:
        self.cluster = rehearsal
        self.spec = rehearsal.spec
        self.parameters = parameters
        self.id = str(uuid.uuid4())
        self.name = rehearsal.spec["pipelineInfo"]["name"]
        self.tasks: dict[str, Any] = rehearsal.spec["root"]["dag"]["tasks"]
        self.pipeline_root = f"{rehearsal.spec['defaultPipelineRoot']}/{self.name}/{self.id}"
        self.outputs: dict[str, dict[str, Any]] = {}

    def task(self, name: str) -> TaskResult:
        """Drives and launches one task."""
        started_s = time.monotonic()
        task = self.tasks[name]
        component = self.spec["components"][task["componentRef"]["name"]]
        executor = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]
        inputs = self._inputs(task, component)
        if "importer" in executor:
            outputs = self._import(executor["importer"], component, inputs)
            outcome, attempts = Outcome.RAN, Attempts()
        else:
            outputs, outcome, attempts = self._container(name, task, component, executor, inputs)
        self.outputs[name] = outputs
        state = self.cluster.state
        return TaskResult(
            name=name,
            outcome=outcome,
            seconds=time.monotonic() - started_s,
            message=attempts.message,
            exit_code=1 if attempts.code else 0,
            program_exit_code=attempts.code,
            attempts=attempts.number,
            pods=1 + attempts.number,
            answers=outputs.get("parameters", {}),
            artifacts={k: state.artifacts[i]["uri"] for k, i in outputs["artifacts"].items()},
        )

    def _inputs(self, task: dict[str, Any], component: dict[str, Any]) -> dict[str, Any]:
        """Resolves a task's inputs (driver/resolve.go)."""
        given = task.get("inputs", {})
        declared = component.get("inputDefinitions", {}).get("parameters", {})
        values: dict[str, Any] = {}
        for key, source in given.get("parameters", {}).items():
            value = self._parameter(source)
            kind = declared[key]["parameterType"]
            if (kind == "STRING") != isinstance(value, str):
                raise ConfigError(f"Parameter {key} is {value!r}; the component declares {kind}.")
            values[key] = value
        for key, parameter in declared.items():
            if key not in values and "defaultValue" in parameter:
                values[key] = parameter["defaultValue"]
        artifacts = {}
        for key, source in given.get("artifacts", {}).items():
            producer = source["taskOutputArtifact"]
            number = self.outputs[producer["producerTask"]]["artifacts"][
                producer["outputArtifactKey"]
            ]
            known = self.cluster.state.artifacts[number]
            # The driver loses the type: OutputArtifact.Schema is not kept in MLMD (client.go).
            artifacts[key] = {
                "artifacts": [
                    {
                        "name": number,
                        "type": {"instanceSchema": ""},
                        "uri": known["uri"],
                        "metadata": known["metadata"],
                    }
                ]
            }
        return {"parameterValues": values, "artifacts": artifacts}

    def _parameter(self, source: dict[str, Any]) -> Any:
        if "componentInputParameter" in source:
            return self.parameters[source["componentInputParameter"]]
        if found := source.get("taskOutputParameter"):
            return self.outputs[found["producerTask"]]["parameters"][found["outputParameterKey"]]
        constant = source["runtimeValue"]["constant"]
        placeholders = {"{{$.pipeline_job_uuid}}": self.id, "{{$.pipeline_job_name}}": self.name}
        return placeholders.get(constant, constant) if isinstance(constant, str) else constant

    def _import(
        self, importer: dict[str, Any], component: dict[str, Any], inputs: dict[str, Any]
    ) -> dict[str, Any]:
        """Registers what lies somewhere already (importer_launcher.go)."""
        place = importer["artifactUri"]
        uri = place.get("constant") or inputs["parameterValues"][place["runtimeParameter"]]
        [key] = component["outputDefinitions"]["artifacts"]
        number = self.cluster.state.add(key, uri, importer.get("metadata", {}))
        return {"artifacts": {key: number}, "parameters": {}}

    def _container(
        self,
        name: str,
        task: dict[str, Any],
        component: dict[str, Any],
        executor: dict[str, Any],
        inputs: dict[str, Any],
    ) -> tuple[dict[str, Any], Outcome, Attempts]:
        """Answers from the cache, or launches (driver/container.go)."""
        pod = self.cluster.root / "pods" / self.id / name
        outputs = provision(component.get("outputDefinitions", {}), self.pipeline_root, name, pod)
        volumes = [
            mount["constant"]
            for mount in self.cluster.platform.get(component["executorLabel"], {}).get(
                "pvcMount", ()
            )
        ]
        key = cache_key(inputs, outputs, component, executor["container"], volumes)
        cached = self.cluster.state.cache.get(f"{self.name}/{key}")
        may_cache = task.get("cachingOptions", {}).get("enableCache", False)
        if may_cache and cached:
            return cached, Outcome.CACHED, Attempts()
        attempts = try_again(
            task.get("retryPolicy", {}),
            lambda: self._launch(executor["container"], inputs, outputs, pod),
        )
        if attempts.code:
            return {"artifacts": {}, "parameters": {}}, Outcome.FAILED, attempts
        published = self._publish(inputs, outputs, pod)
        if may_cache:
            self.cluster.state.remember(f"{self.name}/{key}", published)
        shutil.rmtree(pod)
        return published, Outcome.RAN, attempts

    def _launch(
        self, container: dict[str, Any], inputs: dict[str, Any], outputs: dict[str, Any], pod: Path
    ) -> tuple[str, int]:
        """Downloads, runs the command; returns the page's message and the program's exit code."""
        if pod.exists():
            shutil.rmtree(pod)  # each attempt is a new pod
        for found in inputs["artifacts"].values():
            for artifact in found["artifacts"]:
                self.cluster.store.download(artifact["uri"], in_pod(pod, artifact["uri"]))
        for found in outputs["artifacts"].values():
            in_pod(pod, found["artifacts"][0]["uri"]).parent.mkdir(parents=True, exist_ok=True)
        for place in outputs["parameters"].values():
            Path(place["outputFile"]).parent.mkdir(parents=True, exist_ok=True)
        known = placeholders(inputs, outputs, pod)
        command = [replace(word, known) for word in container["command"]]
        command += [replace(word, known) for word in container["args"]]
        termination_log = pod / "termination-log"
        termination_log.write_text("")
        environment = {
            # `python` of the image is the one that runs this.
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(pod),
            # The image has this cache; without it, every container looks for fonts.
            "MPLCONFIGDIR": str(self.cluster.root / "image/matplotlib"),
            "PYTHONPATH": str(REPOSITORY),
            LAUNCHER_ROOT: str(pod),
            TERMINATION_LOG: str(termination_log),
            **{e["name"]: e["value"] for e in container.get("env", ())},
        }
        logs = self.cluster.root / "logs" / self.id
        logs.mkdir(parents=True, exist_ok=True)
        log = logs / f"{pod.name}.log"
        with log.open("ab") as file:
            ended = subprocess.run(
                command, cwd=pod, env=environment, stdout=file, stderr=subprocess.STDOUT
            )
        if not ended.returncode:
            return "", 0
        # Argo's words for a container that failed; the launcher, not the program, ends with 1.
        said = termination_log.read_text() or f"{pod.name}: see {log}"
        return f"main: Error (exit code 1): {said}", ended.returncode

    def _publish(
        self, inputs: dict[str, Any], outputs: dict[str, Any], pod: Path
    ) -> dict[str, Any]:
        """Uploads and registers what the command left (launcher_v2.go)."""
        file = Path(outputs["outputFile"])
        written = json.loads(file.read_text()) if file.exists() else {}
        answers = written.get("parameterValues", {})
        for key, place in outputs["parameters"].items():
            if key not in answers:
                answers[key] = Path(place["outputFile"]).read_text()
        numbers = {}
        for key, found in outputs["artifacts"].items():
            artifact = found["artifacts"][0]
            told = written.get("artifacts", {}).get(key, {}).get("artifacts", [{}])[0]
            uri = told.get("uri") or artifact["uri"]
            metadata = {**artifact.get("metadata", {}), **told.get("metadata", {})}
            if (local := in_pod(pod, uri)).exists():
                self.cluster.store.upload(local, uri)
            numbers[key] = self.cluster.state.add(key, uri, metadata)
        return {"artifacts": numbers, "parameters": answers}


def local_settings(settings: Settings, data: Path, workdir: Path) -> Settings:
    """Returns an environment's settings with this machine's folders in place of its volumes."""
    tree = settings.model_dump()
    tree["image_root"] = str(REPOSITORY)
    tree["config"] = {
        **tree["config"],
        "workdir": str(workdir.absolute() / "work"),
        "data": {**tree["config"].get("data", {}), "root": str(data.absolute())},
        "release": {
            **tree["config"].get("release", {}),
            "serving_dir": str(workdir.absolute() / "serving"),
        },
    }
    return Settings.model_validate(tree)


def failure(results: Mapping[str, TaskResult]) -> TaskFailedError | None:
    """Returns the error of the task that failed, if any."""
    for result in results.values():
        if result.outcome is Outcome.FAILED:
            return TaskFailedError(result)
    return None


class TaskFailedError(GenqError):
    """A task failed; here, where a program can be asked, the exit code is its own."""

    def __init__(self, result: TaskResult) -> None:
        attempts = "1 attempt" if result.attempts == 1 else f"{result.attempts} attempts"
        super().__init__(
            result.message,
            f"{result.name} failed after {attempts}; its program ended with "
            f"{result.program_exit_code}.",
        )
        self.exit_code = result.program_exit_code
