"""The trainer's settings refuse what cannot work."""

from typing import Any

import pytest

from components.trainer.cache_plan import plan
from components.trainer.config import BLOCKS, TrainerConfig
from data.errors import ConfigError


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image_size_px": 74}, "image_size_px is 74; accepted: 75 or more"),
        ({"unfreeze_above": "mixed11"}, "'mixed11'; accepted: one of mixed0 … mixed10"),
        ({"head_epochs": -1}, "head_epochs is -1; accepted: 0 or more"),
        ({"head_learning_rate": 0.0}, "head_learning_rate is 0.0; accepted: a positive number"),
        ({"dropout": 1.0}, "dropout is 1.0; accepted: 0 or more, below 1"),
        ({"batch_norm_momentum": 1.0}, "batch_norm_momentum is 1.0; accepted: between 0 and 1"),
        ({"batch_size": 1}, "batch_size is 1; accepted: 2 or more"),
        ({"weights": ""}, "weights is ''; accepted"),
        ({"weights": "none"}, "a frozen backbone of random weights has learnt nothing"),
    ],
)
def test_a_bad_value_is_named_with_what_is_accepted(changed: dict[str, Any], message: str) -> None:
    """Each message has the field, the value found and the accepted range."""
    with pytest.raises(ConfigError, match="trainer") as caught:
        TrainerConfig(**changed)
    assert message in str(caught.value)


def test_random_weights_are_fine_when_everything_trains() -> None:
    """The demo's setting is accepted."""
    assert TrainerConfig(weights="none", strategy="full").weights == "none"


def test_phases_follow_strategy_and_epochs() -> None:
    """Each strategy's phases; one without epochs is left out."""
    assert TrainerConfig().phases == ("head", "fine_tune")
    assert TrainerConfig(head_epochs=0).phases == ("fine_tune",)
    assert TrainerConfig(strategy="head_only").phases == ("head",)
    assert TrainerConfig(strategy="full", weights="none").phases == ("full",)


ROW_BYTES = {
    **dict.fromkeys(BLOCKS, 10**6),
    **{"mixed8": 163_840, "mixed9": 262_144, "pooled": 4_096},
}
"""InceptionV3's at 299 px, 16 bits a number; the lower blocks are larger still."""


@pytest.mark.parametrize(
    ("changed", "cut", "gigabytes"),
    [
        ({}, "mixed9", 2.66),
        ({"cache_budget_gb": 2}, "mixed8", 1.68),
        ({"strategy": "head_only", "cache_budget_gb": 0.05}, None, 0.041),
        ({"unfreeze_above": "mixed8"}, "mixed8", 1.68),
    ],
)
def test_the_cut_is_the_highest_that_fits_the_budget(
    changed: dict[str, Any], cut: str | None, gigabytes: float
) -> None:
    """10,000 rows: mixed9 where it fits, else mixed8, which is smaller; never above what trains."""
    chosen = plan(TrainerConfig(**changed), ROW_BYTES, 10_000)
    assert chosen.cut == cut
    assert chosen.needed_bytes / 1e9 == pytest.approx(gigabytes, rel=0.01)


def test_what_fits_nowhere_is_refused_with_the_size_and_the_knobs() -> None:
    """The whole of CelebA: the least it takes, what is allowed, what to set."""
    with pytest.raises(ConfigError, match=r"45\.7 GB at the least \(cut at mixed8") as caught:
        plan(TrainerConfig(), ROW_BYTES, 272_000)
    assert "trainer.cache_budget_gb=46" in caught.value.remedy
    assert "trainer.strategy=head_only (1.1 GB)" in caught.value.remedy
