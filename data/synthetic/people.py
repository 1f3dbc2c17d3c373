"""Who is on which image, and with which attributes; nothing is drawn here.

In: a SyntheticConfig. Out: one Photo an image. Every random number is a function of (seed, what it
is for), so a Photo depends neither on the number of images nor on the process that asks.

The attributes are a Gaussian copula: each has a standard normal latent, partly the person's, partly
the image's, partly of a factor that several attributes share (age, build, joy, style). The
attribute is 1 where the latent lies below the quantile of its rate given Male, so the rates hold
exactly in expectation, whatever the correlations. Attributes that exclude each other share one
latent; kinds of beard are drawn given that there is a beard.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import NormalDist
from typing import Final

import numpy as np

from data import contract
from data.synthetic.config import SyntheticConfig

OPEN_PEOPLE: Final = 24
"""So many people take turns, which scatters a person's images over the numbers as in CelebA, and
gives even a small look-alike several people a partition."""
MAX_IMAGES_PER_PERSON: Final = 35
_NORMAL: Final = NormalDist()

FACTORS: Final = {"style": 0.5, "build": 0.95, "joy": 0.15, "age": 0.95}
"""Factor -> share of its variance that is the person's; the rest changes from image to image."""

LOADINGS: Final[dict[str, dict[str, float]]] = {
    "Arched_Eyebrows": {"style": 0.5},
    "Attractive": {"style": 0.5, "build": -0.3, "age": -0.3},
    "Bags_Under_Eyes": {"age": 0.5},
    "Big_Nose": {"build": 0.4},
    "Chubby": {"build": 0.8},
    "Double_Chin": {"build": 0.8, "age": 0.3},
    "Eyeglasses": {"age": 0.3},
    "Heavy_Makeup": {"style": 0.8, "age": -0.35},
    "High_Cheekbones": {"joy": 0.7},
    "Mouth_Slightly_Open": {"joy": 0.6},
    "Narrow_Eyes": {"joy": 0.4},
    "Oval_Face": {"build": -0.4},
    "Pointy_Nose": {"build": -0.4},
    "Rosy_Cheeks": {"style": 0.4, "joy": 0.3},
    "Smiling": {"joy": 0.8},
    "Wearing_Earrings": {"style": 0.4},
    "Wearing_Lipstick": {"style": 0.8, "age": -0.35},
    "Wearing_Necklace": {"style": 0.3},
    "Young": {"age": -0.85},
    # Latents of groups; see HAIR and TOP.
    "hair": {"age": -0.6},
    "top": {"age": 0.2},
}
"""Attribute -> correlation of its latent with each factor; the rest is its own."""

PERSONAL: Final[dict[str, float]] = {
    "Arched_Eyebrows": 0.7,
    "Attractive": 0.8,
    "Bags_Under_Eyes": 0.6,
    "Blurry": 0.0,
    "Bushy_Eyebrows": 0.85,
    "Eyeglasses": 0.5,
    "Heavy_Makeup": 0.4,
    "High_Cheekbones": 0.6,
    "Mouth_Slightly_Open": 0.05,
    "Narrow_Eyes": 0.6,
    "Rosy_Cheeks": 0.2,
    "Smiling": 0.1,
    "Wearing_Earrings": 0.3,
    "Wearing_Lipstick": 0.4,
    "Wearing_Necklace": 0.2,
    "Wearing_Necktie": 0.3,
    "hair": 0.9,
    "texture": 0.7,
    "top": 0.5,
    "beard": 0.75,
}
"""Attribute -> share of its own latent that is the person's; DEFAULT_PERSONAL for the others."""
DEFAULT_PERSONAL: Final = 0.9

HAIR: Final = ("Bald", "Gray_Hair", "Black_Hair", "Brown_Hair", "Blond_Hair")
"""One at most; age pulls towards the first."""
TEXTURE: Final = ("Straight_Hair", "Wavy_Hair")
TOP: Final = ("Receding_Hairline", "Wearing_Hat", "Bangs")
"""One at most of each group; nobody bald has one of TEXTURE, a receding hairline or bangs."""
BEARDS: Final = ("5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns")
"""Only without No_Beard."""
_GROUPED: Final = {*HAIR, *TEXTURE, *TOP, *BEARDS, "No_Beard", contract.MALE}


