"""`genq kubeflow …`: compile for a cluster."""

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
