"""The local runner on a tiny pipeline: order, caching, failures, killed runs, locks."""

import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import metadata
from tfx.types import standard_artifacts

from data.errors import BusyError, ConfigError, GateError
from pipeline.history.runs import connect
from pipeline.run_local import NodeResult, Outcome, Progress, run
from pipeline.workdir import locked


@component
def Write(text: Parameter[str], out: OutputArtifact[standard_artifacts.String]) -> None:  # noqa: N802  # TFX names components like classes
    """Writes a file; fails on "bad", hangs on "slow"."""
    if text == "bad":
        raise GateError("the text is bad", "write another")
    Path(out.uri).write_text(text)
    if text == "slow":
        time.sleep(600)


def pipeline(root: Path, *texts: str) -> tfx.dsl.Pipeline:
    return tfx.dsl.Pipeline(
        pipeline_name="tiny",
        pipeline_root=str(root),
        metadata_connection_config=metadata.sqlite_metadata_connection_config(
            str(root / "metadata.sqlite")
        ),
        enable_cache=True,
        components=[Write(text=t).with_id(f"write-{i}") for i, t in enumerate(texts)],
    )


def outcomes(root: Path, *texts: str) -> list[tuple[str, Outcome]]:
    seen: list[NodeResult] = []
    _, results = run(pipeline(root, *texts), Progress(lambda _: None, seen.append))
    assert seen == results
    return [(r.node_id, r.outcome) for r in results]


def states(root: Path) -> list[int]:
    store = MetadataStore(metadata.sqlite_metadata_connection_config(str(root / "metadata.sqlite")))
    return [e.last_known_state for e in store.get_executions()]


def test_an_unchanged_node_is_cached_and_a_changed_one_runs(tmp_path: Path) -> None:
    """The second run takes the first node from the cache and runs the changed second."""
    assert outcomes(tmp_path, "a", "b") == [("write-0", Outcome.RAN), ("write-1", Outcome.RAN)]
    assert outcomes(tmp_path, "a", "c") == [("write-0", Outcome.CACHED), ("write-1", Outcome.RAN)]


def test_an_error_stops_the_run_and_keeps_what_was_done(tmp_path: Path) -> None:
    """The user's error comes out as it was raised; the node before it is cached next time."""
    started: list[str] = []
    with pytest.raises(GateError, match="the text is bad"):
        run(pipeline(tmp_path, "a", "bad", "b"), Progress(started.append, lambda _: None))
    assert started == ["write-0", "write-1"]
    assert states(tmp_path) == [mlmd.Execution.COMPLETE, mlmd.Execution.FAILED]
    assert outcomes(tmp_path, "a", "b")[0] == ("write-0", Outcome.CACHED)


def test_after_kill_9_a_rerun_recovers_and_the_metadata_is_sound(tmp_path: Path) -> None:
    """A killed run's execution is closed, its half-made output removed, and the work done again."""
    code = f"""
        import importlib.util, sys
        from pathlib import Path
        # The executor's import path is part of the cache key: the same name as here.
        spec = importlib.util.spec_from_file_location({__name__!r}, {str(Path(__file__))!r})
        module = importlib.util.module_from_spec(spec)
        sys.modules[{__name__!r}] = module
        spec.loader.exec_module(module)
        module.outcomes(Path({str(tmp_path)!r}), "a", "slow")
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=Path.cwd())
    try:
        deadline_s = time.monotonic() + 120
        while not (half_made := list(tmp_path.glob("write-1/out/*/*"))):
            assert child.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        with pytest.raises(BusyError, match="Another run works in"):
            outcomes(tmp_path, "a", "b")
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert states(tmp_path) == [mlmd.Execution.COMPLETE, mlmd.Execution.RUNNING]
    assert outcomes(tmp_path, "a", "b") == [("write-0", Outcome.CACHED), ("write-1", Outcome.RAN)]
    assert states(tmp_path)[1] == mlmd.Execution.FAILED
    assert mlmd.Execution.RUNNING not in states(tmp_path)
    assert not half_made[0].exists()


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    """A failed run does not lock its directory for ever."""
    with pytest.raises(ValueError, match="inside"), locked(tmp_path):
        raise ValueError("inside")
    with locked(tmp_path):
        pass


@component
def Read(  # noqa: N802  # as above
    written: InputArtifact[standard_artifacts.String],
    out: OutputArtifact[standard_artifacts.String],
) -> None:
    """Copies what was written."""
    Path(out.uri).write_text(Path(written.uri).read_text())


def chain(workdir: Path) -> tfx.dsl.Pipeline:
    """Write -> Read, with metadata beside the artifacts, as genq's work directories have them."""
    write = Write(text="a").with_id("write")
    return tfx.dsl.Pipeline(
        pipeline_name="tiny",
        pipeline_root=str(workdir / "pipeline"),
        metadata_connection_config=metadata.sqlite_metadata_connection_config(
            str(workdir / "metadata.sqlite")
        ),
        enable_cache=True,
        components=[write, Read(written=write.outputs["out"]).with_id("read")],
    )


