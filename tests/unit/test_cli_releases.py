"""`genq releases …` on small releases: what it shows, and what it never touches."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.release_pusher.publish import publish
from data.errors import ReleaseError
from data.releases import release
from pipeline.cli.releases import app


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Four releases: 1000 to 1003."""
    for n in range(4):
        (tmp_path / "model.onnx").write_text(f"model {n}")

        def describe(version: int, parent: int | None, sums: Mapping[str, str]) -> release.Release:
            # One that is worse, and of too few images to say so.
            worst, few = (
                release.SliceMetrics(name=name, accuracy=release.Metric(value=value, n=n))
                for name, value, n in (("Young=0", 0.8, 200), ("Bald=1", 0.2, 5))
            )
            accuracy = release.Metric(value=0.91, low=0.9, high=0.92, n=1000)
            return release.Release(
                model_name="gender",
                version=version,
                created="2026-11-24",
                parent=parent,
                variants=(),
                metrics=release.Metrics(overall={"accuracy": accuracy}, slices=(few, worst)),
                thresholds={"min_slice_examples": 100},
                licence="l",
                notice="n",
            )

        publish(
            tmp_path / "gender",
            {"model.onnx": tmp_path / "model.onnx"},
            describe,
            now_s=lambda: 1e3,
        )
    return tmp_path / "gender"


def call(models: Path, *arguments: str) -> str:
    result = CliRunner().invoke(
        app, [*arguments, "--model-dir", str(models)], env={"COLUMNS": "150"}
    )
    if result.exception:
        raise result.exception
    return result.output


def damage(models: Path, version: int) -> None:
    path = models / str(version) / "model.onnx"
    path.chmod(0o644)
    path.write_text("other")


def test_list_and_show(models: Path) -> None:
    """Version, accuracy with interval, worst slice and state are shown; show prints the JSON."""
    output = call(models, "list")
    assert "1003" in output and "0.910 (0.900 to 0.920)" in output and "not Young: 0.800" in output
    assert next(x for x in output.splitlines() if "current" in x).split()[1] == "1003"
    assert '"version": 1001' in call(models, "show", "1001")
    with pytest.raises(ReleaseError, match="holds no release 7") as error:
        call(models, "show", "7")
    assert "1000, 1001, 1002, 1003" in error.value.remedy


def test_verify_names_the_damaged_file(models: Path) -> None:
    """All is well; then one file of one release is not."""
    assert call(models, "verify").count("as published") == 4
    damage(models, 1001)
    with pytest.raises(ReleaseError, match=r"1001/model\.onnx: SHA-256"):
        call(models, "verify")
    call(models, "verify", "1003")


def test_promote_rollback_and_follow_again(models: Path) -> None:
    """Rolling back passes over a damaged release; "latest" follows the newest again."""
    damage(models, 1002)
    assert "to 1001 (damaged and passed over: 1002)" in call(models, "rollback")
    assert release.current_release(models).name == "1001"
    with pytest.raises(ReleaseError, match="is not as it was published"):
        call(models, "promote", "1002")
    assert release.current_release(models).name == "1001"
    call(models, "promote", "latest")
    assert release.pinned_version(models) is None
    call(models, "promote", "1000")
    with pytest.raises(ReleaseError, match="no sound release older than 1000"):
        call(models, "rollback")


def test_prune_keeps_the_newest_and_what_readers_use(models: Path) -> None:
    """A dry run removes nothing; a pinned old release and all newer ones survive."""
    assert "Would remove 1000" in call(models, "prune", "--keep", "2", "--dry-run")
    assert release.versions(models) == [1000, 1001, 1002, 1003]
    release.pin(models, 1001)
    call(models, "prune", "--keep", "1")
    assert release.versions(models) == [1001, 1002, 1003]
    release.pin(models, None)
    call(models, "prune", "--keep", "1")
    assert release.versions(models) == [1003]
    assert "Nothing to remove" in call(models, "prune")
