"""The built page, from the same origin as the API.

In: the folder that `make web` fills. Out: static files, each HTML page with a Content-Security-
Policy that names exactly its own inline scripts by hash: Next.js writes its data as such scripts.
Without a build, one page says how to make it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from serving.api.settings import Settings

BUILT: Final = Path(__file__).parents[1] / "web" / "out"

_INLINE: Final = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.S)
_NOT_BUILT: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>genq</title>
<h1>The page is not built</h1>
<p>The API works: <a href="/api/openapi.json">its description</a> lists the
routes. To build the page, with Node.js 20 or newer, run <code>make web</code> in a checkout and
start <code>genq serve</code> again, or name a built page with
<code>GENQ_WEB_DIR</code>.</p></html>"""


def page_csp(html: bytes) -> str:
    """Returns the policy of one page: everything from here, and its own inline scripts."""
    hashes = sorted(
        {base64.b64encode(hashlib.sha256(s).digest()).decode() for s in _INLINE.findall(html)}
    )
    scripts = " ".join(["'self'", "'wasm-unsafe-eval'", *(f"'sha256-{h}'" for h in hashes)])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; font-src 'self'; connect-src 'self' blob:; "
        "worker-src 'self' blob:; manifest-src 'self'; frame-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )


class Pages(StaticFiles):
    """Static files; HTML with its policy, built assets cached for ever (their names are hashes)."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Adds the headers."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        path = Path(full_path)
        if path.suffix == ".html":
            response.headers["Content-Security-Policy"] = page_csp(path.read_bytes())
            response.headers["Cache-Control"] = "no-cache"
        elif "_next/static" in path.as_posix():
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def mount(app: FastAPI, settings: Settings) -> bool:
    """Adds the page, last of all routes; returns whether there is a built one."""
    folder = settings.web_dir or BUILT
    if (folder / "index.html").is_file():
        app.mount("/", Pages(directory=folder, html=True), name="web")
        return True

    @app.get("/", include_in_schema=False)
    async def not_built() -> HTMLResponse:
        return HTMLResponse(_NOT_BUILT)

    return False
