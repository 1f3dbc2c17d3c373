"""The node `model-scorer`: one pass of the network over a split, and everybody reads the result.

In: examples, the candidate, optionally the latest blessed model. Out: `predictions` (Parquet, see
table.py) and `scored_examples`: the same rows as tf.Examples without images, which TFMA reads in
place of running the networks again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import apache_beam as beam
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from apache_beam.io import parquetio
from apache_beam.metrics import MetricsFilter
from apache_beam.utils.shared import Shared
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import (
    Artifact,
    artifact_utils,
    standard_artifacts,
)
from tfx.utils import io_utils, path_utils

from components.evaluation.config import QUALITIES
from components.example_gen.encoding import Value, features
from components.node import Node
from components.predictions import scoring, table
from components.predictions.artifacts import Predictions
from data import contract
from data.errors import DataError


class Executor(base_beam_executor.BaseBeamExecutor):  # type: ignore[misc]  # TFX ships no types
    """Unpacks the artifacts, runs Beam, merges its shards."""

    def Do(  # noqa: N802  # TFX's name
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Scores the splits.

        Raises:
          DataError: if an example or a model is not what it should be.
        """
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        splits = artifact_utils.decode_split_names(examples.split_names)
        scored = [s for s in json.loads(exec_properties["splits"]) if s in splits]
        if contract.TEST_NATURAL in splits:
            scored.append(contract.TEST_NATURAL)
        paths = {
            name: path_utils.serving_model_path(input_dict[key][0].uri)
            for name, key in ((scoring.CANDIDATE, "model"), (scoring.BASELINE, "baseline_model"))
            if input_dict.get(key)
        }
        if not scored:
            raise DataError(
                f"None of the splits {exec_properties['splits']} is among the examples' "
                f"({', '.join(splits)}).",
                "Choose others with the node's `splits`.",
            )
        uri = artifact_utils.get_single_uri(output_dict["predictions"])
        scratch = f"{uri}/unfinished"
        fileio.makedirs(scratch)
        crops = bool(exec_properties.get("detector_crops"))
        embeddings = bool(exec_properties.get("embeddings"))
        schema = table.SCHEMA.append(table.EMBEDDING_FIELD) if embeddings else table.SCHEMA
        passes = self._run(
            examples, splits, scored, paths, scratch, schema=schema, detector_crops=crops
        )
        rows = _read(scratch, "scored", schema)
        if embeddings:
            keys = [table.SPLIT, contract.IMAGE_ID]
            _write(rows.select([*keys, contract.EMBEDDING]), f"{uri}/{table.EMBEDDINGS}")
            rows = rows.drop_columns(contract.EMBEDDING)
        others = _read(scratch, "fingerprint", table.FINGERPRINT_SCHEMA)
        fingerprints = pa.concat_tables([others, rows.select(others.column_names)])
        _write(rows, f"{uri}/{table.PREDICTIONS}")
        _write(fingerprints, f"{uri}/{table.FINGERPRINTS}")
        predictions = table.add_bands(rows.to_pandas())
        content = {
            "models": {
                name: {"uri": input_dict[key][0].uri, "id": input_dict[key][0].id}
                for name, key in (
                    (scoring.CANDIDATE, "model"),
                    (scoring.BASELINE, "baseline_model"),
                )
                if name in paths
            },
            "examples": {s: int((predictions[table.SPLIT] == s).sum()) for s in scored},
            "forward_passes": passes,
            "detector_crops": crops,
            "band_edges": _edges(predictions),
        }
        with fileio.open(f"{uri}/{table.SCORING}", "w") as file:
            json.dump(content, file, indent=2, sort_keys=True)
        fileio.rmtree(scratch)
        _write_examples(predictions, output_dict["scored_examples"][0])

    def _run(
        self,
        examples: Artifact,
        splits: Sequence[str],
        scored: Sequence[str],
        paths: dict[str, str],
        scratch: str,
        *,
        schema: pa.Schema,
        detector_crops: bool,
    ) -> dict[str, int]:
        """Writes Parquet shards below `scratch`; returns the forward passes of each model."""
        embeddings = contract.EMBEDDING in schema.names
        shared = Shared()
        with self._make_beam_pipeline() as pipeline:
            for split in splits:
                pattern = io_utils.all_files_pattern(
                    artifact_utils.get_split_uri([examples], split)
                )
                records = pipeline | f"Read[{split}]" >> beam.io.ReadFromTFRecord(
                    pattern, validate=False
                )
                if split not in scored:
                    _ = (
                        records
                        | f"Fingerprint[{split}]"
                        >> beam.Map(lambda r, s=split: scoring.fingerprint_row(s, r))
                        | f"WriteFingerprints[{split}]"
                        >> parquetio.WriteToParquet(
                            f"{scratch}/fingerprint-{split}", table.FINGERPRINT_SCHEMA
                        )
                    )
                    continue
                _ = (
                    records
                    | f"Batch[{split}]"
                    >> beam.BatchElements(
                        min_batch_size=scoring.BATCH_SIZE, max_batch_size=scoring.BATCH_SIZE
                    )
                    | f"Score[{split}]"
                    >> beam.ParDo(
                        scoring.Score(
                            split,
                            paths,
                            shared,
                            detector_crops=detector_crops and split == "test",
                            embeddings=embeddings,
                        )
                    )
                    | f"WriteRows[{split}]"
                    >> parquetio.WriteToParquet(f"{scratch}/scored-{split}", schema)
                )
        counters = pipeline.result.metrics().query(
            MetricsFilter().with_namespace(scoring.NAMESPACE)
        )["counters"]
        totals = dict.fromkeys([*paths, *([scoring.DETECTOR] if detector_crops else [])], 0)
        for counter in counters:
            totals[counter.key.metric.name.removesuffix("_forward_passes")] += counter.result
        return totals


