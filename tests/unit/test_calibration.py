"""Temperature, calibration error and the uncertainty band."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from components.evaluation import clusters
from components.trainer.calibration import (
    Calibration,
    best_temperature,
    cross_fitted,
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


def test_the_band_keeps_the_bound_below_the_target_and_is_no_wider_than_needed() -> None:
    """Outside the band errors are surely rare enough; a narrower band would not do."""
    logits, labels = overconfident(factor=1.0)
    p = expit(logits)
    band = uncertainty_band(p, labels, target_error=0.1, max_abstention=0.9)
    certain = np.abs(p - 0.5) >= band.uncertain_below
    wrong = (p >= 0.5) != (labels == 1)
    assert band.target_met and band.error_bound <= 0.1
    assert wrong[certain].mean() == pytest.approx(band.error_outside)
    assert band.abstention == pytest.approx(1 - certain.mean())
    n, k, z = certain.sum(), wrong[certain].sum(), 1.6448536
    centre = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    assert band.error_bound == pytest.approx(centre + half, abs=1e-6)  # Wilson, one-sided
    narrower = np.abs(p - 0.5) >= band.uncertain_below * 0.95
    bound = clusters.rate(wrong, clusters.people(None, p.size), narrower, 1.6448536).high
    assert bound > 0.1


def test_the_band_holds_for_changed_images_as_well() -> None:
    """Harder answers about the same images widen it; how much is left unanswered stays limited."""
    rng = np.random.default_rng(2)
    logits = rng.normal(3.0, 1.5, 1500)
    labels = np.ones(1500)
    changed = logits - rng.normal(0.7, 0.5, (2, 1500))
    plain = fit(logits, labels, target_error=0.02, max_abstention=0.3)
    both = fit(logits, labels, target_error=0.02, max_abstention=0.3, changed=changed)
    assert both.calibration.temperature == plain.calibration.temperature
    width, t = both.calibration.uncertain_below, both.calibration.temperature
    assert width > plain.calibration.uncertain_below and both.target_met and both.changed
    given = np.abs(expit(logits / t) - 0.5) >= width
    assert both.abstention == pytest.approx(1 - given.mean())
    assert both.error_outside == pytest.approx((logits[given] < 0).mean())
    bounds = [
        float(clusters.rate(x < 0, clusters.people(None, 1500), at >= width, 1.6448536).high)
        for x in (logits, *changed)
        for at in (np.abs(expit(x / t) - 0.5),)
    ]
    assert both.error_bound == pytest.approx(max(bounds), abs=1e-6) and bounds[0] < min(bounds[1:])
    hopeless = fit(logits, labels, target_error=0.001, max_abstention=0.1, changed=changed)
    assert hopeless.abstention <= 0.1
    assert "images made to look like other photos included" in hopeless.missed
    assert "made to look" not in replace(plain, target_met=False).missed


def test_few_people_make_a_wider_band_than_many_images() -> None:
    """The same answers, a hundred images a person: less is known, so more is left unanswered."""
    rng = np.random.default_rng(1)
    hard = np.repeat(rng.random(20) < 0.15, 100)
    logits = np.abs(rng.normal(2, 1.5, 2000))
    wrong = rng.random(2000) < np.where(hard, 0.3, 0.005) * np.exp(-logits)
    labels, p = (~wrong).astype(float), expit(logits)
    whose = clusters.people(np.repeat(np.arange(20), 100), 2000)
    images = uncertainty_band(p, labels, 0.02, 0.5)
    people = uncertainty_band(p, labels, 0.02, 0.5, whose)
    assert people.uncertain_below > images.uncertain_below
    at = np.abs(p - 0.5) >= images.uncertain_below
    error = (p >= 0.5) != (labels == 1)
    assert clusters.rate(error, whose, at, 1.645).high > images.error_bound


def test_the_band_keeps_its_promise_on_new_people() -> None:
    """In at most one of ten runs is the target broken, where it was said to be met; chosen by the
    estimate, it is in more than a third."""
    rng = np.random.default_rng(0)

    def draw(people: int) -> tuple[np.ndarray, np.ndarray, clusters.People]:
        means = np.repeat(rng.normal(0, 1.5, people), 2)
        logits = means + rng.normal(3.2, 1.6, people * 2)
        labels = np.ones(people * 2)
        return expit(logits), labels, clusters.people(np.repeat(np.arange(people), 2), people * 2)

    everybody, _, _ = draw(20_000)
    broken = said = 0
    for _ in range(25):
        p, labels, whose = draw(270)
        band = uncertainty_band(p, labels, 0.05, 0.3, whose)
        outside = np.abs(everybody - 0.5) >= band.uncertain_below
        said += band.target_met
        broken += band.target_met and (everybody[outside] < 0.5).mean() > 0.05
    assert said > 8 and broken <= 3


def test_the_band_is_limited_and_says_that_the_target_was_missed() -> None:
    """A model that guesses cannot buy a low error by abstaining from everything."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=2000), rng.integers(0, 2, 2000).astype(float)
    report = fit(logits, labels, target_error=0.02, max_abstention=0.25)
    assert report.abstention <= 0.25 + 1e-9
    assert not report.target_met
    assert "2.0% wrong" in report.missed and "2,000 images" in report.missed


def test_a_model_without_errors_needs_no_band_and_no_temperature() -> None:
    """Nothing is uncertain when everything is right; and nothing says by how much."""
    logits = np.tile([-4.0, -2.0, 2.0, 4.0], 50)
    report = fit(logits, (logits > 0).astype(float), target_error=0.02, max_abstention=0.5)
    assert report.calibration == Calibration(1.0, 0.0)
    assert report.target_met and report.missed == ""


def test_four_right_answers_promise_nothing() -> None:
    """By the estimate their error is 0; it may well be a half."""
    logits = np.array([-4.0, -2.0, 2.0, 4.0])
    report = fit(logits, (logits > 0).astype(float), target_error=0.02, max_abstention=0.5)
    assert not report.target_met and report.error_bound > 0.3


def test_a_temperature_that_helps_only_the_people_it_was_fitted_on_is_dropped() -> None:
    """One person with many wrong answers asks for a high temperature; nobody else does."""
    rng = np.random.default_rng(2)
    honest = rng.normal(0, 2, 400)
    labels = (rng.random(400) < expit(honest)).astype(float)
    logits = np.concatenate([honest, np.full(40, 4.0)])
    labels = np.concatenate([labels, np.zeros(40)])
    whose = clusters.people(np.concatenate([np.arange(400), np.full(40, 400)]), 440)
    report = fit(logits, labels, target_error=0.1, max_abstention=0.5, whose=whose)
    assert report.fitted_temperature > 1.15
    assert report.calibration.temperature == 1.0
    assert report.unit == "people" and report.people == 401


def test_each_temperature_is_of_other_people() -> None:
    """All images of one person are held out together."""
    logits, labels = overconfident(600, factor=3.0)
    whose = clusters.people(np.arange(600) // 3, 600)
    found = cross_fitted(logits, labels, whose)
    assert 2 <= len(set(found)) <= 5
    for person in range(200):
        [temperature] = set(found[whose.codes == person])
        others = found != temperature
        assert best_temperature(logits[others], labels[others]) == pytest.approx(temperature)


def test_no_examples_is_an_error() -> None:
    """An empty validation split is not calibrated in silence."""
    with pytest.raises(ValueError, match="at least one"):
        fit(np.array([]), np.array([]), target_error=0.1, max_abstention=0.1)
