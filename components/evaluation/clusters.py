"""Intervals whose unit is the person: many images of one person are not as many people.

In: events of images, and whose images they are. Out: rates and differences with intervals that are
as wide as the number of people asks for. NumPy, SciPy, pandas.

Errors in one person's images resemble each other, so the variance of a rate is estimated between
people: by linearisation of the ratio (Cochran 1977, Sampling Techniques, 6.4), with each person's
residual divided by 1 - their share of the images, which is the jackknife's estimate (CR3: Bell &
McCaffrey 2002, Survey Methodology 28:169). Its ratio to the variance of independent images is the
design effect. Counts divided by it go into the usual formulas (Rao & Scott 1992, Biometrics
48:577, "A simple method for the analysis of clustered binary data"): Wilson for a rate, MOVER for a
gap, Agresti & Min for a paired difference. Few people, or few who err, estimate a variance badly,
so Student's t replaces the normal critical value (Korn & Graubard 1998, Survey Methodology 24:193),
with Satterthwaite's degrees of freedom (1946, Biometrics Bulletin 2:110) from the residuals'
kurtosis. Rare errors have a large kurtosis even where images are independent; that part is no
error of the design effect, and is left out: Wilson's interval knows the variance of a count. A
design effect below one is taken as one: it is mostly chance. benchmarks/intervals.py prints how
often all of these cover.

Where only some of the test partition was drawn, and rare groups in full, each image stands for as
many as its inclusion weight says: rates are ratios of weighted sums (Hajek), and unequal weights
are in the variance between people, and so in the design effect.

Where identities are missing (own photos, an external set without that column), every image counts
as a person of its own, and all intervals are those of independent images: `People.unit` says so,
and reports print it. Where some are missing, only those images are treated so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtrit

from components.evaluation import intervals
from components.evaluation.intervals import Floats, Interval
from data import contract

Mask = NDArray[np.bool_]
Event = tuple[Mask, Mask]
"""(event, domain), both (n,): the share of the images of the domain in which the event is true."""

Z95: Final = 1.959963984540054
_FEWEST_DEGREES: Final = 3.0
"""Of freedom; with fewer, t would say more about the formula than about the people."""


@dataclass(frozen=True, eq=False)
class People:
    """Whose images they are.

    Attributes:
      codes: (n,), 0 to count - 1.
      count: how many people.
      known: (n,), whether the image's person is known; if not, it is a person of its own.
      weight: (n,), how many images each stands for (contract.INCLUSION_WEIGHT); None where each
        stands for itself.
    """

    codes: NDArray[np.int64]
    count: int
    known: Mask
    weight: Floats | None = None

    @property
    def unit(self) -> Literal["people", "images"]:
        """What the intervals take as independent."""
        return "people" if self.known.any() else "images"

    def of(self, rows: NDArray[Any]) -> People:
        """Returns the people of some of the images; `rows` is a mask or indices."""
        codes, again = np.unique(self.codes[rows], return_inverse=True)
        weight = None if self.weight is None else self.weight[rows]
        return People(again.astype(np.int64), len(codes), self.known[rows], weight)

    @property
    def alone(self) -> bool:
        """Whether images are independent and alike: one a person, each standing for itself."""
        return self.weight is None and self.count == len(self.codes)

    @property
    def weights(self) -> Floats:
        """How many images each stands for, (n,)."""
        return np.ones(len(self.codes)) if self.weight is None else self.weight


def people(
    identity: ArrayLike | pd.Series[Any] | None, images: int, weight: Floats | None = None
) -> People:
    """Returns whose images they are.

    Args:
      identity: (n,), any values; NaN or None where unknown; None if nothing is known.
      images: n.
      weight: see People.
    """
    if identity is None:
        return People(np.arange(images), images, np.zeros(images, np.bool_), weight)
    codes = pd.factorize(np.asarray(identity), use_na_sentinel=True)[0].astype(np.int64)
    known = codes >= 0
    first, alone = int(codes.max(initial=-1)) + 1, int((~known).sum())
    codes[~known] = first + np.arange(alone)
    return People(codes, first + alone, known, weight)


def people_of(table: pd.DataFrame) -> People:
    """Returns whose images a table of predictions holds; see `people`."""
    drawn = table.get(contract.INCLUSION_WEIGHT)
    weight = None if drawn is None or drawn.isna().all() else drawn.fillna(1.0).to_numpy(np.float64)
    return people(table.get(contract.IDENTITY), len(table), weight)


@dataclass(frozen=True, eq=False)
class Rates:
    """Rates of images, and what the people behind them are worth; arrays of one shape, (m,).

    Attributes:
      value: successes / trials; NaN without trials.
      trials: images.
      effective: trials divided by the design effect.
      degrees: of freedom of that estimate; infinite where every person has one image.
      people: with at least one trial.
    """

    value: Floats
    trials: Floats
    effective: Floats
    degrees: Floats
    people: Floats

    def interval(self, z: ArrayLike = Z95) -> Interval:
        """Returns Wilson's score interval at the effective size.

        Args:
          z: normal critical value, see `intervals.critical`; Student's follows from it.
        """
        t = student(z, self.degrees)
        found = intervals.wilson(self.value * self.effective, self.effective, t)
        # Exactly 0 and 1 where nothing or everything was a success, despite rounding.
        low = np.where(self.value == 0, 0.0, found.low)
        return Interval(self.value, low, np.where(self.value == 1, 1.0, found.high))

    def __getitem__(self, chosen: Any) -> Rates:
        """Returns some of the rates."""
        return Rates(*(getattr(self, f.name)[chosen] for f in fields(self)))


@dataclass(frozen=True, eq=False)
class Differences:
    """Rates a - b of two groups; `correlation`, (m,), is that of the two estimates."""

    a: Rates
    b: Rates
    correlation: Floats

    def interval(self, z: ArrayLike = Z95) -> Interval:
        """Returns the interval of a - b, from those of a and b.

        MOVER for correlated estimates (Zou 2007, Psychological Methods 12:399); where no person is
        in both groups, it is Newcombe's method 10.
        """
        a, b, r = self.a.interval(z), self.b.interval(z), self.correlation
        below_a, above_a = a.value - a.low, a.high - a.value
        below_b, above_b = b.value - b.low, b.high - b.value
        delta = a.value - b.value
        low = below_a**2 + above_b**2 - 2 * r * below_a * above_b
        high = above_a**2 + below_b**2 - 2 * r * above_a * below_b
        low, high = (np.sqrt(np.maximum(bound, 0)) for bound in (low, high))
        return Interval(delta, delta - low, delta + high)

    def __getitem__(self, chosen: Any) -> Differences:
        """Returns some of the differences."""
        return Differences(self.a[chosen], self.b[chosen], self.correlation[chosen])


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rates a - b on the same images; arrays of one shape, (m,).

    Attributes:
      only_a, only_b: share of the images in which only a, or only b, is true.
      trials, effective, degrees, people: as in Rates.
    """

    only_a: Floats
    only_b: Floats
    trials: Floats
    effective: Floats
    degrees: Floats
    people: Floats

    def interval(self, z: ArrayLike = Z95) -> Interval:
        """Returns the interval of a - b.

        Agresti & Min 2005 (Stat. Med. 24:729): Wald's with half an image added to each cell of the
        table, so that it keeps a width where both agree everywhere.
        """
        n, t = self.effective, student(z, self.degrees)
        delta = self.only_a - self.only_b
        a, b = ((share * n + 0.5) / (n + 2) for share in (self.only_a, self.only_b))
        half = t * np.sqrt((a + b - (a - b) ** 2) / (n + 2))
        low, high = np.maximum(a - b - half, -1), np.minimum(a - b + half, 1)
        return Interval(delta, np.minimum(low, delta), np.maximum(high, delta))

    def __getitem__(self, chosen: Any) -> Pairs:
        """Returns some of the differences."""
        return Pairs(*(getattr(self, f.name)[chosen] for f in fields(self)))


