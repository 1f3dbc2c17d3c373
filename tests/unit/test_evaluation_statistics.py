"""Intervals, bootstrap and multiplicity against statsmodels, SciPy and scikit-learn."""

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy.stats import binomtest, norm, poisson
from sklearn.metrics import average_precision_score, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as sm_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from components.evaluation import bootstrap, clusters, intervals, multiplicity
from components.trainer.calibration import expected_calibration_error

Z = float(norm.ppf(0.975))


def scores(n: int, seed: int = 0, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """p_positive and labels of a fair classifier; with ties, few distinct values."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n).astype(np.int8)
    p_positive = 1 / (1 + np.exp(-(2 * labels - 1) * 1.5 - rng.normal(0, 1.5, n)))
    return (np.round(p_positive, 1) if ties else p_positive), labels


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_wilson_is_statsmodels_wilson(confidence: float) -> None:
    """Over all counts, the ends included, and as arrays."""
    for trials in (1, 7, 100, 20_000):
        successes = np.unique(np.linspace(0, trials, 30).astype(int))
        low, high = proportion_confint(successes, trials, 1 - confidence, method="wilson")
        found = intervals.wilson(successes, trials, intervals.critical(confidence))
        np.testing.assert_allclose(found.low, low, atol=1e-12)
        np.testing.assert_allclose(found.high, high, atol=1e-12)
    assert np.isnan(intervals.wilson(0, 0)).all()


def test_mcnemar_is_statsmodels_exact() -> None:
    """The exact test, and certainty when no example tells the two apart."""
    for a, b in ((5, 12), (0, 6), (30, 30)):
        expected = sm_mcnemar([[100, a], [b, 10]], exact=True).pvalue
        assert intervals.mcnemar(a, b) == pytest.approx(expected)
    assert intervals.mcnemar(0, 0) == 1.0


def test_balanced_accuracy_and_f1_intervals_are_what_resampling_says() -> None:
    """MOVER and the transformed Wilson interval agree with a bootstrap of the confusion matrix."""
    counts = np.array([450, 40, 460, 50])  # tp, fp, tn, fn
    drawn = np.random.default_rng(0).multinomial(1000, counts / 1000, 50_000).T
    tp, fp, tn, fn = drawn

    def close(found: intervals.Interval, replicates: np.ndarray) -> None:
        low, high = np.quantile(replicates, (0.025, 0.975))
        np.testing.assert_allclose((found.low, found.high), (low, high), atol=0.003)

    close(intervals.f1(intervals.wilson(450, 540, Z)), 2 * tp / (2 * tp + fp + fn))
    both = intervals.mean_of_two(intervals.wilson(450, 500, Z), intervals.wilson(460, 500, Z))
    close(both, (tp / (tp + fn) + tn / (tn + fp)) / 2)


@pytest.mark.parametrize("ties", [False, True])
def test_weighted_areas_are_scikit_learns(ties: bool) -> None:
    """AUC and average precision of both classes, for any weights, with and without ties."""
    p_positive, labels = scores(400, ties=ties)
    weights = np.random.default_rng(1).poisson(1, (400, 8))
    weights[:, 0] = 1
    found = bootstrap.Ranking(p_positive, labels).curves(weights.astype(np.float32))
    for column in range(8):
        w = weights[:, column]
        expected = (
            roc_auc_score(labels, p_positive, sample_weight=w),
            average_precision_score(labels, p_positive, sample_weight=w),
            average_precision_score(1 - labels, -p_positive, sample_weight=w),
        )
        np.testing.assert_allclose([area[column] for area in found], expected, atol=1e-6)
    alone = bootstrap.Ranking(p_positive, labels).auc(weights.astype(np.float32))
    np.testing.assert_allclose(alone, found.auc)


def test_weighted_calibration_error_is_the_trainers() -> None:
    """One definition in two places: weights of one, and weights as repetition."""
    p_positive, labels = scores(300)
    repeat = np.random.default_rng(0).poisson(1, 300)
    weights = np.stack([np.ones(300), repeat], axis=1).astype(np.float32)
    found = bootstrap.calibration_error(p_positive, labels, weights)
    again = np.repeat(np.arange(300), repeat)
    expected = [
        expected_calibration_error(p_positive, labels),
        expected_calibration_error(p_positive[again], labels[again]),
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_weights_are_poisson() -> None:
    """The frequencies of the weights are those of Poisson(1)."""
    blocks = [w for _, w in bootstrap.Replicates(clusters.people(None, 1000), 300, seed=0).blocks()]
    weights = np.concatenate(blocks, axis=1)
    assert weights.shape == (1000, 300)
    frequency = np.bincount(weights.astype(int).ravel(), minlength=8)[:8] / weights.size
    np.testing.assert_allclose(frequency, poisson.pmf(np.arange(8), 1), atol=0.003)


def test_auc_interval_is_delongs() -> None:
    """The bootstrap's width is that of DeLong's (1988) analytic variance."""
    p_positive, labels = scores(2000)
    weights = bootstrap.Replicates(clusters.people(None, 2000), 1000, seed=0)
    ranking = bootstrap.Ranking(p_positive, labels)
    found = np.concatenate([ranking.auc(w) for _, w in weights.blocks()])
    ones, zeros = p_positive[labels == 1], p_positive[labels == 0]
    placed = (ones[:, None] > zeros).astype(float) + 0.5 * (ones[:, None] == zeros)
    auc = placed.mean()
    sigma = np.sqrt(
        placed.mean(1).var(ddof=1) / len(ones) + placed.mean(0).var(ddof=1) / len(zeros)
    )
    interval = bootstrap.area_interval(float(auc), found, 1000, Z)
    np.testing.assert_allclose(
        (interval.low, interval.high), (auc - Z * sigma, auc + Z * sigma), atol=0.1 * sigma + 5e-4
    )


def test_a_perfect_area_still_has_an_interval() -> None:
    """No misordered pair among twenty is not a proof that there is none."""
    interval = bootstrap.area_interval(1.0, np.ones(100), 20, Z)
    assert interval.high == 1.0 and 0.8 < interval.low < 0.87


def test_holm_is_statsmodels_holm() -> None:
    """Adjusted p-values and rejections."""
    p_values = np.array([0.009, 0.04, 0.03, 0.005, 0.9, 0.5])
    reject, adjusted, _, _ = multipletests(p_values, 0.05, "holm")
    np.testing.assert_allclose(multiplicity.holm(p_values), adjusted)
    assert (multiplicity.holm(p_values) < 0.05).tolist() == reject.tolist()


def difference(
    a: ArrayLike, n: ArrayLike, b: ArrayLike, m: ArrayLike, z: ArrayLike
) -> intervals.Interval:
    """Rate a / n less rate b / m, each by Wilson (Newcombe 1998, method 10)."""
    x, y = intervals.wilson(a, n, z), intervals.wilson(b, m, z)
    delta = x.value - y.value
    low = delta - np.hypot(x.value - x.low, y.high - y.value)
    return intervals.Interval(delta, low, delta + np.hypot(x.high - x.value, y.value - y.low))


def test_gaps_are_judged_as_their_intervals_say() -> None:
    """A gap exceeds its limit exactly when the interval shown lies beyond it, after Holm."""
    a, n = np.array([90, 60, 95, 50]), np.array([100, 100, 100, 100])
    b, m = np.array([93, 95, 94, 80]), np.array([300, 100, 100, 100])
    limits = np.full(4, 0.1)
    judged = multiplicity.judge(lambda z: difference(a, n, b, m, z), limits, confidence=0.95)
    assert judged.exceeds.tolist() == [True, True, False, True]
    beyond = (judged.interval.low > limits) | (judged.interval.high < -limits)
    assert beyond.tolist() == judged.exceeds.tolist()
    # The p-value is where the interval touches the limit.
    for k in (0, 1, 3):
        z = norm.isf(judged.p_value[k] / 2)
        touching = difference(a[k], n[k], b[k], m[k], z)
        assert min(abs(touching.low - 0.1), abs(touching.high + 0.1)) < 1e-6
    assert judged.p_value[2] == 1.0


def test_many_honest_slices_raise_no_alarm() -> None:
    """Of 300 families of 60 equal pairs, about one in twenty may alarm at limit 0, not more."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(300):
        a, b = rng.binomial(200, 0.9, (2, 60))
        judged = multiplicity.judge(
            lambda z, a=a, b=b: difference(a, 200, b, 200, z), np.zeros(60), 0.95
        )
        alarms += bool(judged.exceeds.any())
    assert alarms / 300 <= 0.07


def test_binomial_and_wilson_agree_where_they_should() -> None:
    """SciPy's own Wilson interval, which `genq run` printed before."""
    interval = binomtest(37, 40).proportion_ci(method="wilson")
    found = intervals.wilson(37, 40, Z)
    np.testing.assert_allclose((found.low, found.high), (interval.low, interval.high))
