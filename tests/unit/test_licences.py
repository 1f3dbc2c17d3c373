"""The page of licences names what is unknown or forbidden."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_unknown_and_forbidden_licences_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under every name that metadata give them; a choice and a sum are read word by word."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    licences = importlib.import_module("licences")
    said = {
        "none": "",
        "new": "MIT AND (Foo-1.0 OR Apache-2.0)",
        "agpl": "GNU Affero General Public License v3",
        "sspl": "SSPL-1.0",
        "two": "Apache Software License; MIT License",
        "good": "MPL-2.0 AND (Apache-2.0 OR MIT)",
    }
    packages = [licences.Package(n, "1", licences.normalised(said[n])) for n in said]
    found = licences.faults(packages)
    assert [line.split()[0] for line in found] == ["none", "new", "agpl", "sspl"]
    assert "Foo-1.0" in found[1] and "forbidden" in found[2]
