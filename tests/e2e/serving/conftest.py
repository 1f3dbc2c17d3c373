"""A server that a module's tests share, and a directory with one release."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import httpx
import pytest
from served import ROOT, Server, serving, write_release

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "serving" / "gender"
    write_release(folder, 1000)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of a module that do not change it."""
    folder = tmp_path_factory.mktemp("server")
    write_release(folder / "serving" / "gender", 1000, int8=True)
    with serving(folder / "serving", folder) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def built_page(lacking: Callable[[str], NoReturn]) -> Path:
    web = ROOT / "serving" / "web"
    if not (web / "out" / "index.html").is_file():
        if shutil.which("npm") is None:
            lacking("npm is not there: install Node.js 20 or newer.")
        subprocess.run(["make", "web"], cwd=ROOT, check=True, timeout=600)
    return web / "out"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, built_page: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("site")
    write_release(folder / "gender", 1000, int8=True, centre=146.0, slope=0.2)
    with serving(folder, folder, web_dir=str(built_page), max_bytes=2**21) as server:
        yield server


@pytest.fixture
def page(browser: "Browser", site: Server) -> "Iterator[Page]":
    """A fresh visit; fails on script errors, policy violations and requests to other origins."""
    from pages import visit

    yield from visit(browser, site)
