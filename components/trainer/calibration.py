"""From logits to probabilities that mean what they say, and to the band in which to abstain.

In: logits and labels of `val`, whose images they are, and logits of the same images changed as
training changes them. Out: a Calibration. NumPy and SciPy only.

Both are chosen by what they do to people they were not fitted on. The temperature is kept only if
it lowers the log loss in cross-fitting, where whole people are held out. The band is chosen by the
upper end of the interval of the error outside it, which is as wide as the number of people asks
for: chosen by the estimate itself, it broke its promise on new people in 38 to 57 % of simulated
runs, by the bound in 1 to 6 % (docs/field-log.md, 2026-11-28). Where training images are made to
look like other people's photos, the band has to hold for such images as well: chosen on CelebA's
alone, it let twice the promised errors through on photographs of other sources.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit

from components.evaluation import clusters
from components.evaluation.clusters import People

Floats = NDArray[np.float64]

FOLDS: Final = 5
CONFIDENCE: Final = 0.95
"""One-sided, of the bound of the error outside the band."""
_Z: Final = 1.6448536269514722
_MAX_LOG_TEMPERATURE: Final = 3.0
_STEPS: Final = 200
"""Widths that are tried, at most."""


@dataclass(frozen=True)
class Calibration:
    """What is stored in the exported model.

    Attributes:
      temperature: p_positive = sigmoid(logit / temperature).
      uncertain_below: the answer is "uncertain" where |p_positive - 0.5| is less than this.
    """

    temperature: float = 1.0
    uncertain_below: float = 0.0


@dataclass(frozen=True)
class Band:
    """Where to abstain; measured on the images it was chosen on.

    Attributes:
      uncertain_below: half its width.
      abstention: share of answers inside.
      error_outside: error rate of the other answers.
      error_bound: upper bound of it, one-sided at CONFIDENCE, by people; where there are changed
        images, the greatest of those bounds.
      target_met: whether that bound is at most the error that was asked for.
    """

    uncertain_below: float
    abstention: float
    error_outside: float
    error_bound: float
    target_met: bool


@dataclass(frozen=True)
class CalibrationReport:
    """What was fitted, on `val`. What it is worth on new people, the figures of `test` say.

    Attributes:
      images, people: of `val`; without identities every image counts as a person of its own.
      unit: "people", or "images" without identities.
      fitted_temperature: the one of least log loss on all of `val`, kept or not.
      ece_before, ece_after: expected calibration error, 15 equal-width bins; after: of each image
        with the temperature fitted on other people.
      nll_before, nll_after: mean negative log likelihood, nats; after: likewise.
      max_abstention: largest share of answers that the band was allowed to hold.
      abstention, error_outside, error_bound, target_met: see Band.
      changed: whether the bound is of changed images, too.
    """

    calibration: Calibration
    images: int
    people: int
    unit: Literal["people", "images"]
    fitted_temperature: float
    ece_before: float
    ece_after: float
    nll_before: float
    nll_after: float
    target_error: float
    max_abstention: float
    abstention: float
    error_outside: float
    error_bound: float
    target_met: bool
    changed: bool

    @property
    def of_what(self) -> str:
        """What follows a sentence about the bound where it is of changed images, too."""
        return ", images made to look like other photos included" if self.changed else ""

    @property
    def missed(self) -> str:
        """One sentence where the target was missed; "" where it was met."""
        if self.target_met:
            return ""
        return (
            f"The band misses its target: at most {self.target_error:.1%} wrong among the answers "
            f"given was asked for (trainer.target_error), and abstaining on "
            f"{self.abstention:.1%} of val (at most {self.max_abstention:.1%} is allowed) shows no "
            f"better than {self.error_bound:.1%} with {CONFIDENCE:.0%} confidence{self.of_what} "
            f"({self.error_outside:.1%} of {self.images:,} images of {self.people:,} {self.unit})."
        )


def fit(
    logits: Floats,
    labels: Floats,
    *,
    target_error: float,
    max_abstention: float,
    whose: People | None = None,
    changed: Floats | None = None,
) -> CalibrationReport:
    """Fits temperature (Guo et al. 2017, "On Calibration of Modern Neural Networks") and band.

    Args:
      logits: (n,).
      labels: (n,), 0 or 1.
      target_error: error rate allowed outside the band.
      max_abstention: largest share of answers that the band may hold; when the target cannot be met
        within it, the report says so.
      whose: the images' people; None takes every image as a person of its own.
      changed: (k, n), logits of the same images, changed in k ways; the band has to hold in each.

    Raises:
      ValueError: if there are no examples.
    """
    if logits.size == 0:
        raise ValueError("Calibration needs at least one example.")
    whose = whose or clusters.people(None, logits.size)
    fitted = best_temperature(logits, labels)
    held_out = logits / cross_fitted(logits, labels, whose)
    temperature = fitted if helps(logits, held_out, labels, whose) else 1.0
    band = uncertainty_band(
        expit(logits / temperature),
        labels,
        target_error,
        max_abstention,
        whose,
        None if changed is None else expit(changed / temperature),
    )
    return CalibrationReport(
        calibration=Calibration(temperature, band.uncertain_below),
        images=logits.size,
        people=whose.count,
        unit=whose.unit,
        fitted_temperature=fitted,
        ece_before=expected_calibration_error(expit(logits), labels),
        ece_after=expected_calibration_error(expit(held_out), labels),
        nll_before=nll(logits, labels),
        nll_after=nll(held_out, labels),
        target_error=target_error,
        max_abstention=max_abstention,
        abstention=band.abstention,
        error_outside=band.error_outside,
        error_bound=band.error_bound,
        target_met=band.target_met,
        changed=changed is not None,
    )


def best_temperature(logits: Floats, labels: Floats) -> float:
    """Returns the temperature of least log loss; 1 where the images do not determine it.

    Where everything is right, every smaller temperature is better: that says nothing.
    """
    found = minimize_scalar(
        lambda log_t: nll(logits / np.exp(log_t), labels),
        bounds=(-_MAX_LOG_TEMPERATURE, _MAX_LOG_TEMPERATURE),
        method="bounded",
    )
    at_bound = abs(found.x) > 0.99 * _MAX_LOG_TEMPERATURE
    return 1.0 if at_bound or found.fun >= nll(logits, labels) else float(np.exp(found.x))


def cross_fitted(logits: Floats, labels: Floats, whose: People) -> Floats:
    """Returns for each image, (n,), the temperature that was fitted on other people.

    People are dealt to FOLDS folds by a fixed permutation; with fewer than two, it is 1.
    """
    folds = min(FOLDS, whose.count)
    result = np.ones(logits.size)
    if folds < 2:
        return result
    fold = (np.random.default_rng(0).permutation(whose.count) % folds)[whose.codes]
    for number in range(folds):
        inside = fold == number
        result[inside] = best_temperature(logits[~inside], labels[~inside])
    return result


def helps(before: Floats, after: Floats, labels: Floats, whose: People) -> bool:
    """Returns whether logits `after` have a lower log loss than `before`, by a standard error.

    The standard error is between people: gains on the images of one person are not independent.
    """
    gain = _losses(before, labels) - _losses(after, labels)
    mean = float(gain.mean())
    residuals = np.bincount(whose.codes, gain - mean, minlength=whose.count)
    return mean > float(np.sqrt(residuals @ residuals)) / gain.size


def _losses(logits: Floats, labels: Floats) -> Floats:
    """Negative log likelihood of each example, nats, computed on logits (no overflow)."""
    losses: Floats = -(labels * log_expit(logits) + (1 - labels) * log_expit(-logits))
    return losses


def nll(logits: Floats, labels: Floats) -> float:
    """Mean negative log likelihood, nats, computed on logits (no overflow)."""
    return float(np.mean(_losses(logits, labels)))


def expected_calibration_error(p_positive: Floats, labels: Floats, bins: int = 15) -> float:
    """Mean |accuracy - confidence| over equal-width confidence bins, weighted by their counts.

    Naeini et al. 2015 / Guo et al. 2017, with 15 bins as there; for two classes the confidence of
    the predicted label lies in [0.5, 1].
    """
    confidence = np.maximum(p_positive, 1 - p_positive)
    correct = (p_positive >= 0.5) == (labels == 1)
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(index, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / p_positive.size)


def uncertainty_band(
    p_positive: Floats,
    labels: Floats,
    target_error: float,
    max_abstention: float,
    whose: People | None = None,
    changed: Floats | None = None,
) -> Band:
    """Chooses the narrowest band around 0.5 outside of which errors are surely rare enough.

    Surely: the upper bound of the error rate, by people, is at most `target_error`. Where no band
    within `max_abstention` achieves that, the one with the lowest bound is taken.

    Args:
      p_positive: (n,).
      labels: (n,), 0 or 1.
      target_error: error rate allowed outside the band.
      max_abstention: largest share of answers that the band may hold.
      whose: the images' people; None takes every image as a person of its own.
      changed: (k, n), p_positive of the same images, changed in k ways; the bound holds in each.
    """
    n = p_positive.size
    whose = whose or clusters.people(None, n)
    certainty = np.abs(p_positive - 0.5)
    wrong = (p_positive >= 0.5) != (labels == 1)
    ranked = np.sort(certainty)[::-1]  # most certain first
    answers = [(certainty, wrong)]
    for p in () if changed is None else changed:
        answers.append((np.abs(p - 0.5), (p >= 0.5) != (labels == 1)))
    fewest = n - int(max_abstention * n)
    best: Band | None = None
    for kept in np.unique(np.linspace(max(fewest, 1), n, _STEPS).astype(int))[::-1]:
        # Halfway between the last kept and the first left out: robust against rounding.
        width = 0.0 if kept == n else float((ranked[kept - 1] + ranked[kept]) / 2)
        outside = certainty >= width
        if not outside.any():
            continue
        bound = max(
            float(clusters.rate(errors, whose, certainties >= width, _Z)[2])
            for certainties, errors in answers
            if (certainties >= width).any()
        )
        met = bound <= target_error
        if met or best is None or bound < best.error_bound:
            abstention, error = float(1 - outside.mean()), float(wrong[outside].mean())
            best = Band(width, abstention, error, bound, met)
        if met:
            break
    assert best is not None, "with width 0, every answer is outside"
    return best
