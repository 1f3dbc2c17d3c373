"""What a copy of CelebA holds: counts, rates, missing parts, problems.

In: a root folder or URI. Out: an Inspection, and a table for people. Reads the annotation files and
lists the images; with `check_images`, reads every image as well.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data import contract
from data.celeba.convert import aligned_jpeg
from data.celeba.images import Listing, list_images, locate, read_images
from data.celeba.index import Index, index_of
from data.celeba.layouts import find_layout
from data.errors import DataError, ImageError
from data.several import SHOWN, alike


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
      layout: its name, e.g. "official folders, images in a zip".
      annotated: rows of the attribute file.
      images: image files.
      identities: different people; None without identities.
      split_sizes: split -> rows; empty without a partition file.
      rates: attribute -> column -> share of rows with value 1; columns are "all", the two labels
        ("female", "male") and the splits.
      missing_parts: optional files that the copy lacks.
      duplicates: groups of images with the same bytes; None unless images were read.
      problems: one sentence each; empty when all is well.
      missing, unannotated: annotated images that are not there, and images without annotation.
      notes: what was assumed where a file is not as the authors wrote it.
    """

    root: str
    layout: str
    annotated: int
    images: int
    identities: int | None
    split_sizes: dict[str, int]
    rates: dict[str, dict[str, float]]
    missing_parts: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...] | None
    problems: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unannotated: tuple[str, ...] = ()

    def listing(self) -> str:
        """Returns all there is to list, one a line."""
        lines = [*self.problems, *(f"{name}: the image is missing" for name in self.missing)]
        lines += [f"{name}: the image has no annotation" for name in self.unannotated]
        return "".join(f"{line}\n" for line in lines)

    notes: tuple[str, ...] = ()


def inspect(
    root: str, *, check_images: bool = False, label: contract.Label | None = None
) -> Inspection:
    """Looks at a copy of CelebA.

    Faults of single lines and images are listed under `problems`, not raised.

    Args:
      root: folder or URI.
      check_images: read every image (minutes for all of CelebA over a network) and check that it
        is the JPEG it should be, and whether another has the same bytes.
      label: by which rates are told apart; None is Male.

    Raises:
      DataError: if there is nothing to look at: no attribute file, no images, or not readable.
      AnnotationError: if an annotation file cannot be understood as a whole.
    """
    layout = find_layout(root)
    # All bad lines are listed, however many.
    index = index_of(layout, max_faults=2**31)
    listing = list_images(layout)
    place, unannotated = locate(index.ids, listing)
    missing = index.ids[place < 0]
    problems = [str(f) for f in index.faults]
    if len(missing):
        problems.append(
            f"{layout.images}: {len(missing):,} annotated images are missing, e.g. "
            f"{', '.join(i.decode() for i in missing[:SHOWN].tolist())}. Where that is on purpose: "
            "`genq run --partial`."
        )
    if unannotated:
        problems.append(
            f"{layout.attributes}: {len(unannotated):,} images have no annotation, e.g. "
            f"{', '.join(i.decode() for i in unannotated[:SHOWN])}."
        )
    problems += _shared_identities(index)
    duplicates = None
    if check_images:
        bad, duplicates = _read_all(listing)
        problems += bad
    groups = _groups(index, label or contract.Label())
    return Inspection(
        root=root,
        layout=layout.name,
        annotated=len(index),
        images=len(listing.names),
        identities=None if index.identity is None else len(np.unique(index.identity)),
        split_sizes={s: int(groups[s].sum()) for s in contract.SPLITS if s in groups},
        rates={
            name: {
                group: float(index.attribute(name)[rows].mean())
                for group, rows in groups.items()
                if rows.any()
            }
            for name in index.annotated
        },
        missing_parts=layout.missing_parts,
        duplicates=duplicates,
        problems=tuple(problems),
        missing=tuple(i.decode() for i in missing.tolist()),
        unannotated=tuple(name.decode() for name in unannotated),
        notes=index.notes,
    )


