"""How readers find a release, and how they notice that one is damaged."""

import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import ReleaseError
from data.releases import checksums, release


def write(model_dir: Path, version: int, parent: int | None = None) -> Path:
    """A small release, written without the pusher."""
    folder = model_dir / str(version)
    (folder / "variables").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"onnx %d" % version)
    (folder / "variables" / "a b").write_bytes(b"weights")
    info = release.Release(
        model_name=model_dir.name,
        version=version,
        created="2026-11-24T00:00:00+00:00",
        parent=parent,
        variants=(release.Variant(name="float32", file="model.onnx", bytes=10, sha256="ab" * 32),),
        licence="l",
        notice="n",
    )
    (folder / "release.json").write_text(info.model_dump_json())
    done = subprocess.run(
        "find . -type f ! -name SHA256SUMS -printf '%P\\0' | xargs -0 sha256sum > SHA256SUMS",
        shell=True,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0
    return folder


def test_numbers_are_releases_and_nothing_else_is(tmp_path: Path) -> None:
    """Versions come in numeric order; staging, files and other names are not listed."""
    assert release.versions(tmp_path / "nowhere") == []
    for version in (1000, 999, 5):
        write(tmp_path, version)
    for name in (".staging", "1001-part", "007", "latest", "\u0663"):
        (tmp_path / name).mkdir()
    (tmp_path / "2000").write_text("a file")
    assert release.versions(tmp_path) == [5, 999, 1000]


def test_readers_take_the_newest_unless_one_is_pinned(tmp_path: Path) -> None:
    """Pin, follow the pin, unpin, follow the newest; a pin to nothing is an error."""
    with pytest.raises(ReleaseError, match="holds no release"):
        release.current_release(tmp_path)
    write(tmp_path, 5)
    write(tmp_path, 9)
    assert release.current_release(tmp_path).name == "9"
    release.pin(tmp_path, 5)
    assert release.current_release(tmp_path).name == "5"
    write(tmp_path, 10)
    assert release.current_release(tmp_path).name == "5"
    with pytest.raises(ReleaseError, match=r"release\.json cannot be read"):
        release.pin(tmp_path, 6)
    assert release.pinned_version(tmp_path) == 5
    release.pin(tmp_path, None)
    assert release.current_release(tmp_path).name == "10"
    (tmp_path / "CURRENT").write_text("6\n")
    with pytest.raises(ReleaseError, match="pins version 6, which is not there"):
        release.current_release(tmp_path)
    (tmp_path / "CURRENT").write_text("newest")
    with pytest.raises(ReleaseError, match="holds 'newest'; expected a version"):
        release.current_release(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["10", "5", "9", "CURRENT"]


def test_verify_names_every_file_that_differs(tmp_path: Path) -> None:
    """A flipped bit, a missing file and a new file are each found; `only` looks at one."""
    folder = write(tmp_path, 5)
    checksums.verify(folder)
    path = folder / "model.onnx"
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ReleaseError, match=r"model\.onnx: SHA-256 \w+…, expected") as error:
        checksums.verify(folder)
    assert "rollback" in error.value.remedy
    checksums.verify(folder, only=["variables/a b"])
    with pytest.raises(ReleaseError, match=r"model\.onnx"):
        checksums.verify(folder, only=["model.onnx"])
    (folder / "variables" / "a b").unlink()
    (folder / "extra").write_text("x")
    assert [p.split(":")[0] for p in checksums.problems(folder)] == [
        "model.onnx",
        "variables/a b",
        "extra",
    ]
    with pytest.raises(ReleaseError, match=r"unsummed: is not in SHA256SUMS"):
        checksums.verify(folder, only=["unsummed"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "Invalid JSON"),
        ("{}", "model_name: Field required"),
        ('{"schema_version": 2}', "schema_version: Input should be 1"),
    ],
)
def test_a_damaged_or_newer_description_is_refused(
    tmp_path: Path, content: str, words: str
) -> None:
    """The message says which field is wrong and what to do."""
    (write(tmp_path, 5) / "release.json").write_text(content)
    with pytest.raises(ReleaseError, match=words):
        release.read_release(tmp_path / "5")


def test_a_renamed_release_is_refused(tmp_path: Path) -> None:
    """A directory that was renamed does not pass for another version."""
    write(tmp_path, 5).rename(tmp_path / "6")
    with pytest.raises(ReleaseError, match="says version 5, but its directory is named 6"):
        release.read_release(tmp_path / "6")


def test_a_variant_that_is_missing_is_named(tmp_path: Path) -> None:
    """The message says what there is instead."""
    info = release.read_release(write(tmp_path, 5))
    assert info.variant("float32").file == "model.onnx"
    with pytest.raises(ReleaseError, match="no variant 'int8'") as error:
        info.variant("int8")
    assert "float32" in error.value.remedy


def test_reading_imports_nothing_heavy() -> None:
    """Serving and the command line read releases without TensorFlow, TFX or NumPy."""
    code = (
        "import sys, data.releases.release; "
        "print({m.split('.')[0] for m in sys.modules} & {'tensorflow', 'tfx', 'numpy', 'onnx'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
