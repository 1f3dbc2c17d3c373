"""What the report's threshold slider needs to compute rates in the reader's browser.

In: a table of predictions and its slices. Out: JSON-ready counts by score, label and slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from components.evaluation import clusters
from components.evaluation.clusters import Mask, People, people_of
from components.evaluation.intervals import critical
from components.evaluation.metrics import THRESHOLD
from components.evaluation.slices import Slice
from data import contract

SLIDER_BINS: Final = 200


def slider(rows: pd.DataFrame, slices: Sequence[Slice], confidence: float) -> dict[str, Any]:
    """Returns what the page needs to move a threshold: counts by score, label and slice.

    `counts[slice][label]` has one count for each bin of p_positive, [k/200, (k+1)/200). `z` has the
    critical value of each rate, widened by its design effect at threshold 0.5 (clusters.py): the
    page knows counts of images and not of whom they are.
    """
    p_positive = rows[contract.P_POSITIVE].to_numpy(np.float64)
    label = rows[contract.LABEL].to_numpy()
    # As the threshold compares: the first bin whose lower edge is above p_positive, minus one.
    edges = np.arange(SLIDER_BINS + 1) / SLIDER_BINS
    bins = np.clip(np.searchsorted(edges, p_positive, "right") - 1, 0, SLIDER_BINS - 1)
    chosen = [s for s in slices if len(s.key) < 2]
    return {
        "bins": SLIDER_BINS,
        "z": _critical(p_positive >= THRESHOLD, label == 1, people_of(rows), confidence),
        "names": [s.name for s in chosen],
        "counts": [
            [
                np.bincount(bins[s.rows & (label == value)], minlength=SLIDER_BINS).tolist()
                for value in (0, 1)
            ]
            for s in chosen
        ],
    }


def _critical(called: Mask, positive: Mask, whose: People, confidence: float) -> dict[str, float]:
    """Returns rate -> critical value for Wilson's interval of as many independent images."""
    right, every = called == positive, np.ones(len(called), np.bool_)
    events = {
        "accuracy": (right, every),
        "fpr": (called, ~positive),
        "fnr": (~called, positive),
        "precision_positive": (right, called),
        "precision_negative": (right, ~called),
    }
    found = clusters.rates(list(events.values()), whose)
    t = clusters.student(critical(confidence), found.degrees)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(found.trials > 0, t * np.sqrt(found.trials / found.effective), t)
    return dict(zip(events, z.tolist(), strict=True))
