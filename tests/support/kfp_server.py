"""A small API server of Kubeflow Pipelines, over real HTTP: what v2beta1 says, and its errors.

Bodies are checked against the models of `kfp_server_api`, packages against the messages of KFP.
With a folder, runs are run: each container as a process, with a kubelet's secrets and termination
message, and Argo's nodes as the older API hands them out. A test may queue faults: a status to
answer with, Server.HANG or Server.HANG_UP.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2 as kfp

from pipeline.kubeflow.rehearse import Rehearsal

PAGE = 2
"""Smaller than the client asks for, so that listing takes several pages."""


@dataclass
class Fault:
    """The next `times` requests that match get `status`, before or after they are done."""

    method: str
    path: str
    status: int
    times: int = 1
    message: str = "it is broken"
    after: bool = False


@dataclass
class Server:
    """What the server knows, and what it was asked.

    Attributes:
      token: that requests must bear; "" lets everybody in.
      version: its tag.
      page: whether KFP's page stands before it, as behind svc/ml-pipeline-ui: it answers for the
        server's health, in other words.
      log: "METHOD path", in order.
      folder: where runs are run; None only keeps them.
      secrets: of the namespace: name -> key -> value.
      store_refuses: whether the object store takes nothing.
      states: of runs.
      nodes: of runs, as Argo has them.
    """

    HANG: ClassVar[int] = 0
    HANG_UP: ClassVar[int] = -1
    token: str = ""
    multi_user: bool = False
    version: str = "2.17.0"
    page: bool = False
    ready: bool = True
    folder: Path | None = None
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    store_refuses: bool = False
    states: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    experiments: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Any] = field(default_factory=dict)
    recurring: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    url: str = ""

    def fails(self, method: str, path: str, status: int, **how: Any) -> None:
        """Queues a fault."""
        self.faults.append(Fault(method, path, status, **how))

    def fault(self, method: str, path: str, after: bool) -> Fault | None:
        for one in self.faults:
            if one.method == method and one.after == after and re.search(one.path, path):
                one.times -= 1
                if one.times <= 0:
                    self.faults.remove(one)
                return one
        return None


class RefusedError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def checked(body: dict[str, Any], model: type) -> dict[str, Any]:
    """Refuses fields that the API does not know."""
    if unknown := set(body) - set(model.attribute_map.values()):  # type: ignore[attr-defined]
        raise RefusedError(400, f"unknown field {sorted(unknown)}")
    return body


def check_package(body: dict[str, Any]) -> None:
    """Reads both documents as the API server does; parameters must be known."""
    documents = body["pipeline_spec"]
    spec = json_format.ParseDict(documents["pipeline_spec"], kfp.PipelineSpec())
    if spec.schema_version != "2.1.0":
        raise RefusedError(400, f"KFP supports schema 2.1.0 only, not {spec.schema_version}")
    platform = documents["platform_spec"]["platforms"]["kubernetes"]
    for executor in platform["deploymentSpec"]["executors"].values():
        json_format.ParseDict(executor, kubernetes.KubernetesExecutorConfig())
    runtime = checked(body["runtime_config"], kfp_server_api.V2beta1RuntimeConfig)
    for name in runtime.get("parameters", {}):
        if name not in spec.root.input_definitions.parameters:
            raise RefusedError(400, f"parameter {name} is not declared")


def execute(state: Server, run: dict[str, Any]) -> None:
    """Runs a run's containers with a rehearsal; a pod without its secret never starts."""
    assert state.folder is not None
    number, documents = run["run_id"], run["pipeline_spec"]
    spec, platform = documents["pipeline_spec"], documents["platform_spec"]
    state.states[number] = "RUNNING"
    kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for label, executor in kubernetes.items():
        container = spec["deploymentSpec"]["executors"][label]["container"]
        names = [
            s["secretName"]
            for kind in ("secretAsEnv", "secretAsVolume")
            for s in executor.get(kind, ())
        ]
        if missing := [name for name in names if name not in state.secrets]:
            message = f'CreateContainerConfigError: secret "{missing[0]}" not found'
            state.nodes[number] = {"a": {"phase": "Pending", "message": message}}
            return
        for secret in executor.get("secretAsEnv", ()):
            for pair in secret["keyToEnv"]:
                if value := state.secrets[secret["secretName"]].get(pair["secretKey"]):
                    one = {"name": pair["envVar"], "value": value}
                    container.setdefault("env", []).append(one)
    rehearsal = Rehearsal(state.folder, spec, platform)
    if state.store_refuses:
        (state.folder / "store").write_text("no folder")
    try:
        results = rehearsal.run()
    except NotADirectoryError:
        # As KFP's launcher: the program ended well, the upload did not, and the container with it.
        [said] = state.folder.glob("pods/*/*/termination-log")
        message = f"main: Error (exit code 1): {said.read_text()}"
    else:
        [message] = {r.message for r in results.values()}
    state.nodes[number] = {"a": {"phase": "Failed", "message": message} if message else {}}
    state.states[number] = "FAILED" if message else "SUCCEEDED"


