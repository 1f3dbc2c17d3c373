"""Partial copies: all annotations, some of the images.

In: what was found, and the flag `data.faults.partial`. Out: what is not there, as one sentence and
as the file `partial.csv`; and the sampling that such a copy allows.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from components.example_gen.groups import group_codes
from components.example_gen.sampling import SamplingConfig
from data import contract
from data.celeba.index import Index

MISSING: Final = "the image is missing"
UNANNOTATED: Final = "the image has no annotation"


@dataclass(frozen=True)
class NotThere:
    """The annotations without image, and the images without annotation.

    Attributes:
      annotated: number of annotated images, there or not.
      missing, unannotated: ids.
    """

    annotated: int
    missing: tuple[str, ...]
    unannotated: tuple[str, ...]

    @property
    def there(self) -> int:
        """Number of images that are there and annotated."""
        return self.annotated - len(self.missing)

    def __str__(self) -> str:
        sentence = (
            f"Partial copy: {self.there:,} of {self.annotated:,} annotated images are there, and "
            "the sample is drawn from them"
        )
        if self.unannotated:
            sentence += f"; {len(self.unannotated):,} more images have no annotation"
        return sentence

    def csv(self) -> str:
        """Returns the lines of partial.csv: image_id, what."""
        # File names without commas: data/celeba/tables.py reads them from comma-separated files.
        lines = [f"{name},{MISSING}" for name in self.missing]
        lines += [f"{name},{UNANNOTATED}" for name in self.unannotated]
        return "\n".join(["image_id,problem", *lines]) + "\n"


def allowed_sampling(
    index: Index, sampling: SamplingConfig, usable: NDArray[np.bool_]
) -> tuple[SamplingConfig, str]:
    """Returns the sampling for a partial copy, and what had to be changed ("" for nothing).

    As many images as there are, where they are fewer than asked for. The official partition is
    followed where each of its splits has images of every class; otherwise people are divided anew.

    Args:
      index: of all annotations.
      sampling: what was asked for.
      usable: bool, (n,): rows whose image is there.
    """
    sampling = dataclasses.replace(sampling, allow_smaller=True)
    if sampling.splits != "official" or index.partition is None or index.identity is None:
        return sampling, ""
    group = group_codes(index, sampling.balance_by)
    empty = [
        split
        for number, split in enumerate(contract.SPLITS)
        if len(np.unique(group[usable & (index.partition == number)])) < sampling.groups
    ]
    if not empty:
        return sampling, ""
    return dataclasses.replace(sampling, splits="identity_hash"), (
        f"Of the official partition, {' and '.join(empty)} {'has' if len(empty) == 1 else 'have'} "
        "no images of some class in this copy: people are divided anew "
        "(sampling.splits=identity_hash). Figures are not comparable with those of the official "
        "test set."
    )