def _groups(
    index: Index, label: contract.Label
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    positive = index.attribute(label.attribute) == 1
    negative_name, positive_name = label.names
    groups = {
        "all": np.ones(len(index), np.bool_),
        negative_name: ~positive,
        positive_name: positive,
    }
    if index.partition is not None:
        groups |= {s: index.partition == i for i, s in enumerate(contract.SPLITS)}
    return groups


def _shared_identities(index: Index) -> list[str]:
    if index.identity is None or index.partition is None:
        return []
    pairs = np.unique(np.stack([index.identity, index.partition.astype(np.int32)]), axis=1)
    people, counts = np.unique(pairs[0], return_counts=True)
    shared = people[counts > 1]
    if not len(shared):
        return []
    return [f"{len(shared)} identities are in more than one partition, e.g. {shared[0]}."]


def _read_all(listing: Listing) -> tuple[list[str], tuple[tuple[str, ...], ...]]:
    """Reads every image once; returns the problems, and the groups with the same bytes."""
    from data.celeba.audit import exact_groups  # imagehash and SciPy take two seconds to load

    problems, sound, digests = [], [], []
    ids = listing.names.tolist()
    for image_id, image in zip(ids, read_images(listing.path, ids, listing.entries), strict=True):
        try:
            if isinstance(image, ImageError):
                raise image
            aligned_jpeg(image)
        except DataError as error:
            problems.append(f"{listing.path}: {image_id.decode()}: {error.problem}.")
            continue
        sound.append(image_id)
        digests.append(hashlib.sha256(image).hexdigest())
    return problems, exact_groups(sound, digests)


def render(inspection: Inspection, console: Console, *, listed: Path | None = None) -> None:
    """Prints the inspection; `listed` is a file that holds all problems."""
    people = "unknown" if inspection.identities is None else f"{inspection.identities:,}"
    console.print(f"[bold]{escape(inspection.root)}[/bold]: {inspection.layout}", soft_wrap=True)
    console.print(
        f"{inspection.annotated:,} annotated images, {inspection.images:,} image files, "
        f"{people} identities"
    )
    sizes = ", ".join(f"{split} {n:,}" for split, n in inspection.split_sizes.items())
    console.print(f"Official partition: {sizes or 'none'}")
    for note in inspection.notes:
        console.print(escape(note), soft_wrap=True, style="yellow")
    if inspection.missing_parts:
        console.print(f"Not in this copy: {', '.join(inspection.missing_parts)}")
    if inspection.duplicates is None:
        console.print("Images were listed, not read; --check-images reads every one.")
    else:
        groups = inspection.duplicates
        example = f", e.g. {', '.join(groups[0][:3])}" if groups else ""
        console.print(
            f"Groups of images with the same bytes: {len(groups)}{example}. `genq data audit` "
            "looks for near-duplicates, too.",
            soft_wrap=True,
        )
    columns = list(next(iter(inspection.rates.values())))
    table = Table(title="Attribute rates, %", title_justify="left")
    table.add_column("attribute")
    for column in columns:
        table.add_column(column, justify="right")
    for name, rates in inspection.rates.items():
        table.add_row(name, *(f"{100 * rates[c]:.1f}" for c in columns))
    console.print(table)
    if not inspection.problems:
        console.print("[green]No problems found.[/green]")
        return
    console.print(f"[bold red]{len(inspection.problems):,} problems:[/bold red]")
    kinds = alike(inspection.problems)
    for group in kinds:
        for problem in group[:SHOWN]:
            console.print(f"  {escape(problem)}", soft_wrap=True)
        if len(group) > SHOWN:
            console.print(f"  and {len(group) - SHOWN:,} more of this kind")
    if listed is not None:
        console.print(f"All are in {escape(str(listed))}.", soft_wrap=True)
    elif max(len(g) for g in (*kinds, inspection.missing, inspection.unannotated)) > SHOWN:
        console.print("To list all of them: --problems FILE.")
