"""What containers look up on volumes, in place of ML Metadata."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data.celeba.spans import Span, newest_spans
from data.errors import ConfigError, DataError, ReleaseError
from data.releases import checksums, release
from pipeline.kubeflow.lookup import (
    ABSENT,
    FOUND,
    NOTHING,
    Task,
    baseline,
    check_writable,
    choose_release,
    data_version,
    fingerprint,
    keep,
    version_before,
    version_of,
)

CelebATree = Callable[..., Path]


def publish(models: Path, version: int, weights: str) -> Path:
    """Writes a release's SavedModel and sums; the rest is not looked at."""
    folder = models / str(version)
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text("graph")
    (folder / "variables/variables.index").write_text(weights)
    names = ("saved_model.pb", "variables/variables.index")
    sums = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / checksums.SUMS).write_text("".join(sums))
    (folder / release.RELEASE_JSON).write_text(
        release.Release(
            model_name="m", version=version, created="", variants=(), licence="", notice=""
        ).model_dump_json()
    )
    return folder


def candidate(folder: Path, weights: str) -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text("graph")
    (folder / "variables/variables.index").write_text(weights)
    return folder


def test_a_new_model_is_compared_with_the_newest_release_or_the_pinned(tmp_path: Path) -> None:
    """Nothing at first; after a rollback the release that people use."""
    models = tmp_path / "m"
    new = candidate(tmp_path / "new", "three")
    assert choose_release(models, new) is None
    publish(models, 100, "one")
    publish(models, 200, "two")
    assert choose_release(models, new) == 200
    release.pin(models, 100)
    assert choose_release(models, new) == 100


def test_a_rerun_is_compared_with_what_it_was_compared_with_before(tmp_path: Path) -> None:
    """Never with itself, which it would always equal."""
    models = tmp_path / "m"
    for version, weights in ((100, "one"), (200, "two"), (300, "three")):
        publish(models, version, weights)
    assert choose_release(models, candidate(tmp_path / "again", "two")) == 100
    assert choose_release(models, candidate(tmp_path / "first", "one")) is None


def test_the_baseline_is_the_releases_model_verified(tmp_path: Path) -> None:
    """A damaged release is refused; without one the artifact says that it is absent."""
    folder = publish(tmp_path / "m", 100, "one")
    parameters = {FOUND: "100", "serving_dir": str(tmp_path), "model_name": "m"}

    def ask(place: str, **other: str) -> Task:
        (tmp_path / place).mkdir()
        task = Task({}, {"model": tmp_path / place}, {**parameters, **other})
        baseline(task)
        return task

    assert ask("out").metadata == {"model": {"release": "100"}}
    copied = tmp_path / "out/Format-Serving"
    assert (copied / "variables/variables.index").read_text() == "one"
    assert not (copied / release.RELEASE_JSON).exists()
    (folder / "saved_model.pb").write_text("spoilt")
    with pytest.raises(ReleaseError, match=r"Release 100, the baseline, is damaged: saved_model"):
        ask("spoilt")
    ask("none", found=NOTHING)
    assert (tmp_path / "none" / ABSENT).is_file()


def test_the_fingerprint_sees_labels_and_images(celeba_tree: CelebATree, tmp_path: Path) -> None:
    """A flipped label changes no size; an image that came later changes no annotation."""
    root = celeba_tree(tmp_path / "celeba", images=60)
    first = fingerprint(str(root))
    assert fingerprint(str(root)) == first
    labels = root / "Anno/list_attr_celeba.txt"
    old = labels.read_text()
    labels.write_text(old.replace(" -1", "  1", 1))
    assert fingerprint(str(root)) != first
    labels.write_text(old)
    assert fingerprint(str(root)) == first
    (root / "Img/img_align_celeba/000061.jpg").write_bytes(b"new")
    assert fingerprint(str(root)) != first
    with pytest.raises(DataError, match="no such folder"):
        fingerprint(str(tmp_path / "nowhere"))


