"""scripts/setup: which Python it takes, what it says where it cannot serve, and the network.

It runs for real, in a copy of the tree, with a PATH that holds a few tools and stand-ins: for the
machine (uname, getconf), for Pythons, and for uv, which writes down how it was called.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = (
    *(
        "sh",
        "sed",
        "sort",
        "head",
        "tail",
        "cut",
        "awk",
        "id",
        "tr",
        "touch",
        "rm",
        "ls",
        "dirname",
    ),
    *("cat", "wc", "mkdir", "cp", "chmod"),
)
PYTHON = """#!/bin/sh
case "$1 $2" in
-c*) echo {version} ;;
--version*) echo Python {version}.5 ;;
"-m venv")
    [ -z "{broken}" ] || {{ echo "ensurepip is not available" >&2; exit 1; }}
    mkdir -p .venv/bin .venv/lib/python{version}/site-packages
    cp "$0" .venv/bin/python; cp "$BIN/fake-uv" .venv/bin/uv; touch .venv/bin/pip ;;
"-m pip") cat "$BIN/pip.conf" 2>/dev/null; true ;;
scripts/groups.py*) exec {real} "$@" ;;
esac
"""
UV = """#!/bin/sh
echo "$* | $UV_DEFAULT_INDEX $UV_INDEX $HTTPS_PROXY $SSL_CERT_FILE $UV_HTTP_TIMEOUT" >>"$BIN/calls"
[ "$1 $2" != "pip install" ] || [ ! -e "$BIN/failures" ] || { rm "$BIN/failures"; exit 2; }
"""


@dataclass
class Machine:
    """A copy of the tree, and a folder that is all of PATH."""

    tree: Path
    bin: Path

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def says(self, name: str, answer: str) -> None:
        self.program(name, f"#!/bin/sh\necho '{answer}'\n")

    def python(self, name: str, version: str, broken: str = "") -> None:
        text = PYTHON.format(version=version, broken=broken, real=sys.executable)
        self.program(name, text)

    def system(self, os_release: str) -> None:
        (self.bin / "os-release").write_text(os_release)

    def setup(self, *groups: str, **environment: str) -> tuple[int, str, str]:
        """Exit code, standard output and error."""
        done = subprocess.run(
            [self.bin / "sh", self.tree / "scripts/setup", *groups],
            env={
                "PATH": str(self.bin),
                "BIN": str(self.bin),
                "HOME": str(self.tree),
                "GENQ_OS_RELEASE": str(self.bin / "os-release"),
                **environment,
            },
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    @property
    def calls(self) -> str:
        return (self.bin / "calls").read_text()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Debian 13 on x86-64; no Python yet."""
    tree, programs = tmp_path / "tree", tmp_path / "bin"
    programs.mkdir()
    for name in ("scripts/setup", "scripts/groups.py", "scripts/slim", "requirements.lock"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    shutil.copytree(ROOT / "requirements", tree / "requirements")
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (programs / tool).symlink_to(found)
    here = Machine(tree, programs)
    here.program("uname", '#!/bin/sh\n[ "$1" = -s ] && echo Linux || echo x86_64\n')
    here.says("getconf", "glibc 2.41")
    here.says("sleep", "")
    here.program("fake-uv", UV)
    here.system('ID=debian\nVERSION_ID="13"\n')
    return here


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("uname", "Darwin", "this is Darwin"),
        ("getconf", "glibc 2.17", "glibc is 2.17"),
        ("getconf", "", "the C library is not glibc"),
    ],
)
def test_a_wrong_platform_is_named_with_what_is_needed(
    machine: Machine, name: str, answer: str, words: str
) -> None:
    """What was found, what genq needs, and what runs there all the same."""
    machine.says(name, answer)
    code, _, said = machine.setup()
    assert code == 1
    assert words in said
    assert "Linux on x86-64 with glibc 2.28 or newer" in said
    assert "pip install 'genq[serving]'" in said and "docker run" in said


@pytest.mark.parametrize(
    ("glibc", "pythons", "taken"),
    [
        ("2.41", {"python3": "3.13"}, "3.13"),
        ("2.39", {"python3.11": "3.11", "python3": "3.12"}, "3.12"),
        ("2.41", {"python3.13": "3.13", "python3.12": "3.12"}, "3.13"),
        ("2.41", {"python3": "3.14", "python3.11": "3.11"}, "3.11"),
        ("2.36", {"python3.13": "3.13", "python3.12": "3.12", "python3": "3.11"}, "3.11"),
        ("2.35", {"python3": "3.10", "python3.11": "3.11"}, "3.11"),
    ],
)
def test_the_newest_python_that_fits_the_c_library_is_taken(
    machine: Machine, glibc: str, pythons: dict[str, str], taken: str
) -> None:
    """With glibc 2.39 or newer 3.13, 3.12, 3.11; before, 3.11 only, whatever else is there."""
    machine.says("getconf", f"glibc {glibc}")
    for name, version in pythons.items():
        machine.python(name, version)
    code, said, errors = machine.setup()
    assert code == 0, errors
    assert f"Python {taken}.5" in said
    assert (machine.tree / ".venv/.ready").exists()


