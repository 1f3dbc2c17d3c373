"""Intervals of AUC, average precision and calibration error, by one vectorised bootstrap.

In: scores, labels, and whose images they are. Out: Interval. NumPy and SciPy.

Poisson bootstrap (Chamandy et al. 2012, "Estimating uncertainty for massive data streams"): each
replicate gives each person a weight drawn from Poisson(1), the limit of resampling with
replacement, and all images of that person have it (clusters.py says why, and what is done where
identities are missing). All replicates are one matrix of weights, so a metric is a few matrix
operations. The same weights serve every slice and both models: differences are paired.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr

from components.evaluation.clusters import People, degrees_of, people_of_one_size, student
from components.evaluation.intervals import Floats, Interval, critical, wilson

Weights = NDArray[np.float32]

_BLOCK: Final = 2_000_000
"""Elements of the weights that are worked on at once: 8 MB stay near the cache."""
CALIBRATION_BINS: Final = 15


class Replicates:
    """The weights of all replicates, in blocks of (examples, replicates).

    A person's weights lie side by side, so that choosing examples copies whole rows.

    Args:
      whose: the examples' people.
      replicates: how many.
      seed: of the draws.
    """

    def __init__(self, whose: People, replicates: int, seed: int) -> None:
        self.count = replicates
        self.whose = whose
        self.examples = len(whose.codes)
        rng = np.random.default_rng(seed)
        step = max(8, _BLOCK // max(1, self.examples))
        self._blocks = []
        for start in range(0, replicates, step):
            shape = (whose.count, min(step, replicates - start))
            # Inverse of Poisson(1)'s distribution function, from 16 random bits: three times as
            # fast as rng.poisson, and off by at most 2**-16.
            self._blocks.append(_POISSON[rng.integers(0, 2**16, shape, dtype=np.uint16)])

    def blocks(self, examples: NDArray[np.int64] | None = None) -> Iterator[tuple[slice, Weights]]:
        """Yields (which replicates, weights) of the chosen examples; float32, (n, replicates)."""
        start = 0
        chosen_ones = slice(None) if examples is None else examples
        rows, weight = self.whose.codes[chosen_ones], None
        if self.whose.weight is not None:
            weight = self.whose.weight[chosen_ones, None].astype(np.float32)
        for block in self._blocks:
            chosen = block[rows].astype(np.float32)
            if weight is not None:
                chosen *= weight
            yield slice(start, start + block.shape[1]), chosen
            start += block.shape[1]


def _poisson_table() -> NDArray[np.uint8]:
    """Returns the count for each of 2**16 equally likely numbers."""
    counts = np.arange(12)
    factorial = np.cumprod(np.maximum(counts, 1), dtype=np.float64)
    cumulative = np.cumsum(np.exp(-1) / factorial)
    return np.searchsorted(cumulative, (np.arange(2**16) + 0.5) / 2**16).astype(np.uint8)


_POISSON: Final = _poisson_table()


class Curves(NamedTuple):
    """Areas of each replicate, (replicates,); NaN where it lacks a class.

    Attributes:
      auc: P(score of a 1 > score of a 0), ties counting half.
      precision_1, precision_0: average precision with 1 and with 0 as the positive class, by steps
        as in scikit-learn.
    """

    auc: Floats
    precision_1: Floats
    precision_0: Floats


class Ranking:
    """Examples in the order of their scores, from which the areas under curves follow.

    Args:
      scores: (n,), higher means class 1.
      labels: (n,), 0 or 1.
    """

    def __init__(self, scores: Floats, labels: NDArray[np.int8]) -> None:
        order = np.argsort(scores, kind="stable")
        ranked, one = np.asarray(scores)[order], np.asarray(labels)[order] == 1
        self.ones, self.zeros = order[one], order[~one]
        ones, zeros = ranked[one], ranked[~one]
        # For each 1: how many zeros score lower, how many at most as much, how many ones lower.
        self._zeros_below = np.searchsorted(zeros, ones, "left")
        self._zeros_to = np.searchsorted(zeros, ones, "right")
        self._ones_below = np.searchsorted(ones, ones, "left")
        # For each 0: how many ones score lower; how many ones, and how many zeros, at most as much.
        self._ones_below_zero = np.searchsorted(ones, zeros, "left")
        self._ones_to = np.searchsorted(ones, zeros, "right")
        self._zeros_to_zero = np.searchsorted(zeros, zeros, "right")
        self._ties = bool(np.any(self._zeros_below != self._zeros_to))

    @property
    def defined(self) -> bool:
        """Whether both classes are there."""
        return bool(len(self.ones) and len(self.zeros))

    def curves(self, weights: Weights) -> Curves:
        """Returns the areas.

        Args:
          weights: (n, replicates), in the order of the scores as given.
        """
        ones, zeros = weights[self.ones], weights[self.zeros]
        to_one, to_zero = _cumulative(ones), _cumulative(zeros)
        all_ones, all_zeros = to_one[-1].astype(np.float64), to_zero[-1].astype(np.float64)
        below = to_zero[self._zeros_below]
        wins = (below + to_zero[self._zeros_to]) / 2 if self._ties else below
        with np.errstate(invalid="ignore", divide="ignore"):
            auc = _coldot(ones, wins) / (all_ones * all_zeros)
            found = to_one[-1] - to_one[self._ones_below]
            of_1 = _coldot(ones, _share(found, to_zero[-1] - below)) / all_ones
            found = to_zero[self._zeros_to_zero]
            of_0 = _coldot(zeros, _share(found, to_one[self._ones_to])) / all_zeros
            empty = (all_ones == 0) | (all_zeros == 0)
            return Curves(*(np.where(empty, np.nan, area) for area in (auc, of_1, of_0)))

    def auc(self, weights: Weights) -> Floats:
        """Returns only the area under the ROC curve; see `curves`."""
        ones, to_zero = weights[self.ones], _cumulative(weights[self.zeros])
        wins = to_zero[self._zeros_below]
        if self._ties:
            wins = (wins + to_zero[self._zeros_to]) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            area: Floats = _coldot(ones, wins) / (ones.sum(0, dtype=np.float64) * to_zero[-1])
        return area

    def influence(self, weight: Floats) -> Floats:
        """Returns what each example adds to the error of the AUC, (n,), in the order as given.

        Placement values less their mean (DeLong et al. 1988, Biometrics 44:837); sums of them
        within people are what Obuchowski 1997 (Biometrics 53:567) squares.

        Args:
          weight: how many examples each stands for, (n,); see `clusters.People`.
        """
        ones, zeros = weight[self.ones], weight[self.zeros]
        to_one, to_zero = (np.concatenate([[0.0], np.cumsum(w)]) for w in (ones, zeros))
        all_ones, all_zeros = to_one[-1], to_zero[-1]
        of_ones = (to_zero[self._zeros_below] + to_zero[self._zeros_to]) / (2 * all_zeros)
        of_zeros = 1 - (to_one[self._ones_below_zero] + to_one[self._ones_to]) / (2 * all_ones)
        found = np.empty(len(weight))
        found[self.ones] = ones * (of_ones - of_ones @ ones / all_ones) / all_ones
        found[self.zeros] = zeros * (of_zeros - of_zeros @ zeros / all_zeros) / all_zeros
        return found


class AreaDifference(NamedTuple):
    """AUC of a model less another's, on the same examples.

    Attributes:
      error: its standard error, between people.
      degrees: of freedom of that.
    """

    value: float
    error: float
    degrees: float

    def interval(self, z: float) -> Interval:
        """Returns Student's t interval."""
        half = float(student(z, self.degrees)) * self.error
        low, high = max(self.value - half, -1.0), min(self.value + half, 1.0)
        return Interval(np.asarray(self.value), np.asarray(low), np.asarray(high))


