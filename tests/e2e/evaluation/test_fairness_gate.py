"""The gate's judgement on planted faults, and the node as TFX runs it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from executed import at
from pydantic import TypeAdapter
from scored import fingerprints, predictions
from statsmodels.stats.proportion import confint_proportions_2indep
from tfx.types import channel_utils, standard_artifacts

from components import fairness_gate
from components.evaluation.config import EvaluationConfig, FairnessConfig
from components.fairness_gate import FairnessGate, FairnessVerdict, as_json, judge
from components.predictions import table
from components.predictions.artifacts import Predictions
from data import contract
from data.errors import ConfigError, GateError

CONFIG = EvaluationConfig()


def flip(rows: pd.DataFrame, where: np.ndarray, share: float = 0.5) -> pd.DataFrame:
    """Turns the model's answer round in a share of the chosen rows, as flipped labels teach it."""
    rows = rows.copy()
    chosen = where & (np.random.default_rng(9).random(len(rows)) < share)
    rows.loc[chosen, contract.P_POSITIVE] = 1 - rows.loc[chosen, contract.P_POSITIVE]
    return rows


def found(verdict) -> dict[str, bool]:
    return {f.name: f.blocks for f in verdict.findings}


def test_a_sound_model_passes():
    """Equal error rates in all groups: nothing blocks, and what is too small is said to be."""
    rows = predictions()
    verdict = judge(rows, fingerprints(rows), CONFIG)
    assert verdict.outcome == "passed", verdict.reasons
    small = [g for g in verdict.gaps if g.status == "too_few"]
    assert small and all(min(g.n_a, g.n_b) < CONFIG.min_slice_examples for g in small)
    assert {g.a for g in small if g.rate == "accuracy"} >= {"Bald=1"}


BAND = {"target_error": 0.05, "target_met": True, "error_outside": 0.04, "error_bound": 0.05}


def test_a_band_that_breaks_its_promise_warns_or_blocks():
    """Missed on val, or surely broken on test: a line of its own; a setting makes it block."""
    rows = predictions(error=0.02)
    rows[contract.UNCERTAIN] = False
    assert "uncertainty_band" not in found(
        judge(rows, fingerprints(rows), CONFIG, calibration=BAND)
    )
    missed = BAND | {"target_met": False, "error_bound": 0.083}
    verdict = judge(rows, fingerprints(rows), CONFIG, calibration=missed)
    assert found(verdict)["uncertainty_band"] is False and verdict.outcome == "warned"
    assert "on val: the best bound is 8.3%" in "\n".join(verdict.reasons)
    verdict = judge(rows, fingerprints(rows), CONFIG, calibration=missed | {"changed": True})
    assert "on val as it is and as training changes it: the best" in "\n".join(verdict.reasons)
    blocking = EvaluationConfig(on_missed_target="block")
    assert judge(rows, fingerprints(rows), blocking, calibration=missed).outcome == "blocked"
    wrong = predictions(error=0.2)
    wrong[contract.UNCERTAIN] = False
    verdict = judge(wrong, fingerprints(wrong), blocking, calibration=BAND)
    assert "the band promises at most 5.0%" in "\n".join(verdict.reasons)
    wrong[contract.UNCERTAIN] = True  # no answer, no wrong one
    assert "uncertainty_band" not in found(
        judge(wrong, fingerprints(wrong), blocking, calibration=BAND)
    )


def test_planted_unfairness_is_found_and_named():
    """One slice's answers are wrong in half of the cases; without that the same model passes."""
    rows = flip(predictions(), (predictions().Eyeglasses == 1).to_numpy())
    verdict = judge(rows, fingerprints(rows), CONFIG)
    assert verdict.outcome == "blocked"
    exceeding = {(g.rate, g.a) for g in verdict.gaps if g.status == "exceeds"}
    assert {("accuracy", "Eyeglasses=1"), ("fpr", "Eyeglasses=1"), ("fnr", "Eyeglasses=1")} <= (
        exceeding
    )
    assert "accuracy of Eyeglasses=1: 0." in "\n".join(verdict.reasons)
    assert not any("Smiling" in a or "Hat" in a for _, a in exceeding)


def test_a_gap_between_the_sexes_within_a_slice_is_found():
    """Only women with hats are misjudged."""
    rows = predictions()
    rows = flip(rows, ((rows.Wearing_Hat == 1) & (rows.Male == 0)).to_numpy())
    verdict = judge(rows, fingerprints(rows), CONFIG)
    [gap] = [g for g in verdict.gaps if (g.rate, g.a) == ("accuracy", "male (Wearing_Hat=1)")]
    assert gap.status == "exceeds" and gap.b == "female (Wearing_Hat=1)" and gap.value > 0.3