def test_a_python_of_uv_is_found(machine: Machine) -> None:
    """Where PATH has none that fits, uv is asked for one that it has."""
    machine.python("hidden", "3.12")
    machine.program(
        "uv", f'#!/bin/sh\ncase "$*" in *3.12) echo {machine.bin}/hidden ;; *) exit 1 ;; esac\n'
    )
    code, said, errors = machine.setup()
    assert code == 0, errors
    assert "Python 3.12.5" in said


@pytest.mark.parametrize(
    ("system", "glibc", "command"),
    [
        ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=22.04", "2.35", "python3.11 python3.11-venv"),
        ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=24.04", "2.39", "python3 python3-venv"),
        ("ID=debian\nVERSION_ID=12", "2.36", "apt-get install -y python3 python3-venv"),
        ("ID=debian\nVERSION_ID=13", "2.41", "apt-get install -y python3 python3-venv"),
        ("ID=fedora\nVERSION_ID=43", "2.42", "dnf install -y python3.13"),
        ("ID=rhel\nID_LIKE=fedora\nVERSION_ID=9.6", "2.34", "dnf install -y python3.11"),
        ("ID=rocky\nID_LIKE='rhel centos fedora'\nVERSION_ID=9.6", "2.34", "python3.11"),
        ("ID=arch", "2.42", "uv python install 3.11"),
    ],
)
def test_without_a_python_that_fits_it_says_what_to_type(
    machine: Machine, system: str, glibc: str, command: str
) -> None:
    """The command of this very system, and what is there."""
    machine.system(system)
    machine.says("getconf", f"glibc {glibc}")
    machine.python("python3", "3.10")
    code, _, said = machine.setup()
    assert code == 1
    assert f"there is Python 3.10.5 on PATH, and none that fits.\nWith glibc {glibc}" in said
    assert command in said
    assert not (machine.tree / ".venv").exists()


@pytest.mark.parametrize("python", ["python3.10", "no-python"])
def test_a_python_that_is_named_must_fit(machine: Machine, python: str) -> None:
    """PYTHON may name one; another version, or none, is refused before anything is installed."""
    machine.python("python3.10", "3.10")
    machine.python("python3", "3.13")
    code, _, said = machine.setup(PYTHON=python)
    assert code == 1
    assert python in said and "Python 3.13 or 3.12 or 3.11" in said


def test_without_the_venv_module_it_says_what_to_type(machine: Machine) -> None:
    """Debian and Ubuntu have it in a package of its own; nothing half-made stays behind."""
    machine.python("python3", "3.13", broken="yes")
    code, _, said = machine.setup()
    assert code == 1
    assert "apt-get install -y python3.13-venv" in said
    assert not (machine.tree / ".venv").exists()


def test_a_network_that_breaks_is_tried_again(machine: Machine) -> None:
    """What was downloaded is kept by uv; the second try succeeds."""
    machine.python("python3", "3.13")
    (machine.bin / "failures").touch()
    code, _, said = machine.setup()
    assert code == 0
    assert "again in 5 s" in said
    assert machine.calls.count("--require-hashes") == 2


def test_after_some_tries_it_says_how_to_go_on(machine: Machine) -> None:
    machine.python("python3", "3.13")
    machine.program("fake-uv", "#!/bin/sh\nexit 2\n")
    code, _, said = machine.setup()
    assert code == 1
    assert "goes on where it stopped" in said and "HTTPS_PROXY" in said and "PIP_INDEX_URL" in said
    assert not (machine.tree / ".venv/.ready").exists()


def test_a_mirror_and_a_proxy_that_are_set_for_pip_count_for_uv(machine: Machine) -> None:
    """From pip's file and environment, as `pip config list` shows them; uv's own come first."""
    machine.python("python3", "3.13")
    (machine.bin / "pip.conf").write_text(
        "global.index-url='https://mirror.example/simple'\n"
        "global.proxy='http://proxy.example:3128'\n"
        ":env:.index-url='https://nearer.example/simple'\n"
        ":env:.cert='/etc/own.pem'\n"
    )
    code, _, errors = machine.setup()
    assert code == 0, errors
    assert (
        "| https://nearer.example/simple  http://proxy.example:3128 /etc/own.pem 180"
        in machine.calls
    )
    (machine.bin / "calls").unlink()
    (machine.tree / ".venv/.ready").unlink()
    machine.setup(UV_DEFAULT_INDEX="https://uv.example/simple", UV_HTTP_TIMEOUT="9")
    assert "| https://uv.example/simple  http://proxy.example:3128 /etc/own.pem 9" in machine.calls


