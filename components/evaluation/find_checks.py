"""Finds every check of a model: all that the gates judged, and what they had to leave out.

In: a run's figures, the gates' verdicts, the configuration. Out: Check objects, the worst first. It
judges nothing: the gates did, and a check says what they found. A gate's many comparisons of one
kind are one check, told by the worst of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from components.evaluation.checks import STATUSES, Check, Status
from components.evaluation.config import RATES, EvaluationConfig
from components.evaluation.names import slice_label

OVERALL: Final = "overall"
RATE_NAMES: Final = {
    "accuracy": "accuracy",
    "fpr": "false positive rate",
    "fnr": "false negative rate",
    "abstention": "abstention",
    "answered_error": "error among the answers given",
}
_METRICS: Final = {"accuracy": "Accuracy", "auc": "AUC"}
_TFMA: Final = {"accuracy": "binary_accuracy", "auc": "auc"}
_FINDINGS: Final = {
    "constant_model": "Answers depend on the image",
    "chance": "Better than chance",
    "leaked_images": "No test image in train",
    "leaked_identities": "No person of test in train",
    "too_good_to_be_true": "Not better than its labels allow",
}
_SAME: Final = {"inverted_labels": "chance"}
"""Findings that are another way to fail the same check."""


def find_checks(
    metrics: Mapping[str, Mapping[str, Any]],
    config: EvaluationConfig,
    *,
    n: int,
    people: int | None,
    verdict: Mapping[str, Any] | None = None,
    evaluator_failures: Sequence[str] = (),
    calibration: Mapping[str, Any] | None = None,
    temperature: Mapping[str, float] | None = None,
    validation: Mapping[str, Any] | None = None,
    parity: Mapping[str, Any] | None = None,
    left_out: Mapping[str, str] | None = None,
    served: bool = False,
) -> list[Check]:
    """Returns every check, the worst first.

    Args:
      metrics: overall: name -> value, low, high, n; as metrics.json has them.
      config: what was demanded.
      n: images of the split.
      people: whose they are; None where identities are unknown.
      verdict: content of the fairness gate's verdict.json; None where it did not look.
      evaluator_failures: lines of TFMA's Evaluator.
      calibration: content of the trainer's calibration.json.
      temperature: value, low, high of the log loss per image after calibration less before it, on
        the split; None where there is no temperature.
      validation: content of the validation gate's verdict.json.
      parity: variant -> how far it is from the SavedModel.
      left_out: variant -> why it is not in the release.
      served: whether the application's detector crops were scored as well.
    """
    found = [
        # Of two failures the one that explains the other comes first: a group's errors make the
        # accuracy of all images low, and not the other way round.
        *_findings(verdict, config, metrics, n, people),
        *_gaps(verdict, config),
        *_thresholds(metrics, config, evaluator_failures),
        *_changes(verdict, config),
        _floors(verdict, config),
        _band(verdict, calibration, metrics),
        _temperature(temperature),
        *_data(validation),
        *_variants(parity, left_out or {}),
    ]
    if not served:
        why = (
            "Scored on aligned images only; evaluation.detector_crops=true scores the detector's "
            "crops as well."
        )
        found.append(Check("As the application crops faces", "", "", "skipped", why, "method"))
    rank = list(STATUSES)
    return sorted(found, key=lambda c: rank.index(c.status))


def _with_interval(m: Mapping[str, Any], *, signed: bool = False) -> str:
    form = "+.3f" if signed else ".3f"
    text = f"{m['value']:{form}} ({m['low']:{form}} to {m['high']:{form}})"
    return text.replace("-", "\N{MINUS SIGN}")


def _thresholds(
    metrics: Mapping[str, Mapping[str, Any]],
    config: EvaluationConfig,
    evaluator_failures: Sequence[str],
) -> list[Check]:
    """Accuracy and AUC; TFX's Evaluator judges the estimates, the gate the lower ends."""
    lower = config.thresholds_hold_for == "lower_bound"
    checks, told = [], set()
    for metric, least in (("accuracy", config.min_accuracy), ("auc", config.min_auc)):
        name = f"{_METRICS[metric]}, all images"
        required = f"{least:.2f} or more, by the {'lower end' if lower else 'estimate'}"
        m = metrics.get(metric)
        lines = [x for x in evaluator_failures if x.startswith(f"{_TFMA[metric]}: ")]
        told.update(lines)
        if m is None:
            why = "The split holds one label only, so it is not defined."
            checks.append(Check(name, required, "", "failed", why, "overall"))
            continue
        fails = bool(lines) or m["value"] < least or (lower and m["low"] < least)
        why = ""
        if fails:
            why = f"The {'lower end' if lower and m['value'] >= least else 'estimate'} is too low."
        elif m["low"] < least:
            why = "The interval reaches below: another test might miss it."
        measured = f"{_with_interval(m)}, n = {m['n']:,}"
        checks.append(
            Check(name, required, measured, "failed" if fails else "passed", why, "overall")
        )
    others = [line for line in evaluator_failures if line not in told]
    if others:
        checks.append(
            Check(
                "Thresholds of TensorFlow Model Analysis",
                "all reached",
                f"{len(others)} missed",
                "failed",
                "; ".join(others) + ".",
                "overall",
            )
        )
    return checks


