"""Beam on Flink: every Beam node writes what it writes on the direct runner.

Flink is real: its cluster runs inside Beam's job server, a Java process of each job; the workers
are this process. Where Java, Maven or the job server's parts cannot be had, the tests are skipped.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from executed import at, examples_at, execute
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.components.evaluator import executor as evaluator
from tfx.components.statistics_gen import executor as statistics_gen
from tfx.types import standard_artifacts
from tfx.utils import json_utils, proto_utils

from components.evaluation.config import EvaluationConfig
from components.example_gen.artifacts import SamplingManifest
from components.example_gen.component import CelebAExampleGen
from components.example_gen.executor import Executor as ExampleGenExecutor
from components.predictions import table
from components.predictions.artifacts import Predictions
from components.predictions.component import Executor as ScorerExecutor
from pipeline.beam_config import BeamConfig
from pipeline.eval_config import eval_config

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SPLITS = ("train", "val", "test")
Flags = tuple[str, ...]


@pytest.fixture(scope="module")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Flags:
    """Flags of a Beam pipeline on Flink, as the configuration gives them."""
    jar = tmp_path_factory.mktemp("flink") / "job-server.jar"
    command = [ROOT / "scripts/flink-job-server", jar]
    try:
        made = subprocess.run(command, capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        pytest.skip("scripts/flink-job-server: Maven did not answer within ten minutes.")
    if made.returncode:
        pytest.skip(f"scripts/flink-job-server: {made.stderr.strip()}")
    return BeamConfig("flink", parallelism=2, flink_job_server=str(jar)).flags()


@pytest.fixture(scope="module")
def direct() -> Flags:
    return BeamConfig().flags()


@pytest.fixture
def pool(flink: Flags, tmp_path: Path) -> Iterator[tuple[Flags, Path]]:
    """Flags of workers that are processes elsewhere, as docs/scaling.md says, and their log.

    They have the image's command line, and of this tree what the image has.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    module = "apache_beam.runners.worker.worker_pool_main"
    log = tmp_path / "pool.log"
    python = Path(sys.executable).parent  # the pool starts `python`, which is the image's
    with log.open("wb") as file:
        workers = subprocess.Popen(
            [sys.executable, "-m", module, f"--service_port={port}"],
            cwd=tmp_path, stdout=file, stderr=file, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{python}:{os.environ['PATH']}"},
        )  # fmt: skip
    try:
        where = f"--environment_config=localhost:{port}"
        yield (*flink, "--environment_type=EXTERNAL", where), log
    finally:
        os.killpg(workers.pid, signal.SIGTERM)  # the pool and the workers that it started
        workers.wait(timeout=60)


def ingested(data: Path, out: Path, flags: Flags) -> list[bytes]:
    """Returns the records that example-gen writes with these flags, sorted."""
    node = CelebAExampleGen(str(data), None, None, 2)
    outputs = {"examples": standard_artifacts.Examples, "manifest": SamplingManifest}
    execute(ExampleGenExecutor, out, {}, outputs, node.spec.exec_properties, flags)
    files = sorted(str(f) for f in (out / "examples").glob("Split-*/*"))
    return sorted(r.numpy() for r in tf.data.TFRecordDataset(files))


def test_ingestion_writes_the_same_examples(
    celeba_tree: Callable[..., Path], direct: Flags, flink: Flags, tmp_path: Path
) -> None:
    """As a set; byte for byte."""
    data = celeba_tree(tmp_path / "data")
    found = [
        ingested(data, tmp_path / "direct", direct),
        ingested(data, tmp_path / "flink", flink),
    ]
    assert len(found[0]) > 50
    assert found[0] == found[1]


@pytest.mark.nightly
def test_workers_of_a_pool_write_the_same_examples(
    celeba_tree: Callable[..., Path], direct: Flags, pool: tuple[Flags, Path], tmp_path: Path
) -> None:
    """EXTERNAL workers, which get their work from Flink and share nothing with this process."""
    data = celeba_tree(tmp_path / "data")
    flags, log = pool
    found = [ingested(data, tmp_path / "direct", direct), ingested(data, tmp_path / "pool", flags)]
    assert len(found[0]) > 50
    assert found[0] == found[1]
    assert "Starting worker with command" in log.read_text()


def test_statistics_are_the_same(
    examples_dir: Path, direct: Flags, flink: Flags, tmp_path: Path
) -> None:
    """TFX's own StatisticsGen: counts, means and deviations of every feature of every split."""
    found = []
    for name, flags in (("direct", direct), ("flink", flink)):
        out = tmp_path / name
        execute(
            statistics_gen.Executor,
            out,
            {"examples": examples_at(examples_dir, SPLITS)},
            {"statistics": standard_artifacts.ExampleStatistics},
            {"exclude_splits": "[]"},
            flags,
        )
        numbers = {}
        for split in SPLITS:
            file = out / "statistics" / f"Split-{split}" / "FeatureStats.pb"
            proto = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes())
            for feature in proto.datasets[0].features:
                if feature.HasField("num_stats"):
                    stats = feature.num_stats
                    key = (split, feature.path.step[0])
                    numbers[key] = (
                        stats.common_stats.num_non_missing, stats.mean, stats.std_dev,
                        stats.min, stats.max,
                    )  # fmt: skip
        found.append(numbers)
    assert found[0].keys() == found[1].keys() and ("test", "Male") in found[0]
    for key, values in found[0].items():
        assert found[1][key] == pytest.approx(values), key


def test_scores_and_their_evaluation_are_the_same(
    examples_dir: Path, saved_model: Path, direct: Flags, flink: Flags, tmp_path: Path
) -> None:
    """Model-scorer and TFX's own Evaluator; a real network, counted passes, metrics by slice."""
    model = at(standard_artifacts.Model, tmp_path / "model")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/Format-Serving").symlink_to(saved_model)
    config = EvaluationConfig(slices=(("Male",), ("Young",)), min_accuracy=0.5, min_auc=0.5)
    tables, metrics = [], []
    for name, flags in (("direct", direct), ("flink", flink)):
        out = tmp_path / name
        predictions, scored = execute(
            ScorerExecutor,
            out,
            {"examples": examples_at(examples_dir, SPLITS), "model": model},
            {"predictions": Predictions, "scored_examples": standard_artifacts.Examples},
            {"splits": json.dumps(["test"])},
            flags,
        )
        loaded = table.load(predictions.uri)
        tables.append(loaded.table)
        assert loaded.scoring["forward_passes"] == {"candidate": len(loaded.split("test"))}
        evaluation, blessing = execute(
            evaluator.Executor,
            out,
            {"examples": scored, "model": model},
            {
                "evaluation": standard_artifacts.ModelEvaluation,
                "blessing": standard_artifacts.ModelBlessing,
            },
            {
                "eval_config": proto_utils.proto_to_json(eval_config(config)),
                "example_splits": json_utils.dumps(["test"]),
            },
            flags,
        )
        assert blessing.get_int_custom_property("blessed") == 1
        result = tfma.load_eval_result(evaluation.uri)
        metrics.append(
            {
                (key, metric): value["doubleValue"]
                for key, outputs in result.slicing_metrics
                for metric, value in outputs[""][""].items()
                if isinstance(value.get("doubleValue"), float)
            }
        )
    pd.testing.assert_frame_equal(tables[0], tables[1], rtol=1e-5)
    assert metrics[0].keys() == metrics[1].keys() and len(metrics[0]) > 50
    for key, value in metrics[0].items():
        assert metrics[1][key] == pytest.approx(value, rel=1e-5, nan_ok=True), key
