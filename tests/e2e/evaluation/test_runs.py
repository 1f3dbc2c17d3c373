"""From a trained model to a reviewer's decision: approval, report, comparison, dashboard, outside.

One real pipeline that may publish approved models only: it stops, is approved, and goes on.
"""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest
from accessible import VIEWS, faults, need_axe, opened_at
from playwright.sync_api import Browser
from tfx.types import standard_artifacts
from werkzeug.serving import make_server
from werkzeug.test import Client

from components.approval import ReviewDecision, choose_decision
from components.evaluation.checks import reason
from components.evaluation.slices import find_slices
from components.evaluation.state import LET_THROUGH_EXIT_CODE
from components.evaluation_report.artifacts import METRICS, REPORT
from components.predictions import table
from data import contract
from data.errors import AnnotationError, ConfigError, ImageError
from pipeline.evaluate_release import evaluate_release, read_labels
from pipeline.history.clean import plan, remove
from pipeline.history.compare import all_runs, differences
from pipeline.history.dashboard import Dashboard
from pipeline.history.place import mark_missing
from pipeline.history.reports import write_report
from pipeline.history.runs import connect, decide, find, list_runs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SETTINGS = (
    "trainer.fine_tune_epochs=1",
    "evaluation.min_accuracy=0.1",
    "evaluation.min_auc=0.1",
    "evaluation.fairness.on_failure=warn",
    "evaluation.gallery_images=6",
)


@dataclass(frozen=True)
class Workplace:
    """A data set and a work directory; `stopped` is what the first run said."""

    data: Path
    workdir: Path
    stopped: subprocess.CompletedProcess[str]
    approved: subprocess.CompletedProcess[str]
    published: subprocess.CompletedProcess[str]

    @property
    def release(self) -> Path:
        """The only release."""
        [found] = [p for p in (self.workdir / "serving/gender").iterdir() if p.name.isdigit()]
        return found