def _changes(verdict: Mapping[str, Any] | None, config: EvaluationConfig) -> list[Check]:
    """Against the model that it would replace: overall, and the worst slice."""
    changes = (verdict or {}).get("changes") or []
    checks = []
    for metric, limit in (
        ("accuracy", config.max_accuracy_drop),
        ("auc", config.max_auc_drop),
    ):
        of_it = [c for c in changes if c["metric"] == metric]
        for where, some in (
            ("all images", [c for c in of_it if c["slice"] == OVERALL]),
            ("groups", [c for c in of_it if c["slice"] != OVERALL]),
        ):
            name = f"{_METRICS[metric]} against the baseline, {where}"
            required = f"a drop of at most {limit:.2f}"
            if not of_it:
                if where == "all images":
                    why = "There is no earlier blessed model to compare with."
                    checks.append(Check(name, required, "", "skipped", why, "overall"))
            elif some:
                checks.append(_family(name, required, some, "overall", _change))
    return checks


def _change(c: Mapping[str, Any]) -> str:
    where = "" if c["slice"] == OVERALL else f"{slice_label(c['slice'])}: "
    return f"{where}{_with_interval(c, signed=True)}, n = {c['n']:,}"


def _gaps(verdict: Mapping[str, Any] | None, config: EvaluationConfig) -> list[Check]:
    """Each rate's gaps between groups, told by the worst."""
    checks = []
    for rate in RATES:
        name = f"Gap between groups in {RATE_NAMES[rate]}"
        required = f"a gap of at most {config.fairness.limit(rate):.2f}"
        gaps = [g for g in (verdict or {}).get("gaps", ()) if g["rate"] == rate]
        if verdict is None:
            why = "The fairness gate did not look."
            checks.append(Check(name, required, "", "skipped", why, "fairness"))
        else:
            checks.append(_family(name, required, gaps, "fairness", _gap))
    return checks


def _gap(g: Mapping[str, Any]) -> str:
    between = f"{slice_label(g['a'])} against {slice_label(g['b'])}"
    return f"{between}: {_with_interval(g, signed=True)}, n = {g['n_a']:,} and {g['n_b']:,}"


def _family(
    name: str, required: str, members: Sequence[Mapping[str, Any]], evidence: str, told: Any
) -> Check:
    """One check of many comparisons; the members come the worst first."""
    judged = [m for m in members if m["status"] != "too_few"]
    few = len(members) - len(judged)
    unjudged = (
        f"{few} of {len(members)} {'has' if few == 1 else 'have'} too few images and "
        f"{'was' if few == 1 else 'were'} not judged."
    )
    if not judged:
        why = unjudged if members else "There is nothing to compare."
        return Check(name, required, "", "skipped", why, evidence)
    worst = judged[0]
    beyond = [m for m in judged if m["status"] == "exceeds"]
    maybe = [m for m in judged if m["status"] == "may_exceed"]
    status: Status = "failed" if beyond else "warning" if maybe else "passed"
    if status == "passed":
        # Judged the worst by its limit; a reader looks for the largest.
        worst = min(judged, key=lambda m: m["limit"] - _badness(m))
    sentences = []
    if beyond:
        many = f"{len(beyond)} of {len(judged)}" if len(judged) > 1 else "It"
        verb = "is" if len(beyond) == 1 else "are"
        sentences.append(f"{many} {verb} beyond the limit by more than chance allows.")
    elif maybe:
        many = f"{len(maybe)} of {len(judged)} estimates" if len(judged) > 1 else "The estimate"
        verb, them = ("is", "it") if len(maybe) == 1 else ("are", "them")
        sentences.append(f"{many} {verb} beyond the limit; chance can explain {them}.")
    if few:
        sentences.append(unjudged)
    return Check(name, required, told(worst), status, " ".join(sentences), evidence)


