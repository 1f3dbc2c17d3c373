"""TFX's nodes outside of a pipeline: artifacts in folders, and an executor that is run on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

DIRECT = ("--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner",)


def at(kind: type, folder: Path) -> Any:
    """An artifact with a place."""
    made = kind()
    made.uri = str(folder)
    return made


def examples_at(folder: Path, splits: Sequence[str]) -> standard_artifacts.Examples:
    """The examples that lie in a folder."""
    found: standard_artifacts.Examples = at(standard_artifacts.Examples, folder)
    found.split_names = artifact_utils.encode_split_names(list(splits))
    examples_utils.set_payload_format(found, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(found, "tfrecords_gzip")
    return found


def execute(
    executor: type,
    out: Path,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, type],
    properties: Mapping[str, Any],
    flags: Sequence[str] = DIRECT,
) -> list[Any]:
    """Runs a node that uses Beam; each output lies below `out`, under its name."""
    made = {name: at(kind, out / name) for name, kind in outputs.items()}
    out.mkdir(exist_ok=True, parents=True)
    # With a setup file named, TFX does not pack itself for remote workers; Beam packs this one.
    setup = out / "setup.py"
    setup.write_text("import setuptools\nsetuptools.setup(name='none', py_modules=[])\n")
    context = executor.Context(  # type: ignore[attr-defined]
        beam_pipeline_args=[*flags, f"--setup_file={setup}"], tmp_dir=str(out / "tmp")
    )
    executor(context).Do(
        {name: [artifact] for name, artifact in inputs.items()},
        {name: [artifact] for name, artifact in made.items()},
        dict(properties),
    )
    return list(made.values())
