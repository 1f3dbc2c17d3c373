"""A server of Kubeflow Pipelines, which each test has for itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kfp_server import Server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Iterator[Server]":
    import kfp_server  # takes seconds: not while tests are collected

    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KFP_TOKEN", "KFP_COOKIE", "KF_PIPELINES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pipeline.kubeflow.client.FIRST_WAIT_S", 0.01)
    with kfp_server.serve() as running:
        yield running
