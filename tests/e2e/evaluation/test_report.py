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
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from accessible import VIEWS, Opened, faults, need_axe, opened_at, watched
from PIL import Image
from playwright.sync_api import Route
from scipy import stats
from scored import write_predictions
from sklearn import metrics as sk
from statsmodels.stats.proportion import proportion_confint

from components.evaluation import clusters
from components.evaluation.checks import STATUSES
from components.evaluation.clusters import people_of
from components.evaluation.config import EvaluationConfig
from components.evaluation.state import state
from components.evaluation_report import pages, render
from components.evaluation_report.content import Sources, gather
from components.evaluation_report.gallery import find_doubts
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


MANIFEST = {
    "synthetic": True,
    "layout": "official folders",
    "annotated_images": 5000,
    "label": {"attribute": "Male", "negative": "", "positive": ""},
    "counts": {"test": {"Male=0": 750, "Male=1": 750}},
    "identities": {"test": 1500},
    "seed": 0,
    "partial": None,
    "set_aside": 0,
    "sha256": {"manifest.csv": "0" * 64},
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
    (folder / "manifest").mkdir()
    (folder / "manifest/manifest.json").write_text(json.dumps(MANIFEST))
    past = {"run": "yesterday", "n": 900, "blessed": False, "release": None, "live": False}
    past["state"] = state(False, "passed")
    value = {"value": 0.8, "low": 0.77, "high": 0.83}
    sources = Sources(
        predictions=folder / "predictions",
        verdict=folder / "verdict",
        manifest=folder / "manifest",
        decide=("genq approve today --comment why", "genq reject today --comment why"),
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


@pytest.fixture
def opened(browser, made: Made):
    with watched(browser, made.report.as_uri()) as page:
        yield page


def test_the_page_opens_without_network_and_without_complaint(opened: Opened, made: Made) -> None:
    """No request but the file and its inlined pictures, no console line, every chart drawn."""
    outside = [u for u in opened.requests if not u.startswith("data:")]
    assert outside == [made.report.as_uri()]
    assert opened.problems == []
    page = opened.page
    charts = page.locator("svg.chart")
    assert charts.count() == 7  # ROC, PR, calibration, scores, loss, accuracy, run history
    for i in range(7):
        assert charts.nth(i).locator("[stroke='var(--a)'], [fill='var(--a)']").count() >= 1
        assert charts.nth(i).bounding_box()["height"] > 150
    pictures = page.locator(".gallery img")
    # Of four kinds at most twelve each; some are of two.
    assert 36 <= pictures.count() <= 60
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

    judged = [s for s in made.metrics["slices"] if not s["notes"]]
    expected = sorted(s["metrics"]["accuracy"]["value"] for s in judged)
    # What is too small to be judged comes last, whatever it scored.
    np.testing.assert_allclose(column(5)[: len(judged)], expected)
    assert 0 < len(judged) < len(column(5))
    assert page.locator("#slice-table tbody tr.few").count() == len(column(5)) - len(judged)
    page.locator("#slice-table thead button", has_text=re.compile("^Images$")).focus()
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
        page = opened_at(browser, made.report.as_uri(), width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        levels = page.locator("h1, h2, h3").evaluate_all("hs => hs.map(h => +h.tagName[1])")
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
        assert page.locator("main").count() == page.locator("nav[aria-label]").count() == 1
        assert page.locator("svg[role=img]:not(:has(> title))").count() == 0
        assert page.locator("img:not([alt])").count() == 0
        if shots := os.environ.get("GENQ_SCREENSHOTS"):
            page.screenshot(path=str(Path(shots) / f"report-{name}.png"), full_page=True)
        page.context.close()


def test_the_first_screen_decides(browser, made: Made) -> None:
    """What the data are, every check with requirement and interval, risks, what to type."""
    page = opened_at(browser, made.report.as_uri(), 1440)
    verdict = page.locator("#verdict")
    assert "Drawn by a program: no photographs" in verdict.inner_text()
    for words in ("1,500 images of 1,500 people", "free of CelebA's", "genq approve today"):
        assert words in verdict.inner_text()
    checks = made.metrics["checks"]
    rows = page.locator("table.checks tbody tr")
    assert rows.count() == len(checks) > 15
    for row, check in zip(rows.all(), checks, strict=True):
        assert check["name"] in row.inner_text() and check["status"] in row.inner_text()
        assert check["measured"] in row.inner_text() and check["why"] in row.inner_text()
        target = row.locator("th a").get_attribute("href")
        assert page.locator(target).count() == 1, target
    order = [list(STATUSES).index(c["status"]) for c in checks]
    assert order == sorted(order) and order[0] == 0
    by_name = {c["name"]: c for c in checks}
    accuracy = made.metrics["overall"]["metrics"]["accuracy"]
    value = "{value:.3f} ({low:.3f} to {high:.3f})".format(**accuracy)
    assert value in by_name["Accuracy, all images"]["measured"]
    # Worse with glasses, on purpose: so the table says, and the verdict names what failed.
    worst = by_name["Gap between groups in accuracy"]
    assert worst["status"] in ("failed", "warning") and "Eyeglasses" in worst["measured"]
    assert checks[0]["name"] in verdict.locator(".verdict").first.inner_text()
    assert by_name["Accuracy of the worst group"]["status"] == "skipped"
    # Failures, risks and decision need no scrolling.
    for part in (rows.first, page.locator(".risks li").last, page.locator(".decide pre")):
        assert part.bounding_box()["y"] < 900
    assert page.locator(".risks li").count() == 3
    page.context.close()


def test_risks_are_made_of_the_figures(made: Made) -> None:
    """The largest judged gap, the weakest judged group, the largest that is too small."""
    verdict = json.loads((made.folder / "verdict/verdict.json").read_text())
    text = re.sub(
        r"<[^>]+>", "", made.report.read_text().split('class="risks"')[1].split("</ol>")[0]
    )
    gap = max(
        (g for g in verdict["gaps"] if g["status"] != "too_few"), key=lambda g: abs(g["value"])
    )
    assert (
        f"{100 * abs(gap['value']):.1f} points apart" in text and f"{gap['n_a']:,} images" in text
    )
    split = verdict["groups_split"]
    assert split == "test"
    slices = made.metrics["natural"][1:]
    judged = [s for s in slices if s["n"] >= CONFIG.min_slice_examples]
    worst = min(judged, key=lambda s: s["metrics"]["accuracy"]["value"])
    assert f"{100 * worst['metrics']['accuracy']['value']:.1f} % right" in text
    largest = max((s for s in slices if s["n"] < CONFIG.min_slice_examples), key=lambda s: s["n"])
    assert f"{largest['n']:,} images of {largest['people']:,} people, and 100 are needed" in text


def clustered(
    rows: pd.DataFrame, event: pd.Series, domain: pd.Series
) -> tuple[float, float, float]:
    """A rate and its interval with people as the unit: leave each person out, in a loop."""
    inside = pd.DataFrame({"e": event[domain], "who": rows.loc[domain, contract.IDENTITY]})
    n, rate = len(inside), inside["e"].mean()
    people = inside.groupby("who")["e"].agg(["sum", "count"])
    left = [(inside["e"].sum() - s) / (n - c) - rate for s, c in people.to_numpy()]
    square, sizes = np.square(left), people["count"].to_numpy(float)
    groups, m2 = len(people), rate * (1 - rate)
    design = max((groups - 1) / groups * square.sum() / (m2 / n), 1)
    effective = n / design
    # What the squares would spread if images were independent is no error of the design effect.
    m4 = np.mean((inside["e"] - rate) ** 4)
    chance = (sizes * m4 + 3 * sizes * (sizes - 1) * m2**2 - (sizes * m2) ** 2).sum() / (
        n * m2
    ) ** 2
    relative = (square**2).sum() / square.sum() ** 2 - 1 / groups - chance / design**2
    kish = n**2 / (sizes**2).sum()
    degrees = max(min(2 / relative if relative > 0 else np.inf, kish - 1), 3)
    alpha = 2 * stats.norm.sf(stats.t.ppf(0.975, degrees))
    low, high = proportion_confint(rate * effective, effective, alpha, method="wilson")
    return rate, low, high


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Three images a person, who err together; and a run before it that was better."""
    folder = tmp_path_factory.mktemp("families")
    write_predictions(folder / "predictions", 900, per_person=3)
    other = pq.read_table(folder / "predictions/predictions.parquet").to_pandas()
    other = other[other[contract.IMAGE_ID] >= "000090.jpg"]
    nearer = 0.6 * other[contract.P_POSITIVE] + 0.4 * other[contract.LABEL]
    other[contract.P_POSITIVE] = nearer.astype(np.float32)
    (folder / "other").mkdir()
    stored = pa.Table.from_pandas(other, schema=table.SCHEMA, preserve_index=False)
    pq.write_table(stored, folder / "other/predictions.parquet")
    (folder / "other/scoring.json").write_text("{}")
    sources = Sources(
        predictions=folder / "predictions", other=folder / "other", other_name="yesterday"
    )
    render.write(gather(sources, CONFIG), folder / "report")
    rows = table.load(folder / "predictions").split("test")
    return Made(folder, rows, json.loads((folder / "report/metrics.json").read_text()))


def test_intervals_have_people_as_their_unit(families: Made) -> None:
    """Of every judged slice, recomputed from the Parquet by leaving each person out."""
    rows = families.rows
    seen = 0
    for one in [families.metrics["overall"], *families.metrics["slices"]]:
        if one["n"] < CONFIG.min_slice_examples:
            continue
        part = part_of(rows, one["key"])
        label, called = part[contract.LABEL] == 1, part[contract.P_POSITIVE] >= 0.5
        every = pd.Series(True, part.index)
        assert one["people"] == part[contract.IDENTITY].nunique()
        for name, event, domain in (
            ("accuracy", called == label, every),
            ("fpr", called, ~label),
            ("abstention", part[contract.UNCERTAIN], every),
        ):
            if domain.any() and 0 < event[domain].mean() < 1:
                found = [one["metrics"][name][k] for k in ("value", "low", "high")]
                np.testing.assert_allclose(found, clustered(part, event, domain), atol=1e-9)
                seen += 1
    assert seen > 60


def test_any_group_can_be_held_against_the_rest(browser, families: Made) -> None:
    """The page's own arithmetic, of one attribute and of two, is the gate's; small ones last."""
    natural = pq.read_table(families.folder / "predictions/predictions.parquet").to_pandas()
    rows = natural[natural[table.SPLIT] == contract.TEST_NATURAL].reset_index(drop=True)
    page = opened_at(browser, families.report.as_uri())
    label, called = rows[contract.LABEL] == 1, rows[contract.P_POSITIVE] >= 0.5
    wrong, answered = called != label, ~rows[contract.UNCERTAIN]
    whose = people_of(rows)

    def row(name: str) -> list[float]:
        found = page.locator("#explore-table tbody tr").filter(
            has=page.get_by_role("rowheader", name=name, exact=True)
        )
        cells = found.locator("td").all_inner_texts()
        return [
            float(v) for v in re.findall(r"[-\d.]+", " ".join(cells).replace("\N{MINUS SIGN}", "-"))
        ]

    def expected(mask: pd.Series) -> list[float]:
        some = [(rows[contract.UNCERTAIN], mask), (wrong, mask & answered)]
        gap = (wrong, mask & answered), (wrong, ~mask & answered)
        forced = [(~wrong, mask), (called, mask & ~label), (~called, mask & label)]
        as_masks = lambda pair: tuple(x.to_numpy(bool) for x in pair)  # noqa: E731
        first = clusters.rates([as_masks(p) for p in some + forced], whose).interval()
        between = clusters.differences([tuple(map(as_masks, gap))], whose).interval()
        each = [[float(b[i]) for b in first] for i in range(5)]
        each.insert(2, [float(b[0]) for b in between])
        return [v for figures in each for v in figures]

    everyone = page.locator("#explore-table tbody tr").count()
    assert everyone > 80
    classes = page.locator("#explore-table tbody tr").evaluate_all("rs => rs.map(r => r.className)")
    assert classes == sorted(classes) and classes[-1] == "few"
    for feature in ("Eyeglasses", "Smiling"):
        mask = rows[feature] == 1
        shown = row(feature)
        assert shown[:2] == [mask.sum(), rows.loc[mask, contract.IDENTITY].nunique()]
        np.testing.assert_allclose(shown[2:], expected(mask), atol=6e-4)
    page.locator("#explore-first").select_option(label="Young")
    page.locator("#explore-second").select_option(label="Eyeglasses")
    assert page.locator("#explore-table tbody tr").count() == 4
    mask = (rows["Young"] == 0) & (rows["Eyeglasses"] == 1)
    np.testing.assert_allclose(row("not Young · Eyeglasses")[2:], expected(mask), atol=6e-4)
    page.context.close()


def test_two_runs_are_compared_image_by_image(browser, families: Made) -> None:
    """Only images of both; paired differences, and the images that flipped either way."""
    mine = families.rows
    theirs = table.load(families.folder / "other").split("test")
    both = mine.merge(theirs, on=contract.IMAGE_ID, suffixes=("", "_other"))
    assert len(both) == len(mine) - 90
    right = (both[contract.P_POSITIVE] >= 0.5) == (both[contract.LABEL] == 1)
    was = (both[f"{contract.P_POSITIVE}_other"] >= 0.5) == (both[contract.LABEL] == 1)
    page = opened_at(browser, families.report.as_uri())
    section = page.locator("#compare")
    assert f"Both scored {len(both):,} images" in section.inner_text()
    first = section.locator("tbody tr").first.locator("td").all_inner_texts()
    difference = f"{right.mean() - was.mean():+.3f}".replace("-", "\N{MINUS SIGN}")
    assert first[3].split()[0] == difference
    counts = [(right & ~was).sum(), (~right & was).sum()]
    assert [int(t) for t in first[6:8]] == counts
    glasses = section.locator("tbody tr").filter(
        has=page.get_by_role("rowheader", name="Eyeglasses", exact=True)
    )
    some = both["Eyeglasses"] == 1
    change = f"{right[some].mean() - was[some].mean():+.3f}".replace("-", "\N{MINUS SIGN}")
    assert change in glasses.inner_text()
    page.locator("#g-kind").select_option(label="wrong now, right before")
    shown = page.locator("#cards > li:not([hidden])")
    assert shown.count() == min(counts[1], CONFIG.gallery_images) > 0
    flipped = set(both.loc[~right & was, contract.IMAGE_ID])
    names = shown.locator(".attributes").all_inner_texts()
    assert {n.rsplit(" ", 1)[1] for n in names} <= flipped
    page.context.close()


def test_the_gallery_shows_what_users_are_told(browser, made: Made) -> None:
    """No abstention among the errors; filters; a larger view; why a label may be wrong."""
    page = opened_at(browser, made.report.as_uri())
    silent = set(made.rows.loc[made.rows[contract.UNCERTAIN], contract.IMAGE_ID])
    page.locator("#g-kind").select_option(label="answered, and wrong")
    shown = page.locator("#cards > li:not([hidden])")
    assert shown.count() == CONFIG.gallery_images
    names = {t.rsplit(" ", 1)[1] for t in shown.locator(".attributes").all_inner_texts()}
    assert not names & silent
    assert "says no answer" not in " ".join(shown.all_inner_texts())
    page.locator("#g-group").select_option(label="Eyeglasses")
    some = made.rows.set_index(contract.IMAGE_ID).loc[sorted(names), "Eyeglasses"]
    assert shown.count() == some.sum() > 0
    shown.first.locator("button").click()
    dialog = page.locator("dialog[open]")
    assert dialog.locator("img").bounding_box()["height"] > 300
    assert "labelled" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    page.context.close()


def test_what_makes_a_label_doubtful_is_told() -> None:
    """The same file elsewhere, a person with both labels, what the detector makes of it."""
    rows = pd.DataFrame(
        {
            contract.IMAGE_ID: ["a", "b", "c"],
            table.SHA256: ["1", "2", "3"],
            contract.IDENTITY: [7, 7, 8],
            contract.LABEL: [1, 0, 1],
            contract.P_POSITIVE: [0.9, 0.9, 0.2],
            table.DETECTOR_P_POSITIVE: [0.1, None, 0.2],
            contract.BRIGHTNESS: [100.0, 90.0, 5.0],
        }
    )
    copies = pd.DataFrame(
        {table.SPLIT: ["test", "train"], contract.IMAGE_ID: ["a", "z"], table.SHA256: ["1", "1"]}
    )
    told = find_doubts(rows, ["a", "b", "c"], rows, copies, contract.Label())
    assert (
        "also train z" in told["a"][0] and "contradict each other: 1 labelled male" in told["a"][1]
    )
    assert "the other label" in told["a"][2]
    assert "finds no face" in told["b"][1]
    assert told["c"] == ("It is darker than 98% of the split.",)


def test_a_served_report_can_send_a_decision_and_nothing_else(browser, made: Made) -> None:
    """Where the file has a command, the dashboard puts a form, which the policy lets send."""
    form = pages.form("decide.html.j2", action="/runs/today/decide", token="secret")
    written = made.report.read_text()
    served = pages.with_form(written, form)
    context = browser.new_context()
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(f"{route.request.method} {route.request.url} {route.request.post_data or ''}")
        route.fulfill(body=served, content_type="text/html")

    context.route("**/*", answer)
    page = context.new_page()
    page.goto("http://genq.test/runs/today/")
    assert "genq approve" not in page.locator("#verdict").inner_text()
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Comment").fill("hats")
    page.get_by_role("button", name="Approve").click()
    page.wait_for_load_state()
    [sent] = [line for line in asked if line.startswith("POST")]
    assert "http://genq.test/runs/today/decide" in sent
    assert "reviewer=Ada&comment=hats&decision=approve" in sent
    assert "form-action 'none'" in unescape(written).split("<style>")[0]
    context.close()


@pytest.mark.parametrize("name", ["report.html", "model_card.html"])
def test_axe_finds_nothing(browser, made: Made, lacking, name: str) -> None:
    """At three widths, in both schemes; and nothing is wider than the window."""
    need_axe(lacking)
    for width, scheme in VIEWS:
        page = opened_at(browser, (made.folder / "report" / name).as_uri(), width, scheme)
        assert faults(page) == []
        # Once a card stood in the column of a navigation that it does not have.
        assert page.locator("main").bounding_box()["width"] > 0.6 * width
        page.context.close()
