"""`genq predict`: one-off answers about photos and videos on this disk, by one release.

In: photos, videos. Out: a table or JSON, and drawings. Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.errors import ConfigError, DataError, ImageError
from pipeline.cli.releases import DEFAULT, Models, resolve

if TYPE_CHECKING:
    from serving.api.once import Predictor
    from serving.api.releases import Engine


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(predict)


def predict(
    photos: Annotated[
        list[Path], typer.Argument(help="Photos and videos; of folders, the files in them.")
    ],
    models: Models = DEFAULT,
    version: Annotated[str, typer.Option(help='A version, "current" or "latest".')] = "current",
    variant: Annotated[
        str, typer.Option(help="auto, float32, float16 or int8; auto prefers int8.")
    ] = "auto",
    aligned: Annotated[
        bool, typer.Option("--aligned", help="They are crops as CelebA's already: find no faces.")
    ] = False,
    draw: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write each photo with its answers here; of videos also the tracks as CSV.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one object a line.")
    ] = False,
) -> None:
    """Answer about every face in some photos or videos, by one release. Nothing is kept.

    In a video, faces are followed: one answer a person. A file that cannot be read is named and the
    rest is answered; then it ends with code 3.
    """
    files = expand(photos)
    try:
        from serving.api.once import Predictor
        from serving.api.releases import Engine
        from serving.api.video import SUFFIXES

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
            if file.suffix.lower() in SUFFIXES and not aligned:
                lines.append((file, watch(predictor, file, draw, as_json)))
                continue
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
        show(lines, predictor.engine, draw)
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


def watch(predictor: Predictor, file: Path, draw: Path | None, as_json: bool) -> dict[str, object]:
    """Answers about a video, and shows how far it is.

    Raises:
      ImageError: if it cannot be read as one.
    """
    from rich.console import Console
    from rich.progress import Progress

    if not file.is_file():
        raise ImageError("cannot be read: there is no such file.")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(file.name, total=None)
        clip = predictor.video(
            file, lambda done_s, all_s: progress.update(task, completed=done_s, total=all_s or None)
        )
        if draw is not None:
            progress.update(task, description=f"{file.name}: drawing", completed=0, total=None)
            predictor.draw_video(file, clip, draw / f"{file.stem}.answers.mp4")
            clip.write_csv(draw / f"{file.stem}.tracks.csv")
    answers = clip.answers() | {"release": predictor.about()}
    if as_json:
        typer.echo(json.dumps({"video": str(file), **answers}))
    return answers


def show(lines: list[tuple[Path, dict[str, object]]], engine: Engine, draw: Path | None) -> None:
    """Prints one row a face, or a person of a video; a photo without a face has one, too."""
    from rich.console import Console
    from rich.table import Table

    from serving.api.once import p_label

    table = Table(title=f"Release {engine.version}", title_justify="left")
    for column in ("photo", "face", "answer"):
        table.add_column(column, overflow="fold")
    table.add_column("p of the answer", justify="right")
    table.add_column(f"p of {engine.release.labels[1]}", justify="right")
    for file, answers in lines:
        faces = answers.get("faces", answers.get("tracks"))
        assert isinstance(faces, list)
        for face in faces:
            p_told = p_label(face)
            told = "" if p_told is None else f"{p_told:.3f}"
            table.add_row(file.name, _where(face), face["label"], told, f"{face['p_positive']:.3f}")
        doubtful = answers.get("doubtful", ())
        assert isinstance(doubtful, list | tuple)
        for place in doubtful:
            table.add_row(file.name, _where(place), "not sure that this is a face", "", "")
        if not faces and not doubtful:
            table.add_row(file.name, "none found", "", "", "")
        if answers.get("cut_off"):
            table.add_row(file.name, "the file is cut off", "a part is missing", "", "")
    console = Console()
    console.print(table)
    if draw is not None:
        console.print(f"Drawn: {draw}")
    console.print("These labels say how a face appears to annotators, not who somebody is.")


def _where(face: dict[str, Any]) -> str:
    """Says where a face is: its box, or when it is seen."""
    if "track" in face:
        return f"person {face['track']}, {face['first_s']:.1f} to {face['last_s']:.1f} s"
    return ", ".join(f"{v:.0f}" for v in face.get("box", {}).values()) or "whole image"
