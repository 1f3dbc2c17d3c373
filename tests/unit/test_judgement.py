"""What the gates' figures come to: one state; drops, gaps and thresholds judged by intervals."""

import json

import numpy as np
import pandas as pd
import pytest
from scored import fingerprints, predictions

from components.evaluation.config import EvaluationConfig, FairnessConfig
from components.evaluation.gaps import find_floors, find_gaps
from components.evaluation.regression import find_changes
from components.evaluation.slices import find_slices
from components.evaluation.state import (
    BLESSED,
    BLESSED_WITH_WARNINGS,
    LET_THROUGH,
    NOT_JUDGED,
    REFUSED,
    state,
)
from components.evaluation.thresholds import find_thresholds
from components.fairness_gate import as_json, judge
from components.predictions.table import BASELINE_P_POSITIVE
from data import contract
from pipeline.config import celeba, celeba_full, demo


def test_one_state_for_every_place() -> None:
    """A blocked model that a setting let through is amber, in words, tag, tone and exit code."""
    assert state(True, "passed") is BLESSED and state(True, "warned") is BLESSED_WITH_WARNINGS
    assert state(False, "passed") is state(False, "blocked") is REFUSED
    assert state(None, "blocked") is NOT_JUDGED
    found = state(True, "blocked")
    assert found is LET_THROUGH
    assert (found.colour, found.tone, found.tag) == ("amber", "warn", "may_exceed")
    assert "Not sound" in found.sentence and "setting" in found.sentence
    assert found.exit_code == 10 and REFUSED.exit_code == 4 and BLESSED.exit_code == 0


def test_the_verdict_of_a_dead_model_that_was_let_through_says_so() -> None:
    """Constant answers, on_failure=warn: blessed for the machine, not sound for whoever reads."""
    rows = predictions(600)
    rows[contract.P_POSITIVE] = 0.04
    config = EvaluationConfig(fairness=FairnessConfig(on_failure="warn"))
    verdict = json.loads(
        as_json(judge(rows, fingerprints(rows), config), config, evaluator_blessed=True)
    )
    assert verdict["blessed"] and verdict["outcome"] == "blocked"
    assert verdict["state"]["name"] == "let_through" and verdict["state"]["colour"] == "amber"


