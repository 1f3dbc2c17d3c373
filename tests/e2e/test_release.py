"""From a SavedModel to a published release: exported, proven equal, complete; or skipped.

Its tests share one export, which takes most of their time: a second file would export again.
"""

import dataclasses
import functools
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import tensorflow_model_analysis as tfma
import triton_server
from tensorflow_model_analysis.proto import config_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.model_exporter import canary, export, models, quantization
from components.model_exporter import component as exporter
from components.model_exporter.artifacts import ExportedModel, Parity
from components.model_exporter.config import ExportConfig
from components.model_exporter.images import TestImage, decode_pillow, read_images
from components.release_pusher import component as pusher
from components.release_pusher.artifacts import PushedRelease
from components.release_pusher.contents import Sources
from data import contract
from data.errors import GateError, ReleaseError
from data.releases import checksums, release

SMALL = ExportConfig(
    variants=("float32", "float16", "int8"),
    # Random filters under a fitted head lose more than a trained network; no search in this test.
    int8_max_mean_difference=0.1,
    calibration_images=36,
    judging_images=12,
    agreement_images=24,
)


def patterns(examples_dir: Path) -> dict[str, list[str]]:
    return {s: [str(examples_dir / f"Split-{s}" / "*")] for s in ("train", "val", "test")}


@pytest.fixture(scope="module", autouse=True)
def loaded_once() -> Iterator[None]:
    """A SavedModel is loaded once, and asked once about the same images in a process of its own.

    Both take many seconds, and the exports of this file all read the same model.
    """
    ask, known = canary.saved_model_answers, dict[tuple[Path, str], Any]()

    def answers(saved_model: Path, images: Sequence[TestImage]) -> Any:
        about = (saved_model, " ".join(image.name for image in images))
        if about not in known:
            known[about] = ask(saved_model, images)
        return known[about]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "SavedModel", functools.cache(models.SavedModel))
        patch.setattr(canary, "saved_model_answers", answers)
        yield


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory, saved_model: Path, examples_dir: Path
) -> SimpleNamespace:
    """What the exporter writes for the small model."""
    root = tmp_path_factory.mktemp("exported")
    out = SimpleNamespace(model=root / "model", parity=root / "parity")
    out.model.mkdir()
    out.parity.mkdir()
    export.export(
        saved_model,
        patterns(examples_dir),
        SMALL,
        out.model,
        out.parity,
        metadata={"sample_sha256": "12ab"},
        slices=(("Male",), ("Young",), ("Male", "Young")),
    )
    return out


@pytest.fixture(scope="session")
def evaluation_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TFMA's results on 40 answers, of which 36 are right."""
    root = tmp_path_factory.mktemp("evaluation")
    label = np.arange(40) % 2
    wrong = np.arange(40) < 4
    frame = pd.DataFrame(
        {"Male": label, "p_positive": np.where(wrong, 1 - label, label) * 0.8 + 0.1, "Young": label}
    )
    tfma.analyze_raw_data(
        frame,
        config_pb2.EvalConfig(
            model_specs=[config_pb2.ModelSpec(label_key="Male", prediction_key="p_positive")],
            slicing_specs=[
                config_pb2.SlicingSpec(),
                config_pb2.SlicingSpec(feature_keys=["Young"]),
            ],
            metrics_specs=[
                config_pb2.MetricsSpec(
                    metrics=[
                        config_pb2.MetricConfig(class_name="ExampleCount"),
                        config_pb2.MetricConfig(
                            class_name="BinaryAccuracy", config='"threshold": 0.5'
                        ),
                        config_pb2.MetricConfig(class_name="AUC"),
                    ]
                )
            ],
        ),
        output_path=str(root),
    )
    return root


@pytest.fixture(scope="module")
def sources(
    saved_model: Path, exported: SimpleNamespace, manifest_dir: Path, evaluation_dir: Path
) -> Sources:
    return Sources(
        saved_model=saved_model,
        exported=exported.model,
        parity=exported.parity,
        manifest=manifest_dir,
        evaluation=evaluation_dir,
    )


