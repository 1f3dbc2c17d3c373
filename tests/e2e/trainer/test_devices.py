"""Several devices: the same recipe, the batch spread over them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.config import TrainerConfig
from components.trainer.hardware import choose_precision, choose_strategy
from data.errors import ConfigError


@pytest.mark.nightly
def test_two_devices_train_the_network_that_one_does(
    tmp_path: Path,
    two_phase: SimpleNamespace,
    two_phase_config: TrainerConfig,
    start_training: Callable[..., object],
    wait_for: Callable[..., SimpleNamespace],
) -> None:
    """Two logical CPUs: each image once through the frozen part, and nearly the same weights.

    Nearly: gradients are summed in another order, and dropout draws on each device by itself; so
    without dropout, and against a run on one device that differs by no more than rounding.
    """
    config = replace(two_phase_config, dropout=0.0)
    one, two = tmp_path / "one", tmp_path / "two"
    on_one = wait_for(start_training(one, config, two_phase.cache), one)
    on_two = wait_for(start_training(two, config, tmp_path / "cache", logical_cpus=2), two)
    assert "2 device(s)" in on_two.log
    assert on_two.forward_passes == 2 * 24 + 9
    assert on_one.forward_passes == 0, "dropout changes no activation below the cut"
    for a, b in zip(
        tf.saved_model.load(str(on_one.model))._weights,
        tf.saved_model.load(str(on_two.model))._weights,
        strict=True,
    ):
        if a.dtype.is_floating:
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=2e-3, rtol=2e-2)


def test_a_batch_that_devices_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine images on two devices: the error names the knob."""
    devices = [tf.config.LogicalDevice(f"CPU:{i}", "CPU") for i in range(2)]
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind: devices if kind == "CPU" else []
    )
    with pytest.raises(ConfigError, match="multiple of 2"):
        choose_strategy(9)


def test_a_precision_that_was_asked_for_is_taken() -> None:
    """Only "auto" looks at the hardware."""
    assert choose_precision("float32") == "float32"
    assert choose_precision("auto") in {"float32", "mixed_bfloat16", "mixed_float16"}