def student(z: ArrayLike, degrees: ArrayLike) -> Floats:
    """Returns Student's critical value at the level of a normal one."""
    z, degrees = np.broadcast_arrays(np.asarray(z, float), np.asarray(degrees, float))
    # Beyond 12 (p = 1e-33) its quantile function runs out of digits; it must still rise with z.
    inside, finite = np.minimum(z, 12.0), np.isfinite(degrees)
    t = -np.asarray(stdtrit(np.where(finite, degrees, 1.0), ndtr(-inside)), np.float64)
    return np.where(finite, t + (z - inside), z)


def rates(events: Sequence[Event], whose: People) -> Rates:
    """Returns the rates of events of the same images."""
    found = [_estimate(event.astype(np.float64), domain, whose) for event, domain in events]
    return _as_rates(found)


def rate(
    event: ArrayLike, whose: People, domain: ArrayLike | None = None, z: ArrayLike = Z95
) -> Interval:
    """Returns the interval of one rate: `event` and `domain` (None: all images) as in Event."""
    happened = np.asarray(event, np.bool_)
    where = np.ones(len(happened), np.bool_) if domain is None else np.asarray(domain, np.bool_)
    return Interval(*(bound[0] for bound in rates([(happened, where)], whose).interval(z)))


def differences(events: Sequence[tuple[Event, Event]], whose: People) -> Differences:
    """Returns rates a - b; people in both domains make the two correlated."""
    first = [_estimate(a[0].astype(np.float64), a[1], whose) for a, _ in events]
    second = [_estimate(b[0].astype(np.float64), b[1], whose) for _, b in events]
    correlation = []
    for a, b in zip(first, second, strict=True):
        scale = np.sqrt((a.residuals @ a.residuals) * (b.residuals @ b.residuals))
        correlation.append(float(a.residuals @ b.residuals / scale) if scale else 0.0)
    return Differences(_as_rates(first), _as_rates(second), np.array(correlation, np.float64))


