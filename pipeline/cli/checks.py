"""`genq doctor`: what of genq works on this machine, and what to do about the rest.

In: the machine. Out: a list of Findings. Nothing is installed, written or loaded into this process:
programs are asked by a call with a time limit, TensorFlow is looked at without importing it.
"""

from __future__ import annotations

import enum
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

LOCK_FILE: Final = Path(__file__).parents[2] / "requirements.lock"
PYTHONS: Final = ((3, 11), (3, 12), (3, 13))
"""As python_requires of setup.py says."""
OWN_PINS_GLIBC: Final = (2, 39)
"""What TFX 1.21's own pins need; Python 3.11 gets two older packages (docs/decisions/0001)."""
GIB: Final = 2**30
DEMO_MEMORY_GIB: Final = 6
"""Peak of `make run` (docs/benchmarks.md); benchmarks hold it there, this check does not."""
DEMO_DISK_GIB: Final = 4
"""A run, and what it leaves in caches; the packages are there by then."""
CALL_TIMEOUT_S: Final = 10
KERAS_WEIGHTS_URL: Final = "https://storage.googleapis.com/tensorflow/keras-applications/"
"""Where keras.applications.inception_v3 downloads from."""


class Status(enum.StrEnum):
    """What a finding means for the person who asked."""

    OK = "ok"
    LIMITED = "limited"
    """A part that is optional does not work, or works slowly."""
    BROKEN = "broken"
    """The demo will not run."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
      subject: e.g. "memory".
      found: what is there.
      remedy: what to do about it; "" where nothing needs doing.
    """

    subject: str
    status: Status
    found: str
    remedy: str = ""


def examine(workdir: Path) -> list[Finding]:
    """Returns everything that was found; `workdir` is where runs would go."""
    checks: Sequence[Callable[[], Finding]] = (
        python,
        c_library,
        packages,
        processor,
        memory,
        lambda: disk(workdir),
        gpu,
        tensorflow,
        imagenet_weights,
        java,
        docker,
        cluster,
        node,
        chromium,
    )
    return [check() for check in checks]


def python() -> Finding:
    """TFX 1.21 has wheels for 3.11 to 3.13; from 3.12 on they need glibc 2.39."""
    version = platform.python_version()
    mine, library = sys.version_info[:2], glibc()
    if mine in PYTHONS and (mine == PYTHONS[0] or library >= OWN_PINS_GLIBC):
        return Finding("Python", Status.OK, version)
    fitting = "3.11, 3.12 or 3.13" if library >= OWN_PINS_GLIBC else "3.11"
    return Finding(
        "Python", Status.BROKEN, version, f"Install Python {fitting}, then make clean run."
    )


def glibc() -> tuple[int, ...]:
    """Returns the C library's version; () where it is not glibc."""
    name, version = platform.libc_ver()
    return tuple(int(n) for n in re.findall(r"\d+", version)[:2]) if name == "glibc" else ()


def c_library() -> Finding:
    """TensorFlow's and TFDV's wheels are manylinux_2_28 at most."""
    name, version = platform.libc_ver()
    found = f"{name or 'no glibc'} {version}, {platform.system()} {platform.machine()}"
    if glibc() >= (2, 28) and platform.machine() == "x86_64":
        return Finding("platform", Status.OK, found)
    return Finding(
        "platform",
        Status.BROKEN,
        found,
        "Use Linux on x86-64 with glibc 2.28 (Debian 10) or newer.",
    )


def locked_versions(lock_file: Path) -> dict[str, str]:
    """Returns distribution -> version, as the lock file pins them for this Python.

    Its markers know one thing, the Python (scripts/lock.py).
    """
    line = r"^([\w.-]+)==([^\s;\\]+)(?: ; (.+?))? *\\?$"
    pins = re.findall(line, lock_file.read_text(), re.MULTILINE)
    return {name.lower(): version for name, version, marker in pins if _is_for_this(marker)}


def _is_for_this(marker: str) -> bool:
    """Returns whether a marker like "python_version >= '3.12' and …" holds here."""
    for sign, number in re.findall(r"python_version (<|>=) '3\.(\d+)'", marker):
        newer = sys.version_info[1] >= int(number)
        if newer != (sign == ">="):
            return False
    return True


def set_up_names(prefix: Path) -> set[str]:
    """Returns the distributions that scripts/setup was asked for: it leaves its lists in .venv."""
    texts = [path.read_text() for path in sorted(prefix.glob("*.lock"))]
    return {name.lower() for name in re.findall(r"^([\w.-]+)==", "\n".join(texts), re.MULTILINE)}


