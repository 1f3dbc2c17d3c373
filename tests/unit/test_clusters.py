"""People as the unit of intervals: what is known exactly, and that they widen where they should."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student_t
from sklearn.metrics import roc_auc_score
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from components.evaluation import bootstrap, clusters
from components.evaluation.metrics import measure
from components.evaluation.slices import find_slices
from components.evaluation_report import curves
from components.predictions.table import BASELINE_P_POSITIVE
from data import contract


def drawn(people: int = 80, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """identity, and two events whose chances depend on the person."""
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(people), rng.integers(1, 20, people))
    chance = rng.beta(9, 1, people)[identity]
    return identity, rng.random(len(identity)) < chance, rng.random(len(identity)) < chance


def test_independent_images_have_wilsons_and_newcombes_intervals() -> None:
    """Without identities, and with one image a person, nothing changes."""
    _, event, _ = drawn()
    n, group = len(event), np.arange(len(event)) < 300
    for identity in (None, np.arange(n), [None] * n, np.full(n, np.nan)):
        whose = clusters.people(identity, n)
        found = clusters.rate(event, whose)
        expected = proportion_confint(event.sum(), n, method="wilson")
        np.testing.assert_allclose((found.low, found.high), expected, atol=1e-12)
        gap = clusters.differences([((event, group), (event, ~group))], whose).interval()
        expected = confint_proportions_2indep(
            event[group].sum(), 300, event[~group].sum(), n - 300, method="newcomb", compare="diff"
        )
        np.testing.assert_allclose((gap.low[0], gap.high[0]), expected, atol=1e-10)
    assert clusters.people(None, n).unit == "images"
    assert clusters.people(np.arange(n), n).unit == "people"


def test_images_of_unknown_people_stand_alone() -> None:
    """Where some identities are missing, those images count as people of their own."""
    whose = clusters.people(pd.Series([7, None, 7, 3, None], dtype="Int64"), 5)
    assert whose.count == 4 and whose.unit == "people"
    assert whose.codes[0] == whose.codes[2] and len(set(whose.codes)) == 4
    assert whose.of(np.array([1, 4])).unit == "images"


def test_the_variance_is_statsmodels_cluster_robust_variance() -> None:
    """As an ordinary regression on a constant with cluster-robust errors, up to its jackknife."""
    identity, event, _ = drawn(people=400)
    whose = clusters.people(identity, len(event))
    found = clusters.rates([(event, np.ones(len(event), bool))], whose)
    p, n = event.mean(), len(event)
    fit = OLS(event.astype(float), np.ones(n)).fit(
        cov_type="cluster", cov_kwds={"groups": identity, "use_correction": False}
    )
    deff = float(fit.bse[0] ** 2 / (p * (1 - p) / n))
    assert found.effective[0] == pytest.approx(n / deff, rel=0.02)
    assert found.effective[0] < 0.8 * n


def test_the_same_images_twice_tell_nothing_new() -> None:
    """Each image ten times over: the interval stays as it was with one, but for Student's t."""
    rng = np.random.default_rng(0)
    event = rng.random(300) < 0.9
    once = clusters.rate(event, clusters.people(np.arange(300), 300))
    many = clusters.rate(np.repeat(event, 10), clusters.people(np.repeat(np.arange(300), 10), 3000))
    assert many.high - many.low == pytest.approx(float(once.high - once.low), rel=0.06)


def test_rare_errors_of_independent_images_do_not_widen_twice() -> None:
    """Kurtosis that rarity alone brings costs no degrees of freedom; people who err together do."""
    rng = np.random.default_rng(3)
    identity = np.repeat(np.arange(48), 1 + rng.poisson(1.6, 48))
    whose, every = clusters.people(identity, len(identity)), np.ones(len(identity), bool)
    rare = np.zeros(len(identity), bool)
    rare[rng.choice(len(identity), 6, replace=False)] = True
    together = np.isin(identity, (3, 30))
    alone, shared = clusters.rates([(rare, every), (together, every)], whose).degrees
    assert alone > 20 and shared < 8


