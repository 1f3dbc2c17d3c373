"""`genq releases …`: list, verify, promote, roll back, prune, copy, export, reproduce releases.

In: the directory of a model's releases. Out: lines a person reads, or JSON. Imports TensorFlow for
`reproduce` only.
"""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.errors import ReleaseError

if TYPE_CHECKING:
    from data.releases import release

app = typer.Typer(
    help="List, verify, promote, roll back, copy and prune releases.", no_args_is_help=True
)


def _model_dir(path: Path) -> Path:
    from data.releases.release import find_model_dir

    return find_model_dir(path)


Models = Annotated[
    Path,
    typer.Option(
        "--model-dir",
        envvar="GENQ_MODEL_DIR",
        help="Directory of a model's releases, or the one above it where it holds one model only.",
        callback=_model_dir,
    ),
]
Version = Annotated[str, typer.Argument(help='A version, "current" or "latest".')]
DEFAULT = Path("runs/demo/serving")


def resolve(models: Path, version: str) -> Path:
    """Returns a release's directory.

    Raises:
      ReleaseError: if there is no such release; says which there are.
    """
    from data.releases import release

    if version == "current":
        return release.current_release(models)
    published = release.versions(models)
    if version == "latest" and published:
        return models / str(published[-1])
    if version.isdecimal() and int(version) in published:
        return models / version
    raise ReleaseError(
        f"{models} holds no release {version}.",
        f"Published: {', '.join(map(str, published)) or 'none'}.",
    )


def size_bytes(release_dir: Path) -> int:
    """Returns the size of all files of a release."""
    return sum(path.stat().st_size for path in release_dir.rglob("*") if path.is_file())


@app.command("list")
def list_(models: Models = DEFAULT) -> None:
    """Show every release: date, accuracy, worst slice, size, and which one readers use."""
    from rich.console import Console
    from rich.table import Table

    from components.evaluation.names import slice_label
    from data.releases import release

    console = Console()
    published = release.versions(models)
    if not published:
        console.print(f"{models} holds no release.", soft_wrap=True)
        return
    current = release.current_release(models)
    pinned = release.pinned_version(models) is not None
    table = Table(title=str(models), title_justify="left")
    for column in ("version", "created", "accuracy", "worst slice", "MB", "state"):
        table.add_column(column)
    for version in reversed(published):
        folder = models / str(version)
        state = ("pinned" if pinned else "current") if folder == current else ""
        size = f"{size_bytes(folder) / 1e6:.0f}"
        try:
            info = release.read_release(folder)
        except ReleaseError:
            table.add_row(str(version), "", "", "", size, "damaged")
            continue
        accuracy = info.metrics.overall.get("accuracy")
        enough = info.thresholds.get("min_slice_examples", 0)
        judged = [s for s in info.metrics.slices if (s.accuracy.n or 0) >= enough]
        worst = min(judged, key=lambda s: s.accuracy.value, default=None)
        table.add_row(
            str(version),
            info.created[:16].replace("T", " "),
            _metric(accuracy),
            f"{slice_label(worst.name)}: {_metric(worst.accuracy)}" if worst else "",
            size,
            state,
        )
    console.print(table)


def _metric(metric: release.Metric | None) -> str:
    if metric is None:
        return ""
    if metric.low is None or metric.high is None:
        return f"{metric.value:.3f}"
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"


@app.command()
def show(version: Version = "current", models: Models = DEFAULT) -> None:
    """Print a release's release.json."""
    from data.releases import release

    info = release.read_release(resolve(models, version))
    typer.echo(info.model_dump_json(indent=2))


@app.command()
def verify(
    versions: Annotated[list[str] | None, typer.Argument(help="Default: all.")] = None,
    signature_command: Annotated[
        str,
        typer.Option(
            envvar="GENQ_SIGNATURE_COMMAND",
            help='Checks the signature, too: e.g. "cosign verify-blob --key k.pub --signature '
            '{signature} {file}".',
        ),
    ] = "",
    models: Models = DEFAULT,
) -> None:
    """Compare every file with its checksum; exit code 6 when one differs."""
    from data.releases import checksums, release

    folders = [resolve(models, v) for v in versions or map(str, release.versions(models))]
    if not folders:
        raise ReleaseError(
            f"{models} holds no release.", "Name another directory: --model-dir DIR."
        )
    found = []
    for folder in folders:
        problems = checksums.problems(folder)
        if signature_command and not problems:
            checksums.run_signer(signature_command, folder)
        typer.echo(f"{folder.name}: {'as published' if not problems else 'DAMAGED'}")
        found += [f"{folder.name}/{problem}" for problem in problems]
    if found:
        raise ReleaseError(
            "Files are not as they were published:\n  " + "\n  ".join(found),
            "Do not use these releases. `genq releases rollback`, and push again.",
        )


@app.command()
def promote(version: Version, models: Models = DEFAULT) -> None:
    """Make readers use a release; "latest" makes them follow the newest again."""
    from data.releases import checksums, release

    folder = resolve(models, version)
    checksums.verify(folder)
    release.pin(models, None if version == "latest" else int(folder.name))
    how = "Readers follow the newest" if version == "latest" else "Pinned"
    typer.echo(f"{how}: {folder.name}.")


