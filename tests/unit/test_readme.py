"""What the pages say is true: those made from the code are current, links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("script", ["errors", "licences", "settings", "commands", "figures"])
def test_a_page_made_from_the_code_is_current(script: str) -> None:
    """Errors, licences (none unknown or forbidden), settings, commands, figures."""
    done = subprocess.run(
        [sys.executable, f"scripts/{script}.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_setting_says_what_it_is() -> None:
    """A field of the configuration that its docstring does not explain is found here."""
    page = (ROOT / "docs/settings.md").read_text()
    assert [line for line in page.splitlines() if line.endswith("|  |")] == []


def test_links_lead_to_files() -> None:
    """Relative links of the README, CONTRIBUTING and the decisions."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