def _badness(m: Mapping[str, Any]) -> float:
    """How far a gap is from none, or how deep a drop is."""
    value = float(m["value"])
    return abs(value) if "rate" in m else -value


def _floors(verdict: Mapping[str, Any] | None, config: EvaluationConfig) -> Check:
    name, required = "Accuracy of the worst group", f"{config.min_slice_accuracy:.2f} or more"
    if not config.min_slice_accuracy:
        why = "No floor is set (evaluation.min_slice_accuracy is 0)."
        return Check(name, "no floor", "", "skipped", why, "slices")
    if verdict is None:
        return Check(name, required, "", "skipped", "The fairness gate did not look.", "slices")
    return _family(name, required, verdict["floors"], "fairness", _floor)


def _floor(f: Mapping[str, Any]) -> str:
    return f"{slice_label(f['slice'])}: {_with_interval(f)}, n = {f['n']:,}"


def _findings(
    verdict: Mapping[str, Any] | None,
    config: EvaluationConfig,
    metrics: Mapping[str, Mapping[str, Any]],
    n: int,
    people: int | None,
) -> list[Check]:
    """Whether the experiment is sound."""
    fairness = config.fairness
    required = {
        "constant_model": "both labels are answered",
        "chance": "AUC above 0.5 with confidence",
        "leaked_images": f"at most {fairness.max_image_overlap:.1%}",
        "leaked_identities": f"at most {fairness.max_identity_overlap:.1%}",
        "too_good_to_be_true": f"accuracy not surely above {fairness.suspicious_accuracy}",
    }
    auc, accuracy = metrics.get("auc"), metrics.get("accuracy")
    passed = {
        "constant_model": "both are answered",
        "chance": f"AUC {_with_interval(auc)}" if auc else "",
        "leaked_images": f"0 of {n:,} images",
        "leaked_identities": f"0 of {people or 0:,} people",
        "too_good_to_be_true": f"accuracy {_with_interval(accuracy)}" if accuracy else "",
    }
    checks = []
    for key, name in _FINDINGS.items():
        arguments = (name, required[key])
        if verdict is None:
            why = "The fairness gate did not look."
            checks.append(Check(*arguments, "", "skipped", why, "fairness"))
            continue
        bad = [f for f in verdict["findings"] if _SAME.get(f["name"], f["name"]) == key]
        if bad:
            status: Status = "failed" if any(f["blocks"] for f in bad) else "warning"
            text = " ".join(f["text"] for f in bad)
            checks.append(Check(*arguments, _numbers(bad[0]), status, text, "fairness"))
        elif key == "leaked_identities" and people is None:
            why = "No identities are known; the same people may be in train and test."
            checks.append(Check(*arguments, "", "skipped", why, "fairness"))
        elif key.startswith("leaked") and verdict.get("split") == "external":
            why = "The images of the training are not here to compare with."
            checks.append(Check(*arguments, "", "skipped", why, "fairness"))
        else:
            checks.append(Check(*arguments, passed[key], "passed", "", "fairness"))
    return checks


def _numbers(finding: Mapping[str, Any]) -> str:
    numbers = finding["numbers"]
    if "shared" in numbers:
        return f"{numbers['shared']:,} of {numbers['n']:,}"
    if "called_positive" in numbers:
        return f"{numbers['called_positive']:,} of {numbers['n']:,} called positive"
    if "auc" in numbers:
        return f"AUC {_with_interval({**numbers, 'value': numbers['auc']})}"
    if "accuracy" in numbers:
        return f"accuracy {numbers['accuracy']:.4f}, at least {numbers['low']:.4f}"
    return ""


