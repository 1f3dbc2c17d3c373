"""Small charts as inline SVG: text in, text out.

In: series of points. Out: SVG elements, whose colours come from the page's stylesheet by class, so
that they follow light, dark and print. No script and no library: the page must open offline and
stay small (plotly would add 4.8 MB, altair 0.9 MB).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

Points = Sequence[tuple[float, float]]

WIDTH: Final = 460
HEIGHT: Final = 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 44
_ids = itertools.count(1)


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
      name: in the legend; "" keeps it out.
      style: class of the stylesheet, "a" to "d"; "quiet" for reference lines.
      dots: marks each point.
    """

    name: str
    points: Points
    style: str = "a"
    dots: bool = False
    line: bool = True


@dataclass(frozen=True)
class Bars:
    """One histogram: bars from edges[i] to edges[i + 1]."""

    name: str
    edges: Sequence[float]
    heights: Sequence[float]
    style: str = "a"


@dataclass(frozen=True)
class Band:
    """An area between two lines, e.g. of an interval."""

    low: Points
    high: Points
    style: str = "a"


def chart(
    title: str,
    description: str,
    *,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    lines: Sequence[Series] = (),
    bars: Sequence[Bars] = (),
    bands: Sequence[Band] = (),
    x_ticks: Sequence[tuple[float, str]] = (),
) -> str:
    """Returns a chart with axes, grid and legend.

    Args:
      title: what it shows; read to those who do not see it.
      description: what is to be seen in it, in a sentence.
      x_label: of the axis.
      y_label: of the axis.
      x_range: first and last value of the axis.
      y_range: first and last value of the axis.
      lines: drawn above the bars.
      bars: histograms.
      bands: drawn below everything.
      x_ticks: positions and texts; "nice" numbers without.
    """
    x0, x1 = x_range
    y0, y1 = y_range

    def x(value: float) -> float:
        share = (value - x0) / (x1 - x0 or 1)
        return round(_LEFT + min(1.0, max(0.0, share)) * (WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        share = (value - y0) / (y1 - y0 or 1)
        return round(HEIGHT - _BOTTOM - min(1.0, max(0.0, share)) * (HEIGHT - _TOP - _BOTTOM), 1)

    def path(points: Points) -> str:
        return "M" + "L".join(f"{x(a)} {y(b)}" for a, b in points)

    number = next(_ids)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="chart-{number}-t chart-{number}-d">',
        f'<title id="chart-{number}-t">{escape(title)}</title>',
        f'<desc id="chart-{number}-d">{escape(description)}</desc>',
    ]
    for value in ticks(y0, y1):
        parts.append(f'<path class="grid" d="M{_LEFT} {y(value)}H{WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="tick end" x="{_LEFT - 8}" y="{y(value) + 4}">{value:g}</text>')
    for value, text in x_ticks or [(v, f"{v:g}") for v in ticks(x0, x1)]:
        parts.append(
            f'<text class="tick mid" x="{x(value)}" y="{HEIGHT - _BOTTOM + 18}">'
            f"{escape(text)}</text>"
        )
    parts.append(f'<path class="axis" d="M{_LEFT} {HEIGHT - _BOTTOM}H{WIDTH - _RIGHT}"/>')
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text class="label mid" x="{middle}" y="{HEIGHT - 6}">{escape(x_label)}</text>')
    centre = (_TOP + HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text class="label mid" transform="translate(14 {centre}) rotate(-90)">'
        f"{escape(y_label)}</text>"
    )
    for band in bands:
        outline = path([*band.low, *reversed(band.high)])
        parts.append(f'<path class="band {band.style}" d="{outline}Z"/>')
    for bar in bars:
        steps = []
        for left, right, height in zip(bar.edges, bar.edges[1:], bar.heights, strict=False):
            if height:
                steps.append(f"M{x(left)} {y(0)}V{y(height)}H{x(right)}V{y(0)}Z")
        parts.append(f'<path class="bar {bar.style}" d="{"".join(steps)}"/>')
    for line in lines:
        if line.line and len(line.points) > 1:
            parts.append(f'<path class="line {line.style}" d="{path(line.points)}"/>')
        if line.dots or len(line.points) == 1:
            parts.extend(
                f'<circle class="dot {line.style}" cx="{x(a)}" cy="{y(b)}" r="3"/>'
                for a, b in line.points
            )
    parts.append("</svg>")
    named = [*((b.name, b.style) for b in bars), *((s.name, s.style) for s in lines)]
    legend = "".join(
        f'<li><span class="swatch {style}"></span>{escape(name)}</li>'
        for name, style in named
        if name
    )
    if legend:
        parts.append(f'<ul class="legend">{legend}</ul>')
    return "".join(parts)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Returns round numbers in [low, high]: steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / wanted
    power = 10.0 ** np.floor(np.log10(raw))
    step = float(power * next(m for m in (1, 2, 5, 10) if m * power >= raw - 1e-12))
    first = np.ceil(low / step - 1e-9)
    count = int(np.floor(high / step + 1e-9) - first) + 1
    return [round(float((first + i) * step), 10) for i in range(count)]


def interval(
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    axis: tuple[float, float],
    marks: Sequence[float] = (),
    style: str = "a",
) -> str:
    """Returns a dot with its interval on a short axis, for a cell of a table.

    The figures stand beside it as text, so it is hidden from screen readers.

    Args:
      value: of the dot; None draws nothing.
      low: of the interval.
      high: of the interval.
      axis: first and last value.
      marks: reference lines, e.g. a limit.
      style: class of the stylesheet.
    """
    width, height = 120, 16

    def x(v: float) -> float:
        share = (v - axis[0]) / (axis[1] - axis[0] or 1)
        return round(3 + min(1.0, max(0.0, share)) * (width - 6), 1)

    lines = "".join(f'<path class="mark" d="M{x(m)} 1V{height - 1}"/>' for m in marks)
    drawn = ""
    if value is not None and low is not None and high is not None:
        drawn = (
            f'<path class="whisker {style}" d="M{x(low)} {height / 2}H{x(high)}"/>'
            f'<circle class="dot {style}" cx="{x(value)}" cy="{height / 2}" r="3.2"/>'
        )
    return (
        f'<svg class="interval" viewBox="0 0 {width} {height}" aria-hidden="true">'
        f'<path class="grid" d="M3 {height / 2}H{width - 3}"/>{lines}{drawn}</svg>'
    )
