"""Writes the list of modules in docs/architecture.md, each with its docstring's first line.

Run: .venv/bin/python scripts/tree.py [--check]
"""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/architecture.md"
BEGIN, END = "<!-- tree -->\n", "<!-- /tree -->\n"
FOLDERS = {
    "data": "what an example, a face and a release are; imports no TensorFlow",
    "components": "one folder or file a node of the pipeline",
    "pipeline": "how nodes are joined, where they run, and the command line",
    "serving": "the application; imports no TensorFlow",
    "benchmarks": "one script a claim",
}


def tree() -> str:
    """Returns the tree as Markdown, one folded section a top-level folder."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *FOLDERS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    modules = sorted(p for p in listed if p.endswith(".py") and (ROOT / p).read_text().strip())
    sections = []
    for folder, what in FOLDERS.items():
        own = [m for m in modules if m.startswith(f"{folder}/")]
        width = max(len(m) for m in own)
        lines = [f"{module:<{width}}  {summary(ROOT / module)}" for module in own]
        sections.append(
            f"<details><summary><code>{folder}/</code> {what}</summary>\n\n```\n"
            + "\n".join(lines)
            + "\n```\n</details>\n"
        )
    return "\n".join(sections)


def summary(path: Path) -> str:
    """Returns the first line of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return docstring.partition("\n")[0]


def with_tree(page: str) -> str:
    """Returns the page with the current tree."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + tree() + END + tail


def main() -> None:
    """Rewrites the page, or says that it is out of date."""
    current = PAGE.read_text()
    wanted = with_tree(current)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(wanted)
    elif current != wanted:
        sys.exit("docs/architecture.md is out of date: .venv/bin/python scripts/tree.py")


if __name__ == "__main__":
    main()
