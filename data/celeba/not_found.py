"""Why a folder holds no copy of CelebA: what is there instead, and what to type.

In: the folder that was named. Out: a DataError. People have a folder a class, archives that are not
unpacked, and attribute files under other names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from shlex import quote
from typing import Final

from data import contract, files
from data.celeba.kinds import SPLIT_WORDS
from data.celeba.layouts import ANNOTATION_FOLDERS, ATTRIBUTES, DEPTH, IMAGE_SUFFIXES
from data.errors import DataError


def nothing_found(root: str) -> DataError:
    """Returns the error for a folder without a copy: what it holds instead, and what to do."""
    names = files.list_names(root) or files.list_folders(root)
    if not names:
        return DataError(
            f"{root}: there is no such folder, or it is empty.",
            "Give the folder that holds CelebA's files. `genq data fetch` obtains them; "
            "`genq data synthesize` draws a look-alike.",
        )
    for place in (root, *(files.join(root, n) for n in sorted(files.list_folders(root))[:_MOST])):
        if (found := _recognised(place)) is not None:
            return found
    places = ", ".join(
        f"{folder}/{ATTRIBUTES}.{suffix}".lstrip("/")
        for folder in ANNOTATION_FOLDERS
        for suffix in ("txt", "csv")
    )
    return DataError(
        f"{root}: no attribute file, here or up to {DEPTH} folders down. Looked for {places}, "
        f"*.zip with such a file, *.parquet and *.tfrecord; found {', '.join(sorted(names)[:6])}.",
        "Put CelebA's attribute file there, or give the folder that holds it.",
    )


def _recognised(root: str) -> DataError | None:
    """Returns the error for what people have in place of a copy, or None."""
    names = files.list_names(root)
    if (found := _folder_a_class(root)) is not None:
        return found
    if (found := packed(root, names)) is not None:
        return found
    for name in sorted(names):
        if name.lower().endswith((".xlsx", ".xls", ".ods", ".json", ".jsonl", ".tsv")):
            return DataError(
                f"{root}: no attribute file ({ATTRIBUTES}.txt or .csv), but {name}, which genq "
                "does not read.",
                f"If that is the table of the images, save it as {ATTRIBUTES}.csv there.",
            )
        if _is_attribute_table(root, name):
            new = f"{ATTRIBUTES}.{name.rpartition('.')[2].lower()}"
            return DataError(
                f"{root}: no attribute file ({ATTRIBUTES}.txt or .csv); {name} looks like one.",
                f"Give it the name: mv {quote(files.join(root, name))} "
                f"{quote(files.join(root, new))}",
            )
    return None


def _class_folders(root: str) -> list[str]:
    """Returns the folders in a folder that hold images."""
    return sorted(
        name
        for name in files.list_folders(root)
        if any(n.lower().endswith(IMAGE_SUFFIXES) for n in files.list_names(files.join(root, name)))
    )


def _folder_a_class(root: str) -> DataError | None:
    """Returns the error for a folder a class, also below train, val and test; None for another."""
    classes, splits = _class_folders(root), [""]
    if len(classes) < 2:
        below = {name: _class_folders(files.join(root, name)) for name in files.list_folders(root)}
        splits = sorted(name for name in below if name.lower() in SPLIT_WORDS and below[name])
        classes = sorted({name for split in splits for name in below[split]})
    if len(classes) < 2:
        return None
    # What is called so is Male=1; of others the first.
    called = [name for name in classes if name.lower() in ("male", "man", "men", "m")]
    one = called[0] if len(called) == 1 else classes[0]
    other = next(name for name in classes if name != one)
    heading = "image_id,Male" + (",partition" if splits != [""] else "")
    lines = [
        (f"{split}/{name}" if split else name, f"{value},{split}" if split else f"{value}")
        for split in splits
        for name, value in ((one, 1), (other, 0))
    ]
    # In quotes: file names may hold commas.
    printed = "; ".join(
        f"printf '\"%s\",{values}\\n' {quote(folder)}/*" for folder, values in lines
    )
    copy = f"{root}-celeba"
    return DataError(
        f"{root}: no attribute file ({ATTRIBUTES}.txt or .csv), but {len(classes)} folders "
        f"with images ({', '.join(classes[:5])}): a folder a class.",
        f"Write a table of them and import it. If {one} is what Male=1 means, and {other} "
        f"what Male=0 means:\n  (cd {quote(root)}; echo {heading}; {printed}) > labels.csv\n"
        f"  genq data import {quote(root)} labels.csv {quote(copy)}   "
        "# 178x218 crops: add --aligned\n"
        f"  genq run --data {quote(copy)}",
    )


_MOST: Final = 20
"""So many folders are looked into for it."""
_UNPACK: Final = {
    ".7z": "7z x {path} -o{folder}",
    ".7z.001": "7z x {path} -o{folder}",
    ".tar": "tar -xf {path} -C {folder}",
    ".tar.gz": "tar -xzf {path} -C {folder}",
    ".tgz": "tar -xzf {path} -C {folder}",
    ".rar": "unrar x {path} {folder}/",
    ".txt.gz": "gunzip {path}",
    ".csv.gz": "gunzip {path}",
}


def packed(root: str, names: Iterable[str]) -> DataError | None:
    """Returns the error for an archive that genq does not open, with how to unpack it, or None."""
    for name in sorted(names):
        for suffix in sorted(_UNPACK, key=len, reverse=True):
            if name.lower().endswith(suffix):
                place = next(
                    p
                    for sub in ("", "Img")
                    if files.exists(p := files.join((files.join(root, sub) if sub else root), name))
                    or sub
                )
                command = _UNPACK[suffix].format(
                    path=quote(place), folder=quote(place.rpartition("/")[0])
                )
                return DataError(
                    f"{root}: {name} is packed in a way that genq does not read; it reads zips.",
                    f"Unpack it: {command}",
                )
    return None


def _is_attribute_table(root: str, name: str) -> bool:
    """Returns whether a file of another name begins as an attribute file does."""
    if not name.lower().endswith((".txt", ".csv")) or files.is_remote(root):
        return False
    with files.open_seekable(files.join(root, name)) as file:
        head = file.read(8192).decode(errors="replace")
    words = set(re.split(r"[^\w]+", " ".join(head.splitlines()[:2])))
    return len(words & set(contract.ATTRIBUTES)) > 1 or {"image_id", contract.MALE} <= words
