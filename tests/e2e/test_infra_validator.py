"""TFX's InfraValidator, where somebody asks for it: wired, judged, and refused without Docker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.model_exporter.artifacts import ExportedModel
from components.release_pusher.artifacts import PushedRelease
from components.release_pusher.component import Executor
from pipeline import config
from pipeline.pipeline import create_pipeline


def test_the_node_feeds_the_pusher(tmp_path: Path) -> None:
    """It asks for the signature of tf.Examples, of `test`; without the setting it is not there."""
    place = f"workdir={tmp_path}"
    plain = create_pipeline(config.load(overrides=[place]))
    assert "infra-validator" not in {n.id for n in plain.components}
    asked = create_pipeline(config.load(overrides=[place, "release.infra_validator=docker"]))
    nodes = {n.id: n for n in asked.components}
    assert nodes["infra-validator"] in nodes["release-pusher"].upstream_nodes
    spec = nodes["infra-validator"].exec_properties["request_spec"]
    assert "serving_examples" in spec and '"split_name": "test"' in spec


@pytest.mark.parametrize("blessed", [0, 1])
def test_a_model_that_the_server_did_not_take_is_not_published(
    blessed: int, tmp_path: Path
) -> None:
    """Refused by the server: nothing is published, although everything before was in order."""
    model_blessing, infra = standard_artifacts.ModelBlessing(), standard_artifacts.InfraBlessing()
    model_blessing.set_int_custom_property("blessed", 1)
    infra.set_int_custom_property("blessed", blessed)
    exported, pushed = ExportedModel(), PushedRelease()
    exported.set_int_custom_property("exported", 1)
    pushed.uri = str(tmp_path / "pushed")
    inputs = {
        "model_blessing": [model_blessing],
        "exported_model": [exported],
        "infra_blessing": [infra],
    }
    properties = {"serving_dir": str(tmp_path / "serving"), "model_name": "gender"}
    if blessed:  # goes on, to the model that this test does not give
        with pytest.raises(KeyError, match="model"):
            Executor().Do(inputs, {"pushed_release": [pushed]}, properties)
        return
    Executor().Do(inputs, {"pushed_release": [pushed]}, properties)
    assert pushed.get_int_custom_property("pushed") == 0
    assert not (tmp_path / "serving").exists()


def test_without_docker_the_run_stops_before_it_begins(tmp_path: Path) -> None:
    """A sentence that says what to do, before any data are drawn."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pipeline.cli", "run", "--workdir", str(tmp_path / "w")),
            *("--set", "release.infra_validator=docker"),
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": "/nowhere", "COLUMNS": "200"},
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no Docker engine answers" in done.stderr
    assert not (tmp_path / "w/data").exists()
