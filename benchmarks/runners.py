"""The same ingestion on the direct runner and on Flink, with one worker and with more.

Makes a tree of 50,000 images (some hundred distinct JPEGs, reused), and lets example-gen's executor
write all of it, each time in a process of its own: on Beam's direct runner, and on Flink inside
Beam's job server with parallelism 1 and 2. Flink's workers are threads of the Python process, as
`[local]` has them; starting Java and the cluster is part of the time, and shown alone by a run on
300 images. The cost per added worker is what the second one brings.

Run: .venv/bin/python benchmarks/runners.py --job-server JAR [--quick]
(scripts/flink-job-server JAR makes it.)
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from reporting import claim, table
from rich.console import Console

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
SHARDS = 4


def work(data: Path, out: Path, job_server: str, parallelism: int) -> None:
    """Ingests in this process and prints seconds and examples; parallelism 0 is direct."""
    from tfx.types import standard_artifacts

    from components.example_gen.artifacts import SamplingManifest
    from components.example_gen.component import CelebAExampleGen
    from components.example_gen.executor import Executor
    from components.example_gen.sampling import SamplingConfig
    from pipeline.beam_config import BeamConfig

    beam = (
        BeamConfig("flink", parallelism=parallelism, flink_job_server=job_server)
        if parallelism
        else BeamConfig()
    )
    sampling = SamplingConfig(balance_by=())
    node = CelebAExampleGen(str(data), sampling, None, SHARDS)
    examples, manifest = standard_artifacts.Examples(), SamplingManifest()
    examples.uri, manifest.uri = str(out / "examples"), str(out / "manifest")
    # With a setup file named, TFX does not pack itself for remote workers; Beam packs this one.
    (out / "setup.py").write_text(
        "import setuptools\nsetuptools.setup(name='none', py_modules=[])\n"
    )
    flags = [*beam.flags(), f"--setup_file={out / 'setup.py'}"]
    executor = Executor(Executor.Context(beam_pipeline_args=flags, tmp_dir=str(out / "tmp")))
    start = time.monotonic()
    executor.Do({}, {"examples": [examples], "manifest": [manifest]}, node.spec.exec_properties)
    seconds = time.monotonic() - start
    count = json.loads((out / "manifest/manifest.json").read_text())["counts"]
    written = sum(sum(groups.values()) for groups in count.values())
    print(json.dumps({"seconds": seconds, "examples": written}))


def measure(data: Path, scratch: Path, job_server: str, parallelism: int) -> dict[str, float]:
    """Returns what `work` printed, from a process of its own."""
    out = Path(tempfile.mkdtemp(dir=scratch))
    command = [sys.executable, __file__, "--work", str(data), str(out), job_server]
    done = subprocess.run([*command, str(parallelism)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    [line] = [line for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
    found: dict[str, float] = json.loads(line)
    return found


def main() -> None:
    """Prints a table, and the claims as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job-server", help="jar; scripts/flink-job-server makes it")
    parser.add_argument("--quick", action="store_true", help="5,000 images")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        data, out, job_server, parallelism = arguments.work
        work(Path(data), Path(out), job_server, int(parallelism))
        return
    if not arguments.job_server:
        parser.error("--job-server is missing; scripts/flink-job-server JAR makes it.")
    from ingest import make_tree

    images = 5_000 if arguments.quick else 50_000
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        make_tree(scratch / "few", 300)
        make_tree(scratch / "data", images)
        start = measure(scratch / "few", scratch, arguments.job_server, 1)["seconds"]
        runs = {
            name: measure(scratch / "data", scratch, arguments.job_server, parallelism)
            for name, parallelism in (("direct", 0), ("Flink, 1", 1), ("Flink, 2", 2))
        }
    rates, rows = {}, []
    for name, run in runs.items():
        begun = start if "Flink" in name else 0.0
        # With few images the start is all there is.
        rates[name] = run["examples"] / max(run["seconds"] - begun, run["seconds"] / 10)
        whole = f"{run['examples'] / run['seconds']:,.0f}"
        rows.append((name, f"{run['seconds']:.1f}", whole, f"{rates[name]:,.0f}"))
    title = f"{images:,} images, {SHARDS} shards; 300 images on Flink: {start:.1f} s"
    columns = ("runner, parallelism", "seconds", "images/s", "images/s after the start")
    Console(width=100).print(table(title, columns, rows))
    print(json.dumps(claims(rates)))


def claims(rates: dict[str, float]) -> list[dict[str, Any]]:
    """Returns the claims, in the form that all benchmarks print."""
    return [
        claim(text, "images/s", rates[ours], rates[peer], peer, digits=1)
        for text, ours, peer in (
            ("Flink against direct", "Flink, 2", "direct"),
            ("a second worker", "Flink, 2", "Flink, 1"),
        )
    ]


if __name__ == "__main__":
    main()
