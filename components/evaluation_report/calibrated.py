"""Whether the calibration's temperature helps on images that it was not fitted on.

In: a table of predictions, the temperature. Out: the change of the log loss, with its interval.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from components.evaluation.clusters import people_of, student
from components.evaluation.intervals import critical
from data import contract

_SMALLEST = 1e-7


def before_calibration(p_positive: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Returns what the network said before its logits were divided by the temperature."""
    inside = np.clip(p_positive, _SMALLEST, 1 - _SMALLEST)
    before: NDArray[np.float64] = expit(logit(inside) * temperature)
    return before


def temperature_effect(
    table: pd.DataFrame, temperature: float | None, confidence: float
) -> dict[str, float] | None:
    """Returns value, low and high of the log loss an image, after less before; None without one.

    People are the unit: the variance is that of their sums, with t of people - 1 degrees.
    """
    if temperature is None or temperature == 1:
        return None
    positive = table[contract.LABEL].to_numpy() == 1
    after = table[contract.P_POSITIVE].to_numpy(np.float64)
    change = _loss(after, positive) - _loss(before_calibration(after, temperature), positive)
    whose, mean = people_of(table), float(change.mean())
    sums = np.bincount(whose.codes, change - mean, minlength=whose.count)
    few = max(whose.count - 1, 1)
    error = float(np.sqrt(whose.count / few * (sums @ sums)) / len(change))
    half = float(student(critical(confidence), few)) * error
    return {"value": mean, "low": mean - half, "high": mean + half}


def _loss(p_positive: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    p = np.clip(p_positive, _SMALLEST, 1 - _SMALLEST)
    loss: NDArray[np.float64] = -np.log(np.where(positive, p, 1 - p))
    return loss
