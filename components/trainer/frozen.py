"""What computes the frozen part: TensorFlow, or OpenVINO where that is installed and faster.

In: a part of the network. Out: a function from a batch to that part's output. On processors
OpenVINO runs InceptionV3 two to three times as fast as TensorFlow at the same error against float32
(benchmarks/training.py prints both).
"""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.trainer.config import TrainerConfig
from data.errors import ConfigError

logger = logging.getLogger("genq.trainer")

Forward = Callable[[Any], Any]
"""(batch, …) in, one output of the same length back: tensors, or NumPy arrays for OpenVINO."""


def choose_engine(config: TrainerConfig, strategy: tf.distribute.Strategy) -> str:
    """Returns "openvino" or "tensorflow"; "auto" is resolved.

    OpenVINO's is one processor's pass: with a GPU or several devices TensorFlow spreads it. A
    deterministic training stays with TensorFlow, which promises equal bits.

    Raises:
      ConfigError: if OpenVINO is asked for and cannot be had.
    """
    devices = strategy.num_replicas_in_sync > 1 or bool(tf.config.list_logical_devices("GPU"))
    installed = importlib.util.find_spec("openvino") is not None
    if config.frozen_engine == "openvino":
        if not installed:
            raise ConfigError(
                "trainer.frozen_engine is openvino, which is not installed.",
                "pip install openvino, or set trainer.frozen_engine=auto.",
            )
        if devices:
            raise ConfigError(
                "trainer.frozen_engine is openvino, which computes on one processor; here are "
                "several devices, or a GPU.",
                "Set trainer.frozen_engine=auto.",
            )
        return "openvino"
    if config.frozen_engine == "auto" and installed and not devices and not config.deterministic:
        return "openvino"
    return "tensorflow"


def engine_version(engine: str) -> str:
    """Returns what an activation depends on, beside weights and precision."""
    if engine == "openvino":
        import openvino

        return f"openvino {openvino.__version__}"
    return "tensorflow"  # its kernels have been stable; oneDNN changes round-off, not values


def openvino_forward(model: keras.Model, *, bfloat16: bool) -> Forward:
    """Compiles a float32 model for this processor: array (batch, …) -> float32 array (batch, …).

    OpenVINO chooses where to round to bfloat16: from a graph that Keras has rounded it is slower by
    a third and its error larger by half.
    """
    import openvino as ov
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    [source] = model.inputs
    spec = tf.TensorSpec((None, *source.shape[1:]), source.dtype)
    function = tf.function(lambda batch: model(batch, training=False), input_signature=[spec])
    constants = convert_variables_to_constants_v2(function.get_concrete_function())
    core = ov.Core()
    # read_model, not convert_model, which loads a package that reports to its maker; and a frozen
    # graph, because the reader of SavedModels loses the variables of a function's closure.
    with tempfile.TemporaryDirectory(prefix="genq-openvino-") as folder:
        path = Path(folder) / "frozen.pb"
        path.write_bytes(constants.graph.as_graph_def().SerializeToString())
        network = core.read_model(path)
    hint = {"INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32"}
    compiled = core.compile_model(network, "CPU", hint)
    [output] = compiled.outputs

    def forward(batch: Any) -> Any:
        return compiled(np.asarray(batch, np.float32))[output]

    return forward
