"""`genq report`, `dashboard`, `approve`, `reject`, `evaluate`: looking at models, and deciding.

In: what the command line says. Out: files, a web server, decisions in ML Metadata.
"""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from components.evaluation.config import Kind
from pipeline.cli.releases import DEFAULT, Models, resolve

Workdir = Annotated[
    Path | None, typer.Option(help="Work directory of the pipeline; the preset's without.")
]
Preset = Annotated[str, typer.Option(help="Whose work directory: demo, celeba or celeba_full.")]
RunId = Annotated[str, typer.Argument(help="Id of a run or its beginning; the newest without.")]
Reviewer = Annotated[str, typer.Option(help="Your name; the account's without.")]
Comment = Annotated[str, typer.Option(help="Why.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(report)
    app.command()(dashboard)
    app.command()(approve)
    app.command()(reject)
    app.command()(evaluate)


def workdir_of(workdir: Path | None, preset: str) -> Path:
    """Returns the work directory, absolute.

    Raises:
      DataError: if no run has been there; before anything heavy is loaded.
    """
    from data.errors import DataError
    from pipeline.config import load

    place = (workdir or Path(load(preset).workdir)).absolute()
    if not (place / "metadata.sqlite").is_file():
        raise DataError(
            f"{place}: there is no metadata.sqlite, so no run has been here.",
            "Name the work directory of a pipeline with --workdir, or start one with `genq run`.",
        )
    return place


@contextlib.contextmanager
def quietly(folder: Path) -> Iterator[Callable[[object], None]]:
    """Sends what TensorFlow and ML Metadata say to a log below `folder`; yields how to print."""
    from rich.table import Table
    from rich.text import Text

    from pipeline.cli.console import quiet

    with quiet(folder / "logs" / "report.log", verbose=False) as console:
        yield (
            lambda what: (
                console.print(what)
                if isinstance(what, Table)
                else console.print(Text(str(what)), soft_wrap=True)
            )
        )


def report(
    run: RunId = "",
    compare: Annotated[str, typer.Option(help="Another run to compare with, image by image.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder; WORKDIR/reports/RUN without.")] = None,
    workdir: Workdir = None,
    preset: Preset = "demo",
) -> None:
    """Write the report of a run with run history, decisions and lineage: one offline page."""
    place = workdir_of(workdir, preset)
    with quietly(place) as show:
        from pipeline.history.reports import write_report
        from pipeline.history.runs import connect, find, list_runs

        runs = list_runs(connect(place))
        chosen = find(runs, run)
        other = find(runs, compare) if compare else None
        folder = out or place / "reports" / chosen.id.replace(":", "")
        show(write_report(chosen, runs, folder, place, other))


def dashboard(
    workdir: Workdir = None,
    preset: Preset = "demo",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8765,
) -> None:
    """Serve all runs: table, reports, comparison, and a form for decisions."""
    place = workdir_of(workdir, preset)
    with quietly(place) as show:
        show("Loading TensorFlow and ML Metadata: some ten seconds …")
        from pipeline.history.dashboard import serve

        serve(place, host, port, on_ready=show)


def approve(
    run: RunId = "",
    reviewer: Reviewer = "",
    comment: Comment = "",
    workdir: Workdir = None,
    preset: Preset = "demo",
) -> None:
    """Approve a run's model; a pipeline with release.require_approval then publishes it."""
    _decide("approve", run, reviewer, comment, workdir_of(workdir, preset))


def reject(
    run: RunId = "",
    reviewer: Reviewer = "",
    comment: Comment = "",
    workdir: Workdir = None,
    preset: Preset = "demo",
) -> None:
    """Reject a run's model."""
    _decide("reject", run, reviewer, comment, workdir_of(workdir, preset))


def _decide(decision: str, run: str, reviewer: str, comment: str, workdir: Path) -> None:
    with quietly(workdir) as show:
        from pipeline.history.runs import connect, decide, find, list_runs

        store = connect(workdir)
        chosen = find(list_runs(store), run)
        made = decide(store, chosen, decision, reviewer or getpass.getuser(), comment)
        show(f"{chosen.id}: {made['decision']} by {made['reviewer']}, {made['date']}")


def evaluate(
    photos: Annotated[Path, typer.Option(help="Folder with the images.")],
    labels: Annotated[
        Path,
        typer.Option(
            help="CSV: image_id, Male (or what the release was taught), and attributes as 0 or 1."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("evaluation"),
    kind: Annotated[
        Kind,
        typer.Option(
            help="aligned: crops as CelebA's; photos: as people take them, faces are found first; "
            "both: aligned ones, also as the application's detector cuts them out."
        ),
    ] = Kind.ALIGNED,
    models: Models = DEFAULT,
    version: Annotated[str, typer.Option(help='A version, "current" or "latest".')] = "current",
) -> None:
    """Score a labelled set with a release: the same metrics, slices and report.

    An identity column in the CSV makes people the unit of the intervals.
    """
    release_dir = resolve(models, version)
    with quietly(out) as show:
        from pipeline.evaluate_release import evaluate_release

        for line in evaluate_release(release_dir, photos, labels, out, kind).lines():
            show(line)
