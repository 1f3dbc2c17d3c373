"""example-gen to validation-gate, as TFX nodes on a small tree."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
import tensorflow as tf
from tfx import v1 as tfx
from tfx.orchestration import metadata

from components.example_gen import driver
from components.example_gen.component import CelebAExampleGen
from components.example_gen.same import writes_the_same
from components.example_gen.sampling import FaultConfig, SamplingConfig
from components.lookups.previous_statistics import previous_statistics
from components.schema.importer import SchemaImporter
from components.validation_gate import ValidationGate
from data import contract
from pipeline.run_local import Outcome, Progress, run

SCHEMA = Path(__file__).parents[2] / "data" / "schema.pbtxt"
RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"
SETUP = Path(__file__).parents[2] / "setup.py"


def pipeline(
    data: Path,
    work: Path,
    sampling: SamplingConfig | None = None,
    faults: FaultConfig | None = None,
    accept: tuple[str, ...] = (),
    schema_file: Path = SCHEMA,
) -> tfx.dsl.Pipeline:
    example_gen = CelebAExampleGen(str(data), sampling, faults, shards=2).with_id("example-gen")
    schema = SchemaImporter(schema_file).with_id("schema-importer")
    statistics_gen = tfx.components.StatisticsGen(
        examples=example_gen.outputs["examples"], schema=schema.outputs["schema"]
    ).with_id("statistics-gen")
    validator = tfx.components.ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema.outputs["schema"]
    ).with_id("example-validator")
    previous = previous_statistics(statistics_gen.outputs["statistics"])
    gate = ValidationGate(
        previous_statistics=previous.outputs["previous"],
        statistics=statistics_gen.outputs["statistics"],
        schema=schema.outputs["schema"],
        anomalies=validator.outputs["anomalies"],
        accept_anomalies=accept,
    ).with_id("validation-gate")
    return tfx.dsl.Pipeline(
        pipeline_name="ingestion",
        pipeline_root=str(work / "root"),
        metadata_connection_config=metadata.sqlite_metadata_connection_config(
            str(work / "metadata.sqlite")
        ),
        enable_cache=True,
        # With a setup file named, TFX does not pack itself for remote workers.
        beam_pipeline_args=[RUNNER, f"--setup_file={SETUP}"],
        components=[example_gen, schema, statistics_gen, validator, previous, gate],
    )


def states(work: Path) -> Counter[str]:
    """Returns how often each node really ran and how often it was taken from the cache."""
    config = metadata.sqlite_metadata_connection_config(str(work / "metadata.sqlite"))
    with metadata.Metadata(config) as m:
        types = {t.id: t.name.split(".")[-1] for t in m.store.get_execution_types()}
        return Counter(
            f"{types[e.type_id]} {e.State.Name(e.last_known_state)}"
            for e in m.store.get_executions()
            if types[e.type_id] != "Resolver"  # never cached; it only looks up
        )


def output(work: Path, node: str, key: str) -> Path:
    """Returns the newest output of a node."""
    folder = work / "root" / node / key
    return max((p for p in folder.iterdir() if p.is_dir()), key=lambda p: int(p.name))


def records(work: Path, split: str) -> list[tf.train.Example]:
    files = sorted(str(p) for p in output(work, "example-gen", "examples").glob(f"Split-{split}/*"))
    return [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(files)]


def test_unchanged_rerun_is_cached_and_a_changed_label_is_not(celeba_tree, tmp_path):
    """A second run does nothing; one flipped label or one new image makes example-gen run again."""
    data = celeba_tree(tmp_path / "data")
    runner = tfx.orchestration.LocalDagRunner()
    runner.run(pipeline(data, tmp_path))
    first = states(tmp_path)
    assert not [s for s in first if "CACHED" in s]

    # What comes out is balanced, and is what is on the disk.
    for split in contract.SPLITS:
        examples = records(tmp_path, split)
        male = Counter(e.features.feature["Male"].int64_list.value[0] for e in examples)
        assert male[0] == male[1] > 0
        for e in examples:
            image_id = e.features.feature["image_id"].bytes_list.value[0].decode()
            image = e.features.feature["image"].bytes_list.value[0]
            assert image == (data / "Img/img_align_celeba" / image_id).read_bytes()
    verdict = json.loads(
        (output(tmp_path, "validation-gate", "validation") / "verdict.json").read_text()
    )
    assert verdict["accepted_anomalies"] == []

    runner.run(pipeline(data, tmp_path))
    again = states(tmp_path)
    assert sum(n for s, n in again.items() if "CACHED" in s) >= 4
    assert {s: n for s, n in again.items() if "COMPLETE" in s} == {
        s: n for s, n in first.items() if "COMPLETE" in s
    }

    attributes = data / "Anno/list_attr_celeba.txt"
    times = attributes.stat()
    text = attributes.read_text()
    flipped = text.replace(" -1", "  1", 1)
    assert len(flipped) == len(text) and flipped != text
    attributes.write_text(flipped)
    os.utime(attributes, ns=(times.st_atime_ns, times.st_mtime_ns))  # same size, same time
    runner.run(pipeline(data, tmp_path))
    changed = states(tmp_path)
    key = next(
        s
        for s in changed
        if s.startswith("CelebAExampleGen COMPLETE") or s.endswith("CelebAExampleGen COMPLETE")
    )
    assert changed[key] == first[key] + 1

    image = data / "Img/img_align_celeba/000001.jpg"
    image.write_bytes((data / "Img/img_align_celeba/000002.jpg").read_bytes())
    os.utime(image, (1, 1))
    runner.run(pipeline(data, tmp_path))
    assert states(tmp_path)[key] == first[key] + 2


def ran(data: Path, work: Path) -> list[str]:
    """Runs with genq's runner; returns the nodes that were not taken from the cache."""
    _, results = run(pipeline(data, work), Progress(lambda _: None, lambda _: None))
    return [r.node_id for r in results if r.outcome is Outcome.RAN]


