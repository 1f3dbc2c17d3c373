"""`genq …`: parses, builds the configuration, calls, shows.

Nothing heavy is imported before a command needs it: `genq --help` answers at once.
"""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import data as cli_data
from pipeline.cli import doctor as cli_doctor
from pipeline.cli import kubeflow as cli_kubeflow
from pipeline.cli import predict as cli_predict
from pipeline.cli import releases as cli_releases
from pipeline.cli import report as cli_report
from pipeline.cli import runs as cli_runs
from pipeline.cli import serve as cli_serve

app = typer.Typer(
    name="genq",
    help="Train, judge and ship a face-appearance model with TFX.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show the full log as it comes.")]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"genq {version('genq')}")
        raise typer.Exit


@app.callback()
def genq(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Train, judge and ship a face-appearance model with TFX."""


@app.command()
def run(
    preset: Annotated[
        str, typer.Option(help="demo, celeba or celeba_full; see pipeline/config.py.")
    ] = "demo",
    config: Annotated[
        Path | None, typer.Option(help="YAML file with the settings that differ from the preset.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Folder, zip or URI with CelebA's files; the same as data.root."),
    ] = None,
    workdir: Annotated[
        Path | None, typer.Option(help="Where metadata, artifacts, logs and releases go.")
    ] = None,
    allow_smaller: Annotated[
        bool,
        typer.Option(
            "--allow-smaller",
            help="Where a class has too few, take what there is (sampling.allow_smaller).",
        ),
    ] = False,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial",
            help="The copy holds some of the annotated images only: train on those that are there "
            "(data.faults.partial).",
        ),
    ] = False,
    accept_anomaly: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help='Let one anomaly through, by feature, kind or "feature:kind", and record it; may '
            "be repeated.",
        ),
    ] = None,
    require_approval: Annotated[
        bool,
        typer.Option(
            "--require-approval",
            help="Publish only what a reviewer approved (release.require_approval).",
        ),
    ] = False,
    rerun: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NODE",
            help="Run this node even if its result is in the cache, and then what reads it; may be "
            "repeated.",
        ),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run every node, whatever is in the cache.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Run the whole pipeline, from the data set to a published release."""
    from data.errors import DataError
    from data.files import is_remote
    from pipeline.cli.console import quiet
    from pipeline.config import load

    shortcuts = {
        "data.root": data and json.dumps(data),
        "workdir": workdir and json.dumps(str(workdir)),
        "sampling.allow_smaller": allow_smaller and "true",
        "data.faults.partial": partial and "true",
        "data.accept_anomalies": accept_anomaly and json.dumps(accept_anomaly),
        "release.require_approval": require_approval and "true",
    }
    settings = load(
        preset,
        config,
        [*(overrides or []), *(f"{key}={value}" for key, value in shortcuts.items() if value)],
    )
    root = Path(settings.data.root)
    given = settings.data.root and not is_remote(settings.data.root)
    if given and not root.is_dir() and not (root.is_file() and root.suffix.lower() == ".zip"):
        # Said before TensorFlow is loaded and folders are made.
        raise DataError(
            f"{root.absolute()} is not a folder.",
            "Name CelebA's folder: --data DIR. `genq data fetch DIR` obtains it; the preset demo "
            "draws a look-alike where data.root is not set.",
        )
    log_file = Path(settings.workdir) / "logs" / time.strftime("%Y%m%dT%H%M%S.log")
    with quiet(log_file, verbose=verbose) as console:
        from pipeline.cli.run import run_and_show

        exit_code = run_and_show(settings, console, log_file, rerun=rerun or (), cache=not no_cache)
    if exit_code:
        raise typer.Exit(exit_code)


# In the order in which a person comes to need them: run, look, serve.
app.add_typer(cli_data.app, name="data")
app.add_typer(cli_releases.app, name="releases")
app.add_typer(cli_kubeflow.app, name="kubeflow")
cli_report.register(app)
cli_runs.register(app)
cli_predict.register(app)
cli_serve.register(app)
cli_doctor.register(app)


def main() -> None:
    """Runs the command line; a GenqError becomes a message and an exit code, not a traceback."""
    from data.errors import GenqError

    try:
        app()
    except GenqError as error:
        if "--debug" in sys.argv:
            raise
        from rich.console import Console
        from rich.text import Text

        console = Console(stderr=True)
        # Not wrapped, so that paths and commands can be copied.
        console.print(Text(f"Error: {error.problem}", style="bold red"), soft_wrap=True)
        if error.remedy:
            console.print(Text(error.remedy), soft_wrap=True)
        sys.exit(error.exit_code)
