"""What the README says of the files is true."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_file_tree_is_current() -> None:
    """Every module, with the first line of its docstring."""
    done = subprocess.run(
        [sys.executable, "scripts/tree.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_catalogue_of_errors_is_current() -> None:
    """docs/errors.md says what the code raises."""
    done = subprocess.run(
        [sys.executable, "scripts/errors.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_list_of_licences_is_current() -> None:
    """docs/licences.md lists what the locks name, and none of it is unknown or forbidden."""
    done = subprocess.run(
        [sys.executable, "scripts/licences.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


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