def with_baseline(worse: float, images: int = 4000, people: int = 1000) -> pd.DataFrame:
    """5 % of the answers differ; the candidate is right in fewer of those."""
    rng = np.random.default_rng(3)
    rows = predictions(images)
    rows[contract.IDENTITY] = np.sort(rng.integers(0, people, images))
    rows[BASELINE_P_POSITIVE] = rows[contract.P_POSITIVE]
    chosen = rng.permutation(images)[: images // 20]
    wrong = rng.random(len(chosen)) < 0.5 + worse * 10
    label = rows[contract.LABEL].to_numpy()[chosen]
    rows.loc[chosen, contract.P_POSITIVE] = np.where(wrong == (label == 1), 0.2, 0.8)
    rows.loc[chosen, BASELINE_P_POSITIVE] = np.where(wrong == (label == 1), 0.8, 0.2)
    return rows


def test_a_drop_blocks_only_when_it_is_surely_too_large() -> None:
    """As good: nothing. Worse by five points in 4,000 images: blocks. In 300 images: a warning."""
    config = EvaluationConfig(max_accuracy_drop=0.01, max_auc_drop=0.5)

    def overall(rows: pd.DataFrame) -> str:
        changes = find_changes(rows, find_slices(rows, config.slices), config)
        [found] = [c for c in changes if (c.metric, c.slice) == ("accuracy", "overall")]
        assert found.low <= found.value <= found.high
        assert len({(c.metric, c.slice) for c in changes}) == len(changes) > 80
        return found.status

    assert overall(with_baseline(0.0)) in ("within", "not_excluded")
    assert overall(with_baseline(0.05)) == "exceeds"
    assert overall(with_baseline(0.03, 300, 100)) == "may_exceed"
    rows = with_baseline(0.05)
    verdict = judge(rows, fingerprints(rows), config)
    assert verdict.outcome == "blocked" and "against the baseline" in verdict.reasons[0]
    assert find_changes(predictions(300), find_slices(rows, ()), config) == []


def test_a_drop_in_one_slice_is_found() -> None:
    """Overall within the limit; among those with glasses a third of the answers turned wrong."""
    rows = with_baseline(0.0)
    glasses = np.flatnonzero(rows["Bangs"] == 1)[:600]
    label = rows[contract.LABEL].to_numpy()[glasses]
    rows[BASELINE_P_POSITIVE] = rows[contract.P_POSITIVE]
    rows.loc[glasses[::3], contract.P_POSITIVE] = np.where(label[::3] == 1, 0.1, 0.9)
    config = EvaluationConfig(max_accuracy_drop=0.06, max_auc_drop=1)
    changes = find_changes(rows, find_slices(rows, config.slices), config)
    status = {c.slice: c.status for c in changes if c.metric == "accuracy"}
    assert status["Bangs=1"] == "exceeds" and status["overall"] != "exceeds"
    assert {c.status for c in changes if c.slice == "Bald=1"} == {"too_few"}


def test_no_status_contradicts_the_interval_beside_it() -> None:
    """ "Within" is an interval within the limit, "exceeds" one beyond it; for gaps and floors."""
    rows = predictions(1500)
    rows[contract.IDENTITY] = np.arange(1500) // 4
    config = EvaluationConfig(min_slice_accuracy=0.9)
    slices = find_slices(rows, config.slices)
    gaps = find_gaps(rows, slices, config)
    seen = set()
    for gap in gaps:
        seen.add(gap.status)
        if gap.status == "within":
            assert -gap.limit <= gap.joint_low <= gap.joint_high <= gap.limit
        elif gap.status == "not_excluded":
            assert gap.joint_low < -gap.limit or gap.joint_high > gap.limit
        elif gap.status == "too_few":
            assert min(gap.n_a, gap.n_b) < config.min_slice_examples
    assert {"within", "not_excluded", "too_few"} <= seen
    for floor in find_floors(rows, slices, config):
        if floor.status == "within":
            assert floor.joint_low >= floor.limit
    # Alone it would be within; with all comparisons considered it is not.
    assert any(g.status == "not_excluded" and max(g.high, -g.low) <= g.limit for g in gaps)


def test_a_large_gap_of_few_examples_is_told_though_not_judged() -> None:
    """Hats: 4 of 10 misjudged against 25 of 406 is a warning with its numbers."""
    rows = predictions(833, error=0)
    rows[contract.IDENTITY] = np.arange(833)
    women = np.flatnonzero(rows[contract.LABEL] == 0)
    rows["Wearing_Hat"] = 0
    rows.loc[women[:10], "Wearing_Hat"] = 1
    rows.loc[[*women[:6], *women[10:35]], contract.P_POSITIVE] = 0.9
    verdict = judge(rows, fingerprints(rows), EvaluationConfig())
    told = [r for r in verdict.reasons if "fpr of Wearing_Hat=1" in r]
    assert len(told) == 1 and "(n=10)" in told[0] and "too few examples" in told[0]
    # Listed with the others, the largest of its kind first.
    few = [g for g in verdict.gaps if g.status == "too_few"]
    assert [abs(g.value) - g.limit for g in few] == sorted(
        (abs(g.value) - g.limit for g in few), reverse=True
    )


def test_thresholds_may_hold_for_the_lower_end() -> None:
    """0.897 on 300 people's images: the estimate reaches 0.89, its lower end does not."""
    rows = predictions(300, error=0.07)
    strict = EvaluationConfig(min_accuracy=0.89, min_auc=0.5, thresholds_hold_for="lower_bound")
    accuracy, auc = find_thresholds(rows, strict)
    assert accuracy.value >= 0.89 > accuracy.low and accuracy.status == "exceeds"
    assert auc.status == "within"
    verdict = judge(rows, fingerprints(rows), strict)
    assert verdict.outcome == "blocked" and "the lower end must be 0.890" in verdict.reasons[0]
    assert find_thresholds(rows, EvaluationConfig(min_accuracy=0.89)) == []


def test_what_users_are_told_is_judged() -> None:
    """One group gets many wrong answers, another many refusals; forced labels hide the second."""
    rows = predictions(6000)
    rows.loc[(rows.Eyeglasses == 1) & (rows.index % 2 == 0), contract.UNCERTAIN] = True
    verdict = judge(rows, fingerprints(rows), EvaluationConfig())
    exceeding = {(g.rate, g.a) for g in verdict.gaps if g.status == "exceeds"}
    assert exceeding and {rate for rate, _ in exceeding} == {"abstention"}
    rows = predictions(6000)
    chosen = (rows.Smiling == 1) & ~rows.uncertain & (rows.index % 3 == 0)
    rows.loc[chosen, contract.P_POSITIVE] = 1 - rows.loc[chosen, contract.P_POSITIVE]
    gaps = judge(rows, fingerprints(rows), EvaluationConfig()).gaps
    [gap] = [g for g in gaps if (g.rate, g.a) == ("answered_error", "Smiling=1")]
    answered = rows[~rows.uncertain & (rows.Smiling == 1)]
    wrong = (answered[contract.P_POSITIVE] >= 0.5) != (answered[contract.LABEL] == 1)
    assert gap.status == "exceeds" and (gap.count_a, gap.n_a) == (wrong.sum(), len(answered))


def test_rare_groups_are_judged_on_the_natural_test_partition() -> None:
    """Of 500 balanced images ten are of bald people; of the whole partition, hundreds."""
    rows, natural = predictions(500), predictions(8000, seed=1)
    natural["Bald"] = (np.arange(8000) % 47 == 0).astype(int)
    wrong = (natural["Bald"] == 1) & (natural.index % 2 == 0)
    natural.loc[wrong, contract.P_POSITIVE] = 1 - natural.loc[wrong, contract.P_POSITIVE]
    few = judge(rows, fingerprints(rows), EvaluationConfig())
    assert {g.status for g in few.gaps if g.a == "Bald=1"} == {"too_few"}
    assert (few.groups_split, few.groups_n) == ("test", 500)
    enough = judge(rows, fingerprints(rows), EvaluationConfig(), natural=natural)
    assert (enough.groups_split, enough.groups_n) == ("test_natural", 8000)
    [gap] = [g for g in enough.gaps if (g.rate, g.a) == ("accuracy", "Bald=1")]
    assert gap.status == "exceeds" and gap.n_a > 150
    assert enough.groups_of is None
    part = natural.assign(**{contract.INCLUSION_WEIGHT: np.where(natural["Bald"] == 1, 1.0, 4.0)})
    drawn = judge(rows, fingerprints(rows), EvaluationConfig(), natural=part)
    assert drawn.groups_of == round(part[contract.INCLUSION_WEIGHT].sum())
    [gap] = [g for g in drawn.gaps if (g.rate, g.a) == ("accuracy", "Bald=1")]
    assert gap.status == "exceeds" and gap.value == pytest.approx(gap.rate_a - gap.rate_b)
    for preset in (celeba, celeba_full):
        assert preset().sampling.test_natural and not preset().sampling.test_natural_images
    assert not demo().sampling.test_natural  # it has to stay cheap


@pytest.mark.parametrize("preset", [demo, celeba, celeba_full])
def test_limits_of_presets_follow_one_rule(preset) -> None:
    """No group may be worse by more than the error that is accepted of all; the demo, too."""
    config = preset().evaluation
    for rate in ("accuracy", "fpr", "fnr", "abstention", "answered_error"):
        assert config.fairness.limit(rate) <= 1 - config.min_accuracy + 1e-9
