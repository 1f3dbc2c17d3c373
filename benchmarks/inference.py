"""How fast a model answers in each of its forms, on the same images in one run.

- Keras: `predict` on images that are resized and scaled already
- SavedModel: its signature for pixels, resize and scaling inside, as all below
- ONNX float32 and ONNX int8: onnxruntime
- OpenVINO: the float32 file by its CPU plugin, in float32 and at its own choice of precision

One and two threads, batches of 1 and 32; each contestant in its own process. The network is
InceptionV3 at the seed project's geometry with random filters under a head fitted in closed form to
striped pictures: speed and size do not depend on weights, and its accuracy shows what int8 costs.

Run: .venv/bin/python benchmarks/inference.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from recipes import labelled, make_weights
from reporting import claim, in_process, table
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from data import contract

Model = Callable[[np.ndarray], np.ndarray]
"""uint8 (batch, 218, 178, 3) -> p_positive (batch,)."""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    size_px: int
    train: int
    test: int
    seconds: float


FULL = Scale(size_px=299, train=256, test=256, seconds=8.0)
QUICK = Scale(size_px=75, train=64, test=32, seconds=0.5)
BATCHES = (1, 32)
THREADS = (1, 2)
FORMS = ("keras", "saved_model", "onnx_float32", "onnx_int8", "openvino_float32", "openvino")
NAMES = {
    "keras": "Keras predict",
    "saved_model": "SavedModel",
    "onnx_float32": "ONNX float32",
    "onnx_int8": "ONNX int8",
    "openvino_float32": "OpenVINO, float32",
    "openvino": "OpenVINO, its own choice",
}


def pixels(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Striped pictures, uint8 (count, 218, 178, 3), and their labels."""
    import tensorflow as tf

    found = labelled(first, count)
    decoded = [tf.io.decode_jpeg(e, dct_method="INTEGER_ACCURATE").numpy() for e in found.encoded]
    return np.stack(decoded), found.labels


def prepare(scale: Scale, folder: Path) -> None:
    """Writes the model in all its forms, and the test images."""
    import keras
    import onnx
    import tensorflow as tf
    from sklearn.linear_model import LogisticRegression

    from components.model_exporter import onnx_export, quantization
    from components.model_exporter.config import ExportConfig
    from components.trainer import preprocessing, signatures
    from components.trainer.calibration import Calibration
    from components.trainer.config import TrainerConfig
    from components.trainer.model import HEAD_LAST, POOLED, build, part

    weights = folder / "backbone.weights.h5"
    make_weights(weights, scale.size_px)
    model = build(
        TrainerConfig(image_size_px=scale.size_px, weights=str(weights), precision="float32")
    )
    images, labels = pixels(0, scale.train)
    scaled = preprocessing.resize_and_scale(tf.constant(images), scale.size_px)
    x = part(model, None, POOLED).predict(scaled, batch_size=32, verbose=0)
    mean, deviation = x.mean(0), x.std(0) + 1e-9
    fitted = LogisticRegression(C=0.01).fit((x - mean) / deviation, labels)
    kernel = fitted.coef_[0] / deviation
    bias = fitted.intercept_[0] - kernel @ mean
    model.get_layer(HEAD_LAST).set_weights([kernel[:, None], np.array([bias])])
    keras.saving.save_model(model, folder / "model.keras")
    signatures.export(model, Calibration(1.0, 0.05), folder / "saved_model")
    onnx.save(
        onnx_export.to_onnx(
            tf.saved_model.load(str(folder / "saved_model")), ExportConfig().opset, {}
        ),
        str(folder / "onnx_float32"),
    )
    (folder / "work").mkdir()
    quantization.quantize(
        folder / "onnx_float32",
        folder / "onnx_int8",
        list(images[:64]),
        list(images[-64:]),
        ExportConfig(),
        folder / "work",
    )
    test, truth = pixels(5000, scale.test)
    np.savez(folder / "test.npz", images=test, labels=truth)


