"""Signatures and the bill of materials of a release; what `reproduce` refuses."""

import importlib.metadata
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.release_pusher import provenance
from components.release_pusher.publish import publish
from components.release_pusher.sbom import sbom
from data.errors import ConfigError, ReleaseError
from data.releases import checksums, release
from pipeline import config
from pipeline.cli import releases as cli_releases
from pipeline.history import reproduce

OPENSSL = shutil.which("openssl") or pytest.skip("openssl is not there", allow_module_level=True)


def describe(version: int, parent: int | None, sums: Mapping[str, str]) -> release.Release:
    return release.Release(
        model_name="gender", version=version, created="", parent=parent, variants=(),
        licence="l", notice="n",
    )  # fmt: skip


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair of keys as openssl makes them."""
    folder = tmp_path_factory.mktemp("keys")
    make = [OPENSSL, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run([*make, "-out", folder / "key"], check=True, capture_output=True)
    public = [OPENSSL, "pkey", "-in", folder / "key", "-pubout", "-out", folder / "key.pub"]
    subprocess.run(public, check=True)
    return folder


def signer(keys: Path) -> str:
    return f"{OPENSSL} dgst -sha256 -sign {keys / 'key'} -out {{signature}} {{file}}"


def checker(keys: Path) -> str:
    return f"{OPENSSL} dgst -sha256 -verify {keys / 'key.pub'} -signature {{signature}} {{file}}"


def push(root: Path, sign_command: str) -> Path:
    (root / "model.onnx").write_text("a model")
    return publish(
        root / "gender",
        {"model.onnx": root / "model.onnx"},
        describe,
        sign_command=sign_command,
        now_s=lambda: 1000.0,
    )


def test_a_signed_release_is_verified_and_a_forged_one_is_not(tmp_path: Path, keys: Path) -> None:
    """Whoever changes a file and its checksum, too, is found by the signature alone."""
    folder = push(tmp_path, signer(keys))
    checksums.verify(folder)
    arguments = ["verify", "--model-dir", str(tmp_path / "gender")]
    runner = CliRunner()
    signed = [*arguments, "--signature-command", checker(keys)]
    assert "1000: as published" in runner.invoke(cli_releases.app, signed).output
    for path in (folder / "model.onnx", folder / checksums.SUMS):
        path.chmod(0o644)
    (folder / "model.onnx").write_text("another")
    digest = checksums.sha256(folder / "model.onnx")
    lines = [f"{digest}  model.onnx", (folder / checksums.SUMS).read_text().splitlines()[1]]
    (folder / checksums.SUMS).write_text("\n".join(lines) + "\n")
    assert runner.invoke(cli_releases.app, arguments).exit_code == 0, "sums agree"
    found = runner.invoke(cli_releases.app, signed).exception
    assert isinstance(found, ReleaseError) and "Verif" in found.problem


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("false {file}", "signature command failed"),
        ("no-such-program {file}", "signature command failed"),
        ("true {file}", "left no SHA256SUMS.sig"),
        ("true {key}", "cannot be read"),
    ],
)
def test_without_a_signature_nothing_is_published(
    tmp_path: Path, command: str, problem: str
) -> None:
    with pytest.raises(ReleaseError, match=problem):
        push(tmp_path, command)
    assert release.versions(tmp_path / "gender") == []
    assert list((tmp_path / "gender/.staging").iterdir()) == []
    assert push(tmp_path, "").name == "1001"


def test_the_bill_lists_every_installed_package_and_is_the_same_every_time() -> None:
    """Names and versions as pip sees them; no time, no serial number."""
    text = sbom()
    assert text == sbom()
    content = json.loads(text)
    assert content["bomFormat"] == "CycloneDX" and content["specVersion"] == "1.6"
    assert not {"serialNumber"} & set(content) and "timestamp" not in content["metadata"]
    listed = {c["name"]: c["version"] for c in content["components"]}
    assert listed["tfx"] == importlib.metadata.version("tfx")
    names = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    assert len(listed) == len({n.replace("_", "-").replace(".", "-") for n in names})
    assert all(c["purl"] == f"pkg:pypi/{c['name']}@{c['version']}" for c in content["components"])


def made_by(settings: config.PipelineConfig, **changes: object) -> release.Release:
    """A release that records these settings, as the pusher does."""
    recorded = {"config": config.recorded(settings), **provenance.packages()}
    values = {"code_version": provenance.code_version(), "provenance": recorded, **changes}
    return describe(1000, None, {}).model_copy(update=values)


def test_the_recorded_settings_come_back_but_for_places(tmp_path: Path) -> None:
    """Every setting of the run, in another work directory; data that were given must be given."""
    settings = config.load(
        overrides=[
            "trainer.seed=7",
            "sampling.total=40",
            'evaluation.slices=[["Male"],["Male","Young"]]',
            "data.shards=3",
            f"data.root={tmp_path}",
            "workdir=elsewhere",
        ]
    )
    info = made_by(settings)
    again = reproduce.recorded_config(info, tmp_path / "again", tmp_path)
    assert again.workdir == str(tmp_path / "again")
    for part in ("name", "data", "sampling", "trainer", "tuner", "evaluation", "export"):
        assert getattr(again, part) == getattr(settings, part), part
    with pytest.raises(ReleaseError, match="does not say how it was made"):
        reproduce.recorded_config(made_by(settings, provenance={}), tmp_path, None)
    strange = info.provenance | {"config": '{"trainer": {"no_such": 1}}'}
    with pytest.raises(ReleaseError, match="does not know") as caught:
        reproduce.recorded_config(made_by(settings, provenance=strange), tmp_path, None)
    assert isinstance(caught.value.__cause__, ConfigError)


def test_other_sources_are_refused_and_named(tmp_path: Path) -> None:
    """Code and packages; the remedy names the commit."""
    settings = config.load()
    other = made_by(settings, code_version="abc+changes", provenance={"config": "{}"})
    with pytest.raises(ReleaseError) as caught:
        reproduce.require_same_sources(other)
    assert "code: the release is of abc+changes" in caught.value.problem
    assert "requirements.lock was None" in caught.value.problem
    assert "git checkout abc &&" in caught.value.remedy and "--anyway" in caught.value.remedy
    clean = made_by(settings)
    if clean.code_version and clean.code_version.endswith("+changes"):
        with pytest.raises(ReleaseError, match="no commit holds"):
            reproduce.require_same_sources(clean)
    else:
        reproduce.require_same_sources(clean)
