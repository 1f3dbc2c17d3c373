"""What axe-core finds in a page, at the widths and in the schemes that reviewers have."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from playwright.sync_api import Browser, Page

AXE = Path(__file__).parents[2] / "serving/web/node_modules/axe-core/axe.min.js"
VIEWS = tuple(itertools.product((1440, 1024, 390), ("light", "dark")))
HEIGHT = 900


def opened_at(
    browser: Browser, url: str, width: int = 1280, scheme: str = "light", *, offline: bool = True
) -> Page:
    """A page in a context of its own, which the caller closes."""
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHT}, color_scheme=scheme, offline=offline
    )
    page = context.new_page()
    page.goto(url)
    return page


@dataclass
class Opened:
    """A page, with what it asked for and complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@contextmanager
def watched(browser: Browser, url: str) -> Iterator[Opened]:
    """A page without network, that is listened to from the start."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, offline=True)
    opened = Opened(context.new_page())
    opened.page.on("request", lambda r: opened.requests.append(r.url))
    opened.page.on("console", lambda m: opened.problems.append(f"{m.type}: {m.text}"))
    opened.page.on("pageerror", lambda e: opened.problems.append(str(e)))
    opened.page.goto(url)
    yield opened
    context.close()


def need_axe(lacking: Callable[[str], NoReturn]) -> None:
    """Ends the test where axe-core is not installed."""
    if not AXE.is_file():
        lacking("axe-core is not there: `make web` installs it.")


def axe(page: Page) -> list[str]:
    """What axe-core finds, by rule."""
    # Evaluated, not added as a script, which the page's own policy forbids, rightly.
    page.evaluate(AXE.read_text())
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{v['id']}: {[n['target'] for n in v['nodes']]} {v['nodes'][0]['failureSummary']}"
        for v in found["violations"]
    ]


def faults(page: Page) -> list[str]:
    """What axe-core finds; and whether the page is wider than its window."""
    too_wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return axe(page) + (["the page is wider than the window"] if too_wide else [])
