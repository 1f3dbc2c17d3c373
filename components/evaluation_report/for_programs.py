"""The same figures for programs: `metrics.json`.

In: Content. Out: its text. release.json, terminal and dashboard take what they show from it.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

from components.evaluation.checks import sentence
from components.evaluation.config import EvaluationConfig
from components.evaluation.metrics import SliceMetrics
from components.evaluation_report.content import Content

SCHEMA_VERSION: Final = 1


def metrics_json(content: Content) -> str:
    """Returns the figures for programs; release.json takes them from here."""

    def measured(one: SliceMetrics) -> dict[str, Any]:
        return {
            "name": one.name,
            "key": [list(pair) for pair in one.key],
            "n": one.n,
            "people": one.people,
            "metrics": {name: dataclasses.asdict(m) for name, m in one.metrics.items()},
            "against_baseline": one.against_baseline and dataclasses.asdict(one.against_baseline),
            "notes": one.notes,
        }

    verdict = content.verdict or {}
    figures = {
        "schema_version": SCHEMA_VERSION,
        "split": content.sources.split,
        "run": content.sources.run,
        "created": content.created,
        "labels": list(content.label.names),
        "confidence": content.config.confidence,
        "blessed": content.sources.blessed,
        "state": dataclasses.asdict(content.state),
        "checks": [dataclasses.asdict(check) for check in content.checks],
        "checks_sentence": sentence(content.checks),
        "unit": "images" if content.overall.people is None else "people",
        "reasons": [*content.sources.evaluator_failures, *verdict.get("reasons", [])],
        "thresholds": thresholds(content.config),
        "overall": measured(content.overall),
        "baseline": content.baseline and measured(content.baseline),
        "slices": [measured(one) for one in content.slices],
        "natural": [measured(one) for one in content.natural],
        "served": content.served
        and {
            "found": dataclasses.asdict(content.served.found),
            "aligned": [measured(one) for one in content.served.aligned],
            "detected": [measured(one) for one in content.served.detected],
        },
        "confusion": [dataclasses.asdict(c) for c in content.confusions],
        "fairness": {
            "outcome": verdict.get("outcome"),
            "comparisons": verdict.get("comparisons"),
            "exceeding": [g for g in verdict.get("gaps", []) if g["status"] == "exceeds"],
            "too_few": [g for g in verdict.get("gaps", []) if g["status"] == "too_few"],
        },
    }
    return json.dumps(figures, indent=2, sort_keys=True, allow_nan=False) + "\n"


def thresholds(config: EvaluationConfig) -> dict[str, float]:
    """Returns what was demanded, by name."""
    fairness = config.fairness
    return {
        "min_accuracy": config.min_accuracy,
        "min_auc": config.min_auc,
        "max_accuracy_drop": config.max_accuracy_drop,
        "max_auc_drop": config.max_auc_drop,
        "min_slice_accuracy": config.min_slice_accuracy,
        "min_slice_examples": config.min_slice_examples,
        "max_accuracy_gap": fairness.max_accuracy_gap,
        "max_fpr_gap": fairness.max_fpr_gap,
        "max_fnr_gap": fairness.max_fnr_gap,
        "max_abstention_gap": fairness.max_abstention_gap,
        "max_answered_error_gap": fairness.max_answered_error_gap,
    }
