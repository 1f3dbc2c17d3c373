"""The executor of example-gen, run as TFX runs it, on small real trees."""

import csv
import json
import logging
import resource
import shutil
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from executed import DIRECT, execute
from tfx.types import standard_artifacts

from components.example_gen import shards as shards_module
from components.example_gen.artifacts import SamplingManifest
from components.example_gen.component import CelebAExampleGen
from components.example_gen.driver import Driver
from components.example_gen.encoding import attribute_blocks, encode_example, features
from components.example_gen.executor import Executor
from components.example_gen.sampling import FaultConfig, SamplingConfig
from data import contract
from data.celeba.index import load_index
from data.errors import ConfigError, DataError, ImageError


def run(data, out, sampling=None, faults=None, shards=1, beam_args=()):
    component = CelebAExampleGen(str(data), sampling, faults, shards)
    return ingest(out, component.spec.exec_properties, (*DIRECT, *beam_args))


def ingest(out, properties, flags=DIRECT):
    outputs = {"examples": standard_artifacts.Examples, "manifest": SamplingManifest}
    return execute(Executor, out, {}, outputs, properties, flags)[0]


def records(out, split):
    files = sorted(str(f) for f in (out / "examples" / f"Split-{split}").iterdir())
    return [r.numpy() for r in tf.data.TFRecordDataset(files)]


def values(example, name):
    feature = example.features.feature[name]
    return list(getattr(feature, feature.WhichOneof("kind") or "bytes_list").value)


def manifest_rows(out):
    with (out / "manifest/manifest.csv").open() as file:
        return list(csv.DictReader(file))


def test_encoding_is_what_protobuf_writes(make_jpeg):
    """Our bytes parse into the same message as tf.train.Example's own."""
    images = [b"", b"x" * 127, b"x" * 128, make_jpeg(1), b"x" * 70_000]
    images *= 250  # more than are encoded at once
    attributes = np.random.default_rng(0).integers(0, 2, (len(images), 40), dtype=np.uint8)
    own = features({"identity": [7], "sharpness": [1.5]})
    for image, row, block in zip(images, attributes, attribute_blocks(attributes), strict=True):
        ours = tf.train.Example.FromString(encode_example(image, block, own))
        theirs = tf.train.Example()
        for name, value in zip(contract.ATTRIBUTES, row, strict=True):
            theirs.features.feature[name].int64_list.value.append(int(value))
        theirs.features.feature["identity"].int64_list.value.append(7)
        theirs.features.feature["sharpness"].float_list.value.append(1.5)
        theirs.features.feature["image"].bytes_list.value.append(image)
        assert ours == theirs


@pytest.mark.parametrize(
    "value",
    [[0], [-1, 127, 128, 2**40, -(2**63)], [1.5, -0.25], [b""], [b"x" * 300, "é".encode()]],
)
def test_features_are_protobufs_bytes(value):
    """Written by hand, for speed; the same bytes as protobuf's deterministic mode."""
    kind = {int: "int64_list", float: "float_list", bytes: "bytes_list"}[type(value[0])]
    expected = tf.train.Features()
    for name in ("zeta", "alpha", "é" * 70):
        getattr(expected.feature[name], kind).value.extend(value)
    made = features(dict.fromkeys(("zeta", "é" * 70, "alpha"), value))
    assert made == expected.SerializeToString(deterministic=True)


@pytest.mark.parametrize("layout", ["official", "kaggle"])
@pytest.mark.parametrize("images_in", ["folder", "zip"])
def test_examples_hold_what_the_files_say(celeba_tree, tmp_path, layout, images_in):
    """Every feature of every example agrees with the annotation files and the image files."""
    data = celeba_tree(tmp_path / "data", layout=layout, images_in=images_in)
    pictures = celeba_tree(tmp_path / "pictures") / "Img/img_align_celeba"
    artifact = run(data, tmp_path, shards=3)
    assert set(artifact.splits) == {"train", "val", "test"}
    _, index = load_index(str(data))
    row_of = {i: r for r, i in enumerate(index.ids.tolist())}
    for split in contract.SPLITS:
        males = Counter()
        for record in records(tmp_path, split):
            example = tf.train.Example.FromString(record)
            [image_id] = values(example, "image_id")
            row = row_of[image_id]
            image = (pictures / image_id.decode()).read_bytes()
            assert values(example, "image") == [image]
            assert values(example, "image_bytes") == [len(image)]
            assert values(example, "image_width") == [178]
            assert values(example, "image_height") == [218]
            assert values(example, "partition") == [split.encode()]
            assert values(example, "landmarks") == index.landmarks[row].tolist()
            for name in contract.ATTRIBUTES:
                assert values(example, name) == [index.attribute(name)[row]]
            if layout == "official":
                assert values(example, "identity") == [index.identity[row]]
            else:
                assert "identity" not in example.features.feature
            assert 0 < values(example, "brightness")[0] < 255
            males.update(values(example, "Male"))
        assert males[0] == males[1] > 0
    assert not list((tmp_path / "examples").glob("**/*unfinished*"))


