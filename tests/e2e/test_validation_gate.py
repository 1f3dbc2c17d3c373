"""The gate's judgement, on statistics made from small tables; and the schema's proposal."""

import copy
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import standard_artifacts

from components.lookups.previous_statistics import choose_previous
from components.schema.update import propose
from components.validation_gate import (
    Anomaly,
    Executor,
    Validation,
    compare,
    judge,
    list_anomalies,
)
from data import contract
from data.errors import DataError, GateError
from pipeline.kubeflow import lookup

import tensorflow_data_validation as tfdv  # isort: skip  # after tfx

SCHEMA = Path(__file__).parents[2] / "data" / "schema.pbtxt"


def schema():
    return text_format.Parse(SCHEMA.read_text(), schema_pb2.Schema())


def statistics(n=400, seed=0, **columns):
    rng = np.random.default_rng(seed)
    table = {name: rng.integers(0, 2, n) for name in contract.ATTRIBUTES}
    table |= {
        "label": rng.integers(0, 2, n),
        "image": [b"\xff\xd8"] * n,
        "image_id": [b"%06d.jpg" % i for i in range(n)],
        "image_width": np.full(n, 178),
        "image_height": np.full(n, 218),
        "image_bytes": rng.integers(5000, 9000, n),
        "brightness": rng.normal(120, 20, n),
        "sharpness": rng.normal(10, 1, n),
        **columns,
    }
    frame = pd.DataFrame({k: v for k, v in table.items() if v is not None})
    return tfdv.generate_statistics_from_dataframe(frame, tfdv.StatsOptions(schema=schema()))


def anomalies_of(stats):
    found = tfdv.validate_statistics(stats, schema())
    return list_anomalies("train", found, stats.datasets[0], schema())


def test_sound_data_have_no_anomalies():
    """The curated schema accepts what example-gen writes, with and without optional features."""
    assert anomalies_of(statistics()) == []
    measured = np.where(np.arange(400) < 250, 120.0, np.nan)  # on the first 250 examples only
    partly = statistics(
        brightness=measured,
        sharpness=measured / 12,
        identity=np.arange(400) + 1,
        partition=["train"] * 400,
        landmarks=[[69, 111, 108, 111, 88, 130, 72, 150, 105, 150]] * 400,
    )
    assert anomalies_of(partly) == []
    assert partly.datasets[0].num_examples == 400


@pytest.mark.parametrize(
    ("columns", "feature", "words"),
    [
        ({"Young": np.arange(400) % 3}, "Young", "2"),
        ({"image_width": None}, "image_width", "ropped"),
        ({"image_width": np.full(400, 177)}, "image_width", "177"),
        ({"partition": ["train"] * 399 + ["dev"]}, "partition", "dev"),
        ({"newcomer": np.zeros(400)}, "newcomer", "New column"),
        ({"brightness": np.full(400, 300.0)}, "brightness", "300"),
    ],
)
def test_each_kind_of_anomaly_is_named(columns, feature, words):
    """Split, feature, what was found and expected, and a remedy are in the message."""
    found = anomalies_of(statistics(**columns))
    assert {a.feature for a in found} == {feature}
    with pytest.raises(GateError) as error:
        judge(found, [])
    assert f"train: {feature}: " in error.value.problem
    assert words in error.value.problem and "expected" in error.value.problem
    assert f"--accept-anomaly {feature}:{found[0].kind}" in error.value.remedy


def test_anomalies_are_let_through_by_name_only():
    """By feature, by kind, or both; another name does not help."""
    anomaly = Anomaly("val", "Young", "INT_TYPE_BIG_INT", "high", "high", "2", "1")
    for name in ("Young", "INT_TYPE_BIG_INT", "Young:INT_TYPE_BIG_INT"):
        assert judge([anomaly], [name]) == [anomaly]
    for name in ("Male", "Young:OTHER", ""):
        with pytest.raises(GateError, match="val: Young"):
            judge([anomaly], [name])


def test_drift_and_skew_are_judged_where_there_are_enough_examples():
    """A rate that moved by 0.3 is drift and skew; few examples are reported as not compared."""
    many = statistics(4000)
    moved = statistics(4000, 1, Young=(np.arange(4000) % 5 == 0).astype(int))
    now = {"train": many, "test": many}
    found, notes = compare(now, {"train": moved}, schema())
    assert {(a.split, a.feature) for a in found} == {
        ("train against its previous statistics", "Young")
    }
    assert notes["train against its previous statistics"] == "compared"
    assert notes["test against train"] == "compared"
    assert "no earlier data passed" in notes["test against its previous statistics"]
    found, _ = compare({"train": many, "test": moved}, {}, schema())
    assert {(a.split, a.feature) for a in found} == {("test against train", "Young")}
    assert compare({"train": many, "test": statistics(4000, 2)}, {"train": many}, schema())[0] == []
    found, notes = compare({"train": many, "val": statistics(400, 1)}, {}, schema())
    assert found == [] and "too few examples" in notes["val against train"]


def artifact(identity, **properties):
    """Stands for an Artifact: an id and whole-number properties."""
    return SimpleNamespace(
        id=identity, uri="", get_int_custom_property=lambda key: properties.get(key, 0)
    )


