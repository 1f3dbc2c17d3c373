"""Workers that die while they write."""

from executed import execute
from tfx.types import standard_artifacts

from components.example_gen import executor, shards
from components.example_gen.artifacts import SamplingManifest
from components.example_gen.component import CelebAExampleGen
from components.example_gen.executor import Executor


def test_a_worker_that_dies_leaves_nothing_that_readers_read(celeba_tree, tmp_path, monkeypatch):
    """Killed in the middle of a shard, and done by another: its half file is in no split."""
    data = celeba_tree(tmp_path / "data")
    examples, died = shards.examples, []

    class KilledError(BaseException):
        """Nothing catches it, as nothing catches SIGKILL."""

    def some(task, *found):
        for number, example in enumerate(examples(task, *found)):
            if number == 2 and not died:
                died.append(task)
                raise KilledError
            yield example

    def twice(path):
        try:
            write(path)
        except KilledError:
            write(path)

    write = shards.write_shard
    monkeypatch.setattr(shards, "examples", some)
    monkeypatch.setattr(executor, "write_shard", twice)
    node = CelebAExampleGen(str(data))
    outputs = {"examples": standard_artifacts.Examples, "manifest": SamplingManifest}
    execute(Executor, tmp_path, {}, outputs, node.spec.exec_properties)
    assert died
    found = [p.name for p in (tmp_path / "examples").glob("Split-*/*")]
    assert found and all(name.startswith("data_tfrecord-") for name in found)
    assert all("unfinished" not in name for name in found)
    assert not list((tmp_path / "examples").glob("**/*unfinished*"))
