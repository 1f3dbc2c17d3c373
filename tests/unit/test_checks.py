"""The table of checks: what is required, what came out, what nobody looked at."""

from typing import Any

import pytest

from components.evaluation.checks import Check, count, deciding, read_checks, reason, sentence
from components.evaluation.config import EvaluationConfig
from components.evaluation.find_checks import find_checks
from components.evaluation.names import slice_label

CONFIG = EvaluationConfig()
METRICS = {
    "accuracy": {"value": 0.95, "low": 0.92, "high": 0.97, "n": 800},
    "auc": {"value": 0.98, "low": 0.94, "high": 0.99, "n": 800},
    "accuracy_when_certain": {"value": 0.97, "low": 0.95, "high": 0.98, "n": 760},
}


def gap(status: str, value: float, rate: str = "accuracy", **more: Any) -> dict[str, Any]:
    ends = {"low": value - 0.05, "high": value + 0.05}
    names = {"a": "Eyeglasses=1", "b": "all others", "n_a": 200, "n_b": 600}
    return {"rate": rate, "limit": 0.1, "value": value, "status": status, **ends, **names, **more}


def found(**options: Any) -> dict[str, Check]:
    verdict = {"changes": [], "gaps": [], "floors": [], "findings": [], "split": "test"}
    options = {"n": 800, "people": 300, **options}
    options["verdict"] = {**verdict, **options.get("verdict", {})}
    metrics = options.pop("metrics", METRICS)
    config = options.pop("config", CONFIG)
    return {c.name: c for c in find_checks(metrics, config, **options)}


def test_what_was_not_looked_at_is_said_and_why() -> None:
    """Drift of too few examples, no floor, no earlier model, no detector crops, no calibration."""
    note = "too few examples (440 and 2932; compared from 2000)"
    comparisons = {"val against train": note, "train against its previous statistics": "compared"}
    checks = found(validation={"accepted_anomalies": [], "comparisons": comparisons})
    skipped = {name: c.why for name, c in checks.items() if c.status == "skipped"}
    assert "min_slice_accuracy is 0" in skipped["Accuracy of the worst group"]
    assert "no earlier blessed model" in skipped["Accuracy against the baseline, all images"]
    assert note in skipped["Splits alike"] and skipped["Splits alike"].startswith("val: ")
    assert checks["Drift from earlier data"].status == "passed"
    assert "detector_crops" in skipped["As the application crops faces"]
    assert "no temperature" in skipped["Calibration helps on this split"]
    without = found(people=None)["No person of test in train"]
    assert without.status == "skipped" and "No identities" in without.why


def test_a_family_is_told_by_its_worst() -> None:
    """Beyond chance fails, beyond the limit warns, the rest passes; the unjudged are counted."""
    gaps = [gap("exceeds", -0.3), gap("may_exceed", 0.12), gap("within", 0.01)]
    gaps.append(gap("too_few", 0.6, n_a=20))
    check = found(verdict={"gaps": gaps})["Gap between groups in accuracy"]
    assert check.status == "failed" and check.required == "a gap of at most 0.10"
    assert "Eyeglasses against all others: \N{MINUS SIGN}0.300" in check.measured
    assert "n = 200 and 600" in check.measured
    assert "1 of 3 is beyond" in check.why and "1 of 4 has too few images" in check.why
    check = found(verdict={"gaps": gaps[1:]})["Gap between groups in accuracy"]
    assert check.status == "warning" and "chance can explain" in check.why
    check = found(verdict={"gaps": gaps[2:]})["Gap between groups in accuracy"]
    assert check.status == "passed" and "+0.010" in check.measured
    check = found(verdict={"gaps": gaps[3:]})["Gap between groups in accuracy"]
    assert check.status == "skipped" and check.measured == ""
    assert found()["Gap between groups in abstention"].status == "skipped"


