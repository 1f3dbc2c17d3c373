"""Rules of the house that no linter knows."""

import ast
import re
import subprocess
from pathlib import Path

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
