"""How often 95 % intervals hold the truth, where one person has several images.

Draws test sets of people whose images err together (a shared effect of the person on the score of
each image), measures them as components/evaluation does, and counts how often the interval holds
the true value, which a population of 100,000 people gives. The peer is what takes images
for independent: Wilson for rates, Newcombe for differences, a bootstrap over images for AUC.

Closed forms are counted on ten times as many draws as what is resampled, or sorted: at 1,000 draws
a coverage of 95 % is known to 1.4 points only (two standard errors), at 10,000 to 0.4.

Settings: "demo" has 320 people with 2.6 images on average, "celeba" 300 with 20, "few" 50 with 20.

Run: .venv/bin/python benchmarks/intervals.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from components.evaluation import bootstrap, clusters, intervals
from components.evaluation.intervals import Interval

SETTINGS: Final = ("demo", "celeba", "few")
FIGURES: Final = (
    "accuracy",
    "fnr",
    "auc",
    "auc difference",
    "paired difference",
    "gap, people",
    "gap, images",
)
RANKED: Final = ("auc", "auc difference")
"""Figures that need the order of the scores: slow."""
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, eq=False)
class World:
    """A test set: whose images they are, labels, scores of two models, and two groupings.

    `old` is a property of a person (15 %), `smiling` of an image, more frequent in some people.
    """

    identity: NDArray[np.int64]
    label: NDArray[np.bool_]
    score: NDArray[np.float64]
    baseline: NDArray[np.float64]
    old: NDArray[np.bool_]
    smiling: NDArray[np.bool_]


def draw(setting: str, rng: np.random.Generator, people: int = 0) -> World:
    """Returns a test set; `people` replaces the setting's number."""
    number = people or {"demo": 320, "celeba": 300, "few": 50}[setting]
    sizes = rng.geometric(1 / 2.6, number) if setting == "demo" else 1 + rng.poisson(19, number)
    identity = np.repeat(np.arange(number), sizes)
    n = len(identity)
    # A margin above 0 is a right answer: some 95 %; intraclass correlation of the margins 0.42.
    person = rng.normal(0, 1.2, number)[identity]
    own = rng.normal(0, 1.4, n)
    other = rng.normal(0, 1.2, number)[identity]
    margin = 3.0 + person + own
    baseline = 3.0 + 0.9 * person + np.sqrt(0.19) * other + 0.8 * own + 0.6 * rng.normal(0, 1.4, n)
    label = (rng.random(number) < 0.5)[identity]
    sign = np.where(label, 1.0, -1.0)
    return World(
        identity,
        label,
        sign * margin,
        sign * baseline,
        (rng.random(number) < 0.15)[identity],
        rng.random(n) < (0.2 + 0.6 * (rng.random(number) < 0.5))[identity],
    )


def truths(world: World) -> dict[str, float]:
    """Returns the figures of a population."""
    right = (world.score > 0) == world.label
    old = (world.baseline > 0) == world.label
    return {
        "accuracy": float(right.mean()),
        "fnr": float((~right)[world.label].mean()),
        "auc": _auc(world.score, world.label),
        "auc difference": _auc(world.score, world.label) - _auc(world.baseline, world.label),
        "paired difference": float(right.mean() - old.mean()),
        # Neither grouping has to do with the scores.
        "gap, people": 0.0,
        "gap, images": 0.0,
    }


def _auc(score: NDArray[np.float64], label: NDArray[np.bool_]) -> float:
    ranking = bootstrap.Ranking(score, label.astype(np.int8))
    return float(ranking.auc(np.ones((len(label), 1), np.float32))[0])


