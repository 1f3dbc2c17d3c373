"""How fast a model is trained, against the seed project's recipe, on the same images in one run.

- seed: Keras, the whole of InceptionV3 with two dense layers, Adam, batch 128 (32 where memory is
  short), zoom, shear and mirror in every epoch, float32; 20 epochs
- ours: one forward pass over images and mirrored images, 5 epochs of the head and 15 above "mixed9"
  on cached activations, at the precision the processor is best at; checkpoints and validation
  included
- bare loop: the same forward pass on images that are in memory, nothing read, nothing kept
- the frozen part by OpenVINO and by TensorFlow: speed, and error against float32

Scaled down: seconds per image are measured on few images and extrapolated to 3,200 + 400 images and
20 epochs; both are printed. Weights are random: they do not change the speed. The accuracy of both
recipes is compared on small striped pictures, which both learn.

Run: .venv/bin/python benchmarks/training.py [--quick]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from recipes import ACCURACY_SIZE_PX, FULL, QUICK, WORKERS, Scale, make_weights
from reporting import claim, in_process, table
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

JOB_TRAIN, JOB_VAL, JOB_EPOCHS = 3200, 400, 20
"""The seed project's job."""


def measure(name: str, weights: Path, scratch: Path, *, quick: bool) -> dict[str, float]:
    """Runs one contestant in a process of its own."""
    out = Path(tempfile.mkdtemp(dir=scratch))
    more = ("--quick",) if quick else ()
    result: dict[str, float] = in_process(__file__, "--worker", name, weights, out, *more)
    return result


def main() -> None:
    """Prints a table, and the claims as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Small input; for the shape only.")
    parser.add_argument("--worker", nargs=3, metavar=("NAME", "WEIGHTS", "OUT"))
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else FULL
    if arguments.worker:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
        logging.getLogger("genq").setLevel(logging.WARNING)
        name, weights, out = arguments.worker
        if name == "weights":
            for size_px in {scale.size_px, ACCURACY_SIZE_PX}:
                make_weights(Path(weights) / f"{size_px}.weights.h5", size_px)
            print("{}")
        else:
            print(json.dumps(WORKERS[name](scale, Path(weights), Path(out))))
        return

    with tempfile.TemporaryDirectory(prefix="genq-training-") as folder:
        scratch = Path(folder)
        measure("weights", scratch, scratch, quick=arguments.quick)
        large = scratch / f"{scale.size_px}.weights.h5"
        small = scratch / f"{ACCURACY_SIZE_PX}.weights.h5"
        names = ["seed", "ours", "accuracy-seed", "accuracy-ours"]
        if importlib.util.find_spec("openvino"):
            names.append("openvino")
        results = {
            name: measure(
                name, small if "accuracy" in name else large, scratch, quick=arguments.quick
            )
            for name in names
        }
    show(results, scale)
    print(json.dumps(claims(results)))


def job_seconds(results: dict[str, dict[str, float]]) -> tuple[float, float]:
    """Returns the seconds of the whole job by the seed's recipe, and by ours."""
    theirs, mine = results["seed"], results["ours"]
    seed_s = JOB_EPOCHS * (JOB_TRAIN * theirs["train_s"] + JOB_VAL * theirs["val_s"])
    head, fine_tune = JOB_EPOCHS // 4, JOB_EPOCHS - JOB_EPOCHS // 4
    ours_s = (
        mine["fixed_s"]
        + (2 * JOB_TRAIN + JOB_VAL) * mine["fill_s"]
        + (JOB_TRAIN + JOB_VAL) * (head * mine["head_s"] + fine_tune * mine["fine_tune_s"])
    )
    return seed_s, ours_s


def show(results: dict[str, dict[str, float]], scale: Scale) -> None:
    """Prints what was measured, and what it comes to."""
    theirs, mine = results["seed"], results["ours"]
    seed_s, ours_s = job_seconds(results)
    engine = "OpenVINO" if mine["openvino"] else "TensorFlow"
    rows = [
        (f"seed's recipe, training, float32, batch {theirs['batch']:.0f}", 1 / theirs["train_s"]),
        ("seed's recipe, validation", 1 / theirs["val_s"]),
        ("ours, activations computed and kept", 1 / mine["fill_s"]),
        (f"bare forward loop, {engine}, same precision", 1 / mine["bare_s"]),
        ("ours, an epoch of the head, with validation and checkpoint", 1 / mine["head_s"]),
        ("ours, an epoch above mixed9, with validation and checkpoint", 1 / mine["fine_tune_s"]),
    ]
    if "openvino" in results:
        rows.append(("OpenVINO, frozen part", 1 / results["openvino"]["openvino_s"]))
        rows.append(("TensorFlow, frozen part", 1 / results["openvino"]["tensorflow_s"]))
    title = f"Measured at {scale.size_px} px on {scale.train} images"
    console = Console()
    shown = [(name, f"{speed:,.1f}") for name, speed in rows]
    console.print(table(title, ("what", "images/s"), shown))
    console.print(
        f"Extrapolated to {JOB_TRAIN:,} + {JOB_VAL} images and {JOB_EPOCHS} epochs: the seed's "
        f"recipe {seed_s:,.0f} s, ours {ours_s:,.0f} s ({mine['fixed_s']:.0f} s of it to build, "
        f"trace and export)."
    )
    if "openvino" in results:
        console.print(
            "Error of the pooled output against float32, root mean square: "
            f"OpenVINO {results['openvino']['openvino_error']:.2%}, "
            f"TensorFlow {results['openvino']['tensorflow_error']:.2%}."
        )


def claims(results: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Returns one entry a claim; ratios are ours against the peer, or the peer's time by ours."""
    mine = results["ours"]
    seed_s, ours_s = job_seconds(results)
    accuracy = results["accuracy-ours"]["accuracy"], results["accuracy-seed"]["accuracy"]
    figures = [
        ("the 20-epoch job, extrapolated", "s", ours_s, seed_s, "the seed's recipe",
         seed_s / ours_s, 20.0),
        ("activations computed and kept", "images/s", 1 / mine["fill_s"], 1 / mine["bare_s"],
         "bare forward loop", mine["bare_s"] / mine["fill_s"], 0.8),
        ("validation accuracy where both converge", "share", *accuracy, "the seed's recipe",
         accuracy[0] / max(accuracy[1], 1e-9), 1.0),
    ]  # fmt: skip
    if "openvino" in results:
        speeds = [1 / results["openvino"][key] for key in ("tensorflow_s", "openvino_s")]
        figures.append(
            ("frozen part, forward", "images/s", *speeds, "OpenVINO", speeds[0] / speeds[1], None)
        )
    return [claim(*figure, goal, ratio=ratio) for *figure, ratio, goal in figures]


if __name__ == "__main__":
    main()
