"""How often the gate stops a model that is as good, and how often it finds one that is worse.

Draws test sets of people whose images err together, answered by a baseline and a candidate of which
5 % of the answers differ: one as good as the baseline, and one that is worse by two points. The
accepted drop is one point. Ours judges the paired interval, people as the unit; the peer held the
difference of the two accuracies itself against the limit, as TFMA's change threshold does.

Run: .venv/bin/python benchmarks/regression.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from components.evaluation.config import EvaluationConfig
from components.evaluation.regression import find_changes
from components.evaluation.slices import find_slices
from components.predictions.table import BASELINE_P_POSITIVE
from data import contract

LIMIT: Final = 0.01
DISAGREEMENT: Final = 0.05
SIZES: Final = ((200, 500), (320, 832), (1000, 4000), (1000, 19962))
"""(people, images): the celeba preset's 500 of before, the demo, and the natural test partition,
in part and whole."""


def drawn(people: int, images: int, worse: float, rng: np.random.Generator) -> pd.DataFrame:
    """Returns predictions of both models; `worse` is the candidate's true loss of accuracy."""
    identity = np.sort(rng.integers(0, people, images))
    label = rng.integers(0, 2, people)[identity]
    # The person's effect on both models' errors, and on where they differ.
    ease = rng.beta(19 / 2, 1 / 2, people)[identity]
    was_right = rng.random(images) < ease
    # Each person's share of images in which the answers differ is their own, too.
    differs = rng.random(images) < np.minimum(1, DISAGREEMENT * rng.gamma(2, 0.5, people)[identity])
    # Where they differ exactly one is right: the candidate in half of them, or in fewer.
    candidate = rng.random(images) < 0.5 - worse / (2 * DISAGREEMENT)
    right = np.where(differs, candidate, was_right)
    was_right = np.where(differs, ~candidate, was_right)

    def p_positive(correct: np.ndarray) -> np.ndarray:
        return np.where(correct == (label == 1), 0.6, 0.4) + rng.uniform(-0.09, 0.09, images)

    return pd.DataFrame(
        {
            contract.IDENTITY: identity,
            contract.LABEL: label,
            contract.P_POSITIVE: p_positive(right),
            BASELINE_P_POSITIVE: p_positive(was_right),
        }
    )


def outcomes(
    people: int, images: int, worse: float, draws: int, seed: int
) -> tuple[float, float, float]:
    """Returns how often ours blocks, ours blocks or warns, and the peer blocks."""
    config = EvaluationConfig(slices=(), max_accuracy_drop=LIMIT, max_auc_drop=1.0)
    rng = np.random.default_rng(seed)
    blocked = told = peer = 0
    for _ in range(draws):
        rows = drawn(people, images, worse, rng)
        changes = find_changes(rows, find_slices(rows, ()), config)
        [change] = [c for c in changes if c.metric == "accuracy"]
        blocked += change.status == "exceeds"
        told += change.status in ("exceeds", "may_exceed")
        peer += change.value < -LIMIT
    return blocked / draws, told / draws, peer / draws


def main() -> None:
    """Prints the table and the claims."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="20 draws: for the shape")
    draws = 20 if parser.parse_args().quick else 1000
    table = Table(title=f"Accepted drop {LIMIT}, {draws} draws", title_justify="left")
    for column in ("people", "images", "candidate", "blocks", "blocks or warns", "estimate blocks"):
        table.add_column(column)
    claims = []
    for people, images in SIZES:
        for worse, name in ((0.0, "as good"), (0.02, "worse by 0.02")):
            ours, told, peer = outcomes(people, images, worse, draws, seed=1)
            figures = (f"{share:.3f}" for share in (ours, told, peer))
            table.add_row(str(people), f"{images:,}", name, *figures)
            claims.append(
                {
                    "claim": f"regression gate, {images:,} images of {people:,} people: a model "
                    f"{name} is blocked",
                    "unit": "share",
                    "ours": round(ours, 3),
                    "peer": round(peer, 3),
                    "peer_name": "difference of the estimates",
                    "ratio": round(ours / peer, 3) if peer else None,
                    "goal": None,
                    "warned_or_blocked": round(told, 3),
                    "hardware": f"{platform.processor() or platform.machine()}, "
                    f"{os.cpu_count()} cores",
                    "date": datetime.now(UTC).date().isoformat(),
                }
            )
    Console(width=100).print(table)
    print(json.dumps(claims))


if __name__ == "__main__":
    main()