def installed_version(name: str) -> str | None:
    """Returns the version of a distribution, or None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def packages(lock_file: Path = LOCK_FILE, prefix: Path = Path(sys.prefix)) -> Finding:
    """Whether what is installed is what ran together."""
    asked = set_up_names(prefix)
    if not lock_file.exists() or not asked:
        return Finding(
            "packages",
            Status.LIMITED,
            f"genq {installed_version('genq')}, not set up by scripts/setup",
            "Compare `pip freeze` with requirements.lock of the same version of genq.",
        )
    wanted = {n: v for n, v in locked_versions(lock_file).items() if n in asked}
    found = {name: installed_version(name) for name in wanted}
    missing = sorted(name for name, version in found.items() if version is None)
    others = sorted(name for name, v in found.items() if v is not None and v != wanted[name])
    if not missing and not others:
        return Finding("packages", Status.OK, f"{len(wanted)} as {lock_file.name} pins them")
    differences = [
        *(f"{name} is missing" for name in missing),
        *(f"{name} is {found[name]}, not {wanted[name]}" for name in others),
    ]
    return Finding(
        "packages",
        Status.BROKEN if missing else Status.LIMITED,
        _some(differences),
        "rm .venv/.ready && make setup",
    )


def processor() -> Finding:
    """Cores, and whether the processor has AMX, with which bfloat16 makes training far faster."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    fast = "amx_bf16" in flags
    found = f"{os.cpu_count()} cores, {'AMX' if fast else 'no AMX'}"
    if "avx2" not in flags:
        return Finding(
            "processor",
            Status.BROKEN,
            f"{found}, no avx2",
            "TensorFlow's wheels are built for AVX2; use a processor from 2013 or later.",
        )
    if not fast:
        return Finding(
            "processor",
            Status.LIMITED,
            found,
            "Training runs in float32, several times slower than with AMX. Nothing needs doing.",
        )
    return Finding("processor", Status.OK, found)


def memory() -> Finding:
    """What is free now, against the demo's peak."""
    machine = psutil.virtual_memory()
    found = f"{machine.available / GIB:.1f} GiB free of {machine.total / GIB:.1f}"
    if machine.available >= DEMO_MEMORY_GIB * GIB:
        return Finding("memory", Status.OK, found)
    return Finding(
        "memory",
        Status.BROKEN,
        found,
        f"The demo takes up to {DEMO_MEMORY_GIB} GiB: close programs, or take a larger machine.",
    )


def disk(workdir: Path) -> Finding:
    """What is free where runs go."""
    place = workdir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{free / GIB:.1f} GiB free at {place}"
    if not os.access(place, os.W_OK):
        return Finding(
            "disk", Status.BROKEN, f"{place} is not writable", "Choose another: --workdir DIR."
        )
    if free >= DEMO_DISK_GIB * GIB:
        return Finding("disk", Status.OK, found)
    return Finding("disk", Status.BROKEN, found, f"The demo takes {DEMO_DISK_GIB} GiB; free some.")


