"""Runs and schedules on a cluster, through the `kfp` client.

In: Settings and a compiled package. Out: what the API server answers, or a ClusterError that says
what it refused and what to do. Reading is tried again when the server stumbles; creating is not:
after a time-out nobody knows whether it was done.

Authentication, as the client supports it, by environment variables: KFP_TOKEN (a bearer token),
KFP_COOKIE (Dex: "authservice_session=…"), KF_PIPELINES_SA_TOKEN_PATH (a pod's service account), and
Google's IAP by the variables of the client. Neither is ever written to a log.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import kfp_server_api
import tenacity
import urllib3
from kfp import client as kfp_client

from data.errors import ClusterError
from pipeline.kubeflow import server
from pipeline.kubeflow.server import COOKIE, TOKEN, refused, unreachable
from pipeline.kubeflow.settings import Settings

SERVICE_ACCOUNT: Final = "KF_PIPELINES_SA_TOKEN_PATH"
PAGE_SIZE: Final = 100
ATTEMPTS: Final = 3
FIRST_WAIT_S: Final = 0.5
Result = TypeVar("Result")


@dataclass(frozen=True)
class Schedule:
    """A recurring run.

    Attributes:
      cron: six fields; "" where somebody scheduled it by an interval.
      created: ISO 8601.
    """

    id: str
    name: str
    cron: str
    enabled: bool
    max_concurrency: int
    no_catchup: bool
    created: str


@dataclass(frozen=True)
class Progress:
    """How a run stands.

    Attributes:
      state: in the API's words: PENDING, RUNNING, SUCCEEDED, FAILED, …
      messages: that Argo has of its nodes: why a pod waits, what a failed one said.
    """

    state: str
    messages: tuple[str, ...]


class Cluster:
    """One KFP API server.

    Args:
      settings: whose host and names are used.

    Raises:
      ClusterError: if it does not answer, or rejects our credentials.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._where = settings.host or "the cluster of kubectl"
        health = server.ask(settings) if settings.host else None
        if health is not None:
            server.check_profile(self._where, health, settings)
        with _quietly(), self._explained("connect", tried_again=False):
            self._client: Any = kfp_client.Client(
                host=settings.host or None,
                # A name other than "kubeflow" is taken for a user's, and sent with every request.
                namespace=settings.profile or ("kubeflow" if settings.host else settings.namespace),
                existing_token=os.environ.get(TOKEN) or None,
                cookies=os.environ.get(COOKIE) or None,
                credentials=_service_account(),
            )
        _limit_time(self._client, settings.request_timeout_s)
        self.health = health or self._ask_client()

    def _ask_client(self) -> server.Health:
        """Asks through the client, which alone knows where the server is."""
        raw = self._read(
            "connect",
            lambda: self._client._healthz_api.healthz_service_get_healthz(_preload_content=False),
        )
        return server.Health.read(json.loads(raw.data))

    def check_version(self) -> None:
        """Raises ClusterError if the server is too old for what the settings compile to."""
        server.check_version(self._where, self.health, self._settings)

    def run(self, package: Path, parameters: Mapping[str, Any], name: str) -> str:
        """Submits one run; returns its id.

        Raises:
          ClusterError: if the server is too old, refuses, or does not answer.
        """
        self.check_version()
        experiment = self._experiment()
        with _quietly(), self._explained("start the run"):
            run = self._client.run_pipeline(
                experiment_id=experiment,
                job_name=name,
                pipeline_package_path=str(package),
                params=dict(parameters),
                pipeline_root=self._settings.pipeline_root,
                service_account=self._settings.service_account or None,
            )
        return str(run.run_id)

    def progress(self, run_id: str) -> Progress:
        """Returns how a run stands. Only the older API hands out what Argo says of its nodes.

        Raises:
          ClusterError: if the server refuses, or does not answer.
        """
        run = self._read("look at the run", partial(self._client.get_run, run_id))
        api = self._client._run_api.api_client
        raw = self._read(
            "look at the run's nodes",
            lambda: api.call_api(
                "/apis/v1beta1/runs/{run_id}",
                "GET",
                path_params={"run_id": run_id},
                auth_settings=["Bearer"],
                _preload_content=False,
            ),
        )
        runtime = json.loads(raw.data).get("pipeline_runtime") or {}
        workflow = json.loads(runtime.get("workflow_manifest") or "{}")
        nodes = workflow.get("status", {}).get("nodes") or {}
        said = {node["message"]: None for node in nodes.values() if node.get("message")}
        return Progress(str(run.state or "PENDING"), tuple(said))

    def end(self, run_id: str) -> None:
        """Ends a run, so that no pod of it waits for ever."""
        with _quietly(), self._explained("end the run", tried_again=True):
            self._client.terminate_run(run_id)

    def url(self, run_id: str) -> str:
        """Returns where a person looks at a run."""
        return f"{self._settings.host}/#/runs/details/{run_id}"

    def schedules(self, name: str | None = None) -> list[Schedule]:
        """Returns the experiment's schedules, or those of one name, oldest first."""
        experiment = self._find_experiment()
        if experiment is None:
            return []
        found: list[Schedule] = []
        token = ""
        while True:
            page = self._read(
                "list the schedules",
                partial(
                    self._client.list_recurring_runs,
                    page_token=token,
                    page_size=PAGE_SIZE,
                    experiment_id=experiment,
                ),
            )
            found += [_schedule(one) for one in page.recurring_runs or ()]
            token = page.next_page_token or ""
            if not token:
                break
        chosen = [one for one in found if name in (None, one.name)]
        return sorted(chosen, key=lambda one: one.created)

    def schedule(
        self, package: Path, parameters: Mapping[str, Any], name: str, cron: str
    ) -> tuple[Schedule, list[Schedule]]:
        """Creates a schedule in place of those of the same name; returns it and the replaced.

        The new one is there before the old ones go: there is no gap. A firing in between starts
        two runs, of which the second is served from the cache.

        Raises:
          ClusterError: if the new one is refused: the old ones are as they were. If an old one
            cannot be removed: says which.
        """
        self.check_version()
        old = self.schedules(name)
        experiment = self._experiment()
        with _quietly(), self._explained("create the schedule"):
            created = self._client.create_recurring_run(
                experiment_id=experiment,
                job_name=name,
                description="Made by genq kubeflow schedule",
                cron_expression=cron,
                no_catchup=True,
                max_concurrency=self._settings.max_concurrency,
                params=dict(parameters),
                pipeline_package_path=str(package),
                pipeline_root=self._settings.pipeline_root,
                service_account=self._settings.service_account or None,
            )
        new = _schedule(created)
        for one in old:
            try:
                self._delete(one)
            except ClusterError as error:
                raise ClusterError(
                    f"The new schedule {new.id} is there, and the old one {one.id} as well: "
                    f"{error.problem}",
                    f"Remove it, or two runs start at a time: genq kubeflow unschedule --id "
                    f"{one.id}.",
                ) from error
        return new, old

    def unschedule(self, name: str, schedule_id: str = "") -> list[Schedule]:
        """Removes the schedules of a name, or one by its id; returns them.

        Raises:
          ClusterError: if there is none.
        """
        every = self.schedules()
        chosen = [
            one for one in every if (one.id == schedule_id if schedule_id else one.name == name)
        ]
        if not chosen:
            raise ClusterError(
                f"There is no schedule {schedule_id or name!r} in experiment "
                f"{self._settings.experiment!r}.",
                f"Schedules: {', '.join(f'{s.name} ({s.id})' for s in every) or 'none'}.",
            )
        for one in chosen:
            self._delete(one)
        return chosen

    def _delete(self, schedule: Schedule) -> None:
        try:
            with self._explained(f"remove the schedule {schedule.id}"):
                self._client.delete_recurring_run(schedule.id)
        except ClusterError as error:
            # Somebody was faster: it is gone, which is what was asked for.
            if getattr(error.__cause__, "status", None) != 404:
                raise

    def _find_experiment(self) -> str | None:
        """Returns the experiment's id, or None."""
        try:
            found = self._read(
                "find the experiment",
                partial(
                    self._client.get_experiment,
                    experiment_name=self._settings.experiment,
                    namespace=self._settings.profile or None,
                ),
            )
        except ValueError as error:
            # The client's own error; the server's have been explained.
            if "No experiment is found" in str(error):
                return None
            raise ClusterError(f"{self._where}: {error}") from error
        return str(found.experiment_id)

    def _experiment(self) -> str:
        """Returns the experiment's id; creates it where it is missing."""
        if (found := self._find_experiment()) is not None:
            return found
        try:
            with _quietly(), self._explained("create the experiment"):
                created = self._client.create_experiment(
                    self._settings.experiment, namespace=self._settings.profile or None
                )
        except ClusterError as error:
            if getattr(error.__cause__, "status", None) != 409:
                raise
            # Somebody created it just now.
            if (found := self._find_experiment()) is None:
                raise
            return found
        return str(created.experiment_id)

    def _read(self, what: str, call: Callable[[], Result]) -> Result:
        """Reads, and tries again when the server stumbles."""
        again = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_exponential(FIRST_WAIT_S),
            retry=tenacity.retry_if_exception(_may_pass),
            reraise=True,
        )
        with _quietly(), self._explained(what, tried_again=True):
            result: Result = again(call)
        return result

    @contextlib.contextmanager
    def _explained(self, what: str, tried_again: bool = False) -> Iterator[None]:
        """Turns the client's exceptions into sentences."""
        try:
            yield
        except kfp_server_api.ApiException as error:
            raise refused(self._where, what, error, ATTEMPTS if tried_again else 1) from error
        except (urllib3.exceptions.HTTPError, TimeoutError, OSError) as error:
            raise unreachable(self._settings, self._where, what, error, tried_again) from error


