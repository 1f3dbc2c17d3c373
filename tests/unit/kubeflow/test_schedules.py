"""`genq kubeflow run | schedule | schedules | unschedule`, over real HTTP, with what goes wrong."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from data.errors import ClusterError, ConfigError, GenqError
from pipeline.cli.app import app

if TYPE_CHECKING:
    from kfp_server import Server

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "tests/golden/kubeflow.yaml"
NIGHTLY = "0 0 3 * * *"
Genq = Callable[..., str]


@pytest.fixture
def genq(server: "Server") -> Genq:
    """Types `genq kubeflow COMMAND SETTINGS …`; returns what it says, or raises its error."""

    def type_(command: str, *more: str) -> str:
        arguments = ["kubeflow", command, str(ROOT / "deploy/kubeflow/small.yaml")]
        arguments += ["--set", f"host={server.url}", "--set", "request_timeout_s=1"]
        if command in ("run", "schedule"):
            arguments += ["--package", str(PACKAGE)]
        done = CliRunner().invoke(app, [*arguments, *more], catch_exceptions=True)
        if isinstance(done.exception, GenqError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    return type_


def test_a_run_is_started_with_package_parameters_and_root(genq: Genq, server: "Server") -> None:
    """In the experiment, which is created; the address of its page is shown."""
    said = genq("run", "--param", "data_root=/mnt/genq/other")
    [run] = server.runs.values()
    assert f"{server.url}/#/runs/details/{run['run_id']}" in said
    assert run["runtime_config"]["parameters"] == {"data_root": "/mnt/genq/other"}
    assert run["runtime_config"]["pipeline_root"] == "minio://mlpipeline/v2/artifacts"
    [experiment] = server.experiments.values()
    assert experiment["display_name"] == "genq"
    assert run["experiment_id"] == experiment["experiment_id"]


def test_new_data_start_a_run_and_old_data_do_not(
    genq: Genq, server: "Server", tmp_path: Path, celeba_tree: Callable[..., Path]
) -> None:
    """A refused run is asked for again; a new span is new data."""
    celeba_tree(tmp_path / "data/span-0001", images=60)
    asked = ("--if-changed", str(tmp_path / "data"), "--state", str(tmp_path / "state"))
    server.fails("POST", "/runs", 500)
    with pytest.raises(ClusterError):
        genq("run", *asked)
    assert "The data are span-1-" in genq("run", *asked)
    assert "nothing is started" in genq("run", *asked)
    assert len(server.runs) == 1
    celeba_tree(tmp_path / "data/span-0002", images=60)
    assert "The data are span-2-" in genq("run", *asked)
    assert len(server.runs) == 2


def test_a_schedule_has_no_catch_up_and_a_limit_and_shows_its_firings(
    genq: Genq, server: "Server"
) -> None:
    """Three, in local time."""
    said = genq("schedule", "--cron", NIGHTLY, "--set", "max_concurrency=2")
    [schedule] = server.recurring.values()
    assert schedule["no_catchup"] is True and schedule["max_concurrency"] == 2
    assert schedule["trigger"]["cron_schedule"]["cron"] == NIGHTLY
    assert schedule["mode"] == "ENABLE"
    assert len(re.findall(r"^  \w+day \d{4}-\d\d-\d\d \d\d:\d\d:00", said, re.M)) == 3
    listed = genq("schedules")
    assert f"{schedule['recurring_run_id']}  genq  {NIGHTLY}" in listed and "next" in listed


def test_an_update_replaces_without_a_gap(genq: Genq, server: "Server") -> None:
    """The new one is created before any old one goes; other names and pages stay."""
    for name in ("a", "b", "c", "genq"):
        genq("schedule", "--cron", NIGHTLY, "--name", name)
    server.log.clear()
    assert "in place of" in genq("schedule", "--cron", "0 0 4 * * *")
    changes = [line for line in server.log if not line.startswith("GET")]
    assert changes[0] == "POST /recurringruns" and changes[1].startswith("DELETE /recurringruns/")
    crons = {
        s["display_name"]: s["trigger"]["cron_schedule"]["cron"] for s in server.recurring.values()
    }
    assert crons == {"a": NIGHTLY, "b": NIGHTLY, "c": NIGHTLY, "genq": "0 0 4 * * *"}
    assert len(server.recurring) == 4


def test_a_refused_update_leaves_the_old_schedule(genq: Genq, server: "Server") -> None:
    """And a failed removal says that both are there, and what to type."""
    genq("schedule", "--cron", NIGHTLY)
    [old] = server.recurring
    server.fails("POST", "/recurringruns", 500)
    with pytest.raises(ClusterError, match="refused to create the schedule: 500, it is broken"):
        genq("schedule", "--cron", "0 0 4 * * *")
    assert list(server.recurring) == [old]
    server.fails("DELETE", "/recurringruns", 503)
    with pytest.raises(ClusterError, match=f"the old one {old} as well") as error:
        genq("schedule", "--cron", "0 0 4 * * *")
    assert f"genq kubeflow unschedule --id {old}" in error.value.remedy
    assert len(server.recurring) == 2
    genq("unschedule", "--id", old)
    assert len(server.recurring) == 1 and old not in server.recurring


def test_unscheduling_removes_all_of_a_name_or_says_which_there_are(
    genq: Genq, server: "Server"
) -> None:
    """A schedule that somebody removed meanwhile is no error."""
    with pytest.raises(ClusterError, match="There is no schedule 'genq'") as error:
        genq("unschedule")
    assert error.value.remedy == "Schedules: none."
    genq("schedule", "--cron", NIGHTLY)
    assert "Would remove" in genq("unschedule", "--dry-run") and len(server.recurring) == 1
    server.fails("DELETE", "/recurringruns", 404, after=True)
    assert "Removed 'genq'" in genq("unschedule")
    assert not server.recurring
    assert "has no schedule" in genq("schedules")


def test_a_dry_run_changes_nothing(genq: Genq, server: "Server") -> None:
    """It does not even ask."""
    said = genq("run", "--dry-run", "--param", "serving_dir=/x")
    said += genq("schedule", "--cron", NIGHTLY, "--dry-run")
    assert "Would start" in said and "serving_dir = /x" in said and "Would schedule 'genq'" in said
    assert not server.log


def test_a_token_is_sent_and_a_bad_one_explained(
    genq: Genq, server: "Server", monkeypatch: pytest.MonkeyPatch
) -> None:
    """401 says how to log in, and never shows the token."""
    server.token = "secret"
    with pytest.raises(ClusterError, match="refused to connect: 401, Unauthenticated") as error:
        genq("schedules")
    assert "KFP_TOKEN" in error.value.remedy and "secret" not in str(error.value)
    monkeypatch.setenv("KFP_TOKEN", "secret")
    genq("run")
    assert len(server.runs) == 1


def test_reading_is_tried_again_and_creating_is_not(genq: Genq, server: "Server") -> None:
    """Twice a 5xx on a list is survived; on a creation it is told at once."""
    genq("run")
    server.fails("GET", "/recurringruns", 503, times=2)
    assert "has no schedule" in genq("schedules")
    server.fails("GET", "/recurringruns", 503, times=3)
    with pytest.raises(ClusterError, match="list the schedules 3 times: 503") as error:
        genq("schedules")
    assert "kubectl logs" in error.value.remedy
    server.log.clear()
    server.fails("POST", "/runs", 502)
    with pytest.raises(ClusterError, match="refused to start the run: 502"):
        genq("run")
    assert server.log.count("POST /runs") == 1


def test_an_experiment_that_somebody_creates_meanwhile_is_used(
    genq: Genq, server: "Server"
) -> None:
    """409 after the check: looked up again."""
    # Twice it is not found (by us, then by the client); then it is created, and 409 is told.
    server.fails("POST", "/experiments", 409, after=True)
    genq("run")
    assert len(server.runs) == len(server.experiments) == 1


def test_a_conflict_is_told(genq: Genq, server: "Server") -> None:
    """409 on a schedule."""
    server.fails("POST", "/recurringruns", 409, message="exists")
    with pytest.raises(ClusterError, match="409, exists") as error:
        genq("schedule", "--cron", NIGHTLY)
    assert "Choose another name" in error.value.remedy


def test_a_server_that_hangs_or_is_not_there_is_told_in_time(genq: Genq, server: "Server") -> None:
    """After a time-out on a creation nobody knows: look before you try again."""
    genq("run")
    server.fails("POST", "/runs", server.HANG)
    with pytest.raises(ClusterError, match="did not answer within 1 s, asked to start") as error:
        genq("run")
    assert "may have been done all the same" in error.value.remedy
    server.fails("GET", "/healthz", server.HANG)
    with pytest.raises(ClusterError, match="did not answer within 1 s, asked to connect"):
        genq("schedules")
    with pytest.raises(ClusterError, match="9 refused the connection, asked to connect") as error:
        genq("schedules", "--set", "host=http://127.0.0.1:9")
    assert "port-forward" in error.value.remedy
    with pytest.raises(ClusterError, match=r"nowhere.invalid: there is no host of this name"):
        genq("schedules", "--set", "host=http://nowhere.invalid")


def test_a_server_that_goes_away_meanwhile_is_told_as_what_it_is(
    genq: Genq, server: "Server"
) -> None:
    """A broken connection is no time-out; it may have been done all the same."""
    genq("run")
    server.fails("POST", "/runs", server.HANG_UP)
    with pytest.raises(ClusterError, match="The connection to .* broke, asked to start") as error:
        genq("run")
    assert "may have been done all the same" in error.value.remedy


@pytest.mark.parametrize("page", [False, True])
@pytest.mark.parametrize(
    ("version", "settings", "said"),
    [
        (
            "2.4.1",
            "namespace=kubeflow",
            r"is Kubeflow Pipelines 2.4.1; genq's .* need 2.5 or later",
        ),
        ("2.15.0", "sub_path", r"2.15.0; volumes.sub_path \(of genq\) needs 2.16 or later"),
        ("2.5.0", "namespace=kubeflow", ""),
        ("2.16.1", "sub_path", ""),
        ("3.0.0-rc1", "sub_path", ""),
        ("unknown", "sub_path", ""),
        ("", "sub_path", ""),
    ],
)
def test_a_server_that_is_too_old_is_named_before_anything_is_sent(
    genq: Genq, server: "Server", version: str, settings: str, said: str, page: bool
) -> None:
    """Behind KFP's page as well; who names no version is believed."""
    server.version, server.page = version, page
    if settings == "sub_path":
        settings = "volumes=[{claim: genq, mount_path: /mnt/genq, sub_path: a}]"
    for command in (("run",), ("schedule", "--cron", NIGHTLY)):
        if said:
            with pytest.raises(ClusterError, match=said) as error:
                genq(*command, "--set", settings)
            assert error.value.remedy.startswith("Upgrade Kubeflow Pipelines")
        else:
            genq(*command, "--set", settings)
    assert all(line == "GET /healthz" for line in server.log) == bool(said)
    genq("schedules")