def genq(*words: str) -> subprocess.CompletedProcess[str]:
    """Types a command."""
    command = [sys.executable, "-m", "pipeline.cli", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Run, stopped by the gate; approved; run again."""
    base = tmp_path_factory.mktemp("runs")
    data, workdir = base / "data", base / "work"
    assert genq("data", "synthesize", str(data), "--images", "600").returncode == 0
    settings = [word for s in SETTINGS for word in ("--set", s)]
    run = ["run", "--data", str(data), "--workdir", str(workdir), "--require-approval", *settings]
    stopped = genq(*run)
    approved = genq(
        "approve", "--workdir", str(workdir), "--reviewer", "Ada", "--comment", "looked closely"
    )
    return Workplace(data, workdir, stopped, approved, genq(*run))


def test_nothing_is_published_before_somebody_approves(workplace: Workplace) -> None:
    """Exit code 4 and what to do; after approval all but the pusher's path is cached."""
    said = " ".join(workplace.stopped.stderr.split())
    assert workplace.stopped.returncode == 4, workplace.stopped.stdout + workplace.stopped.stderr
    assert "waits for a reviewer's approval" in said and "genq approve" in said
    assert workplace.approved.returncode == 0, workplace.approved.stderr
    assert "approve by Ada" in workplace.approved.stdout
    done = workplace.published
    assert done.returncode in (0, LET_THROUGH_EXIT_CODE), done.stdout + done.stderr
    nodes = dict(re.findall(r"^\[\d+/\d+\] (\S+)\n(?:.*\n)*?\s+(cached|done) ?", done.stdout, re.M))
    assert nodes["trainer"] == nodes["model-scorer"] == nodes["evaluation-report"] == "cached"
    assert nodes["approval-gate"] == nodes["release-pusher"] == "done"
    assert (workplace.release / "model_card.html").is_file()
    assert (workplace.release / "report" / REPORT).is_file()
    waiting = list_runs(connect(workplace.workdir))[0]
    # The page that the run itself wrote, and whose path it printed, says what to type.
    assert f"genq approve {waiting.id} " in waiting.report.read_text().replace("&#43;", "+")


def test_release_json_has_the_reports_figures(workplace: Workplace) -> None:
    """Every metric with n and interval, and what was demanded."""
    content = json.loads((workplace.release / "release.json").read_text())
    metrics = json.loads((workplace.release / "report" / METRICS).read_text())
    overall = content["metrics"]["overall"]
    assert overall == metrics["overall"]["metrics"]
    assert all({"low", "high", "n"} <= set(m) for m in overall.values())
    assert content["thresholds"]["min_accuracy"] == 0.1


def test_the_runs_report_has_history_decision_and_comparison(workplace: Workplace) -> None:
    """`genq report`: both runs, who approved, and the other run's figures beside."""
    runs = list_runs(connect(workplace.workdir))
    assert [r.release for r in runs] == [None, workplace.release.name]
    assert [r.live for r in runs] == [False, True]
    done = genq("report", runs[1].id, "--compare", runs[0].id, "--workdir", str(workplace.workdir))
    assert done.returncode == 0, done.stderr
    text = Path(done.stdout.strip().splitlines()[-1]).read_text()
    assert "Approved by Ada" in text and "looked closely" in text
    assert f"genq approve {runs[1].id}" in text and "Both scored" in text
    assert text.count(runs[0].id) >= 2 and "Run history" in text
    assert "release-pusher" in text and "data:image/jpeg;base64," in text


def test_runs_are_listed_and_compared(workplace: Workplace) -> None:
    """The stopped one says where it stopped; figures, code and settings are the same twice."""
    store = connect(workplace.workdir)
    started, runs = all_runs(store), list_runs(store)
    assert [s.state for s in started] == ["failed in approval-gate", "done"]
    states = {n.id: n.state for n in started[1].nodes}
    assert states["trainer"] == "cached" and states["release-pusher"] == "done"
    found = differences(runs[0], runs[1], (started[0], started[1]))
    assert found["settings"] == found["data"] == found["code"] == []
    assert {row[0] for row in found["metrics"]} >= {"accuracy", "auc"}
    assert all(row[3] == "+0.0000" for row in found["metrics"])
    other = replace(
        runs[1],
        properties={
            **runs[1].properties,
            "run_config": runs[1].properties["run_config"].replace('"seed": 0', '"seed": 7'),
        },
    )
    settings = differences(runs[0], other, (started[0], started[1]))["settings"]
    assert ("sampling.seed", "0", "7") in settings


def test_a_copy_is_cleaned_and_every_report_can_still_be_written(
    workplace: Workplace, tmp_path: Path
) -> None:
    """What no run needs that counts is shown, then removed; the metadata say the same."""
    copy = tmp_path / "copy"
    shutil.copytree(workplace.workdir, copy, symlinks=True)
    root = copy / "pipeline"
    store = connect(copy)
    assert all(a.uri.startswith(f"{copy}/") for a in store.get_artifacts())
    stray = root / "trainer/model/999"
    stray.mkdir()
    (stray / "weights").write_bytes(b"x" * 5000)
    before = {i.path for i in plan(store, copy, root).items}
    assert stray in before and plan(store, copy, root).removable[0].why == ""
    freed = remove(store, plan(store, copy, root))
    assert freed >= 5000 and not stray.exists()
    assert not plan(store, copy, root).removable
    for run in list_runs(store):
        assert (run.report).is_file()
    runs = list_runs(store)
    page = write_report(runs[-1], runs, tmp_path / "report", copy)
    assert page.is_file()
    assert mark_missing(store, root) == ([], [])


def test_a_rejected_model_is_not_published_where_no_approval_is_asked_for(
    workplace: Workplace, tmp_path: Path
) -> None:
    """What a model made again is, the tests of the digest say."""
    copy = tmp_path / "copy"
    shutil.copytree(workplace.workdir, copy, symlinks=True)
    shutil.rmtree(copy / "serving")
    store = connect(copy)
    decide(store, list_runs(store)[-1], "reject", "Grace", "hats")
    settings = [word for s in SETTINGS for word in ("--set", s)]
    done = genq("run", "--data", str(workplace.data), "--workdir", str(copy), *settings)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "Grace rejected the model" in " ".join(done.stderr.split())
    assert not (copy / "serving").exists()


def test_an_unknown_run_is_named(workplace: Workplace) -> None:
    """With those there are; a beginning that fits two is not enough."""
    runs = list_runs(connect(workplace.workdir))
    with pytest.raises(ConfigError, match=runs[0].id.replace("+", r"\+")):
        find(runs, "1999")
    with pytest.raises(ConfigError, match="more than one"):
        find(runs, runs[0].id[:4])
    assert find(runs, "").id == runs[-1].id
    with pytest.raises(ConfigError, match="needs the reviewer's name"):
        decide(connect(workplace.workdir), runs[0], "approve", " ")


@pytest.fixture
def served(workplace: Workplace) -> Iterator[str]:
    """The dashboard on a port of this machine; its address."""
    application = Dashboard(workplace.workdir, hosts=("127.0.0.1",))
    server = make_server("127.0.0.1", 0, application)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.shutdown()
    thread.join()


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_axe_finds_nothing_on_the_dashboard(
    browser: Browser, served: str, lacking: Callable[[str], NoReturn], width: int, scheme: str
) -> None:
    """Closed and with an open form; all of the table is seen without scrolling sideways."""
    need_axe(lacking)
    page = opened_at(browser, served, width, scheme, offline=False)
    assert faults(page) == []
    page.locator("summary").first.click()
    assert page.get_by_label("Your name").first.is_visible()
    assert faults(page) == []
    box = page.locator(".scroll")
    assert box.evaluate("e => e.scrollWidth - e.clientWidth") == 0
    page.context.close()


def test_a_served_report_is_one_click_away_and_has_a_form(
    browser: Browser, served: str, lacking: Callable[[str], NoReturn]
) -> None:
    """From the table to the report, whose form axe accepts; and to TFMA's views in two ways."""
    need_axe(lacking)
    page = opened_at(browser, served, 390, "dark", offline=False)
    assert page.get_by_role("link", name="TensorFlow Model Analysis").count() >= 1
    page.locator(".runs tbody th a").first.click()
    assert page.get_by_label("Your name").is_visible()
    assert page.get_by_role("button", name="Reject").is_visible()
    assert faults(page) == []
    page.get_by_role("link", name="TensorFlow Model Analysis").click()
    page.locator("tfma-metrics-table td").first.wait_for()
    page.context.close()


def test_the_dashboard_shows_runs_and_stores_decisions(workplace: Workplace) -> None:
    """Table, report, comparison; a decision needs this server's own form, and is then in MLMD."""
    client = Client(Dashboard(workplace.workdir, hosts=("127.0.0.1",)))
    base = "http://127.0.0.1/"
    runs = list_runs(connect(workplace.workdir))
    shown = client.get("/", base_url=base)
    assert shown.status_code == 200
    assert all(r.id.replace("+", "&#43;") in shown.text or r.id in shown.text for r in runs)
    assert client.get(f"/runs/{runs[0].id}/", base_url=base).text.startswith("<!DOCTYPE html>")
    assert "Model card" in client.get(f"/runs/{runs[0].id}/model_card.html", base_url=base).text
    for name, element in (("tfma.html", "tfma-nb-plot"), ("facets.html", "facets-overview")):
        assert f'href="{name}"' in client.get(f"/runs/{runs[0].id}/", base_url=base).text
        assert element in client.get(f"/runs/{runs[0].id}/{name}", base_url=base).text
    compared = client.get(
        "/compare", base_url=base, query_string={"run": runs[1].id, "other": runs[0].id}
    )
    assert compared.status_code == 200
    # The page on disk has a command where the served one has a form, and may not send anything.
    for served in (compared.text, client.get(f"/runs/{runs[1].id}/", base_url=base).text):
        assert '/decide" method' in served.replace("&#34;", '"') and "genq approve" not in served
        assert "form-action 'self'" in served.replace("&#39;", "'")
    counted = {c["status"] for c in runs[1].metrics["checks"]}
    assert unescape(shown.text).count(reason(runs[1].checks)) >= 1
    assert all(f" {status}</span>" in shown.text for status in counted)
    assert "tfma.html" not in compared.text
    assert client.get("/runs/1999/", base_url=base).status_code == 404
    assert client.get("/", base_url="http://evil.example/").status_code == 400

    token = re.search(r'name="token" value="([^"]+)"', shown.text).group(1)
    target = f"/runs/{runs[1].id}/decide"
    form = {"decision": "reject", "reviewer": "Grace", "comment": "hats"}
    assert client.post(target, base_url=base, data=form).status_code == 403
    assert client.post(target, base_url=base, data={**form, "token": token, "reviewer": ""}
                       ).status_code == 400  # fmt: skip
    assert client.post(target, base_url=base, data={**form, "token": token}).status_code == 303
    newest = list_runs(connect(workplace.workdir))[1].decision
    assert (newest["decision"], newest["reviewer"], newest["comment"]) == (
        "reject",
        "Grace",
        "hats",
    )
    assert "Grace" in client.get("/", base_url=base).text


def test_any_labelled_set_can_be_scored_with_a_release(
    workplace: Workplace, tmp_path: Path
) -> None:
    """`genq evaluate` on the run's own test images gives the run's own scores."""
    runs = list_runs(connect(workplace.workdir))
    scored = table.load(runs[1].outputs["model-scorer", "predictions"].uri).split("test")
    photos = tmp_path / "photos"
    photos.mkdir()
    for image_id in scored[contract.IMAGE_ID]:
        shutil.copy(workplace.data / "Img/img_align_celeba" / image_id, photos)
    labels = scored[[contract.IMAGE_ID, contract.IDENTITY, "Male", "Young", "Eyeglasses"]]
    labels.to_csv(tmp_path / "labels.csv", index=False)
    done = evaluate_release(workplace.release, photos, tmp_path / "labels.csv", tmp_path / "out")
    found = table.load(tmp_path / "out/predictions").split("external")
    pd.testing.assert_series_equal(
        found[contract.P_POSITIVE], scored[contract.P_POSITIVE], atol=1e-5, rtol=0
    )
    metrics = json.loads((tmp_path / "out" / METRICS).read_text())
    accuracy = metrics["overall"]["metrics"]["accuracy"]
    assert accuracy == runs[1].metrics["overall"]["metrics"]["accuracy"]
    assert {"Young=1", "Eyeglasses=1"} <= {s["name"] for s in metrics["slices"]}
    assert "Smiling=1" not in {s["name"] for s in metrics["slices"]}
    assert "data:image/jpeg;base64," in done.page.read_text()
    said = "\n".join(done.lines())
    people = scored[contract.IDENTITY].nunique()
    assert f"{len(scored)} images ({people} people, the unit of the intervals); 95%" in said
    value, low, high = (accuracy[key] for key in ("value", "low", "high"))
    assert f"{value:.3f}  ({low:.3f} to {high:.3f})  n {len(scored)}" in said
    for name in ("Balanced accuracy", "Abstention", "Error among the answers given"):
        assert name in said
    assert "checks failed" in said
    told = done.page.read_text()
    assert "labels.csv: as whoever wrote that file saw it" in told
    assert "trained on drawn faces only" in told
    (photos / scored[contract.IMAGE_ID][3]).write_bytes(b"<html>")
    with pytest.raises(ImageError, match=scored[contract.IMAGE_ID][3]):
        evaluate_release(workplace.release, photos, tmp_path / "labels.csv", tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image_id,Female\na.jpg,1\n", "no column is one of the 40 expected; found Female"),
        ("image_id,Smiling\na.jpg,1\n", "there is no column 'Male'; found Smiling"),
        ("image_id,Male\na.jpg,2\n", r":2: a.jpg, Male: found 2; expected -1 or 0 or 1"),
        ("image_id,Male\na.jpg,1\na.jpg,0\n", r":3: a.jpg duplicates line 2"),
        ("image_id,Male\n", "ends after the names of the columns"),
    ],
)
def test_wrong_labels_are_named(tmp_path: Path, text: str, words: str) -> None:
    """Column, line, value."""
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(AnnotationError, match=words):
        read_labels(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("header", "line"),
    [
        # FairFace's and UTKFace's own, after renaming nothing but the label.
        ("file,age,Male,race,service_test", "val/{i}.jpg,{decade}0-{decade}9,{m},East Asian,True"),
        ("image_id,age,Male,ethnicity", "{i}.jpg,{i},{m},2"),
    ],
)
def test_evaluate_keeps_further_columns(tmp_path: Path, header: str, line: str) -> None:
    """They reach the table of predictions."""
    path = tmp_path / "labels.csv"
    lines = [line.format(i=i, m=i % 2, decade=2 + i % 3) for i in range(1, 101)]
    path.write_text("\n".join([header, *lines]) + "\n")
    frame, _ = read_labels(path)
    frame = table.add_groups(frame)
    assert {"age", "race", "ethnicity"} & set(table.group_columns(frame).values())
    assert find_slices(frame, ())[1:]


def test_the_newest_decision_about_the_model_counts() -> None:
    """Decisions about other models do not; a later one replaces an earlier one."""
    candidate = [standard_artifacts.Model()]
    candidate[0].id = 7

    def made(number: int, model: int) -> ReviewDecision:
        artifact = ReviewDecision()
        artifact.id = number
        artifact.set_int_custom_property("model_id", model)
        return artifact

    decisions = [made(11, 7), made(12, 5), made(10, 7)]
    assert choose_decision(candidate, decisions)["decision"] == [decisions[0]]
    assert choose_decision(candidate, [made(12, 5)])["decision"] == []
