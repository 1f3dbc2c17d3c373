"""TFMA's and Facets' elements, in a browser without network, show what was measured.

Screenshots go to GENQ_SCREENSHOTS if that is set.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import pytest
import tensorflow_model_analysis as tfma
from accessible import VIEWS, Opened, faults, need_axe, opened_at, watched
from pages import shot
from playwright.sync_api import Browser, Page, expect
from tensorflow_model_analysis.proto import config_pb2

from components.evaluation.config import EvaluationConfig
from components.evaluation_report import facets_view, tfma_view
from pipeline.eval_config import CANDIDATE, eval_config

import tfx.components  # isort: skip  # noqa: F401  # fixes what TFDV imports
import tensorflow_data_validation as tfdv  # isort: skip  # after tfx

CONFIG = EvaluationConfig(slices=(("Male",), ("Young",), ("Male", "Young")))


def answers(seed: int, rows: int = 400) -> pd.DataFrame:
    """Scores that are right nine times in ten, for half young people."""
    rng = np.random.default_rng(seed)
    male = rng.integers(0, 2, rows)
    p = np.clip(0.5 + (male - 0.5) * 0.9 + rng.normal(0, 0.35, rows), 0.001, 0.999)
    return pd.DataFrame(
        {"Male": male, "label": male, "p_positive": p, "Young": rng.integers(0, 2, rows)}
    )


def table(page: Page, element: str) -> list[list[str]]:
    """What the cells of an element's table say."""
    rows = page.locator(f"{element} tr.google-visualization-table-tr-even").or_(
        page.locator(f"{element} tr.google-visualization-table-tr-odd")
    )
    return [row.locator("> td").all_inner_texts() for row in rows.all()]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """The page of a run with one before it, and the run's rows."""
    folder = tmp_path_factory.mktemp("tfma")
    whole = eval_config(CONFIG)
    config = config_pb2.EvalConfig()
    config.CopyFrom(whole)
    # As the Evaluator does where there is no baseline.
    del config.model_specs[:]
    [candidate] = (spec for spec in whole.model_specs if spec.name == CANDIDATE)
    config.model_specs.add().CopyFrom(candidate)
    config.model_specs[0].name = ""
    config.model_specs[0].model_type = ""
    for spec in config.metrics_specs:
        for metric in spec.metrics:
            del metric.per_slice_thresholds[:]
    for seed in (0, 1):
        tfma.analyze_raw_data(answers(seed), config, output_path=str(folder / str(seed)))
    text = tfma_view.page(
        folder / "1",
        title="<b>genq</b>",
        run="today",
        runs=(("20261126", folder / "0"), ("20261127", folder / "1")),
    )
    assert text is not None
    (folder / "tfma.html").write_text(text)
    return folder / "tfma.html", answers(1)


@pytest.fixture(scope="module")
def opened(browser: Browser, written: tuple[Path, pd.DataFrame]) -> Iterator[Opened]:
    with watched(browser, written[0].as_uri()) as found:
        found.page.locator("tfma-metrics-table td").first.wait_for()
        yield found
        shot(found.page, "tfma")


def test_slices_have_the_accuracy_of_their_rows(
    opened: Opened, written: tuple[Path, pd.DataFrame]
) -> None:
    """Recomputed by pandas; of the slices that the list above chooses."""
    page = opened.page
    rows = written[1].assign(right=lambda r: (r.p_positive > 0.5) == (r.Male == 1))
    page.locator("#columns").select_option("Young")
    expect(page.locator("tfma-nb-slicing-metrics td", has_text="Young:1")).to_be_visible()
    [*head] = page.locator("tfma-nb-slicing-metrics th").all_inner_texts()
    [accuracy] = (i for i, name in enumerate(head) if name.strip() == "binary_accuracy")
    shown = {row[0].strip(): row[accuracy].strip() for row in table(page, "#metrics")}
    expected = {"Overall": rows.right.mean()}
    expected |= {f"Young:{v}": part.right.mean() for v, part in rows.groupby("Young")}
    assert shown == {name: f"{value:.5f}" for name, value in expected.items()}
    bars = page.locator("tfma-slice-overview svg rect[data-row]")
    assert bars.count() == 3


def test_a_click_sorts_the_table(opened: Opened) -> None:
    page = opened.page
    page.locator("#columns").select_option("Male x Young")
    expect(
        page.locator("tfma-nb-slicing-metrics td", has_text="Male_X_Young:1_X_1")
    ).to_be_visible()
    button = page.locator("#metrics th button", has_text="binary_accuracy")
    orders = []
    for _ in range(2):
        button.click()
        orders.append([row[0] for row in table(page, "#metrics")])
    assert orders[0] == orders[1][::-1] and len(orders[0]) == 5


