"""A run's report, rendered anew from its artifacts with what only ML Metadata knows.

In: a Run and all runs. Out: the files of components/evaluation_report in a folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from components.evaluation.config import EvaluationConfig
from components.evaluation_report import render
from components.evaluation_report.artifacts import REPORT
from components.evaluation_report.component import folders
from components.evaluation_report.content import Sources, decide_commands, gather
from pipeline.history.runs import Run, first_of_each_report

INPUTS: Final = {
    "predictions": ("model-scorer", "predictions"),
    "verdict": ("fairness-gate", "verdict"),
    "evaluation": ("evaluator", "evaluation"),
    "examples": ("example-gen", "examples"),
    "manifest": ("example-gen", "manifest"),
    "validation": ("validation-gate", "validation"),
    "statistics": ("statistics-gen", "statistics"),
    "model_run": ("trainer", "model_run"),
    "parity": ("model-exporter", "parity"),
}
"""Input of the report -> the node and output that it comes from."""


def write_report(
    run: Run, runs: list[Run], folder: Path, workdir: Path, other: Run | None = None
) -> Path:
    """Writes the report of a run; returns the page.

    Args:
      run: whose.
      runs: all, oldest first, for the history.
      folder: gets the files.
      workdir: of the runs; the commands that decide name it.
      other: a run to compare with.

    Raises:
      DataError: if the run's predictions were removed.
    """
    uris = {name: run.outputs[key].uri for name, key in INPUTS.items() if key in run.outputs}
    found = folders(uris)
    if other:
        # A page of two runs; TFMA's view is of one, and stands beside that one's report.
        found.pop("evaluation", None)
    sources = Sources(
        **found,
        evaluations=tuple(
            (each.id, Path(each.outputs[INPUTS["evaluation"]].uri))
            for each in runs
            if INPUTS["evaluation"] in each.outputs
        ),
        blessed=run.blessed,
        title=run.properties["title"],
        run=run.id,
        config=json.loads(run.properties["run_config"]),
        # A run whose report came from the cache judged nothing new: no second point in the chart.
        history=tuple(each.summary() for each in first_of_each_report(runs)),
        decisions=(run.decision,) if run.decision else (),
        lineage=tuple(
            (node, f"{key}: {artifact.type} {artifact.id}", artifact.uri)
            for (node, key), artifact in run.outputs.items()
        ),
        reproduce=_reproduce(run),
        other=Path(other.outputs[INPUTS["predictions"]].uri) if other else None,
        other_name=other.id if other else "",
        release=run.release or "",
        replaces=_replaces(run, runs),
        decide=decide_commands(run.id, workdir),
    )
    config = TypeAdapter(EvaluationConfig).validate_json(run.properties["config"])
    render.write(gather(sources, config), folder)
    return folder / REPORT


def _replaces(run: Run, runs: list[Run]) -> str:
    """Returns the release that is in use now, unless it is this run's; "" where there is none."""
    live = [each for each in runs if each.live and each.release != run.release]
    return f"release {live[-1].release} of run {live[-1].id}, in use now" if live else ""


def _reproduce(run: Run) -> tuple[str, ...]:
    """Returns what to type for the same model again."""
    tree = json.loads(run.properties["run_config"])
    lines = ["# config.yaml holds the configuration below without `name`", ""]
    lines.append(f"genq run --config config.yaml   # pipeline {tree.get('name', '')}")
    if run.release:
        lines.append(f"# published as release {run.release}")
    return tuple(line for line in lines if line)
