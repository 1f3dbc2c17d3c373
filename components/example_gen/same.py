"""Whether files that have other times than before hold the same: a copy of a data set does.

In: an artifact with examples, and the settings and place of today. Out: yes, if a new run would
write the same bytes. Exact, and costs what reading the images of the sample costs; images that the
sample leaves out are not read. Asked only where times changed and sizes did not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import tensorflow as tf

from components.example_gen.executor import Request, located
from components.example_gen.partial import allowed_sampling
from components.example_gen.sampling import draw
from components.example_gen.shards import ShardTask, examples, plan_shards
from data.errors import GenqError

SETTINGS: Final = ("sampling", "faults", "label", "shards", "window", "spans", "groups", "code")
"""Execution properties that decide about the examples, besides the files."""


def writes_the_same(examples_uri: str, properties: Mapping[str, Any]) -> bool:
    """Returns whether example-gen would write what is there already.

    Args:
      examples_uri: of an artifact that it wrote with the same SETTINGS.
      properties: of the execution; `input_base` names the files.
    """
    try:
        return all(_same(task) for task in _tasks(examples_uri, properties))
    except (GenqError, OSError, tf.errors.OpError):
        # Whatever is wrong with the files, the executor says it.
        return False


def _tasks(examples_uri: str, properties: Mapping[str, Any]) -> list[ShardTask]:
    """Returns what the executor would do first, were no image damaged."""
    asked = Request.read(properties)
    sampling, copies = asked.sampling, asked.copies
    place, _ = located(copies)
    if asked.faults.partial:
        sampling, _ = allowed_sampling(copies.index, sampling, place >= 0)
    sample = draw(copies.index, sampling, place >= 0, asked.groups)
    return plan_shards(
        copies,
        place,
        sample,
        split_uris={split: f"{examples_uri}/Split-{split}" for split in sample.rows},
        report_uri="",
        shards=asked.shards,
        label=asked.label.attribute,
        max_bad=0,
    )


def _same(task: ShardTask) -> bool:
    bad: list[tuple[str, str]] = []
    written = tf.data.TFRecordDataset(task.output).as_numpy_iterator()
    same = all(a == next(written, None) for a in examples(task, bad, []))
    return same and not bad and next(written, None) is None