def test_the_squares_of_independent_images_spread_as_the_formula_says() -> None:
    """The relative variance of the sum of people's squared residuals, against 20,000 draws."""
    rng = np.random.default_rng(0)
    trials = rng.integers(1, 8, 60).astype(float)
    values = np.array([-1.0] * 2 + [0.0] * 37 + [1.0])
    deviations = values - values.mean()
    draws = rng.choice(deviations, (20_000, int(trials.sum())))
    starts = np.concatenate([[0], np.cumsum(trials)[:-1]]).astype(int)
    totals = np.square(np.add.reduceat(draws, starts, axis=1)).sum(1)
    expected = totals.var() / totals.mean() ** 2
    found = clusters._spread_of_squares(deviations, trials)
    assert found == pytest.approx(expected, rel=0.05)


def test_few_people_without_an_error_are_no_proof() -> None:
    """Two hundred right answers of ten people tell no more than ten right answers."""
    whose = clusters.people(np.repeat(np.arange(10), 20), 200)
    found = clusters.rate(np.ones(200, bool), whose)
    assert found.high == 1.0 and found.low < 0.75
    one = clusters.rate(np.ones(20, bool), clusters.people(np.zeros(20), 20))
    assert one.low < 0.3


def test_a_group_of_the_same_people_is_compared_within_them() -> None:
    """A gap between two groups of images of the same people is narrower than of other people's."""
    identity, event, _ = drawn(people=200)
    whose = clusters.people(identity, len(event))
    mixed = np.random.default_rng(1).random(len(event)) < 0.5
    apart = identity % 2 == 0
    found = clusters.differences([((event, g), (event, ~g)) for g in (mixed, apart)], whose)
    width = found.interval().high - found.interval().low
    assert width[0] < 0.9 * width[1] and found.correlation[0] > 0.1 > found.correlation[1]


def test_students_t_at_the_normal_level() -> None:
    """SciPy's quantile at the level that the normal critical value stands for; it never falls."""
    assert clusters.student(1.959963984540054, 9) == pytest.approx(student_t.ppf(0.975, 9))
    assert clusters.student(1.96, np.inf) == 1.96
    assert np.all(np.diff(clusters.student(np.linspace(0, 40, 400), 5.0)) > 0)


def table(people: int = 300, images: int = 3, seed: int = 0) -> pd.DataFrame:
    """Predictions of two models whose errors are the person's; `identity` is known."""
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(people), images)
    n = len(identity)
    label = (np.arange(people) % 2)[identity]
    margin = 1.5 + rng.normal(0, 1.2, people)[identity] + rng.normal(0, 0.4, n)
    old = margin + rng.normal(0, 0.5, n)
    sign = 2 * label - 1
    return pd.DataFrame(
        {
            contract.IDENTITY: identity,
            contract.LABEL: label,
            contract.P_POSITIVE: 1 / (1 + np.exp(-sign * margin)),
            BASELINE_P_POSITIVE: 1 / (1 + np.exp(-sign * old)),
            contract.UNCERTAIN: np.abs(margin) < 0.2,
            "Young": rng.integers(0, 2, n),
        }
    )


def test_every_interval_of_a_slice_is_wider_where_images_share_people() -> None:
    """All metrics, and both differences to the baseline, overall and in a slice."""
    rows = table()
    options = {"confidence": 0.95, "replicates": 300, "seed": 0}
    known = measure(rows, find_slices(rows, [("Young",)]), **options)  # type: ignore[arg-type]
    alone = rows.drop(columns=contract.IDENTITY)
    unknown = measure(alone, find_slices(alone, [("Young",)]), **options)  # type: ignore[arg-type]
    assert known[0].people == 300 and unknown[0].people is None
    for name, one in known[0].metrics.items():
        other = unknown[0].metrics[name]
        assert one.value == other.value and one.n == other.n
        assert one.high - one.low > 1.1 * (other.high - other.low), name
    for each, other_slice in zip(known, unknown, strict=True):
        ours, images = each.against_baseline, other_slice.against_baseline
        assert ours is not None and ours.auc is not None and images is not None
        assert ours.accuracy.high - ours.accuracy.low > images.accuracy.high - images.accuracy.low
        assert ours.p_value >= images.p_value


