"""The peer of benchmarks/ingest.py: a custom ExampleGen as TFX's guide shows it.

In: an official CelebA tree. Out: what TFX's base executor writes. Rows go through `beam.Create`, a
Map opens each image, and the base executor splits by hash, shuffles and writes with gzip.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx.components.example_gen import utils
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from data import contract

Row = dict[str, list[str]]


def read_rows(root: Path) -> list[Row]:
    """Returns the values of each image from the four annotation files."""
    tables = {
        "identity": _table(root / "Anno/identity_CelebA.txt", 0),
        "partition": _table(root / "Eval/list_eval_partition.txt", 0),
        "landmarks": _table(root / "Anno/list_landmarks_align_celeba.txt", 2),
    }
    attributes = _table(root / "Anno/list_attr_celeba.txt", 2)
    return [
        {"id": [name], "attributes": values, **{key: t[name] for key, t in tables.items()}}
        for name, values in attributes.items()
    ]


def _table(path: Path, header_lines: int) -> dict[str, list[str]]:
    lines = (line.split() for line in path.read_text().splitlines()[header_lines:])
    return {fields[0]: fields[1:] for fields in lines}


def to_example(root: Path, row: Row) -> tf.train.Example:
    """Reads the image and builds an Example with the features that ours has."""
    [name] = row["id"]
    with open(root / "Img/img_align_celeba" / name, "rb") as file:  # noqa: PTH123  # the usual way
        image = file.read()
    features = {
        key: _integers([int(value == "1")])
        for key, value in zip(contract.ATTRIBUTES, row["attributes"], strict=True)
    }
    features["identity"] = _integers([int(row["identity"][0])])
    features["landmarks"] = _integers([int(v) for v in row["landmarks"]])
    features["image_bytes"] = _integers([len(image)])
    features["image_width"] = _integers([contract.IMAGE_WIDTH_PX])
    features["image_height"] = _integers([contract.IMAGE_HEIGHT_PX])
    features["partition"] = _bytes(contract.SPLITS[int(row["partition"][0])].encode())
    features["image_id"] = _bytes(name.encode())
    features["image"] = _bytes(image)
    return tf.train.Example(features=tf.train.Features(feature=features))


def _integers(values: list[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


@beam.ptransform_fn
def _read(pipeline: Any, exec_properties: dict[str, Any], split_pattern: str) -> Any:
    root = Path(exec_properties["input_base"])
    return pipeline | beam.Create(read_rows(root)) | beam.Map(lambda row: to_example(root, row))


class PlainExecutor(BaseExampleGenExecutor):
    """TFX's base executor with rows of the attribute file as its source."""

    def GetInputSourceToExamplePTransform(self) -> Any:  # noqa: N802  # TFX's name
        """Returns the source."""
        return _read


def plain_run(root: Path, out: Path, runner: str) -> Callable[[], int]:
    """Returns what to time; it returns the number of images."""
    executor = PlainExecutor(
        PlainExecutor.Context(beam_pipeline_args=[runner], tmp_dir=str(out / "tmp"))
    )
    examples = standard_artifacts.Examples()
    examples.uri = str(out / "examples")
    inputs = utils.make_default_input_config()
    properties = {
        "input_base": str(root),
        "input_config": proto_utils.proto_to_json(inputs),
        "output_config": proto_utils.proto_to_json(utils.make_default_output_config(inputs)),
        "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
        "output_file_format": example_gen_pb2.FORMAT_TFRECORDS_GZIP,
    }

    def run() -> int:
        executor.Do({}, {"examples": [examples]}, properties)
        return len(read_rows(root))

    return run
