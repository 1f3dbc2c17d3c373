"""How pages are made: templates, filters, and a policy that names what may run.

In: a template and its values. Out: one HTML text. A page's only scripts and its stylesheet are
inlined and named by their hashes in its Content Security Policy; everything else is forbidden:
`default-src 'none'`. So it shows the same on a laptop without network, in a mail attachment and on
an internal server, and cannot send anything anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup, escape

from components.evaluation import checks
from components.evaluation.gaps import STATUSES
from components.evaluation.metrics import Measured
from components.evaluation.names import slice_label
from components.evaluation_report import artifacts

_HERE: Final = Path(__file__).parent
_DASH: Final = "\N{EN DASH}"
_MINUS: Final = "\N{MINUS SIGN}"
_TIED: Final = re.compile(r"(\([^()]* to [^()]*\)|\bn = [\d,]+(?: and [\d,]+)?|--[a-z]+)")
_DECIDE: Final = "<!--decide-->"
_DECIDED: Final = "<!--/decide-->"


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
        tied=tied,
        label=slice_label,
        count=lambda n: f"{n:,}",
        interval=_interval,
        tojson_script=_tojson_script,
    )
    env.globals.update(STATUSES=STATUSES, CHECKS=checks.STATUSES)
    return env


def page(
    template: str,
    *,
    form_action: str = "'none'",
    scripts: Sequence[str] = ("report.js",),
    **values: Any,
) -> str:
    """Renders a template with style, scripts and the policy that admits just these."""
    style = static("report.css")
    script = "\n".join(static(name) for name in scripts)
    policy = (
        f"default-src 'none'; style-src {source(style)}; script-src {source(script)}; "
        f"img-src data:; base-uri 'none'; form-action {form_action}"
    )
    return (
        environment()
        .get_template(template)
        .render(style=Markup(style), script=Markup(script), policy=policy, **values)
    )


def view(template: str, scripts: Sequence[str], **values: Any) -> str:
    """Renders a page of other people's elements, beside the report.

    Args:
      template: its name; gets `scripts` as they are to be inlined, and `values`.
      scripts: all that may run, those inside of `values` too.
      values: what else the template uses.
    """
    policy = (
        # Polymer, of which TFMA's and Facets' elements are made, writes style sheets as it goes.
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        f"form-action 'none'; script-src {' '.join(map(source, scripts))}"
    )
    return (
        environment()
        .get_template(template)
        .render(
            policy=Markup(policy),
            style=Markup(static("report.css")),
            scripts=[Markup(script) for script in scripts],
            report=artifacts.REPORT,
            **values,
        )
    )


def with_form(page: str, form: str) -> str:
    """Returns a report whose place for a decision holds a form, which its policy then lets send.

    A report on disk cannot send anything; a server that renders one can offer more.
    """
    before, start, rest = page.partition(_DECIDE)
    _, end, after = rest.partition(_DECIDED)
    quiet, open_ = (escape(f"form-action '{word}'") for word in ("none", "self"))
    return before.replace(str(quiet), str(open_)) + start + form + end + after


def form(template: str, **values: Any) -> str:
    """Renders a part of a page."""
    return environment().get_template(template).render(**values)


def static(name: str) -> str:
    """Returns a file of the folder `static`."""
    return (_HERE / "static" / name).read_text(encoding="utf-8")


def source(text: str) -> str:
    """Returns the hash by which a Content Security Policy names an inline text (CSP level 2)."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


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


def tied(text: str) -> Markup:
    """Returns HTML in which no line ends inside of an interval, "n = 832" or "--workdir"."""
    return Markup(_TIED.sub(r'<span class="tied">\1</span>', str(escape(text))))


def _interval(
    measured: Any, axis: tuple[float, float], marks: tuple[float, ...] = (), style: str = "a"
) -> Markup:
    """Returns a dot with its interval on a short axis, for a cell of a table.

    The figures stand beside it as text, so it is hidden from screen readers. A report has a hundred
    of them: by matplotlib each would take 4 kB and 20 ms.

    Args:
      measured: by this process, or read from a verdict; None draws nothing.
      axis: first and last value.
      marks: reference lines, e.g. a limit.
      style: class of the stylesheet.
    """
    if measured is None:
        return Markup("")
    found = measured if isinstance(measured, dict) else vars(measured)
    width, height = 120, 16

    def x(v: float) -> float:
        share = (v - axis[0]) / (axis[1] - axis[0] or 1)
        return round(3 + min(1.0, max(0.0, share)) * (width - 6), 1)

    lines = "".join(f'<path class="mark" d="M{x(m)} 1V{height - 1}"/>' for m in marks)
    drawn = ""
    if None not in (found["value"], found["low"], found["high"]):
        low, high = x(found["low"]), x(found["high"])
        drawn = (
            f'<path class="whisker {style}" d="M{low} {height / 2}H{high}"/>'
            f'<circle class="dot {style}" cx="{x(found["value"])}" cy="{height / 2}" r="3.2"/>'
        )
    # Numbers only.
    return Markup(
        f'<svg class="interval" viewBox="0 0 {width} {height}" aria-hidden="true">'
        f'<path class="grid" d="M3 {height / 2}H{width - 3}"/>{lines}{drawn}</svg>'
    )


def _tojson_script(value: Any) -> Markup:
    """Returns JSON that cannot end its script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
