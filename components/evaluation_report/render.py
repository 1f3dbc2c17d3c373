"""From Content to files: report, model card, metrics.json, and the views of TFMA and Facets.

How a page is made is in pages.py.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from components.evaluation import checks
from components.evaluation.metrics import titles
from components.evaluation_report import (
    artifacts,
    curves,
    facets_view,
    gallery,
    provenance,
    risks,
    tfma_view,
)
from components.evaluation_report.comparison import join
from components.evaluation_report.content import Content
from components.evaluation_report.for_programs import metrics_json
from components.evaluation_report.pages import page
from components.predictions import table
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
    s, rows, history, label = content.sources, content.rows, content.history, content.label
    before = _before(content)
    chosen = gallery.choose(rows, content.config.gallery_images, before)
    if s.photos is not None:
        pictures = gallery.read_files(s.photos, chosen)
    else:
        pictures = gallery.read_pictures(s.test_files, chosen)
    while pictures and sum(map(len, pictures.values())) > MAX_BYTES // 2:
        pictures.popitem()
    doubts = gallery.find_doubts(rows, chosen, content.predictions, _fingerprints(content), label)
    cards, filters = gallery.cards(rows, chosen, pictures, label, doubts)
    both = len(set(rows[contract.LABEL])) == 2
    figures = {
        "roc": curves.roc(rows, label) if both else "",
        "pr": curves.precision_recall(rows, label) if both else "",
        "calibration": curves.calibration(rows, content.temperature),
        "scores": curves.scores(rows, content.uncertain_below, label),
        "loss": curves.training(history, "loss") if history is not None else "",
        "accuracy": curves.training(history, "accuracy") if history is not None else "",
        # One point is a figure of the table, no history.
        "runs": curves.history(s.history, "accuracy") if len(s.history) > 1 else "",
    }
    return page(
        "report.html.j2",
        scripts=("report.js", "explorer.js", "gallery.js"),
        content=content,
        METRICS=titles(label),
        views=[(VIEWS[name], name) for name in views],
        figures={name: Markup(svg) for name, svg in figures.items()},
        counted=checks.count(content.checks),
        checks_sentence=checks.sentence(content.checks),
        deciding=checks.deciding(content.checks),
        meaning=risks.in_words(content.overall),
        whose=provenance.people_and_images(rows, content.overall.people, s.split),
        cards=cards,
        filters=filters,
        kinds={k: v for k, v in gallery.KINDS.items() if any(k in c.kinds for c in cards)},
        other=content.comparison.name if content.comparison else "the model before",
        intersections=intersections(content),
        axis=_axis(content),
        counts={one.name: one.n for one in (content.overall, *content.slices)},
        slider=content.slider,
    )


def _before(content: Content) -> NDArray[np.float64] | None:
    """Returns what the model said that this one is compared with: the other run's, or the baseline.

    (n,), NaN where it did not say anything; None without one.
    """
    rows, other = content.rows, content.sources.other
    if other is not None:
        theirs = table.load(other).split(content.sources.split)
        said = join(rows, theirs).set_index(contract.IMAGE_ID)[table.BASELINE_P_POSITIVE]
        return rows[contract.IMAGE_ID].map(said).to_numpy(np.float64)
    if table.BASELINE_P_POSITIVE in rows and rows[table.BASELINE_P_POSITIVE].notna().any():
        return rows[table.BASELINE_P_POSITIVE].to_numpy(np.float64)
    return None


def _fingerprints(content: Content) -> pd.DataFrame:
    """Returns those of all splits, or, where they are not kept, of the split alone."""
    if (content.sources.predictions / table.FINGERPRINTS).is_file():
        return table.load_fingerprints(content.sources.predictions)
    fingerprints: pd.DataFrame = content.rows[table.FINGERPRINT_SCHEMA.names]
    return fingerprints


def model_card(content: Content, name: str) -> str:
    """Returns the card in HTML or Markdown, by the file's name."""
    return page(
        f"{name}.j2",
        content=content,
        METRICS=titles(content.label),
        checks_sentence=checks.sentence(content.checks),
        deciding=checks.deciding(content.checks),
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


def _axis(content: Content) -> tuple[float, float]:
    """Returns the range of the accuracies' intervals, on round numbers."""
    judged = (one for one in content.slices if not one.notes)
    lows = [one.metrics["accuracy"].low for one in (content.overall, *judged)]
    return (max(0.0, int(min(lows) * 10) / 10), 1.0)
