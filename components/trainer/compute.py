"""What a training cost, measured: for the model card, in `compute.json` of `model_run`.

Energy and carbon are not in it: they need the machine's meter or its supplier's figures.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import psutil
import tensorflow as tf

FILE = "compute.json"


@dataclass(frozen=True)
class Compute:
    """Of the attempt that ended the training; a killed one's time died with it.

    Attributes:
      wall_seconds: from the first image read to the export's end.
      processor_seconds: of all threads together.
      epochs: trained in this attempt.
      earlier_epochs: taken over from attempts that were killed.
      processor: its name; "" if the system does not say.
      cores: that this process may use.
      gpus: names, one a device.
      precision: Keras' dtype policy.
    """

    wall_seconds: float
    processor_seconds: float
    epochs: int
    earlier_epochs: int
    processor: str
    cores: int
    gpus: tuple[str, ...]
    precision: str


@contextmanager
def measured(run_dir: Path) -> Iterator[Callable[[int, int], None]]:
    """Measures what runs inside; writes the file if it ended well.

    Yields:
      What to call with the epochs at the start and at the end of this attempt.
    """
    process = psutil.Process()
    wall, processor = time.monotonic(), _processor_seconds(process)
    counts = [0, 0]

    def epochs(earlier: int, total: int) -> None:
        counts[:] = earlier, total

    yield epochs
    compute = Compute(
        wall_seconds=round(time.monotonic() - wall, 1),
        processor_seconds=round(_processor_seconds(process) - processor, 1),
        epochs=counts[1] - counts[0],
        earlier_epochs=counts[0],
        processor=_processor_name(),
        cores=len(os.sched_getaffinity(0)),
        gpus=tuple(
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        ),
        precision=keras.mixed_precision.dtype_policy().name,
    )
    (run_dir / FILE).write_text(json.dumps(asdict(compute), indent=2) + "\n")


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return ""
