"""Whether the answers that the model gives are as often right as it promises.

In: the trainer's calibration.json, and predictions of `test`. Out: Findings, which the gate judges.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from components.evaluation.clusters import people_of, rate
from components.evaluation.config import EvaluationConfig
from components.evaluation.diagnosis import Finding
from components.evaluation.intervals import critical
from components.evaluation.metrics import THRESHOLD
from data import contract

NAME = "uncertainty_band"


def band_findings(
    calibration: dict[str, Any], table: pd.DataFrame, config: EvaluationConfig
) -> list[Finding]:
    """Returns what is wrong with the band; empty where it keeps its promise.

    Args:
      calibration: content of calibration.json; see components/trainer/calibration.py.
      table: predictions of `test`.
      config: `on_missed_target` and the confidence.
    """
    blocks = config.on_missed_target == "block"
    target = float(calibration["target_error"])
    findings = []
    if not calibration["target_met"]:
        bound = float(calibration.get("error_bound", calibration["error_outside"]))
        changed = " as it is and as training changes it" if calibration.get("changed") else ""
        findings.append(
            Finding(
                NAME,
                blocks,
                f"no band of the allowed width keeps errors among the answers given surely below "
                f"{target:.1%} on val{changed}: the best bound is {bound:.1%}. More people in val, "
                "a better model, or another trainer.target_error or trainer.max_abstention would",
                {"target_error": target, "error_bound": bound},
            )
        )
    given = ~table[contract.UNCERTAIN].to_numpy(np.bool_)
    if given.any():
        called = table[contract.P_POSITIVE].to_numpy(np.float64) >= THRESHOLD
        wrong = called != (table[contract.LABEL].to_numpy() == 1)
        z = float(critical(config.confidence))
        error, low, high = (float(v) for v in rate(wrong, people_of(table), given, z))
        if low > target:
            findings.append(
                Finding(
                    NAME,
                    blocks,
                    f"{error:.1%} of the answers given on test are wrong, {low:.1%} to {high:.1%}; "
                    f"the band promises at most {target:.1%}",
                    {"target_error": target, "error": error, "low": low, "high": high},
                )
            )
    return findings
