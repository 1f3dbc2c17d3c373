"""`genq kubeflow doctor`, over real HTTP; the small run's container is run as a process."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.kubeflow import inside

if TYPE_CHECKING:
    from kfp_server import Server

ROOT = Path(__file__).parents[3]
OUTSIDE = ["settings", "server", "version", "authentication", "namespace"]
INSIDE = ["pod", "workdir", "release.serving_dir", "data.root", "secret store", "object store"]
Doctor = Callable[..., dict[str, dict[str, str]]]


@pytest.fixture(autouse=True)
def _containers(server: "Server", monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The server runs what it is given."""
    monkeypatch.delenv("GENQ_LAUNCHER_ROOT", raising=False)
    monkeypatch.setattr("pipeline.kubeflow.doctor.POLL_S", 0.05)
    server.folder = tmp_path / "cluster"
    server.folder.mkdir()
    server.secrets["store"] = {"access": "a", "secret": "b"}


@pytest.fixture
def environment(
    server: "Server", tmp_path: Path, celeba_tree: Callable[..., Path]
) -> Callable[..., Path]:
    """Writes an environment's file whose volumes are folders of this machine."""
    celeba_tree(tmp_path / "data", images=60)

    def write(**changes: Any) -> Path:
        tree = yaml.safe_load((ROOT / "deploy/kubeflow/small.yaml").read_text())
        tree |= {"host": server.url, "request_timeout_s": 2}
        tree["secrets"] = [
            {"name": "store", "env": {"access": "AWS_ACCESS_KEY_ID", "secret": "AWS_SECRET"}}
        ]
        tree["config"] |= {
            "workdir": str(tmp_path / "work"),
            "data": {"root": str(tmp_path / "data")},
            "release": {"serving_dir": str(tmp_path / "serving")},
        }
        file = tmp_path / "my.yaml"
        file.write_text(yaml.safe_dump(tree | changes))
        return file

    return write


@pytest.fixture
def doctor() -> Doctor:
    """Types `genq kubeflow doctor FILE --json …`; returns the findings by their checks."""

    def type_(file: Path, *more: str, fails: bool) -> dict[str, dict[str, str]]:
        done = CliRunner().invoke(app, ["kubeflow", "doctor", str(file), "--json", *more])
        assert done.exit_code == int(fails), (done.output, done.exception)
        return {one["check"]: one for one in json.loads(done.output)}

    return type_