def test_a_persons_images_are_resampled_together() -> None:
    """All images of a person have the same weight in each replicate; whole and in part."""
    identity = np.array([5, 5, 2, 2, 2, 9])
    weights = bootstrap.Replicates(clusters.people(identity, 6), 50, seed=0)
    [(_, all_of_them)] = weights.blocks()
    assert (all_of_them[0] == all_of_them[1]).all() and (all_of_them[2] == all_of_them[4]).all()
    assert (all_of_them[0] != all_of_them[5]).any()
    [(_, some)] = weights.blocks(np.array([1, 4]))
    np.testing.assert_array_equal(some, all_of_them[[1, 4]])


def test_the_band_of_the_reliability_diagram_is_wider_where_images_share_people() -> None:
    """As every other interval of the report."""
    rows = table(people=100, images=20)
    p_positive, truth = rows[contract.P_POSITIVE].to_numpy(), rows[contract.LABEL].to_numpy()
    known, unknown = (
        curves._reliability(p_positive, truth, clusters.people(identity, len(rows)))
        for identity in (rows[contract.IDENTITY], None)
    )
    np.testing.assert_array_equal(known[:2], unknown[:2])
    widths = [high - low for _, _, (low, high) in (known, unknown)]
    assert (widths[0] >= widths[1] - 1e-9).all() and widths[0].mean() > 1.5 * widths[1].mean()


def test_the_same_weight_for_all_changes_nothing() -> None:
    """Rates, gaps, pairs and areas; only that images stand for more."""
    rows = table(people=100)
    heavy = rows.assign(**{contract.INCLUSION_WEIGHT: 3.0})
    options = {"confidence": 0.95, "replicates": 100, "seed": 0}
    for one, other in zip(
        *(measure(t, find_slices(t, [("Young",)]), **options) for t in (rows, heavy)),  # type: ignore[arg-type]
        strict=True,
    ):
        assert one.n == other.n
        for name, found in one.metrics.items():
            expected = (found.value, found.low, found.high)
            again = other.metrics[name]
            np.testing.assert_allclose((again.value, again.low, again.high), expected, rtol=1e-4)
        assert one.against_baseline is not None and other.against_baseline is not None
        np.testing.assert_allclose(
            (other.against_baseline.auc.low, other.against_baseline.accuracy.high),  # type: ignore[union-attr]
            (one.against_baseline.auc.low, one.against_baseline.accuracy.high),  # type: ignore[union-attr]
            rtol=1e-5,
        )


def test_rates_of_a_part_are_those_of_the_whole() -> None:
    """A rare group errs more and is drawn in full: reweighted intervals hold the whole's rate."""
    rng = np.random.default_rng(0)
    people = 600
    identity = np.repeat(np.arange(people), rng.integers(1, 12, people))
    rare = rng.random(len(identity)) < 0.05
    chance = np.where(rare, 0.3, 0.05) * rng.gamma(2, 0.5, people)[identity]
    wrong = rng.random(len(identity)) < chance
    inclusion = np.where(rare, 1.0, 0.25)
    held = naive = 0
    for _ in range(300):
        drawn = rng.random(len(identity)) < inclusion
        weight = 1 / inclusion[drawn]
        for by in (weight, None):
            whose = clusters.people(identity[drawn], int(drawn.sum()), by)
            found = clusters.rate(wrong[drawn], whose)
            inside = bool(found.low <= wrong.mean() <= found.high)
            held, naive = held + inside * (by is not None), naive + inside * (by is None)
    # The whole is itself a sample of people, which these intervals allow for: wider than needed.
    assert held >= 285 and naive < 200


def test_weighted_areas_are_scikit_learns() -> None:
    """The value; and the influence is what a little more weight of an image does to it."""
    rows = table(people=60)
    rng = np.random.default_rng(2)
    score, label = rows[contract.P_POSITIVE].round(2).to_numpy(), rows[contract.LABEL].to_numpy()
    weight = rng.uniform(1, 5, len(rows))
    ranking = bootstrap.Ranking(score, label.astype(np.int8))

    def area(w: np.ndarray) -> float:
        return float(roc_auc_score(label, score, sample_weight=w))

    assert ranking.auc(weight[:, None].astype(np.float32))[0] == pytest.approx(area(weight))
    influence = ranking.influence(weight)
    for image in (0, 17, 101):
        more = weight.copy()
        more[image] *= 1.0001
        slope = (area(more) - area(weight)) / 0.0001
        assert influence[image] == pytest.approx(slope, rel=1e-3, abs=1e-7)
