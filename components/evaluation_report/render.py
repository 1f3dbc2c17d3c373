"""From Content to files: report.html, model_card.html, model_card.md, metrics.json.

The page's only script and stylesheet are inlined and named by their hashes in its Content Security
Policy; everything else is forbidden: `default-src 'none'`. So it shows the same on a laptop without
network, in a mail attachment and on an internal server, and cannot send anything anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from components.evaluation.gaps import STATUSES
from components.evaluation.intervals import critical
from components.evaluation.metrics import METRICS, Measured
from components.evaluation_report import artifacts, charts, curves, gallery
from components.evaluation_report.content import Content, metrics_json, thresholds
from data import contract

_HERE: Final = Path(__file__).parent
MAX_BYTES: Final = 5_000_000
"""The report's largest size; a gallery that would exceed it is cut."""


_DASH: Final = "\N{EN DASH}"
_MINUS: Final = "\N{MINUS SIGN}"


def environment() -> jinja2.Environment:
    """Returns the templates, with the filters that they use; everything is escaped by default."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=jinja2.select_autoescape(default_for_string=True, default=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        rate=rate,
        bounds=bounds,
        signed=signed,
        label=slice_label,
        count=lambda n: f"{n:,}",
        interval=_interval,
        tojson_script=_tojson_script,
    )
    env.globals.update(METRICS=METRICS, STATUSES=STATUSES, LABELS=contract.LABELS)
    return env


def write(content: Content, folder: Path) -> None:
    """Writes the four files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / artifacts.METRICS).write_text(metrics_json(content))
    (folder / artifacts.REPORT).write_text(report(content), encoding="utf-8")
    for name in (artifacts.MODEL_CARD_HTML, artifacts.MODEL_CARD_MD):
        (folder / name).write_text(model_card(content, name), encoding="utf-8")


def report(content: Content) -> str:
    """Returns the page."""
    errors, uncertain = gallery.choose(content.rows, content.config.gallery_images)
    wanted = {*errors[contract.IMAGE_ID], *uncertain[contract.IMAGE_ID]}
    if content.sources.photos is not None:
        pictures = gallery.read_files(content.sources.photos, wanted)
    else:
        pictures = gallery.read_pictures(content.sources.test_files, wanted)
    while pictures and sum(map(len, pictures.values())) > MAX_BYTES // 2:
        pictures.popitem()
    rows, history = content.rows, content.history
    figures = {
        "roc": curves.roc(rows) if len(set(rows[contract.LABEL])) == 2 else "",
        "pr": curves.precision_recall(rows) if len(set(rows[contract.LABEL])) == 2 else "",
        "calibration": curves.calibration(rows, content.temperature),
        "scores": curves.scores(rows, content.uncertain_below),
        "loss": curves.training(history, "loss") if history is not None else "",
        "accuracy": curves.training(history, "accuracy") if history is not None else "",
        "runs": curves.history(content.sources.history, "accuracy")
        if content.sources.history
        else "",
    }
    return page(
        "report.html.j2",
        content=content,
        figures={name: Markup(svg) for name, svg in figures.items()},
        errors=gallery.cards(errors, pictures),
        uncertain=gallery.cards(uncertain, pictures),
        intersections=intersections(content),
        axis=_axis(content),
        counts={one.name: one.n for one in (content.overall, *content.slices)},
        blocking=_reasons(content, blocking=True),
        warnings=_reasons(content, blocking=False),
        slider={**content.slider, "z": float(critical(content.config.confidence))},
    )


def model_card(content: Content, name: str) -> str:
    """Returns the card in HTML or Markdown, by the file's name."""
    return page(f"{name}.j2", content=content, demanded=thresholds(content.config))


def page(template: str, *, form_action: str = "'none'", **values: Any) -> str:
    """Renders a template with style, script and the policy that admits just these."""
    style = (_HERE / "static" / "report.css").read_text()
    script = (_HERE / "static" / "report.js").read_text()
    policy = (
        f"default-src 'none'; style-src '{_source(style)}'; script-src '{_source(script)}'; "
        f"img-src data:; base-uri 'none'; form-action {form_action}"
    )
    return (
        environment()
        .get_template(template)
        .render(style=Markup(style), script=Markup(script), policy=policy, **values)
    )


def _source(text: str) -> str:
    """Returns the hash by which a Content Security Policy names an inline text (CSP level 2)."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256-{digest}"


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
    blocks += sum(each["status"] == "exceeds" for each in (*verdict["gaps"], *verdict["floors"]))
    reasons: list[str] = verdict["reasons"]
    return reasons[:blocks] if blocking else reasons[blocks:]


def _axis(content: Content) -> tuple[float, float]:
    """Returns the range of the accuracies' intervals, on round numbers."""
    lows = [one.metrics["accuracy"].low for one in (content.overall, *content.slices)]
    return (max(0.0, int(min(lows) * 10) / 10), 1.0)


def rate(value: float | None, digits: int = 3) -> str:
    """0.91234 -> "0.912"; a dash for what is not defined."""
    return _DASH if value is None or value != value else f"{value:.{digits}f}"


def bounds(measured: Measured | None) -> str:
    """Returns "low to high"."""
    return "" if measured is None else f"{measured.low:.3f} to {measured.high:.3f}"


def signed(value: float | None) -> str:
    """0.0123 -> "+0.012"; a true minus sign, so that digits align."""
    if value is None or value != value:
        return _DASH
    return f"{value:+.3f}".replace("-", _MINUS)


def slice_label(name: str) -> str:
    """ "Wearing_Hat=1, Male=0" -> "Wearing Hat · not Male"; "male (Bald=1)" -> "male (Bald)"."""
    head, bracket, rest = name.partition(" (")
    if bracket:
        return f"{head} ({slice_label(rest.rstrip(')'))})"
    parts = []
    for part in name.split(", "):
        feature, equals, value = part.partition("=")
        shown = feature.replace("_band", "").replace("_", " ")
        if not equals:
            parts.append(shown)
        elif value in ("0", "1"):
            parts.append(shown if value == "1" else f"not {shown}")
        else:
            parts.append(f"{shown}: {value}")
    return " · ".join(parts)


def _interval(
    measured: Any, axis: tuple[float, float], marks: tuple[float, ...] = (), style: str = "a"
) -> Markup:
    if measured is None:
        return Markup("")
    # Measured by this process, or read from a verdict.
    found = measured if isinstance(measured, dict) else vars(measured)
    svg = charts.interval(
        found["value"], found["low"], found["high"], axis=axis, marks=marks, style=style
    )
    return Markup(svg)  # numbers only


def _tojson_script(value: Any) -> Markup:
    """Returns JSON that cannot end its script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
