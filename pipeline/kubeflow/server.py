"""What a KFP API server says of itself, and what it refuses, in sentences.

In: Settings. Out: its Health, before anything else is asked; or a ClusterError. The page's server
(ml-pipeline-ui) answers in other words than the API server behind it: both are read.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from dataclasses import dataclass
from typing import Any, Final

import kfp_server_api
import requests
import urllib3

from data.errors import ClusterError, ConfigError
from pipeline.kubeflow.settings import Settings

TOKEN: Final = "KFP_TOKEN"
COOKIE: Final = "KFP_COOKIE"
HEALTH: Final = "/apis/v2beta1/healthz"
Version = tuple[int, int]
OLDEST: Final[Version] = (2, 5)
"""Knows pvcNameParameter and secretNameParameter; 2.4 refuses the fields."""
OLDEST_WITH_SUB_PATH: Final[Version] = (2, 16)
REMEDIES: Final = {
    400: "The pipeline and the server do not fit: genq kubeflow compile, and look at `error`.",
    401: "Log in: set KFP_TOKEN or KFP_COOKIE to fresh ones.",
    403: "This user may not do that in this namespace; ask who administers the profile.",
    404: "Is `host` the API's address? Its path ends before /apis.",
    409: "Choose another name, or remove the one that is there.",
    429: "Wait a little.",
}


@dataclass(frozen=True)
class Health:
    """What a server says of itself.

    Attributes:
      version: its tag, as it is; "" where it does not say.
      several_users: whether every user has a namespace.
    """

    version: str
    several_users: bool

    @classmethod
    def read(cls, answer: dict[str, Any]) -> Health:
        """Reads the API server's words, or those of the page's server."""
        tag = answer.get("tag_name", answer.get("apiServerTagName")) or ""
        several = answer.get("multi_user", answer.get("apiServerMultiUser"))
        return cls("" if tag == "unknown" else str(tag), bool(several))


def ask(settings: Settings) -> Health:
    """Asks a host for its health: the client would try for half a minute.

    Raises:
      ClusterError: if it does not answer, or is no API server.
    """
    where, url = settings.host, f"{settings.host.rstrip('/')}{HEALTH}"
    headers = {}
    if token := os.environ.get(TOKEN):
        headers["Authorization"] = f"Bearer {token}"
    if cookie := os.environ.get(COOKIE):
        headers["Cookie"] = cookie
    try:
        response = requests.get(url, headers=headers, timeout=settings.request_timeout_s)
    except requests.RequestException as error:
        raise unreachable(settings, where, "connect", error, tried_again=False) from error
    if not response.ok:
        problem = kfp_server_api.ApiException(status=response.status_code)
        problem.body = response.text
        raise refused(where, "connect", problem) from problem
    try:
        answer = response.json()
        health = Health.read(answer)
    except (requests.JSONDecodeError, AttributeError) as error:
        raise ClusterError(
            f"{url} answered {response.text[:60]!r}, which is not KFP's API.",
            "A login page? Set KFP_COOKIE or KFP_TOKEN. Another service? Correct `host`.",
        ) from error
    if answer.get("apiServerReady") is False:
        raise ClusterError(
            f"{where}: KFP's page answers, and the API server behind it does not.",
            f"Look whether it runs: kubectl -n {settings.namespace} get pods -l app=ml-pipeline.",
        )
    return health


def check_profile(where: str, health: Health, settings: Settings) -> None:
    """Raises ConfigError if every user has a namespace, and none is set."""
    if health.several_users and not settings.profile:
        raise ConfigError(
            f"{where} serves several users, and no profile is set.",
            "Set `profile` to your namespace.",
        )


def check_version(where: str, health: Health, settings: Settings) -> None:
    """Raises ClusterError if the server is too old for what these settings compile to.

    A server that names no version, as one built by hand does, is believed to be new enough.
    """
    match = re.match(r"v?(\d+)\.(\d+)", health.version)
    if match is None:
        return
    version = (int(match[1]), int(match[2]))
    mounted = [v.claim for v in settings.volumes if v.sub_path]
    if version < OLDEST:
        raise ClusterError(
            f"{where} is Kubeflow Pipelines {health.version}; genq's pipelines need "
            f"{OLDEST[0]}.{OLDEST[1]} or later.",
            "Upgrade Kubeflow Pipelines: older servers refuse the fields that name volumes and "
            "secrets.",
        )
    if mounted and version < OLDEST_WITH_SUB_PATH:
        raise ClusterError(
            f"{where} is Kubeflow Pipelines {health.version}; volumes.sub_path (of "
            f"{', '.join(mounted)}) needs {OLDEST_WITH_SUB_PATH[0]}.{OLDEST_WITH_SUB_PATH[1]} "
            "or later.",
            "Upgrade Kubeflow Pipelines, or mount the whole claim and name the folder in the "
            "paths.",
        )


def unreachable(
    settings: Settings, where: str, what: str, error: Exception, tried_again: bool
) -> ClusterError:
    """Returns why there was no answer, as an error.

    Args:
      settings: whose time limit and namespace are named.
      where: the server.
      what: it was asked to do.
      error: of a client library.
      tried_again: whether it was asked several times, which only reading is.
    """
    begun = not tried_again and what != "connect"
    remedy = (
        f"Look whether it runs: kubectl -n {settings.namespace} get pods; and whether a "
        "port-forward is alive."
    )
    chain = _chain(error)
    if any(isinstance(e, ConnectionRefusedError) for e in chain):
        said, begun = (
            f"{where} refused the connection, asked to {what}: nothing listens there",
            False,
        )
    elif any(isinstance(e, socket.gaierror) for e in chain):
        said, begun = f"{where}: there is no host of this name", False
        remedy = "Correct `host`, or look at this machine's resolver."
    elif any(isinstance(e, TimeoutError | requests.Timeout | _TIMEOUT) for e in chain):
        said = f"{where} did not answer within {settings.request_timeout_s} s, asked to {what}"
    else:
        said = f"The connection to {where} broke, asked to {what}: {type(error).__name__}"
    if begun:
        remedy = f"It may have been done all the same: genq kubeflow schedules. {remedy}"
    return ClusterError(f"{said}.", remedy)


_TIMEOUT: Final = urllib3.exceptions.TimeoutError


def _chain(error: BaseException) -> list[BaseException]:
    """Returns an error and what is inside: libraries wrap the system's in their own."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return found


def refused(where: str, what: str, error: Any, attempts: int = 1) -> ClusterError:
    """Returns what the API server said, as an error.

    Args:
      where: the server.
      what: it was asked to do.
      error: an ApiException.
      attempts: how often it was asked.
    """
    said = str(error.body or error.reason or "").strip()
    with contextlib.suppress(ValueError, AttributeError):
        body = json.loads(said)
        said = str(body.get("message") or body.get("error") or said)
    times = f" {attempts} times" if attempts > 1 and error.status >= 500 else ""
    remedy = REMEDIES.get(error.status, "")
    if error.status >= 500:
        remedy = "The server has a fault: kubectl logs deploy/ml-pipeline. Then try again."
    return ClusterError(
        f"{where} refused to {what}{times}: {error.status}, {said[:500] or 'no reason given'}.",
        remedy,
    )
