"""Images that are there twice, and people whose labels contradict each other.

In: a folder or URI. Out: an Audit, a table for people, and ids to leave out. Reads every image.

- Exact duplicates: the same bytes (SHA-256).
- Near-duplicates: perceptual hashes (pHash of `imagehash`, 64 bit) that differ in at most
  NEAR_BITS bits. A hint and no proof; listed only where they cross splits, where they matter.
- Contradictions: one identity with both values of the label. Some are slips of the annotators, some
  are wrong identities; nobody's sex is decided here.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

import imagehash
import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from data import contract
from data.celeba.images import ZipEntries, list_images, locate, read_images
from data.celeba.index import Index, load_index
from data.errors import ImageError
from data.several import SHOWN, some

NEAR_BITS: Final = 3
"""Four bands of 16 bits: two hashes that differ in at most 3 bits agree in one band at least."""
_CHUNK = 500


@dataclass(frozen=True)
class Contradiction:
    """One identity with both values of the label.

    Attributes:
      negative, positive: ids of the images with each value.
    """

    identity: int
    negative: tuple[str, ...]
    positive: tuple[str, ...]

    @property
    def minority(self) -> tuple[str, ...]:
        """The images to doubt: the rarer value, or all if neither is."""
        if len(self.negative) == len(self.positive):
            return self.negative + self.positive
        return min(self.negative, self.positive, key=len)


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
      exact: groups of ids with the same bytes.
      near: pairs of ids that look alike and are in different splits.
      split_of: id -> split, for the ids above; empty without a partition file.
      contradictions: see Contradiction.
      label: whose values contradict each other.
      unreadable: ids of images that are missing or damaged; `genq data inspect` says more.
    """

    exact: tuple[tuple[str, ...], ...]
    near: tuple[tuple[str, str], ...]
    split_of: dict[str, str]
    contradictions: tuple[Contradiction, ...]
    missing: tuple[str, ...]
    unreadable: tuple[str, ...]
    label: contract.Label

    @property
    def exact_across_splits(self) -> tuple[tuple[str, ...], ...]:
        """The exact duplicates that leak from one split into another."""
        return tuple(g for g in self.exact if len({self.split_of.get(i) for i in g}) > 1)

    def leave_out(self, *, near: bool = True, contradictions: bool = True) -> tuple[str, ...]:
        """Returns the ids to leave out.

        Of duplicates the copy in the last of train, val, test stays, so that the official test
        set stays as it is.
        """
        rank: dict[str, int] = {split: n for n, split in enumerate(contract.SPLITS)}
        groups: list[Sequence[str]] = [*self.exact, *(self.near if near else ())]
        ids: set[str] = set()
        for group in groups:
            left = [i for i in group if i not in ids]
            keep = max(left, key=lambda i: (rank.get(self.split_of.get(i, ""), 0), i), default="")
            ids.update(i for i in left if i != keep)
        if contradictions:
            ids.update(i for c in self.contradictions for i in c.minority)
        return tuple(sorted(ids))


def audit(
    root: str,
    *,
    label: contract.Label | None = None,
    on_images: Callable[[int], None] = lambda n: None,
) -> Audit:
    """Audits a copy of CelebA, on all cores.

    Args:
      root: folder or URI.
      label: of which contradictions are looked for; None is Male.
      on_images: told how many more images are done.

    Raises:
      DataError: as data.celeba.index.load_index and data.celeba.images.list_images.
    """
    layout, index = load_index(root)
    listing = list_images(layout)
    place, _ = locate(index.ids, listing)
    rows = np.flatnonzero(place >= 0)
    chunks = [rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)]
    jobs = [
        (
            listing.path,
            index.ids[chunk].tolist(),
            None if listing.entries is None else listing.entries.take(place[chunk]),
        )
        for chunk in chunks
    ]
    fingerprints: list[tuple[str, int] | None] = []
    # Not fork: the caller may have threads.
    with concurrent.futures.ProcessPoolExecutor(
        max_workers=min(os.cpu_count() or 1, max(1, len(jobs))), mp_context=get_context("spawn")
    ) as pool:
        for result in pool.map(_fingerprints, jobs):
            fingerprints += result
            on_images(len(result))
    good = np.array([f is not None for f in fingerprints], np.bool_)
    found = [f for f in fingerprints if f is not None]
    sound = index.take(rows[good])
    exact = exact_groups(sound.ids.tolist(), [sha for sha, _ in found])
    near = near_pairs(np.array([p for _, p in found], np.uint64), sound.partition)
    ids = [i.decode() for i in sound.ids.tolist()]
    pairs = tuple((ids[a], ids[b]) for a, b in near if found[a][0] != found[b][0])
    named = {i for group in (*exact, *pairs) for i in group}
    split_of = (
        {}
        if sound.partition is None
        else {
            i: contract.SPLITS[s]
            for i, s in zip(ids, sound.partition.tolist(), strict=True)
            if i in named
        }
    )
    label = label or contract.Label()
    return Audit(
        exact,
        pairs,
        split_of,
        contradictions(index, label.attribute),
        tuple(i.decode() for i in index.ids[place < 0].tolist()),
        tuple(sorted(i.decode() for i in index.ids[rows[~good]].tolist())),
        label,
    )