def area_difference(new: Ranking, old: Ranking, whose: People) -> AreaDifference:
    """Returns the difference of the AUCs, by the method for clustered data of Obuchowski 1997.

    Biometrics 53:567; with one image a person it is DeLong's (1988). Both rankings must be of the
    same examples, of both labels. Of few people and AUCs near 1 the interval is too wide: placement
    values then hold the chance of the few people of the other label, too (Bamber 1975, J. Math.
    Psychol. 12:387, has the exact variance, which costs all pairs). It is as often too high as too
    low, so that people less one are degrees enough.
    """
    one = whose.weights[:, None].astype(np.float32)
    value = float(new.auc(one)[0] - old.auc(one)[0])
    influence = new.influence(whose.weights) - old.influence(whose.weights)
    of_people = np.bincount(whose.codes, influence)
    people = max(whose.count, 2)
    error = float(np.sqrt(of_people @ of_people * people / (people - 1)))
    degrees = np.inf if whose.alone else max(people_of_one_size(whose) - 1, 1.0)
    return AreaDifference(value, error, degrees)


def _cumulative(weights: Weights) -> Weights:
    """(n, r) -> (n + 1, r), starting with 0; sums of small integers are exact in float32."""
    out = np.zeros((weights.shape[0] + 1, weights.shape[1]), np.float32)
    np.cumsum(weights, axis=0, out=out[1:])
    return out