def statuses(found: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """Returns which checks passed, failed and were skipped."""
    result: dict[str, list[str]] = {}
    for name, one in found.items():
        result.setdefault(one["status"], []).append(name)
    return result


def test_a_cluster_that_can_do_it_all_passes(
    server: "Server", environment: Callable[..., Path], doctor: Doctor, tmp_path: Path
) -> None:
    """By a run of one task, whose report lies in the object store; nothing else is left behind."""
    found = doctor(environment(), fails=False)
    skipped = ["namespace"]  # the server has one user
    assert statuses(found) == {
        "passed": [n for n in (*OUTSIDE, *INSIDE) if n not in skipped],
        "skipped": skipped,
    }
    assert "2.17.0" in found["version"]["found"]
    [run] = server.runs.values()
    assert run["display_name"] == "genq-doctor"
    [report] = (tmp_path / "cluster/store").rglob("report")
    assert "passed | " in report.read_text() and f"uid {os.geteuid()}" in report.read_text()
    assert not [*(tmp_path / "work").iterdir(), *(tmp_path / "serving").iterdir()]


def test_people_get_lines_with_what_to_do(
    server: "Server", environment: Callable[..., Path]
) -> None:
    """One a check, and a last one that says what it comes to."""
    arguments = ["kubeflow", "doctor", str(environment())]
    done = CliRunner().invoke(app, arguments)
    assert done.output.startswith("passed   settings             pipeline genq, preset celeba\n")
    assert done.output.endswith("A run can start here: genq kubeflow run.\n")
    server.token = "secret"
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "\nfailed   authentication" in done.output and "what to do" in done.output
    assert done.output.endswith("A run would fail here: authentication.\n")


def test_what_the_pod_finds_wrong_comes_back(
    server: "Server", environment: Callable[..., Path], doctor: Doctor, tmp_path: Path
) -> None:
    """Folder by folder and secret by secret, with what to do."""
    (tmp_path / "file").write_text("")
    del server.secrets["store"]["secret"]
    config = yaml.safe_load(environment().read_text())["config"]
    config |= {"workdir": str(tmp_path / "file/work"), "data": {"root": str(tmp_path / "none")}}
    found = doctor(environment(config=config), fails=True)
    assert statuses(found)["failed"] == ["workdir", "data.root", "secret store"]
    assert "cannot be written by this container" in found["workdir"]["found"]
    assert "chown -R" in found["workdir"]["todo"]
    assert "none: there is no such folder" in found["data.root"]["found"]
    assert found["secret store"]["found"] == "there is no variable AWS_SECRET"
    assert "kubectl get secret store" in found["secret store"]["todo"]
    assert found["release.serving_dir"]["status"] == found["pod"]["status"] == "passed"
    assert found["object store"]["status"] == "skipped"


def test_an_object_store_that_refuses_is_told_apart(
    server: "Server", environment: Callable[..., Path], doctor: Doctor
) -> None:
    """The program ended well; it is the launcher that fails."""
    server.store_refuses = True
    found = doctor(environment(), fails=True)
    assert statuses(found)["failed"] == ["object store"]
    assert "could not write below minio://mlpipeline/v2/artifacts" in found["object store"]["found"]


def test_a_pod_that_never_starts_is_told_with_the_kubelets_words(
    server: "Server", environment: Callable[..., Path], doctor: Doctor
) -> None:
    """When the time is over: a secret, an image, a claim that is not there."""
    server.secrets.clear()
    found = doctor(environment(), "--timeout-s", "1", fails=True)
    assert statuses(found)["failed"] == ["pod"]
    assert 'secret "store" not found' in found["pod"]["found"]
    assert found["pod"]["found"].startswith("no pod ended in 1 s (run RUNNING)")
    assert "kubectl -n kubeflow describe pods" in found["pod"]["todo"]
    assert set(statuses(found)["skipped"]) == {*INSIDE, "namespace"} - {"pod"}
    assert [*server.states.values()] == ["CANCELED"]  # nothing waits for ever


@pytest.mark.parametrize(
    ("trouble", "failed", "said"),
    [
        ({"host": "http://127.0.0.1:9"}, "server", "refused the connection"),
        ({"version": "2.4.1"}, "version", "genq's pipelines need 2.5 or later"),
        ({"token": "secret"}, "authentication", "401"),
        ({"forbidden": True}, "namespace", "403"),
        ({"multi_user": True}, "server", "no profile is set"),
        ({"pipeline_root": "/tmp"}, "settings", "pipeline_root is '/tmp'"),
    ],
)
def test_what_fails_from_here_starts_no_run(
    server: "Server",
    environment: Callable[..., Path],
    doctor: Doctor,
    trouble: dict[str, Any],
    failed: str,
    said: str,
) -> None:
    """The rest is skipped, and says because of what."""
    if trouble.pop("forbidden", False):
        server.fails("GET", "/experiments", 403)
    for key in ("version", "token", "multi_user"):
        if key in trouble:
            setattr(server, key, trouble.pop(key))
    found = doctor(environment(**trouble), fails=True)
    assert statuses(found)["failed"] == [failed] and said in found[failed]["found"]
    assert found[failed]["todo"]
    assert found["object store"] == {
        "check": "object store", "status": "skipped", "found": f"{failed} failed", "todo": "",
    }  # fmt: skip
    assert not server.runs


def test_outside_only(server: "Server", environment: Callable[..., Path], doctor: Doctor) -> None:
    """No run; several users have their profile looked at."""
    server.multi_user = True
    found = doctor(environment(profile="me"), "--outside", fails=False)
    assert statuses(found)["passed"] == OUTSIDE and not server.runs
    assert found["namespace"]["found"].startswith("profile me")
    assert found["workdir"]["found"] == "--outside"


def test_a_gpu_is_asked_for_where_a_node_has_one(
    server: "Server",
    environment: Callable[..., Path],
    doctor: Doctor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With that node's image, machine and accelerator, but little memory; here there is none."""
    machine = {"gpus": 1, "memory": "48Gi", "node_selector": {"pool": "gpu"}}
    found = doctor(
        environment(resources={"trainer": machine}, images={"trainer": "genq-gpu:1"}), fails=True
    )
    [run] = server.runs.values()
    documents = run["pipeline_spec"]
    [executor] = documents["pipeline_spec"]["deploymentSpec"]["executors"].values()
    assert executor["container"]["image"] == "genq-gpu:1"
    assert executor["container"]["resources"]["accelerator"]["resourceCount"] == "1"
    assert executor["container"]["resources"]["resourceMemoryLimit"] == "4Gi"
    [kubernetes] = documents["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"][
        "executors"
    ].values()
    assert kubernetes["nodeSelector"]["labels"] == {"pool": "gpu"}
    assert found["pod"]["found"].startswith("genq-gpu:1 ran")
    if not list(Path("/dev").glob("nvidia[0-9]*")):
        assert found["GPU"]["found"] == "the pod has no /dev/nvidia0"


def test_findings_fit_into_a_termination_message() -> None:
    """Kubernetes keeps 4,096 bytes; what is too long is shortened, and no check is lost."""
    many = [(f"secret s{n}", inside.FAILED, "ä" * 500, "do " * 100) for n in range(15)]
    text = inside.message(many)
    assert 1000 < len(text.encode()) <= 4096
    found = json.loads(text.removeprefix(inside.MARK))
    assert [one[0] for one in found] == [f"secret s{n}" for n in range(15)]
