"""`genq serve` and `genq drift`: run the application, and ask a running one how its photos are.

In: options; what is not given comes from the environment (GENQ_…, serving/api/settings.py). Out: a
server, or a table. Nothing heavy is imported before a command needs it, and nothing of TFX at all:
the commands work in an installation with only the `serving` extra.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.errors import ConfigError, ReleaseError

if TYPE_CHECKING:
    from serving.api.settings import Settings


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(serve)
    app.command()(drift)


def serve(
    model_dir: Annotated[
        Path | None,
        typer.Argument(
            help="Directory with a model's releases. Default: GENQ_MODEL_DIR, or runs/demo/serving."
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes.")] = None,
    variant: Annotated[
        str | None, typer.Option(help="auto, float32, float16 or int8; auto prefers int8.")
    ] = None,
    pin: Annotated[
        int | None, typer.Option(help="Answer from this version only, whatever is published.")
    ] = None,
) -> None:
    """Serve the newest release: every face in a photo, as an API and a page."""
    given = {
        "model_dir": model_dir and model_dir.absolute(),
        "host": host,
        "port": port,
        "workers": workers,
        "variant": variant,
        "pin_version": pin,
    }
    # By the environment, so that worker processes read the same.
    os.environ.update({f"GENQ_{k.upper()}": str(v) for k, v in given.items() if v is not None})
    try:
        from serving.api.settings import load
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The application's package {error.name} is not installed.",
            "pip install 'genq[serving]'",
        ) from error
    settings = load()
    _check_address(settings)
    _explain(settings)
    _run(settings)


def _check_address(settings: Settings) -> None:
    """Raises ConfigError if the address cannot be listened on, before models are loaded."""
    import socket

    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        with socket.create_server((settings.host, settings.port), family=family):
            pass
    except OSError as error:
        raise ConfigError(
            f"{settings.host}:{settings.port} cannot be listened on: {error.strerror or error}.",
            "Choose another with --port, or --port 0.",
        ) from error


def _explain(settings: Settings) -> None:
    """Prints what will be served and where.

    Raises:
      ReleaseError: if there is nothing to serve.
    """
    from data.releases.release import find_model_dir, versions
    from serving.api.web import BUILT

    model_dir = find_model_dir(settings.model_dir)
    if not versions(model_dir):
        raise ReleaseError(
            f"{model_dir.absolute()} holds no release.",
            "Make one with `genq run`, or name the directory: `genq serve DIR`.",
        )
    typer.echo(f"Releases: {model_dir.absolute()}: {', '.join(map(str, versions(model_dir)))}")
    if not ((settings.web_dir or BUILT) / "index.html").is_file():
        typer.echo("The page is not built: `make web` builds it (Node.js 20). The API works.")
    typer.echo("These labels say how a face appears to annotators, not who somebody is.")


def _run(settings: Settings) -> None:
    import uvicorn

    options: dict[str, Any] = {
        "factory": True,
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
        "log_config": _log_config(),
        # Ours says the route and not the path: the name of an upload is a secret.
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": int(settings.stop_timeout_s),
    }
    if settings.workers == 1:
        uvicorn.run("serving.api.app:create_app", **options)
        return
    import secrets
    import tempfile

    from serving.api.memory import ADDRESS, AUTHKEY, Store, serve_store

    # prometheus_client adds up the processes' numbers through files; counts only, no photos.
    with tempfile.TemporaryDirectory(prefix="genq-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        authkey = secrets.token_hex(32)
        store = Store(settings.upload_ttl_s, settings.upload_max_total_bytes)
        address, manager = serve_store(store, authkey.encode())
        os.environ.update({ADDRESS: address, AUTHKEY: authkey})
        try:
            uvicorn.run("serving.api.app:create_app", **options)
        finally:
            manager.shutdown()


def _log_config() -> dict[str, Any]:
    import copy

    from uvicorn.config import LOGGING_CONFIG

    config = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"]["genq"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config


def drift(
    url: Annotated[str, typer.Argument(help="A running server.")] = "http://127.0.0.1:8000",
    key: Annotated[
        str, typer.Option(envvar="GENQ_KEY", help="API key, if the server asks for one.")
    ] = "",
) -> None:
    """Compare the faces a server has seen with the images its model was trained on.

    Ends with 1 if something is far off.
    """
    import json
    import urllib.error
    import urllib.request

    from rich.console import Console
    from rich.table import Table

    def get(path: str) -> Any:
        asked = urllib.request.Request(url.rstrip("/") + path, headers={"X-API-Key": key})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer)

    try:
        rows, model = get("/v1/drift"), get("/v1/model")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{url} does not answer as a genq server: {error}.",
            "Start one with `genq serve`, or name its address.",
        ) from error
    table = Table(
        title=f"{model['release']['model_name']} {model['active']['version']}: "
        "faces served, against the training images",
        title_justify="left",
    )
    table.add_column("statistic")
    for column in ("faces", "served", "trained", "shift"):
        table.add_column(column, justify="right")
    for column in ("in", "verdict"):
        table.add_column(column)
    for row in rows:
        numbers = [row[k] for k in ("served", "trained", "shift")]
        cells = ["-" if v is None else f"{v:.3g}" for v in numbers]
        table.add_row(row["statistic"], str(row["n"]), *cells, row["unit"], row["verdict"])
    Console().print(table)
    if any(row["verdict"] == "far off" for row in rows):
        raise typer.Exit(1)
