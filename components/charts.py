"""One look for all charts: matplotlib's, as SVG in the page's colours or as a PNG.

In: what to plot. Out: axes to plot on, and inline SVG that follows the page's light, dark and print
schemes; it runs nothing, and its text stays text.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Sequence
from html import escape
from typing import Any, Final, cast

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

PALETTE: Final = {
    "a": "#0b6a75",
    "b": "#a39a8b",
    "c": "#b4593a",
    "d": "#a3182f",
    "soft": "#5d5850",
    "faint": "#6a6459",
    "rule": "#e4dfd3",
}
"""Variables of the page's stylesheet -> their light colours, which SVG names and a PNG has."""
QUIET: Final[dict[str, Any]] = {
    "color": PALETTE["faint"],
    "linewidth": 0.75,
    "linestyle": (0, (4, 4)),
}
"""Of reference lines."""
_RENDERING = threading.Lock()
"""Matplotlib's settings belong to the process; a dashboard renders in several threads."""


def axes(
    figure: Figure | None = None, place: tuple[int, int, int] = (1, 1, 1), **what: Any
) -> Axes:
    """Returns empty axes in the look of the report.

    Args:
      figure: where they go; a new one without.
      place: rows, columns and number in the figure.
      what: labels and limits, as `Axes.set` takes them.
    """
    figure = figure or Figure(figsize=(4.8, 3.34), layout="constrained")
    made = figure.add_subplot(*place)
    made.grid(axis="y", color=PALETTE["rule"], linewidth=0.75)
    made.set_axisbelow(True)
    made.spines[["left", "right", "top"]].set_visible(False)
    made.spines["bottom"].set_color(PALETTE["faint"])
    made.tick_params(length=0, labelcolor=PALETTE["soft"], labelsize=9)
    for axis in (made.xaxis, made.yaxis):
        axis.label.set(color=PALETTE["soft"], size=9.4)
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    made.set(**what)
    return made


def svg(drawn: Axes, title: str, description: str) -> str:
    """Returns what was drawn as an inline element, with its legend below.

    Args:
      drawn: alone in its figure.
      title: what it shows; read to those who do not see it.
      description: what is to be seen in it, in a sentence.
    """
    file = io.StringIO()
    with _RENDERING, rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        cast(Figure, drawn.figure).savefig(file, format="svg", transparent=True)
    text = file.getvalue()
    content = text[text.index("</metadata>") : text.rindex("</svg>")].removeprefix("</metadata>")
    [box] = re.findall(r'viewBox="[^"]+"', text)
    content = re.sub(r"<style.*?</style>|<!--.*?-->|\n *", "", content, flags=re.DOTALL)
    # Ids that nothing refers to would stand in the page once a chart.
    content = re.sub(r' id="(?!m[0-9a-f]{10}|p[0-9a-f]{10})[^"]*"', "", content)
    content = re.sub(r' style="([^"]*)"', _attributes, content)
    content = re.sub(r"(\d\.\d\d)\d+", r"\1", content)
    for name, colour in PALETTE.items():
        content = content.replace(colour, f"var(--{name})")
    names = f"<title>{escape(title)}</title>"
    legend = "".join(
        f'<li><span class="swatch {_style(handle)}"></span>{escape(str(label))}</li>'
        for handle, label in zip(*drawn.get_legend_handles_labels(), strict=True)
    )
    return (
        f'<svg class="chart" {box} role="img" aria-label="{escape(title)}: {escape(description)}">'
        f"{names}{content}</svg>" + (f'<ul class="legend">{legend}</ul>' if legend else "")
    )


def _attributes(style: re.Match[str]) -> str:
    """Returns attributes in place of a style, which the page's policy forbids."""
    pairs = (pair.split(": ", 1) for pair in style[1].split("; ") if pair)
    return "".join(f' {name}="{value}"' for name, value in pairs if not name.startswith("font"))


def _style(handle: Any) -> str:
    """Returns the variable of the colour that a line or an area has."""
    colour = handle.get_color() if hasattr(handle, "get_color") else handle.get_facecolor()
    return next(name for name, known in PALETTE.items() if known == to_hex(colour))


def training(drawn: Axes, metric: str, phases: Sequence[str], **series: Any) -> None:
    """Draws a metric of training and validation by epoch, with a line where a phase begins.

    Args:
      drawn: empty axes.
      metric: its name.
      phases: of each epoch.
      series: name -> values; the last on top.
    """
    epochs = np.arange(1, len(phases) + 1)
    for (name, values), colour in zip(series.items(), ("b", "a"), strict=False):
        marker = "o" if len(epochs) < 30 else ""
        drawn.plot(epochs, values, color=PALETTE[colour], label=name, marker=marker, markersize=4)
    for begun in (i for i, phase in enumerate(phases) if i == 0 or phase != phases[i - 1]):
        drawn.axvline(begun + 0.5, **QUIET)
        drawn.annotate(
            phases[begun],
            (begun + 0.5, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, -10),
            textcoords="offset points",
            fontsize=8,
            color=PALETTE["faint"],
        )
    drawn.set(xlabel="epoch", ylabel=metric)
    drawn.margins(y=0.12)  # the phases' names stand above the lines
    drawn.xaxis.set_major_locator(MaxNLocator(5, integer=True))
