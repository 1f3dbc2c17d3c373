"""Writes docs/settings.md: every setting of a run with its default, and what the presets change.

From the dataclasses of `pipeline.config` and their docstrings.

Run: .venv/bin/python scripts/settings.py [--check]
"""

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from generated import publish  # noqa: E402

from pipeline.config import PRESETS, PipelineConfig  # noqa: E402

PAGE = ROOT / "docs" / "settings.md"
HEAD = """# Settings

What a run can be told. Each goes into a YAML file (`genq run --config FILE`) as a tree, or on the
command line as `--set KEY=VALUE`, the value read as YAML (`--set trainer.flip=false`,
`--set 'sampling.balance_by=[Male, Young]'`). What is not named keeps the preset's value. A wrong
key or value is named before anything runs. This page is made from the code by
`scripts/settings.py`.
"""  # lines of the page


def described(cls: type) -> dict[str, str]:
    """Returns field -> what the docstring's `Attributes:` says; a joint entry counts for each."""
    _, _, listed = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=  \S)", listed.split("\n\n")[0]):
        names, _, text = entry.strip().partition(": ")
        for name in names.split(", "):
            found[name] = " ".join(text.split())
    return found


def rows(value: Any, prefix: str) -> Iterator[tuple[str, Any, str]]:
    """Yields (key, value, meaning) of the plain fields of a dataclass."""
    meanings = described(type(value))
    for field in dataclasses.fields(value):
        found = getattr(value, field.name)
        if not dataclasses.is_dataclass(found):
            yield f"{prefix}{field.name}", found, meanings.get(field.name, "")


def groups(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (prefix, dataclass), the whole first."""
    yield prefix, value
    for field in dataclasses.fields(value):
        found = getattr(value, field.name)
        if dataclasses.is_dataclass(found):
            yield from groups(found, f"{prefix}{field.name}.")


def shown(value: Any) -> str:
    """Returns a value as one would write it."""
    if isinstance(value, tuple):
        return "[" + ", ".join(shown(v) for v in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return '""' if value == "" else f"{value:g}" if isinstance(value, float) else str(value)


def page() -> str:
    """Returns the page."""
    parts = [HEAD]
    defaults = PipelineConfig()
    for prefix, value in groups(defaults):
        summary = (inspect.getdoc(type(value)) or "").partition("\n")[0]
        parts.append(f"## {prefix.rstrip('.') or 'the run itself'}\n\n{summary}\n")
        lines = ["| setting | default | what it is |", "| --- | --- | --- |"]
        for key, found, meaning in rows(value, prefix):
            text = meaning.replace("|", "\\|")
            lines.append(f"| `{key}` | `{shown(found)}` | {text} |")
        parts.append("\n".join(lines) + "\n")
    parts.append("## The presets\n\nWhat each changes of the defaults.\n")
    for name, make in PRESETS.items():
        preset = make()
        own = {k: v for p, g in groups(preset) for k, v, _ in rows(g, p)}
        base = {k: v for p, g in groups(defaults) for k, v, _ in rows(g, p)}
        summary = (inspect.getdoc(make) or "").partition("\n")[0]
        changed = [f"| `{k}` | `{shown(v)}` |" for k, v in own.items() if v != base[k]]
        parts.append(f"### {name}\n\n{summary}\n")
        parts.append("\n".join(["| setting | value |", "| --- | --- |", *changed]) + "\n")
    return "\n".join(parts)


def main() -> None:
    """Writes the page, or says that it is out of date."""
    publish(PAGE, page())


if __name__ == "__main__":
    main()
