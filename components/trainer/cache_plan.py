"""Which layers' outputs the activation cache keeps, so that they fit the disk budget.

In: the configuration, the bytes of a row of each layer, the number of rows. Out: a Plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from components.trainer.config import BLOCKS, TrainerConfig
from components.trainer.model import POOLED
from data.errors import ConfigError

GB = 10**9


@dataclass(frozen=True)
class Plan:
    """What will be kept; said before it is computed.

    Attributes:
      cut: the block at which fine-tuning cuts, or None when only the head trains.
      rows: images and mirrored images.
      needed_bytes: of all rows, those that are there already included.
    """

    cut: str | None
    rows: int
    needed_bytes: int

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose outputs are kept."""
        return (POOLED,) if self.cut is None else (self.cut, POOLED)


def plan(config: TrainerConfig, row_bytes: dict[str, int], rows: int) -> Plan:
    """Chooses the cut: the highest block at or below `unfreeze_above` that fits the disk budget.

    A lower cut computes frozen layers again in each epoch, but may be smaller: InceptionV3's
    "mixed8" is 0.6 times "mixed9".

    Args:
      config: says the budget and what trains.
      row_bytes: of one row, for POOLED and every block.
      rows: images and mirrored images.

    Raises:
      ConfigError: if nothing fits; names the knobs.
    """
    budget = config.cache_budget_gb * GB
    candidates: list[str | None] = [None]
    if "fine_tune" in config.phases:
        candidates = [*reversed(BLOCKS[: BLOCKS.index(config.unfreeze_above) + 1])]
    options = [
        Plan(cut, rows, rows * (row_bytes[POOLED] + (row_bytes[cut] if cut else 0)))
        for cut in candidates
    ]
    for option in options:
        if option.needed_bytes <= budget:
            return option
    least = min(options, key=lambda option: option.needed_bytes)
    raise ConfigError(
        f"The activation cache needs {least.needed_bytes / GB:.1f} GB at the least (cut at "
        f"{least.cut or POOLED}, {rows:,} images and mirrored images); "
        f"trainer.cache_budget_gb allows {config.cache_budget_gb:g}.",
        f"Set trainer.cache_budget_gb={math.ceil(least.needed_bytes / GB)}; or trainer.flip=false "
        "(half of it); or trainer.strategy=head_only "
        f"({rows * row_bytes[POOLED] / GB:.1f} GB); or a smaller sample (sampling.total); or "
        "trainer.activation_cache=false, which runs the frozen layers again in every epoch.",
    )