def pairs(events: Sequence[tuple[Mask, Mask, Mask]], whose: People) -> Pairs:
    """Returns differences on the same images.

    Args:
      events: (a, b, domain), each (n,): in which images of the domain a and b are true.
      whose: the images' people.
    """
    rows = []
    for a, b, domain in events:
        found = _estimate(a.astype(np.float64) - b, domain, whose)
        weight = whose.weights
        n = weight[domain].sum() or 1.0
        shares = (weight[a & ~b & domain].sum() / n, weight[b & ~a & domain].sum() / n)
        rows.append((*shares, found.trials, found.effective, found.degrees, found.people))
    return Pairs(*np.array(rows, np.float64).reshape(-1, 6).T)


def mcnemar(a: Mask, b: Mask, whose: People) -> float:
    """Returns the two-sided p-value that a and b are true equally often; a and b are (n,).

    Exact (McNemar 1947, binomial form) where images are independent; else between people, who may
    have several discordant images (Durkalski et al. 2003, Stat. Med. 22:2417).
    """
    if whose.alone:
        return intervals.mcnemar(int(np.sum(a & ~b)), int(np.sum(b & ~a)))
    surplus = np.bincount(
        whose.codes, (a.astype(np.float64) - b) * whose.weights, minlength=whose.count
    )
    spread = float(np.sqrt(surplus @ surplus))
    return float(2 * ndtr(-abs(surplus.sum()) / spread)) if spread else 1.0


class _Estimate(NamedTuple):
    """Of one mean; `residuals` of each person, (people.count,), 0 without trials."""

    value: float
    trials: int
    effective: float
    degrees: float
    people: int
    residuals: Floats


