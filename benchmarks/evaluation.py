"""What intervals cost: ours against TFMA's jackknife and bootstrap, on the same predictions.

Makes 20,000 predictions, then measures the same 11 slices, each in a process of its own:

- ours: all metrics of components/evaluation/metrics.py with Wilson and bootstrap intervals (500)
- TFMA without intervals, with jackknife (20 samples) and, if asked for, with Poisson bootstrap

Run: .venv/bin/python benchmarks/evaluation.py [--quick] [--bootstrap]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from reporting import claim, in_process, table
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))
from data import contract

ROOT = Path(__file__).parents[1]
SLICES = (("Young",), ("Eyeglasses",), ("Smiling",), ("Wearing_Hat",), ("Blurry",))
RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"

# --- The input -----------------------------------------------------------------------------------


def make_predictions(examples: int) -> pd.DataFrame:
    """Scores of a good, imperfect model; attributes are coin tosses."""
    from components.predictions.table import BASELINE_P_POSITIVE, SPLIT, add_bands

    rng = np.random.default_rng(0)
    rows = pd.DataFrame({name: rng.integers(0, 2, examples) for name in contract.ATTRIBUTES})
    label = rows[contract.MALE].to_numpy()
    logit = (2 * label - 1) * 2.0 + rng.normal(0, 1.5, examples)
    rows[contract.LABEL] = label
    rows[contract.P_POSITIVE] = (1 / (1 + np.exp(-logit))).astype(np.float32)
    rows[contract.UNCERTAIN] = abs(rows[contract.P_POSITIVE] - 0.5) < 0.1
    rows[BASELINE_P_POSITIVE] = np.nan
    rows[SPLIT], rows[contract.IMAGE_ID] = "test", [f"{i:06d}.jpg" for i in range(examples)]
    for name in (contract.BRIGHTNESS, contract.SHARPNESS, contract.IMAGE_BYTES):
        rows[name] = rng.normal(100, 20, examples)
    return add_bands(rows)


# --- The contestants; each runs in its own process -----------------------------------------------


def ours(examples: int, scratch: Path) -> Callable[[], dict[str, tuple[float, float]]]:
    """Returns what to time: metrics of all slices."""
    from components.evaluation.metrics import measure
    from components.evaluation.slices import find_slices

    del scratch
    rows = make_predictions(examples)

    def run() -> dict[str, tuple[float, float]]:
        found = measure(rows, find_slices(rows, SLICES), confidence=0.95, replicates=500, seed=0)
        metrics = found[0].metrics
        return {name: (metrics[name].low, metrics[name].high) for name in ("accuracy", "auc")}

    return run


def tfma_with(
    method: str, examples: int, scratch: Path
) -> Callable[[], dict[str, tuple[float, float]]]:
    """Returns what to time: TFX's Evaluator on predictions, with an interval method of TFMA."""
    from tfx.components.evaluator import executor
    from tfx.types import standard_artifacts
    from tfx.utils import json_utils, proto_utils

    import tensorflow_model_analysis as tfma  # isort: skip  # after tfx
    from tensorflow_model_analysis.proto import config_pb2

    from components.predictions.component import _write_examples
    from pipeline.eval_config import EvaluationConfig, eval_config

    examples_artifact, model = standard_artifacts.Examples(), standard_artifacts.Model()
    evaluation, blessing = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelBlessing()
    for name, artifact in (
        ("examples", examples_artifact),
        ("model", model),
        ("evaluation", evaluation),
        ("blessing", blessing),
    ):
        artifact.uri = str(scratch / name)
    (scratch / "model/Format-Serving").mkdir(parents=True)
    _write_examples(make_predictions(examples), examples_artifact)
    config = eval_config(EvaluationConfig(slices=SLICES))
    if method != "none":
        config.options.compute_confidence_intervals.value = True
        config.options.confidence_intervals.method = getattr(
            config_pb2.ConfidenceIntervalOptions, method.upper()
        )
    work = executor.Executor(
        executor.Executor.Context(
            beam_pipeline_args=[RUNNER, f"--setup_file={ROOT / 'setup.py'}"],
            tmp_dir=str(scratch / "tmp"),
        )
    )

    def run() -> dict[str, tuple[float, float]]:
        work.Do(
            {"examples": [examples_artifact], "model": [model]},
            {"evaluation": [evaluation], "blessing": [blessing]},
            {
                "eval_config": proto_utils.proto_to_json(config),
                "example_splits": json_utils.dumps(["test"]),
            },
        )
        result = tfma.load_eval_result(evaluation.uri, model_name="candidate")
        if not result.slicing_metrics:
            result = tfma.load_eval_result(evaluation.uri)
        [metrics] = [m[""][""] for key, m in result.slicing_metrics if not key]
        bounds = {}
        for name, key in (("accuracy", "binary_accuracy"), ("auc", "auc")):
            value = metrics[key].get("boundedValue")
            if value:
                bounds[name] = (float(value["lowerBound"]), float(value["upperBound"]))
        return bounds

    return run


