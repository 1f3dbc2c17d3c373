"""What `genq runs` prints fits a terminal of 80 columns."""

import io

from rich.console import Console

from pipeline.cli.runs import list_table, nodes_table

ROWS = [
    ("2026-11-28T05:07:10.874+00:00", "failed in previous-statistics", *"----"),
    ("2026-11-28T06:07:10.874+00:00", "done, blessed", "0.971", "0.993", "1795842951", "-"),
    (
        "2026-11-28T07:07:10.874+00:00",
        "done, not blessed",
        "0.971",
        "0.993",
        "-",
        "reject (Grace Hopper)",
    ),
    (
        *("2026-11-28T08:07:10.874+00:00", "done, blessed", "0.971", "0.993"),
        *("1795842961 (live)", "approve (Ada Lovelace)"),
    ),
]


def printed(table: object, columns: int = 80) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=columns).print(table)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    return lines


def test_a_list_of_runs_breaks_no_word_at_80_columns() -> None:
    """A run, its figures and its release are whole words; a run's name still names it."""
    lines = printed(list_table(ROWS, 80))
    text = "\n".join(lines)
    for row in ROWS:
        for cell in (row[0].removesuffix(".874+00:00"), *row[1:]):
            assert all(word in text for word in cell.split())
    assert "accuracy" in text and "AUC" in text and "decision" in text
    for row in ROWS[1:]:
        [line] = [one for one in lines if row[0].startswith(one.split()[0] if one.split() else "-")]
        assert row[2] in line and row[3] in line and row[4].split()[0] in line
    wide = printed(list_table(ROWS, 200), 200)
    assert [one for one in wide if "failed in previous-statistics" in one]


def test_the_paths_of_results_are_whole_at_80_columns() -> None:
    """Below the work directory, whose path is said once."""
    nodes = [("previous-statistics", "cached", "0.0", "release-pusher/pushed_release/1234 (gone)")]
    text = "\n".join(printed(nodes_table(nodes)))
    assert nodes[0][3].split()[0] in text and "previous-statistics" in text
