"""The gate between the models: every variant must answer as the SavedModel does.

In: p_positive of the SavedModel and of a variant, on real test examples and on adversarial images,
with labels and attributes. Out: a Comparison for each; GateError over a limit, naming variant,
slice and images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from components.evaluation.intervals import wilson
from components.model_exporter.config import ExportConfig
from components.model_exporter.images import TestImage
from components.model_exporter.models import P
from data.errors import GateError
from data.several import some

Bools = NDArray[np.bool_]

NAMED_IMAGES: Final = 5
"""So many of the worst images does a message name."""
Z_95: Final = 1.959964
OVERALL: Final = "overall"
REMEDY: Final = (
    "An operation was converted wrongly, or computes less exactly. Find it before you raise the "
    "limit (export.*). To publish without int8 or float16: export.on_variant_failure=leave_out."
)


@dataclass(frozen=True)
class SliceComparison:
    """A variant's accuracy on one slice against the SavedModel's.

    Attributes:
      slice: "overall", or e.g. "Young=1".
      accuracy, reference_accuracy: of the variant and of the SavedModel.
      low, high: 95 % interval of their difference; the images are the same, so it is paired.
      lost: images that the SavedModel has right and the variant wrong.
    """

    slice: str
    images: int
    accuracy: float
    reference_accuracy: float
    low: float
    high: float
    lost: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """How far one model is from another on the same images.

    Attributes:
      variant: e.g. "int8".
      on: which images, and how they were decoded.
      images: number of them.
      max_difference, mean_difference: of p_positive, absolute.
      equal_decisions: share of images with the same label.
      equal_low, equal_high: its 95 % interval (Wilson 1927).
      worst: (image, difference), largest first.
      flipped: images with another label.
      slices: accuracy by slice, overall first; empty where there are no labels.
    """

    variant: str
    on: str
    images: int
    max_difference: float
    mean_difference: float
    equal_decisions: float
    equal_low: float
    equal_high: float
    worst: tuple[tuple[str, float], ...]
    flipped: tuple[str, ...]
    slices: tuple[SliceComparison, ...] = ()


def compare(variant: str, on: str, names: Sequence[str], expected: P, found: P) -> Comparison:
    """Returns how far `found` is from `expected`; NaN counts as infinitely far.

    Args:
      variant: what `found` is of.
      on: which images.
      names: of the images.
      expected: p_positive, (n,).
      found: p_positive, (n,).
    """
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    difference[np.isnan(difference)] = np.inf
    worst = np.argsort(-difference, kind="stable")[:NAMED_IMAGES].tolist()
    flipped = (found >= 0.5) != (expected >= 0.5)
    low, high = interval(len(names) - int(flipped.sum()), len(names))
    return Comparison(
        variant=variant,
        on=on,
        images=len(names),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        equal_decisions=float(1 - flipped.mean()),
        equal_low=low,
        equal_high=high,
        worst=tuple((names[int(i)], float(difference[i])) for i in worst),
        flipped=tuple(names[int(i)] for i in np.flatnonzero(flipped)),
    )


def compare_slices(
    images: Sequence[TestImage], keys: Sequence[Sequence[str]], expected: P, found: P
) -> tuple[SliceComparison, ...]:
    """Returns accuracy overall and on every combination of values of each key that occurs.

    Args:
      images: labelled.
      keys: each some attributes, e.g. ("Male", "Young").
      expected: the SavedModel's p_positive, (n,).
      found: the variant's p_positive, (n,).
    """
    labels = np.array([image.label for image in images])
    before = (expected >= 0.5) == (labels == 1)
    after = (found >= 0.5) == (labels == 1)
    names = [image.name for image in images]
    result = [_slice(OVERALL, np.ones(len(images), np.bool_), before, after, names)]
    for key in keys:
        if not all(name in image.attributes for image in images for name in key):
            continue  # the data do not have it
        values = [tuple(image.attributes[name] for name in key) for image in images]
        for value in sorted(set(values)):
            inside = np.array([v == value for v in values])
            title = ", ".join(f"{n}={v}" for n, v in zip(key, value, strict=True))
            result.append(_slice(title, inside, before, after, names))
    return tuple(result)


def _slice(
    title: str, inside: Bools, before: Bools, after: Bools, names: Sequence[str]
) -> SliceComparison:
    lost, gained = inside & before & ~after, inside & ~before & after
    count = int(inside.sum())
    low, high = paired_interval(int(gained.sum()), int(lost.sum()), count)
    return SliceComparison(
        slice=title,
        images=count,
        accuracy=float(after[inside].mean()),
        reference_accuracy=float(before[inside].mean()),
        low=low,
        high=high,
        lost=tuple(names[int(i)] for i in np.flatnonzero(lost)[:NAMED_IMAGES]),
    )


def paired_interval(gained: int, lost: int, count: int) -> tuple[float, float]:
    """Returns the 95 % interval of the difference of two paired proportions.

    Wald's with half an observation added to each cell of the two-by-two table, of Agresti and Min
    2005, "Simple improved confidence intervals for comparing matched proportions": it keeps its
    coverage where few pairs disagree.

    Args:
      gained: pairs of which only the second is right.
      lost: pairs of which only the first is right.
      count: all pairs.
    """
    n, b, c = count + 2, gained + 0.5, lost + 0.5
    difference = (b - c) / n
    half = Z_95 * np.sqrt((b + c) - (b - c) ** 2 / n) / n
    return float(max(-1, difference - half)), float(min(1, difference + half))


def judge_difference(comparison: Comparison, max_difference: float) -> None:
    """Raises GateError if p_positive differs by more on any image; names variant and images."""
    if comparison.max_difference <= max_difference:
        return
    images = "\n".join(f"  {name}: {difference:.2g}" for name, difference in comparison.worst)
    raise GateError(
        f"{comparison.variant}: p_positive differs from the SavedModel's by up to "
        f"{comparison.max_difference:.2g} on {comparison.images} {comparison.on}; accepted: "
        f"{max_difference:.2g}. The worst images:\n{images}",
        REMEDY,
    )


def interval(equal: int, images: int) -> tuple[float, float]:
    """Returns the 95 % interval (Wilson 1927) of the share of images with the same label."""
    _, low, high = wilson(equal, images)
    return float(low), float(high)


def pooled(comparisons: Sequence[Comparison]) -> dict[str, float]:
    """Returns how many images of several sets there are, and the share with the same label."""
    images = sum(c.images for c in comparisons)
    changed = sum(len(c.flipped) for c in comparisons)
    low, high = interval(images - changed, images)
    share = 1 - changed / images
    return {"images": images, "equal_decisions": share, "equal_low": low, "equal_high": high}


def judge_decisions(comparison: Comparison, config: ExportConfig) -> None:
    """Raises GateError if surely too many labels change, or a slice surely loses too much.

    Surely: when even the favourable end of the 95 % interval is beyond the limit. One image more or
    less does not decide, and more images decide more sharply.
    """
    if comparison.equal_high < config.min_equal_decisions:
        raise GateError(
            f"{comparison.variant}: only {comparison.equal_decisions:.2%} of {comparison.images} "
            f"{comparison.on} get the SavedModel's label, at most {comparison.equal_high:.2%} by "
            f"the 95 % interval; accepted: {config.min_equal_decisions:.2%}. Labels changed on: "
            f"{some(comparison.flipped)}.",
            REMEDY,
        )
    for part in comparison.slices:
        if part.high < -config.max_slice_drop:
            raise GateError(
                f"{comparison.variant}: on the slice {part.slice} ({part.images} images) accuracy "
                f"falls from {part.reference_accuracy:.3f} to {part.accuracy:.3f}; the difference "
                f"lies between {part.low:+.3f} and {part.high:+.3f} (95 %), accepted: "
                f"-{config.max_slice_drop:.3f}. Lost images: "
                f"{', '.join(part.lost)}.",
                REMEDY,
            )
