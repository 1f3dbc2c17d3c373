"""The fingerprint of a node's code."""

from pathlib import Path

import pytest

from components.code_digest import code_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "digested"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "inner.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_a_change_anywhere_in_the_package_changes_the_digest(package: Path) -> None:
    """Editing, adding, renaming, a template: each gives another digest; reading again does not."""
    seen = [code_digest("digested")]
    assert code_digest("digested") == seen[0]
    (package / "inner.py").write_text("x = 2\n")
    seen.append(code_digest("digested"))
    (package / "more.py").write_text("")
    seen.append(code_digest("digested"))
    (package / "more.py").rename(package / "other.py")
    seen.append(code_digest("digested"))
    (package / "page.html.j2").write_text("<p>")
    seen.append(code_digest("digested"))
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "inner.cpython-311.pyc").write_bytes(b"1")
    assert code_digest("digested") == seen[-1]
    assert len(set(seen)) == 5


def test_a_module_that_does_not_exist_is_named(package: Path) -> None:
    """A typo is an error, not a digest of nothing."""
    with pytest.raises(ModuleNotFoundError, match="digested.missing"):
        code_digest("digested.missing")
