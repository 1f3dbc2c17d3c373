"""`genq run` as a person uses it: first run, unchanged rerun, changed data, kill -9, bad data.

Real data files, real TFX, real processes; small numbers. What the demo comes to at its own size is
seen by `make run`, which CI runs before the tests.
"""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from backbone import write_weights
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.orchestration import metadata

from components.evaluation.state import LET_THROUGH, LET_THROUGH_EXIT_CODE
from data import contract
from data.releases import release
from pipeline.cli.app import main

ROOT = Path(__file__).parents[2]
SETTINGS = (
    # A head on random filters: to train all of them takes four times as long.
    *("trainer.strategy=head_only", "trainer.batch_norm=frozen", "trainer.head_epochs=1"),
    "evaluation.min_accuracy=0.1",
    "evaluation.min_auc=0.1",
    "evaluation.max_accuracy_drop=1",
    "evaluation.max_auc_drop=1",
    "evaluation.fairness.on_failure=warn",
    "data.faults.max_bad_image_fraction=0",
    "sampling.test_natural=true",
)


ENDED = (0, LET_THROUGH_EXIT_CODE)
"""One epoch on 600 faces makes no sound model; on_failure=warn lets it through, and says so."""


@dataclass(frozen=True)
class Workplace:
    """A data set, a work directory of its own, and weights to begin with."""

    data: Path
    workdir: Path
    weights: Path

    def command(self, *more: str) -> list[str]:
        """Returns what a person types."""
        settings = [argument for s in SETTINGS for argument in ("--set", s)]
        settings += ["--set", f"trainer.weights={self.weights}"]
        places = ["--data", str(self.data), "--workdir", str(self.workdir)]
        return [sys.executable, "-m", "pipeline.cli", "run", *places, *settings, *more]

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        """Types it."""
        return subprocess.run(self.command(*more), cwd=ROOT, capture_output=True, text=True)

    def run_here(self, folder: Path) -> subprocess.CompletedProcess[str]:
        """Types it in this process, which has TFX loaded: a new one takes 11 s to load it.

        genq moves the file descriptors of its outputs, so they are moved here as well.
        """
        words = self.command()[3:]
        files = [folder / "stdout", folder / "stderr"]
        kept = [os.dup(1), os.dup(2)]
        try:
            for number, file in enumerate(files, 1):
                with file.open("w") as opened:
                    os.dup2(opened.fileno(), number)
            with (
                os.fdopen(1, "w", closefd=False) as out,
                os.fdopen(2, "w", closefd=False) as err,
                mock.patch.multiple(sys, argv=["genq", *words], stdout=out, stderr=err),
                mock.patch.dict(os.environ),
                contextlib.chdir(ROOT),
                pytest.raises(SystemExit) as ended,
            ):
                main()
        finally:
            for number, fd in enumerate(kept, 1):
                os.dup2(fd, number)
                os.close(fd)
        code = int(ended.value.code or 0)
        return subprocess.CompletedProcess(words, code, *(f.read_text() for f in files))

    def releases(self) -> dict[str, float]:
        """Returns version -> when its folder last changed."""
        folder = self.workdir / "serving" / "gender"
        return {p.name: p.stat().st_mtime for p in folder.iterdir() if p.name.isdigit()}

    def states(self) -> Counter[str]:
        """Returns how often executions ended how, but for lookups, which always run."""
        path = self.workdir / "metadata.sqlite"
        store = MetadataStore(metadata.sqlite_metadata_connection_config(str(path)))
        types = {t.id: t.name for t in store.get_execution_types()}
        return Counter(
            mlmd.Execution.State.Name(e.last_known_state)
            for e in store.get_executions()
            if not types[e.type_id].endswith("Resolver")
        )

    def newest(self, node: str, key: str) -> Path:
        """Returns the folder of a node's newest output."""
        folder = self.workdir / "pipeline" / node / key
        return max((p for p in folder.iterdir() if p.is_dir()), key=lambda p: int(p.name))


