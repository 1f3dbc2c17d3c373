"""The guides' commands, run as they stand, in the order of the guides; and the notebook.

They are about `runs/demo`. Here that is the run of docs/guides/own-data.md, so that each of them is
also proven for a model of `Eyeglasses`. All that the tests add are settings that make a run small.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import onnx
import pytest
from documented import ROOT, Block, blocks, words
from matplotlib.cbook import get_sample_data
from nbclient import NotebookClient
from PIL import Image

from components.evaluation.state import LET_THROUGH_EXIT_CODE

pytestmark = pytest.mark.slow

GUIDES = ROOT / "docs" / "guides"
SMALL = (
    "data.synthetic.num_images=2000",
    "trainer.fine_tune_epochs=1",
    *("evaluation.min_accuracy=0.1", "evaluation.min_auc=0.1"),
    "evaluation.fairness.on_failure=warn",
    "sampling.allow_smaller=true",
)
SAME_AS_THE_DEMO = ("label.attribute=Eyeglasses",)
SERVERS_LAST_S = 120
ENDED = (0, LET_THROUGH_EXIT_CODE)
"""So small a model is hardly sound; on_failure=warn lets it through, and the exit code says so."""


def settings(values: tuple[str, ...]) -> list[str]:
    return [argument for value in values for argument in ("--set", value)]


def shell(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a line of the documentation as a person's shell does."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line], cwd=cwd, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the repository's root: what the commands name is there, and the run."""
    root = tmp_path_factory.mktemp("desk")
    for name in (".venv", "docs", "deploy", "scripts", "pipeline", "components", "data", "serving"):
        (root / name).symlink_to(ROOT / name)
    [first, *_] = blocks(GUIDES / "own-data.md")
    [line] = first.lines
    done = shell(f"{line} {' '.join(settings(SMALL))}", root)
    assert done.returncode in ENDED, done.stdout[-3000:] + done.stderr[-3000:]
    (root / "runs/demo").symlink_to("demo-eyeglasses")
    look_alike = root / "runs/demo/data"
    (root / "datasets").mkdir()
    (root / "datasets/celeba").symlink_to(look_alike)
    with get_sample_data("grace_hopper.jpg") as file:
        portrait = Image.open(file).convert("RGB")
    portrait.save(root / "photo.jpg")
    (root / "photos").mkdir()
    portrait.save(root / "photos/anna-1.jpg")
    portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / "photos/ben.png")
    (root / "photos.csv").write_text("image_id,Eyeglasses,identity\nanna-1.jpg,0,1\nben.png,1,2\n")
    return root


@contextlib.contextmanager
def server(line: str, desk: Path) -> Iterator[int]:
    """Starts a line that does not end by itself, on a free port; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    arguments = [w for w in words(line) if w not in ("8000", "0", "--port")]
    process = subprocess.Popen(
        [*arguments, "--port", str(port)],
        cwd=desk,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + SERVERS_LAST_S
        while True:
            assert process.poll() is None, process.stdout and process.stdout.read()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < until, f"{line} does not listen"
            time.sleep(0.3)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def run_page(page: list[Block], desk: Path) -> dict[str, str]:
    """Runs a page's blocks in order; returns command -> what it printed."""
    said: dict[str, str] = {}
    with contextlib.ExitStack() as running:
        port = 8000
        for block in page:
            if not block.is_run:
                continue
            for line in block.lines:
                if block.is_server:
                    port = running.enter_context(server(line, desk))
                    continue
                command = line.replace(":8000", f":{port}")
                if "hard_examples.py" in line:
                    command += " " + " ".join(settings((*SMALL, *SAME_AS_THE_DEMO)))
                done = shell(command, desk)
                # The doctor of a small machine has something to say; that is what it is for.
                fine = (0, 1) if "genq doctor" in line else ENDED if "genq run" in line else (0,)
                assert done.returncode in fine, f"{line}\n{done.stdout}\n{done.stderr}"[-4000:]
                said[line] = done.stdout
    return said


