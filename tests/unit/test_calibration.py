"""Temperature, calibration error and the uncertainty band."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from components.trainer.calibration import (
    expected_calibration_error,
    fit,
    nll,
    uncertainty_band,
)


def overconfident(n: int = 20_000, factor: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits `factor` times too large for the labels drawn from them."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, n)
    labels = (rng.random(n) < expit(honest)).astype(float)
    return honest * factor, labels


def test_temperature_undoes_a_known_overconfidence() -> None:
    """Logits that are three times too large get a temperature of three."""
    logits, labels = overconfident(factor=3.0)
    report = fit(logits, labels, target_error=0.02, max_abstention=0.2)
    assert report.calibration.temperature == pytest.approx(3.0, rel=0.05)
    assert report.ece_after < 0.02 < report.ece_before
    assert report.nll_after < report.nll_before


def test_nll_equals_scikit_learn() -> None:
    """The loss on logits is scikit-learn's log loss on probabilities."""
    logits, labels = overconfident(500, factor=1.0)
    assert nll(logits, labels) == pytest.approx(log_loss(labels, expit(logits)))


def test_calibration_error_equals_a_loop_over_bins() -> None:
    """The vectorised error equals the definition, bin by bin."""
    logits, labels = overconfident(1000)
    p = expit(logits)
    confidence = np.maximum(p, 1 - p)
    expected = 0.0
    for k in range(15):
        inside = (confidence >= k / 15) & ((confidence < (k + 1) / 15) | (k == 14))
        if inside.any():
            correct = ((p >= 0.5) == (labels == 1))[inside]
            expected += inside.mean() * abs(correct.mean() - confidence[inside].mean())
    assert expected_calibration_error(p, labels) == pytest.approx(expected)


def test_calibrated_probabilities_are_left_alone() -> None:
    """A model that says what it means keeps a temperature of one."""
    logits, labels = overconfident(factor=1.0)
    report = fit(logits, labels, target_error=0.02, max_abstention=0.2)
    assert report.calibration.temperature == pytest.approx(1.0, rel=0.05)


def test_the_band_reaches_the_target_error_and_is_no_wider_than_needed() -> None:
    """Outside the band errors are rare enough; a narrower band would let too many through."""
    logits, labels = overconfident(factor=1.0)
    p = expit(logits)
    width, abstention, error = uncertainty_band(p, labels, target_error=0.1, max_abstention=0.9)
    certain = np.abs(p - 0.5) >= width
    wrong = (p >= 0.5) != (labels == 1)
    assert wrong[certain].mean() == pytest.approx(error)
    assert error <= 0.1
    assert abstention == pytest.approx(1 - certain.mean())
    wider = np.abs(p - 0.5) >= width * 0.95
    assert wrong[wider].mean() > 0.1


def test_the_band_is_limited_and_says_that_the_target_was_missed() -> None:
    """A model that guesses cannot buy a low error by abstaining from everything."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=2000), rng.integers(0, 2, 2000).astype(float)
    report = fit(logits, labels, target_error=0.02, max_abstention=0.25)
    assert report.abstention <= 0.25 + 1e-9
    assert not report.target_met


def test_a_model_without_errors_needs_no_band() -> None:
    """Nothing is uncertain when everything is right."""
    logits = np.array([-4.0, -2.0, 2.0, 4.0])
    report = fit(logits, (logits > 0).astype(float), target_error=0.02, max_abstention=0.5)
    assert report.calibration.uncertain_below == 0.0
    assert report.target_met


def test_no_examples_is_an_error() -> None:
    """An empty validation split is not calibrated in silence."""
    with pytest.raises(ValueError, match="at least one"):
        fit(np.array([]), np.array([]), target_error=0.1, max_abstention=0.1)