def _share(found: Weights, false: Weights) -> Weights:
    """Returns found / (found + false), 0 where both are 0."""
    called = found + false
    share: Weights = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return share


def _coldot(a: Weights, b: Weights) -> Floats:
    """(n, r), (n, r) -> (r,); summed in float64 over blocks of rows, which float32 holds well."""
    edges = range(0, len(a), 256)
    return sum(
        (np.einsum("ij,ij->j", a[e : e + 256], b[e : e + 256]).astype(np.float64) for e in edges),
        np.zeros(a.shape[1]),
    )


def calibration_error(
    p_positive: Floats, labels: NDArray[np.int8], weights: Weights, bins: int = CALIBRATION_BINS
) -> Floats:
    """Expected calibration error of the predicted label's confidence; equal-width bins.

    The definition of components/trainer/calibration.py (Guo et al. 2017).

    Args:
      p_positive: (n,).
      labels: (n,).
      weights: (n, replicates).
      bins: number of bins of [0, 1].

    Returns:
      (replicates,).
    """
    confidence = np.maximum(p_positive, 1 - p_positive)
    correct = (p_positive >= 0.5) == (labels == 1)
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    # Bin by bin, without a matrix product: BLAS' threads cost more than they bring here.
    order = np.argsort(index, kind="stable")
    starts = np.flatnonzero(np.diff(index[order], prepend=-1))
    residual = (correct - confidence).astype(np.float32)[order, None]
    gaps = np.add.reduceat(residual * weights[order], starts, axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        error: Floats = np.abs(gaps).sum(0) / weights.sum(0, dtype=np.float64)
    return error


def percentile(
    value: float,
    replicates: Floats,
    confidence: float,
    *,
    degrees: float = np.inf,
    remove_bias: bool = False,
) -> Interval:
    """Percentile interval; replicates without a value (an empty class) are left out.

    With few people it is too short, and is widened as Student's t widens a normal interval (the
    "expanded percentile interval": Hesterberg 2015, The American Statistician 69:371).

    Args:
      value: of all examples.
      replicates: (replicates,).
      confidence: e.g. 0.95.
      degrees: of freedom of Student's t; see `clusters.degrees_of`.
      remove_bias: shifts the replicates so that their mean is `value`. Absolute values, as in the
        calibration error, grow under resampling.
    """
    good = replicates[np.isfinite(replicates)]
    if not np.isfinite(value) or not len(good):
        return Interval(*(np.asarray(np.nan),) * 3)
    tail = float(ndtr(-student(critical(confidence), degrees)))
    low, high = np.quantile(good, (tail, 1 - tail))
    if remove_bias:
        bias = good.mean() - value
        low, high = low - bias, high - bias
    return Interval(np.asarray(value), np.asarray(min(low, value)), np.asarray(max(high, value)))


def area_interval(
    value: float, replicates: Floats, independent: int, z: float, degrees: float = np.inf
) -> Interval:
    """Interval of an area under a curve: Student's t on the logit's scale.

    Near 1, where good models are, an area is skewed and percentiles cover too little; its logit is
    not (Pepe 2003, The Statistical Evaluation of Medical Tests, 5.2). Where classes are wholly
    separated (or inverted), resampling shows no width: then the bound is Wilson's for as many
    successes in a row as there are `independent` pairs (of people, where they are known).

    Args:
      value: of all examples, 0 to 1.
      replicates: (replicates,).
      independent: pairs of a 0 and a 1 that share nobody.
      z: normal critical value.
      degrees: of freedom of Student's t; see `clusters.degrees_of`.
    """
    good = replicates[np.isfinite(replicates)]
    if value in (0.0, 1.0) or not len(good):
        return wilson(value * independent, independent, z)
    edge = 1 / (2 * max(independent, 1) ** 2)
    half = float(student(z, degrees)) * logit(np.clip(good, edge, 1 - edge)).std(ddof=1)
    centre = logit(value)
    return Interval(
        np.asarray(value), np.asarray(expit(centre - half)), np.asarray(expit(centre + half))
    )


def resampled_auc(
    ranking: Ranking,
    labels: NDArray[np.int8],
    whose: People,
    replicates: int,
    seed: int,
    z: float,
) -> Interval:
    """Returns the AUC of all examples, which have both labels, as metrics.measure has it."""
    value = float(ranking.auc(whose.weights[:, None].astype(np.float32))[0])
    weights = Replicates(whose, replicates, seed)
    found = np.concatenate([ranking.auc(w) for _, w in weights.blocks()])
    smaller = min(len(np.unique(whose.codes[labels == y])) for y in (0, 1))
    return area_interval(
        value, found, smaller, z, degrees_of(ranking.influence(whose.weights), whose)
    )