class Handler(BaseHTTPRequestHandler):
    """Routes of v2beta1."""

    server_: ClassVar[Server]
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""

    def handle_one(self, method: str) -> None:
        state = self.server_
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/apis/v2beta1")
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        state.log.append(f"{method} {path}")
        try:
            self.stumble(method, path, after=False)
            if state.token and self.headers.get("Authorization") != f"Bearer {state.token}":
                raise RefusedError(401, "Unauthenticated: the token is not known")
            query = {k: v[0] for k, v in parse_qs(parts.query).items()}
            answer = self.route(method, path, query, body)
            self.stumble(method, path, after=True)
            self.reply(200, answer)
        except ConnectionResetError:
            self.close_connection = True
        except RefusedError as error:
            self.reply(error.status, {"error": str(error), "code": 2, "message": str(error)})
        except (KeyError, json_format.ParseError) as error:
            self.reply(400, {"error": repr(error), "code": 3, "message": repr(error)})

    def stumble(self, method: str, path: str, *, after: bool) -> None:
        if fault := self.server_.fault(method, path, after):
            if fault.status == Server.HANG:
                time.sleep(2.5)
            elif fault.status == Server.HANG_UP:
                self.connection.close()
                raise ConnectionResetError
            else:
                raise RefusedError(fault.status, fault.message)

    def route(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        state = self.server_
        if path == "/healthz":
            if state.page:  # frontend/server/handlers/healthz.ts of 2.5
                return {
                    "apiServerReady": state.ready,
                    "apiServerTagName": state.version,
                    "apiServerMultiUser": state.multi_user,
                    "frontendTagName": "2.17.0",
                }
            return {
                "commit_sha": "7b70c7b",
                "tag_name": state.version,
                "multi_user": state.multi_user,
                "pipeline_store": "database",
            }
        if path == "/experiments" and method == "GET":
            wanted = json.loads(query["filter"])["predicates"][0]
            if wanted["key"] != "display_name" or wanted["operation"] not in ("EQUALS", 1):
                raise RefusedError(400, f"the filter {wanted} is not played")
            found = [
                e for e in state.experiments.values()
                if e["display_name"] == wanted["stringValue"]
                and e.get("namespace", "") == query.get("namespace", "")
            ]  # fmt: skip
            return {"experiments": found}
        if path == "/experiments" and method == "POST":
            checked(body, kfp_server_api.V2beta1Experiment)
            if any(e["display_name"] == body["display_name"] for e in state.experiments.values()):
                raise RefusedError(409, f"Experiment {body['display_name']} already exists")
            return self.keep(state.experiments, "experiment_id", body)
        if path == "/runs" and method == "POST":
            checked(body, kfp_server_api.V2beta1Run)
            check_package(body)
            kept = self.keep(state.runs, "run_id", body)
            if state.folder is not None:
                threading.Thread(target=execute, args=(state, kept), daemon=True).start()
            return kept
        if (match := re.fullmatch(r"/runs/([\w-]+)", path)) and method == "GET":
            return {**state.runs[match[1]], "state": state.states.get(match[1], "PENDING")}
        if (match := re.fullmatch(r"/runs/([\w-]+):terminate", path)) and method == "POST":
            state.states[match[1]] = "CANCELED"
            return {}
        if match := re.fullmatch(r"/apis/v1beta1/runs/([\w-]+)", path):
            manifest = {"status": {"nodes": state.nodes.get(match[1], {})}}
            return {"run": {}, "pipeline_runtime": {"workflow_manifest": json.dumps(manifest)}}
        if path == "/recurringruns" and method == "POST":
            checked(body, kfp_server_api.V2beta1RecurringRun)
            check_package(body)
            if not 1 <= int(body["max_concurrency"]) <= 10:
                raise RefusedError(400, "max_concurrency must be between 1 and 10")
            if len(body["trigger"]["cron_schedule"]["cron"].split()) != 6:
                raise RefusedError(400, "the cron expression is malformed")
            return self.keep(state.recurring, "recurring_run_id", {**body, "status": "ENABLED"})
        if path == "/recurringruns":
            every = [
                r for r in state.recurring.values() if r["experiment_id"] == query["experiment_id"]
            ]
            first = int(query.get("page_token") or 0)
            more = first + PAGE < len(every)
            return {
                "recurringRuns": every[first : first + PAGE],
                "next_page_token": str(first + PAGE) if more else "",
            }
        if (match := re.fullmatch(r"/recurringruns/([\w-]+)", path)) and method == "DELETE":
            if match[1] not in state.recurring:
                raise RefusedError(404, f"Job {match[1]} not found")
            del state.recurring[match[1]]
            return {}
        raise RefusedError(404, f"Not Found: {method} {path}")

    def keep(self, place: dict[str, Any], key: str, body: Any) -> Any:
        number = str(uuid.uuid4())
        place[number] = {**body, key: number, "created_at": datetime.now(UTC).isoformat()}
        return place[number]

    def reply(self, status: int, answer: Any) -> None:
        content = json.dumps(answer).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_GET(self) -> None:  # http.server's names
        self.handle_one("GET")

    def do_POST(self) -> None:
        self.handle_one("POST")

    def do_DELETE(self) -> None:
        self.handle_one("DELETE")


@contextmanager
def serve() -> Iterator[Server]:
    """Runs a server on a free port."""
    state = Server()
    handler = type("Bound", (Handler,), {"server_": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