def test_a_gap_that_chance_explains_is_a_warning():
    """In 120 examples a difference of 12 points proves nothing at a limit of 10."""
    rows = predictions(error=0.08)
    few = np.zeros(len(rows), bool)
    few[:140] = True
    rows["Wearing_Hat"] = few.astype(int)
    rows = flip(rows, few, 0.2)
    verdict = judge(rows, fingerprints(rows), CONFIG)
    [gap] = [g for g in verdict.gaps if (g.rate, g.a) == ("accuracy", "Wearing_Hat=1")]
    assert abs(gap.value) > gap.limit and gap.status == "may_exceed"
    assert verdict.outcome == "warned" and "may be chance" in verdict.reasons[0]


def test_every_gap_equals_a_recount_with_statsmodels():
    """Counts by pandas, interval by statsmodels; each comparison is there once."""
    rows = predictions()
    rows = flip(rows, (rows.Young == 0).to_numpy(), 0.1)
    gaps = judge(rows, fingerprints(rows), CONFIG).gaps
    assert len({(g.rate, g.a, g.b) for g in gaps}) == len(gaps)
    called = rows.p_positive >= 0.5
    events = {
        "accuracy": (pd.Series(True, rows.index), called == (rows.label == 1)),
        "fpr": (rows.label == 0, called),
        "fnr": (rows.label == 1, ~called),
        "abstention": (pd.Series(True, rows.index), rows.uncertain),
        "answered_error": (~rows.uncertain, called != (rows.label == 1)),
    }
    checked = 0
    for gap in gaps:
        if gap.kind != "complement":
            continue
        inside = pd.Series(True, rows.index)
        for part in gap.a.split(", "):
            key, value = part.split("=")
            inside &= rows[key].astype(str) == value
        domain, event = events[gap.rate]
        assert gap.n_a == (inside & domain).sum() and gap.n_b == (~inside & domain).sum()
        assert gap.count_a == (inside & domain & event).sum()
        low, high = confint_proportions_2indep(
            gap.count_a, gap.n_a, gap.count_b, gap.n_b, method="newcomb", compare="diff"
        )
        np.testing.assert_allclose((gap.low, gap.high), (low, high), atol=1e-9)
        checked += 1
    assert checked > 40


@pytest.mark.parametrize(
    ("name", "p_positive"),
    [
        ("constant_model", lambda rows, rng: np.full(len(rows), 0.03)),
        ("constant_model", lambda rows, rng: 0.5 + rng.normal(0, 1e-5, len(rows))),
        ("chance", lambda rows, rng: rng.random(len(rows))),
        ("inverted_labels", lambda rows, rng: 1 - rows.p_positive),
    ],
)
def test_broken_models_are_called_by_name(name, p_positive):
    """Always female, no spread, shuffled labels, swapped labels: each blocks under its name."""
    rows = predictions()
    rows[contract.P_POSITIVE] = p_positive(rows, np.random.default_rng(3))
    verdict = judge(rows, fingerprints(rows), CONFIG)
    assert found(verdict)[name] and verdict.outcome == "blocked"
    assert verdict.reasons[0].startswith(name)


def test_always_female_is_refused_though_its_accuracy_is_953():
    """The seed project's test set: 953 women and 47 men."""
    rows = predictions(1000)
    rows[contract.LABEL] = rows[contract.MALE] = (np.arange(1000) < 47).astype(int)
    rows[contract.P_POSITIVE] = 0.04
    [finding] = [
        f for f in judge(rows, fingerprints(rows), CONFIG).findings if f.name == "constant_model"
    ]
    assert "0.953" in finding.text and "every one of 1000 faces female" in finding.text


def test_leaks_are_called_by_name():
    """Images of train in test, people of train in test, and more accuracy than labels allow."""
    rows = predictions()
    seen = fingerprints(rows)
    seen.loc[seen.index[:40], table.SHA256] = rows[table.SHA256][:40].to_numpy()
    assert found(judge(rows, seen, CONFIG)) == {"leaked_images": True}
    seen = fingerprints(rows)
    seen.loc[seen.index[:10], contract.IDENTITY] = rows[contract.IDENTITY][:10].to_numpy()
    assert found(judge(rows, seen, CONFIG)) == {"leaked_identities": True}
    accept = EvaluationConfig(fairness=FairnessConfig(max_identity_overlap=0.1))
    assert found(judge(rows, seen, accept)) == {"leaked_identities": False}
    seen[contract.IDENTITY] = np.nan
    assert found(judge(rows, seen, CONFIG)) == {}
    perfect = predictions(error=0)
    verdict = judge(perfect, fingerprints(perfect), CONFIG)
    assert found(verdict) == {"too_good_to_be_true": False} and verdict.outcome == "warned"