def _fingerprints(
    job: tuple[str, list[bytes], ZipEntries | None],
) -> list[tuple[str, int] | None]:
    """Returns SHA-256 and perceptual hash of each image; None where it cannot be read."""
    return [_fingerprint(image) for image in read_images(*job)]


def _fingerprint(image: bytes | ImageError) -> tuple[str, int] | None:
    if isinstance(image, ImageError):
        return None
    try:
        with Image.open(io.BytesIO(image)) as opened:
            opened.draft("L", (64, 64))
            perceptual = int(str(imagehash.phash(opened)), 16)
    except OSError:
        return None
    return hashlib.sha256(image).hexdigest(), perceptual


def exact_groups(ids: Iterable[bytes], sha256: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Returns groups of two or more ids with one digest, sorted."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for image_id, digest in zip(ids, sha256, strict=True):
        groups[digest].append(image_id.decode())
    return tuple(sorted(tuple(sorted(g)) for g in groups.values() if len(g) > 1))


def near_pairs(
    hashes: NDArray[np.uint64], partition: NDArray[np.int8] | None
) -> list[tuple[int, int]]:
    """Returns pairs of rows whose hashes differ in at most NEAR_BITS bits, in different splits.

    Compares only hashes that agree in one of four bands of 16 bits, which misses none.
    """
    if partition is None:
        return []
    pairs: set[tuple[int, int]] = set()
    for shift in range(0, 64, 16):
        band = (hashes >> np.uint64(shift)) & np.uint64(0xFFFF)
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order])) + 1
        for bucket in np.split(order, starts):
            for split in contract.SPLITS[:-1]:
                number = contract.SPLITS.index(split)
                a = bucket[partition[bucket] == number]
                b = bucket[partition[bucket] > number]
                if not len(a) or not len(b):
                    continue
                for row in a:
                    bits = np.bitwise_count(hashes[row] ^ hashes[b])
                    pairs.update((int(row), int(other)) for other in b[bits <= NEAR_BITS])
    return sorted(pairs)


def contradictions(index: Index, attribute: str = contract.MALE) -> tuple[Contradiction, ...]:
    """Returns the identities with both values of the label; none without identities."""
    if index.identity is None:
        return ()
    label = index.attribute(attribute)
    people, inverse = np.unique(index.identity, return_inverse=True)
    positives = np.bincount(inverse, weights=label)
    mixed = np.flatnonzero((positives > 0) & (positives < np.bincount(inverse)))
    order = np.argsort(inverse, kind="stable")
    bounds = np.searchsorted(inverse[order], np.stack([mixed, mixed + 1]))
    result = []
    for person, start, end in zip(people[mixed], *bounds, strict=True):
        rows = np.sort(order[start:end])
        groups = [
            tuple(i.decode() for i in index.ids[rows[label[rows] == value]]) for value in (0, 1)
        ]
        result.append(Contradiction(int(person), groups[0], groups[1]))
    return tuple(result)


def leave_out_yaml(ids: Sequence[str]) -> str:
    """Returns a configuration file for `genq run --config` that leaves the ids out."""
    return yaml.safe_dump({"sampling": {"leave_out": list(ids)}}, default_flow_style=False)


def render(found: Audit, console: Console, *, shown: int = SHOWN) -> None:
    """Prints the audit: of each kind a count and `shown` examples."""
    console.print(
        f"Exact duplicates: {len(found.exact)} groups, {len(found.exact_across_splits)} of them "
        "across splits"
    )
    for group in itertools.islice(found.exact, shown):
        console.print("  " + ", ".join(_with_split(i, found) for i in group), soft_wrap=True)
    console.print(f"Near-duplicates across splits: {len(found.near)} pairs")
    for pair in found.near[:shown]:
        console.print("  " + ", ".join(_with_split(i, found) for i in pair), soft_wrap=True)
    console.print(
        f"Identities with both values of {found.label.attribute}: {len(found.contradictions)}"
    )
    for c in found.contradictions[:shown]:
        negative, positive = found.label.names
        console.print(
            f"  identity {c.identity}: {len(c.negative)} {negative}, {len(c.positive)} {positive}; "
            f"doubtful: {', '.join(c.minority[:5])}",
            soft_wrap=True,
        )
    if found.missing:
        console.print(
            f"Annotated images that are not there: {len(found.missing):,}: "
            f"{some(found.missing, shown)}",
            soft_wrap=True,
        )
    console.print(f"Unreadable images: {len(found.unreadable):,}")
    if found.unreadable:
        console.print(f"  {some(found.unreadable, shown)}", soft_wrap=True)
    console.print(
        "To list all: --leave-out FILE (what to leave out), and "
        "`genq data inspect --check-images --problems FILE`.",
        soft_wrap=True,
    )


def _with_split(image_id: str, found: Audit) -> str:
    split = found.split_of.get(image_id)
    return f"{image_id} ({split})" if split else image_id
