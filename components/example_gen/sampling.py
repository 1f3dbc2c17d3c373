"""Which images a run uses: pure functions on the annotation index; no image is read.

In: an Index, a SamplingConfig, the images that are there. Out: a Sample: rows of the index for each
split, in the order in which they are written.

Everything follows from one hash of (seed, image id), so the answer does not depend on the order of
rows, the number of workers or the platform. Within a split and a group of equal attributes, the
images with the smallest hashes are taken; shares are apportioned by a house-monotone method. So a
larger sample of the same seed holds all of a smaller one.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from components.example_gen.groups import Rows, group_codes, group_names, inclusion
from data import contract
from data.celeba.index import Index
from data.errors import ConfigError, SamplingError


@dataclass(frozen=True)
class SamplingConfig:
    """What to draw.

    Attributes:
      seed: of the hash.
      balance_by: attributes whose joint values get the same number of images in every split;
        empty keeps the natural distribution.
      even_over: attributes whose joint values get as equal numbers of training images as there are,
        within each group of balance_by, so that the model learns less from what merely goes with
        the label. Those that the data set lacks are left out. val and test keep their mixture.
      weights: instead of equal shares, one for each joint value in counting order: for
        ("Male", "Young") those are 00, 01, 10, 11. Empty means equal.
      total: images of train, val and test together; None takes as many as balance allows.
      train, val, test: images of one split; overrides what `total` gives it.
      split_fractions: shares of train, val and test in `total`, and of identities in
        "identity_hash".
      allow_smaller: take what there is where a class has too few, rather than raise.
      splits: "official" follows list_eval_partition.txt; "identity_hash" makes identity-disjoint
        splits of its own; "random" deals the images out, whoever they show. Without a partition
        "official" becomes "identity_hash", and without identities "random", with a warning.
      test_natural: add a split with the whole test partition, unbalanced.
      test_natural_images: about how many of that partition are drawn, for evaluation within a time:
        seconds times the images a second that model-scorer's log shows. Groups of
        evaluation.slices that are rare are taken whole, the others share what is left, and figures
        are reweighted to the whole partition. None takes all of it.
      leave_out: image ids never to use, e.g. what `genq data audit` found.
    """

    seed: int = 0
    balance_by: tuple[str, ...] = (contract.MALE,)
    even_over: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    total: int | None = None
    train: int | None = None
    val: int | None = None
    test: int | None = None
    split_fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    allow_smaller: bool = False
    splits: Literal["official", "identity_hash", "random"] = "official"
    test_natural: bool = False
    test_natural_images: int | None = None
    leave_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ConfigError with the bad value and what is accepted."""
        for field in ("balance_by", "even_over"):
            names = getattr(self, field)
            for name in names:
                if name not in contract.ATTRIBUTES:
                    raise ConfigError(
                        f"sampling.{field} names {name!r}, which is not one of CelebA's 40 "
                        "attributes.",
                        f"Use names of data/contract.py: {', '.join(contract.ATTRIBUTES)}.",
                    )
            if len(set(names)) != len(names) or len(names) > 4:
                raise ConfigError(
                    f"sampling.{field} is {names!r}; accepted: up to 4 different names."
                )
        if self.splits not in ("official", "identity_hash", "random"):
            raise ConfigError(
                f"sampling.splits is {self.splits!r}; accepted: official, identity_hash, random."
            )
        fractions = self.split_fractions
        if len(fractions) != 3 or min(fractions) <= 0 or not math.isclose(sum(fractions), 1):
            raise ConfigError(
                f"sampling.split_fractions is {fractions!r}; accepted: three positive shares "
                "that add up to 1."
            )
        if self.test_natural_images is not None and (
            self.test_natural_images < 1 or not self.test_natural
        ):
            raise ConfigError(
                f"sampling.test_natural_images is {self.test_natural_images!r}, and "
                f"sampling.test_natural is {self.test_natural!r}; accepted: 1 or more, beside "
                "sampling.test_natural=true."
            )
        if self.weights and (len(self.weights) != self.groups or min(self.weights) <= 0):
            raise ConfigError(
                f"sampling.weights is {self.weights!r}; accepted: {self.groups} positive "
                f"numbers, one for each joint value of {', '.join(self.balance_by) or 'nothing'}."
            )
        for field in ("total", *contract.SPLITS):
            size = getattr(self, field)
            if size is not None and (size < self.groups or (size % self.groups and self.exact)):
                raise ConfigError(
                    f"sampling.{field} is {size!r}; accepted: a positive multiple of "
                    f"{self.groups}, so that every class gets the same number."
                )

    @property
    def groups(self) -> int:
        """Number of joint values of balance_by."""
        return int(2 ** len(self.balance_by))

    @property
    def exact(self) -> bool:
        """Whether all groups get the same number."""
        return not self.weights


