"""`genq doctor`: what of genq works on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(doctor)


def doctor(
    workdir: Annotated[Path, typer.Option(help="Where runs would go.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look at this machine: what works, what does not, and what to do about it.

    Ends with exit code 1 if the demo would not run.
    """
    from rich.console import Console
    from rich.table import Table

    from pipeline.cli import checks as examination
    from pipeline.cli.checks import Status

    findings = examination.examine(workdir)
    broken = [f for f in findings if f.status is Status.BROKEN]
    if as_json:
        typer.echo(examination.as_json(findings))
        raise typer.Exit(1 if broken else 0)
    colours = {Status.OK: "green", Status.LIMITED: "yellow", Status.BROKEN: "bold red"}
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("", "", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        style = colours[finding.status]
        table.add_row(
            f"[{style}]{finding.status.value}[/]", finding.subject, finding.found, finding.remedy
        )
    console = Console()
    console.print(table)
    if broken:
        console.print(
            f"[bold red]The demo will not run: {', '.join(f.subject for f in broken)}.[/]"
        )
        raise typer.Exit(1)
    console.print("The demo runs here: make run. What is limited concerns only the part it names.")