def test_all_seven_plots_are_drawn(opened: Opened) -> None:
    page = opened.page
    page.locator("#show-all-toggle").click()
    # TFMA keeps elements for other kinds of models as well, and does not show them.
    plots = page.locator("tfma-nb-plot svg[role=img]").filter(visible=True)
    expect(plots).to_have_count(7)
    names = [plot.get_attribute("aria-label") for plot in plots.all()]
    assert len(set(names)) == 7, names
    for plot, name in zip(plots.all(), names, strict=True):
        assert plot.locator("[data-row]").count() > 5, name
    # Another slice is another curve.
    before = plots.nth(4).inner_html()
    page.locator("#plot-slices").select_option("Young:0")
    expect(page.locator("tfma-nb-plot", has_text="Plot for Young:0")).to_be_visible()
    expect(plots).to_have_count(7)
    assert plots.nth(4).inner_html() != before


def test_runs_are_shown_over_time(opened: Opened) -> None:
    rows = table(opened.page, "#series")
    assert [row[0].strip() for row in rows] == ["20261127", "20261126"]
    assert opened.page.locator("tfma-line-chart svg circle").count() >= 2


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_axe_finds_nothing(
    browser: Browser,
    written: tuple[Path, pd.DataFrame],
    lacking: Callable[[str], NoReturn],
    width: int,
    scheme: str,
) -> None:
    """TFMA's elements leave fields unnamed and know no dark scheme; the page fixes both.

    On a phone they are scrolled sideways: laid out for its width, the table was one column.
    """
    need_axe(lacking)
    page = opened_at(browser, written[0].as_uri(), width, scheme)
    page.locator("tfma-metrics-table td").first.wait_for()
    assert faults(page) == []
    colours = page.locator("#columns").evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    )
    assert colours[0] != colours[1]
    assert page.locator("#metrics tfma-metrics-table").bounding_box()["width"] > 600
    page.context.close()


def test_nothing_was_asked_for_and_nothing_went_wrong(opened: Opened) -> None:
    """The policy of the page forbids the network; the browser had none."""
    assert [url for url in opened.requests if not url.startswith("file:")] == []
    assert opened.problems == []
    assert opened.page.locator("h1").inner_text() == "<b>genq</b>"


def test_without_results_there_is_no_page(tmp_path: Path) -> None:
    assert tfma_view.page(tmp_path, title="", run="") is None


def test_plots_that_do_not_fit_are_counted(
    written: tuple[Path, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfma_view, "MAX_BYTES", 1_400_000)
    text = tfma_view.page(written[0].parent / "1", title="", run="")
    assert text is not None and len(text) < 1_500_000
    assert "more slices are left out" in text
    assert '"Young:0"' in text


@pytest.fixture(scope="module")
def statistics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What StatisticsGen would write of two splits."""
    folder = tmp_path_factory.mktemp("statistics")
    for split, rows in (("val", 50), ("train", 200)):
        frame = answers(0, rows)[["Young", "p_positive"]].rename(
            columns={"p_positive": "brightness"}
        )
        (folder / f"Split-{split}").mkdir()
        (folder / f"Split-{split}" / "FeatureStats.pb").write_bytes(
            tfdv.generate_statistics_from_dataframe(frame).SerializeToString()
        )
    return folder


def test_facets_shows_every_split_without_network(
    browser: Browser, statistics: Path, tmp_path: Path
) -> None:
    """Its own element, with the counts and means of the rows; no request, no complaint."""
    text = facets_view.page(statistics, title="<b>genq</b>", run="today")
    assert text is not None and len(text) < 5_000_000
    file = tmp_path / "facets.html"
    file.write_text(text)
    with watched(browser, file.as_uri()) as found:
        overview = found.page.locator("facets-overview")
        expect(overview).to_contain_text("brightness")
        assert found.page.locator("facets-overview-chart svg").count() >= 1
        for rows in (200, 50):
            expect(overview).to_contain_text(f"{answers(0, rows).p_positive.mean():.2f}")
        expect(overview).to_contain_text(re.compile(r"train.*val", re.DOTALL))
        shot(found.page, "facets")
    assert found.requests == [file.as_uri()]
    assert found.problems == []
    assert facets_view.page(tmp_path, title="", run="") is None