@dataclass(frozen=True)
class Photo:
    """One image before it is drawn.

    Attributes:
      number: counted from 1; the file name is `000001.jpg`.
      identity: of the person, counted from 1.
      partition: index into contract.SPLITS.
      attributes: the attributes that are 1.
    """

    number: int
    identity: int
    partition: int
    attributes: frozenset[str]

    @property
    def image_id(self) -> str:
        """Name of the file."""
        return f"{self.number:06d}.jpg"


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Returns random numbers that depend on the seed and the purpose only."""
    digest = hashlib.blake2b(repr(purpose).encode(), digest_size=16, key=str(seed).encode())
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest.digest(), "little")))


def uniform(seed: int, *purpose: str | int) -> float:
    """Returns one number in [0, 1) that depends on the seed and the purpose only."""
    digest = hashlib.blake2b(repr(purpose).encode(), digest_size=8, key=str(seed).encode())
    return int.from_bytes(digest.digest(), "little") / 2**64


@cache
def rates() -> dict[str, tuple[float, float, float]]:
    """Returns attribute -> (rate given female, rate given male, rate over all)."""
    text = files("data").joinpath("celeba_attribute_rates.csv").read_text()
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {
        row["attribute"]: (
            float(row["rate_given_female"]),
            float(row["rate_given_male"]),
            float(row["rate"]),
        )
        for row in rows
    }


@dataclass
class _Open:
    """A person who has images left."""

    identity: int
    male: bool
    partition: int
    left: int


def _people(config: SyntheticConfig) -> Iterator[_Open]:
    """Yields people in order, without end.

    Partition and Male go where most is lacking so far, so that both keep their shares even in a
    small look-alike, and a person never depends on those who come later.
    """
    male_rate = rates()[contract.MALE][2]
    images = [0, 0, 0]
    males = [0, 0, 0]
    identity = 0
    while True:
        identity += 1
        # Skewed to few images: more people for the same number of images than CelebA has.
        size = 1 + int(MAX_IMAGES_PER_PERSON * uniform(config.seed, "size", identity) ** 7)
        total = sum(images) + size
        lacking = [f * total - n for f, n in zip(config.partition_fractions, images, strict=True)]
        partition = lacking.index(max(lacking))
        images[partition] += size
        lacking_males = male_rate * images[partition] - males[partition]
        male = lacking_males > size * uniform(config.seed, "male", identity)
        males[partition] += size * male
        yield _Open(identity, male, partition, size)


def photos(config: SyntheticConfig) -> list[Photo]:
    """Returns all images in the order of their numbers; labels are not shuffled yet."""
    people = _people(config)
    taking_turns = [next(people) for _ in range(OPEN_PEOPLE)]
    result = []
    for number in range(1, config.num_images + 1):
        turn = int(OPEN_PEOPLE * uniform(config.seed, "turn", number))
        person = taking_turns[turn]
        attributes = draw_attributes(config.seed, person.identity, number, person.male)
        result.append(Photo(number, person.identity, person.partition, attributes))
        person.left -= 1
        if not person.left:
            taking_turns[turn] = next(people)
    return result


_LATENTS: Final = (*contract.ATTRIBUTES, "hair", "texture", "top", "beard")


def draw_attributes(seed: int, identity: int, number: int, male: bool) -> frozenset[str]:
    """Returns the attributes that are 1 on one image of a person."""
    size = len(_LATENTS) + len(FACTORS)
    own = _person_latents(seed, identity)
    here = generator(seed, "attributes", number).standard_normal(size)
    factors = {
        name: share**0.5 * own[i] + (1 - share) ** 0.5 * here[i]
        for i, (name, share) in enumerate(FACTORS.items(), start=len(_LATENTS))
    }

    def quantile(name: str) -> float:
        """Where the latent lies in its distribution: uniform in (0, 1)."""
        i = _LATENTS.index(name)
        share = PERSONAL.get(name, DEFAULT_PERSONAL)
        loadings = LOADINGS.get(name, {})
        rest = 1 - sum(loading**2 for loading in loadings.values())
        latent = rest**0.5 * (share**0.5 * own[i] + (1 - share) ** 0.5 * here[i])
        # Minus: low quantiles have the attribute, and a large factor is to make it likelier.
        latent -= sum(loading * factors[factor] for factor, loading in loadings.items())
        return _NORMAL.cdf(float(latent))

    def rate(name: str) -> float:
        return rates()[name][male]

    def one_of(group: str, names: tuple[str, ...], share: float) -> set[str]:
        """Draws one of the names, or none, given that `share` of all may have one."""
        at = quantile(group)
        for name in names:
            at -= rate(name) / share
            if at < 0:
                return {name}
        return set()

    found = {contract.MALE} if male else set()
    found |= {n for n in contract.ATTRIBUTES if n not in _GROUPED and quantile(n) < rate(n)}
    hair = one_of("hair", HAIR, 1)
    found |= hair
    if "Bald" in hair:
        found |= {"Wearing_Hat"} if quantile("top") < rate("Wearing_Hat") else set()
    else:
        # The hat's rate is the same with and without hair.
        with_hair = 1 - rate("Bald")
        found |= one_of("texture", TEXTURE, with_hair)
        at = quantile("top")
        for name in TOP:
            at -= rate(name) / (1 if name == "Wearing_Hat" else with_hair)
            if at < 0:
                found.add(name)
                break
    bearded = 1 - rate("No_Beard")
    if quantile("beard") < bearded:
        found |= {n for n in BEARDS if quantile(n) < rate(n) / bearded}
    else:
        found.add("No_Beard")
    return frozenset(found)


@cache
def _person_latents(seed: int, identity: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Returns the person's part of every latent and factor."""
    return generator(seed, "person", identity).standard_normal(len(_LATENTS) + len(FACTORS))


def shuffled_labels(config: SyntheticConfig, everyone: list[Photo]) -> list[Photo]:
    """Returns the photos with Male permuted among those of each partition."""
    label = contract.MALE
    result = list(everyone)
    for partition in range(len(contract.SPLITS)):
        rows = [i for i, p in enumerate(everyone) if p.partition == partition]
        order = generator(config.seed, "shuffle", partition).permutation(len(rows))
        for row, other in zip(rows, order.tolist(), strict=True):
            photo, source = everyone[row], everyone[rows[other]]
            attributes = photo.attributes - {label} | (source.attributes & {label})
            result[row] = Photo(photo.number, photo.identity, photo.partition, attributes)
    return result
