"""A server that a module's tests share, and a directory with one release."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served import Server, serving, write_release


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
