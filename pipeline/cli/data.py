"""`genq data …`: obtain a data set, draw a look-alike, look at one.

In: options. Out: lines a person reads. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data import contract

if TYPE_CHECKING:
    from rich.console import Console

    from data.synthetic import SyntheticConfig

app = typer.Typer(help="Obtain, draw and inspect data sets.", no_args_is_help=True)

Root = Annotated[str, typer.Argument(help="Folder or URI with a copy of CelebA.")]


@app.command()
def synthesize(
    root: Annotated[Path, typer.Argument(help="Folder to write; must be empty or its own.")],
    images: Annotated[int, typer.Option(min=1, help="Number of images.")] = 4000,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    shuffle_labels: Annotated[
        bool, typer.Option(help="Permute Male among the images: nothing can be learnt.")
    ] = False,
) -> None:
    """Draw a CelebA look-alike in the official layout."""
    from rich.console import Console

    from data.synthetic import SyntheticConfig

    config = SyntheticConfig(num_images=images, seed=seed, shuffle_labels=shuffle_labels)
    synthesize_with_progress(root, config, Console())


def synthesize_with_progress(root: Path, config: SyntheticConfig, console: Console) -> None:
    """Draws the look-alike, unless it is there already.

    Raises:
      DataError: if the folder holds something else.
    """
    from rich.progress import Progress

    from data.synthetic import is_complete, synthesize

    if is_complete(root, config):
        console.print(f"{root}: {config.num_images} images are there already.", soft_wrap=True)
        return
    with Progress(console=console) as progress:
        task = progress.add_task(f"Drawing {config.num_images} faces", total=config.num_images)
        synthesize(root, config, on_image=lambda n: progress.advance(task, n))
    console.print(f"{root}: drew {config.num_images} images.", soft_wrap=True)


Attribute = Annotated[
    str, typer.Option(help="What is learnt: one of CelebA's 40 attributes, e.g. Eyeglasses.")
]


def _newest(root: str) -> str:
    """Returns the copy below `root`; of spans, the newest, and says so."""
    from data.celeba.spans import newest_spans

    span = newest_spans(root)[-1]
    if span.number is not None:
        typer.echo(f"{root} holds spans; this is the newest, {span.root}.")
    return span.root


@app.command()
def inspect(
    root: Root,
    check_images: Annotated[
        bool, typer.Option("--check-images", help="Read every image and check that it is sound.")
    ] = False,
    attribute: Attribute = contract.MALE,
    problems: Annotated[
        Path | None, typer.Option(help="Write all problems to this file, one a line.")
    ] = None,
) -> None:
    """Tell what a copy of CelebA holds, and what is wrong with it."""
    from rich.console import Console

    from data.celeba.inspect import inspect as look
    from data.celeba.inspect import render

    inspection = look(_newest(root), check_images=check_images, label=contract.Label(attribute))
    if problems is not None:
        problems.write_text(inspection.listing())
    render(inspection, Console(), listed=problems)
    if inspection.problems:
        raise typer.Exit(code=3)


@app.command()
def audit(
    root: Root,
    leave_out: Annotated[
        Path | None,
        typer.Option(help="Write a file for `genq run --config` that leaves out what was found."),
    ] = None,
    attribute: Attribute = contract.MALE,
) -> None:
    """Look for duplicates across splits, and for people whose labels contradict each other."""
    from rich.console import Console
    from rich.progress import Progress

    from data.celeba.audit import audit as look
    from data.celeba.audit import leave_out_yaml, render

    console = Console()
    with Progress(console=console) as progress:
        task = progress.add_task("Reading images", total=None)
        found = look(
            _newest(root),
            label=contract.Label(attribute),
            on_images=lambda n: progress.advance(task, n),
        )
    render(found, console)
    if leave_out is not None:
        ids = found.leave_out()
        leave_out.write_text(leave_out_yaml(ids))
        console.print(f"{leave_out}: leaves out {len(ids)} images.", soft_wrap=True)


@app.command(name="import")
def import_(
    photos: Annotated[Path, typer.Argument(help="Folder of photos, one person each.")],
    labels: Annotated[
        Path,
        typer.Argument(
            help="CSV: image_id, attributes as 0 or 1; also identity, partition, further columns."
        ),
    ],
    root: Annotated[Path, typer.Argument(help="Folder for the copy; must be empty or absent.")],
    aligned: Annotated[
        bool, typer.Option("--aligned", help="They are crops as CelebA's already: find no faces.")
    ] = False,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Leave out lines of the CSV whose photo is not there."),
    ] = False,
) -> None:
    """Make a data set of your own photos: faces are found, turned upright and cut out."""
    from rich.console import Console
    from rich.progress import Progress

    from data.celeba.own_photos import LEFT_OUT, import_photos
    from data.several import by_problem

    console = Console()
    with Progress(console=console) as progress:
        task = progress.add_task("Finding faces", total=None)
        made = import_photos(
            *(photos, labels, root),
            aligned=aligned,
            partial=partial,
            on_photo=lambda: progress.advance(task),
        )
    console.print(f"{root}: {made.images} faces.", soft_wrap=True)
    for note in made.notes:
        console.print(note, soft_wrap=True, markup=False, style="yellow")
    for line in by_problem(made.left_out):
        console.print(f"  left out: {line}", soft_wrap=True, markup=False)
    if made.left_out:
        console.print(f"All {len(made.left_out):,} are in {root / LEFT_OUT}.", soft_wrap=True)


@app.command()
def fetch(
    root: Annotated[Path, typer.Argument(help="Folder for the files.")] = Path("datasets/celeba"),
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You have read CelebA's terms and agree.")
    ] = False,
) -> None:
    """Obtain CelebA: resumes, verifies, and takes files that are there already."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from data.celeba.fetch import TERMS
    from data.celeba.fetch import fetch as bring

    console = Console()
    if accept_licence:
        console.print(TERMS, style="dim", highlight=False, soft_wrap=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks = {}

        def show(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done, total=total)

        fetched = bring(root, accept_licence=accept_licence, on_progress=show)
    console.print(
        f"{root}: fetched {', '.join(fetched)}; all files are verified."
        if fetched
        else f"{root}: all files are there and verified.",
        soft_wrap=True,
    )


@app.command()
def schema(
    update: Annotated[
        Path, typer.Option(help="Output folder of statistics-gen; proposes a change as a diff.")
    ],
) -> None:
    """Propose how data/schema.pbtxt would have to change to accept a run's data."""
    from rich.console import Console
    from rich.syntax import Syntax

    from components.schema.update import propose

    diff = propose(Path(__file__).parents[2] / "data" / "schema.pbtxt", update)
    console = Console()
    if not diff:
        console.print("The data agree with data/schema.pbtxt: nothing to change.")
        return
    console.print(Syntax(diff, "diff") if console.is_terminal else diff, markup=False)
    console.print("Review it, and make the change in data/schema.pbtxt by hand.", soft_wrap=True)
