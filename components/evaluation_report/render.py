"""From Content to files: report, model card, metrics.json, and the views of TFMA and Facets.

How a page is made is in pages.py.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from components.evaluation.metrics import titles
from components.evaluation_report import artifacts, curves, facets_view, gallery, tfma_view
from components.evaluation_report.content import Content, metrics_json, thresholds
from components.evaluation_report.pages import page
from data import contract

MAX_BYTES: Final = 5_000_000
"""The report's largest size; a gallery that would exceed it is cut."""
VIEWS: Final = {
    artifacts.TFMA: "TensorFlow Model Analysis",
    artifacts.FACETS: "Facets on the statistics",
}
"""Pages beside the report -> their names."""


def write(content: Content, folder: Path) -> None:
    """Writes the files of artifacts.py into `folder`; views where there are sources."""
    folder.mkdir(parents=True, exist_ok=True)
    views = _views(content)
    for name, text in views.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / artifacts.METRICS).write_text(metrics_json(content))
    (folder / artifacts.REPORT).write_text(report(content, tuple(views)), encoding="utf-8")
    for name in (artifacts.MODEL_CARD_HTML, artifacts.MODEL_CARD_MD):
        (folder / name).write_text(model_card(content, name), encoding="utf-8")


def _views(content: Content) -> dict[str, str]:
    """Returns the pages that stand beside the report: file -> text."""
    s = content.sources
    views: dict[str, str | None] = {}
    if s.evaluation is not None:
        views[artifacts.TFMA] = tfma_view.page(
            s.evaluation, title=s.title, run=s.run, runs=s.evaluations
        )
    if s.statistics is not None:
        views[artifacts.FACETS] = facets_view.page(s.statistics, title=s.title, run=s.run)
    return {name: text for name, text in views.items() if text is not None}


def report(content: Content, views: Collection[str] = ()) -> str:
    """Returns the page.

    Args:
      content: what it says.
      views: files beside it that it links to.
    """
    errors, uncertain = gallery.choose(content.rows, content.config.gallery_images)
    wanted = {*errors[contract.IMAGE_ID], *uncertain[contract.IMAGE_ID]}
    if content.sources.photos is not None:
        pictures = gallery.read_files(content.sources.photos, wanted)
    else:
        pictures = gallery.read_pictures(content.sources.test_files, wanted)
    while pictures and sum(map(len, pictures.values())) > MAX_BYTES // 2:
        pictures.popitem()
    rows, history, label = content.rows, content.history, content.label
    figures = {
        "roc": curves.roc(rows, label) if len(set(rows[contract.LABEL])) == 2 else "",
        "pr": curves.precision_recall(rows, label) if len(set(rows[contract.LABEL])) == 2 else "",
        "calibration": curves.calibration(rows, content.temperature, label),
        "scores": curves.scores(rows, content.uncertain_below, label),
        "loss": curves.training(history, "loss") if history is not None else "",
        "accuracy": curves.training(history, "accuracy") if history is not None else "",
        "runs": curves.history(content.sources.history, "accuracy")
        if content.sources.history
        else "",
    }
    return page(
        "report.html.j2",
        content=content,
        METRICS=titles(label),
        views=[(VIEWS[name], name) for name in views],
        figures={name: Markup(svg) for name, svg in figures.items()},
        errors=gallery.cards(errors, pictures, label),
        uncertain=gallery.cards(uncertain, pictures, label),
        intersections=intersections(content),
        axis=_axis(content),
        counts={one.name: one.n for one in (content.overall, *content.slices)},
        blocking=_reasons(content, blocking=True),
        warnings=_reasons(content, blocking=False),
        slider=content.slider,
    )


def model_card(content: Content, name: str) -> str:
    """Returns the card in HTML or Markdown, by the file's name."""
    return page(
        f"{name}.j2",
        content=content,
        METRICS=titles(content.label),
        demanded=thresholds(content.config),
    )


def intersections(content: Content) -> list[dict[str, Any]]:
    """Returns a grid for each pair of features: rows by the first, columns by the second."""
    grids: dict[tuple[str, str], dict[str, Any]] = {}
    for one in content.slices:
        if len(one.key) != 2:
            continue
        (first, row), (second, column) = one.key
        grid = grids.setdefault(
            (first, second),
            {"first": first, "second": second, "rows": [], "columns": [], "cells": {}},
        )
        for values, value in ((grid["rows"], row), (grid["columns"], column)):
            if value not in values:
                values.append(value)
        grid["cells"][f"{row}|{column}"] = one
    for grid in grids.values():
        for values in (grid["rows"], grid["columns"]):
            values.sort(key=lambda v: (isinstance(v, str), v))
    return [grids[key] for key in sorted(grids)]


def _reasons(content: Content, *, blocking: bool) -> list[str]:
    """Returns the gate's reasons; see components/fairness_gate.py for their order."""
    verdict = content.verdict
    if verdict is None:
        return []
    blocks = sum(f["blocks"] for f in verdict["findings"])
    lists = ("thresholds", "changes", "gaps", "floors")
    # A verdict of an earlier version lacks the first two.
    blocks += sum(e["status"] == "exceeds" for name in lists for e in verdict.get(name, ()))
    reasons: list[str] = verdict["reasons"]
    return reasons[:blocks] if blocking else reasons[blocks:]


def _axis(content: Content) -> tuple[float, float]:
    """Returns the range of the accuracies' intervals, on round numbers."""
    lows = [one.metrics["accuracy"].low for one in (content.overall, *content.slices)]
    return (max(0.0, int(min(lows) * 10) / 10), 1.0)
