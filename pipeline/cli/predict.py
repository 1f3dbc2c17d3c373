"""`genq predict`: one-off answers about photos on this disk, by one release.

In: photos. Out: a table or JSON, and drawings. Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from data.errors import ConfigError, DataError, ImageError
from pipeline.cli.releases import DEFAULT, Models, resolve


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(predict)


def predict(
    photos: Annotated[list[Path], typer.Argument(help="Photos; of folders, the images in them.")],
    models: Models = DEFAULT,
    version: Annotated[str, typer.Option(help='A version, "current" or "latest".')] = "current",
    variant: Annotated[
        str, typer.Option(help="auto, float32, float16 or int8; auto prefers int8.")
    ] = "auto",
    aligned: Annotated[
        bool, typer.Option("--aligned", help="They are crops as CelebA's already: find no faces.")
    ] = False,
    draw: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each photo with its answers here.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one object a line.")
    ] = False,
) -> None:
    """Answer about every face in some photos, by one release. Nothing is kept.

    A photo that cannot be read is named and the rest is answered; then it ends with code 3.
    """
    files = expand(photos)
    try:
        from serving.api.once import Predictor
        from serving.api.releases import Engine

        predictor = Predictor(Engine(resolve(models, version), variant))
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The application's package {error.name} is not installed.",
            "pip install 'genq[serving]'",
        ) from error
    if draw is not None:
        draw.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    lines = []
    for file in files:
        try:
            data = read(file)
            found = predictor.crop(data) if aligned else predictor.photo(data)
        except ImageError as error:
            failures.append(f"{file}: {error.problem}")
            continue
        if as_json:
            typer.echo(json.dumps({"photo": str(file), **found.answers}))
        lines.append((file, found.answers))
        if draw is not None:
            found.picture().save(draw / f"{file.stem}.answers.jpg", quality=90)
    if lines and not as_json:
        show(lines, predictor.engine.version, draw)
    if failures:
        raise DataError(
            "\n".join(failures), f"{len(files) - len(failures)} of {len(files)} were answered."
        )


def expand(paths: list[Path]) -> list[Path]:
    """Returns the files named, and those of folders in order of their names.

    Raises:
      DataError: if a folder holds no file.
    """
    files: list[Path] = []
    for path in paths:
        inside = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
        if not inside:
            raise DataError(f"{path} is a folder without files.", "Name photos, or their folder.")
        files += inside
    return files


def read(file: Path) -> bytes:
    """Returns a file's bytes.

    Raises:
      ImageError: if it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}.") from error


def show(lines: list[tuple[Path, dict[str, object]]], version: int, draw: Path | None) -> None:
    """Prints one row a face; a photo without a face has one, too."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Release {version}", title_justify="left")
    for column in ("photo", "face", "answer"):
        table.add_column(column, overflow="fold")
    table.add_column("p_positive", justify="right")
    for file, answers in lines:
        faces = answers["faces"]
        assert isinstance(faces, list)
        for face in faces:
            box = ", ".join(f"{v:.0f}" for v in face.get("box", {}).values()) or "whole image"
            table.add_row(file.name, box, face["label"], f"{face['p_positive']:.3f}")
        if not faces:
            table.add_row(file.name, "none found", "", "")
    console = Console()
    console.print(table)
    if draw is not None:
        console.print(f"Drawn: {draw}")
    console.print("These labels say how a face appears to annotators, not who somebody is.")