def load(form: str, folder: Path, threads: int, size_px: int) -> Model:
    """Returns one form of the model, on this many threads."""
    if form.startswith("openvino"):
        import openvino as ov

        core = ov.Core()
        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads}
        if form == "openvino_float32":
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        network = core.read_model(folder / "onnx_float32")
        compiled = core.compile_model(network, "CPU", settings)
        return lambda image: compiled(image)[contract.P_POSITIVE]
    if form.startswith("onnx"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(
            str(folder / form), options, providers=["CPUExecutionProvider"]
        )
        return lambda image: session.run([contract.P_POSITIVE], {contract.IMAGE: image})[0]
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    if form == "saved_model":
        module = tf.saved_model.load(str(folder / form))
        signature = module.signatures[contract.SIGNATURE_PIXELS]
        # The module is named, so that it lives as long as its signature.
        return lambda image: (module, signature(image=tf.constant(image))[contract.P_POSITIVE])[
            1
        ].numpy()
    import keras

    from components.trainer import preprocessing

    model = keras.saving.load_model(folder / "model.keras")

    def run(image: np.ndarray) -> np.ndarray:
        scaled = preprocessing.resize_and_scale(tf.constant(image), size_px)
        logits = model.predict(scaled, batch_size=len(image), verbose=0)[:, 0]
        return 1 / (1 + np.exp(-logits))

    return run


def measure(form: str, folder: Path, threads: int, scale: Scale) -> dict[str, Any]:
    """Times one form."""
    data = np.load(folder / "test.npz")
    images, labels = data["images"], data["labels"]
    model = load(form, folder, threads, scale.size_px)
    result: dict[str, Any] = {"form": form, "threads": threads}
    found = np.concatenate([model(images[i : i + 32]) for i in range(0, len(images), 32)])
    result["p_positive"] = found.astype(float).tolist()
    result["accuracy"] = float(np.mean((found >= 0.5) == (labels == 1)))
    for batch in BATCHES:
        model(images[:batch])
        taken: list[float] = []
        started_s = time.perf_counter()
        while time.perf_counter() - started_s < scale.seconds or len(taken) < 3:
            first = len(taken) * batch % (len(images) - batch + 1)
            before_s = time.perf_counter()
            model(images[first : first + batch])
            taken.append(time.perf_counter() - before_s)
        result[str(batch)] = {
            "images_s": batch * len(taken) / sum(taken),
            "p50_ms": float(np.percentile(taken, 50) * 1e3),
            "p99_ms": float(np.percentile(taken, 99) * 1e3),
        }
    return result


def show(results: list[dict[str, Any]], sizes: dict[str, float], scale: Scale) -> None:
    """Prints a row a form and number of threads."""
    columns = ("form", "threads", "images/s, batch 1", "batch 32", "p50 ms", "p99 ms", "MB")
    rows = []
    for r in results:
        one = r["1"]
        figures = (one["images_s"], r["32"]["images_s"], one["p50_ms"], one["p99_ms"])
        shown = [f"{figure:.1f}" for figure in (*figures, sizes[r["form"]])]
        rows.append((NAMES[r["form"]], str(r["threads"]), *shown, f"{r['accuracy']:.3f}"))
    title = f"{scale.size_px} px; milliseconds are those of a batch of one"
    Console(width=110).print(table(title, (*columns, "accuracy"), rows))


def claims(results: list[dict[str, Any]], sizes: dict[str, float]) -> list[dict[str, Any]]:
    """Returns one entry a claim; ratios are int8 against float32, threads and batch alike."""
    speed = {(r["form"], r["threads"], b): r[b]["images_s"] for r in results for b in ("1", "32")}
    p_positive = {(r["form"], r["threads"]): np.array(r["p_positive"]) for r in results}
    exact, int8 = p_positive["onnx_float32", 1], p_positive["onnx_int8", 1]
    equal = float(np.mean((exact >= 0.5) == (int8 >= 0.5)))
    figures = [
        (f"int8, {threads} thread(s), batch {batch}", "images/s",
         *(speed[form, threads, batch] for form in ("onnx_int8", "onnx_float32")), 2.4)
        for threads in THREADS
        for batch in ("1", "32")
    ] + [
        ("size of int8", "MB", sizes["onnx_int8"], sizes["onnx_float32"], 26.0),
        ("equal labels of int8", "share", equal, 1.0, 0.995),
    ]  # fmt: skip
    return [claim(*figure, "ONNX float32", goal) for *figure, goal in figures]


def main() -> None:
    """Prints a table, and the claims as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Small and short; for the shape only.")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else FULL
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    logging.getLogger("genq").setLevel(logging.WARNING)
    if arguments.part:
        folder, *rest = arguments.part
        if rest:
            print(json.dumps(measure(rest[0], Path(folder), int(rest[1]), scale)))
        else:
            prepare(scale, Path(folder))
            print("{}")
        return
    with tempfile.TemporaryDirectory(prefix="genq-inference-") as scratch:
        folder = Path(scratch)
        quick = ("--quick",) if arguments.quick else ()
        in_process(__file__, "--part", folder, *quick)
        results = [
            in_process(__file__, "--part", folder, form, threads, *quick)
            for threads in THREADS
            for form in FORMS
        ]
        files = {form: [folder / form] for form in ("onnx_float32", "onnx_int8")}
        files |= dict.fromkeys(("openvino", "openvino_float32"), files["onnx_float32"])
        files["keras"] = [folder / "model.keras"]
        files["saved_model"] = [p for p in (folder / "saved_model").rglob("*") if p.is_file()]
        sizes = {form: sum(p.stat().st_size for p in paths) / 1e6 for form, paths in files.items()}
    show(results, sizes, scale)
    print(json.dumps(claims(results, sizes)))


if __name__ == "__main__":
    main()
