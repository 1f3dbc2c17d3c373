"""What the look-alike is like. Imports nothing heavy: the command line reads it."""

import math
from dataclasses import dataclass

from data.errors import ConfigError

STAMP = "synthetic.json"
"""File that says a folder holds a look-alike, and which."""

MAX_IMAGES = 999_999
"""File names have six digits, as CelebA's."""


@dataclass(frozen=True)
class SyntheticConfig:
    """One look-alike.

    Attributes:
      num_images: how many; a larger look-alike of the same seed holds all of a smaller one.
      seed: same seed, same bytes.
      partition_fractions: shares of images in train, val and test. People are not divided, so they
        are met within a few images only.
      shuffle_labels: permutes Male among the images of each partition, so that nothing can be
        learnt; images and all other attributes stay as they are.
    """

    num_images: int = 4000
    seed: int = 0
    partition_fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    shuffle_labels: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError with the bad value and what is accepted."""
        if not 1 <= self.num_images <= MAX_IMAGES:
            raise ConfigError(
                f"synthetic.num_images is {self.num_images!r}; accepted: 1 to {MAX_IMAGES}."
            )
        fractions = self.partition_fractions
        if len(fractions) != 3 or min(fractions) <= 0 or not math.isclose(sum(fractions), 1):
            raise ConfigError(
                f"synthetic.partition_fractions is {fractions!r}; accepted: three positive shares "
                "that add up to 1."
            )
