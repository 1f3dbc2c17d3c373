"""What a reviewer sees first, of four models: good, unfair, constant, worse than its baseline."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from accessible import HEIGHT, faults, need_axe, opened_at
from playwright.sync_api import Browser
from scored import write_predictions

from components.evaluation.checks import deciding, read_checks
from components.evaluation.config import EvaluationConfig
from components.evaluation.metrics import THRESHOLD
from components.evaluation_report import render
from components.evaluation_report.content import Sources, gather
from components.fairness_gate import as_json, judge, passes
from components.predictions import table
from data import contract

CONFIG = EvaluationConfig()
FIRST = {
    "good": "",
    "unfair": "Gap between groups in accuracy",
    "constant": "Answers depend on the image",
    "worse": "Accuracy against the baseline, all images",
}
"""What must be named as the reason, in the first place or beside what follows from it."""


def say(rows: pd.DataFrame, case: str) -> pd.DataFrame:
    """Rows with the answers of such a model, and of a good baseline."""
    rng = np.random.default_rng(1)
    label = rows[contract.LABEL].to_numpy()
    sure = (2 * label - 1) * 4 + rng.normal(0, 1.6, len(rows))
    logit = {
        "good": sure,
        "unfair": np.where(
            (rows["Smiling"] == 1) & (label == 0) & (rng.random(len(rows)) < 0.4), 3.0, sure
        ),
        "constant": np.full(len(rows), -1.5),
        "worse": 0.5 * sure + rng.normal(0, 1, len(rows)),
    }[case]
    for name, uncertain, value in (
        (contract.P_POSITIVE, contract.UNCERTAIN, logit),
        (table.BASELINE_P_POSITIVE, table.BASELINE_UNCERTAIN, sure),
    ):
        rows[name] = (1 / (1 + np.exp(-value))).astype(np.float32)
        rows[uncertain] = abs(rows[name] - THRESHOLD) < 0.1
    return rows


@pytest.fixture(scope="module", params=FIRST)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A report on one of the four, judged as the gates judge."""
    folder = tmp_path_factory.mktemp(request.param)
    write_predictions(folder / "predictions")
    file = folder / "predictions" / table.PREDICTIONS
    stored = say(pq.read_table(file).to_pandas(), request.param)
    pq.write_table(pa.Table.from_pandas(stored, schema=table.SCHEMA, preserve_index=False), file)
    rows = table.load(folder / "predictions").split("test")
    verdict = judge(rows, rows[table.FINGERPRINT_SCHEMA.names], CONFIG)
    right = ((rows[contract.P_POSITIVE] >= THRESHOLD) == (rows[contract.LABEL] == 1)).mean()
    tfx = bool(right >= CONFIG.min_accuracy)
    (folder / "verdict").mkdir()
    (folder / "verdict/verdict.json").write_text(as_json(verdict, CONFIG, evaluator_blessed=tfx))
    sources = Sources(
        predictions=folder / "predictions",
        verdict=folder / "verdict",
        blessed=tfx and passes(verdict, CONFIG),
        run="today",
        decide=("genq approve today --comment why", "genq reject today --comment why"),
    )
    content = gather(sources, CONFIG)
    render.write(content, folder / "report")
    return SimpleNamespace(name=request.param, report=folder / "report", content=content)


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_decision_and_reason_are_on_the_first_screen(
    browser: Browser, case: SimpleNamespace, width: int
) -> None:
    """On the report and on the card: the sentence, and what failed with figure and limit."""
    hangs_on = deciding(case.content.checks)
    assert ("failed" in {c.status for c in hangs_on}) == (case.name != "good")
    assert FIRST[case.name] in ["", *(c.name for c in hangs_on[:3])]
    for name in ("report.html", "model_card.html"):
        page = opened_at(browser, (case.report / name).as_uri(), width)
        box = page.locator(".verdict").first
        tone = {"good": ("good",)}.get(case.name, ("bad",))
        assert box.get_attribute("class").split()[1] in tone
        assert case.content.state.sentence in box.inner_text()
        for check, line in zip(hangs_on[:3], box.locator(".reasons li").all(), strict=True):
            shown = line.inner_text()
            assert check.name in shown and check.required in shown
            assert (check.measured or check.why) in shown
        found = box.bounding_box()
        assert found["y"] + found["height"] < HEIGHT
        page.context.close()


def test_at_a_desk_checks_risks_and_both_commands_need_no_scrolling(
    browser: Browser, case: SimpleNamespace
) -> None:
    """What fails comes first in the table, so that all of it is on the screen, or its beginning."""
    page = opened_at(browser, (case.report / "report.html").as_uri(), 1440)
    for part in (".checks tbody tr >> nth=0", ".risks", ".decide pre"):
        found = page.locator(part).bounding_box()
        assert found["y"] + found["height"] < HEIGHT, part
    page.context.close()


def test_nothing_is_hidden_from_anybody(
    browser: Browser, case: SimpleNamespace, lacking: Callable[[str], NoReturn]
) -> None:
    """Whatever the tone of the verdict, and where the images are gone."""
    need_axe(lacking)
    for width, scheme in ((1440, "light"), (390, "dark")):
        page = opened_at(browser, (case.report / "report.html").as_uri(), width, scheme)
        assert faults(page) == []
        page.context.close()


def test_the_file_says_what_its_programs_read(case: SimpleNamespace) -> None:
    """metrics.json has the same checks; the page is below its limit."""
    stored = json.loads((case.report / "metrics.json").read_text())
    assert tuple(read_checks(stored)) == case.content.checks
    assert (case.report / "report.html").stat().st_size < render.MAX_BYTES


def test_on_paper_a_table_that_goes_on_has_its_head(
    browser: Browser, case: SimpleNamespace
) -> None:
    """Chromium repeats the words of a head that is neither sticky nor made of buttons."""
    page = opened_at(browser, (case.report / "report.html").as_uri())
    page.emulate_media(media="print")
    head = page.locator("#slice-table thead th").first
    assert head.evaluate("e => getComputedStyle(e).position") == "static"
    assert head.locator("button").evaluate("e => getComputedStyle(e).display") == "contents"
    assert (
        page.locator("#slice-table").locator("..").evaluate("e => e.scrollHeight == e.clientHeight")
    )
    page.context.close()
