"""A part of the test partition, from the annotations to the rows that are evaluated."""

import json

import numpy as np
import pytest
import tensorflow as tf
from executed import execute
from tfx.types import standard_artifacts

from components.example_gen.artifacts import SamplingManifest
from components.example_gen.component import CelebAExampleGen
from components.example_gen.executor import Executor
from components.example_gen.sampling import SamplingConfig
from components.predictions import scoring
from data import contract
from data.celeba.index import load_index


def rows(out, split):
    files = sorted(str(f) for f in (out / "examples" / f"Split-{split}").iterdir())
    return [scoring.example_row(split, r.numpy()) for r in tf.data.TFRecordDataset(files)]


def test_a_part_of_the_test_partition_says_what_each_image_stands_for(celeba_tree, tmp_path):
    """Rare groups whole; the weight is in examples, predictions, manifest and its summary."""
    data = celeba_tree(tmp_path / "data", images=300)
    _, index = load_index(str(data))
    partition = np.flatnonzero(index.partition == 2)
    sampling = SamplingConfig(test_natural=True, test_natural_images=len(partition) // 2)
    groups = [("Young",), ("Eyeglasses",)]
    component = CelebAExampleGen(str(data), sampling, groups=groups)
    outputs = {"examples": standard_artifacts.Examples, "manifest": SamplingManifest}
    execute(Executor, tmp_path, {}, outputs, component.spec.exec_properties)
    found = rows(tmp_path, contract.TEST_NATURAL)
    assert 0 < len(found) < len(partition)
    weights = np.array([row[contract.INCLUSION_WEIGHT] for row in found])
    assert weights.min() >= 1 and weights.max() > 1
    assert weights.sum() == pytest.approx(len(partition), rel=0.35)
    assert {row[contract.INCLUSION_WEIGHT] for row in rows(tmp_path, "test")} == {None}
    content = json.loads((tmp_path / "manifest/manifest.json").read_text())
    drawn = {"images": len(found), "of": len(partition), "reweighted": True}
    assert content["test_natural"] == drawn
    said = f"{len(found)} of {len(partition)} images of the test partition; groups that are rare"
    assert said in (tmp_path / "manifest/summary.md").read_text()