def test_same_examples_for_any_number_of_workers_and_shards(celeba_tree, tmp_path):
    """One worker or two threads, one file or four: the same records in the same order."""
    data = celeba_tree(tmp_path / "data")
    run(data, tmp_path / "a")
    threads = ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]
    run(data, tmp_path / "b", shards=4, beam_args=threads)
    for split in contract.SPLITS:
        assert records(tmp_path / "a", split) == records(tmp_path / "b", split)
    names = sorted(f.name for f in (tmp_path / "b/examples/Split-train").iterdir())
    assert names == [f"data_tfrecord-{n:05d}-of-00004" for n in range(4)]
    a, b = ((tmp_path / x / "manifest/manifest.csv").read_bytes() for x in "ab")
    assert a == b


def test_manifest_tells_what_was_written(celeba_tree, tmp_path):
    """Ids, splits, labels and identities are those of the examples; counts and sums are right."""
    data = celeba_tree(tmp_path / "data")
    run(data, tmp_path, SamplingConfig(seed=3, even_over=("Young",), test_natural=True))
    summary = (tmp_path / "manifest/summary.md").read_text()
    assert "Balanced over Male; train evened out over Young; splits: official; seed 3." in summary
    rows = manifest_rows(tmp_path)
    for split in (*contract.SPLITS, contract.TEST_NATURAL):
        examples = [tf.train.Example.FromString(r) for r in records(tmp_path, split)]
        assert [
            (r["image_id"], int(r["label"]), int(r["identity"]))
            for r in rows
            if r["split"] == split
        ] == [
            (values(e, "image_id")[0].decode(), values(e, "Male")[0], values(e, "identity")[0])
            for e in examples
        ]
    content = json.loads((tmp_path / "manifest/manifest.json").read_text())
    assert content["seed"] == 3
    assert content["counts"]["train"]["Male=0"] == content["counts"]["train"]["Male=1"]
    assert "Anno/list_attr_celeba.txt" in content["sha256"]
    assert "| train |" in (tmp_path / "manifest/summary.md").read_text()


def test_few_bad_images_are_set_aside_and_the_rest_stays_balanced(celeba_tree, tmp_path, caplog):
    """Below the limit: listed in the dead-letter file, logged, and replaced; never half used."""
    data = celeba_tree(tmp_path / "data")
    run(data, tmp_path / "before")
    victims = [r["image_id"] for r in manifest_rows(tmp_path / "before") if r["split"] == "train"]
    folder = data / "Img/img_align_celeba"
    (folder / victims[0]).write_bytes(b"")
    (folder / victims[1]).unlink()
    (folder / victims[2]).write_text("<html>")
    with caplog.at_level(logging.WARNING, "genq.ingest"):
        run(data, tmp_path / "after", faults=FaultConfig(max_bad_image_fraction=0.03))
    with (tmp_path / "after/manifest/dead_letter.csv").open() as file:
        listed = {r["image_id"]: r["problem"] for r in csv.DictReader(file)}
    assert set(listed) == set(victims[:3])
    assert "0 bytes" in listed[victims[0]] and "missing" in listed[victims[1]]
    assert all(v in caplog.text for v in victims[:3])
    assert str(tmp_path / "after/manifest/dead_letter.csv") in caplog.text
    rows = manifest_rows(tmp_path / "after")
    assert not set(victims[:3]) & {r["image_id"] for r in rows}
    for split in contract.SPLITS:
        labels = Counter(r["label"] for r in rows if r["split"] == split)
        assert labels["0"] == labels["1"] == len(records(tmp_path / "after", split)) / 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.unlink(), "the image is missing"),
        (lambda f: f.write_bytes(f.read_bytes()[:500]), "cut off after 500 bytes"),
        (lambda f: f.write_bytes(b""), "empty"),
        (lambda f: f.with_name("x.jpg").write_bytes(b""), "the image has no annotation: x.jpg"),
    ],
)
def test_a_bad_image_above_the_limit_stops_the_run(celeba_tree, tmp_path, damage, message):
    """By default 0.1 %: one of 120 is too many. It is named, and no examples are left."""
    data = celeba_tree(tmp_path / "data")
    run(data, tmp_path / "before")
    victim = manifest_rows(tmp_path / "before")[0]["image_id"]
    damage(data / "Img/img_align_celeba" / victim)
    with pytest.raises(ImageError, match=message) as error:
        run(data, tmp_path / "after")
    assert "max_bad_image_fraction" in error.value.remedy
    assert not list((tmp_path / "after").glob("examples/Split-*"))
    if "annotation" not in message:
        assert victim in error.value.problem
    assert "image_id" in (tmp_path / "after/manifest.dead_letter.csv").read_text()


