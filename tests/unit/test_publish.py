"""Publishing under faults: killed anywhere, no space, no right, no clock, not alone."""

import errno
import multiprocessing
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pushed
import pytest
from pushed import files, push, state

from components.release_pusher import publish as module
from data.errors import ReleaseError
from data.releases import checksums, release


def test_a_release_appears_whole_and_nothing_is_left_over(tmp_path: Path) -> None:
    """The directory holds what was given, sums that hold, and the staging area is empty."""
    folder = push(tmp_path, "a", beside={"config.pbtxt": "x"})
    assert folder == tmp_path / "gender" / "1000"
    assert checksums.file_names(folder) == ["model.onnx", "release.json", "variables/data"]
    checksums.verify(folder)
    assert release.read_release(folder).parent is None
    assert list((tmp_path / "gender" / ".staging").iterdir()) == []
    assert (tmp_path / "gender" / "config.pbtxt").read_text() == "x"
    assert all(not p.stat().st_mode & 0o222 for p in folder.rglob("*") if p.is_file())


def test_versions_grow_even_if_the_clock_goes_back(tmp_path: Path) -> None:
    """The same second, an earlier one, and a pruned newest: never the same version twice."""
    seen = [int(push(tmp_path, f"{n}", now_s).name) for n, now_s in enumerate([1000, 1000, 7])]
    assert seen == [1000, 1001, 1002]
    import shutil

    shutil.rmtree(tmp_path / "gender" / "1002")
    assert push(tmp_path, "x", 7.0).name == "1003"
    assert release.read_release(tmp_path / "gender" / "1003").parent == 1001
    assert push(tmp_path, "y", 5000.9).name == "5000"


def test_what_is_published_already_is_not_published_again(tmp_path: Path) -> None:
    """The same bytes lead to the same release; when that one is damaged, to a new one."""
    first = push(tmp_path, "a")
    assert push(tmp_path, "a", 2000.0) == first
    damaged = first / "model.onnx"
    damaged.chmod(0o644)
    damaged.write_bytes(b"?" + damaged.read_bytes()[1:])
    assert push(tmp_path, "a", 3000.0).name == "3000"


def test_killed_at_any_step_nothing_half_made_is_visible(tmp_path: Path) -> None:
    """SIGKILL at every file-system step: releases are whole, the old one is untouched, and the
    next push succeeds under a new version and cleans up."""
    code = """
        import importlib.util, os, shutil, signal, sys
        from pathlib import Path
        from data.releases import checksums
        spec = importlib.util.spec_from_file_location("t", sys.argv[1])
        t = importlib.util.module_from_spec(spec); spec.loader.exec_module(t)
        root = Path(sys.argv[2])
        old = t.push(root, "old", 500.0)
        before = t.state(root / "gender")
        step, killed, published = 0, 0, 0
        while True:
            step += 1
            child = os.fork()
            if child == 0:
                count = 0
                def tick(*_):
                    global count
                    count += 1
                    if count == step:
                        os.kill(os.getpid(), signal.SIGKILL)
                def hook(event, arguments):
                    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir",
                                 "os.chmod", "shutil.rmtree") and "gender" in str(arguments[0]):
                        tick()
                sys.addaudithook(hook)
                sync = os.fsync
                os.fsync = lambda fd: (tick(), sync(fd), tick())
                t.push(root, "new", 1000.0)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            after = t.state(root / "gender")
            assert {k: v for k, v in after.items() if k in before} == before, step
            for version in t.release.versions(root / "gender"):
                checksums.verify(root / "gender" / str(version))
                t.release.read_release(root / "gender" / str(version))
            if os.WIFEXITED(status):
                assert os.WEXITSTATUS(status) == 0
                break
            killed += 1
            published += len(after) > len(before)
            # The next push is not stopped by what was left, and leaves nothing of it.
            again = t.push(root, "new", 900.0)
            assert t.release.current_release(root / "gender") == again
            assert not [p for p in (root / "gender" / ".staging").iterdir() if p.is_dir()]
            shutil.rmtree(again)
        print(killed, published)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), pushed.__file__, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    killed, published = map(int, done.stdout.split())
    # Most kills come before the rename, some after it: then the release stands.
    assert killed > 30 and 0 < published < killed / 2


def _push_in_process(root: str, content: str) -> str:
    return push(Path(root), content, 1000.0).name


def test_pushers_at_the_same_time_all_survive(tmp_path: Path) -> None:
    """Four processes, one clock: four versions, each whole."""
    for n in range(4):
        files(tmp_path / f"src-{n}", f"{n}")
    with multiprocessing.get_context("fork").Pool(4) as pool:
        names = pool.starmap(_push_in_process, [(str(tmp_path), f"{n}") for n in range(4)])
    assert sorted(names) == ["1000", "1001", "1002", "1003"]
    for name in names:
        checksums.verify(tmp_path / "gender" / name)


def test_a_push_that_still_works_is_left_alone(tmp_path: Path) -> None:
    """Another pusher's staging folder survives while that process holds its lock."""
    other = tmp_path / "gender" / ".staging" / "77"
    other.mkdir(parents=True)
    import filelock

    with filelock.FileLock(other.with_name("77.lock"), is_singleton=False).acquire():
        child = multiprocessing.get_context("fork").Process(target=push, args=(tmp_path, "a"))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert other.exists()
    push(tmp_path, "b")
    assert not other.exists()


