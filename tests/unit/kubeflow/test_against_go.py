"""What Kubeflow Pipelines' own parts make of what we write: the Go libraries that it is built on.

Nightly, where Go is: the Go module proxy serves the libraries; KFP's own backend it does not serve.
"""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from data.errors import ConfigError
from pipeline.kubeflow.cron import FIELDS, SHORTHANDS, parse

ROOT = Path(__file__).parents[3]
SUPPORT = ROOT / "tests/support"
CRON = "github.com/robfig/cron@v1.2.0"
KSERVE = "github.com/kserve/kserve@v0.19.0"
ARGO = "github.com/argoproj/argo-workflows/v4@v4.0.7"
FIRINGS = 5


@pytest.fixture(autouse=True)
def _need_go(lacking: Callable[[str], NoReturn]) -> None:
    if not shutil.which("go"):
        lacking("Go is not installed: apt-get install golang-go")


def go(*arguments: str | Path, folder: Path) -> str:
    """Runs the Go tool; returns what it says."""
    done = subprocess.run(["go", *arguments], cwd=folder, text=True, capture_output=True)
    assert not done.returncode, done.stderr
    return done.stdout


def asked(program: Path, questions: Iterable[Any]) -> list[Any]:
    """Returns the program's answers."""
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([program], input=lines, text=True, capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def expressions(number: int) -> Iterable[str]:
    """Yields expressions: most are right, some are wrong in one way."""
    rng = random.Random(19)

    def value(field: Any) -> str:
        if field.words and rng.random() < 0.3:
            word: str = rng.choice(field.words)
            return rng.choice((word, word.lower(), word.title()))
        if rng.random() < 0.03:
            return rng.choice((str(field.high + 1), "x", "", "+1", "007", "-1", "1-2-3", "*-5"))
        return str(rng.randint(field.low, field.high))

    def part(field: Any) -> str:
        kind = rng.random()
        if kind < 0.35:
            span = rng.choice("*?")
        elif kind < 0.7:
            span = value(field)
        else:
            both = sorted(rng.sample(range(field.low, field.high + 1), 2))
            span = "-".join(map(str, both if rng.random() < 0.95 else both[::-1]))
        step = rng.choice(("0", "", "1/2", "-3") if rng.random() < 0.05 else "123579")
        return f"{span}/{step}" if rng.random() < 0.3 else span

    yield from SHORTHANDS
    yield from ("@every 1h30m", "@every 90s", "@every 500ms", "@every 1.5h", "@reboot", "@every x")
    for _ in range(number):
        fields = [",".join(part(f) for _ in range(rng.choice((1, 1, 1, 2, 3)))) for f in FIELDS]
        yield " ".join(fields[: rng.choice((6,) * 40 + (4, 5))] + ["*"] * (rng.random() < 0.01))


@pytest.mark.nightly
def test_a_thousand_expressions_fire_as_in_kfps_controller(tmp_path: Path) -> None:
    """The same are accepted, but for five fields; and they fire at the same moments."""
    shutil.copy(SUPPORT / "robfig/main.go", tmp_path)
    go("mod", "init", "firings", folder=tmp_path)
    go("get", CRON, folder=tmp_path)
    go("build", "-o", "firings", ".", folder=tmp_path)
    texts = list(expressions(1000))
    start = datetime(2026, 11, 26, 18, 45, 30, tzinfo=UTC)
    moments = [start + timedelta(hours=7 * n) for n in range(len(texts))]
    answers = asked(
        tmp_path / "firings",
        (
            {"Text": text, "From": int(moment.timestamp()), "Count": FIRINGS}
            for text, moment in zip(texts, moments, strict=True)
        ),
    )
    differ, taken = [], 0
    for text, moment, answer in zip(texts, moments, answers, strict=True):
        try:
            ours = [int(f.timestamp()) for f in parse(text).after(moment, FIRINGS)]
        except ConfigError as error:
            ours = [] if "never fires" in error.problem else None
        theirs = None if answer["Error"] or len(text.split()) == 5 else answer["Firings"]
        taken += theirs is not None
        if ours != theirs:
            differ.append((text, ours, theirs or answer["Error"]))
    assert not differ, differ[:5]
    assert 0.6 < taken / len(texts) < 0.95  # both kinds were asked about


@pytest.fixture(scope="module")
def argo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that asks the controller's own code; building it takes many minutes once."""
    folder = tmp_path_factory.mktemp("argo")
    served = json.loads(go("mod", "download", "-json", ARGO, folder=folder))["Dir"]
    source = folder / "source"
    left_out = shutil.ignore_patterns("ui", "docs", "sdks", "*_test.go", "examples")
    shutil.copytree(served, source, ignore=left_out, copy_function=shutil.copy)
    for place, _, _ in os.walk(source):
        Path(place).chmod(0o755)  # Go's cache is read-only
    shutil.copy(SUPPORT / "argo/retries.go", source / "workflow/controller/asked_retries.go")
    (source / "cmd/asked").mkdir()
    shutil.copy(SUPPORT / "argo/main.go", source / "cmd/asked")
    go("build", "-p", "1", "-o", folder / "asked", "./cmd/asked", folder=source)
    return folder / "asked"


def retry_strategy(policy: dict[str, Any]) -> dict[str, str]:
    """What KFP hands to Argo (argocompiler/container.go)."""
    return {
        "Limit": str(policy["maxRetryCount"]),
        "Duration": policy["backoffDuration"].removesuffix("s"),
        "Factor": f"{policy['backoffFactor']:.0f}",
        "MaxDuration": policy["backoffMaxDuration"].removesuffix("s"),
    }


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_argo_tries_again_what_we_compile(argo: Path) -> None:
    """Failed in minute ten, or after most of a day: again; with as much time as the first time."""
    from pipeline.kubeflow.compile import policies
    from pipeline.kubeflow.settings import load_settings

    golden = next(yaml.safe_load_all((ROOT / "tests/golden/kubeflow.yaml").read_text()))
    small = retry_strategy(golden["root"]["dag"]["tasks"]["trainer"]["retryPolicy"])
    settings = load_settings(ROOT / "deploy/kubeflow/gpu.yaml")
    gpu = retry_strategy(policies("trainer", settings)["retryPolicy"])
    day = 86400

    def ask(
        strategy: dict[str, str], *started: int, ended: int = 10_000, phase: str = "Failed"
    ) -> Any:
        question = {"StartedAgoS": started, "EndedAgoS": ended, "Phase": phase}
        return asked(argo, [strategy | question])[0]

    def again(answer: Any) -> bool:
        assert not answer["Message"] or answer["Phase"] != "Running", answer
        return bool(answer["Phase"] == "Running")

    # What was compiled until 2026-11-28: small.yaml's 300 s are over in minute ten.
    before = ask(small | {"MaxDuration": "300"}, 600, ended=31)
    assert before["Phase"] == "Failed" and before["Message"] == "Max duration limit exceeded"
    for strategy, started in ((small, [600]), (small, [6 * day]), (gpu, [day - 60])):
        assert again(ask(strategy, *started, ended=61)), started
        first = ask(strategy, *started, ended=0)
        assert first["Phase"] == "Running" and first["Message"].startswith("Backoff for"), first
    # gpu.yaml has three retries, each of which may take a day, after a day in a queue.
    for attempts in range(1, settings.retries.attempts + 1):
        started = [2 * day * n for n in range(attempts, 0, -1)]
        answer = ask(gpu, *started, ended=3600)
        assert again(answer) and answer["DeadlineS"] > settings.timeout_s, answer
    last = ask(gpu, 4 * day, 3 * day, 2 * day, day)
    assert last["Phase"] == "Failed" and last["Message"] == "No more retries left"
    # A pod that was deleted: Argo's node has an error, and KFP sets no retryPolicy.
    assert ask(small, 600, ended=61, phase="Error")["Phase"] == "Error"


def strict(schema: Any) -> Any:
    """Returns a CRD's schema as JSON's, in which a field that it does not name is an error.

    Kubernetes drops such a field in silence.
    """
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    result = {key: strict(value) for key, value in schema.items()}
    open_ended = "additionalProperties" in schema or schema.get(
        "x-kubernetes-preserve-unknown-fields"
    )
    if isinstance(schema.get("properties"), dict) and not open_ended:
        result["additionalProperties"] = False
    return result


@pytest.mark.nightly
def test_kserves_own_schema_takes_the_manifest(tmp_path: Path) -> None:
    """That of its custom resource, strictly; a misspelt field is found."""
    jsonschema = pytest.importorskip("jsonschema", reason="kubernetes-validate brings it")
    served = Path(json.loads(go("mod", "download", "-json", KSERVE, folder=tmp_path))["Dir"])
    file = served / "config/crd/full/serving.kserve.io_inferenceservices.yaml"
    manifest = yaml.safe_load((ROOT / "deploy/kubernetes/kserve.yaml").read_text())
    [version] = [
        v
        for v in yaml.safe_load(file.read_text())["spec"]["versions"]
        if manifest["apiVersion"].endswith(f"/{v['name']}")
    ]
    schema = version["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {"type": "object", "additionalProperties": True}
    validator = jsonschema.Draft202012Validator(strict(schema))
    assert [error.message for error in validator.iter_errors(manifest)] == []
    manifest["spec"]["predictor"]["minReplica"] = 1
    manifest["spec"]["predictor"]["containers"][0]["ports"][0]["containerPort"] = "8000"
    assert len(list(validator.iter_errors(manifest))) == 2
