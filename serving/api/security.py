"""Who may ask, how often, and what a browser is told: one pure ASGI layer around everything.

In: a request's head. Out: the same request with an id, or an answer that says no. Bodies are
counted as they pass and not buffered.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from typing import Final

from limits import RateLimitItem, parse
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.errors import ApiError, Language, language_of
from serving.api.metrics import Metrics
from serving.api.settings import Settings

log = logging.getLogger("genq.serving")

API_CSP: Final = "default-src 'none'; frame-ancestors 'none'"
_GUARDED: Final = ("/v1/", "/upload", "/predict", "/static/")
"""Need a key when there are keys, and count for the rate limit."""
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def request_language(scope: Scope) -> Language:
    """Returns the language that a request asks for."""
    query = QueryParams(scope.get("query_string", b"")).get("lang")
    return language_of(query, Headers(scope=scope).get("accept-language"))


class Guard:
    """Keys, rate limit, declared size, security headers, request ids, and the access log.

    The log has method, route, status and time. It has no path (an upload's name is a secret), no
    query, no address and no body.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._keys = [key.get_secret_value().encode() for key in settings.api_keys]
        self._limit: RateLimitItem | None = None
        if settings.rate_limit:
            self._limit = parse(settings.rate_limit)
            storage = storage_from_string(_async_uri(settings.rate_limit_storage))
            assert isinstance(storage, Storage)
            self._limiter = SlidingWindowCounterRateLimiter(storage)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        started_s = time.perf_counter()
        status = 0

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(scope, MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            try:
                await self._admit(scope)
            except ApiError as error:
                await self._refusal(error, scope)(scope, receive, send_guarded)
                return
            try:
                await self._app(scope, self._counted(receive), send_guarded)
            except Exception:
                log.exception("request %s failed", request_id)
                if status:
                    raise
                await self._refusal(ApiError("internal"), scope)(scope, receive, send_guarded)
        finally:
            self._note(scope, status or 499, time.perf_counter() - started_s, request_id)

    def _refusal(self, error: ApiError, scope: Scope) -> JSONResponse:
        self._metrics.errors.labels(error.code).inc()
        body = error.body(request_language(scope), scope["state"]["request_id"])
        return JSONResponse(body, error.status, error.headers)

    def _counted(self, receive: Receive) -> Receive:
        """Stops a body that grows beyond the limit without having said so."""
        limit, size = body_limit(self._settings), 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise ApiError("too_many_bytes", limit_mib=mib(self._settings.max_bytes))
            return message

        return counted

    async def _admit(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        path: str = scope["path"]
        if scope["method"] == "OPTIONS" or not path.startswith(_GUARDED):
            return
        caller = (scope.get("client") or ("?",))[0]
        if self._keys:
            given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix(
                "Bearer "
            )
            if not any(hmac.compare_digest(given.encode(), key) for key in self._keys):
                raise ApiError("unauthorized")
            caller = given
        if self._limit is not None and not await self._limiter.hit(self._limit, caller):
            stats = await self._limiter.get_window_stats(self._limit, caller)
            raise ApiError("rate_limited", retry_after_s=max(1, round(stats[0] - time.time())))
        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > body_limit(self._settings):
            raise ApiError("too_many_bytes", limit_mib=mib(self._settings.max_bytes))

    def _add_headers(self, scope: Scope, headers: MutableHeaders, request_id: str) -> None:
        headers["X-Request-Id"] = request_id
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("Content-Security-Policy", API_CSP)
        if scope["path"].startswith(_GUARDED):
            headers.setdefault("Cache-Control", "no-store")
        if self._settings.hsts:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")

    def _note(self, scope: Scope, status: int, taken_s: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", None) or "other"
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(taken_s)
        if route not in ("/healthz", "/readyz", "/metrics", "other"):
            log.info(
                "%s %s %d %.0f ms %s", scope["method"], route, status, taken_s * 1000, request_id
            )


def _async_uri(uri: str) -> str:
    return uri if uri.startswith("async+") else f"async+{uri}"


def body_limit(settings: Settings) -> int:
    """Bytes of a request's body: one photo, and what multipart adds; or the crops of a batch."""
    return settings.max_bytes + 64 * 1024


def mib(size_bytes: int) -> float:
    """Bytes -> MiB."""
    return round(size_bytes / 2**20, 1)
