"""Presets, files and overrides become one PipelineConfig, or an error that names the key."""

from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from data.errors import ConfigError
from pipeline.beam_config import BeamConfig
from pipeline.config import PRESETS, load


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid(preset: str) -> None:
    """Loading it checks each value's range."""
    assert load(preset) == PRESETS[preset]()


def test_overrides_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    """Each holds only what differs."""
    file = tmp_path / "mine.yaml"
    file.write_text("trainer: {dropout: 0.1, batch_size: 8}\nsampling: {total: 100}\n")
    config = load("celeba", file, ["trainer.batch_size=16", "sampling.balance_by=[Male, Young]"])
    assert (config.trainer.dropout, config.trainer.batch_size) == (0.1, 16)
    assert (config.sampling.total, config.sampling.balance_by) == (100, ("Male", "Young"))
    assert config.trainer.image_size_px == load("celeba").trainer.image_size_px


def test_celeba_trains_the_whole_network_on_the_seeds_sample() -> None:
    """5,000 balanced images and ImageNet weights; docs/decisions/0019 has the recipe's reasons."""
    config = load("celeba")
    assert config.sampling.total == 5000
    assert config.sampling.balance_by == ("Male",)
    assert (config.trainer.image_size_px, config.trainer.weights) == (112, "imagenet")
    assert (config.trainer.strategy, config.trainer.photo_like) == ("full", 1.0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("trainer: {dropuot: 0.1}", "Did you mean trainer.dropout"),
        ("trainer: 3", "trainer is a group of settings; found 3"),
        ("- a list", "holds list; expected a mapping"),
        ("trainer: {dropout: [", "is not YAML"),
        ("trainer: {dropout: much}", "trainer.dropout: found 'much'"),
        ("trainer: {precision: float8}", "trainer.precision: found 'float8'"),
        ("sampling: {total: 101}", "sampling.total is 101; accepted"),
        ("beam: {runner: storm}", "beam.runner: found 'storm'"),
        (
            "beam: {flink_job_server: a.jar}",
            "beam.flink_job_server is set, and beam.runner is direct",
        ),
        ("beam: {parallelism: -1}", "beam.parallelism is -1; accepted: 0 or more"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, content: str, words: str) -> None:
    """With the place in the tree, what was found and what is accepted."""
    file = tmp_path / "wrong.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError) as error:
        load("demo", file)
    assert words in str(error.value)


def test_an_override_without_equals_is_named() -> None:
    """KEY=VALUE is shown as the form."""
    with pytest.raises(ConfigError, match="--set trainer.dropout: expected KEY=VALUE"):
        load("demo", None, ["trainer.dropout"])


def test_the_runner_becomes_flags_of_beam() -> None:
    """The direct runner by its class (Beam sends its name to Prism); Flink with master and jar."""
    [flag] = BeamConfig().flags()
    assert flag == f"--runner={FnApiRunner.__module__}.{FnApiRunner.__qualname__}"
    settings = ["beam.runner=flink", "beam.flink_master=manager:8081", "beam.parallelism=40"]
    flags = load(
        "demo", None, [*settings, 'beam.args=["--environment_type=EXTERNAL"]']
    ).beam.flags()
    options = PipelineOptions(list(flags))
    assert options.view_as(StandardOptions).runner == "FlinkRunner"
    assert options.view_as(FlinkRunnerOptions).flink_master == "manager:8081"
    assert options.view_as(PortableOptions).environment_type == "EXTERNAL"
    assert options.get_all_options()["parallelism"] == 40
    jar = BeamConfig("flink", flink_job_server="a.jar").flags()
    assert f"--flink_job_server_jar={Path('a.jar').absolute()}" in jar
