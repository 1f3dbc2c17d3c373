"""`genq dashboard`: a local web server over all runs of a pipeline root.

In: a work directory. Out: pages: a table of runs, each run's report, two runs side by side, and a
form that stores a reviewer's decision in ML Metadata. Listens on this machine only unless told
otherwise; it has no accounts.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.serving import make_server
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from components.evaluation.checks import reason
from components.evaluation_report.artifacts import MODEL_CARD_HTML
from components.evaluation_report.pages import form, page, with_form
from data.errors import ConfigError, GenqError
from pipeline.history.hosts import known, names
from pipeline.history.reports import INPUTS, write_report
from pipeline.history.runs import Run, connect, decide, find, list_runs

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ROUTES = Map(
    [
        Rule("/", endpoint="table", methods=["GET"]),
        Rule("/compare", endpoint="compare", methods=["GET"]),
        Rule("/runs/<run_id>/", endpoint="report", methods=["GET"]),
        Rule("/runs/<run_id>/model_card.html", endpoint="card", methods=["GET"]),
        Rule(
            "/runs/<run_id>/<any('tfma.html', 'facets.html'):name>",
            endpoint="view",
            methods=["GET"],
        ),
        Rule("/runs/<run_id>/decide", endpoint="decide", methods=["POST"]),
    ]
)


class Dashboard:
    """A WSGI application.

    Args:
      workdir: of the pipeline.
      hosts: names under which it may be asked. Others are refused, so that no page in the
        reviewer's browser can reach it under a name of its own (DNS rebinding).
    """

    def __init__(self, workdir: Path, hosts: Collection[str]) -> None:
        self._workdir = workdir
        self._hosts = hosts
        # Only a page of this server knows it: a form elsewhere cannot decide.
        self._token = secrets.token_urlsafe(24)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        request = Request(environ)
        try:
            if not known(request.host, self._hosts):
                raise BadRequest(
                    f"This server is not asked as {request.host!r}. Open it by its address, or by "
                    f"one of its names: {', '.join(sorted(self._hosts))}."
                )
            endpoint, values = ROUTES.bind_to_environ(environ).match()
            response = getattr(self, f"_{endpoint}")(request, **values)
        except HTTPException as error:
            response = error.get_response(environ)
        except ConfigError as error:
            response = Response(str(error), 404)
        except GenqError as error:
            response = Response(str(error), 500)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Frame-Options"] = "DENY"
        answer: Iterable[bytes] = response(environ, start_response)
        return answer

    def _runs(self) -> list[Run]:
        return list_runs(connect(self._workdir))

    def _table(self, request: Request) -> Response:
        runs = self._runs()
        rows = [
            {
                **r.summary(),
                "path": quote(r.id, safe=""),
                "full": r.decision,
                "reason": reason(r.checks),
                "tfma": INPUTS["evaluation"] in r.outputs,
            }
            for r in reversed(runs)
        ]
        return _html(
            page(
                "dashboard.html.j2",
                form_action="'self'",
                rows=rows,
                workdir=str(self._workdir),
                token=self._token,
            )
        )

    def _report(self, request: Request, run_id: str) -> Response:
        runs = self._runs()
        return self._written(find(runs, run_id), runs)

    def _compare(self, request: Request) -> Response:
        runs = self._runs()
        run, other = (find(runs, request.args.get(key, "")) for key in ("run", "other"))
        return self._written(run, runs, other)

    def _written(self, run: Run, runs: list[Run], other: Run | None = None) -> Response:
        """The report as it is on disk, with a form where that has a command."""
        action = f"/runs/{quote(run.id, safe='')}/decide"
        written = self._write(run, runs, other).read_text()
        return _html(with_form(written, form("decide.html.j2", action=action, token=self._token)))

    def _write(self, run: Run, runs: list[Run], other: Run | None = None) -> Path:
        """Renders into WORKDIR/reports, as `genq report` does; returns the report."""
        name = run.id.replace(":", "") + ("-compared" if other else "")
        return write_report(run, runs, self._workdir / "reports" / name, self._workdir, other)

    def _view(self, request: Request, run_id: str, name: str) -> Response:
        """One of the pages beside the report."""
        runs = self._runs()
        file = self._write(find(runs, run_id), runs).with_name(name)
        return (
            _html(file.read_text())
            if file.exists()
            else Response(f"This run has no {file.name}.", 404)
        )

    def _card(self, request: Request, run_id: str) -> Response:
        run = find(self._runs(), run_id)
        return _html((run.report.parent / MODEL_CARD_HTML).read_text())

    def _decide(self, request: Request, run_id: str) -> Response:
        if not secrets.compare_digest(request.form.get("token", ""), self._token):
            return Response("This form is not of this server; open the table again.", 403)
        store = connect(self._workdir)
        try:
            decide(
                store,
                find(list_runs(store), run_id),
                request.form.get("decision", ""),
                request.form.get("reviewer", ""),
                request.form.get("comment", ""),
            )
        except ConfigError as error:
            return Response(str(error), 400)
        return redirect("/", 303)


def _html(text: str) -> Response:
    return Response(text, mimetype="text/html")


def serve(workdir: Path, host: str, port: int, *, on_ready: Callable[[str], object]) -> None:
    """Serves until interrupted.

    Raises:
      DataError: if no run has been in the work directory.
      ConfigError: if the address is taken.
    """
    connect(workdir)
    application = Dashboard(workdir, names(host))
    try:
        server = make_server(host, port, application)
    except (OSError, SystemExit) as error:
        raise ConfigError(
            f"{host}:{port} cannot be listened on.", "Choose another with --port, or --port 0."
        ) from error
    on_ready(f"http://{host}:{server.port}/  (Ctrl+C ends)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