def remove_images(data, keep):
    """Leaves the images for which `keep` says so, by number from 1; returns how many went."""
    files = sorted((data / "Img/img_align_celeba").iterdir())
    gone = [file for number, file in enumerate(files, start=1) if not keep(number)]
    for file in gone:
        file.unlink()
    return len(gone)


def test_a_partial_copy_is_refused_in_a_few_lines_that_name_the_flag(celeba_tree, tmp_path):
    data = celeba_tree(tmp_path / "data", images=600)
    gone = remove_images(data, lambda number: number % 4 == 0)
    with pytest.raises(ImageError) as error:
        run(data, tmp_path / "out")
    assert f"{gone} of 600 images cannot be used" in error.value.problem
    assert len(error.value.problem.splitlines()) == 2
    assert error.value.problem.count(".jpg") == 5
    # Not in the artifact's folder, which TFX removes.
    listed = tmp_path / "out/manifest.dead_letter.csv"
    assert str(listed) in error.value.problem
    assert len(listed.read_text().splitlines()) == gone + 1
    assert "--partial" in error.value.remedy and "150 images that are there" in error.value.remedy


def test_a_partial_copy_trains_on_what_is_there(celeba_tree, tmp_path, caplog):
    """One sentence with the counts, all names in a file, balance kept; no other line."""
    data = celeba_tree(tmp_path / "data", images=600)
    gone = remove_images(data, lambda number: number % 2)
    with caplog.at_level(logging.INFO, "genq.ingest"):
        run(data, tmp_path, SamplingConfig(total=5000), FaultConfig(partial=True))
    told = [r.getMessage() for r in caplog.records if r.name == "genq.ingest"]
    [sentence] = [line for line in told if "Partial copy" in line]
    assert "300 of 600 annotated images are there" in sentence
    listed = (tmp_path / "manifest/partial.csv").read_text().splitlines()
    assert len(listed) == gone + 1 and listed[1] == "000002.jpg,the image is missing"
    assert sum("Fewer than asked for" in line for line in told) == 3 and len(told) == 5
    rows = manifest_rows(tmp_path)
    assert all(int(r["image_id"][:6]) % 2 for r in rows)
    content = json.loads((tmp_path / "manifest/manifest.json").read_text())
    assert content["partial"] == {"there": 300, "unannotated": 0} and content["set_aside"] == 0
    for split in contract.SPLITS:
        labels = Counter(r["label"] for r in rows if r["split"] == split)
        assert labels["0"] == labels["1"] > 0


def test_a_partial_copy_without_official_test_images_divides_people_anew(
    celeba_tree, tmp_path, caplog
):
    """The first images of CelebA are all of its training partition."""
    data = celeba_tree(tmp_path / "data", images=600)
    _, index = load_index(str(data))
    remove_images(data, lambda number: index.partition[number - 1] == 0)
    with caplog.at_level(logging.WARNING, "genq.ingest"):
        run(data, tmp_path, None, FaultConfig(partial=True))
    assert "val and test have no images of some class" in caplog.text
    assert "identity_hash" in caplog.text
    people = {s: set() for s in contract.SPLITS}
    for row in manifest_rows(tmp_path):
        people[row["split"]].add(row["identity"])
    assert all(people.values()) and not people["train"] & people["test"]


def test_damaged_images_of_a_partial_copy_count_against_those_that_are_there(celeba_tree, tmp_path):
    """What is missing uses up nothing of the limit, and adds nothing to it."""
    data = celeba_tree(tmp_path / "data", images=600)
    remove_images(data, lambda number: number % 2)
    for file in (data / "Img/img_align_celeba").iterdir():
        file.write_bytes(b"")
    with pytest.raises(ImageError, match="of 300 images cannot be used; at most 15 may"):
        run(data, tmp_path, None, FaultConfig(max_bad_image_fraction=0.05, partial=True))


