"""Rules of the house that no linter knows."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES = 400
REASON = re.compile(rf"^Longer than {MOST_LINES} lines because \S", re.M)


@pytest.fixture(scope="module")
def modules() -> dict[str, str]:
    """Path -> text of every Python file that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {name: (ROOT / name).read_text() for name in listed if (ROOT / name).exists()}


def is_long(source: str) -> bool:
    return len(source.splitlines()) > MOST_LINES


def says_why(source: str) -> bool:
    return bool(REASON.search(ast.get_docstring(ast.parse(source)) or ""))


def test_modules_are_short_or_say_why_not(modules: dict[str, str]) -> None:
    """At most 400 lines, or a line of the docstring: "Longer than 400 lines because …"."""
    assert len(modules) > 200
    assert [n for n, text in modules.items() if is_long(text) and not says_why(text)] == []


def test_a_reason_goes_when_the_module_is_short_again(modules: dict[str, str]) -> None:
    """The line is in long modules only."""
    assert [n for n, text in modules.items() if says_why(text) and not is_long(text)] == []


def test_only_a_docstring_says_why() -> None:
    """At the beginning of a line, with a reason; no comment."""
    assert says_why('"""Long.\n\nLonger than 400 lines because it is.\n"""\n')
    assert not says_why('"""Long.\n\nLonger than 400 lines because\n"""\n')
    assert not says_why('"""Long."""\n# Longer than 400 lines because it is.\n')


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Imports one of scripts/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"house_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_unknown_and_forbidden_licences_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under every name that metadata give them; a choice and a sum are read word by word."""
    licences = script("licences", monkeypatch)
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


def test_the_page_of_coverage_keeps_what_is_written_by_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Figures are summed by folder and rounded down; without its marker the page stays as it is."""
    coverage = script("coverage", monkeypatch)

    def summary(lines: int, run: int, branches: int, taken: int) -> dict[str, dict[str, int]]:
        counts = {"num_statements": lines, "covered_lines": run}
        return {"summary": {**counts, "num_branches": branches, "covered_branches": taken}}

    files = {
        "data/a.py": summary(1999, 1998, 2, 1),
        "components/trainer/deep/b.py": summary(10, 0, 0, 0),
        "components/trainer/c.py": summary(10, 10, 0, 0),
        "data/__init__.py": summary(0, 0, 0, 0),
    }
    found = {"meta": {"timestamp": "2026-11-27T06:00:00"}, "files": files}
    monkeypatch.setattr(coverage, "ROOT", tmp_path)
    monkeypatch.setattr(coverage, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(coverage, "FOUND", tmp_path / "found.json")
    coverage.FOUND.write_text(json.dumps(found))
    coverage.PAGE.write_text(f"Stale.\n\n{coverage.MARKER}\n\n## Why\n\nBy hand.\n")
    coverage.main()
    coverage.main()
    text = coverage.PAGE.read_text()
    assert text.endswith(f"\n\n{coverage.MARKER}\n\n## Why\n\nBy hand.\n")
    assert "Stale" not in text and "Measured on 2026-11-27." in text
    assert "| `components/trainer` | 20 | 50.0 % | none |" in text
    assert "| `data` | 1,999 | 99.9 % | 50.0 % |" in text
    assert "| **all** | 2,019 | 99.4 % | 50.0 % |" in text
    assert text.index("`components/trainer/deep/b.py`") < text.index("`data/a.py`")
    coverage.PAGE.write_text("no marker")
    with pytest.raises(SystemExit, match="nothing was written"):
        coverage.main()
    assert coverage.PAGE.read_text() == "no marker"