WORKERS: dict[str, Callable[[int, Path], Callable[[], dict[str, tuple[float, float]]]]] = {
    "ours": ours,
    "none": lambda n, s: tfma_with("none", n, s),
    "jackknife": lambda n, s: tfma_with("jackknife", n, s),
    "bootstrap": lambda n, s: tfma_with("poisson_bootstrap", n, s),
}


def work(name: str, examples: int, scratch: Path) -> None:
    """Runs one contestant; prints seconds of the wall and of the CPU, and its intervals."""
    run = WORKERS[name](examples, scratch)
    started_s, cpu_s = time.perf_counter(), time.process_time()
    bounds = run()
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - started_s,
                "cpu_s": time.process_time() - cpu_s,
                "bounds": bounds,
            }
        )
    )


# --- The comparison ------------------------------------------------------------------------------


def measure_one(name: str, examples: int, repeats: int) -> dict[str, Any]:
    """Returns medians over repeats, and the intervals of the last."""
    results = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="genq-evaluation-") as scratch:
            results.append(in_process(__file__, "--worker", name, examples, scratch))
    return {
        "seconds": statistics.median(r["seconds"] for r in results),
        "cpu_s": statistics.median(r["cpu_s"] for r in results),
        "bounds": results[-1]["bounds"],
    }


def main() -> None:
    """Prints a table, and the claims as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Small input; for the shape only.")
    parser.add_argument("--bootstrap", action="store_true", help="TFMA's, too: many minutes.")
    parser.add_argument("--worker", nargs=3, metavar=("NAME", "EXAMPLES", "SCRATCH"))
    arguments = parser.parse_args()
    if arguments.worker:
        name, examples, scratch = arguments.worker
        work(name, int(examples), Path(scratch))
        return
    examples = 500 if arguments.quick else 20_000
    plan = {"ours": 3, "none": 1, "jackknife": 1}
    if arguments.bootstrap:
        plan["bootstrap"] = 1
    if arguments.quick:
        plan = {"ours": 1, "none": 1, "jackknife": 1}
    results = {name: measure_one(name, examples, repeats) for name, repeats in plan.items()}
    titles = {
        "ours": "ours, with intervals",
        "none": "TFMA, without intervals",
        "jackknife": "TFMA, jackknife",
        "bootstrap": "TFMA, Poisson bootstrap",
    }
    rows = []
    for name, r in results.items():
        bounds = [
            f"{r['bounds'][m][0]:.4f} to {r['bounds'][m][1]:.4f}" if m in r["bounds"] else "none"
            for m in ("accuracy", "auc")
        ]
        rows.append((titles[name], f"{r['seconds']:.2f}", f"{r['cpu_s']:.2f}", *bounds))
    columns = ("", "seconds", "CPU-s", "accuracy", "AUC")
    Console().print(table(f"{examples:,} examples, 11 slices", columns, rows))
    print(json.dumps(claims(results, titles, examples)))


def claims(
    results: dict[str, dict[str, Any]], titles: dict[str, str], examples: int
) -> list[dict[str, Any]]:
    """Returns one entry a claim."""
    mine = results["ours"]

    def width(name: str, metric: str) -> float:
        low, high = results[name]["bounds"][metric]
        return float(high - low)

    # Extra seconds: what TFMA takes beyond its own evaluation without intervals.
    figures = [
        (f"metrics and intervals of {examples:,} examples", "evaluations/s",
         1 / mine["seconds"], 1 / results[peer]["seconds"], titles[peer], goal)
        for peer, goal in (("jackknife", 10.0), ("bootstrap", None)) if peer in results
    ] + [
        ("intervals, as a share of TFMA's evaluation without them", "share",
         mine["seconds"] / results["none"]["seconds"], 0.1, "goal", None),
        *(
            (f"width of the interval of {metric}", "probability",
             width("ours", metric), width("jackknife", metric), titles["jackknife"], 1.0)
            for metric in ("accuracy", "auc")
        ),
    ]  # fmt: skip
    return [claim(*figure, digits=5) for figure in figures]


if __name__ == "__main__":
    main()