def test_the_onnx_file_says_what_it_takes_gives_and_is(exported: SimpleNamespace) -> None:
    """Names, dtypes and dynamic axes are those of the contract; labels and geometry are inside."""
    model = onnx.load(str(exported.model / "model.onnx"))
    onnx.checker.check_model(model, full_check=True)
    [image] = model.graph.input
    axes = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert (image.name, image.type.tensor_type.elem_type) == ("image", onnx.TensorProto.UINT8)
    assert axes == ["batch", "height", "width", 3]
    outputs = {o.name: o.type.tensor_type for o in model.graph.output}
    assert list(outputs) == ["p_positive", "label", "uncertain"]
    assert [o.elem_type for o in outputs.values()] == [
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.INT64,
        onnx.TensorProto.BOOL,
    ]
    assert all([d.dim_param for d in o.shape.dim] == ["batch"] for o in outputs.values())
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    properties = {p.key: p.value for p in model.metadata_props}
    assert json.loads(properties["genq.labels"]) == ["female", "male"]
    assert json.loads(properties["genq.image"])["left_eye_xy_px"] == [69, 111]
    assert properties["genq.sample_sha256"] == "12ab"


def test_variants_agree_on_test_and_on_adversarial_images(exported: SimpleNamespace) -> None:
    """float32 agrees to 1e-4 everywhere, both decoders agree, int8 decides equally on faces."""
    found = json.loads((exported.parity / "parity_details.json").read_text())["comparisons"]
    others = {c["variant"]: c["images"] for c in found if c["on"] == export.OTHERS}
    found = [c for c in found if c["on"] != export.OTHERS]
    by = {(c["variant"], c["on"]): c for c in found}
    assert others == {"float16": 24, "int8": 24}  # neither calibrated on nor judged by
    pool = json.loads((exported.parity / "parity.json").read_text())["int8"]["agreement"]
    assert pool["images"] == 40 + 24 and 0.9 < pool["equal_low"] < pool["equal_high"] == 1
    assert {on for _, on in by} == {export.TEST_IMAGES, export.ADVERSARIAL}
    assert len(by) == 2 * (2 + 3)
    for on in (export.TEST_IMAGES, export.ADVERSARIAL):
        assert by["float32", on]["max_difference"] < 1e-4
        assert by[export.SIGNATURES, on]["max_difference"] < 1e-5
        assert by[export.DECODERS, on]["max_difference"] < 2e-2
    test = by["int8", export.TEST_IMAGES]
    on_test = json.loads((exported.parity / "parity.json").read_text())["int8"]
    assert {k: v for k, v in on_test.items() if k != "agreement"} == test
    assert test["images"] == 40 and test["equal_decisions"] >= 0.995
    # int8 is another model: it is not the float file under another name.
    assert test["mean_difference"] > 1e-4
    parts = {p["slice"]: p for p in test["slices"]}
    assert set(parts) > {"overall", "Male=0", "Young=1", "Male=1, Young=0"}
    assert parts["overall"]["images"] == 40
    assert parts["overall"]["reference_accuracy"] >= 0.9


def test_int8_is_small_quantised_per_channel_and_carries_the_metadata(
    exported: SimpleNamespace,
) -> None:
    """Every convolution has signed weights with a scale a channel; labels are inside."""
    path = exported.model / "model.int8.onnx"
    assert path.stat().st_size < 26e6 < (exported.model / "model.onnx").stat().st_size
    model = onnx.load(str(path))
    made_by = {name: node for node in model.graph.node for name in node.output}
    initializers = {i.name: i for i in model.graph.initializer}
    convolutions = [n for n in model.graph.node if n.op_type == "Conv"]
    assert len(convolutions) == 94
    # Poolings run behind the convolutions that shrink their input, wherever the two touch. (At
    # 75 px the last blocks are one pixel wide, and tf2onnx puts a Reshape between now and then.)
    pools = [n for n in model.graph.node if n.op_type == "AveragePool"]
    assert len(pools) == 9
    assert sum(_neighbour(n, made_by, "input") == "Conv" for n in pools) >= 7
    takes = {name: node for node in model.graph.node for name in node.input}
    assert "Conv" not in {_neighbour(n, takes, "output") for n in pools}
    for node in convolutions:
        weights = made_by[node.input[1]]
        assert weights.op_type == "DequantizeLinear"
        quantized, scale = (initializers[name] for name in weights.input[:2])
        assert quantized.data_type == onnx.TensorProto.INT8
        assert list(scale.dims) == [quantized.dims[0]]
    assert "genq.labels" in {p.key for p in model.metadata_props}


