"""The scorer and TFMA on its output, as TFX runs them, with a network that counts its calls."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from executed import at, examples_at, execute
from PIL import Image
from served import encoded
from sklearn.metrics import average_precision_score, roc_auc_score
from tfx.components.evaluator import executor as evaluator
from tfx.types import standard_artifacts
from tfx.utils import json_utils, proto_utils

import tensorflow_model_analysis as tfma  # isort: skip  # after tfx
from components.evaluation_report import tfma_view
from components.example_gen.encoding import attribute_blocks, encode_example, features
from components.predictions import table
from components.predictions.artifacts import Predictions
from components.predictions.component import Executor
from data import contract
from data.celeba.images import quality
from data.errors import DataError
from pipeline.eval_config import BASELINE, CANDIDATE, EvaluationConfig, eval_config

COUNTS = {"train": 20, "val": 30, "test": 150}


class Network(tf.Module):
    """p_positive from the hash of the image; writes the size of every batch into `calls`."""

    def __init__(self, calls: Path, salt: str):
        super().__init__()
        self._calls = f"{calls}/"
        self._salt = salt
        self.weight = tf.Variable(1.0)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "examples")])
    def examples(self, examples):
        """Serialized examples -> answers."""
        size = tf.shape(examples)[0]
        # By the clock: random numbers repeat where another test of the process seeded TensorFlow.
        name = tf.strings.as_string(tf.timestamp(), precision=9)
        with tf.control_dependencies(
            [tf.io.write_file(self._calls + name, tf.strings.as_string(size))]
        ):
            parsed = tf.io.parse_example(
                examples,
                {
                    contract.IMAGE: tf.io.FixedLenFeature([], tf.string),
                    contract.LABEL: tf.io.FixedLenFeature([], tf.int64),
                },
            )
        noise = tf.strings.to_hash_bucket_fast(parsed[contract.IMAGE] + self._salt, 1000)
        label = tf.cast(parsed[contract.LABEL], tf.float32)
        p_positive = (0.2001 + 0.3 * label + tf.cast(noise, tf.float32) / 2000.0) * self.weight
        return {
            contract.P_POSITIVE: p_positive,
            contract.LABEL: tf.cast(p_positive >= 0.5, tf.int64),
            contract.UNCERTAIN: tf.abs(p_positive - 0.5) < 0.05,
        }

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "examples")])
    def embedding(self, examples):
        """Its p_positive, three times."""
        answers = self.examples(examples)
        return answers | {contract.EMBEDDING: tf.stack([answers[contract.P_POSITIVE]] * 3, axis=1)}


def save(network: Network, folder: Path) -> standard_artifacts.Model:
    path = folder / "Format-Serving"
    signatures = {
        contract.SIGNATURE_EXAMPLES: network.examples,
        contract.SIGNATURE_EMBEDDING: network.embedding,
    }
    tf.saved_model.save(network, str(path), signatures=signatures)
    model = at(standard_artifacts.Model, folder)
    model.id = 7
    return model


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> standard_artifacts.Examples:
    """Splits in files as example-gen writes them."""
    folder = tmp_path_factory.mktemp("examples")
    rng = np.random.default_rng(0)
    number = 0
    for split, count in COUNTS.items():
        (folder / f"Split-{split}").mkdir()
        with tf.io.TFRecordWriter(str(folder / f"Split-{split}/a-00000-of-00001")) as writer:
            for _ in range(count):
                number += 1
                attributes = rng.integers(0, 2, 40, dtype=np.uint8)
                extra = features(
                    {
                        contract.IMAGE_ID: [b"%06d.jpg" % number],
                        contract.IDENTITY: [number // 3],
                        contract.LABEL: [int(attributes[contract.ATTRIBUTES.index("Male")])],
                    }
                )
                blocks = attribute_blocks(attributes[None])
                writer.write(encode_example(jpeg(number), *blocks, extra))
    return examples_at(folder, list(COUNTS))


def jpeg(seed: int) -> bytes:
    """Smooth noise, in files of different sizes."""
    noise = np.random.default_rng(seed).integers(0, 255, (6, 5, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((178, 218), Image.Resampling.BICUBIC)
    return encoded(image, quality=40 + seed % 50)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name in ("candidate", "baseline"):
        (folder / f"{name}-calls").mkdir()
        found[name] = save(Network(folder / f"{name}-calls", name), folder / name)
        # Tracing and saving call nothing.
        assert not list((folder / f"{name}-calls").iterdir())
    return {"folder": folder, **found}


def run(out: Path, examples, models, *, baseline=True, splits=("val", "test"), embeddings=0):
    return execute(
        Executor,
        out,
        {"examples": examples, **asked(models, baseline)},
        {"predictions": Predictions, "scored_examples": standard_artifacts.Examples},
        {"splits": json.dumps(list(splits)), "embeddings": embeddings},
    )


def asked(models: dict, baseline: bool) -> dict:
    """The models that a node reads."""
    found = {"model": models["candidate"]}
    return found | {"baseline_model": models["baseline"]} if baseline else found


@pytest.fixture(scope="module")
def scored(tmp_path_factory, examples, models):
    return run(tmp_path_factory.mktemp("scored"), examples, models)


def calls(models, name) -> int:
    folder = models["folder"] / f"{name}-calls"
    return sum(int(path.read_text()) for path in folder.iterdir())


def evaluate(out: Path, scored_examples, models, *, baseline: bool) -> tuple[Path, object]:
    """TFX's own Evaluator on the scored examples."""
    config = EvaluationConfig(min_accuracy=0.5, min_auc=0.5, max_accuracy_drop=1, max_auc_drop=1)
    evaluation, blessing = execute(
        evaluator.Executor,
        out,
        {"examples": scored_examples, **asked(models, baseline)},
        {
            "evaluation": standard_artifacts.ModelEvaluation,
            "blessing": standard_artifacts.ModelBlessing,
        },
        {
            "eval_config": proto_utils.proto_to_json(eval_config(config)),
            "example_splits": json_utils.dumps(["test"]),
        },
    )
    return Path(evaluation.uri), blessing


