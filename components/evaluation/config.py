"""What can be chosen about evaluation: slices, thresholds, gaps. Imports nothing heavy."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, Literal

from data import contract
from data.errors import ConfigError

QUALITIES: Final = (contract.BRIGHTNESS, contract.SHARPNESS, contract.IMAGE_BYTES)
"""Measures of an image that are cut into bands for slicing (components/predictions/table.py)."""

AUDITED: Final = (
    "Young",
    "Eyeglasses",
    "Smiling",
    "Wearing_Hat",
    "Pale_Skin",
    "Blurry",
    "Heavy_Makeup",
    "Bald",
    "Chubby",
    "Gray_Hair",
    "Bangs",
)
"""The attributes that published audits of face classifiers look at."""


def default_slices(attribute: str = contract.MALE) -> tuple[tuple[str, ...], ...]:
    """Returns the slices of a model of that attribute: it, what audits look at, image quality."""
    others = [name for name in (contract.MALE, *AUDITED) if name != attribute]
    crossed = [name for name in others if name in (contract.MALE, "Young", "Eyeglasses", "Smiling")]
    return (
        (attribute,),
        *((name,) for name in (*others, *QUALITIES)),
        *((attribute, name) for name in crossed),
        *([("Young", "Eyeglasses")] if attribute not in ("Young", "Eyeglasses") else []),
    )


@dataclass(frozen=True)
class FairnessConfig:
    """When a difference between groups is too large.

    Each limit is the largest absolute difference of a rate that is accepted, between a slice and
    its complement, and between the two labels within a slice; 1 accepts everything. The defaults
    follow one rule: no group may be worse by more than the error that is accepted of all (1 -
    min_accuracy, by default 0.10).

    Attributes:
      max_accuracy_gap: of the share of right answers.
      max_fpr_gap: of the share of negatives that are called positive.
      max_fnr_gap: of the share of positives that are called negative.
      max_abstention_gap: of the share of "uncertain": of those who get no answer.
      max_answered_error_gap: of the share of wrong answers among those given.
      on_failure: "unbless" lets the run end with a report, and publishes nothing; "stop" raises;
        "warn" only tells.
      max_identity_overlap: share of test identities that may also be in train. Partitions of
        CelebA are disjoint; anything else inflates the test.
      max_image_overlap: share of test images that may be in train byte for byte. CelebA has a few
        duplicates.
      suspicious_accuracy: a test accuracy that is higher than this with confidence is reported as
        too good to be true: the labels themselves are noisy.
    """

    max_accuracy_gap: float = 0.10
    max_fpr_gap: float = 0.10
    max_fnr_gap: float = 0.10
    max_abstention_gap: float = 0.10
    max_answered_error_gap: float = 0.10
    on_failure: Literal["unbless", "stop", "warn"] = "unbless"
    max_identity_overlap: float = 0.0
    max_image_overlap: float = 0.001
    suspicious_accuracy: float = 0.995

    def __post_init__(self) -> None:
        """Raises ConfigError with the bad value and what is accepted."""
        for name in (
            *(f"max_{rate}_gap" for rate in RATES),
            "max_identity_overlap",
            "max_image_overlap",
        ):
            _share(f"fairness.{name}", getattr(self, name))
        _share("fairness.suspicious_accuracy", self.suspicious_accuracy)

    def limit(self, rate: str) -> float:
        """Returns the largest gap accepted for one of RATES."""
        return float(getattr(self, f"max_{rate}_gap"))


RATES: Final = ("accuracy", "fpr", "fnr", "abstention", "answered_error")
"""Rates whose gaps are judged: of forced labels, and of what the application tells its users (it
abstains, or it answers). Positive is Label.positive: male, unless told otherwise."""


class Kind(enum.StrEnum):
    """What the images of `genq evaluate` are."""

    ALIGNED = "aligned"
    """Aligned as CelebA's crops; scored as they are."""
    PHOTOS = "photos"
    """Photos with one person to be judged: the largest face."""
    BOTH = "both"
    """Aligned ones, scored as they are and as the detector cuts them out of themselves."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How a model is judged.

    Attributes:
      slices: each a tuple of attributes or of QUALITIES (then bands of equal counts); every
        combination of their values is a slice.
      thresholds: on p_positive, at which confusion matrices are written; 0.5 is always among them.
      min_accuracy, min_auc: the least that overall accuracy and AUC on `test` must reach.
      thresholds_hold_for: what must reach them: the "estimate", or the "lower_bound" of its
        interval, so that the model is that good with confidence.
      max_accuracy_drop, max_auc_drop: how much they may fall below the latest blessed model's,
        overall and in each slice. A drop blocks when its interval lies wholly beyond the limit,
        and warns when the estimate does.
      min_slice_accuracy: blocks when a slice's accuracy is lower with confidence; 0 is off.
      min_slice_examples: a slice (or a rate's denominator within it) with fewer is reported and
        not gated. At 95 % accuracy an interval from 100 examples is some 9 points wide.
      confidence: of every interval.
      on_missed_target: what happens when the uncertainty band cannot keep, or on `test` surely
        does not keep, errors among the answers given below trainer.target_error: "warn" says so in
        terminal, report and card; "block" takes the blessing away (fairness.on_failure).
      detector_crops: score the test images a second time, cut out of themselves by the
        application's face detector: what detector and alignment cost in service.
      embeddings: keep, beside the predictions, what the head sees of each image: 2,048 numbers,
        8 kB an image, of the same forward pass.
      seed: of the bootstrap.
      gallery_images: how many of the surest errors, and of the least certain answers, the
        report shows.
      bootstrap_replicates: for AUC, average precision, calibration error and their differences.
    """

    slices: tuple[tuple[str, ...], ...] = field(default_factory=default_slices)
    thresholds: tuple[float, ...] = (0.3, 0.5, 0.7)
    min_accuracy: float = 0.90
    min_auc: float = 0.95
    thresholds_hold_for: Literal["estimate", "lower_bound"] = "estimate"
    max_accuracy_drop: float = 0.01
    max_auc_drop: float = 0.01
    min_slice_accuracy: float = 0.0
    min_slice_examples: int = 100
    confidence: float = 0.95
    on_missed_target: Literal["warn", "block"] = "warn"
    detector_crops: bool = False
    embeddings: bool = False
    bootstrap_replicates: int = 500
    seed: int = 0
    gallery_images: int = 24
    fairness: FairnessConfig = field(default_factory=FairnessConfig)

    def __post_init__(self) -> None:
        """Raises ConfigError with the bad value and what is accepted."""
        for keys in self.slices:
            if not keys or len(set(keys)) != len(keys):
                raise ConfigError(
                    f"evaluation.slices holds {list(keys)!r}; a slice names one or more features, "
                    "each once."
                )
            for key in keys:
                if key not in contract.ATTRIBUTES and key not in QUALITIES:
                    raise ConfigError(
                        f"evaluation.slices names {key!r}, which is not one of CelebA's 40 "
                        f"attributes nor of {', '.join(QUALITIES)}.",
                        f"Use names of data/contract.py: {', '.join(contract.ATTRIBUTES)}.",
                    )
        for name in (
            "min_accuracy",
            "min_auc",
            "max_accuracy_drop",
            "max_auc_drop",
            "min_slice_accuracy",
        ):
            _share(f"evaluation.{name}", getattr(self, name))
        for threshold in self.thresholds:
            if not 0 < threshold < 1:
                raise ConfigError(
                    f"evaluation.thresholds holds {threshold!r}; accepted: between 0 and 1."
                )
        if not 0.5 <= self.confidence < 1:
            raise ConfigError(
                f"evaluation.confidence is {self.confidence!r}; accepted: 0.5 or more, below 1."
            )
        for name, least in (
            ("min_slice_examples", 1),
            ("bootstrap_replicates", 100),
            ("gallery_images", 0),
        ):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"evaluation.{name} is {getattr(self, name)!r}; accepted: {least} or more."
                )


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} is {value!r}; accepted: 0 to 1.")
