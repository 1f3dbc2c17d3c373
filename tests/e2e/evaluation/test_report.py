"""The report: its figures recomputed independently, and the page in a browser without network.

tests/conftest.py says which browser. Screenshots go to GENQ_SCREENSHOTS if that is set.
"""

import dataclasses
import io
import itertools
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from playwright.sync_api import Page
from sklearn import metrics as sk
from statsmodels.stats.proportion import proportion_confint

from components.evaluation.config import EvaluationConfig
from components.evaluation.state import state
from components.evaluation_report import render
from components.evaluation_report.content import Sources, gather
from components.fairness_gate import as_json, judge
from components.predictions import table
from components.trainer.compute import Compute
from data import contract

CONFIG = EvaluationConfig(gallery_images=12)
HISTORY = """phase,epoch,accuracy,loss,val_accuracy,val_loss
head,1,0.7,0.6,0.69,0.61
head,2,0.8,0.5,0.78,0.52
fine_tune,1,0.9,0.3,0.86,0.35
"""
CALIBRATION = {
    "calibration": {"temperature": 1.7, "uncertain_below": 0.1},
    "ece_before": 0.05,
    "ece_after": 0.02,
    "nll_before": 0.3,
    "nll_after": 0.2,
    "abstention": 0.06,
    "error_outside": 0.02,
    "target_error": 0.02,
    "target_met": True,
}


@dataclass(frozen=True)
class Made:
    """What a run left, and the report on it."""

    folder: Path
    rows: pd.DataFrame
    metrics: dict

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report" / "report.html"


