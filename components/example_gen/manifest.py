"""What the manifest's files hold.

In: the data set, sample, configuration, what was set aside. Out: file name -> text.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.example_gen import artifacts
from components.example_gen.groups import group_codes, group_names
from components.example_gen.partial import NotThere
from components.example_gen.sampling import Sample, SamplingConfig
from data import contract
from data.celeba.copies import Copies
from data.celeba.index import Index
from data.several import by_problem


@dataclass(frozen=True)
class SetAside:
    """One image or annotation line that was not used.

    Attributes:
      image_id: file name.
      where: file (and line), folder or zip.
      problem: what is wrong.
    """

    image_id: str
    where: str
    problem: str


def dead_letter(set_aside: Sequence[SetAside]) -> str:
    """Returns the dead-letter file."""
    # Not dataclasses.astuple, which copies deeply: seconds for a copy that lacks most images.
    rows = [(s.image_id, s.where, s.problem) for s in set_aside]
    return _csv(("image_id", "where", "problem"), rows)


def manifest_files(
    copies: Copies,
    sample: Sample,
    config: SamplingConfig,
    label: contract.Label,
    set_aside: Sequence[SetAside],
    not_there: NotThere | None = None,
) -> dict[str, str]:
    """Returns file name -> text; the same bytes for the same sample on any machine.

    Args:
      copies: the data set.
      sample: what was drawn of it.
      config: how.
      label: what is learnt.
      set_aside: images and annotations that could not be used.
      not_there: of a partial copy, what is missing; None otherwise.
    """
    index = copies.index
    values = index.attribute(label.attribute)
    identity = index.identity
    lines = [
        (
            index.ids[row].decode(),
            split,
            int(values[row]),
            "" if identity is None else int(identity[row]),
        )
        for split, rows in sample.rows.items()
        for row in rows
    ]
    table = _csv(("image_id", "split", "label", "identity"), lines)
    counts = _counts(index, sample, config.balance_by or (label.attribute,))
    root = copies.root.rstrip("/") + "/"
    listed = hashlib.sha256(b"\n".join(copies.image_names)).hexdigest()
    content = {
        "seed": config.seed,
        "synthetic": copies.synthetic,
        "label": dataclasses.asdict(label),
        "sampling": dataclasses.asdict(config),
        "layout": copies.name,
        "annotated_images": len(index),
        "counts": counts,
        "identities": {
            split: 0 if identity is None else len(np.unique(identity[rows]))
            for split, rows in sample.rows.items()
        },
        "smaller_than_asked": sample.smaller,
        "splits_warning": sample.warning,
        "notes": tuple(note.replace(root, "") for note in index.notes),
        "set_aside": len(set_aside),
        "test_natural": {
            "images": len(sample.rows[contract.TEST_NATURAL]),
            "of": sample.natural_of,
            "reweighted": sample.natural_weights is not None,
        }
        if sample.natural_of
        else None,
        "partial": None
        if not_there is None
        else {"there": not_there.there, "unannotated": len(not_there.unannotated)},
        "sha256": {
            **{path.removeprefix(root): digest for path, digest in index.sha256.items()},
            "image names, sorted, one a line": listed,
            artifacts.MANIFEST_CSV: hashlib.sha256(table.encode()).hexdigest(),
        },
    }
    texts = {
        artifacts.MANIFEST_CSV: table,
        artifacts.MANIFEST_JSON: json.dumps(content, indent=2, sort_keys=True) + "\n",
        artifacts.SUMMARY: _summary(content, counts, config, set_aside, not_there),
        artifacts.DEAD_LETTER: dead_letter(set_aside),
    }
    return texts if not_there is None else {**texts, artifacts.PARTIAL: not_there.csv()}


def _counts(index: Index, sample: Sample, by: Sequence[str]) -> dict[str, dict[str, int]]:
    """Returns split -> joint value -> number of images."""
    codes = group_codes(index, by)
    names = group_names(by)
    return {
        split: {name: int(np.count_nonzero(codes[rows] == code)) for code, name in enumerate(names)}
        for split, rows in sample.rows.items()
    }


def _summary(
    content: dict[str, object],
    counts: dict[str, dict[str, int]],
    config: SamplingConfig,
    set_aside: Sequence[SetAside],
    not_there: NotThere | None,
) -> str:
    groups = list(next(iter(counts.values())))
    balanced = ", ".join(config.balance_by) or "nothing (natural distribution)"
    if config.even_over:
        balanced += f"; train evened out over {', '.join(config.even_over)}"
    lines = [
        "# Sampling manifest",
        "",
        f"Layout: {content['layout']}; {content['annotated_images']} annotated images. "
        f"Balanced over {balanced}; splits: {config.splits}; seed {config.seed}.",
        "",
        f"| split | {' | '.join(groups)} | all |",
        f"|---|{'---:|' * (len(groups) + 1)}",
        *(
            f"| {split} | {' | '.join(str(n) for n in by.values())} | {sum(by.values())} |"
            for split, by in counts.items()
        ),
        "",
        *(f"Fewer than asked for: {note}." for note in _strings(content["smaller_than_asked"])),
        *_drawn(content["test_natural"]),
        *([] if not_there is None else [f"{not_there} (see {artifacts.PARTIAL})."]),
        *([str(content["splits_warning"])] if content["splits_warning"] else []),
        *_strings(content["notes"]),
        f"Set aside: {len(set_aside)}" + (f" (see {artifacts.DEAD_LETTER})." if set_aside else "."),
        *(f"- {line}" for line in by_problem((s.image_id, s.problem) for s in set_aside)),
    ]
    return "\n".join(lines) + "\n"


def _drawn(natural: object) -> list[str]:
    """Returns what is to be said of a part of the test partition."""
    if not isinstance(natural, dict) or not natural["reweighted"]:
        return []
    return [
        f"{contract.TEST_NATURAL}: {natural['images']:,} of {natural['of']:,} images of the test "
        "partition; groups that are rare are full, and figures are reweighted to the whole "
        f"({contract.INCLUSION_WEIGHT})."
    ]


def _strings(value: object) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