def ran(workdir: Path, **how: Any) -> list[str]:
    """Runs the chain; returns the nodes that were not taken from the cache."""
    _, results = run(chain(workdir), Progress(lambda _: None, lambda _: None), **how)
    return [r.node_id for r in results if r.outcome is Outcome.RAN]


def uris(workdir: Path) -> list[str]:
    return [a.uri for a in connect(workdir).get_artifacts()]


@pytest.mark.parametrize("how", ["moved", "copied", "moved twice"])
def test_a_work_directory_may_be_moved_or_copied(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything comes from the cache at the new place; nothing points to the old one."""
    old, new = tmp_path / "old", tmp_path / "elsewhere" / "new"
    new.parent.mkdir()
    assert ran(old) == ["write", "read"]
    if how == "copied":
        shutil.copytree(old, new)
    else:
        old.rename(new)
    if how == "moved twice":
        assert ran(new) == []
        new.rename(old)
        old, new = new, old
    assert ran(new) == []
    assert caplog.text.count(f"The work directory was at {old}") == 1
    assert all(uri.startswith(f"{new}/") for uri in uris(new))
    caplog.clear()
    assert ran(new) == [] and "was at" not in caplog.text
    # Whoever only reads is told as well, and finds the files.
    away = tmp_path / "away"
    new.rename(away)
    assert all(Path(uri).exists() for uri in uris(away))


def test_a_node_may_be_asked_to_run_again(tmp_path: Path) -> None:
    """It runs, and so does what reads it; without a cache everything runs; a wrong name is told."""
    assert ran(tmp_path) == ["write", "read"]
    assert ran(tmp_path, rerun=["read"]) == ["read"]
    assert ran(tmp_path, rerun=["write"]) == ["write", "read"]
    assert ran(tmp_path, cache=False) == ["write", "read"]
    assert ran(tmp_path) == []
    with pytest.raises(ConfigError, match="no node 'wirte' to run again") as caught:
        ran(tmp_path, rerun=["wirte"])
    assert "Nodes are write, read" in caught.value.remedy


def test_a_deleted_result_is_made_again_and_the_reader_of_it_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the folder is gone or some of its files; what comes back is used again."""
    assert ran(tmp_path) == ["write", "read"]
    [folder] = (tmp_path / "pipeline/write/out").iterdir()
    folder.rename(tmp_path / "kept")
    assert ran(tmp_path) == ["write", "read"]
    assert "Files of 1 earlier results are gone: write (1)" in caplog.text
    for made in (tmp_path / "pipeline/write/out").iterdir():
        shutil.rmtree(made)
    (tmp_path / "kept").rename(folder)
    assert ran(tmp_path) == []
    assert "are back: write (1)" in caplog.text
    (folder / "value").unlink()  # half of it
    assert ran(tmp_path) == ["write", "read"]