def test_another_attribute_is_learnt_judged_released_and_named(desk: Path) -> None:
    """`Eyeglasses`: the sample is balanced over it, and everything that ships says its names."""
    [release] = (desk / "runs/demo/serving/eyeglasses").glob("[0-9]*")
    about = json.loads((release / "release.json").read_text())
    assert about["label_attribute"] == "Eyeglasses"
    assert about["labels"] == ["not eyeglasses", "eyeglasses"]
    assert "gender" not in about["notice"]
    for counts in about["sample"]["counts"].values():
        assert counts["Eyeglasses=0"] == counts["Eyeglasses=1"] > 0
    slices = {s["name"] for s in about["metrics"]["slices"]}
    assert {"Eyeglasses=0", "Eyeglasses=1"} <= slices and any("Male" in name for name in slices)
    onnx_file = onnx.load(release / "model.onnx")
    properties = {p.key: p.value for p in onnx_file.metadata_props}
    assert json.loads(properties["genq.labels"]) == about["labels"]
    # The labels that were learnt are those of the annotation file, counted without genq.
    lines = (desk / "runs/demo/data/Anno/list_attr_celeba.txt").read_text().splitlines()
    column = lines[1].split().index("Eyeglasses") + 1
    truth = {f[0]: f[column] == "1" for f in map(str.split, lines[2:])}
    manifest = (release / "manifest/manifest.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in manifest]
    assert all(truth[image_id] == (label == "1") for image_id, _, label, _ in rows)
    card, report = (release / "model_card.md").read_text(), release / "report/report.html"
    assert 'called the face "eyeglasses"' in card and "drawn faces only" in card
    assert "labelled eyeglasses" in report.read_text() and "called male" not in report.read_text()


def test_guide_another_attribute_and_own_photos(desk: Path) -> None:
    """Everything after the run: the copy is looked at, photos become a data set."""
    said = run_page(blocks(GUIDES / "own-data.md")[1:], desk)
    assert any("not eyeglasses" in text for text in said.values())
    crops = sorted((desk / "datasets/own/Img/img_align_celeba").iterdir())
    assert [np.asarray(Image.open(c)).shape for c in crops] == [(218, 178, 3)] * 2


@pytest.mark.nightly
def test_a_model_is_made_of_data_that_speak_of_one_attribute_only(
    desk: Path, tmp_path: Path
) -> None:
    """Own data with one attribute and no partition: everything runs, slices are what there is."""
    source = desk / "runs/demo/data"
    lines = (source / "Anno/list_attr_celeba.txt").read_text().splitlines()
    people = dict(line.split() for line in (source / "Anno/identity_CelebA.txt").open())
    column = lines[1].split().index("Smiling") + 1
    rows = [f.split() for f in lines[2:]][:800]
    table = [f"{f[0]},{int(f[column] == '1')},{people[f[0]]}" for f in rows]
    (tmp_path / "own.csv").write_text("\n".join(["image_id,Smiling,identity", *table]) + "\n")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    images = source / "Img/img_align_celeba"
    more = (*SMALL[1:], "label.attribute=Smiling", "sampling.splits=identity_hash")
    for line in (
        f".venv/bin/genq data import {images} own.csv own --aligned",
        f".venv/bin/genq run --data own --workdir work {' '.join(settings(more))}",
    ):
        done = shell(line, tmp_path)
        assert done.returncode in ENDED, done.stdout[-3000:] + done.stderr[-3000:]
    [release] = (tmp_path / "work/serving/smiling").glob("[0-9]*")
    about = json.loads((release / "release.json").read_text())
    assert about["labels"] == ["not smiling", "smiling"] and about["synthetic"] is False
    features = {s["name"].split("=")[0] for s in about["metrics"]["slices"]}
    assert features == {"Smiling", "brightness_band", "sharpness_band", "image_bytes_band"}


def test_guide_real_celeba(desk: Path) -> None:
    """The doctor, and the data looked at; what needs the network is not run here."""
    run_page(blocks(GUIDES / "real-celeba.md"), desk)
    assert "leave_out" in (desk / "leave-out.yaml").read_text()


def test_guide_review(desk: Path) -> None:
    """Report, dashboard, approval, a set of photos of one's own."""
    run_page(blocks(GUIDES / "review.md"), desk)
    metrics = json.loads((desk / "runs/evaluation/metrics.json").read_text())
    assert metrics["overall"]["n"] == 2
    assert metrics["labels"] == ["not eyeglasses", "eyeglasses"]


def test_guide_serve(desk: Path) -> None:
    """Answers name the release, its labels, and that it has seen drawn faces only."""
    said = run_page(blocks(GUIDES / "serve.md"), desk)
    [faces] = [json.loads(text) for line, text in said.items() if "v1/faces" in line]
    assert faces["release"]["labels"] == ["not eyeglasses", "eyeglasses"]
    assert faces["release"]["synthetic"] is True
    assert {f["label"] for f in faces["faces"]} <= {"not eyeglasses", "eyeglasses", "uncertain"}
    [table] = [text for line, text in said.items() if "predict" in line]
    assert "eyeglasses" in table or "uncertain" in table


def test_guide_extend(desk: Path) -> None:
    """The node of the worked example runs; everything else comes from the cache."""
    [said] = run_page(blocks(GUIDES / "extend.md"), desk).values()
    assert "trainer\n  cached" in said and "hard-examples\n  ran" in said
    table = Path(said.strip().splitlines()[-1])
    assert (desk / table).read_text().startswith("image_id,label,p_positive")


def test_readme(desk: Path) -> None:
    """What it shows after the run, but for servers, which the guides' tests start."""
    said = run_page(blocks(ROOT / "README.md"), desk)
    assert any("report.html" in text for text in said.values())


def test_the_notebook_runs_from_top_to_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell, in TFX's InteractiveContext, with fewer images; the release answers."""
    notebook = nbformat.read(GUIDES / "node-by-node.ipynb", as_version=4)
    [sizes] = [c for c in notebook.cells if "IMAGES, EPOCHS =" in c.source]
    sizes.source = "IMAGES, EPOCHS = 600, 1"
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    place = {"metadata": {"path": str(GUIDES)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    last = notebook.cells[-1].outputs[-1]["data"]["text/plain"]
    assert "uncertain" in last and ("female" in last or "male" in last)