def _read(folder: str, prefix: str, schema: pa.Schema) -> pa.Table:
    """Returns the shards that Beam wrote, in a fixed order; an empty table where there are none."""
    files = sorted(fileio.glob(f"{folder}/{prefix}-*"))
    tables = [pq.read_table(file, schema=schema) for file in files]
    joined = pa.concat_tables([schema.empty_table(), *tables])
    return joined.sort_by([(table.SPLIT, "ascending"), (contract.IMAGE_ID, "ascending")])


def _write(rows: pa.Table, path: str) -> None:
    pq.write_table(rows, path, compression="zstd")


def _edges(predictions: pd.DataFrame) -> dict[str, dict[str, list[float]]]:
    """Returns split -> quality -> the two edges between its bands."""
    return {
        str(split): {q: list(table.band_edges(rows[q].to_numpy(float))) for q in QUALITIES}
        for split, rows in predictions.groupby(table.SPLIT)
    }


_BINARY: Final = (contract.LABEL, *contract.ATTRIBUTES)
_BINARY_PARTS: Final = {
    (name, value): features({name: [value]}) for name in _BINARY for value in (0, 1)
}


def _write_examples(predictions: pd.DataFrame, artifact: Artifact) -> None:
    """Writes each split's rows as tf.Examples: label, attributes, bands, the models' answers."""
    splits = [str(s) for s in predictions[table.SPLIT].unique()]
    has_baseline = bool(predictions[table.BASELINE_P_POSITIVE].notna().all())
    numbers = [contract.P_POSITIVE] + ([table.BASELINE_P_POSITIVE] if has_baseline else [])
    bands = [table.band_name(quality) for quality in QUALITIES]
    for split in splits:
        folder = f"{artifact.uri}/Split-{split}"
        fileio.makedirs(folder)
        with tf.io.TFRecordWriter(f"{folder}/scored-00000-of-00001") as writer:
            rows = predictions[predictions[table.SPLIT] == split]
            for row in rows.to_dict("records"):
                values: dict[str, Value] = {
                    contract.IMAGE_ID: [row[contract.IMAGE_ID].encode()],
                    **{name: [float(row[name])] for name in numbers},
                    **{name: [row[name].encode()] for name in bands},
                }
                parts = [
                    _BINARY_PARTS[name, int(row[name])]
                    for name in _BINARY
                    if not pd.isna(row[name])
                ]
                writer.write(_as_example(b"".join([*parts, features(values)])))
    artifact.split_names = artifact_utils.encode_split_names(splits)
    examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
    # The only name that TFX knows for TFRecords; its readers look at the file's suffix.
    examples_utils.set_file_format(artifact, "tfrecords_gzip")


def _as_example(serialized_features: bytes) -> bytes:
    """Returns the Example around serialized Features; messages may be concatenated."""
    parsed = tf.train.Features.FromString(serialized_features)
    serialized: bytes = tf.train.Example(features=parsed).SerializeToString(deterministic=True)
    return serialized


class ModelScorer(Node, base_beam_component.BaseBeamComponent):  # type: ignore[misc]
    """Scores splits once with the candidate and the baseline.

    Args:
      examples: with images, from example-gen.
      model: the candidate.
      baseline_model: the latest blessed model; may resolve to nothing.
      detector_crops: score `test` a second time on the faces that the application's detector cuts
        out of the images.
      embeddings: keep what the candidate's head sees of each scored image.
      splits: to score, as far as they are there; test_natural always is. Of the others only
        fingerprints are taken.
    """

    INPUTS = {
        "examples": standard_artifacts.Examples,
        "model": standard_artifacts.Model,
        "baseline_model": standard_artifacts.Model,
    }
    OPTIONAL = frozenset({"baseline_model"})
    OUTPUTS = {"predictions": Predictions, "scored_examples": standard_artifacts.Examples}
    PROPERTIES = {"splits": str, "detector_crops": int, "embeddings": int}
    CODE = ("components.predictions", "data.celeba.images", "data.faces", "data.contract")
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
