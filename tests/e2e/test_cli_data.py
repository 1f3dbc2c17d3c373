"""`genq data …` from the outside."""

import subprocess
import sys

import pytest
import yaml
from pydantic import TypeAdapter
from typer.testing import CliRunner

from components.example_gen.sampling import SamplingConfig
from data.errors import ConfigError, DataError
from pipeline.cli.data import app


def test_help_imports_nothing_heavy():
    """NumPy, pandas, Beam and TensorFlow wait until a command needs them."""
    code = (
        "import sys, pipeline.cli.data;"
        "print([m for m in ('numpy', 'pandas', 'tensorflow', 'apache_beam', 'tfx', 'requests')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_audit_writes_a_configuration_that_leaves_the_duplicates_out(celeba_tree, tmp_path):
    """The file's ids are accepted by SamplingConfig; the tree reuses eight pictures."""
    root = celeba_tree(tmp_path / "data")
    target = tmp_path / "leave_out.yaml"
    result = CliRunner().invoke(app, ["audit", str(root), "--leave-out", str(target)])
    assert result.exit_code == 0, result.output
    assert "Exact duplicates: 8 groups" in result.stdout
    tree = yaml.safe_load(target.read_text())["sampling"]
    config = TypeAdapter(SamplingConfig).validate_python(tree)
    assert len(config.leave_out) == 120 - 8


def test_fetch_shows_the_terms_and_wants_them_accepted(tmp_path):
    """Nothing is written without consent."""
    result = CliRunner().invoke(app, ["fetch", str(tmp_path / "celeba")])
    assert isinstance(result.exception, ConfigError)
    assert "non-commercial research" in result.exception.problem
    assert not result.stdout.strip(), "once is enough"
    assert not (tmp_path / "celeba").exists()


@pytest.mark.parametrize("command", ["inspect", "audit"])
def test_a_wrong_folder_is_named(command, tmp_path):
    """Rather than a traceback of a missing file."""
    result = CliRunner().invoke(app, [command, str(tmp_path / "nothing")])
    assert isinstance(result.exception, DataError)
    assert "nothing: there is no such folder" in result.exception.problem


def test_of_spans_the_newest_is_inspected(celeba_tree, tmp_path):
    for number in (1, 2):
        celeba_tree(tmp_path / f"span-000{number}", images=60 * number)
    result = CliRunner().invoke(app, ["inspect", str(tmp_path)])
    assert f"holds spans; this is the newest, {tmp_path}/span-0002" in result.stdout
    assert "120" in result.stdout