def _band(
    verdict: Mapping[str, Any] | None,
    calibration: Mapping[str, Any] | None,
    metrics: Mapping[str, Mapping[str, Any]],
) -> Check:
    name = "Errors among the answers given"
    right = metrics.get("accuracy_when_certain")
    measured = ""
    if right is not None:
        error = {"value": 1 - right["value"], "low": 1 - right["high"], "high": 1 - right["low"]}
        measured = f"{_with_interval(error)}, n = {right['n']:,}"
    if calibration is None:
        why = "The trainer's calibration is not here, so no target is known."
        return Check(name, "no target known", measured, "skipped", why, "slices")
    required = f"at most {calibration['target_error']:.3f}, on val and test"
    if verdict is None:
        why = "The fairness gate did not look."
        return Check(name, required, measured, "skipped", why, "slices")
    bad = [f for f in verdict["findings"] if f["name"] == "uncertainty_band"]
    if not bad:
        return Check(name, required, measured, "passed", "", "slices")
    status: Status = "failed" if any(f["blocks"] for f in bad) else "warning"
    text = ". ".join(f["text"] for f in bad) + "."
    return Check(name, required, measured, status, text[0].upper() + text[1:], "training")


def _temperature(found: Mapping[str, float] | None) -> Check:
    name, required = "Calibration helps on this split", "log loss not surely larger than without"
    if found is None:
        why = "The probabilities are as the network gives them: no temperature was fitted."
        return Check(name, required, "", "skipped", why, "curves")
    worse = found["low"] > 0
    why = "Probabilities fit these images worse than before calibration." if worse else ""
    measured = f"{_with_interval(found, signed=True)} an image"
    return Check(name, required, measured, "warning" if worse else "passed", why, "curves")


def _data(validation: Mapping[str, Any] | None) -> list[Check]:
    """Anomalies against the schema; drift and skew."""
    if validation is None:
        why = "This data set did not pass through the validation gate."
        return [Check("Data as the schema says", "no anomaly", "", "skipped", why, "data")]
    accepted = validation["accepted_anomalies"]
    checks = [
        Check(
            "Data as the schema says",
            "no anomaly",
            f"{len(accepted)} let through by name" if accepted else "no anomaly",
            "warning" if accepted else "passed",
            "; ".join(f"{a['split']}: {a['feature']} ({a['kind']})" for a in accepted),
            "data",
        )
    ]
    comparisons = validation["comparisons"]
    for name, end in (
        ("Drift from earlier data", "against its previous statistics"),
        ("Splits alike", "against train"),
    ):
        notes = {k.removesuffix(f" {end}"): v for k, v in comparisons.items() if k.endswith(end)}
        compared = [split for split, note in notes.items() if note == "compared"]
        skipped: dict[str, list[str]] = {}
        for split, note in notes.items():
            if note != "compared":
                skipped.setdefault(note, []).append(split)
        required = "within the schema's comparators"
        if compared:
            measured = f"compared: {', '.join(compared)}"
            checks.append(Check(name, required, measured, "passed", "", "data"))
        if skipped:
            why = "; ".join(f"{', '.join(splits)}: {note}" for note, splits in skipped.items())
            checks.append(Check(name, required, "", "skipped", f"{why}.", "data"))
    return checks


def _variants(parity: Mapping[str, Any] | None, left_out: Mapping[str, str]) -> list[Check]:
    """Whether what is served answers as the model that was measured here."""
    checks = []
    for variant, why in left_out.items():
        name = f"ONNX {variant} answers alike"
        required = "within export's limits"
        checks.append(Check(name, required, "left out", "warning", why, "lineage"))
    for variant, p in (parity or {}).items():
        measured = (
            f"p_positive differs by at most {p['max_difference']:.1e}, {p['images']:,} images"
        )
        if agreement := p.get("agreement"):
            measured = (
                f"same label for {agreement['equal_decisions']:.2%} "
                f"({agreement['equal_low']:.2%} to {agreement['equal_high']:.2%}) of "
                f"{agreement['images']:,} images"
            )
        name = f"ONNX {variant} answers alike"
        checks.append(Check(name, "within export's limits", measured, "passed", "", "lineage"))
    if not checks:
        why = "Nothing was exported: a refused model is not."
        if parity is None:
            why = "There is no export beside these figures."
        checks.append(Check("ONNX answers alike", "", "", "skipped", why, "lineage"))
    return checks