def test_full_disk_leaves_nothing_that_looks_good(celeba_tree, tmp_path):
    """When writing fails, the error names the file, and no shard is left, whole or half."""
    data = celeba_tree(tmp_path / "data")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As a full disk does, writes fail from some size on; val and test are small enough.
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"Split-train/data_tfrecord.*cannot be written"):
            run(data, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [f for f in (tmp_path / "out/examples").rglob("*") if f.is_file()]


def test_brightness_and_sharpness_are_on_the_first_examples_of_a_split(
    celeba_tree, tmp_path, monkeypatch
):
    """A share of the examples, whatever the number of shards."""
    monkeypatch.setattr(shards_module, "QUALITY_IMAGES_PER_SPLIT", 20)
    data = celeba_tree(tmp_path / "data")
    run(data, tmp_path, shards=3)
    examples = [tf.train.Example.FromString(r) for r in records(tmp_path, "train")]
    assert ["sharpness" in e.features.feature for e in examples] == [
        i < 20 for i in range(len(examples))
    ]


def test_shards_must_be_positive(tmp_path):
    """Named with the value."""
    with pytest.raises(ConfigError, match="shards is 0"):
        CelebAExampleGen(str(tmp_path), shards=0)


def test_unused_images_are_never_read(celeba_tree, tmp_path):
    """Metadata first: images outside the sample may be as broken as they like."""
    data = celeba_tree(tmp_path / "data")
    config = SamplingConfig(total=20)
    run(data, tmp_path / "a", config)
    used = {r["image_id"] for r in manifest_rows(tmp_path / "a")}
    for file in (data / "Img/img_align_celeba").iterdir():
        if file.name not in used:
            file.write_bytes(b"broken")
    run(data, tmp_path / "b", config)
    assert {r["image_id"] for r in manifest_rows(tmp_path / "b")} == used
    shutil.rmtree(tmp_path / "b")


def test_the_driver_reads_the_newest_span(celeba_tree, tmp_path):
    """The executor gets the span's folder; a new span is a new fingerprint."""
    properties = CelebAExampleGen(str(tmp_path)).spec.exec_properties
    spans, fingerprints = [], set()
    for number in (1, 2):
        celeba_tree(tmp_path / f"span-000{number}", images=60 * number)
        resolved = Driver(None).resolve_exec_properties(dict(properties), None, None)
        spans.append((resolved["span"], resolved["input_base"]))
        fingerprints.add(resolved["input_fingerprint"])
    assert spans == [(n, str(tmp_path / f"span-000{n}")) for n in (1, 2)]
    assert len(fingerprints) == 2


def test_a_window_of_spans_is_read_as_one(celeba_tree, tmp_path):
    """Ids are told apart, images come from their span's folder or zip, balance is over all."""
    root = tmp_path / "data"
    celeba_tree(root / "span-0001", images=60, distinct_images=2)
    celeba_tree(root / "span-0002", images=120, distinct_images=5)
    celeba_tree(root / "span-0003", images=180, images_in="zip")
    pictures = {
        "span-0002": root / "span-0002/Img/img_align_celeba",
        "span-0003": celeba_tree(tmp_path / "unpacked", images=180) / "Img/img_align_celeba",
    }
    component = CelebAExampleGen(str(root), SamplingConfig(), shards=3, window=2)
    properties = dict(component.spec.exec_properties)
    resolved = Driver(None).resolve_exec_properties(properties, None, None)
    assert properties["spans"] == "span-0002,span-0003"
    assert properties["input_base"] == str(root) and resolved["span"] == 3
    assert resolved["input_fingerprint"].count("annotations_sha256") == 2

    ingest(tmp_path, properties)
    seen = Counter()
    for split in contract.SPLITS:
        males = Counter()
        for record in records(tmp_path, split):
            example = tf.train.Example.FromString(record)
            [image_id] = values(example, "image_id")
            span, _, name = image_id.decode().partition("/")
            assert values(example, "image") == [(pictures[span] / name).read_bytes()]
            _, index = load_index(str(root / span))
            row = index.ids.tolist().index(name.encode())
            assert values(example, "identity") == [index.identity[row]]
            assert values(example, "Smiling") == [index.attribute("Smiling")[row]]
            males.update(values(example, "Male"))
            seen[span] += 1
        assert males[0] == males[1] > 0
    assert min(seen.values()) > 20
    content = json.loads((tmp_path / "manifest/manifest.json").read_text())
    assert content["annotated_images"] == 300
    assert content["layout"].startswith("2 spans, span-0002 to span-0003: official folders")
    assert len(manifest_rows(tmp_path)) == sum(seen.values())

    (root / "span-0002/Eval/list_eval_partition.txt").unlink()
    with pytest.raises(
        DataError, match=r"span-0003 has a file for partition, .*span-0002 has none"
    ):
        ingest(tmp_path, properties)
    with pytest.raises(ConfigError, match=r"data\.window is 0"):
        CelebAExampleGen(str(root), window=0)


def test_a_missing_image_of_a_window_is_named_with_its_span(celeba_tree, tmp_path):
    root = tmp_path / "data"
    for number in (1, 2):
        celeba_tree(root / f"span-000{number}", images=60)
    (root / "span-0001/Img/img_align_celeba/000007.jpg").unlink()
    properties = dict(CelebAExampleGen(str(root), window=2).spec.exec_properties)
    Driver(None).resolve_exec_properties(properties, None, None)
    with pytest.raises(
        ImageError, match=r"span-0001/Img/img_align_celeba: 1 of 120 .*\n.*: span-0001/000007.jpg"
    ):
        ingest(tmp_path, properties)
