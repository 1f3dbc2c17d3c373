"""One copy of CelebA, or several spans of it that are read as one.

In: roots. Out: Copies: one index over all, and where the images of each are. In a window of spans
an image's id is `<span>/<file name>`: file names repeat from span to span. Identities do not: the
same number is the same person, in whichever span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data import files
from data.celeba.images import Listing, list_images, locate
from data.celeba.index import Index, index_of
from data.celeba.kinds import Fault
from data.celeba.layouts import Layout, find_layout
from data.celeba.tables import check_limit
from data.errors import DataError
from data.synthetic.config import STAMP

_OPTIONAL: Final = ("partition", "identity", "landmarks")


@dataclass(frozen=True)
class Copies:
    """What is read as one data set.

    Attributes:
      root: folder or URI.
      layouts, listings: of each copy.
      prefixes: what each copy's ids begin with; b"" where there is one copy.
      index: of all; rows of one copy stand together.
      source: int64, (n,): which copy each row of the index is of.
    """

    root: str
    layouts: tuple[Layout, ...]
    listings: tuple[Listing, ...]
    prefixes: tuple[bytes, ...]
    index: Index
    source: NDArray[np.int64]

    @property
    def name(self) -> str:
        """How the data are arranged, for people."""
        kinds = ", ".join(dict.fromkeys(layout.name for layout in self.layouts))
        if len(self.layouts) == 1:
            return kinds
        spans = [prefix.decode().rstrip("/") for prefix in self.prefixes]
        return f"{len(spans)} spans, {spans[0]} to {spans[-1]}: {kinds}"

    @property
    def synthetic(self) -> bool:
        """Whether all of it was drawn by `data.synthetic`, whose stamp lies beside it."""
        return all(files.exists(files.join(each.root, STAMP)) for each in self.layouts)

    @property
    def image_names(self) -> list[bytes]:
        """All image files, as ids name them, sorted."""
        return sorted(
            prefix + name
            for prefix, listing in zip(self.prefixes, self.listings, strict=True)
            for name in listing.names.tolist()
        )

    def locate(self) -> tuple[NDArray[np.int64], list[tuple[bytes, str]]]:
        """Finds the image of each annotation.

        Returns:
          place: int64, (n,): row of its copy's listing; -1 where it is missing.
          unannotated: id of each image that the index does not have, and its attribute file.
        """
        place = np.empty(len(self.index), np.int64)
        unannotated: list[tuple[bytes, str]] = []
        for copy, (prefix, listing) in enumerate(zip(self.prefixes, self.listings, strict=True)):
            rows = self.source == copy
            place[rows], names = locate(without(self.index.ids[rows], prefix), listing)
            unannotated += [(prefix + name, self.layouts[copy].attributes) for name in names]
        return place, unannotated


def without(ids: NDArray[np.bytes_], prefix: bytes) -> NDArray[np.bytes_]:
    """Returns file names: ids without what they all begin with."""
    return np.array([i[len(prefix) :] for i in ids.tolist()], "S") if prefix else ids


def load_copies(root: str, spans: Sequence[str] = (), *, max_faults: int = 0) -> Copies:
    """Reads annotations and lists images.

    Args:
      root: of the one copy, or of the spans.
      spans: names of the spans to read as one, oldest first; none means that `root` is the copy.
      max_faults: how many bad annotation lines are set aside at most, over all files.

    Raises:
      DataError: if something is missing or cannot be read, or one span has a file that another
        lacks.
      AnnotationError: names file, line and field of what is wrong.
    """
    roots = [files.join(root, name) for name in spans] or [root]
    prefixes = tuple(f"{name}/".encode() for name in spans) or (b"",)
    layouts = tuple(find_layout(each) for each in roots)
    for part in _OPTIONAL:
        has = [getattr(layout, part) is not None for layout in layouts]
        if any(has) and not all(has):
            raise DataError(
                f"{roots[has.index(True)]} has a file for {part}, "
                f"{roots[has.index(False)]} has none; read as one, all need it or none.",
                "Add the file, or set data.window=1.",
            )
    indexes = [index_of(layout, max_faults=max_faults) for layout in layouts]
    faults = [
        replace(fault, image_id=prefix.decode() + fault.image_id)
        for prefix, index in zip(prefixes, indexes, strict=True)
        for fault in index.faults
    ]
    check_limit(faults, max_faults)
    return Copies(
        root=root,
        layouts=layouts,
        listings=tuple(list_images(layout) for layout in layouts),
        prefixes=prefixes,
        index=_joined(indexes, prefixes, tuple(faults)),
        source=np.repeat(np.arange(len(indexes)), [len(index) for index in indexes]),
    )


def _joined(
    indexes: Sequence[Index], prefixes: Sequence[bytes], faults: tuple[Fault, ...]
) -> Index:
    if len(indexes) == 1:
        return indexes[0]

    def optional(name: str) -> Any:
        parts = [getattr(index, name) for index in indexes]
        return None if parts[0] is None else np.concatenate(parts)

    return Index(
        ids=np.concatenate(
            [
                np.char.add(prefix, index.ids)
                for prefix, index in zip(prefixes, indexes, strict=True)
            ]
        ),
        attributes=np.concatenate([index.attributes for index in indexes]),
        sha256={path: digest for index in indexes for path, digest in index.sha256.items()},
        faults=faults,
        partition=optional("partition"),
        identity=optional("identity"),
        landmarks=optional("landmarks"),
        groups={
            name: np.concatenate([index.groups[name] for index in indexes])
            for name in indexes[0].groups
            if all(name in index.groups for index in indexes)
        },
        notes=tuple(note for index in indexes for note in index.notes),
        annotated=tuple(
            name
            for name in indexes[0].annotated
            if all(name in index.annotated for index in indexes)
        ),
    )