@pytest.mark.parametrize("fail_at", range(1, 8))
def test_a_full_disk_publishes_nothing_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int
) -> None:
    """No space at the n-th sync: ReleaseError with a remedy; the old release is as it was."""
    push(tmp_path, "old", 500.0)
    before = state(tmp_path / "gender")
    count = 0
    fsync = os.fsync

    def full(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == fail_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReleaseError, match="No space left on device") as error:
        push(tmp_path, "new")
    assert "Make room" in error.value.remedy
    monkeypatch.undo()
    assert state(tmp_path / "gender") == before
    assert not [p for p in (tmp_path / "gender" / ".staging").iterdir() if p.is_dir()]
    checksums.verify(push(tmp_path, "new"))


def test_after_the_rename_nothing_can_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The eighth and last sync is of the directory that shows the release: a warning only."""
    count = 0
    fsync = os.fsync

    def full(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == 8:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    checksums.verify(push(tmp_path, "a"))
    assert "a power cut may undo it" in caplog.text


def test_a_target_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    """Without the right to write, ReleaseError names the directory; nothing changes."""
    files(tmp_path / "src-a", "a")
    (tmp_path / "gender").mkdir(mode=0o555)
    code = f"""
        import importlib.util, os, sys
        from pathlib import Path
        spec = importlib.util.spec_from_file_location("t", {pushed.__file__!r})
        t = importlib.util.module_from_spec(spec); spec.loader.exec_module(t)
        sources = t.files(Path({str(tmp_path)!r}) / "src-a", "a")
        root = Path({str(tmp_path)!r})
        if os.geteuid() == 0:
            # Root may write everywhere: become somebody who may not.
            for folder in [root, *root.parents]:
                if str(folder).startswith("/tmp/"):
                    folder.chmod(0o755)
            os.setuid(65534)
        try:
            t.publish(root / "gender", sources, t.describe)
        except t.release.ReleaseError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert "Permission denied" in done.stdout, done.stdout + done.stderr
    assert str(tmp_path / "gender") in done.stdout
    assert list((tmp_path / "gender").iterdir()) == []


def test_a_file_that_changes_while_it_is_copied_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published is what was hashed, or nothing."""
    copy = module.shutil.copyfileobj

    def spoil(reader: object, writer: object, length: int) -> None:
        copy(reader, writer, length)
        writer.seek(0)
        writer.write(b"\0")

    monkeypatch.setattr(module.shutil, "copyfileobj", spoil)
    with pytest.raises(ReleaseError, match="is not as it was published"):
        push(tmp_path, "a")
    assert release.versions(tmp_path / "gender") == []


def test_a_push_that_ends_while_another_looks_is_no_dead_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a staging folder and its lock, the push that worked there has ended."""
    staging = tmp_path / "gender" / ".staging"
    (staging / "999").mkdir(parents=True)
    acquire = module.filelock.FileLock.acquire

    def ended_meanwhile(self: object, *args: object, **options: object) -> object:
        if str(getattr(self, "lock_file", "")).endswith("999.lock"):
            (staging / "999").rename(tmp_path / "gender" / "999")
        return acquire(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module.filelock.FileLock, "acquire", ended_meanwhile)
    assert push(tmp_path, "a").name == "1000"
    assert (tmp_path / "gender" / "999").is_dir()