def write_predictions(folder: Path, n: int = 1500) -> pd.DataFrame:
    """Scores of a fair model that is worse with glasses; and of a baseline."""
    rng = np.random.default_rng(5)
    rows = pd.DataFrame({name: rng.integers(0, 2, n) for name in contract.ATTRIBUTES})
    rows["Bald"] = (rng.random(n) < 0.02).astype(int)
    label = rows[contract.MALE].to_numpy()
    noise = np.where(rows["Eyeglasses"] == 1, 2.6, 1.3)
    logit = (2 * label - 1) * 2 + rng.normal(0, 1, n) * noise
    rows[contract.LABEL] = label
    for name, uncertain, extra in (
        (contract.P_POSITIVE, contract.UNCERTAIN, 0.0),
        (table.BASELINE_P_POSITIVE, table.BASELINE_UNCERTAIN, 0.8),
    ):
        rows[name] = (1 / (1 + np.exp(-logit - extra * rng.normal(0, 1, n)))).astype(np.float32)
        rows[uncertain] = abs(rows[name] - 0.5) < 0.1
    rows[table.SPLIT] = "test"
    rows[contract.IMAGE_ID] = [f"{i:06d}.jpg" for i in range(n)]
    # One image a person: then intervals are Wilson's, which statsmodels has (test_clusters.py).
    rows[contract.IDENTITY] = np.arange(n)
    rows[table.SHA256] = [f"{i:064x}" for i in range(n)]
    for name in (contract.BRIGHTNESS, contract.SHARPNESS, contract.IMAGE_BYTES):
        rows[name] = rng.normal(100, 20, n).astype(int)
    # The whole partition: these images, and half as many women again.
    natural = pd.concat([rows, rows[label == 0].head(n // 4)], ignore_index=True)
    natural[contract.IMAGE_ID] = [f"{i:06d}.jpg" for i in range(len(natural))]
    natural[contract.IDENTITY] = np.arange(len(natural))
    natural[table.SPLIT] = contract.TEST_NATURAL
    folder.mkdir(parents=True)
    stored = pd.concat([rows, natural], ignore_index=True).reindex(columns=table.SCHEMA.names)
    pq.write_table(pa.Table.from_pandas(stored, schema=table.SCHEMA), folder / table.PREDICTIONS)
    (folder / table.SCORING).write_text("{}")
    return table.load(folder).split("test")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("report")
    rows = write_predictions(folder / "predictions")
    verdict = judge(rows, rows[table.FINGERPRINT_SCHEMA.names], CONFIG)
    for name in ("verdict", "model_run", "photos"):
        (folder / name).mkdir()
    (folder / "verdict/verdict.json").write_text(as_json(verdict, CONFIG, evaluator_blessed=True))
    (folder / "model_run/history.csv").write_text(HISTORY)
    (folder / "model_run/calibration.json").write_text(json.dumps(CALIBRATION))
    cost = Compute(1234.4, 2400.2, 9, 3, "Example 9000", 2, (), "float32")
    (folder / "model_run/compute.json").write_text(json.dumps(dataclasses.asdict(cost)))
    rng = np.random.default_rng(0)
    for image_id in rows[contract.IMAGE_ID]:
        pixels = rng.integers(60, 220, (218, 178, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG")
        (folder / "photos" / image_id).write_bytes(buffer.getvalue())
    past = {"run": "yesterday", "n": 900, "blessed": False, "release": None, "live": False}
    past["state"] = state(False, "passed")
    value = {"value": 0.8, "low": 0.77, "high": 0.83}
    sources = Sources(
        predictions=folder / "predictions",
        verdict=folder / "verdict",
        model_run=folder / "model_run",
        photos=folder / "photos",
        blessed=False,
        run="today",
        title="<b>genq</b> & co",
        history=(
            {**past, "metrics": {"accuracy": value, "auc": value}, "decision": None},
            {**past, "run": "today", "metrics": {"accuracy": value}, "decision": "rejected by A"},
        ),
        lineage=(("trainer", "Model 3", "somewhere"),),
        reproduce=("genq run",),
    )
    render.write(gather(sources, CONFIG), folder / "report")
    return Made(folder, rows, json.loads((folder / "report/metrics.json").read_text()))


def part_of(rows: pd.DataFrame, key: list) -> pd.DataFrame:
    for feature, value in key:
        rows = rows[rows[feature] == value]
    return rows


@pytest.mark.parametrize("split", ["test", contract.TEST_NATURAL])
def test_metrics_of_every_slice_are_scikit_learns_and_statsmodels(made: Made, split: str) -> None:
    """Values, counts and Wilson bounds of all slices, recomputed from the Parquet file alone."""
    raw = pq.read_table(made.folder / "predictions/predictions.parquet").to_pandas()
    raw = table.add_bands(raw[raw[table.SPLIT] == split])
    measured = [made.metrics["overall"], *made.metrics["slices"]]
    if split == contract.TEST_NATURAL:
        measured = made.metrics["natural"]
        assert measured[0]["metrics"]["share_positive"]["value"] < 0.45
    assert len(measured) > 40
    for one in measured:
        part = part_of(raw, one["key"])
        y, p = part[contract.LABEL].to_numpy(), part[contract.P_POSITIVE].to_numpy(np.float64)
        called = (p >= 0.5).astype(int)
        found = one["metrics"]
        assert one["n"] == len(part)
        tn, fp, fn, tp = sk.confusion_matrix(y, called, labels=[0, 1]).ravel()
        rates = {
            "accuracy": (tp + tn, len(y)),
            "precision_positive": (tp, tp + fp),
            "recall_positive": (tp, tp + fn),
            "precision_negative": (tn, tn + fn),
            "recall_negative": (tn, tn + fp),
            "fpr": (fp, fp + tn),
            "fnr": (fn, fn + tp),
            "abstention": (part[contract.UNCERTAIN].sum(), len(y)),
        }
        for name, (count, of) in rates.items():
            if not of:
                assert name not in found
                continue
            low, high = proportion_confint(count, of, 0.05, method="wilson")
            assert found[name]["n"] == of
            np.testing.assert_allclose(
                [found[name][k] for k in ("value", "low", "high")],
                [count / of, low, high],
                atol=1e-12,
            )
        expected = {
            "f1_positive": sk.f1_score(y, called, pos_label=1, zero_division=0),
            "f1_negative": sk.f1_score(y, called, pos_label=0, zero_division=0),
        }
        if 0 < y.sum() < len(y):
            expected |= {
                "balanced_accuracy": sk.balanced_accuracy_score(y, called),
                "auc": sk.roc_auc_score(y, p),
                "average_precision_positive": sk.average_precision_score(y, p),
                "average_precision_negative": sk.average_precision_score(1 - y, -p),
            }
        for name, value in expected.items():
            if name in found:
                assert found[name]["value"] == pytest.approx(value, abs=1e-6)
        for name, m in found.items():
            assert 0 <= m["low"] <= m["value"] <= m["high"] <= 1, (one["name"], name)


def test_bootstrap_intervals_are_those_of_a_plain_bootstrap(made: Made) -> None:
    """AUC, its difference to the baseline and calibration error: resampled by index, in a loop."""
    rows = made.rows
    y, p = rows[contract.LABEL].to_numpy(), rows[contract.P_POSITIVE].to_numpy(np.float64)
    base = rows[table.BASELINE_P_POSITIVE].to_numpy(np.float64)
    rng = np.random.default_rng(1)
    draws = [rng.integers(0, len(y), len(y)) for _ in range(400)]
    auc = [sk.roc_auc_score(y[d], p[d]) for d in draws]
    change = [a - sk.roc_auc_score(y[d], base[d]) for a, d in zip(auc, draws, strict=True)]
    overall = made.metrics["overall"]
    for found, replicates in (
        (overall["metrics"]["auc"], auc),
        (overall["against_baseline"]["auc"], change),
    ):
        low, high = np.quantile(replicates, (0.025, 0.975))
        tolerance = 0.25 * (high - low)
        assert found["low"] == pytest.approx(low, abs=tolerance)
        assert found["high"] == pytest.approx(high, abs=tolerance)


def test_confusion_matrices_and_baseline_are_there(made: Made) -> None:
    """At every configured threshold; and the baseline's own figures."""
    y, p = made.rows[contract.LABEL], made.rows[contract.P_POSITIVE]
    assert [c["threshold"] for c in made.metrics["confusion"]] == [0.3, 0.5, 0.7]
    for c in made.metrics["confusion"]:
        tn, fp, fn, tp = sk.confusion_matrix(y, p >= c["threshold"]).ravel()
        assert [c[k] for k in ("true_neg", "false_pos", "false_neg", "true_pos")] == [
            tn,
            fp,
            fn,
            tp,
        ]
    baseline = made.metrics["baseline"]["metrics"]["auc"]["value"]
    assert baseline == pytest.approx(sk.roc_auc_score(y, made.rows[table.BASELINE_P_POSITIVE]))
    few = [s for s in made.metrics["slices"] if s["n"] < CONFIG.min_slice_examples]
    assert few and all("too few examples" in s["notes"][0] for s in few)


def test_the_model_card_tells_every_group_its_interval(made: Made) -> None:
    """Both forms; no bare figure, the limits, and what it must not be used for."""
    for name in ("model_card.md", "model_card.html"):
        text = (made.folder / "report" / name).read_text()
        for s in made.metrics["slices"]:
            accuracy = s["metrics"]["accuracy"]
            assert f"{accuracy['low']:.3f} to {accuracy['high']:.3f}" in text
        for words in ("Must not be used for", "no label of race", "non-commercial", "not measured"):
            assert words in text
        assert "1,234 s (2,400 s of processor time) for 9 epochs" in text
        assert "on no GPU, 2 cores of Example 9000, in float32; 3 more epochs" in text


@dataclass
class Opened:
    """A page, with what it asked for and complained about."""

    page: Page
    requests: list[str]
    problems: list[str]


@pytest.fixture
def opened(browser, made: Made):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    requests: list[str] = []
    problems: list[str] = []
    page.on("request", lambda r: requests.append(r.url))
    page.on("console", lambda m: problems.append(f"{m.type}: {m.text}"))
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.goto(made.report.as_uri())
    yield Opened(page, requests, problems)
    context.close()


def test_the_page_opens_without_network_and_without_complaint(opened: Opened, made: Made) -> None:
    """No request but the file and its inlined pictures, no console line, every chart drawn."""
    outside = [u for u in opened.requests if not u.startswith("data:")]
    assert outside == [made.report.as_uri()]
    assert opened.problems == []
    page = opened.page
    charts = page.locator("svg.chart")
    assert charts.count() == 7  # ROC, PR, calibration, scores, loss, accuracy, run history
    for i in range(7):
        assert charts.nth(i).locator("path.line, path.bar, .dot").count() >= 1
        assert charts.nth(i).bounding_box()["height"] > 150
    pictures = page.locator(".gallery img")
    assert pictures.count() == 24
    assert page.evaluate(
        "[...document.querySelectorAll('.gallery img')].every(i => i.complete && i.naturalWidth)"
    )
    assert page.locator("h1").inner_text() == "<b>genq</b> & co"
    assert made.report.stat().st_size < 5_000_000


def test_the_policy_forbids_everything_else(opened: Opened) -> None:
    """An injected script, style or picture from elsewhere is refused by the page itself."""
    policy = opened.page.locator("meta[http-equiv]").get_attribute("content")
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    opened.page.evaluate(
        """() => {
          const s = document.createElement("script");
          s.textContent = "window.injected = true";
          document.body.append(s);
        }"""
    )
    assert opened.page.evaluate("window.injected") is None
    assert any("Content Security Policy" in p for p in opened.problems)


def test_the_slider_moves_counts_rates_and_gaps(opened: Opened, made: Made) -> None:
    """At another threshold all figures are those of scikit-learn at that threshold."""
    page, rows = opened.page, made.rows
    slider = page.locator("#threshold")
    slider.focus()
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    assert page.locator("#threshold-value").inner_text() == "0.700"
    called = rows[contract.P_POSITIVE] >= 0.7
    tn, fp, fn, tp = sk.confusion_matrix(rows[contract.LABEL], called).ravel()
    for name, count in (("tn", tn), ("fp", fp), ("fn", fn), ("tp", tp)):
        assert page.locator(f"#c-{name}").inner_text().replace(",", "") == str(count)
    low, high = proportion_confint(fn, fn + tp, 0.05, method="wilson")
    assert page.locator("#r-fnr").inner_text() == f"{fn / (fn + tp):.3f}"
    assert page.locator("#r-fnr-bounds").inner_text() == f"{low:.3f} to {high:.3f}"
    glasses = rows["Eyeglasses"] == 1
    right = called == (rows[contract.LABEL] == 1)
    gap = right[glasses].mean() - right[~glasses].mean()
    row = page.locator("#gaps-at tbody tr").filter(
        has=page.get_by_role("rowheader", name="Eyeglasses", exact=True)
    )
    cell = row.locator("td").nth(1).locator("span").first
    assert cell.inner_text() == f"{gap:+.3f}".replace("-", "\N{MINUS SIGN}")
    assert opened.problems == []


def test_slices_sort_and_search_by_keyboard(opened: Opened, made: Made) -> None:
    """Worst first as it opens; by any column after that; and fewer while typing."""
    page = opened.page

    def column(n: int) -> list[float]:
        cells = page.locator(f"#slice-table tbody tr:not([hidden]) > :nth-child({n})")
        values = cells.evaluate_all("cells => cells.map(c => c.dataset.value)")
        return [float(v) for v in values if v]

    accuracy = column(3)
    assert accuracy == sorted(accuracy)
    expected = sorted(s["metrics"]["accuracy"]["value"] for s in made.metrics["slices"])
    np.testing.assert_allclose(accuracy, expected)
    page.locator("#slice-table thead button", has_text=re.compile("^n$")).focus()
    page.keyboard.press("Enter")
    assert column(2) == sorted(column(2))
    page.keyboard.press("Enter")
    assert column(2) == sorted(column(2), reverse=True)
    assert page.locator("#slice-table th[aria-sort]").count() == 1
    page.locator("#find").fill("young eyeglasses")
    assert page.locator("#slice-table tbody tr:not([hidden])").count() == 4
    assert page.locator("#slice-table-count").inner_text().startswith("4 of ")


def test_it_fits_a_phone_and_can_be_read_aloud(browser, made: Made) -> None:
    """No sideways scrolling at 390 px; landmarks, headings in order, every chart named."""
    for name, width, scheme in (("desktop", 1280, "light"), ("phone", 390, "dark")):
        context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True
        )
        page = context.new_page()
        page.goto(made.report.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        levels = page.locator("h1, h2, h3").evaluate_all("hs => hs.map(h => +h.tagName[1])")
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
        assert page.locator("main").count() == page.locator("nav[aria-label]").count() == 1
        assert page.locator("svg[role=img]:not(:has(> title))").count() == 0
        assert page.locator("img:not([alt])").count() == 0
        if shots := os.environ.get("GENQ_SCREENSHOTS"):
            page.screenshot(path=str(Path(shots) / f"report-{name}.png"), full_page=True)
        context.close()
