"""`genq runs` and `genq clean`: the history of a work directory, and its disk.

In: what the command line says. Out: tables in the terminal; files removed on demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from pipeline.cli.checked import check_table
from pipeline.cli.report import Preset, RunId, Workdir, quietly, workdir_of
from pipeline.workdir import ARTIFACTS

if TYPE_CHECKING:
    from pipeline.history.clean import Plan

app = typer.Typer(help="List, show and compare the runs of a work directory.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Adds the commands."""
    parent.add_typer(app, name="runs")
    parent.command()(clean)


_GAP: Final = 2


def _table(*columns: str, edge: bool = True) -> Any:
    from rich import box
    from rich.table import Table

    # Narrow gaps: 80 columns are what a terminal has.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=edge)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    return table


def list_table(rows: Iterable[Sequence[str]], columns: int) -> Any:
    """Returns the table of runs: id, state, accuracy, AUC, release, decision.

    Args:
      rows: of it.
      columns: of the terminal; where they do not hold whole cells, they hold whole words.
    """
    table = _table("run", "state", "accuracy", "AUC", "release", "decision", edge=False)
    for name, *cells in rows:
        # To the second, which names it as well: two runs of a work directory take turns.
        table.add_row(name.partition(".")[0], *cells)
    texts = [[str(cell) for cell in (column.header, *column.cells)] for column in table.columns]
    if sum(max(map(len, own)) + _GAP for own in texts) - _GAP > columns:
        for column, own in zip(table.columns[:-1], texts, strict=False):
            column.width = max(len(word) for cell in own for word in cell.split())
    return table


def nodes_table(rows: Iterable[Sequence[str]]) -> Any:
    """Returns the table of a run's nodes: id, state, seconds, paths of results."""
    table = _table("node", "state", "seconds", "results")
    for row in rows:
        table.add_row(*row)
    return table


@app.command(name="list")
def list_(workdir: Workdir = None, preset: Preset = "demo") -> None:
    """All runs, oldest first, with what became of them."""
    place = workdir_of(workdir, preset)
    columns = Console().width  # before standard output becomes the log
    with quietly(place) as show:
        from pipeline.history.compare import all_runs
        from pipeline.history.runs import connect, list_runs

        store = connect(place)
        reported = {run.id: run for run in list_runs(store)}
        rows = []
        for started in all_runs(store):
            run = reported.get(started.id)
            if run is None:
                rows.append((started.id, started.state, *"----"))
                continue
            metrics = run.metrics["overall"]["metrics"]
            row = run.summary()
            rows.append(
                (
                    started.id,
                    f"{started.state}, {'blessed' if row['blessed'] else 'not blessed'}",
                    *(
                        f"{metrics[n]['value']:.3f}" if n in metrics else "-"
                        for n in ("accuracy", "auc")
                    ),
                    f"{row['release']}{' (live)' if row['live'] else ''}"
                    if row["release"]
                    else "-",
                    row["decision"] or "-",
                )
            )
        show(list_table(rows, columns))


@app.command()
def show(run: RunId = "", workdir: Workdir = None, preset: Preset = "demo") -> None:
    """One run: its nodes, where their results are, its checks, figures and settings."""
    place = workdir_of(workdir, preset)
    with quietly(place) as say:
        from pipeline.history.compare import all_runs, find_started, flat
        from pipeline.history.runs import connect, list_runs
        from pipeline.history.summary import run_outputs

        store = connect(place)
        started = find_started(all_runs(store), run)
        say(f"{started.id}, started {started.started}: {started.state}")
        outputs = run_outputs(store, started.id)
        rows = []
        for node in started.nodes:
            places = [a.uri for (name, _), a in outputs.items() if name == node.id]
            where = "\n".join(
                u.removeprefix(f"{place / ARTIFACTS}/") + ("" if Path(u).exists() else " (gone)")
                for u in places
            )
            rows.append((node.id, node.state, f"{node.seconds:.1f}", where))
        say(f"Results are in {place / ARTIFACTS}.")
        say(nodes_table(rows))
        found = [r for r in list_runs(store) if r.id == started.id]
        if not found:
            say("It wrote no report, or the report is gone.")
            return
        say(check_table(found[0].checks))
        figures = _table("metric", "value", "low", "high", "n")
        for name, metric in found[0].metrics["overall"]["metrics"].items():
            figures.add_row(
                name, *(f"{metric[key]:.4f}" for key in ("value", "low", "high")), str(metric["n"])
            )
        say(figures)
        import json

        settings = _table("setting", "value")
        for key, value in flat(json.loads(found[0].properties["run_config"])).items():
            settings.add_row(key, value)
        say(settings)


@app.command()
def diff(
    first: Annotated[str, typer.Argument(help="Id of a run or its beginning.")],
    second: RunId = "",
    workdir: Workdir = None,
    preset: Preset = "demo",
) -> None:
    """What differs between two runs: settings, data, code, figures."""
    place = workdir_of(workdir, preset)
    with quietly(place) as say:
        from pipeline.history.compare import all_runs, differences, find_started
        from pipeline.history.runs import connect, find, list_runs

        store = connect(place)
        runs, started = list_runs(store), all_runs(store)
        a, b = find(runs, first), find(runs, second)
        say(f"{a.id}  against  {b.id}")
        both = find_started(started, a.id), find_started(started, b.id)
        for part, rows in differences(a, b, both).items():
            if not rows:
                say(f"{part}: the same")
                continue
            columns = (part, "first", "second", *(["difference"] if part == "metrics" else []))
            table = _table(*columns)
            for row in rows:
                table.add_row(*row)
            say(table)


def clean(
    workdir: Workdir = None,
    preset: Preset = "demo",
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without, it is only shown.")
    ] = False,
    cache: Annotated[
        bool,
        typer.Option("--cache", help="Also the cache of activations, which only saves time."),
    ] = False,
) -> None:
    """Show what takes how much disk, and remove what no run needs that counts.

    The newest run, and runs that were blessed or released, keep everything; other runs keep what
    their report reads.
    """
    place = workdir_of(workdir, preset)
    from pipeline.workdir import locked

    with quietly(place) as say, locked(place / ARTIFACTS):
        from pipeline.history.clean import plan, remove
        from pipeline.history.place import mark_missing
        from pipeline.history.runs import connect

        store = connect(place)
        root = place / ARTIFACTS
        mark_missing(store, root)
        found = plan(store, place, root)
        _say_plan(found, say)
        size = sum(item.size_bytes for item in found.removable)
        size += found.cache_bytes if cache else 0
        if not yes:
            say(f"Nothing was removed. `genq clean --yes` would free {_size(size)}.")
            return
        say(f"Freed {_size(remove(store, found, cache=cache))}.")


def _say_plan(found: Plan, say: Any) -> None:
    """Prints a row for each node and reason."""
    table = _table("node", "needed by", "results", "size")
    sums: dict[tuple[str, str], list[int]] = {}
    for item in found.items:
        sums.setdefault((item.node, item.why or "nobody"), []).append(item.size_bytes)
    for (node, why), sizes in sorted(sums.items(), key=lambda pair: -sum(pair[1])):
        table.add_row(node, why, str(len(sizes)), _size(sum(sizes)))
    table.add_row("cache of activations", "speed", "", _size(found.cache_bytes))
    say(table)


def _size(size_bytes: int) -> str:
    """Returns "1.2 GB"."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} bytes"