def test_each_network_sees_each_example_once_scoring_and_evaluation_together(
    tmp_path, examples, models, scored
):
    """180 examples are scored: 180 passes of each network, and none by TFMA afterwards."""
    expected = COUNTS["val"] + COUNTS["test"]
    assert calls(models, "candidate") == calls(models, "baseline") == expected
    scoring = table.load(scored[0].uri).scoring
    assert scoring["forward_passes"] == {"candidate": expected, "baseline": expected}
    assert scoring["examples"] == {"val": COUNTS["val"], "test": COUNTS["test"]}
    evaluate(tmp_path, scored[1], models, baseline=True)
    assert calls(models, "candidate") == calls(models, "baseline") == expected


def test_rows_say_what_the_examples_and_the_networks_say(examples, models, scored):
    """Every column of every row, against the records and a direct call of the SavedModels."""
    found = table.load(scored[0].uri).split("test")
    records = list(
        tf.data.TFRecordDataset(f"{examples.uri}/Split-test/a-00000-of-00001").as_numpy_iterator()
    )
    parsed = [tf.train.Example.FromString(r).features.feature for r in records]
    assert found[contract.IMAGE_ID].tolist() == [
        f[contract.IMAGE_ID].bytes_list.value[0].decode() for f in parsed
    ]
    for name in (*contract.ATTRIBUTES, contract.IDENTITY):
        assert found[name].tolist() == [f[name].int64_list.value[0] for f in parsed]
    assert found[contract.LABEL].tolist() == found[contract.MALE].tolist()
    images = [f[contract.IMAGE].bytes_list.value[0] for f in parsed]
    expected = [quality(image) for image in images]
    np.testing.assert_allclose(found[[contract.BRIGHTNESS, contract.SHARPNESS]], expected)
    assert found[contract.IMAGE_BYTES].tolist() == [len(image) for image in images]
    assert found["image_bytes_band"].value_counts().to_dict() == pytest.approx(
        {"low": 50, "middle": 50, "high": 50}, abs=3
    )
    for model, column in (
        ("candidate", contract.P_POSITIVE),
        ("baseline", table.BASELINE_P_POSITIVE),
    ):
        loaded = tf.saved_model.load(f"{models[model].uri}/Format-Serving")
        answers = loaded.signatures[contract.SIGNATURE_EXAMPLES](examples=tf.constant(records))
        np.testing.assert_allclose(found[column], answers[contract.P_POSITIVE])
    assert (abs(found.p_positive - 0.5) < 0.05).tolist() == found.uncertain.tolist()


