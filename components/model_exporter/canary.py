"""The canary: fresh processes load what will be published, as its users do, and answer.

In: a SavedModel, ONNX files, a few real images. Out: nothing, or GateError. One process cannot
import TensorFlow, as in serving: it loads each ONNX file with plain onnxruntime, decodes with
Pillow and answers. Another loads the SavedModel as TensorFlow Serving does, by its tag `serve`, and
calls `serving_default` with file bytes. (TFX's InfraValidator does this in TensorFlow Serving's own
container; docs/decisions/0005 says how to add it where there is Docker.)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from components.model_exporter.images import TestImage
from data import contract
from data.errors import GateError
from data.releases.release import VariantName

Answer = dict[str, tuple[str, list[int], Any]]
"""Output -> (dtype, shape, first value)."""

REQUESTS: Final = 4
TIMEOUT_S: Final = 300
MAX_DIFFERENCE: Final = {"float32": 1e-4, "float16": 2e-2, "int8": 0.5}
"""Between the two processes; the parity gate has the real limits."""

# Scripts rather than modules of ours: a consumer has none of them.
ONNX_CANARY: Final = """
import importlib.abc, io, json, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "tfx", "tf_keras", "tf2onnx"):
            raise ImportError(f"the canary must not import {name}")

sys.meta_path.insert(0, Blocked())
import numpy as np, onnxruntime
from PIL import Image

request = json.loads(sys.argv[1])
answers = {}
for variant, path in request["variants"].items():
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answers[variant] = []
    for file in request["images"]:
        pixels = np.asarray(Image.open(file).convert("RGB"))[None]
        answer = dict(zip(names, session.run(names, {"image": pixels})))
        answers[variant].append(
            {name: [str(value.dtype), list(value.shape), value.tolist()[0]]
             for name, value in answer.items()})
print(json.dumps(answers))
"""
SAVED_MODEL_CANARY: Final = """
import json, sys
from pathlib import Path
import tensorflow as tf

request = json.loads(sys.argv[1])
model = tf.saved_model.load(request["saved_model"], tags=["serve"])
signature = model.signatures["serving_default"]
answers = []
for file in request["images"]:
    answer = signature(image_bytes=tf.constant([Path(file).read_bytes()]))
    answers.append({name: [value.dtype.name, value.shape.as_list(), value.numpy().tolist()[0]]
                    for name, value in answer.items()})
print(json.dumps({"saved_model": answers}))
"""
EXPECTED: Final = {
    contract.P_POSITIVE: "float32",
    contract.LABEL: "int64",
    contract.UNCERTAIN: "bool",
}


def check(
    variant: VariantName,
    file: Path,
    images: Sequence[TestImage],
    reference: NDArray[np.float64],
) -> list[dict[str, float]]:
    """Sends the images to a variant in a fresh process; returns its answers.

    Args:
      variant: whose file it is.
      file: ONNX.
      images: to send.
      reference: p_positive of the SavedModel in another process, (n,); saved_model_answers.

    Raises:
      GateError: if the process fails, an answer is not of the contract, or the answers disagree.
    """
    request = {"variants": {variant: str(file)}}
    answers = [_check(variant, a) for a in _send(ONNX_CANARY, request, images)[variant]]
    p_positive = np.array([a[contract.P_POSITIVE] for a in answers])
    difference = np.abs(p_positive - reference)
    if not difference.max() <= MAX_DIFFERENCE[variant]:
        worst = images[int(difference.argmax())].name
        raise GateError(
            f"The canary: {variant} and the SavedModel, each in a process of its own, differ "
            f"by {difference.max():.2g} on {worst}; accepted: {MAX_DIFFERENCE[variant]}.",
            "The parity gate in this process saw them agree: compare the environments.",
        )
    return answers


def saved_model_answers(saved_model: Path, images: Sequence[TestImage]) -> NDArray[np.float64]:
    """Sends the images to the SavedModel in a fresh process; returns p_positive, (n,).

    Raises:
      GateError: if the process fails, or an answer is not of the contract.
    """
    found = _send(SAVED_MODEL_CANARY, {"saved_model": str(saved_model)}, images)["saved_model"]
    return np.array([_check("saved_model", answer)[contract.P_POSITIVE] for answer in found])


def _send(
    script: str, request: Mapping[str, object], images: Sequence[TestImage]
) -> dict[str, list[Answer]]:
    """Runs a canary on the images' files."""
    with tempfile.TemporaryDirectory(prefix="genq-canary-") as folder:
        paths = []
        for image in images:
            path = Path(folder) / Path(image.name).name
            path.write_bytes(image.encoded)
            paths.append(str(path))
        return run(script, {**request, "images": paths}, folder)


def run(script: str, request: Mapping[str, object], folder: str) -> dict[str, list[Answer]]:
    """Runs a canary in a fresh, isolated interpreter and returns what it printed.

    Raises:
      GateError: if it fails; says what it wrote to standard error.
    """
    try:
        done = subprocess.run(
            # Isolated: neither the working directory nor PYTHONPATH lends it our modules.
            [sys.executable, "-I", "-c", script, json.dumps(request)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            cwd=folder,
        )
    except subprocess.TimeoutExpired as error:
        raise GateError(f"The canary gave no answer in {TIMEOUT_S} s.") from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-5:]
        raise GateError(
            "The canary, a fresh process that loads the model as its users do, failed with exit "
            f"code {done.returncode}. Last lines of stderr:\n" + "\n".join(last),
            "The model works here but not there: look for what that process lacks.",
        )
    answers: dict[str, list[Answer]] = json.loads(done.stdout.splitlines()[-1])
    return answers


def _check(variant: str, answer: Answer) -> dict[str, float]:
    """Returns output -> value of one answer.

    Raises:
      GateError: if names, dtypes, shapes or values are not those of data.contract.
    """
    dtypes = {name: dtype for name, (dtype, _, _) in answer.items()}
    shapes = {tuple(shape) for _, shape, _ in answer.values()}
    values = {name: float(value) for name, (_, _, value) in answer.items()}
    if dtypes != EXPECTED or shapes != {(1,)} or not 0 <= values[contract.P_POSITIVE] <= 1:
        raise GateError(
            f"The canary: {variant} answered {dict(answer)}; expected p_positive float32 in "
            "[0, 1], label int64 and uncertain bool, each of shape (batch,).",
        )
    if values[contract.LABEL] != (values[contract.P_POSITIVE] >= 0.5):
        raise GateError(
            f"The canary: {variant} answered a label that p_positive contradicts: {values}."
        )
    return values
