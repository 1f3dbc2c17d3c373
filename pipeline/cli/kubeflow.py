"""`genq kubeflow …`: compile for a cluster, rehearse without one, run, schedule."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pipeline.kubeflow.settings import Settings

app = typer.Typer(
    help="The pipeline on Kubeflow Pipelines: compile, run, schedule.", no_args_is_help=True
)

SettingsFile = Annotated[
    Path, typer.Argument(metavar="SETTINGS", help="An environment, e.g. deploy/kubeflow/small.yaml")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one of its settings; may be repeated."),
]


@app.command("compile")
def compile_(
    settings_file: SettingsFile,
    overrides: Overrides = None,
    target: Annotated[
        Literal["kubeflow", "vertex"],
        typer.Option(help="Open-source Kubeflow Pipelines 2.5 or later, or Vertex AI."),
    ] = "kubeflow",
    output: Annotated[
        Path | None, typer.Option(help="File; the default is runs/<name>.yaml, .json for Vertex.")
    ] = None,
) -> None:
    """Write the pipeline as the cluster takes it."""
    from pipeline.kubeflow.settings import load_settings

    settings = load_settings(settings_file, overrides or ())
    from pipeline.kubeflow.compile import compile_pipeline, write

    compiled = compile_pipeline(settings, target)
    name = compiled.spec["pipelineInfo"]["name"]
    file = output or Path("runs") / f"{name}{'.json' if target == 'vertex' else '.yaml'}"
    write(compiled, file, target)
    tasks = compiled.spec["root"]["dag"]["tasks"]
    typer.echo(f"{file}: {name}, {len(tasks)} tasks, artifacts in {compiled.pipeline_root}")
    for key, parameter in compiled.spec["root"]["inputDefinitions"]["parameters"].items():
        typer.echo(f"  parameter {key}, default {parameter['defaultValue']}")


@app.command()
def rehearse(
    settings_file: SettingsFile,
    data: Annotated[Path, typer.Option(help="Folder with CelebA's files, in place of the volume.")],
    overrides: Overrides = None,
    workdir: Annotated[
        Path, typer.Option(help="Where artifacts, cache, logs and releases go.")
    ] = Path("runs/rehearsal"),
    workers: Annotated[int, typer.Option(min=1, help="Tasks at the same time.")] = 2,
) -> None:
    """Compile, and run every container's command on this machine, with KFP's cache and store."""
    import yaml

    from pipeline.kubeflow.settings import load_settings

    settings = load_settings(settings_file, overrides or ())
    from pipeline.kubeflow.compile import compile_pipeline
    from pipeline.kubeflow.lookup import FOUND, NOTHING
    from pipeline.kubeflow.rehearse import (
        Outcome,
        Rehearsal,
        TaskResult,
        failure,
        local_settings,
        pods,
    )

    compiled = compile_pipeline(local_settings(settings, data, workdir))
    # What is run is what is written: the YAML, read back.
    spec, platform = yaml.safe_load_all(compiled.to_yaml())
    rehearsal = Rehearsal(workdir, spec, platform)

    def ended(result: TaskResult) -> None:
        took = "" if result.outcome is Outcome.CACHED else f" in {result.seconds:.1f} s"
        answers = "".join(f", {k} {v}" for k, v in (result.answers or {}).items())
        again = f", {result.attempts} attempts" if result.attempts > 1 else ""
        typer.echo(f"{result.name:<20} {result.outcome.value}{took}{again}{answers}")

    results = rehearsal.run(ended=ended, workers=workers)
    containers = sum(result.attempts for result in results.values())
    typer.echo(
        f"On a cluster: {pods(results)} pods, {containers} of them with a container of genq's."
    )
    if error := failure(results):
        raise error
    if results["trainer"].outcome is Outcome.CACHED:
        typer.echo("Nothing changed in data, settings or code: nothing was trained.")
    found = (results["baseline-version"].answers or {}).get(FOUND, NOTHING)
    typer.echo("Compared with no release." if found == NOTHING else f"Compared with {found}.")


@app.command()
def doctor(
    settings_file: SettingsFile,
    overrides: Overrides = None,
    outside: Annotated[
        bool, typer.Option("--outside", help="Only look from here; start no run.")
    ] = False,
    timeout_s: Annotated[
        float, typer.Option(min=1, help="For the run of one small task, image pull included.")
    ] = 900,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look at the cluster, from here and from inside by a run of one small task.

    Says of each check whether it passed, failed or was skipped, and what to do. Ends with exit
    code 1 if one failed.
    """
    import json

    from pipeline.kubeflow import doctor as examination
    from pipeline.kubeflow.settings import load_settings

    settings = load_settings(settings_file, overrides or ())
    findings = []
    for one in examination.examine(settings, not outside, timeout_s):
        findings.append(one)
        if not as_json:
            typer.echo(f"{one.status.value:<8} {one.check:<20} {one.found}".rstrip())
            if one.todo:
                typer.echo(f"{'':<8} {'what to do':<20} {one.todo}")
    if as_json:
        typer.echo(json.dumps([vars(one) for one in findings], indent=2))
    if broken := [f.check for f in findings if f.status is examination.Status.FAILED]:
        if not as_json:
            typer.echo(f"A run would fail here: {', '.join(broken)}.")
        raise typer.Exit(1)
    if not as_json:
        typer.echo("A run can start here: genq kubeflow run.")


