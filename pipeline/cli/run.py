"""`genq run`: makes the demo's data when needed, runs the pipeline and shows it.

In: a PipelineConfig and a console. Out: lines a person reads.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from components.trainer.config import ONE_AT_A_TIME
from data.errors import ClusterError, ConfigError
from data.files import is_remote
from pipeline.cli import checks as doctor
from pipeline.cli.checked import check_table, reasons
from pipeline.cli.data import synthesize_with_progress
from pipeline.config import PipelineConfig
from pipeline.workdir import ARTIFACTS, locked

if TYPE_CHECKING:
    from pipeline.history.summary import Summary

STYLES: Final = {"green": "green", "amber": "yellow", "red": "red", "grey": "dim"}
"""A State's colour -> Rich's."""


def run_and_show(
    config: PipelineConfig,
    console: Console,
    log_file: Path,
    *,
    rerun: Sequence[str] = (),
    cache: bool = True,
) -> int:
    """Runs the pipeline of `config`; returns the exit code that its model deserves.

    Args:
      config: what it does.
      console: where to tell of it.
      log_file: where the rest goes.
      rerun: ids of nodes that run even if their result is in the cache.
      cache: False lets every node run.

    Raises:
      GenqError: whatever went wrong that the user can fix.
    """
    started_s = time.monotonic()
    _line(
        console, f"{config.name}: data {config.data_root}, work {Path(config.workdir).absolute()}"
    )
    _line(console, f"Full log: {log_file}", style="dim")
    check_programs(config)
    if config.tracking.mlflow:
        _told(console, lambda: _tracking().require_answer(config.tracking.mlflow))
    with locked(Path(config.workdir).absolute() / ARTIFACTS):
        pass  # a second run is told now, not after TensorFlow is loaded
    if not config.data.root:
        synthesize_with_progress(Path(config.data_root), config.data.synthetic, console)

    if config.trainer.deterministic:
        # TensorFlow reads it as it starts; see components/trainer/hardware.py.
        os.environ.setdefault(*ONE_AT_A_TIME)
    with console.status("Loading TensorFlow and TFX"):
        from pipeline.history.summary import summarize
        from pipeline.pipeline import create_pipeline
        from pipeline.run_local import NodeResult, Outcome, Progress, run
    pipeline = create_pipeline(config)
    total = len(pipeline.components)
    count = 0

    def started(node_id: str) -> None:
        nonlocal count
        count += 1
        _line(console, f"[{count}/{total}] {node_id}", style="bold")

    def ended(result: NodeResult) -> None:
        how = "cached" if result.outcome is Outcome.CACHED else f"done in {result.seconds:.1f} s"
        _line(console, f"       {how}", style="green")

    run_id, _ = run(pipeline, Progress(started, ended), rerun=rerun, cache=cache)
    summary = summarize(pipeline.metadata_connection_config, run_id)
    show(summary, config, console)
    if config.tracking.mlflow:
        _told(console, lambda: track(config, run_id, console))
    _line(console, f"Finished in {time.monotonic() - started_s:.0f} s.", style="dim")
    return summary.state.exit_code


def track(config: PipelineConfig, run_id: str, console: Console) -> None:
    """Writes the run to MLflow, and says where it is there.

    Raises:
      ClusterError: if the server does not take it.
    """
    from pipeline.history.runs import connect, list_runs

    with console.status("Writing to MLflow"):
        said = _tracking().track(
            config.tracking.mlflow,
            config.name,
            list_runs(connect(Path(config.workdir))),
            run_id,
            config.serving_dir / config.release.model_name,
        )
    for line in said:
        _line(console, f"MLflow:     {line}")


def _told(console: Console, call: Callable[[], None]) -> None:
    """Calls; says what a tracking server did not take, which is no reason to end a run."""
    try:
        call()
    except ClusterError as error:
        _line(console, f"Warning: {error}", style="yellow")


def _tracking() -> ModuleType:
    # It reads ML Metadata, whose library takes seconds to load.
    from pipeline.history import tracking

    return tracking


def check_programs(config: PipelineConfig) -> None:
    """Asks for the programs that these settings need: before hours of training, not after.

    Raises:
      ConfigError: names the setting and what is missing.
    """
    if (
        config.release.infra_validator == "docker"
        and doctor.docker().status is not doctor.Status.OK
    ):
        raise ConfigError(
            "release.infra_validator=docker: no Docker engine answers here.",
            'Start one, or leave it to the canary: release.infra_validator="".',
        )
    if config.tracking.mlflow and importlib.util.find_spec("mlflow") is None:
        raise ConfigError(
            "tracking.mlflow is set, and mlflow-skinny, which speaks to MLflow, is not installed.",
            "In a clone: scripts/setup mlflow; elsewhere: pip install 'genq[mlflow]'",
        )
    if config.beam.runner != "flink":
        return
    if doctor.java().status is not doctor.Status.OK:
        raise ConfigError(
            "beam.runner=flink: there is no Java here, and Beam's job server is a Java program.",
            "Install Java 11 or 17, or take beam.runner=direct.",
        )
    jar = config.beam.flink_job_server
    if jar and not Path(jar).is_file():
        raise ConfigError(
            f"beam.flink_job_server={jar}: there is no such file.",
            f"`scripts/flink-job-server {jar}` makes it.",
        )


def show(summary: Summary, config: PipelineConfig, console: Console) -> None:
    """Prints the checks, the verdict, where things are, and what to type next."""
    _line(console, f"Data: {summary.data}.")
    console.print(check_table(summary.checks))
    against = f"Compared with {summary.baseline}" if summary.baseline else "No earlier model"
    state = summary.state
    _line(console, f"{against}. {state.sentence}", style=f"bold {STYLES[state.colour]}")
    for line in reasons(summary.checks):
        _line(console, f"  {line}")
    _line(console, f"Report:     {_short(summary.report)}", style="bold")
    _line(console, f"Evaluation: {_short(summary.evaluation)}")
    if summary.release:
        _line(console, f"Release:    {_short(summary.release)}", style="bold")
    for variant, why in summary.left_out.items():
        _line(console, f"Not in the release: {variant}. {why}", style="yellow")
    _line(console, "These labels say how a face appears to annotators, not who somebody is.")
    _line(console, "Next:", style="bold")
    genq, work = _as_typed(), shlex.quote(config.workdir)
    _line(console, f"  {genq} report --workdir {work}   the report again, with all runs until now")
    _line(console, f"  {genq} dashboard --workdir {work}   all runs in a browser, decisions")
    _line(console, f"  {genq} data inspect {shlex.quote(_short(config.data_root))}   the data")
    if summary.release:
        serving = shlex.quote(_short(config.serving_dir))
        _line(console, f"  {genq} predict PHOTO --model-dir {serving}   answers about photos, here")
        _line(
            console,
            f"  {genq} serve {serving}   the same as an API and a page (`make web` builds it)",
        )
    _line(console, f"  {genq} run --help   your own data, other settings")


def _short(place: Path | str) -> str:
    """Returns a path as it is typed here: relative where it is below the working directory."""
    if is_remote(str(place)):
        return str(place)
    here, path = Path.cwd(), Path(place)
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _as_typed() -> str:
    """Returns how genq is called here: by its name, or by its path where PATH has no such name."""
    called = Path(sys.argv[0])
    if called.name != "genq":
        return "python -m pipeline.cli"
    found = shutil.which("genq")
    return "genq" if found and Path(found).resolve() == called.resolve() else sys.argv[0]


def _line(console: Console, text: str, style: str = "") -> None:
    """Prints text as it is: no markup, no wrapping of paths."""
    console.print(Text(text, style=style), soft_wrap=True)
