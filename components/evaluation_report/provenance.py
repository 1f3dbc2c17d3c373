"""Where the examples of a report come from, and what the model is: the first thing that it says.

In: the sampling manifest, or what `genq evaluate` was given. Out: texts for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from data import contract

DRAWN: Final = (
    "Drawn by a program: no photographs, no people. These figures say nothing about photographs."
)
WHOLE_CELEBA: Final = 202_599


@dataclass(frozen=True)
class Provenance:
    """Of the examples.

    Attributes:
      source: which data set.
      drawn: whether they are drawn; None where nothing says so.
      pictures, labels, licence: what they are, who gave the labels, under which terms.
      model: a sentence where the model itself was taught with drawn faces only; or "".
    """

    source: str
    drawn: bool | None
    pictures: str
    labels: str
    licence: str
    model: str = ""


def of_manifest(manifest: Mapping[str, Any] | None, label: contract.Label) -> Provenance:
    """Returns that of a pipeline's data set; None for a manifest says that nothing is known."""
    if manifest is None:
        unknown = "unknown: the sampling manifest is not here"
        return Provenance(unknown, None, unknown, unknown, unknown)
    images, layout = manifest["annotated_images"], manifest["layout"]
    if manifest.get("synthetic"):
        return Provenance(
            f"genq's look-alike of CelebA, {images:,} images ({layout})",
            True,
            DRAWN,
            f"given by the program that draws, {label.attribute} among them",
            "free of CelebA's: genq's own",
        )
    whole = images == WHOLE_CELEBA
    return Provenance(
        f"{'CelebA' if whole else 'A copy of CelebA, or data in its layout'}, {images:,} images "
        f"({layout})",
        False,
        "Photographs, cropped and aligned: genq's mark of drawn faces is not among them.",
        f"{label.attribute}: how a face appeared to the annotators of the data set; noisy (only 12 "
        "of CelebA's 40 attributes reach 95 % consistency)",
        "CelebA: non-commercial research only; of other data, as their owner says",
    )


def of_own(
    photos: str, labels: str, label: contract.Label, *, drawn: bool, model_drawn: bool
) -> Provenance:
    """Returns that of images that `genq evaluate` was given.

    Args:
      photos: name of their folder.
      labels: name of the file.
      label: what the labels are of.
      drawn: whether genq's mark of drawn faces lies beside the images.
      model_drawn: whether the model was taught with drawn faces only.
    """
    return Provenance(
        f"images of {photos}, which the model was not taught with, as far as genq knows",
        drawn,
        DRAWN
        if drawn
        else "As the folder has them: genq's mark of drawn faces is not beside them.",
        f"{label.attribute} of {labels}: as whoever wrote that file saw it",
        "as their owner says",
        "The model was trained on drawn faces only. Do not rely on its answers about photos."
        if model_drawn
        else "",
    )


def people_and_images(rows: pd.DataFrame, people: int | None, split: str) -> str:
    """Returns e.g. "832 images of 324 people in “test”"."""
    whose = f"{people:,} people" if people is not None else "people who are not known"
    return f"{len(rows):,} images of {whose}, split “{split}”"
