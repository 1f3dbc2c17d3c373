"""`genq kubeflow …`: compile for a cluster, rehearse without one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

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
        typer.Option(help="Open-source Kubeflow Pipelines 2.x, or Vertex AI."),
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
    from pipeline.kubeflow.settings import load_settings

    settings = load_settings(settings_file, overrides or ())
    import yaml

    from pipeline.kubeflow.compile import compile_pipeline
    from pipeline.kubeflow.lookup import FOUND, NOTHING
    from pipeline.kubeflow.rehearse import (
        Outcome,
        Rehearsal,
        TaskResult,
        failure,
        local_settings,
    )

    compiled = compile_pipeline(local_settings(settings, data, workdir))
    # What is run is what is written: the YAML, read back.
    spec, platform = yaml.safe_load_all(compiled.to_yaml())
    rehearsal = Rehearsal(workdir, spec, platform)

    def ended(result: TaskResult) -> None:
        took = "" if result.outcome is Outcome.CACHED else f" in {result.seconds:.1f} s"
        answers = "".join(f", {k} {v}" for k, v in (result.answers or {}).items())
        typer.echo(f"{result.name:<20} {result.outcome.value}{took}{answers}")

    results = rehearsal.run(ended=ended, workers=workers)
    if error := failure(results):
        raise error
    if results["trainer"].outcome is Outcome.CACHED:
        typer.echo("Nothing changed in data, settings or code: nothing was trained.")
    found = (results["baseline-version"].answers or {}).get(FOUND, NOTHING)
    typer.echo("Compared with no release." if found == NOTHING else f"Compared with {found}.")