@dataclass(frozen=True)
class FaultConfig:
    """How much may be wrong with the data before a run stops.

    Attributes:
      max_bad_annotations: lines of annotation files that may be set aside; default none.
      max_bad_image_fraction: share of the images that may be set aside: missing, damaged, of the
        wrong kind, or without annotation. They are listed in the dead-letter file.
      partial: the copy holds some of the annotated images only, which is no fault: the sample is
        drawn from those that are there, and smaller where they are too few; the others are listed
        in partial.csv. Where the official partition leaves a split without images of a class,
        people are divided anew by `identity_hash`.
    """

    max_bad_annotations: int = 0
    max_bad_image_fraction: float = 0.001
    partial: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError with the bad value and what is accepted."""
        if self.max_bad_annotations < 0:
            raise ConfigError(
                f"data.faults.max_bad_annotations is {self.max_bad_annotations!r}; "
                "accepted: 0 or more."
            )
        if not 0 <= self.max_bad_image_fraction <= 1:
            raise ConfigError(
                f"data.faults.max_bad_image_fraction is {self.max_bad_image_fraction!r}; "
                "accepted: 0 to 1."
            )


@dataclass(frozen=True)
class Sample:
    """The rows of the index to write.

    Attributes:
      rows: split -> row numbers, shuffled by hash.
      smaller: one sentence for each split that got fewer than asked for (allow_smaller).
      warning: what the splits cost the figures, or "".
      natural_weights: how many images of the test partition each row of test_natural stands for,
        (n,); None where all were taken.
      natural_of: images of the test partition, of which test_natural was drawn; 0 without it.
    """

    rows: dict[str, Rows]
    smaller: tuple[str, ...] = ()
    warning: str = ""
    natural_weights: NDArray[np.float64] | None = None
    natural_of: int = 0


RANDOM_SPLITS: Final = (
    "The images are dealt out to train, val and test at random: photos of one person may be in two "
    "splits. A model then recognises people, and measured accuracy is higher than it will be on "
    "people it has not seen. A partition (train, val, test) or an identity for each image prevents "
    "that."
)
NO_PARTITION: Final = (
    "There is no partition: splits are made of the identities, so that no person is in two."
)


def hashes(seed: int, ids: Sequence[bytes] | NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """Returns a uniform 64-bit number for each id: BLAKE2b of the id, keyed with the seed."""
    key = str(seed).encode()
    digests = b"".join(hashlib.blake2b(i, digest_size=8, key=key).digest() for i in ids)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def draw(
    index: Index,
    config: SamplingConfig,
    usable: NDArray[np.bool_] | None = None,
    groups: Sequence[Sequence[str]] = (),
) -> Sample:
    """Draws the sample.

    Args:
      index: the annotations.
      config: what to draw.
      usable: bool, (n,): rows whose image is there and sound; None means all.
      groups: attributes whose joint values are to be full in test_natural_images.

    Raises:
      SamplingError: if the data set lacks what the configuration needs, has too few of a class, or
        an identity lies in two splits.
    """
    usable = np.ones(len(index), np.bool_) if usable is None else usable
    if config.leave_out:
        usable = usable & ~np.isin(index.ids, np.array(config.leave_out, "S"))
    split_of, warning = assign_splits(index, config)
    rank = hashes(config.seed, index.ids)
    group = group_codes(index, config.balance_by)
    stratum = group_codes(index, [n for n in config.even_over if n in index.annotated])
    counts = np.array(
        [
            [
                np.count_nonzero(usable & (split_of == s) & (group == g))
                for g in range(config.groups)
            ]
            for s in range(len(contract.SPLITS))
        ]
    )  # (splits, groups)
    quotas, smaller = _quotas(counts, config)
    # Sorted by hash, ties (never seen) by id: the order in which examples are written, too.
    order = np.lexsort((index.ids, rank))
    order = order[usable[order]]
    rows: dict[str, Rows] = {}
    for s, split in enumerate(contract.SPLITS):
        in_split = order[split_of[order] == s]
        chosen = np.zeros(len(in_split), np.bool_)
        for g in range(config.groups):
            members = np.flatnonzero(group[in_split] == g)
            if split == "train":
                members = _in_turn(members, stratum[in_split[members]])
            chosen[members[: quotas[s][g]]] = True
        rows[split] = in_split[chosen]
    if config.splits != "random":
        check_identities(index, rows)
    if not config.test_natural:
        return Sample(rows, smaller, warning)
    partition = order[split_of[order] == contract.SPLITS.index("test")]
    rows[contract.TEST_NATURAL], weights = partition, None
    if config.test_natural_images is not None and config.test_natural_images < len(partition):
        chance = inclusion(index, partition, groups, config.test_natural_images)
        drawn = rank[partition] / float(2**64) < chance
        rows[contract.TEST_NATURAL], weights = partition[drawn], 1 / chance[drawn]
    return Sample(rows, smaller, warning, weights, len(partition))


def assign_splits(index: Index, config: SamplingConfig) -> tuple[NDArray[np.int8], str]:
    """Returns the index into contract.SPLITS of each row, (n,), and what is to be said about it.

    Raises:
      SamplingError: if identities are asked for by name, and the data set has none.
    """
    if config.splits == "official" and index.partition is not None:
        return index.partition, ""
    if config.splits == "identity_hash" and index.identity is None:
        raise SamplingError(
            "sampling.splits is identity_hash, but the data set has no identities.",
            "Add identity_CelebA.txt (a line for each image: file name, number of the person), or "
            "leave the setting out: sampling.splits=official takes the partition, or deals the "
            "images out at random where there is none.",
        )
    bounds = np.cumsum(config.split_fractions)[:2]
    if index.identity is None or config.splits == "random":
        uniform = hashes(config.seed, [b"split " + i for i in index.ids.tolist()]) / float(2**64)
        dealt: NDArray[np.int8] = np.searchsorted(bounds, uniform, side="right").astype(np.int8)
        return dealt, RANDOM_SPLITS
    people, inverse = np.unique(index.identity, return_inverse=True)
    uniform = hashes(config.seed, [b"identity %d" % p for p in people]) / float(2**64)
    assigned: NDArray[np.int8] = np.searchsorted(bounds, uniform, side="right").astype(np.int8)
    return assigned[inverse], NO_PARTITION if config.splits == "official" else ""


def _in_turn(members: Rows, stratum: NDArray[np.int64]) -> Rows:
    """Returns the members so that the first n hold as equal numbers of each stratum as there are.

    First the first of every stratum, then the second of each that has one, and so on.
    """
    place = np.zeros(len(members), np.int64)
    for value in np.unique(stratum):
        place[stratum == value] = np.arange(np.count_nonzero(stratum == value))
    ordered: Rows = members[np.argsort(place, kind="stable")]
    return ordered


def apportion(size: int, weights: Sequence[float]) -> list[int]:
    """Divides `size` seats by Webster's method (Sainte-Lague): never fewer seats for a larger size.

    Largest remainders would be simpler but can take a seat away as the house grows (the Alabama
    paradox), and then a grown sample would lose images.
    """
    # Party i gets its k-th seat at the k-th smallest of (k + 1/2) / weight; ties go to the first.
    most = [min(size, math.ceil(size * w / sum(weights)) + 1) for w in weights]
    when = np.concatenate([(np.arange(m) + 0.5) / w for m, w in zip(most, weights, strict=True)])
    party = np.repeat(np.arange(len(weights)), most)
    first = np.lexsort((party, when))[:size]
    return [int(c) for c in np.bincount(party[first], minlength=len(weights))]


def _quotas(
    counts: NDArray[np.int64], config: SamplingConfig
) -> tuple[list[list[int]], tuple[str, ...]]:
    """Returns how many images of each split and group to take, and what had to be smaller."""
    wanted: list[int | None] = [None, None, None]
    if config.total is not None:
        # In units of one image a class, so that every split can be balanced.
        unit = config.groups if config.exact else 1
        shares = apportion(config.total // unit, config.split_fractions)
        wanted = [share * unit for share in shares]
    wanted = [
        w if own is None else own
        for w, own in zip(wanted, (config.train, config.val, config.test), strict=True)
    ]
    quotas, lacking, notes = [], [], []
    for split, available, size in zip(contract.SPLITS, counts, wanted, strict=True):
        largest = _largest(available, config)
        if size is not None and size > largest:
            notes.append(
                f"{split}: {size} asked for, {largest} possible; there are "
                + ", ".join(
                    f"{count} of {name}"
                    for count, name in zip(available, group_names(config.balance_by), strict=True)
                )
            )
            lacking.append(split)
        quotas.append(_divide(largest if size is None else min(size, largest), config))
    if lacking and not config.allow_smaller:
        raise SamplingError(
            "Too few images of a class. " + ". ".join(notes) + ".",
            f"{_possible_total(counts, config)} Or take what there is: "
            "sampling.allow_smaller=true.",
        )
    empty = [s for s, quota in zip(contract.SPLITS, quotas, strict=True) if not sum(quota)]
    if empty:
        names = group_names(config.balance_by)
        table = "; ".join(
            f"{split}: " + ", ".join(f"{c} of {n}" for c, n in zip(row, names, strict=True))
            for split, row in zip(contract.SPLITS, counts, strict=True)
        )
        raise SamplingError(
            f"Nothing can be drawn for {', '.join(empty)}. There are {table}.",
            "Give a data set with more images, or balance over fewer attributes.",
        )
    return quotas, tuple(notes)


def _possible_total(counts: NDArray[np.int64], config: SamplingConfig) -> str:
    """Returns a sentence with the largest balanced size."""
    largest = [_largest(available, config) for available in counts]
    if config.total is None:
        each = ", ".join(f"{s}={n}" for s, n in zip(contract.SPLITS, largest, strict=True))
        return f"Largest possible: {each}."
    unit = config.groups if config.exact else 1
    low, high = 0, config.total // unit
    while low < high:
        middle = (low + high + 1) // 2
        fits = all(
            share * unit <= most
            for share, most in zip(apportion(middle, config.split_fractions), largest, strict=True)
        )
        low, high = (middle, high) if fits else (low, middle - 1)
    return f"Largest possible with these split_fractions: sampling.total={low * unit}."


def _divide(size: int, config: SamplingConfig) -> list[int]:
    return apportion(size, config.weights or (1.0,) * config.groups)


def _largest(available: NDArray[np.int64], config: SamplingConfig) -> int:
    """Returns the largest sample of one split whose shares are as configured."""
    if config.exact:
        return int(available.min()) * config.groups
    weights = np.array(config.weights) / sum(config.weights)
    size = int((available / weights).min()) + config.groups
    while any(q > a for q, a in zip(_divide(size, config), available, strict=True)):
        size -= 1
    return size


def check_identities(index: Index, rows: dict[str, Rows]) -> None:
    """Raises SamplingError if a person is in two splits."""
    if index.identity is None:
        return
    for (a, rows_a), (b, rows_b) in itertools.combinations(rows.items(), 2):
        both = np.intersect1d(index.identity[rows_a], index.identity[rows_b])
        if len(both):
            example = [
                index.ids[r[index.identity[r] == both[0]][0]].decode() for r in (rows_a, rows_b)
            ]
            raise SamplingError(
                f"{len(both)} identities are in both {a} and {b}, e.g. {both[0]} with "
                f"{example[0]} and {example[1]}.",
                "The partition file does not keep people apart; make splits by identity: "
                "sampling.splits=identity_hash.",
            )
