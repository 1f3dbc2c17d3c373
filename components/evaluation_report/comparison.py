"""Two runs on the images that both have scored: paired differences, and the images that flipped.

In: predictions of both, slices. Out: a Comparison. People are the unit of all intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluation import clusters
from components.evaluation.clusters import people_of
from components.evaluation.config import EvaluationConfig
from components.evaluation.intervals import critical
from components.evaluation.metrics import THRESHOLD, Measured
from components.evaluation.regression import Change, find_changes
from components.evaluation.slices import find_slices
from components.predictions.table import BASELINE_P_POSITIVE, BASELINE_UNCERTAIN, SHA256
from data import contract


@dataclass(frozen=True)
class Pair:
    """One slice. Differences are this run's less the other's.

    Attributes:
      here, there: accuracy of forced labels, of both runs.
      accuracy, auc: with the joint interval by which they were judged; AUC is None where a label
        is missing.
      abstention: difference of the shares without an answer.
      better, worse: images that only this run, or only the other, has right.
      few: whether there are too few images to judge.
    """

    slice: str
    n: int
    people: int
    here: float
    there: float
    accuracy: Change
    auc: Change | None
    abstention: Measured
    better: int
    worse: int
    few: bool


@dataclass(frozen=True)
class Comparison:
    """With another run.

    Attributes:
      name: of the other run.
      n, here, there: images that both scored, that this run scored, that the other did.
      pairs: overall first, then the worst, those of too few images last.
    """

    name: str
    n: int
    here: int
    there: int
    pairs: tuple[Pair, ...]


def join(rows: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows that the other run has scored as well, with its answers as the baseline's.

    The same image is the same name, the same bytes and the same label.
    """
    keys = [contract.IMAGE_ID, SHA256, contract.LABEL]
    theirs = other[[*keys, contract.P_POSITIVE, contract.UNCERTAIN]].rename(
        columns={contract.P_POSITIVE: BASELINE_P_POSITIVE, contract.UNCERTAIN: BASELINE_UNCERTAIN}
    )
    mine = rows.drop(columns=[BASELINE_P_POSITIVE, BASELINE_UNCERTAIN], errors="ignore")
    return mine.merge(theirs, on=keys, how="inner")


def compare(both: pd.DataFrame, config: EvaluationConfig) -> tuple[Pair, ...]:
    """Returns every slice of joined rows; see `join`."""
    if both.empty:
        return ()
    slices = find_slices(both, config.slices)
    changes = {(c.slice, c.metric): c for c in find_changes(both, slices, config)}
    whose = people_of(both)
    label = both[contract.LABEL].to_numpy() == 1
    right, was = (
        (both[column].to_numpy(np.float64) >= THRESHOLD) == label
        for column in (contract.P_POSITIVE, BASELINE_P_POSITIVE)
    )
    silent, silence = (
        both[column].to_numpy(np.bool_) for column in (contract.UNCERTAIN, BASELINE_UNCERTAIN)
    )
    z = critical(config.confidence)
    abstained = clusters.pairs([(silent, silence, s.rows) for s in slices], whose).interval(z)
    pairs = [
        Pair(
            slice=each.name,
            n=int(each.rows.sum()),
            people=len(np.unique(whose.codes[each.rows])),
            here=float(right[each.rows].mean()),
            there=float(was[each.rows].mean()),
            accuracy=changes[each.name, "accuracy"],
            auc=changes.get((each.name, "auc")),
            abstention=Measured(
                float(abstained.value[i]),
                float(abstained.low[i]),
                float(abstained.high[i]),
                int(each.rows.sum()),
            ),
            better=int(np.sum(right & ~was & each.rows)),
            worse=int(np.sum(~right & was & each.rows)),
            few=bool(each.key) and int(each.rows.sum()) < config.min_slice_examples,
        )
        for i, each in enumerate(slices)
    ]
    return (pairs[0], *sorted(pairs[1:], key=_order))


def _order(pair: Pair) -> tuple[bool, float]:
    return pair.few, pair.accuracy.value


def with_other(
    rows: pd.DataFrame, other: pd.DataFrame, name: str, config: EvaluationConfig
) -> Comparison:
    """Returns the comparison of two runs' rows of one split."""
    both = join(rows, other)
    return Comparison(name, len(both), len(rows), len(other), compare(both, config))


def flips(
    rows: pd.DataFrame, old: Sequence[float] | NDArray[np.float64]
) -> tuple[pd.Series[bool], pd.Series[bool]]:
    """Returns which rows only this run has right, and which only the other; `old` may hold NaN."""
    label = rows[contract.LABEL] == 1
    known = pd.Series(np.asarray(old, np.float64), rows.index)
    right = (rows[contract.P_POSITIVE] >= THRESHOLD) == label
    was = (known >= THRESHOLD) == label
    return right & ~was & known.notna(), ~right & was & known.notna()