def measured(world: World, replicates: int, *, by_people: bool) -> dict[str, Interval]:
    """Returns the intervals: ours, or those of independent images; no RANKED without replicates."""
    n = len(world.label)
    every = np.ones(n, np.bool_)
    right = (world.score > 0) == world.label
    old = (world.baseline > 0) == world.label
    whose = clusters.people(world.identity if by_people else None, n)
    gaps = clusters.differences(
        [
            ((right, world.old), (right, ~world.old)),
            ((right, world.smiling), (right, ~world.smiling)),
        ],
        whose,
    )
    pair = clusters.pairs([(right, old, every)], whose)[0].interval()
    if not by_people:
        pair = intervals.paired_difference(
            int((right & old).sum()),
            int((right & ~old).sum()),
            int((~right & old).sum()),
            int((~right & ~old).sum()),
        )
    result = {
        "accuracy": clusters.rate(right, whose),
        "fnr": clusters.rate(~right, whose, world.label),
        "paired difference": pair,
        "gap, people": gaps[0].interval(),
        "gap, images": gaps[1].interval(),
    }
    if not replicates:
        return result
    ranking = bootstrap.Ranking(world.score, world.label.astype(np.int8))
    weights = bootstrap.Replicates(whose, replicates, seed=0)
    found = np.concatenate([ranking.auc(w) for _, w in weights.blocks()])
    old_ranking = bootstrap.Ranking(world.baseline, world.label.astype(np.int8))
    value = _auc(world.score, world.label)
    z = float(intervals.critical(CONFIDENCE))
    auc = bootstrap.percentile(value, found, CONFIDENCE)
    if by_people:
        degrees = clusters.degrees_of(ranking.influence(whose.weights), whose)
        auc = bootstrap.area_interval(value, found, n, z, degrees)
    return {
        **result,
        "auc": auc,
        "auc difference": bootstrap.area_difference(ranking, old_ranking, whose).interval(z),
    }


def _held(task: tuple[str, int, int, int]) -> dict[str, NDArray[np.float64]]:
    """Returns figure -> (draws, 2): whether our interval, and the peer's, holds the truth."""
    setting, seed, draws, replicates = task
    population = truths(draw(setting, np.random.default_rng(0), people=100_000))
    population = {f: truth for f, truth in population.items() if (f in RANKED) == bool(replicates)}
    rng = np.random.default_rng(seed)
    held: dict[str, list[tuple[bool, bool]]] = {figure: [] for figure in population}
    for _ in range(draws):
        world = draw(setting, rng)
        ours, peer = (measured(world, replicates, by_people=by) for by in (True, False))
        for figure, truth in population.items():
            held[figure].append(
                tuple(bool(each[figure].low <= truth <= each[figure].high) for each in (ours, peer))
            )
    return {figure: np.array(each, np.float64) for figure, each in held.items()}


def coverage(
    settings: tuple[str, ...], draws: int, replicates: int, workers: int
) -> Iterator[tuple[str, str, float, float]]:
    """Yields (setting, figure, our coverage, the peer's)."""
    for setting in settings:
        share = -(-draws // workers)
        tasks = [
            (setting, 1 + k, share * times, with_replicates)
            for times, with_replicates in ((1, replicates), (10, 0))
            for k in range(workers)
        ]
        with ProcessPoolExecutor(workers) as pool:
            parts = list(pool.map(_held, tasks))
        for figure in FIGURES:
            held = [part[figure] for part in parts if figure in part]
            ours, peer = np.concatenate(held).mean(0)
            yield setting, figure, float(ours), float(peer)


def main() -> None:
    """Prints the table and the claims."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="40 draws: for the shape")
    quick = parser.parse_args().quick
    draws, replicates = (40, 200) if quick else (1000, 500)
    rows = list(coverage(SETTINGS, draws, replicates, workers=os.cpu_count() or 1))
    table = Table(
        title=f"Coverage of 95 % intervals, {draws:,} draws (AUC) and {10 * draws:,}",
        title_justify="left",
    )
    for column in ("setting", "figure", "people as the unit", "images as the unit"):
        table.add_column(column)
    for setting, figure, ours, peer in rows:
        table.add_row(setting, figure, f"{ours:.3f}", f"{peer:.3f}")
    Console(width=100).print(table)
    claims = [
        {
            "claim": f"coverage of 95 % intervals, {setting}: {figure}",
            "unit": "share",
            "ours": round(ours, 3),
            "peer": round(peer, 3),
            "peer_name": "images as the unit",
            "ratio": round(ours / peer, 3),
            "goal": CONFIDENCE,
            "hardware": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
            "date": datetime.now(UTC).date().isoformat(),
        }
        for setting, figure, ours, peer in rows
    ]
    print(json.dumps(claims))


if __name__ == "__main__":
    main()