def test_the_newest_span_is_read(celeba_tree: CelebATree, tmp_path: Path) -> None:
    """Not the alphabetically last, nor one that is being written."""
    root = tmp_path / "celeba"
    for name in ("span-0002", "span-10", ".span-0011"):
        celeba_tree(root / name, images=60)
    places = {"workdir": str(tmp_path / "work"), "serving_dir": str(tmp_path / "releases")}
    task = Task({}, {}, {"data_root": str(root), **places})
    data_version(task)
    assert task.answers[FOUND] == f"span-10-{fingerprint(str(root / 'span-10'))}"
    assert newest_spans(str(root / "span-10")) == (Span(str(root / "span-10"), None),)
    # A window of two notices a change in either; of more than there are, it is all of them.
    both = version_of(str(root), 2)
    assert both.startswith("span-10-") and both not in (task.answers[FOUND], version_of(str(root)))
    assert version_of(str(root), 9) == both
    assert [s.number for s in newest_spans(str(root), 2)] == [2, 10]
    (root / "span-0002/Img/img_align_celeba/000061.jpg").write_bytes(b"new")
    assert version_of(str(root), 2) != both
    assert version_of(str(root)) == task.answers[FOUND]


def as_another_user(call: Callable[[], object]) -> str:
    """Returns the error of a call by the image's user; root may write everywhere."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setuid(10001)
            call()
            os.write(writing, b"no error")
        except BaseException as error:
            os.write(writing, str(error).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


@pytest.mark.parametrize("which", ["workdir", "serving_dir"])
def test_the_first_task_sees_whether_later_ones_can_write(
    which: str, celeba_tree: CelebATree
) -> None:
    """A claim that belongs to root is named before anything is computed, with what to do."""
    with tempfile.TemporaryDirectory() as scratch:  # pytest's folders are closed to others
        base = Path(scratch)
        base.chmod(0o755)
        celeba_tree(base / "data", images=60)
        places = {"workdir": base / "work", "serving_dir": base / "releases"}
        for name, place in places.items():
            place.mkdir()
            place.chmod(0o755 if name == which else 0o777)
        task = Task(
            {}, {}, {"data_root": str(base / "data")} | {k: str(v) for k, v in places.items()}
        )
        if os.geteuid():
            places[which].chmod(0o555)
            with pytest.raises(ConfigError) as error:
                data_version(task)
            said = str(error.value)
        else:
            said = as_another_user(lambda: data_version(task))
        folder = places[which]
        assert said.startswith(f"{folder} ("), said
        assert "cannot be written by this container, which runs as uid" in said
        assert f"Permission denied; {folder} belongs to uid {folder.stat().st_uid} (d" in said
        assert f"chown -R {os.geteuid() or 10001} {folder}" in said
        folder.chmod(0o777)
        if not os.geteuid():
            assert as_another_user(lambda: data_version(task)) == "no error"
        data_version(task)
        assert not [p for place in places.values() for p in place.iterdir()]


def test_a_volume_that_cannot_take_a_folder_is_told_as_well(tmp_path: Path) -> None:
    """Also for root, and where the folder is not there yet."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/work \(workdir\) cannot .*: Not a directory"):
        check_writable(tmp_path / "file/work", "workdir")
    check_writable(tmp_path / "new/work", "workdir")
    assert (tmp_path / "new/work").is_dir()


def test_statistics_are_compared_with_those_of_the_data_before(tmp_path: Path) -> None:
    """An unchanged rerun gets the same answer as the first, so that KFP's cache holds."""
    history = tmp_path / "history"

    def statistics(text: str) -> Path:
        folder = tmp_path / text / "Split-train"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "FeatureStats.pb").write_text(text)
        return folder.parent

    def night(text: str) -> str | None:
        """Returns what these are compared with; they pass, and are kept."""
        before = version_before(statistics(text), history)
        keep(statistics(text), history)
        return before

    assert night("one") is None
    assert night("one") is None
    first = night("two")
    assert first is not None and first.startswith("000001-")
    assert night("two") == first
    assert (history / first / "Split-train/FeatureStats.pb").read_text() == "one"
    # What was refused, and so not kept, is compared with nobody's data.
    second = version_before(statistics("refused"), history)
    assert second is not None and second.startswith("000002-")
    assert version_before(statistics("refused again"), history) == second
    # What was there before the last change counts, even when it is as it was long ago.
    assert str(night("one")).startswith("000002-")
    assert len(list(history.iterdir())) == 3
