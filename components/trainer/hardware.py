"""What to compute with: numbers, devices and determinism, chosen by what the machine has."""

import logging
import os
from pathlib import Path

import keras
import tensorflow as tf

from components.trainer.config import ONE_AT_A_TIME, TrainerConfig
from data.errors import ConfigError

logger = logging.getLogger("genq.trainer")

BFLOAT16_FLAGS = frozenset({"amx_bf16"})
"""Linux CPU flags under which bfloat16 is faster than float32. With avx512_bf16 alone it is slower,
in TensorFlow and in OpenVINO (docs/field-log.md, 2026-11-27)."""


def choose_precision(asked: str) -> str:
    """Returns a Keras dtype policy name; "auto" is resolved, anything else returned as it is.

    GPUs of compute capability 8.0 and above compute bfloat16; older ones (7.x) float16.
    """
    if asked != "auto":
        return asked
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        major, _ = tf.config.experimental.get_device_details(gpus[0])["compute_capability"]
        return "mixed_bfloat16" if major >= 8 else "mixed_float16" if major >= 7 else "float32"
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return "mixed_bfloat16" if flags & BFLOAT16_FLAGS else "float32"


def choose_strategy(batch_size: int) -> tf.distribute.Strategy:
    """Returns how a batch is spread: over all GPUs, or all logical CPUs where there is no GPU.

    A process has one logical CPU unless it asked TensorFlow for more. The batch is the global one:
    each device takes its part, so the recipe is the same on one device and on eight.

    Raises:
      ConfigError: if the devices cannot share the batch evenly.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) == 1:
        return tf.distribute.get_strategy()
    if batch_size % len(devices):
        raise ConfigError(
            f"trainer.batch_size is {batch_size}; {len(devices)} devices cannot share it evenly.",
            f"Set trainer.batch_size to a multiple of {len(devices)}, or hide devices "
            "(CUDA_VISIBLE_DEVICES=0).",
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def seed_everything(config: TrainerConfig) -> None:
    """Seeds Python, NumPy and TensorFlow; with `deterministic`, also fixes every operation's order.

    TensorFlow can switch determinism on but not off again: it lasts as long as the process. On CPUs
    it is not enough: while two operations run at once, some sum their parts in another order, and
    the last digit differs (docs/field-log.md, 2026-11-28). Only one may run at a time, on all
    cores; TensorFlow takes that before its first operation only, so `genq run` says it in the
    environment (ONE_AT_A_TIME) before anything is loaded.
    """
    keras.utils.set_random_seed(config.seed)
    if not config.deterministic:
        return
    tf.config.experimental.enable_op_determinism()
    if (
        tf.config.list_physical_devices("GPU")
        or os.environ.get(ONE_AT_A_TIME[0]) == ONE_AT_A_TIME[1]
    ):
        return
    try:
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        logger.warning(
            "trainer.deterministic: TensorFlow runs already, with several operations at once, so "
            "the last digit may differ from run to run. Set %s=%s before the program starts.",
            *ONE_AT_A_TIME,
        )
