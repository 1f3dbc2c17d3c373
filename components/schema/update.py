"""A proposal to change the curated schema, as a diff that a person reviews.

In: data/schema.pbtxt and the statistics of a run. Out: a unified diff, empty when the data agree
with the schema. Nothing is written: the schema says what the data should be, and widening it is a
decision.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import v1 as _tfx  # noqa: F401  # before TFDV: design.md §3.1

import tensorflow_data_validation as tfdv  # isort: skip

from data.errors import ConfigError, DataError


def propose(schema_file: Path, statistics_folder: Path) -> str:
    """Returns the diff between the schema and one that accepts all that the statistics hold.

    Comments of the file are not part of the comparison.

    Args:
      schema_file: text format.
      statistics_folder: an ExampleStatistics artifact: `Split-*/FeatureStats.pb`.

    Raises:
      DataError: if there are no statistics.
      ConfigError: if the schema cannot be read.
    """
    files = sorted(statistics_folder.glob("Split-*/FeatureStats.pb"))
    if not files:
        raise DataError(
            f"{statistics_folder}: no Split-*/FeatureStats.pb.",
            "Give the output folder of statistics-gen, e.g. "
            "runs/demo/pipeline/statistics-gen/statistics/2.",
        )
    try:
        before = text_format.Parse(schema_file.read_text(), schema_pb2.Schema())
    except (OSError, text_format.ParseError) as error:
        raise ConfigError(f"{schema_file}: not a schema: {error}") from error
    after = before
    for file in files:
        statistics = tfdv.load_stats_binary(str(file))
        after = tfdv.update_schema(after, statistics)
    return "".join(
        difflib.unified_diff(
            _lines(before), _lines(after), str(schema_file), f"{schema_file} (proposed)"
        )
    )


def _lines(schema: schema_pb2.Schema) -> list[str]:
    return text_format.MessageToString(schema).splitlines(keepends=True)
