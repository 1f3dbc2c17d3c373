"""What every container of the pipeline runs: `python -m pipeline.kubeflow.entrypoint`.

In: `--input`, KFP's ExecutorInput as JSON, and `--types`, which compile.py wrote. Out: the node's
outputs in the launcher's folders, and the ExecutorOutput file. Stands where TFX's own entrypoint
fails on open-source KFP: inputs come without their types, and no URI can be opened. A lookup is a
plain function and imports no TFX.

Exit code 0, or that of the error (data/errors.py), or 1; KFP's launcher, which starts this, makes 1
of every failure. What went wrong is also the pod's termination message, which KFP's page shows.
KFP tries a failed container again whatever failed. An error that another attempt cannot fix
(FINAL) is noted on the volume for a while, and the next attempt of the same task ends at once with
the same words. A person who fixes the data and presses "Retry" is not held up: see NOTE_HOLDS_S.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.metadata
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from data.errors import ConfigError, DataError, GateError, GenqError
from pipeline.kubeflow.artifacts import local_path, metadata, to_tfx
from pipeline.kubeflow.lookup import Task, is_absent

TERMINATION_LOG: Final = "GENQ_TERMINATION_LOG"
"""Environment variable: the file that Kubernetes reads when a container ends."""
DEFAULT_TERMINATION_LOG: Final = "/dev/termination-log"
MAX_MESSAGE_BYTES: Final = 4096
RUN_ID: Final = "run_id"
FINAL: Final = (ConfigError, DataError, GateError)
NOTE_HOLDS_S: Final = 15 * 60
"""Longer than attempts are apart. KFP before 2.17 does not tell a container which attempt it is: a
run that a person retries later is one in which something may have been fixed."""
RETRY_INDEX: Final = "KFP_RETRY_INDEX"
"""Environment variable of newer versions: 0 is a first attempt."""
AGAIN: Final = "Not tried again, since that would change nothing. When it is fixed, start a new run"

logger = logging.getLogger("genq.kubeflow")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one node; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    arguments, beam_args = parse(sys.argv[1:] if argv is None else argv)
    note = note_of(arguments)
    if note and os.environ.get(RETRY_INDEX) != "0" and (known := read_note(note)):
        message, code = known
        tell(f"{message}\n{AGAIN}.")
        write_note(note, message, code)
        return code
    try:
        run_node(arguments, beam_args)
    except Exception as error:
        message, code = explain(arguments.node, error)
        tell(message)
        if note and isinstance(found_in(error), FINAL):
            write_note(note, message, code)
        return code
    return 0


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Returns our arguments, and the rest, which is Beam's."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.kubeflow.entrypoint")
    parser.add_argument("--node", required=True, help="id of the node")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--executor", help="import path of a TFX executor's class")
    what.add_argument("--function", help="import path of a function on lookup.Task")
    parser.add_argument("--input", required=True, help="ExecutorInput as JSON; KFP fills it in")
    parser.add_argument("--types", required=True, help="classes of artifacts, as JSON")
    parser.add_argument("--driver", help="import path of a file-based ExampleGen's driver")
    parser.add_argument("--notes", help="folder that the attempts of a task share")
    return parser.parse_known_args(argv)


def explain(node: str, error: Exception) -> tuple[str, int]:
    """Returns what went wrong, for people, and the exit code; a fault's traceback is printed."""
    ours = found_in(error)
    if ours is None:
        traceback.print_exception(error)
        return f"{node}: {type(error).__name__}: {error}", 1
    return f"{node}: {ours}", ours.exit_code


def tell(message: str) -> None:
    """Says it in the log and on KFP's page."""
    print(f"Error: {message}", file=sys.stderr, flush=True)
    path = Path(os.environ.get(TERMINATION_LOG, DEFAULT_TERMINATION_LOG))
    try:
        # The file is there in a container, and only there.
        if path.exists() or TERMINATION_LOG in os.environ:
            path.write_bytes(message.encode()[:MAX_MESSAGE_BYTES])
    except OSError as problem:
        logger.warning("%s cannot be written: %s", path, problem)


