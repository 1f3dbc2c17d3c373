"""Writes docs/errors.md: every error a user can meet, with its cause and remedy, from the code.

Errors of the command line are the places that raise a GenqError; their texts keep the names of what
is filled in. Errors of the API are its catalogue.

Run: .venv/bin/python scripts/errors.py [--check]
"""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from generated import publish, table  # noqa: E402

from data import errors  # noqa: E402
from serving.api.errors import CATALOG  # noqa: E402

PAGE = ROOT / "docs" / "errors.md"
SOURCES = ("data", "components", "pipeline", "serving")
CLASSES = {
    name: cls
    for name, cls in vars(errors).items()
    if isinstance(cls, type) and issubclass(cls, errors.GenqError)
}


@dataclass(frozen=True)
class Raised:
    """One place that raises: the error's class, its two texts, and the module."""

    name: str
    problem: str
    remedy: str
    module: str


def raised(module: Path) -> Iterator[Raised]:
    """Yields every GenqError that a module makes."""
    tree = ast.parse(module.read_text())
    constants = {
        target.id: statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value
        for target in (
            statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        )
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            if name in CLASSES and node.args:
                named = {k.arg: k.value for k in node.keywords}
                remedy = node.args[1] if len(node.args) > 1 else named.get("remedy")
                yield Raised(
                    name,
                    text(node.args[0], constants),
                    text(remedy, constants) if remedy else "",
                    str(module.relative_to(ROOT)),
                )


def text(node: ast.expr, constants: dict[str, ast.expr]) -> str:
    """Returns a string expression as a reader knows it: names of what is filled in, in braces."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(text(v, constants) for v in values)
        case ast.FormattedValue(value=ast.Name(id=name)) | ast.Name(id=name) if isinstance(
            constants.get(name), ast.Constant | ast.JoinedStr
        ):
            return text(constants[name], constants)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="format")) if (
            name in constants
        ):
            return text(constants[name], constants)
        case ast.FormattedValue(value=value):
            return f"{{{ast.unparse(value)}}}"
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return text(left, constants) + text(right, constants)
        case ast.IfExp(body=body, orelse=orelse):
            return f"{text(body, constants)} / {text(orelse, constants)}"
    return f"{{{ast.unparse(node)}}}"


def cell(content: str) -> str:
    """Returns text for a Markdown table."""
    one_line = " ".join(content.split())
    return one_line.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def page() -> str:
    """Returns the catalogue."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *SOURCES],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    by_class: dict[str, list[Raised]] = defaultdict(list)
    for path in sorted(p for p in listed if p.endswith(".py") and p != "data/errors.py"):
        for error in raised(ROOT / path):
            by_class[error.name].append(error)
    parts = [
        "# Errors",
        "Every error of genq says what was found, what was expected and what to do. This page is "
        "made from the code by `scripts/errors.py`; in braces stands what is filled in. Where the "
        "second column is empty, the first says what is accepted.",
        "## Exit codes of `genq`",
        table(
            ("code", "meaning"),
            [
                ("0", "done"),
                *(
                    (str(cls.exit_code), f"{name}: {summary(cls)}")
                    for name, cls in CLASSES.items()
                    if name == "GenqError" or "exit_code" in vars(cls)
                ),
                ("2", "also: an option that the command line does not know"),
                ("130", "stopped by Ctrl-C"),
            ],
        ),
        "Any other error is a fault of genq: it shows a traceback. `genq --debug …` shows one for "
        "these as well.",
    ]
    for name, cls in CLASSES.items():
        rows = [(cell(e.problem), cell(e.remedy), f"`{e.module}`") for e in by_class[name]]
        if rows:
            parts += [
                f"## {name}: {summary(cls)}",
                table(("what it says", "what to do", "from"), rows),
            ]
    api = [
        (f"`{code}`", str(status), cell(english)) for code, (status, english, _) in CATALOG.items()
    ]
    parts += [
        "## The application's answers",
        '`{"error": {"code": …}}`; codes never change, texts may, and there is one in Indonesian '
        "for each (`?lang=id`).",
        table(("code", "HTTP status", "text"), api),
    ]
    return "\n\n".join(parts) + "\n"


def summary(cls: type) -> str:
    """Returns the first sentence of a class's docstring, without its full stop."""
    first = (cls.__doc__ or "").partition("\n")[0].rstrip(".")
    return first[0].lower() + first[1:]


def main() -> None:
    """Rewrites the page, or says that it is out of date."""
    publish(PAGE, page())


if __name__ == "__main__":
    main()
