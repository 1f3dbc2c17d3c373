"""A release as a repository of the Hugging Face Hub, read by the Hub's own library."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load
from served import astronaut, encoded, write_release
from typer.testing import CliRunner

from data.errors import ReleaseError
from data.releases import huggingface, release
from pipeline.cli.releases import app


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """One release of two variants that answers."""
    return write_release(tmp_path / "gender", 1000, int8=True).parent


def exported(models: Path, folder: Path, *more: str) -> str:
    """Types the command."""
    words = ["export", str(folder), "--to", "huggingface", *more, "--model-dir", str(models)]
    result = CliRunner().invoke(app, words)
    if result.exception:
        raise result.exception
    return result.output


def test_the_hubs_library_reads_the_card(models: Path, tmp_path: Path) -> None:
    """Metadata, licence and results are where the Hub looks for them; limits are in the text."""
    output = exported(models, tmp_path / "repo")
    assert f"hf upload OWNER/NAME {tmp_path / 'repo'}" in output
    card = ModelCard.load(tmp_path / "repo/README.md")
    assert card.data.license == "other" and card.data.license_link == "LICENSE"
    assert (tmp_path / "repo/LICENSE").read_text().startswith("CelebA: non-commercial")
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.library_name == "onnx"
    found = {r.metric_type: r.metric_value for r in card.data.eval_results}
    assert found == {"accuracy": 0.94, "roc_auc": 0.98}
    # What the library writes of what it read is what stands there.
    assert metadata_load(tmp_path / "repo/README.md") == huggingface.metadata(
        release.read_release(models / "1000")
    )
    assert "Appearance is not identity" in card.text
    assert "Do not decide anything about a person" in card.text


def test_files_and_configuration_are_those_of_the_release(models: Path, tmp_path: Path) -> None:
    """The ONNX files byte by byte; labels and geometry; large files by Git LFS."""
    exported(models, tmp_path / "repo", "1000")
    there = {p.name for p in (tmp_path / "repo").iterdir()}
    assert there == {
        *("README.md", "LICENSE", ".gitattributes", "config.json", "preprocessor_config.json"),
        *("model.onnx", "model.int8.onnx", "release.json"),
    }
    for name in ("model.onnx", "model.int8.onnx"):
        assert (tmp_path / "repo" / name).read_bytes() == (models / "1000" / name).read_bytes()
    config = json.loads((tmp_path / "repo/config.json").read_text())
    assert config["id2label"] == {"0": "female", "1": "male"}
    prepared = json.loads((tmp_path / "repo/preprocessor_config.json").read_text())
    assert prepared["size"] == {"height": 218, "width": 178} and not prepared["do_rescale"]
    assert "*.onnx filter=lfs" in (tmp_path / "repo/.gitattributes").read_text()


def test_the_cards_example_runs_as_it_stands(models: Path, tmp_path: Path) -> None:
    """Copied out of the README into a folder with a photo."""
    exported(models, tmp_path / "repo")
    [code] = re.findall(r"```python\n(.*?)```", (tmp_path / "repo/README.md").read_text(), re.S)
    (tmp_path / "repo/face.jpg").write_bytes(encoded(astronaut()))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "repo", capture_output=True, text=True,
        env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"(female|male|uncertain) [\d.e-]+\n", done.stdout)


def test_a_folder_of_something_else_is_left_alone(models: Path, tmp_path: Path) -> None:
    """An earlier export and a clone are written over, another folder is not."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("mine")
    with pytest.raises(ReleaseError, match="is not empty"):
        exported(models, tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.tex"]
    (tmp_path / "clone/.git").mkdir(parents=True)
    for _ in range(2):
        exported(models, tmp_path / "clone")
    ModelCard.load(tmp_path / "clone/README.md")


def test_a_damaged_release_is_not_passed_on(models: Path, tmp_path: Path) -> None:
    """Its checksums are verified first."""
    (models / "1000/model.onnx").write_bytes(b"other")
    with pytest.raises(ReleaseError):
        exported(models, tmp_path / "repo")
    assert not (tmp_path / "repo").exists()