def test_previous_statistics_are_older_than_the_current_and_passed():
    """The newest that is older and passed; nothing in a first run."""
    a, b, c = (artifact(i) for i in (3, 5, 8))
    ok = {i: artifact(100 + i, statistics_id=i) for i in (3, 5, 8)}

    def previous(current, everything, passed):
        found = choose_previous([current], everything, [ok[i] for i in passed])
        assert found["current"] == [current]
        return [p.id for p in found["previous"]]

    assert previous(c, [a, b, c], (3, 5, 8)) == [5]
    assert previous(b, [c, a, b], (3, 5, 8)) == [3]
    assert previous(a, [a], (3,)) == []
    # 5 was refused: it is no reference, for whatever comes after it.
    assert previous(c, [a, b, c], (3,)) == [3]
    assert previous(c, [a, b, c], ()) == []


class Schedule:
    """Nights of validation-gate itself, on real artifacts; a way to look up what came before."""

    def __init__(self, folder):
        self.folder, self.nights, self.passed = folder, [], []

    def _artifact(self, kind, name, uri):
        made = kind()
        made.uri, made.id = str(uri), len(self.nights) * 10 + 1
        made.name = name
        return made

    def night(self, rate, accept, lookup):
        """Returns whether the gate passed data whose share of Young is `rate`."""
        here = self.folder / str(len(self.nights))
        found = statistics(2000, len(self.nights), Young=(np.arange(2000) % 100 < rate).astype(int))
        self.nights.append(here)
        (here / "statistics/Split-train").mkdir(parents=True)
        (here / "statistics/Split-train/FeatureStats.pb").write_bytes(found.SerializeToString())
        (here / "anomalies/Split-train").mkdir(parents=True)
        checked = tfdv.validate_statistics(found, schema())
        (here / "anomalies/Split-train/SchemaDiff.pb").write_bytes(checked.SerializeToString())
        (here / "schema").mkdir()
        shutil.copy(SCHEMA, here / "schema/schema.pbtxt")
        (here / "validation").mkdir()
        now = self._artifact(standard_artifacts.ExampleStatistics, "now", here / "statistics")
        anomalies = self._artifact(standard_artifacts.ExampleAnomalies, "a", here / "anomalies")
        now.split_names = anomalies.split_names = '["train"]'
        validation = self._artifact(Validation, "v", here / "validation")
        before, keep = lookup(self, now)
        try:
            Executor().Do(
                {
                    "statistics": [now],
                    "previous_statistics": before,
                    "schema": [self._artifact(standard_artifacts.Schema, "s", here / "schema")],
                    "anomalies": [anomalies],
                },
                {"validation": [validation]},
                {"accept_anomalies": json.dumps(accept)},
            )
        except GateError as error:
            assert "Young" in error.problem and "previous statistics" in error.problem
            return False
        keep(validation)
        return True


def by_metadata(schedule, now):
    """As TFX's resolver looks up."""
    known = getattr(schedule, "known", [])
    schedule.known = [*known, now]
    found = choose_previous([now], schedule.known, schedule.passed)
    return found["previous"], schedule.passed.append


def by_volume(schedule, now):
    """As the containers on Kubeflow look up."""
    history = schedule.folder / "history"
    name = lookup.version_before(Path(now.uri), history)
    before = []
    if name:
        [before] = [[copy.deepcopy(now)]]
        before[0].uri = str(history / name)
    return before, lambda validation: lookup.keep(Path(now.uri), history)


@pytest.mark.parametrize("way", [by_metadata, by_volume])
def test_a_drift_that_stays_is_refused_every_night_until_somebody_accepts_it(way, tmp_path):
    """Six nights, a drift from the fourth on; the seventh is accepted by name."""
    schedule = Schedule(tmp_path)
    rates = (50, 52, 51, 80, 80, 81)
    passed = [schedule.night(rate, (), way) for rate in rates]
    assert passed == [True, True, True, False, False, False]
    assert schedule.night(80, ("Young:COMPARATOR_L_INFTY_HIGH",), way)
    assert schedule.night(81, (), way)
    assert not schedule.night(50, (), way)


def test_schema_proposal_is_a_diff_and_writes_nothing(tmp_path):
    """A new value widens the domain in the diff; agreeing data give no diff."""
    folder = tmp_path / "stats" / "Split-train"
    folder.mkdir(parents=True)
    with pytest.raises(DataError, match="no Split-"):
        propose(SCHEMA, tmp_path)
    (folder / "FeatureStats.pb").write_bytes(statistics().SerializeToString())
    assert propose(SCHEMA, tmp_path / "stats") == ""
    changed = statistics(partition=["train"] * 200 + ["dev"] * 200)
    (folder / "FeatureStats.pb").write_bytes(changed.SerializeToString())
    before = SCHEMA.read_bytes()
    diff = propose(SCHEMA, tmp_path / "stats")
    assert '+    value: "dev"' in diff
    assert SCHEMA.read_bytes() == before


def test_schema_names_every_feature_of_the_contract():
    """The schema and data/contract.py cannot drift apart."""
    names = {f.name for f in schema().feature}
    assert names == {
        *contract.ATTRIBUTES,
        contract.LABEL,
        contract.IMAGE,
        contract.IMAGE_ID,
        contract.IDENTITY,
        contract.PARTITION,
        contract.LANDMARKS,
        contract.IMAGE_WIDTH,
        contract.IMAGE_HEIGHT,
        contract.IMAGE_BYTES,
        contract.INCLUSION_WEIGHT,
        contract.BRIGHTNESS,
        contract.SHARPNESS,
        contract.GROUPS,
    }
    # A shape where every example has the feature, a value_count where it may be absent.
    for f in schema().feature:
        required = f.presence.min_fraction == 1
        assert f.WhichOneof("shape_type") == ("shape" if required else "value_count"), f.name