@app.command()
def rollback(models: Models = DEFAULT) -> None:
    """Pin the newest sound release that is older than the current one."""
    from data.releases import checksums, release

    current = int(release.current_release(models).name)
    skipped = []
    for version in reversed([v for v in release.versions(models) if v < current]):
        try:
            checksums.verify(models / str(version))
            release.read_release(models / str(version))
        except ReleaseError:
            skipped.append(str(version))
            continue
        release.pin(models, version)
        note = f" (damaged and passed over: {', '.join(skipped)})" if skipped else ""
        typer.echo(f"Rolled back from {current} to {version}{note}; promote latest undoes it.")
        return
    raise ReleaseError(
        f"{models} holds no sound release older than {current}.",
        f"Damaged: {', '.join(skipped)}." if skipped else "There is nothing to roll back to.",
    )


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=1, help="So many of the newest stay.")] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    models: Models = DEFAULT,
) -> None:
    """Remove old releases; never the one that readers use, nor a newer one."""
    from data.releases import release

    published = release.versions(models)
    if not published:
        typer.echo("Nothing to remove.")
        return
    current = int(release.current_release(models).name)
    old = [v for v in published[:-keep] if v < current]
    for version in old:
        typer.echo(f"{'Would remove' if dry_run else 'Removing'} {version}")
        if not dry_run:
            # Out of sight by one rename; a reader never sees half a release.
            pruned_dir = models / f".pruned-{version}"
            (models / str(version)).rename(pruned_dir)
            shutil.rmtree(pruned_dir)
    if not old:
        typer.echo("Nothing to remove.")


Remote = Annotated[str, typer.Argument(help='The model\'s place: "s3://bucket/models/gender".')]


@app.command()
def upload(uri: Remote, version: Version = "current", models: Models = DEFAULT) -> None:
    """Copy a release to an object store: objects first, the pointer LATEST last."""
    from data.releases import remote

    typer.echo(f"Uploaded: {remote.upload(resolve(models, version), uri)}")


@app.command()
def pull(
    uri: Remote,
    version: Annotated[int | None, typer.Argument(help="Default: what LATEST names.")] = None,
    models: Models = DEFAULT,
) -> None:
    """Bring a release from an object store, verified, and make it visible by one rename."""
    from data.releases import remote

    typer.echo(f"Here: {remote.download(uri, models, version)}")


class Hub(StrEnum):
    """Whose form a release is exported in."""

    HUGGINGFACE = "huggingface"


@app.command()
def export(
    folder: Annotated[
        Path, typer.Argument(help="New, empty, or a clone of the repository; it is written there.")
    ],
    version: Version = "current",
    to: Annotated[Hub, typer.Option(help="Whose form it takes.")] = Hub.HUGGINGFACE,
    models: Models = DEFAULT,
) -> None:
    """Write a release as a repository of the Hugging Face Hub; nothing is sent."""
    from data.releases import huggingface

    del to  # there is one
    for path in huggingface.export(resolve(models, version), folder):
        typer.echo(path)
    typer.echo(f"To publish it: hf upload OWNER/NAME {folder}")


@app.command()
def reproduce(
    version: Version = "current",
    models: Models = DEFAULT,
    data: Annotated[
        Path | None,
        typer.Option(help="The data set it was made of. Default: the look-alike, drawn again."),
    ] = None,
    workdir: Annotated[
        Path, typer.Option(help="Where the new run goes; it has to be empty.")
    ] = Path("runs/reproduced"),
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Go on although code or packages differ.")
    ] = False,
) -> None:
    """Build a release again from what it says of itself, and compare the two.

    Ends with 1 if something differs. Bits differ unless it was trained with trainer.deterministic.
    """
    import time

    from data.releases import checksums, release
    from pipeline.cli.console import quiet
    from pipeline.history import reproduce as again

    before = resolve(models, version)
    checksums.verify(before)
    info = release.read_release(before)
    config = again.recorded_config(info, workdir, data)
    if not anyway:
        again.require_same_sources(info)
    if workdir.exists() and any(workdir.iterdir()):
        raise ReleaseError(
            f"{workdir} is not empty: a cached node would be no reproduction.",
            "Remove it, or name another: --workdir DIR.",
        )
    log_file = workdir / "logs" / time.strftime("%Y%m%dT%H%M%S.log")
    with quiet(log_file, verbose=False) as console:
        from rich.table import Table

        from pipeline.cli.run import run_and_show

        run_and_show(config, console, log_file)
        published = release.versions(config.serving_dir / info.model_name)
        if not published:
            raise ReleaseError(
                f"The new run of release {info.version} published nothing.",
                f"Its report says why; the log is {log_file}.",
            )
        now = config.serving_dir / info.model_name / str(published[-1])
        examples = max((workdir / "pipeline/example-gen/examples").iterdir())
        rows = again.compare(before, now, examples)
        table = Table(title=f"{info.version}, and made again", title_justify="left")
        for column in ("", "before", "now", ""):
            table.add_column(column)
        for row in rows:
            table.add_row(row.what, row.before, row.now, "equal" if row.equal else "differs")
        console.print(table)
    if not all(row.equal for row in rows):
        raise typer.Exit(1)