def test_embeddings_come_from_the_same_pass(tmp_path, examples, models, scored):
    """Where they are asked for: one more file, the same predictions, no pass more."""
    with pytest.raises(DataError, match=r"evaluation\.embeddings=true"):
        table.load_embeddings(scored[0].uri)
    before = calls(models, "candidate")
    predictions, _ = run(tmp_path, examples, models, baseline=False, splits=("test",), embeddings=1)
    assert calls(models, "candidate") == before + COUNTS["test"]
    found = table.load_embeddings(predictions.uri)
    rows = table.load(predictions.uri).split("test")
    assert found.shape == (COUNTS["test"], 3)
    assert found.index.tolist() == [("test", image_id) for image_id in rows[contract.IMAGE_ID]]
    np.testing.assert_array_equal(
        found.to_numpy(), np.stack([rows.p_positive.to_numpy()] * 3, axis=1)
    )
    assert contract.EMBEDDING not in rows


def test_fingerprints_cover_all_splits(scored):
    """Also train, which is not scored."""
    found = table.load_fingerprints(scored[0].uri)
    assert found[table.SPLIT].value_counts().to_dict() == COUNTS
    assert found[contract.IMAGE_ID].is_unique and found[table.SHA256].is_unique


def test_tfma_on_predictions_is_scikit_learn_and_blesses(tmp_path, models, scored):
    """TFMA's values of slices, bands and baseline follow from the Parquet; TFX blesses by them."""
    evaluation, blessing = evaluate(tmp_path, scored[1], models, baseline=True)
    rows = table.load(scored[0].uri).split("test")
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_int_custom_property("current_model_id") == 7
    for name, column in ((CANDIDATE, contract.P_POSITIVE), (BASELINE, table.BASELINE_P_POSITIVE)):
        result = tfma.load_eval_result(str(evaluation), model_name=name)
        seen = set()
        for key, outputs in result.slicing_metrics:
            values = {k: v.get("doubleValue") for k, v in outputs[""][""].items()}
            part = rows
            for feature, value in key:
                part = part[part[feature] == value]
                seen.add(feature)
            assert values["example_count"] == len(part)
            right = ((part[column] >= 0.5) == part.label).mean()
            # TFMA calls p > 0.5 male, we p >= 0.5: no score here is exactly 0.5.
            assert values["binary_accuracy"] == pytest.approx(right)
            if not key:
                assert values["auc"] == pytest.approx(
                    roc_auc_score(part.label, part[column]), abs=0.01
                )
                assert values["auc_precision_recall"] == pytest.approx(
                    average_precision_score(part.label, part[column]), abs=0.02
                )
        assert {"Male", "Young", "brightness_band", "sharpness_band"} <= seen
    # The page of TFMA's views shows the candidate.
    page = tfma_view.page(evaluation, title="", run="")
    overall = json.loads(re.search(r'id="tfma-data">(.*?)</script>', page).group(1))["slices"]
    accuracy = overall["overall"][0]["metrics"][""][""]["binary_accuracy"]["doubleValue"]
    assert accuracy == pytest.approx(((rows.p_positive >= 0.5) == rows.label).mean())


def test_a_first_run_is_judged_without_a_baseline(tmp_path, examples, models):
    """Change thresholds are ignored, absolute ones are not."""
    out = tmp_path / "first"
    predictions, scored_examples = run(out, examples, models, baseline=False)
    assert pd.isna(table.load(predictions.uri).table[table.BASELINE_P_POSITIVE]).all()
    _, blessing = evaluate(tmp_path, scored_examples, models, baseline=False)
    assert blessing.get_int_custom_property("blessed") == 1


def test_a_split_that_is_not_there_is_named(tmp_path, examples, models, scored):
    """Asking to score it, and asking for its predictions."""
    with pytest.raises(DataError, match="None of the splits"):
        run(tmp_path, examples, models, splits=("dev",))
    with pytest.raises(DataError, match="scored: test, val"):
        table.load(scored[0].uri).split("train")
    with pytest.raises(DataError, match="cannot be read"):
        table.load(tmp_path)