def _may_pass(error: BaseException) -> bool:
    """Returns whether asking again may help."""
    if isinstance(error, kfp_server_api.ApiException):
        return bool(error.status in (429, 500, 502, 503, 504))
    return isinstance(error, urllib3.exceptions.HTTPError)


def _limit_time(client: Any, timeout_s: int) -> None:
    """Makes every request end; the client itself waits for ever."""
    rest = client._run_api.api_client.rest_client
    # Without urllib3's own retries: three, each of them as long.
    rest.pool_manager.connection_pool_kw["retries"] = False
    request = rest.request

    def limited(*arguments: Any, **options: Any) -> Any:
        options["_request_timeout"] = options.get("_request_timeout") or timeout_s
        return request(*arguments, **options)

    rest.request = limited


def _service_account() -> Any:
    """Returns a pod's own credentials, where they are mounted."""
    if not os.environ.get(SERVICE_ACCOUNT):
        return None
    return kfp_client.ServiceAccountTokenVolumeCredentials(path=None)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keeps the client's prints and warnings from the terminal."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _schedule(found: Any) -> Schedule:
    """Returns what matters of a V2beta1RecurringRun."""
    cron = found.trigger and found.trigger.cron_schedule
    return Schedule(
        id=found.recurring_run_id,
        name=found.display_name,
        cron=(cron and cron.cron) or "",
        enabled=found.status != "DISABLED" and found.mode != "DISABLE",
        max_concurrency=int(found.max_concurrency or 1),
        no_catchup=bool(found.no_catchup),
        created=found.created_at.isoformat() if found.created_at else "",
    )