@pytest.mark.parametrize(
    ("gpu", "driver", "kind", "reason"),
    [
        ("", False, "cpu", "no NVIDIA driver is here"),
        ("", True, "gpu", "an NVIDIA driver is here"),
        ("1", False, "gpu", "GPU=1 asks for it"),
        ("0", True, "cpu", "GPU=0 asks for it"),
    ],
)
def test_tensorflow_has_cuda_only_where_it_is_of_use(
    machine: Machine, gpu: str, driver: bool, kind: str, reason: str
) -> None:
    """The driver decides, GPU= overrules; what is installed, and why, is said and kept."""
    machine.python("python3", "3.13")
    if driver:
        machine.says("nvidia-smi", "GPU 0: a card")
    code, said, errors = machine.setup(**({"GPU": gpu} if gpu else {}))
    assert code == 0, errors
    assert reason in said
    assert reason in (machine.tree / ".venv/tensorflow-kind").read_text()
    pins = (machine.tree / f".venv/run-{kind}-serving-kubeflow.lock").read_text()
    assert ("tensorflow-cpu==" in pins) == (kind == "cpu")
    assert ("\ntensorflow==" in pins) == ("nvidia-cudnn-cu12==" in pins) == (kind == "gpu")


def test_groups_are_added_to_what_is_there(machine: Machine) -> None:
    """No other kind of TensorFlow, nothing that is not asked for; each leaves its mark."""
    machine.python("python3", "3.13")
    assert machine.setup()[0] == 0
    code, _, errors = machine.setup("tests", "docs")
    assert code == 0, errors
    pins = (machine.tree / ".venv/tests-docs.lock").read_text()
    assert "pytest==" in pins and "sphinx==" in pins
    assert "mypy==" not in pins and "tensorflow-cpu==" not in pins
    ready = {path.name for path in (machine.tree / ".venv").glob(".ready*")}
    assert ready == {".ready", ".ready-tests", ".ready-docs"}
    assert machine.setup("no-such")[0] == 1


def test_the_other_kind_of_tensorflow_goes_before_its_files_are_overwritten(
    machine: Machine,
) -> None:
    """A .venv of the older script has CUDA's kernels; both distributions own the same files."""
    machine.python("python3", "3.13")
    assert machine.setup()[0] == 0
    packages = machine.tree / ".venv/lib/python3.13/site-packages"
    (packages / "tensorflow-2.21.0.dist-info").mkdir()
    (machine.bin / "calls").unlink()
    assert machine.setup()[0] == 0
    first = machine.calls.splitlines()[0]
    assert first.startswith("pip uninstall") and " tensorflow " in first


def test_a_python_that_went_away_is_replaced(machine: Machine) -> None:
    """An upgraded system leaves .venv with a Python that is not there, or no longer fits."""
    machine.python("python3", "3.12")
    assert machine.setup()[0] == 0
    (machine.bin / "python3").unlink()
    (machine.tree / ".venv/bin/python").unlink()
    machine.python("python3", "3.13")
    code, said, errors = machine.setup()
    assert code == 0, errors
    assert "Python 3.13.5" in said
    assert "3.13" in (machine.tree / ".venv/bin/python").read_text()


def test_what_is_not_read_is_removed(tmp_path: Path) -> None:
    """TensorFlow's headers and OpenVINO's other plug-ins; nothing beside them."""
    packages = tmp_path / "site-packages"
    for name in (
        "tensorflow/include/a.h",
        "tensorflow/python/a.py",
        "openvino/libs/libopenvino_intel_gpu_plugin.so",
        "openvino/libs/libopenvino_intel_cpu_plugin.so",
    ):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).touch()
    subprocess.run([ROOT / "scripts/slim", packages], check=True)
    left = {str(p.relative_to(packages)) for p in packages.rglob("*") if p.is_file()}
    assert left == {"tensorflow/python/a.py", "openvino/libs/libopenvino_intel_cpu_plugin.so"}
    assert os.access(ROOT / "scripts/setup", os.X_OK)


def test_make_lets_python_keep_what_it_compiled() -> None:
    """Importing TFX takes four times as long where PYTHONDONTWRITEBYTECODE is set."""
    show = "show: ; @printf '[%s]' \"$$PYTHONDONTWRITEBYTECODE\""
    done = subprocess.run(
        ["make", "--no-print-directory", f"--eval={show}", "show"],
        cwd=ROOT, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "[]", done.stderr