def copy_without_times(source: Path, target: Path, time_s: int) -> None:
    """As `cp -r` does; a second of its own, since TFX's fingerprint knows whole seconds."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for path in target.rglob("*"):
        os.utime(path, (time_s, time_s))


@pytest.mark.parametrize("images_in", ["folder", "zip"])
def test_a_copy_of_data_and_work_directory_goes_on_from_the_cache(
    celeba_tree, tmp_path, monkeypatch, images_in
):
    """Elsewhere and with other times: nothing runs. An image of the same size and other content is
    seen. What was compared once is not read again."""
    data = celeba_tree(tmp_path / "a/data", images_in=images_in)
    first = ran(data, tmp_path / "a/work")
    assert first[0] == "example-gen" and len(first) == 6
    data, work = tmp_path / "b/data", tmp_path / "b/work"
    copy_without_times(tmp_path / "a", tmp_path / "b", 1_000_000)
    read = []
    monkeypatch.setattr(
        driver, "writes_the_same", lambda *given: read.append(1) or writes_the_same(*given)
    )
    assert ran(data, work) == ["previous-statistics"]  # a lookup, which is never cached
    assert ran(data, work) == ["previous-statistics"]
    assert read == [1]
    # Data elsewhere, times kept: nothing needs to be read.
    shutil.move(data, tmp_path / "moved")
    assert ran(tmp_path / "moved", work) == ["previous-statistics"] and read == [1]
    if images_in == "folder":
        [used, *_] = records(work, "train")
        name = used.features.feature["image_id"].bytes_list.value[0].decode()
        image = tmp_path / "moved/Img/img_align_celeba" / name
        content = bytearray(image.read_bytes())
        content[-3] ^= 1  # within the entropy-coded data; the size stays
        image.write_bytes(content)
        assert ran(tmp_path / "moved", work)[0] == "example-gen" and read == [1, 1]


def test_other_settings_are_not_taken_from_a_copied_cache(celeba_tree, tmp_path):
    """Images that an earlier run did not use were not compared."""
    data = celeba_tree(tmp_path / "a/data")
    ran(data, tmp_path / "a/work")
    copy_without_times(tmp_path / "a", tmp_path / "b", 1_000_000)
    progress = Progress(lambda _: None, lambda _: None)
    other = pipeline(tmp_path / "b/data", tmp_path / "b/work", SamplingConfig(seed=7))
    _, results = run(other, progress)
    assert results[0].outcome is Outcome.RAN


def test_gate_stops_on_data_that_disagree_with_the_schema(celeba_tree, tmp_path):
    """An anomaly names split and feature, and stops the pipeline unless it is accepted.

    A changed schema counts at once: TFX's own node looks at its path only, and would be cached.
    """
    data = celeba_tree(tmp_path / "data")
    schema_file = tmp_path / "schema.pbtxt"
    shutil.copy(SCHEMA, schema_file)
    landmarks = data / "Anno/list_landmarks_align_celeba.txt"
    landmarks.write_text(landmarks.read_text().replace(" 69", " 999"))
    runner = tfx.orchestration.LocalDagRunner()
    with pytest.raises(Exception, match=r"train: landmarks.*999") as raised:
        runner.run(pipeline(data, tmp_path, schema_file=schema_file))
    assert "--accept-anomaly landmarks:" in str(raised.value)
    runner.run(pipeline(data, tmp_path, accept=("landmarks",), schema_file=schema_file))
    verdict = json.loads(
        (output(tmp_path, "validation-gate", "validation") / "verdict.json").read_text()
    )
    assert {a["feature"] for a in verdict["accepted_anomalies"]} == {"landmarks"}

    schema_file.write_text(
        schema_file.read_text().replace("min: 178 max: 178", "min: 100 max: 100")
    )
    with pytest.raises(Exception, match=r"image_width.*178.*expected 100 to 100"):
        runner.run(pipeline(data, tmp_path, accept=("landmarks",), schema_file=schema_file))