def test_a_page_without_its_server_is_named(genq: Genq, server: "Server") -> None:
    """The page answers 200 all the same."""
    server.page, server.ready = True, False
    with pytest.raises(ClusterError, match="the API server behind it does not") as error:
        genq("run")
    assert "kubectl -n kubeflow get pods" in error.value.remedy


def test_a_server_that_only_the_client_finds_is_asked_for_its_version(
    genq: Genq, server: "Server", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `host`: inside the cluster, or by an environment variable of the client's."""
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.url)
    genq("run", "--set", "host=''")
    assert len(server.runs) == 1
    server.version = "2.4.1"
    with pytest.raises(ClusterError, match=r"is Kubeflow Pipelines 2\.4\.1"):
        genq("run", "--set", "host=''")


def test_a_server_for_several_users_wants_a_profile(genq: Genq, server: "Server") -> None:
    """And sends it along."""
    server.multi_user = True
    for server.page in (False, True):
        with pytest.raises(ConfigError, match="no profile is set"):
            genq("run")
    genq("run", "--set", "profile=me")
    [experiment] = server.experiments.values()
    assert experiment["namespace"] == "me"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--param", "data_rot=/x"), "with a parameter of the pipeline"),
        (("run", "--package", "/nowhere.yaml"), "/nowhere.yaml cannot be read: No such file"),
        (("run", "--package", str(ROOT / "CHANGELOG.md")), "is not a compiled pipeline"),
        (("schedule", "--cron", "0 3 * * *"), "has 5 fields; expected six"),
    ],
)
def test_mistakes_are_named_before_the_server_is_asked(
    genq: Genq, server: "Server", arguments: tuple[str, ...], said: str
) -> None:
    """Nothing is sent."""
    with pytest.raises(ConfigError, match=said):
        genq(*arguments)
    assert not server.log