def nodes(output: str) -> dict[str, str]:
    """Returns node -> "cached" or "done", from what a person reads."""
    found = re.findall(r"^\[\d+/\d+\] (\S+)\n(?:.*\n)*?\s+(cached|done) ?", output, re.M)
    return dict(found)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """A data set of 600 faces after its first run."""
    base = tmp_path_factory.mktemp("genq")
    place = Workplace(base / "data", base / "work", write_weights(base / "b.weights.h5"))
    command = [sys.executable, "-m", "pipeline.cli", "data", "synthesize", str(place.data)]
    subprocess.run([*command, "--images", "600"], cwd=ROOT, check=True)
    done = place.run()
    assert done.returncode in ENDED, done.stdout + done.stderr
    assert set(nodes(done.stdout).values()) == {"done"}
    assert "Release:" in done.stdout and "checks failed" in done.stdout
    yield place
    shutil.rmtree(base)


def test_the_sample_is_exactly_balanced_and_no_person_is_in_two_splits(
    workplace: Workplace,
) -> None:
    """Counted from the manifest and the annotation files, independently of the pipeline."""
    with (workplace.newest("example-gen", "manifest") / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    lines = (workplace.data / "Anno/list_attr_celeba.txt").read_text().splitlines()
    male = lines[1].split().index("Male") + 1
    truth = {fields[0]: fields[male] == "1" for fields in map(str.split, lines[2:])}
    people: dict[str, set[str]] = {}
    for split in contract.SPLITS:
        chosen = [r for r in rows if r["split"] == split]
        men = sum(truth[r["image_id"]] for r in chosen)
        assert 0 < 2 * men == len(chosen)
        people[split] = {r["identity"] for r in chosen}
    assert not people["train"] & people["val"] | people["train"] & people["test"]
    assert not people["val"] & people["test"]


def test_the_natural_test_split_is_scored_and_reported_beside_the_balanced_one(
    workplace: Workplace,
) -> None:
    """The whole test partition, with as many men as it has; TFMA and the gates read `test`."""
    partition = (workplace.data / "Eval/list_eval_partition.txt").read_text().splitlines()
    test = {name for name, part in map(str.split, partition) if part == "2"}
    report = workplace.newest("evaluation-report", "report")
    metrics = json.loads((report / "metrics.json").read_text())
    assert metrics["natural"][0]["n"] == len(test) > metrics["overall"]["n"]
    lines = (workplace.data / "Anno/list_attr_celeba.txt").read_text().splitlines()
    male = lines[1].split().index("Male") + 1
    men = sum(f[male] == "1" for f in map(str.split, lines[2:]) if f[0] in test)
    share = metrics["natural"][0]["metrics"]["share_positive"]["value"]
    assert share == pytest.approx(men / len(test))
    verdict = json.loads(
        (workplace.newest("fairness-gate", "verdict") / "verdict.json").read_text()
    )
    assert verdict["split"] == "test"
    assert 'id="natural"' in (report / "report.html").read_text()


def test_the_release_answers_in_plain_onnxruntime_as_the_savedmodel_does(
    workplace: Workplace, tmp_path: Path
) -> None:
    """In a process that could not import TensorFlow if it tried, within 1e-4."""
    import tensorflow as tf

    [version] = workplace.releases()
    release = workplace.workdir / "serving/gender" / version
    files = sorted((workplace.data / "Img/img_align_celeba").iterdir())[:16]
    images = np.stack([tf.io.decode_jpeg(f.read_bytes()).numpy() for f in files])
    np.save(tmp_path / "images.npy", images)
    code = f"""
import sys
sys.modules["tensorflow"] = sys.modules["tfx"] = sys.modules["keras"] = None
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession({str(release / "model.onnx")!r})
images = np.load({str(tmp_path / "images.npy")!r})
names = [o.name for o in session.get_outputs()]
answers = dict(zip(names, session.run(None, {{"image": images}})))
np.savez({str(tmp_path / "answers.npz")!r}, **answers)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    answers = np.load(tmp_path / "answers.npz")
    model = tf.saved_model.load(str(release))
    expected = model.signatures[contract.SIGNATURE_PIXELS](image=tf.constant(images))
    assert set(answers) == {contract.P_POSITIVE, contract.LABEL, contract.UNCERTAIN}
    np.testing.assert_allclose(
        answers[contract.P_POSITIVE], expected[contract.P_POSITIVE], atol=1e-4
    )
    np.testing.assert_array_equal(answers[contract.LABEL], expected[contract.LABEL])


@pytest.mark.nightly
def test_a_release_is_made_again_from_what_it_says_of_itself(
    workplace: Workplace, tmp_path: Path
) -> None:
    """The same sample of the same data, the same settings; differences are shown, not hidden."""
    command = [
        *(sys.executable, "-m", "pipeline.cli", "releases", "reproduce", "--anyway"),
        *("--model-dir", str(workplace.workdir / "serving/gender"), "--data", str(workplace.data)),
        *("--workdir", str(tmp_path / "again")),
    ]
    wide = os.environ | {"COLUMNS": "200"}  # no cell is cut
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=wide)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    rows = {
        cells[0]: cells[1:]
        for cells in (
            [c.strip() for c in line.strip("│").split("│")] for line in done.stdout.splitlines()
        )
        if len(cells) == 4
    }
    for same in ("packages", "data", "sample"):
        assert rows[same][-1] == "equal", done.stdout
    assert "code" in rows  # equal only if nobody commits or edits while the test runs
    assert "accuracy" in rows and "file of float32" in rows
    [answers] = [cells for what, cells in rows.items() if what.startswith("p_positive on")]
    assert "at most" in answers[1]
    assert done.returncode == int(any(cells[-1] == "differs" for cells in rows.values()))
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 6 and "is not empty" in again.stderr


def test_an_unchanged_rerun_trains_and_publishes_nothing(
    workplace: Workplace, tmp_path: Path
) -> None:
    """Every node that may be cached is; the release stays as it was."""
    before, completed = workplace.releases(), workplace.states()["COMPLETE"]
    done = workplace.run_here(tmp_path)
    assert done.returncode in ENDED, done.stdout + done.stderr
    outcomes = nodes(done.stdout)
    assert outcomes["trainer"] == "cached"
    assert {n for n, how in outcomes.items() if how != "cached"} <= LOOKUPS
    assert workplace.states()["COMPLETE"] == completed
    assert workplace.releases() == before


LOOKUPS = {"previous-statistics", "baseline-resolver", "decision-resolver"}
"""Never cached: they look what there is."""


@pytest.mark.slow
def test_a_work_directory_is_copied_moved_partly_deleted_and_cleaned(
    workplace: Workplace, tmp_path: Path
) -> None:
    """At each step `genq run` makes what is gone and nothing else; reports and runs are there."""
    subprocess.run(["cp", "-r", workplace.data.parent, tmp_path / "a"], check=True)
    place = Workplace(tmp_path / "a/data", tmp_path / "a/work", workplace.weights)
    assert run_and_look(place) == LOOKUPS

    (tmp_path / "a").rename(tmp_path / "b")
    place = Workplace(tmp_path / "b/data", tmp_path / "b/work", workplace.weights)
    shutil.rmtree(place.workdir / "pipeline/trainer")
    made = run_and_look(place)
    assert "trainer" in made and "model-scorer" in made
    assert not made & {"example-gen", "schema-importer", "statistics-gen", "validation-gate"}

    stray = place.workdir / "pipeline/trainer/model/999"
    stray.mkdir()
    (stray / "weights").write_bytes(b"x" * 2_000_000)
    files = sorted((place.workdir / "pipeline").rglob("*"))
    shown = genq("clean", "--workdir", place.workdir)
    assert "Nothing was removed. `genq clean --yes` would free" in shown
    assert sorted((place.workdir / "pipeline").rglob("*")) == files
    assert "Freed " in genq("clean", "--yes", "--workdir", place.workdir)
    assert not stray.exists()
    assert run_and_look(place) == LOOKUPS


def run_and_look(place: Workplace) -> set[str]:
    """Runs, and reads report and list; returns the nodes that were not taken from the cache."""
    done = place.run()
    assert done.returncode in ENDED, done.stdout + done.stderr
    page = Path(genq("report", "--workdir", place.workdir).splitlines()[-1])
    assert page.is_file() and page.is_relative_to(place.workdir)
    listed = genq("runs", "list", "--workdir", place.workdir).splitlines()
    ids = [line.split()[0] for line in listed if line.startswith("20")]
    # Of runs with one report, the page's history has the first, and the page is the newest run's.
    assert ids[0] in page.read_text() and ids[-1] in page.read_text()
    assert max(map(len, listed)) <= 80
    return {node for node, how in nodes(done.stdout).items() if how != "cached"}


def genq(*words: str | Path) -> str:
    """Types a command; returns what it says."""
    command = [sys.executable, "-m", "pipeline.cli", *map(str, words)]
    narrow = os.environ | {"COLUMNS": "80"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=narrow)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_killed_while_training_on_changed_data_it_recovers_and_compares_with_the_last_model(
    workplace: Workplace,
) -> None:
    """Kill -9, run again: the metadata is sound; only what depends on the data ran anew."""
    before = workplace.releases()
    models = workplace.workdir / "serving/gender"
    states = {release.read_release(models / str(v)).state for v in release.versions(models)}
    attributes = workplace.data / "Anno/list_attr_celeba.txt"
    lines = attributes.read_text().splitlines(keepends=True)
    smiling = lines[1].split().index("Smiling") + 1
    fields = lines[2].split()
    fields[smiling] = str(-int(fields[smiling]))
    lines[2] = " ".join(fields) + "\n"
    attributes.write_text("".join(lines))

    child = subprocess.Popen(
        workplace.command(), cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert child.stdout is not None
    try:
        for line in child.stdout:
            if line.strip().endswith("trainer"):
                break
        # The trainer's execution is registered once its output folder is there.
        deadline_s = time.monotonic() + 120
        while len(list((workplace.workdir / "pipeline/trainer/model").iterdir())) < 2:
            assert child.poll() is None and time.monotonic() < deadline_s
            time.sleep(0.2)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert workplace.states()["RUNNING"] == 1

    done = workplace.run()
    assert done.returncode in ENDED, done.stdout + done.stderr
    outcomes = nodes(done.stdout)
    assert (
        outcomes["schema-importer"] == outcomes["example-gen"] == "cached"
    )  # done before the kill
    assert outcomes["trainer"] == "done"
    assert workplace.states()["RUNNING"] == 0
    # A model that only a setting let through is no baseline.
    assert ("compared with" in done.stdout) is (LET_THROUGH.name not in states)
    after = workplace.releases()
    assert len(after) == len(before) + 1
    assert {v: t for v, t in after.items() if v in before} == before


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("line", ("list_attr_celeba.txt:3", "expected -1 or 1")),
        ("deleted", ("the image is missing",)),
        ("truncated", ("cut off after",)),
    ],
)
def test_bad_data_are_named_and_nothing_is_lost(
    workplace: Workplace, tmp_path: Path, damage: str, words: tuple[str, ...]
) -> None:
    """File, line and image; earlier releases stay; exit code 3; no traceback."""
    before = workplace.releases()
    data = tmp_path / "data"
    shutil.copytree(workplace.data, data)
    with (workplace.newest("example-gen", "manifest") / "manifest.csv").open() as file:
        victim = data / "Img/img_align_celeba" / next(csv.DictReader(file))["image_id"]
    if damage == "line":
        attributes = data / "Anno/list_attr_celeba.txt"
        lines = attributes.read_text().splitlines(keepends=True)
        lines[2] = lines[2].replace("-1", " 7", 1)
        attributes.write_text("".join(lines))
    elif damage == "deleted":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:1000])
    done = Workplace(data, workplace.workdir, workplace.weights).run_here(tmp_path)
    said = " ".join(done.stderr.split())
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for word in (*words, *([] if damage == "line" else [victim.name])):
        assert word in said
    assert workplace.releases() == before


def test_release_json_says_where_it_came_from(workplace: Workplace) -> None:
    """Every version can be traced to its sample and compared with its file hashes."""
    folder = workplace.workdir / "serving/gender"
    version = max(workplace.releases())
    content = json.loads((folder / version / "release.json").read_text())
    assert content["version"] == int(version)
    assert content["labels"] == ["female", "male"]
    assert content["synthetic"] is True
    assert (folder / version / "SHA256SUMS").is_file()
