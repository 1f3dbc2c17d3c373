"""How fast examples are made, and from how little memory.

Makes a tree of 50,000 images and a zip (some hundred distinct JPEGs, reused), then runs in turn,
each in a process of its own:

- ours: example-gen's executor, from the folder, the zip and Hugging Face's Parquet; all images, and
  a balanced 5,000
- plain TFX: `beam.Create` of rows, `open()`, TFX's own base executor and writer
- a bare Python loop: read, tf.train.Example, TFRecordWriter
- `cp -r` of the folder

Run: .venv/bin/python benchmarks/ingest.py [--quick]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from reporting import claim, in_process, table
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))
from data import contract

RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"
ALL_CELEBA = 202_599
MIB = 2**20

# --- The input -----------------------------------------------------------------------------------


def make_tree(root: Path, images: int, *, distinct: int = 300, link: bool = False) -> None:
    """Writes an official tree; with `link`, the images are hard links to the distinct ones."""
    rng = np.random.default_rng(0)
    pictures = [_jpeg(rng) for _ in range(distinct)]
    ids = [f"{i + 1:06d}.jpg" for i in range(images)]
    person = np.arange(images) // 20
    attributes = np.where(rng.random((images, 40)) < 0.4215, " 1", "-1")
    split = np.select([person % 10 < 8, person % 10 < 9], [0, 1], 2)
    for folder in ("Anno", "Eval", "Img/img_align_celeba"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{i} {' '.join(v)}\n" for i, v in zip(ids, attributes, strict=True))
    header = f"{images}\n{' '.join(contract.ATTRIBUTES)} \n"
    (root / "Anno/list_attr_celeba.txt").write_text(header + rows)
    landmarks = "   69  111  108  111   88  130   72  150  105  150"
    header = f"{images}\n{' '.join(contract.LANDMARK_NAMES)} \n"
    (root / "Anno/list_landmarks_align_celeba.txt").write_text(
        header + "".join(f"{i}{landmarks}\n" for i in ids)
    )
    (root / "Anno/identity_CelebA.txt").write_text(
        "".join(f"{i} {p + 1}\n" for i, p in zip(ids, person, strict=True))
    )
    (root / "Eval/list_eval_partition.txt").write_text(
        "".join(f"{i} {s}\n" for i, s in zip(ids, split, strict=True))
    )
    folder = root / "Img/img_align_celeba"
    for n, image_id in enumerate(ids):
        if link and n >= distinct:
            os.link(folder / ids[n % distinct], folder / image_id)
        else:
            (folder / image_id).write_bytes(pictures[n % distinct])


def _jpeg(rng: np.random.Generator) -> bytes:
    """A JPEG of 178x218 px and about 8 kB, as CelebA's are in the median."""
    coarse = Image.fromarray(rng.integers(0, 255, (9, 7, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((178, 218), Image.Resampling.BICUBIC), np.float32)
    noisy = smooth + rng.normal(0, 9, smooth.shape)
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def make_zip(tree: Path, root: Path) -> None:
    """Writes a tree with the same annotations and the images in a zip."""
    for folder in ("Anno", "Eval"):
        shutil.copytree(tree / folder, root / folder)
    (root / "Img").mkdir()
    with zipfile.ZipFile(root / "Img/img_align_celeba.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in sorted((tree / "Img/img_align_celeba").iterdir()):
            archive.write(path, f"img_align_celeba/{path.name}")


def make_parquet(tree: Path, root: Path) -> None:
    """Writes the same as the Hub has it: a file a split, 100 images a group of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from data.celeba.index import load_index

    index = load_index(str(tree))[1]
    assert index.partition is not None and index.identity is not None
    root.mkdir()
    for number, name in enumerate(("train", "validation", "test")):
        rows = np.flatnonzero(index.partition == number)
        names = [i.decode() for i in index.ids[rows].tolist()]
        folder = tree / "Img/img_align_celeba"
        table = pa.table(
            {
                "image": [{"bytes": (folder / n).read_bytes(), "path": n} for n in names],
                "celeb_id": index.identity[rows],
                **{
                    attribute: index.attributes[rows, column].astype(bool)
                    for column, attribute in enumerate(contract.ATTRIBUTES)
                },
            }
        )
        pq.write_table(table, root / f"{name}-00000-of-00001.parquet", row_group_size=100)


# --- The contestants; each runs in its own process -----------------------------------------------


def ours(root: Path, out: Path, *, sampling: dict[str, Any]) -> Callable[[], int]:
    """Example-gen's executor; returns what to time."""
    from tfx.types import standard_artifacts

    from components.example_gen.artifacts import SamplingManifest
    from components.example_gen.component import CelebAExampleGen
    from components.example_gen.executor import Executor
    from components.example_gen.sampling import SamplingConfig

    executor = Executor(Executor.Context(beam_pipeline_args=[RUNNER], tmp_dir=str(out / "tmp")))
    examples, manifest = standard_artifacts.Examples(), SamplingManifest()
    examples.uri, manifest.uri = str(out / "examples"), str(out / "manifest")
    component = CelebAExampleGen(str(root), SamplingConfig(**sampling), shards=2)

    def run() -> int:
        executor.Do(
            {}, {"examples": [examples], "manifest": [manifest]}, component.spec.exec_properties
        )
        content = json.loads((out / "manifest/manifest.json").read_text())
        return sum(sum(by.values()) for by in content["counts"].values())

    return run


def plain(root: Path, out: Path) -> Callable[[], int]:
    """The usual custom ExampleGen; see plain_example_gen.py."""
    from plain_example_gen import plain_run

    return plain_run(root, out, RUNNER)


def loop(root: Path, out: Path) -> Callable[[], int]:
    """A bare loop over the images."""
    import tensorflow as tf
    from plain_example_gen import read_rows, to_example

    def run() -> int:
        out.mkdir(parents=True, exist_ok=True)
        rows = read_rows(root)
        with tf.io.TFRecordWriter(str(out / "data.tfrecord")) as writer:
            for row in rows:
                writer.write(to_example(root, row).SerializeToString())
        return len(rows)

    return run


def index(root: Path, out: Path) -> Callable[[], int]:
    """Only the annotation files."""
    from data.celeba.index import load_index

    del out
    return lambda: len(load_index(str(root))[1])


WORKERS: dict[str, Callable[[Path, Path], Callable[[], int]]] = {
    "ours": lambda r, o: ours(r, o, sampling={"balance_by": ()}),
    "ours-5000": lambda r, o: ours(r, o, sampling={"total": 5000, "allow_smaller": True}),
    "plain": plain,
    "loop": loop,
    "index": index,
}


def work(name: str, root: Path, out: Path) -> None:
    """Runs one contestant and prints seconds, images and memory above the interpreter's base."""
    run = WORKERS[name](root, out)
    process = psutil.Process()
    base = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started_s = time.perf_counter()
    images = run()
    seconds = time.perf_counter() - started_s
    done.set()
    watcher.join()
    print(json.dumps({"seconds": seconds, "images": images, "mib": (peak - base) / MIB}))


# --- The comparison ------------------------------------------------------------------------------


def measure(name: str, root: Path, scratch: Path, repeats: int) -> dict[str, float]:
    """Returns the median of each figure over repeats; outputs are removed in between."""
    results = []
    for _ in range(repeats):
        out = Path(tempfile.mkdtemp(dir=scratch))
        results.append(in_process(__file__, "--worker", name, root, out))
        shutil.rmtree(out)
    return {key: statistics.median(r[key] for r in results) for key in results[0]}


def copy_tree(root: Path, scratch: Path) -> float:
    """Returns the seconds that `cp -r` of the images takes."""
    started_s = time.perf_counter()
    subprocess.run(
        ["cp", "-r", str(root / "Img/img_align_celeba"), str(scratch / "copy")], check=True
    )
    seconds = time.perf_counter() - started_s
    shutil.rmtree(scratch / "copy")
    return seconds


def main() -> None:
    """Prints a table, and the claims as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Small input; for the shape only.")
    parser.add_argument("--worker", nargs=3, metavar=("NAME", "ROOT", "OUT"))
    arguments = parser.parse_args()
    if arguments.worker:
        name, root, out = arguments.worker
        work(name, Path(root), Path(out))
        return

    images, everything, repeats = (1000, 2000, 1) if arguments.quick else (50_000, ALL_CELEBA, 3)
    with tempfile.TemporaryDirectory(prefix="genq-ingest-") as folder:
        scratch = Path(folder)
        tree, zipped, large = scratch / "tree", scratch / "zip", scratch / "large"
        parquet = scratch / "parquet"
        make_tree(tree, images)
        make_zip(tree, zipped)
        make_parquet(tree, parquet)
        make_tree(large, everything, link=True)
        copied_s = statistics.median(copy_tree(tree, scratch) for _ in range(repeats))
        results = {
            "bare loop": measure("loop", tree, scratch, repeats),
            "ours, folder": measure("ours", tree, scratch, repeats),
            "ours, zip": measure("ours", zipped, scratch, repeats),
            "ours, Parquet": measure("ours", parquet, scratch, repeats),
            "ours, balanced 5,000": measure("ours-5000", tree, scratch, repeats),
            f"ours, all {everything:,}": measure("ours", large, scratch, 1),
            f"ours, balanced 5,000 of {everything:,}": measure("ours-5000", large, scratch, 1),
            f"index of {everything:,} rows": measure("index", large, scratch, repeats),
            "plain TFX": measure("plain", tree, scratch, 1),
        }
    results["cp -r"] = {"seconds": copied_s, "images": images, "mib": 0}
    columns = ("what", "seconds", "images/s", "MiB above base")
    rows = [
        (n, f"{r['seconds']:.2f}", f"{r['images'] / r['seconds']:,.0f}", f"{r['mib']:,.0f}")
        for n, r in results.items()
    ]
    Console().print(table(f"Ingestion of {images:,} images", columns, rows))
    print(json.dumps(claims(results, everything)))


def claims(results: dict[str, dict[str, float]], everything: int) -> list[dict[str, Any]]:
    """Returns one entry a claim; ratios are ours against the peer."""

    def speed(name: str) -> float:
        return results[name]["images"] / results[name]["seconds"]

    plain_s = results["plain TFX"]["seconds"]
    balanced_s = results["ours, balanced 5,000"]["seconds"]
    largest = results[f"ours, all {everything:,}"]
    # Of the same index, so that only the number of images differs.
    small = results[f"ours, balanced 5,000 of {everything:,}"]
    rows_s = results[f"index of {everything:,} rows"]
    figures = [
        ("all images from the folder", "images/s", speed("ours, folder"), speed("plain TFX"),
         "plain TFX", 15.0),
        ("all images from the zip", "images/s", speed("ours, zip"), speed("plain TFX"),
         "plain TFX", None),
        ("all images from Parquet, against the folder", "images/s", speed("ours, Parquet"),
         speed("ours, folder"), "ours, folder", 0.5),
        ("all images from the folder, against a bare loop", "images/s", speed("ours, folder"),
         speed("bare loop"), "bare Python TFRecord loop", 0.6),
        ("a balanced 5,000", "runs/s", 1 / balanced_s, 1 / plain_s, "plain TFX", 50.0),
        ("memory: 5,000 and all images", "MiB above base", largest["mib"], small["mib"],
         "ours, 5,000 of as many", None),
        (f"index of {everything:,} rows", "s", rows_s["seconds"], 3.0, "goal", None),
    ]  # fmt: skip
    return [claim(*figure) for figure in figures]


if __name__ == "__main__":
    main()
