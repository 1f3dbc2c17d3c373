"""Every command that the documentation shows exists, with the options it shows."""

import re

import click
import pytest
import typer
from documented import ROOT, Block, blocks, pages, words

from pipeline.cli.app import app

GENQ = typer.main.get_command(app)
SHOWN = [(block, line) for page in pages() for block in blocks(page) for line in block.lines]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))


def genq_words(line: str) -> list[str] | None:
    """Returns what follows `genq`; None for other commands."""
    all_words = words(line)
    for number, word in enumerate(all_words):
        if word in ("genq", ".venv/bin/genq"):
            return all_words[number + 1 :]
    return None


def parse(command: click.Command, arguments: list[str], name: str) -> None:
    """Raises click's error if a command does not take these arguments; runs nothing."""
    with command.make_context(name, list(arguments), resilient_parsing=False) as context:
        if isinstance(command, click.Group):
            rest = [*context.protected_args, *context.args]
            found, inner, more = command.resolve_command(context, rest)
            assert inner is not None and found is not None
            parse(inner, more, found)


@pytest.mark.parametrize(
    ("block", "line"), SHOWN, ids=[f"{b.page.name}: {line[:60]}" for b, line in SHOWN]
)
def test_a_command_of_the_documentation_exists(
    block: Block, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `genq` command with its options, a `make` target, or a file of the repository."""
    monkeypatch.chdir(ROOT)
    arguments = genq_words(line)
    first = words(line)[0]
    if arguments is not None:
        if "--help" in arguments or arguments[:1] == ["--version"]:
            arguments = [a for a in arguments if a not in ("--help", "--version")]
            if not arguments:
                return
        parse(GENQ, arguments, "genq")
    elif first == "make":
        named = [w for w in words(line)[1:] if "=" not in w]
        assert set(named) <= TARGETS, f"the Makefile has no {named}"
    elif first.startswith((".venv/bin/python", "scripts/")):
        file = words(line)[1] if first.endswith("python") else first
        assert (ROOT / file).is_file()
    elif first not in ("curl", "cp", "kubectl", "git", "docker", "bash", "cd"):
        assert "=" in first or first == "export", f"nobody looks at: {line}"


def test_the_documentation_shows_commands_at_all() -> None:
    """The regular expression finds blocks; most of the guides' are run (tests/e2e/test_docs.py)."""
    guides = [b for p in pages() if p.parent.name == "guides" for b in blocks(p)]
    assert len(guides) > 15 and sum(b.is_run for b in guides) > len(guides) / 2