def _estimate(values: Floats, domain: Mask, whose: People) -> _Estimate:
    """Returns the mean of the values, (n,), over the domain; see the module."""
    codes = whose.codes[domain]
    # How many images each person has; reweighted ones add up to as many as there are.
    n, weight = len(codes), whose.weights[domain]
    weight = weight * (n / weight.sum()) if n else weight
    trials = np.bincount(codes, weight, minlength=whose.count).astype(np.float64, copy=False)
    there = int((trials > 0).sum())
    if not n:
        return _Estimate(np.nan, 0, 0.0, np.inf, 0, trials)
    inside = values[domain]
    mean = float(inside @ weight) / n
    independent = float(np.square(inside) @ weight) / n - mean**2
    residuals = np.bincount(codes, inside * weight, minlength=whose.count) - mean * trials
    if n == there and whose.weight is None:
        return _Estimate(mean, n, float(n), np.inf, there, residuals)
    kish = n**2 / float(trials @ trials)
    if there == 1 or independent <= 1e-12:
        # No difference between people to be seen: they count once each (Kish's effective number).
        return _Estimate(mean, n, kish, max(kish - 1, _FEWEST_DEGREES), there, residuals)
    residuals /= 1 - trials / n
    square = np.square(residuals)
    total = float(square.sum())
    variance = (there - 1) / there * total / n
    design_effect = max(variance / independent, 1.0)
    effective = n / design_effect
    by_chance = _spread_of_squares(inside - mean, trials) / design_effect**2
    degrees = _degrees(square, there, kish, by_chance)
    return _Estimate(mean, n, effective, degrees, there, residuals)


def _spread_of_squares(deviations: Floats, trials: Floats) -> float:
    """Returns the relative variance of the sum of people's squared residuals, images independent.

    A person's residual is then a sum of `trials` deviations, whose fourth moment is
    n m4 + 3 n (n - 1) m2**2. Of a variance that is a design effect times as large, independent
    images make the share 1 / design effect, so that this relative variance counts by its square.

    Args:
      deviations: of the images from their mean, not all 0.
      trials: images of each person.
    """
    square = np.square(deviations)
    m2, m4 = float(square.mean()), float((square @ square) / len(square))
    n, n2 = float(trials.sum()), float(trials @ trials)
    return (n * m4 + (2 * n2 - 3 * n) * m2**2) / (n * m2) ** 2


def _degrees(square: Floats, people: int, kish: float, by_chance: float = 0.0) -> float:
    """Returns the degrees of freedom of a sum of squared residuals, by their kurtosis.

    Args:
      square: squared residuals; only those of `people` people are not 0.
      people: how many.
      kish: effective number of people of one size.
      by_chance: part of the sum's relative variance that is no error of the design effect.
    """
    total = float(square.sum())
    relative = float(square @ square) / total**2 - 1 / people if total else np.inf
    relative -= by_chance
    degrees = 2 / relative if relative > 0 else np.inf
    return max(min(degrees, kish - 1), _FEWEST_DEGREES)


def degrees_of(influence: Floats, whose: People) -> float:
    """Returns the degrees of freedom of an estimate to whose error images add up.

    Args:
      influence: of each image on the estimate, (n,); see `bootstrap.Ranking.influence`.
      whose: the images' people; infinite where each image is a person's only one.
    """
    if whose.alone:
        return float(np.inf)
    of_people = np.bincount(whose.codes, influence)
    return _degrees(np.square(of_people), whose.count, people_of_one_size(whose))


def people_of_one_size(whose: People) -> float:
    """Returns how many people with equally many images would tell as much (Kish 1965)."""
    sizes = np.bincount(whose.codes, whose.weights)
    return float(sizes.sum() ** 2 / (sizes @ sizes))


def _as_rates(found: Sequence[_Estimate]) -> Rates:
    columns = np.array([each[:5] for each in found], np.float64).reshape(-1, 5).T
    return Rates(*columns)
