"""`create_app(settings)`: the application, wired.

In: Settings. Out: a FastAPI application; models are loaded in its lifespan, not before.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from data.faces.detector import FaceDetector
from data.faces.mtcnn_graphs import graphs
from data.faces.photos import register_decoders
from serving.api import device, legacy, reference, routes, web
from serving.api.analysis import Analyser
from serving.api.drift import Window
from serving.api.errors import ApiError, Code
from serving.api.memory import ADDRESS, AUTHKEY, Store, connect_store
from serving.api.metrics import Metrics
from serving.api.releases import Releases
from serving.api.security import Guard, mib, request_language
from serving.api.settings import Settings, load
from serving.api.state import State
from serving.api.upload import keep_in_memory
from serving.api.workers import Stopped, Workers

log = logging.getLogger("genq.serving")

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

DESCRIPTION = (
    "Finds every face in a photo and says how it appears to the annotators of CelebA: with the "
    "usual model female, male, or that it would rather not say; /v1/model says what the labels of "
    "this one are. Not a statement about anybody's identity. "
    "Photos are not stored."
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Returns the application.

    Args:
      settings: see Settings; None reads them from the environment.

    Raises:
      ConfigError: if a setting is wrong.
    """
    settings = settings or load()
    metrics = Metrics()
    keep_in_memory(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = await asyncio.to_thread(_start, settings, metrics)
        app.state.genq = state
        watcher = asyncio.create_task(_watch(state))
        try:
            yield
        finally:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher
            await asyncio.to_thread(state.workers.close)

    app = FastAPI(
        title="genq",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.include_router(routes.v1)
    app.include_router(device.router)
    app.include_router(routes.operations)
    app.include_router(legacy.router)
    _add_handlers(app, settings, metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["X-API-Key", "Authorization", "Content-Type", "Accept-Language"],
            expose_headers=["Retry-After", "X-Request-Id"],
        )
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    _describe_keys(app)
    reference.mount(app)
    _refuse_unknown(app)
    web.mount(app, settings)
    return app


def _describe_keys(app: FastAPI) -> None:
    """Says in the description how a key is sent; without keys on the server none is needed."""
    described = app.openapi

    def with_keys() -> dict[str, Any]:
        description = described()
        description["components"]["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
        description["security"] = [{}, {"key": []}, {"bearer": []}]
        return description

    app.openapi = with_keys  # type: ignore[method-assign]  # FastAPI's documented way


def _refuse_unknown(app: FastAPI) -> None:
    """Answers below /v1/ and /api/ what no route knows, before the page's files are looked at."""

    @app.api_route("/v1/{rest:path}", methods=list(_METHODS), include_in_schema=False)
    @app.api_route("/api/{rest:path}", methods=list(_METHODS), include_in_schema=False)
    async def unknown(request: Request, rest: str) -> None:
        others = [
            route
            for route in request.app.routes
            if not isinstance(route, Mount) and getattr(route, "endpoint", None) is not unknown
        ]
        scope = dict(request.scope)
        allowed = [
            method
            for method in _METHODS
            if any(r.matches(scope | {"method": method})[0] is Match.FULL for r in others)
        ]
        if allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
        raise ApiError("not_found")


def _start(settings: Settings, metrics: Metrics) -> State:
    """Loads detector, decoders and releases; takes seconds."""
    register_decoders()
    detector = FaceDetector(settings.detector)
    releases = Releases(settings)
    releases.refresh()
    address = os.environ.get(ADDRESS)
    store = (
        connect_store(address, os.environ[AUTHKEY].encode())
        if address
        else Store(settings.upload_ttl_s, settings.upload_max_total_bytes)
    )
    analyser = Analyser(detector, settings.max_pixels, settings.max_faces)
    workers = Workers(
        settings.parallel, settings.queue_size, settings.request_timeout_s, metrics.work
    )
    metrics.releases(releases.engines(), len(releases.skipped))
    window = Window(settings.drift_window_s)
    return State(settings, analyser, releases, workers, metrics, store, graphs(), window)


async def _watch(state: State) -> None:
    """Looks at the releases now and then; what goes wrong is logged and tried again."""
    while True:
        await asyncio.sleep(state.settings.reload_interval_s)
        try:
            await asyncio.to_thread(state.releases.refresh)
            # Every worker says what it has loaded, also one that nobody asks for /metrics.
            state.metrics.releases(state.releases.engines(), len(state.releases.skipped))
            await asyncio.to_thread(state.window.remember, state.metrics.text)
            await asyncio.to_thread(state.store.forget_old)
        except Exception:  # the watcher must outlive a full disk or a lost network drive
            log.exception("looking at the releases failed")


def _add_handlers(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    def answer(request: Request, error: ApiError) -> JSONResponse:
        metrics.errors.labels(error.code).inc()
        body = error.body(request_language(request.scope), request.state.request_id)
        return JSONResponse(body, error.status, error.headers)

    @app.exception_handler(ApiError)
    async def typed(request: Request, error: ApiError) -> JSONResponse:
        return answer(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return answer(request, ApiError("invalid_request", problem=found))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Any:
        codes: dict[int, Code] = {404: "not_found", 405: "method_not_allowed"}
        if error.status_code == 413:
            return answer(request, ApiError("too_many_bytes", limit_mib=mib(settings.max_bytes)))
        if error.status_code in codes:
            response = answer(request, ApiError(codes[error.status_code]))
            response.headers.update(error.headers or {})
            return response
        return answer(request, ApiError("invalid_request", problem=str(error.detail)))

    @app.exception_handler(Stopped)
    async def stopped(request: Request, error: Stopped) -> JSONResponse:
        return answer(request, ApiError("client_gone"))
