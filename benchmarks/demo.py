"""The demo from an empty work directory to a release: accuracy, time, memory of all its processes.

What `make run` does, in a folder of its own. There is no peer to run beside it: the goals are those
that the project set itself.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from reporting import claim

ROOT = Path(__file__).parents[1]
QUICK = ("data.synthetic.num_images=600", "trainer.fine_tune_epochs=1")
JUDGED_LENIENTLY = (
    *("evaluation.min_accuracy=0.1", "evaluation.min_auc=0.1"),
    "evaluation.fairness.on_failure=warn",
)
EVERY_S = 2.0
LET_THROUGH = 10
"""Exit code of a model that only a setting let through, as with --quick."""


def run(workdir: Path, settings: tuple[str, ...]) -> tuple[float, float]:
    """Runs the demo; returns its seconds, and the peak memory of its processes in GB.

    Memory is the proportional set size: what processes share is counted once.
    """
    command = [sys.executable, "-m", "pipeline.cli", "run", "--workdir", str(workdir)]
    command += [argument for setting in settings for argument in ("--set", setting)]
    began, peak = time.monotonic(), 0
    with subprocess.Popen(command, cwd=ROOT) as process:
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(EVERY_S)
    if process.returncode not in (0, LET_THROUGH):
        sys.exit("The demo did not end well; see above.")
    return time.monotonic() - began, peak / 1e9


def memory(pid: int) -> int:
    """Returns the bytes that a process and all below it take."""
    try:
        top = psutil.Process(pid)
        everyone = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in everyone:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # it has ended meanwhile
            continue
    return total


def main() -> None:
    """Prints what `genq run` prints, and the claims as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Few images; for the shape only.")
    parser.add_argument("--workdir", type=Path, help="Must not exist yet; kept.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="genq-demo-") as scratch:
        workdir = arguments.workdir or Path(scratch) / "work"
        if workdir.exists():
            sys.exit(f"{workdir} exists; name a new folder.")
        settings = (*QUICK, *JUDGED_LENIENTLY) if arguments.quick else ()
        seconds, peak_gb = run(workdir, settings)
        reports = (workdir / "pipeline" / "evaluation-report" / "report").glob("*/metrics.json")
        [figures] = [json.loads(path.read_text()) for path in reports]
    print(json.dumps(claims(figures["overall"]["metrics"], seconds, peak_gb)))


def claims(metrics: dict[str, Any], seconds: float, peak_gb: float) -> list[dict[str, Any]]:
    """Returns one entry a claim."""
    accuracy = metrics["accuracy"]
    interval = f"{accuracy['low']:.3f} to {accuracy['high']:.3f}, n={accuracy['n']}"
    return [
        claim("demo: accuracy on test", interval, accuracy["value"], goal=0.9),
        claim("demo: from nothing to a release", "s", seconds, goal=720, digits=0),
        claim("demo: peak memory of all its processes", "GB", peak_gb, goal=6.0, digits=1),
    ]


if __name__ == "__main__":
    main()