Package = Annotated[
    Path | None,
    typer.Option(help="A YAML that `compile` wrote; without it the pipeline is compiled now."),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="Set a parameter; may be repeated."),
]
DryRun = Annotated[bool, typer.Option(help="Say what would be done, and do nothing.")]


@app.command()
def run(
    settings_file: SettingsFile,
    overrides: Overrides = None,
    package: Package = None,
    parameters: Parameters = None,
    if_changed: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Start only if the data in this folder are others than at the last run that was "
            "started so; for a trigger by arrival.",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Where --if-changed keeps it; the default is runs/<name>.data-version."),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Start one run on the cluster."""
    from datetime import datetime

    from pipeline.kubeflow.settings import load_settings

    settings = load_settings(settings_file, overrides or ())
    with _package(settings, package) as (file, name, chosen):
        values = chosen(parameters or ())
        title = f"{name} {datetime.now():%Y-%m-%d %H:%M:%S}"
        remembered = state or Path("runs") / f"{name}.data-version"
        version = ""
        if if_changed is not None:
            from pipeline.kubeflow.lookup import version_of
            from pipeline.kubeflow.settings import pipeline_config

            window = pipeline_config(settings).data.window
            version = version_of(str(if_changed), window)
            if remembered.exists() and remembered.read_text().strip() == version:
                typer.echo(f"The data are {version}, as at the last run: nothing is started.")
                return
            typer.echo(f"The data are {version}: new.")
        if dry_run:
            typer.echo(f"Would start {title!r} on {settings.host or 'the cluster of kubectl'}.")
            _show_parameters(values)
            return
        from pipeline.kubeflow.client import Cluster

        cluster = Cluster(settings)
        run_id = cluster.run(file, values, title)
        if version:
            # Only now: a run that the server refused is asked for again.
            remembered.parent.mkdir(parents=True, exist_ok=True)
            remembered.write_text(f"{version}\n")
        typer.echo(f"Started {title!r}: {cluster.url(run_id)}")


@app.command()
def schedule(
    settings_file: SettingsFile,
    cron: Annotated[
        str,
        typer.Option(
            help='Six fields, in UTC: second minute hour day-of-month month day-of-week; "0 0 3 * '
            '* *" is every night at 03:00.'
        ),
    ],
    overrides: Overrides = None,
    package: Package = None,
    parameters: Parameters = None,
    name: Annotated[str, typer.Option(help="Of the schedule; the default is the pipeline's.")] = "",
    dry_run: DryRun = False,
) -> None:
    """Retrain by the clock; replaces the schedule of the same name without a gap."""
    from pipeline.kubeflow import cron as cron_
    from pipeline.kubeflow.settings import load_settings

    when = cron_.parse(cron)
    times = cron_.local_times(when)
    settings = load_settings(settings_file, overrides or ())
    with _package(settings, package) as (file, pipeline_name, chosen):
        values = chosen(parameters or ())
        title = name or pipeline_name
        if dry_run:
            typer.echo(f"Would schedule {title!r}, at most {settings.max_concurrency} at a time.")
            _show_parameters(values)
        else:
            from pipeline.kubeflow.client import Cluster

            new, old = Cluster(settings).schedule(file, values, title, cron)
            replaced = f", in place of {', '.join(one.id for one in old)}" if old else ""
            typer.echo(f"Scheduled {title!r}: {new.id}{replaced}.")
    typer.echo("Next, in this machine's time (missed ones are not caught up):")
    for moment in times:
        typer.echo(f"  {moment}")


@app.command()
def schedules(settings_file: SettingsFile, overrides: Overrides = None) -> None:
    """List the schedules of the environment's experiment."""
    from pipeline.kubeflow import cron
    from pipeline.kubeflow.client import Cluster
    from pipeline.kubeflow.settings import load_settings

    settings = load_settings(settings_file, overrides or ())
    found = Cluster(settings).schedules()
    if not found:
        typer.echo(f"Experiment {settings.experiment!r} has no schedule.")
    for one in found:
        state = "" if one.enabled else ", disabled"
        typer.echo(f"{one.id}  {one.name}  {one.cron or 'by interval'}{state}")
        if one.cron and one.enabled:
            typer.echo(f"  next {cron.local_times(cron.parse(one.cron), count=1)[0]}")


@app.command()
def unschedule(
    settings_file: SettingsFile,
    overrides: Overrides = None,
    name: Annotated[str, typer.Option(help="Of the schedule; the default is the pipeline's.")] = "",
    schedule_id: Annotated[str, typer.Option("--id", help="Remove only this one.")] = "",
    dry_run: DryRun = False,
) -> None:
    """Remove a schedule; runs that have begun go on."""
    from pipeline.kubeflow.client import Cluster
    from pipeline.kubeflow.settings import load_settings, pipeline_config

    settings = load_settings(settings_file, overrides or ())
    title = name or pipeline_config(settings).name
    cluster = Cluster(settings)
    if dry_run:
        found = cluster.schedules(title)
        chosen = [one for one in found if schedule_id in ("", one.id)]
        typer.echo(f"Would remove {', '.join(one.id for one in chosen) or 'nothing'}.")
        return
    for one in cluster.unschedule(title, schedule_id):
        typer.echo(f"Removed {one.name!r}: {one.id}.")


@contextmanager
def _package(
    settings: Settings, package: Path | None
) -> Iterator[tuple[Path, str, Callable[[Iterable[str]], dict[str, str]]]]:
    """Gives a compiled file, the pipeline's name, and what reads parameters for it.

    Raises:
      ConfigError: if the file is no pipeline.
    """
    import yaml

    from data.errors import ConfigError

    with tempfile.TemporaryDirectory(prefix="genq-kubeflow-") as scratch:
        if package is None:
            from pipeline.kubeflow.compile import compile_pipeline, write

            package = Path(scratch) / "pipeline.yaml"
            write(compile_pipeline(settings), package, "kubeflow")
        try:
            spec = next(yaml.safe_load_all(package.read_text()))
            name = spec["pipelineInfo"]["name"]
            declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        except OSError as error:
            raise ConfigError(f"{package} cannot be read: {error.strerror}.") from error
        except (yaml.YAMLError, StopIteration, KeyError, TypeError) as error:
            raise ConfigError(
                f"{package} is not a compiled pipeline: {error!r}.",
                "Write one: genq kubeflow compile.",
            ) from error

        def chosen(given: Iterable[str]) -> dict[str, str]:
            values = {}
            for text in given:
                key, equals, value = text.partition("=")
                if not equals or key not in declared:
                    raise ConfigError(
                        f"--param {text}: expected NAME=VALUE, with a parameter of the pipeline.",
                        f"Parameters: {', '.join(sorted(declared))}.",
                    )
                values[key] = value
            return values

        yield package, name, chosen


def _show_parameters(values: dict[str, str]) -> None:
    for key, value in values.items():
        typer.echo(f"  {key} = {value}")
