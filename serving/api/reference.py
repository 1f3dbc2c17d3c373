"""`/docs`: what the API knows, as one page without scripts and without anything from elsewhere.

In: the OpenAPI description. Out: HTML. A page of our own and not Swagger UI: that is 1.5 MB of
scripts, which FastAPI fetches from a content delivery network.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import Any, Final

from fastapi import FastAPI
from starlette.responses import HTMLResponse

_STYLE: Final = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;
margin:2rem auto;padding:0 1rem}code,pre{font:14px/1.45 ui-monospace,monospace}
pre{overflow:auto;padding:.75rem;border:1px solid #8886;border-radius:6px}
section{border-top:1px solid #8886;margin-top:1.5rem;padding-top:.5rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem
.75rem .25rem 0;border-bottom:1px solid #8883}.m{font-weight:700}
"""
_CSP: Final = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_KINDS: Final = ("v1", "operations", "legacy")


def page(description: dict[str, Any]) -> str:
    """Returns the page of an OpenAPI description."""
    info = description["info"]
    routes = [
        (operation.get("tags", ["operations"])[0], method.upper(), path, operation)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    ]
    body = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info['description'])}</p>",
        "<p>For programs: <a href='/api/openapi.json'>the OpenAPI description</a>. Where the "
        "server asks for a key, send it as <code>X-API-Key</code> or as <code>Authorization: "
        "Bearer</code>. Errors are JSON: <code>error.code</code> never changes, "
        "<code>error.message</code> is for people (<code>?lang=en</code> or <code>id</code>).</p>",
        "<pre>curl -F file=@photo.jpg http://127.0.0.1:8000/v1/faces</pre>",
        "<p>Videos are not taken here: one of a minute is minutes of a core, beyond a proxy's "
        "patience, while photos wait. <code>genq predict clip.mp4</code> follows its faces and "
        "gives one answer a person; so does the page, which sends its frames as photos to "
        "<code>/v1/faces</code>.</p>",
    ]
    for tag in _KINDS:
        body.append(f"<h2>{escape(tag)}</h2>")
        body += [_route(*route[1:]) for route in routes if route[0] == tag]
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>{escape(info['title'])}: API</title><style>{_STYLE}</style>"
        f"<main>{''.join(body)}</main></html>"
    )


def _route(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f"<section><h3><span class='m'>{method}</span> <code>{escape(path)}</code></h3>",
        f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>",
    ]
    rows = [
        (p["name"], f"{p['in']}, {_kind(p.get('schema', {}))}", p.get("description", ""))
        for p in operation.get("parameters", ())
    ]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        fields = content.get("schema", {}).get("properties", {})
        rows += [(name, f"body, {kind}", "") for name in fields]
    if rows:
        parts.append(_table(rows))
    answers = []
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        kinds = ", ".join(
            f"{kind} {_kind(c.get('schema', {}))}".strip() for kind, c in content.items()
        )
        answers.append((status, kinds, answer.get("description", "")))
    parts.append(_table(answers))
    example = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
    if "example" in example:
        parts.append(f"<pre>{escape(json.dumps(example['example'], indent=1))}</pre>")
    return "".join([*parts, "</section>"])


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = "".join(
        f"<tr><td><code>{escape(a)}</code></td><td>{escape(b)}</td><td>{escape(c)}</td></tr>"
        for a, b, c in rows
    )
    return f"<table>{lines}</table>"


def _kind(schema: dict[str, Any]) -> str:
    """Says what a schema is, in a word."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "items" in schema:
        return f"list of {_kind(schema['items'])}"
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_kind(part) for part in schema["anyOf"])
    return str(schema.get("type", ""))


def mount(app: FastAPI) -> None:
    """Adds the page."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()), headers={"Content-Security-Policy": _CSP})