def test_a_drop_against_the_model_before_fails() -> None:
    """Overall and of groups apart."""
    change = {"metric": "accuracy", "n": 800, "limit": 0.01, "low": -0.09, "high": -0.03}
    change |= {"value": -0.06, "slice": "overall", "status": "exceeds"}
    group = {**change, "slice": "Young=0", "status": "not_excluded", "value": 0.0}
    checks = found(verdict={"changes": [change, group]})
    assert checks["Accuracy against the baseline, all images"].status == "failed"
    assert checks["Accuracy against the baseline, groups"].status == "passed"
    assert checks["AUC against the baseline, all images"].status == "skipped"


@pytest.mark.parametrize("lower", [False, True])
def test_thresholds_hold_for_what_the_setting_says(lower: bool) -> None:
    """An AUC of 0.98, 0.94 to 0.99, reaches 0.95 as an estimate only; the row says which counts."""
    config = EvaluationConfig(thresholds_hold_for="lower_bound" if lower else "estimate")
    check = found(config=config)["AUC, all images"]
    assert check.status == ("failed" if lower else "passed")
    assert ("lower end" if lower else "estimate") in check.required
    assert "0.980 (0.940 to 0.990), n = 800" in check.measured and check.why


def test_what_tfma_refused_is_failed_even_if_our_figure_would_pass() -> None:
    """Nothing that took the blessing away is missing from the table."""
    lines = ("binary_accuracy: 0.950, wanted 0.960 or more", "other: 0.100, wanted 0.2 or more")
    checks = found(evaluator_failures=lines)
    assert checks["Accuracy, all images"].status == "failed"
    assert checks["Thresholds of TensorFlow Model Analysis"].why == f"{lines[1]}."


def test_findings_and_the_calibration_that_got_worse() -> None:
    """What makes an experiment unsound comes first among failures; a worse calibration warns."""
    finding = {"name": "constant_model", "blocks": True, "text": "One label.", "numbers": {}}
    low = {**METRICS, "accuracy": {**METRICS["accuracy"], "value": 0.5}}
    worse = {"value": 0.02, "low": 0.01, "high": 0.03}
    checks = found(verdict={"findings": [finding]}, metrics=low, temperature=worse)
    failed = [c.name for c in checks.values() if c.status == "failed"]
    assert failed == ["Answers depend on the image", "Accuracy, all images"]
    assert checks["Calibration helps on this split"].status == "warning"
    assert checks["Better than chance"].status == "passed"


def test_one_group_has_one_name_wherever_it_is_told() -> None:
    """Gaps name it by label and slice, slices by their features."""
    assert slice_label("male (Smiling=1)") == slice_label("Male=1, Smiling=1") == "male · Smiling"
    assert slice_label("Male=0, Young=0") == slice_label("female (Young=0)") == "female · not Young"
    assert slice_label("brightness_band=low") == "brightness: low"


def test_counts_and_sentences() -> None:
    checks = list(found(verdict={"gaps": [gap("exceeds", 0.3)]}).values())
    assert [c.status for c in checks] == sorted(
        (c.status for c in checks), key=["failed", "warning", "skipped", "passed"].index
    )
    assert sentence(checks).startswith(f"1 of {len(checks)} checks failed, ")
    assert reason(checks) == "Failed: Gap between groups in accuracy."
    assert [c.name for c in deciding(checks)] == ["Gap between groups in accuracy"]
    low = {**METRICS, "accuracy": {**METRICS["accuracy"], "value": 0.5}}
    gaps = [gap("exceeds", 0.3), gap("exceeds", 0.4, rate="fpr")]
    several = deciding(list(found(verdict={"gaps": gaps}, metrics=low).values()))
    assert [c.name.rsplit(" in ")[-1] for c in several] == [
        "accuracy",
        "Accuracy, all images",
        "false positive rate",
    ]
    assert deciding([c for c in checks if c.status != "failed"]) == []
    assert sum(count(checks).values()) == len(checks)
    fields = ("name", "required", "measured", "status", "why", "evidence")
    stored = {"checks": [{f: getattr(c, f) for f in fields} for c in checks]}
    assert read_checks(stored) == checks and read_checks({}) == []