def test_a_slice_below_the_floor_blocks_and_a_small_one_does_not():
    """min_slice_accuracy is judged by intervals, too."""
    rows = predictions()
    rows = flip(rows, (rows.Bald == 1).to_numpy() | (rows.Bangs == 1).to_numpy(), 0.2)
    config = EvaluationConfig(
        min_slice_accuracy=0.9,
        fairness=FairnessConfig(max_accuracy_gap=1, max_fpr_gap=1, max_fnr_gap=1),
    )
    verdict = judge(rows, fingerprints(rows), config)
    status = {f.slice: f.status for f in verdict.floors}
    assert status["Bangs=1"] == "exceeds" and status["Bald=1"] == "too_few"
    assert status["Bangs=0"] == "within" and verdict.outcome == "blocked"


def run_node(tmp_path: Path, rows: pd.DataFrame, config: EvaluationConfig, *, blessed: bool = True):
    """Runs the executor with the properties of the real node; returns verdict and blessing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "predictions"
    folder.mkdir()
    names = [n for n in table.SCHEMA.names if n in rows]
    pq.write_table(pa.Table.from_pandas(rows[names]), folder / table.PREDICTIONS)
    pq.write_table(pa.Table.from_pandas(fingerprints(rows)), folder / table.FINGERPRINTS)
    (folder / table.SCORING).write_text("{}")
    given, scored = standard_artifacts.ModelBlessing(), at(Predictions, folder)
    blessing = at(standard_artifacts.ModelBlessing, tmp_path / "blessing")
    verdict = at(FairnessVerdict, tmp_path / "verdict")
    given.set_int_custom_property("blessed", int(blessed))
    given.set_int_custom_property("current_model_id", 12)
    given.set_int_custom_property("baseline_model_id", 7)
    node = FairnessGate(
        predictions=channel_utils.as_channel([scored]),
        model_blessing=channel_utils.as_channel([given]),
        config=config,
        label=contract.Label(),
    )
    fairness_gate.Executor().Do(
        {"predictions": [scored], "model_blessing": [given]},
        {"verdict": [verdict], "blessing": [blessing]},
        node.spec.exec_properties,
    )
    return json.loads((tmp_path / "verdict" / "verdict.json").read_text()), blessing


def test_the_node_passes_the_blessing_on(tmp_path):
    """What the Evaluator blessed and nothing speaks against is blessed, about the same models."""
    verdict, blessing = run_node(tmp_path, predictions(), CONFIG)
    assert verdict["blessed"] and verdict["outcome"] == "passed"
    assert (tmp_path / "blessing" / "BLESSED").exists()
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_int_custom_property("current_model_id") == 12
    assert blessing.get_int_custom_property("baseline_model_id") == 7
    assert blessing.get_string_custom_property("judge") == "fairness-gate"
    for gap in verdict["gaps"]:
        assert {"n_a", "n_b", "low", "high", "limit", "status", "value"} <= set(gap)


def test_the_node_takes_the_blessing_away(tmp_path):
    """From an unfair model; and never gives one that the Evaluator did not."""
    rows = predictions()
    unfair = flip(rows, (rows.Young == 0).to_numpy())
    verdict, blessing = run_node(tmp_path, unfair, CONFIG)
    assert verdict["outcome"] == "blocked" and not verdict["blessed"]
    assert verdict["blessed_by_evaluator"]
    assert blessing.get_int_custom_property("blessed") == 0
    assert (tmp_path / "blessing" / "NOT_BLESSED").exists()
    (tmp_path / "b").mkdir()
    verdict, blessing = run_node(tmp_path / "b", rows, CONFIG, blessed=False)
    assert verdict["outcome"] == "passed" and not verdict["blessed"]
    assert blessing.get_int_custom_property("blessed") == 0


def test_the_node_stops_the_run_when_told_to(tmp_path):
    """on_failure="stop" raises with the numbers."""
    rows = predictions()
    unfair = flip(rows, (rows.Young == 0).to_numpy())
    config = EvaluationConfig(fairness=FairnessConfig(on_failure="stop"))
    with pytest.raises(GateError, match=r"accuracy of Young=\d: 0\.\d+ \(n=\d+\).*limit 0\.100"):
        run_node(tmp_path, unfair, config)


def test_the_verdict_is_json_without_nan():
    """Other languages read it."""
    rows = predictions(600)
    text = as_json(judge(rows, fingerprints(rows), CONFIG), CONFIG, evaluator_blessed=True)
    assert "NaN" not in text
    assert any(g["p_value"] is None for g in json.loads(text)["gaps"])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"slices": [["Yuong"]]}, "Yuong"),
        ({"slices": [[]]}, "one or more"),
        ({"min_auc": 1.5}, "min_auc is 1.5"),
        ({"thresholds": [0.0]}, "between 0 and 1"),
        ({"confidence": 0.2}, "confidence is 0.2"),
        ({"min_slice_examples": 0}, "1 or more"),
        ({"fairness": {"max_fpr_gap": -1}}, "max_fpr_gap is -1"),
    ],
)
def test_wrong_settings_are_named(wrong, words):
    """Value and accepted range."""
    with pytest.raises(ConfigError, match=words):
        TypeAdapter(EvaluationConfig).validate_python(wrong)