def _neighbour(node: onnx.NodeProto, by_tensor: dict[str, onnx.NodeProto], side: str) -> str:
    """The type of the operation before ("input") or behind ("output") a node, past QDQ pairs."""
    while True:
        node = by_tensor[getattr(node, side)[0]]
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            return node.op_type


@pytest.fixture
def doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes quantisation write a model that always answers the same."""

    def spoil(float32: Path, target: Path, *_: object) -> quantization.Quantized:
        image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, "bhw3")
        p_positive = onnx.helper.make_tensor_value_info("p_positive", onnx.TensorProto.FLOAT, ["b"])
        nodes = [
            onnx.helper.make_node("Cast", ["image"], ["x"], to=onnx.TensorProto.FLOAT),
            onnx.helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=0),
            onnx.helper.make_node("Sigmoid", ["m"], ["p_positive"]),
        ]
        axes = onnx.numpy_helper.from_array(np.array([1, 2, 3]), "axes")
        graph = onnx.helper.make_graph(nodes, "g", [image], [p_positive], [axes])
        opset = onnx.helper.make_opsetid("", 18)
        onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), str(target))
        effect = quantization.Effect(0.5, 0.5)
        return quantization.Quantized((), 94, effect, effect, 1)

    monkeypatch.setattr(quantization, "quantize", spoil)
    # The conversion itself takes most of the time and is tested above.
    monkeypatch.setattr(export.onnx_export, "to_onnx", lambda *_: onnx.load(str(converted[0])))


converted: list[Path] = []


@pytest.mark.usefixtures("doubtful")
def test_an_int8_model_over_the_limit_stops_the_run_or_is_left_out(
    saved_model: Path,
    examples_dir: Path,
    exported: SimpleNamespace,
    sources: Sources,
    tmp_path: Path,
) -> None:
    """The message names variant, share and images; by default the rest is published."""
    converted[:] = [exported.model / "model.onnx"]
    config = ExportConfig(on_variant_failure="stop")
    arguments = (saved_model, patterns(examples_dir))
    with pytest.raises(GateError, match=r"int8: only 50\.00% of 40 test images .*changed on: 00"):
        export.export(*arguments, config, tmp_path, tmp_path)
    export.export(*arguments, ExportConfig(), tmp_path, tmp_path)
    assert not (tmp_path / "model.int8.onnx").exists()
    said = json.loads((tmp_path / "export.json").read_text())
    assert said["variants"] == ["float32"] and "only 50.00%" in said["left_out"]["int8"]
    details = json.loads((tmp_path / "parity_details.json").read_text())
    assert details["left_out"] == said["left_out"]
    folder = pusher.push(
        dataclasses.replace(sources, exported=tmp_path, parity=tmp_path), tmp_path / "gender"
    )
    info = release.read_release(folder)
    assert [v.name for v in info.variants] == ["saved_model", "float32"]
    assert info.left_out == said["left_out"]
    with pytest.raises(ReleaseError, match=r"no variant 'int8'. It was left out: int8: only"):
        info.variant("int8")


def test_the_canary_refuses_what_its_users_could_not_use(
    saved_model: Path, examples_dir: Path, exported: SimpleNamespace, tmp_path: Path
) -> None:
    """A damaged file and a model with other outputs are refused before anything is published."""
    images = read_images(patterns(examples_dir)["test"], canary.REQUESTS)
    reference = canary.saved_model_answers(saved_model, images)
    answers = canary.check("float32", exported.model / "model.onnx", images, reference)
    assert len(answers) == len(reference) == canary.REQUESTS
    cut = tmp_path / "cut.onnx"
    cut.write_bytes((exported.model / "model.onnx").read_bytes()[:1_000_000])
    with pytest.raises(
        GateError, match=r"(?s)The canary.*failed with exit code 1.*INVALID_PROTOBUF"
    ):
        canary.check("float32", cut, images, reference)
    model = onnx.load(str(exported.model / "model.onnx"))
    del model.graph.output[2]
    onnx.save(model, str(tmp_path / "two.onnx"))
    with pytest.raises(GateError, match="float32 answered .* expected p_positive float32"):
        canary.check("float32", tmp_path / "two.onnx", images, reference)
    with pytest.raises(GateError, match="float32 and the SavedModel, .* differ"):
        canary.check("float32", exported.model / "model.onnx", images, 1 - reference)


def test_the_canary_cannot_import_tensorflow(tmp_path: Path) -> None:
    """The process that tries the ONNX files has no TensorFlow, even though it is installed."""
    request: dict[str, object] = {"variants": {}, "images": []}
    canary.run(canary.ONNX_CANARY, request, str(tmp_path))
    with pytest.raises(GateError, match="the canary must not import tensorflow"):
        canary.run(canary.ONNX_CANARY + "\nimport tensorflow", request, str(tmp_path))


def test_a_release_is_complete_and_says_what_it_is(sources: Sources, tmp_path: Path) -> None:
    """SavedModel, ONNX, manifest, parity; hashes hold; metrics come along."""
    folder = pusher.push(sources, tmp_path / "gender", pipeline_run="run-1", run_config='{"a": 1}')
    checksums.verify(folder)
    names = checksums.file_names(folder)
    for name in (
        "saved_model.pb",
        "variables/variables.index",
        "model.onnx",
        "manifest/manifest.csv",
        "report/parity.json",
        "release.json",
    ):
        assert name in names
    info = release.read_release(folder)
    assert info.model_name == "gender" and info.pipeline_run == "run-1" and info.parent is None
    assert [v.name for v in info.variants] == ["saved_model", "float32", "float16", "int8"]
    assert info.variant("float32").bytes == (folder / "model.onnx").stat().st_size
    assert info.metrics.overall["accuracy"].value == pytest.approx(0.9)
    # TFMA's results say nothing of people, who are the unit of an interval; the report's do.
    assert info.metrics.overall["accuracy"].low is None
    assert {s.name for s in info.metrics.slices} == {"Young=0", "Young=1"}
    assert info.sample is not None and info.sample.seed == 7
    assert info.signatures["serving_pixels"].inputs == {"image": "uint8 (batch, height, width, 3)"}
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'name: "gender"' in (tmp_path / "gender" / "config.pbtxt").read_text()


def test_triton_loads_the_pushed_directory_unchanged(
    sources: Sources, examples_dir: Path, tmp_path: Path
) -> None:
    """NVIDIA's server: the newest release by number, the names and shapes of config.pbtxt, the
    answers of onnxruntime; a release that is pushed later goes live, one that is taken back goes.
    """
    server = triton_server.install(tmp_path)
    first = pusher.push(sources, tmp_path / "models" / "gender")
    release.pin(first.parent, int(first.name))  # CURRENT is no version, and no obstacle
    image = decode_pillow(read_images([str(examples_dir / "Split-test" / "*")], 1)[0].encoded)
    body = {
        "inputs": [
            {
                "name": contract.IMAGE,
                "datatype": "UINT8",
                "shape": [2, *image.shape],
                "data": np.stack([image, 255 - image]).ravel().tolist(),
            }
        ]
    }
    with (
        triton_server.serving(server, tmp_path / "models", tmp_path) as running,
        running.client() as client,
    ):

        def versions() -> list[str]:
            found = client.get("/v2/models/gender").json()
            return list(found.get("versions", []))

        assert versions() == [first.name]
        about = client.get("/v2/models/gender").json()
        assert {o["name"]: (o["datatype"], o["shape"]) for o in about["outputs"]} == {
            contract.P_POSITIVE: ("FP32", [-1, 1]),
            contract.LABEL: ("INT64", [-1, 1]),
            contract.UNCERTAIN: ("BOOL", [-1, 1]),
        }
        answer = client.post("/v2/models/gender/infer", json=body)
        assert answer.status_code == 200, answer.text
        given = {o["name"]: np.array(o["data"]) for o in answer.json()["outputs"]}
        session = onnxruntime.InferenceSession(first / "model.onnx")
        expected = session.run(list(given), {"image": np.stack([image, 255 - image])})
        for name, value in zip(given, expected, strict=True):
            np.testing.assert_allclose(given[name], value, atol=1e-6)

        other = tmp_path / "other"
        shutil.copytree(sources.parity, other)
        (other / "parity.json").write_text((other / "parity.json").read_text() + "\n")
        second = pusher.push(dataclasses.replace(sources, parity=other), first.parent)
        running.wait_for(lambda: versions() == [second.name], "the new release")
        shutil.rmtree(second)
        running.wait_for(lambda: versions() == [first.name], "the old release again")


def test_an_unblessed_model_is_neither_exported_nor_published(tmp_path: Path) -> None:
    """Both nodes end without an error, and say so in their properties."""
    blessing = standard_artifacts.ModelBlessing()
    blessing.set_int_custom_property("blessed", 0)
    exported_model, verdict, pushed = ExportedModel(), Parity(), PushedRelease()
    for name, artifact in [("e", exported_model), ("p", verdict), ("r", pushed)]:
        artifact.uri = str(tmp_path / name)
    exporter.Executor().Do(
        {"model_blessing": [blessing]},
        {"exported_model": [exported_model], "parity": [verdict]},
        {"config": json.dumps(dataclasses.asdict(ExportConfig()))},
    )
    assert exported_model.get_int_custom_property("exported") == 0
    pusher.Executor().Do(
        {"model_blessing": [blessing], "exported_model": [exported_model]},
        {"pushed_release": [pushed]},
        {"serving_dir": str(tmp_path / "serving"), "model_name": "gender"},
    )
    assert pushed.get_int_custom_property("pushed") == 0
    assert not pushed.get_string_custom_property("release_dir")
    assert not (tmp_path / "serving").exists()


def test_the_nodes_run_from_artifacts(
    sources: Sources, saved_model: Path, examples_dir: Path, tmp_path: Path
) -> None:
    """The pusher's executor finds what it needs in TFX's artifacts and names the release."""
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "Format-Serving").symlink_to(saved_model)
    blessing = standard_artifacts.ModelBlessing()
    blessing.set_int_custom_property("blessed", 1)
    inputs = {"model": [model], "model_blessing": [blessing]}
    for key, kind, path in [
        ("exported_model", ExportedModel, sources.exported),
        ("parity", Parity, sources.parity),
        ("evaluation", standard_artifacts.ModelEvaluation, sources.evaluation),
        ("manifest", standard_artifacts.Model, sources.manifest),
    ]:
        artifact = kind()
        artifact.uri = str(path)
        inputs[key] = [artifact]
    inputs["exported_model"][0].set_int_custom_property("exported", 1)
    pushed = PushedRelease()
    pushed.uri = str(tmp_path / "pushed")
    pusher.Executor().Do(
        inputs,
        {"pushed_release": [pushed]},
        {"serving_dir": str(tmp_path / "serving"), "model_name": "gender"},
    )
    folder = Path(pushed.get_string_custom_property("release_dir"))
    assert folder.parent == tmp_path / "serving" / "gender"
    assert release.current_release(folder.parent) == folder
    assert (tmp_path / "pushed" / "release.json").exists()
    assert artifact_utils.get_single_instance([pushed]).get_int_custom_property("pushed") == 1


def test_serving_sees_the_same_numbers(sources: Sources, examples_dir: Path) -> None:
    """Onnxruntime on Pillow's pixels gives the label of the SavedModel's on the file's bytes."""
    images = read_images(patterns(examples_dir)["test"], 8)
    session = onnxruntime.InferenceSession(str(sources.exported / "model.onnx"))
    import tensorflow as tf

    module = tf.saved_model.load(str(sources.saved_model))
    for image in images:
        pixels = decode_pillow(image.encoded)[None]
        [label] = session.run([contract.LABEL], {contract.IMAGE: pixels})
        answer = module.signatures[contract.SIGNATURE_ENCODED](
            image_bytes=tf.constant([image.encoded])
        )
        assert label[0] == answer[contract.LABEL].numpy()[0]
