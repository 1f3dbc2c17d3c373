"""The files in deploy/ pass their linters, and name settings and paths that there are."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import yaml

from serving.api.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted(path.name for path in DEPLOY.glob("Dockerfile.*"))


def tool(name: str) -> str:
    """A program of this virtual environment, else of the system."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed"
    return found


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing_in_the_dockerfile(name: str) -> None:
    """No warning of any level."""
    command = [tool("hadolint"), DEPLOY / name]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_dockerfile_copies_what_there_is(name: str) -> None:
    """Each COPY from the build context names a path of the repository."""
    text = (DEPLOY / name).read_text()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source


def test_only_what_images_copy_is_sent_to_the_engine() -> None:
    """.dockerignore leaves everything out but what a COPY names; never what npm or make made."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    assert rules[0] == "*"
    copied = {
        source
        for name in DOCKERFILES
        for line in re.findall(r"^COPY (?!--from)(.+)$", (DEPLOY / name).read_text(), re.M)
        for source in line.split()[:-1]
    }
    for source in copied:
        above = {source, *(str(parent) for parent in Path(source).parents)}
        assert above & sent, f"{source} is copied, and .dockerignore keeps it back"
    for entry in sent:
        assert any(s == entry or s.startswith(f"{entry}/") for s in copied), (
            f"nothing copies {entry}"
        )
    assert {"serving/web/node_modules", "serving/web/out", "**/__pycache__"} <= set(rules)


def test_the_code_is_the_images_last_layer() -> None:
    """A change of the code builds none of the packages anew."""
    for name in DOCKERFILES:
        text = (DEPLOY / name).read_text()
        last = text[text.rindex("\nFROM ") :]
        packages = last.index("COPY --from=packages /opt/genq")
        code = max(last.find("COPY pipeline"), last.find("COPY --from=code"))
        assert code > packages, name
        before = text[: text.index("COPY data")]
        assert "--require-hashes -r wanted.lock" in before, name


def test_the_manifests_are_valid_kubernetes(tmp_path: Path) -> None:
    """Strictly, so that a misspelt field is found; KServe's by the pod that it wraps."""
    kserve = yaml.safe_load((DEPLOY / "kubernetes" / "kserve.yaml").read_text())
    assert kserve["apiVersion"] == "serving.kserve.io/v1beta1"
    own = ("minReplicas", "maxReplicas", "timeout")
    spec = {k: v for k, v in kserve["spec"]["predictor"].items() if k not in own}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "genq"}, "spec": spec}
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod))
    own_files = ("genq-serving.yaml", "kubeflow-claim.yaml")
    files = [*(DEPLOY / "kubernetes" / name for name in own_files), tmp_path / "pod.yaml"]
    command = [tool("kubernetes-validate"), "--strict", *files]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_claim_is_given_to_the_images_user() -> None:
    """The one that the small environment mounts, with the folders that it names."""
    environment = yaml.safe_load((DEPLOY / "kubeflow/small.yaml").read_text())
    text = (DEPLOY / "kubernetes/kubeflow-claim.yaml").read_text()
    claim, job = yaml.safe_load_all(text)
    [volume] = environment["volumes"]
    assert claim["metadata"]["name"] == volume["claim"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    [mount] = container["volumeMounts"]
    assert mount["mountPath"] == volume["mount_path"] and container["image"] == environment["image"]
    [command] = container["args"]
    config = environment["config"]
    for folder in (config["workdir"], config["data"]["root"], config["release"]["serving_dir"]):
        assert f" {folder} " in f"{command} ", folder
    [user] = re.findall(r"^USER (\d+)$", (DEPLOY / "Dockerfile.pipeline").read_text(), re.M)
    assert f"chown -R {user}:{user} {volume['mount_path']} " in command


def test_systemd_accepts_the_unit(tmp_path: Path, lacking: Callable[[str], NoReturn]) -> None:
    """`systemd-analyze verify` says nothing, with a program where the unit expects one."""
    if shutil.which("systemd-analyze") is None:
        lacking("systemd-analyze is not installed: apt-get install systemd")
    unit = (DEPLOY / "systemd" / "genq-serving.service").read_text()
    copy = tmp_path / "genq-serving.service"
    copy.write_text(unit.replace("/opt/genq/bin/genq", "/bin/true"))
    ran = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True)
    about_ours = [line for line in ran.stderr.splitlines() if "genq" in line]
    assert about_ours == [] and ran.returncode == 0, ran.stderr


def test_every_variable_is_a_setting() -> None:
    """GENQ_… in deploy/ exists; a misspelt one would be ignored in silence."""
    known = {f"GENQ_{name.upper()}" for name in Settings.model_fields} | {"GENQ_RELEASES"}
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            used = set(re.findall(r"GENQ_[A-Z_]+", path.read_text()))
            assert used <= known, (path, used - known)


def test_the_compose_file_builds_from_the_dockerfile_that_there_is() -> None:
    """Context and Dockerfile exist; the root file system is read-only, releases too."""
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["genq"]
    context = (DEPLOY / service["build"]["context"]).resolve()
    assert context == ROOT and (context / service["build"]["dockerfile"]).is_file()
    assert service["read_only"] and service["volumes"][0].endswith(":ro")