def gpu() -> Finding:
    """What NVIDIA's driver shows."""
    answer = call("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    if not answer:
        return Finding(
            "GPU", Status.LIMITED, "none", "Training runs on the processor. Nothing needs doing."
        )
    return Finding("GPU", Status.OK, "; ".join(answer.splitlines()))


def tensorflow(prefix: Path = Path(sys.prefix)) -> Finding:
    """Which of its two kinds is here, why, and whether it fits the machine."""
    driver = bool(call("nvidia-smi", "-L"))
    note = prefix / "tensorflow-kind"
    why = f": {note.read_text().strip()}" if note.exists() else ""
    cuda, without = installed_version("tensorflow"), installed_version("tensorflow-cpu")
    if cuda and without:
        return Finding(
            "TensorFlow",
            Status.BROKEN,
            "tensorflow and tensorflow-cpu, which overwrite each other's files",
            "make clean setup",
        )
    if without:
        found = f"{without} without CUDA{why}"
        if driver:
            return Finding(
                "TensorFlow", Status.LIMITED, found, "rm .venv/.ready && make GPU=1 setup"
            )
        return Finding("TensorFlow", Status.OK, found)
    if not cuda:
        return Finding("TensorFlow", Status.BROKEN, "none", "make setup")
    found = f"{cuda} with CUDA{why}"
    if installed_version("nvidia-cudnn-cu12") is None:
        return Finding(
            "TensorFlow",
            Status.LIMITED if driver else Status.OK,
            f"{found}; without CUDA's libraries, so it computes on the processor",
            "rm .venv/.ready && make GPU=1 setup" if driver else "",
        )
    return Finding("TensorFlow", Status.OK, found)


def imagenet_weights() -> Finding:
    """The presets `celeba` and `celeba_full` start from them."""
    cached = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
    files = sorted(cached.glob("inception_v3_weights*notop*"))
    if files:
        return Finding("ImageNet weights", Status.OK, str(files[0]))
    import requests

    try:
        requests.head(KERAS_WEIGHTS_URL, timeout=5)
    except requests.RequestException as error:
        return Finding(
            "ImageNet weights",
            Status.LIMITED,
            f"not here, and their server cannot be reached ({type(error).__name__})",
            "The demo needs none. For real faces fetch the file elsewhere: "
            "--set trainer.weights=FILE.",
        )
    return Finding("ImageNet weights", Status.OK, "will be downloaded when they are needed")


def java() -> Finding:
    """Beam's Flink job server is a Java program."""
    answer = call("java", "-version")
    if answer:
        return Finding("Java", Status.OK, answer.splitlines()[0])
    return Finding(
        "Java",
        Status.LIMITED,
        "none",
        "Only Beam on a local Flink needs it: install Java 11 or 17.",
    )


def docker() -> Finding:
    """Builds images; nothing in the demo needs it."""
    if call("docker", "info", "--format", "{{.ServerVersion}}"):
        return Finding("Docker", Status.OK, "its engine answers")
    there = shutil.which("docker") is not None
    return Finding(
        "Docker",
        Status.LIMITED,
        "its engine does not answer" if there else "none",
        "Start it, or be allowed to use it." if there else "Only building images needs it.",
    )


def cluster() -> Finding:
    """Whether kubectl's current context answers."""
    if shutil.which("kubectl") is None:
        return Finding("cluster", Status.LIMITED, "no kubectl", "Only Kubeflow needs a cluster.")
    context = call("kubectl", "config", "current-context")
    if not context:
        return Finding(
            "cluster", Status.LIMITED, "kubectl has no context", "kubectl config use-context NAME"
        )
    if call("kubectl", "version", f"--request-timeout={CALL_TIMEOUT_S - 2}s", "-o", "json"):
        return Finding("cluster", Status.OK, f"{context.strip()} answers")
    return Finding(
        "cluster",
        Status.LIMITED,
        f"{context.strip()} does not answer",
        "Check the network and the credentials: kubectl cluster-info.",
    )


def node() -> Finding:
    """Builds the page."""
    answer = call("node", "--version")
    built = LOCK_FILE.parent / "serving" / "web" / "out" / "index.html"
    if answer and int(answer.lstrip("v").split(".")[0]) >= 20:
        return Finding("Node.js", Status.OK, answer.strip())
    if built.exists():
        return Finding("Node.js", Status.OK, "none, but the page is built")
    return Finding(
        "Node.js",
        Status.LIMITED,
        answer.strip() if answer else "none",
        "The application's page is not built without Node.js 20 or newer; the API works.",
    )


def chromium() -> Finding:
    """Some tests open pages in it."""
    path = os.environ.get("GENQ_CHROMIUM", "/usr/bin/chromium")
    if Path(path).exists():
        return Finding("Chromium", Status.OK, path)
    return Finding(
        "Chromium",
        Status.LIMITED,
        f"not at {path}",
        "Tests of pages are skipped: apt-get install chromium, or set GENQ_CHROMIUM.",
    )


def call(*command: str) -> str:
    """Returns what a program wrote, or "" where it is missing, fails or takes too long."""
    try:
        done = subprocess.run(
            command,
            check=True,
            text=True,
            timeout=CALL_TIMEOUT_S,
            stdout=subprocess.PIPE,
            # java -version writes to standard error.
            stderr=subprocess.STDOUT,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def as_json(findings: Iterable[Finding]) -> str:
    """Returns the findings for a program."""
    return json.dumps([vars(finding) for finding in findings], indent=2)


def _some(items: Sequence[str], shown: int = 3) -> str:
    """Joins the first few and counts the rest."""
    rest = len(items) - shown
    return "; ".join(items[:shown]) + (f"; and {rest} more" if rest > 0 else "")
