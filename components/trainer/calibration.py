"""From logits to probabilities that mean what they say, and to the band in which to abstain.

In: logits and labels of `val`. Out: a Calibration. NumPy and SciPy only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit

Floats = NDArray[np.float64]


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
class CalibrationReport:
    """What a reviewer reads of it; measured on `val`, the split it was fitted on.

    Attributes:
      ece_before, ece_after: expected calibration error, 15 equal-width bins.
      nll_before, nll_after: mean negative log likelihood, nats.
      abstention: share of answers inside the band.
      error_outside: error rate of the other answers.
      target_met: whether error_outside is at most the error that was asked for.
    """

    calibration: Calibration
    ece_before: float
    ece_after: float
    nll_before: float
    nll_after: float
    abstention: float
    error_outside: float
    target_error: float
    target_met: bool


def fit(
    logits: Floats, labels: Floats, *, target_error: float, max_abstention: float
) -> CalibrationReport:
    """Fits temperature (Guo et al. 2017, "On Calibration of Modern Neural Networks") and band.

    Args:
      logits: (n,).
      labels: (n,), 0 or 1.
      target_error: error rate allowed outside the band.
      max_abstention: largest share of answers that the band may hold; when the target cannot be met
        within it, the band is that large and the report says so.

    Raises:
      ValueError: if there are no examples.
    """
    if logits.size == 0:
        raise ValueError("Calibration needs at least one example.")
    found = minimize_scalar(
        lambda log_t: nll(logits / np.exp(log_t), labels), bounds=(-3.0, 3.0), method="bounded"
    )
    # Never worse than doing nothing: separable data drives the temperature to its bound.
    temperature = float(np.exp(found.x)) if found.fun < nll(logits, labels) else 1.0
    p_positive = expit(logits / temperature)
    width, abstention, error = uncertainty_band(p_positive, labels, target_error, max_abstention)
    return CalibrationReport(
        calibration=Calibration(temperature, width),
        ece_before=expected_calibration_error(expit(logits), labels),
        ece_after=expected_calibration_error(p_positive, labels),
        nll_before=nll(logits, labels),
        nll_after=nll(logits / temperature, labels),
        abstention=abstention,
        error_outside=error,
        target_error=target_error,
        target_met=error <= target_error,
    )


def nll(logits: Floats, labels: Floats) -> float:
    """Mean negative log likelihood, nats, computed on logits (no overflow)."""
    return float(-np.mean(labels * log_expit(logits) + (1 - labels) * log_expit(-logits)))


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
    p_positive: Floats, labels: Floats, target_error: float, max_abstention: float
) -> tuple[float, float, float]:
    """Chooses the narrowest band around 0.5 outside of which errors are at most `target_error`.

    Returns:
      (half width, share inside, error rate outside).
    """
    certainty = np.abs(p_positive - 0.5)
    order = np.argsort(-certainty)  # most certain first
    wrong = ((p_positive >= 0.5) != (labels == 1))[order]
    n = p_positive.size
    kept = np.arange(1, n + 1)
    error = np.cumsum(wrong) / kept
    fewest = n - int(max_abstention * n)
    candidates = np.flatnonzero((error <= target_error) & (kept >= fewest))
    count = int(kept[candidates[-1]]) if candidates.size else fewest
    if count == n:
        return 0.0, 0.0, float(error[-1])
    # Halfway between the last kept and the first left out: robust against rounding.
    ranked = certainty[order]
    width = float((ranked[count - 1] + ranked[count]) / 2)
    inside = certainty < width
    outside_error = float(np.mean(((p_positive >= 0.5) != (labels == 1))[~inside]))
    return width, float(np.mean(inside)), outside_error