def note_of(arguments: argparse.Namespace) -> Path | None:
    """Returns where this task's attempts note a final error.

    KFP's driver decides once a task where its outputs go; every attempt is given the same place,
    and no other task ever is.
    """
    try:
        place = json.loads(arguments.input)["outputs"]["outputFile"]
    except (ValueError, KeyError, TypeError):
        return None
    digest = hashlib.sha256(f"{arguments.node} {place}".encode()).hexdigest()[:24]
    return Path(arguments.notes) / f"{digest}.json" if arguments.notes else None


def read_note(note: Path) -> tuple[str, int] | None:
    """Returns message and exit code of an earlier attempt, if it noted them."""
    try:
        if note.stat().st_mtime < time.time() - NOTE_HOLDS_S:
            return None
        known = json.loads(note.read_text())
        return str(known["message"]), int(known["exit_code"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_note(note: Path, message: str, code: int) -> None:
    """Notes a final error, and removes old notes; a volume that cannot be written keeps none."""
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        for old in note.parent.glob("*.json"):
            if old.stat().st_mtime < time.time() - NOTE_HOLDS_S:
                old.unlink(missing_ok=True)
        staged = note.with_suffix(".new")
        staged.write_text(json.dumps({"message": message, "exit_code": code}))
        staged.replace(note)
    except OSError as problem:
        logger.warning("%s cannot be written: %s", note, problem)


def found_in(error: BaseException | None) -> GenqError | None:
    """Returns the error that a person can fix, where Beam or TFX wrapped it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, GenqError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def run_node(arguments: argparse.Namespace, beam_args: list[str]) -> None:
    """Runs the node and writes what KFP's launcher reads.

    Raises:
      GenqError: whatever the node found wrong.
    """
    task = _json(arguments.input, "--input")
    types = _json(arguments.types, "--types")
    inputs = present_inputs(task.get("inputs", {}), types["inputs"])
    outputs = make_outputs(task["outputs"], types["outputs"])
    if arguments.function:
        answers, metadata = call(arguments.function, task, inputs, outputs)
    else:
        answers, metadata = execute(arguments, beam_args, task, types, inputs, outputs)
    write_outputs(task["outputs"], answers, metadata)


def present_inputs(
    inputs: dict[str, Any], types: dict[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """Returns input -> KFP's artifacts, without those that a lookup marked as absent.

    Raises:
      ConfigError: if there is an input that compile.py did not know.
    """
    result = {}
    for key, found in inputs.get("artifacts", {}).items():
        if key not in types:
            raise ConfigError(
                f"KFP hands over {key!r}, which the compiled pipeline does not know.",
                "Compile again, with the code that is in the image.",
            )
        folders = [(a, local_path(a["uri"])) for a in found.get("artifacts", ())]
        present = [(a, folder) for a, folder in folders if not is_absent(folder)]
        for _, folder in present:
            # An object store keeps no empty folders: what was one is missing.
            folder.mkdir(parents=True, exist_ok=True)
        if present:
            result[key] = [a for a, _ in present]
        logger.info("Input %s: %s", key, [str(folder) for _, folder in present] or "absent")
    return result


def make_outputs(outputs: dict[str, Any], types: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Returns output -> KFP's artifact; its folder is there, the launcher makes only its parent."""
    result = {}
    for key, spec in outputs.get("artifacts", {}).items():
        # What we do not know is KFP's own, e.g. executor-logs.
        if key in types:
            result[key] = spec["artifacts"][0]
            local_path(result[key]["uri"]).mkdir(parents=True, exist_ok=True)
    return result


def call(
    function: str,
    task: dict[str, Any],
    inputs: dict[str, list[dict[str, Any]]],
    outputs: dict[str, dict[str, Any]],
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Calls a plain function on folders; returns its answers and the outputs' properties."""
    module, _, name = function.rpartition(".")
    given = Task(
        inputs={key: local_path(found[0]["uri"]) for key, found in inputs.items()},
        outputs={key: local_path(artifact["uri"]) for key, artifact in outputs.items()},
        parameters=task.get("inputs", {}).get("parameterValues", {}),
    )
    getattr(importlib.import_module(module), name)(given)
    # TFX's readers take an artifact without its version for one of an ancient layout.
    version = {"tfx_version": importlib.metadata.version("tfx")}
    return given.answers, {key: {**version, **given.metadata.get(key, {})} for key in outputs}


def execute(
    arguments: argparse.Namespace,
    beam_args: list[str],
    task: dict[str, Any],
    types: dict[str, Any],
    inputs: dict[str, list[dict[str, Any]]],
    outputs: dict[str, dict[str, Any]],
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Runs a TFX executor; returns what it answers and the outputs' properties."""
    # After the arguments are seen to be right: this takes many seconds.
    from tfx.dsl.components.base import base_beam_executor, base_executor
    from tfx.orchestration.portable import outputs_utils
    from tfx.utils import import_utils

    given = {k: [to_tfx(a, types["inputs"][k]) for a in found] for k, found in inputs.items()}
    made = {k: [to_tfx({"uri": a["uri"]}, types["outputs"][k])] for k, a in outputs.items()}
    properties = exec_properties(task.get("inputs", {}), types["integers"])
    run_id = properties.pop(RUN_ID, None)
    if arguments.driver:
        drive(arguments.driver, properties, made)
    executor_class = import_utils.import_class_by_path(arguments.executor)
    with tempfile.TemporaryDirectory(prefix="genq-") as scratch:
        common = {"tmp_dir": scratch, "unique_id": arguments.node, "pipeline_run_id": run_id}
        if issubclass(executor_class, base_beam_executor.BaseBeamExecutor):
            context = base_beam_executor.BaseBeamExecutor.Context(
                beam_pipeline_args=beam_args, **common
            )
        else:
            context = base_executor.BaseExecutor.Context(**common)
        answer = executor_class(context).Do(given, made, properties)
    outputs_utils.tag_output_artifacts_with_version(made)
    # TFX's own executors answer with a message of theirs, or with nothing.
    answers = answer if isinstance(answer, dict) else {}
    properties_of = {key: metadata(artifacts[0]) for key, artifacts in made.items()}
    # The Evaluator notes which models it compared, by the folders that it was given.
    known = [a for found in inputs.values() for a in found] + list(outputs.values())
    uris = {str(local_path(a["uri"])): a["uri"] for a in known}
    return answers, {
        key: {name: uris.get(v, v) if isinstance(v, str) else v for name, v in values.items()}
        for key, values in properties_of.items()
    }


def write_outputs(
    outputs: dict[str, Any], answers: dict[str, str], metadata: dict[str, dict[str, Any]]
) -> None:
    """Writes parameters and the ExecutorOutput, with the URIs of the object store.

    Raises:
      ConfigError: if a parameter is missing.
    """
    for key, place in outputs.get("parameters", {}).items():
        if key not in answers:
            raise ConfigError(
                f"The node did not answer with the parameter {key!r}, which is declared.",
                "The image is of another version than the compiled pipeline; compile again.",
            )
        _write(local_path(place["outputFile"]), answers[key])
    artifacts = {
        key: {
            "artifacts": [
                {"uri": outputs["artifacts"][key]["artifacts"][0]["uri"], "metadata": properties}
            ]
        }
        for key, properties in metadata.items()
    }
    result = {"parameterValues": answers, "artifacts": artifacts}
    _write(local_path(outputs["outputFile"]), json.dumps(result, sort_keys=True))


def exec_properties(inputs: dict[str, Any], integers: Sequence[str]) -> dict[str, Any]:
    """Returns the node's properties; JSON knows no whole numbers."""
    values = inputs.get("parameterValues", {})
    return {k: int(v) if k in integers else v for k, v in values.items()}


def drive(driver: str, properties: dict[str, Any], outputs: dict[str, list[Any]]) -> None:
    """Does what TFX's driver does before ExampleGen: span, fingerprint, patterns.

    Raises:
      DataError: if there is no data set.
    """
    from tfx.components.example_gen.driver import update_output_artifact
    from tfx.utils import import_utils

    resolved = import_utils.import_class_by_path(driver)(None).resolve_exec_properties(
        properties, None, None
    )
    properties.update(resolved)
    update_output_artifact(resolved, outputs["examples"][0].mlmd_artifact)


def _json(text: str, argument: str) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{argument} is not JSON: {error}. It begins with {text[:60]!r}.",
            "Only KFP's launcher fills in {{$}}; do not start the container by hand.",
        ) from error
    return result


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
