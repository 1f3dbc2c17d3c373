"""Under which names the dashboard may be asked."""

import socket

import pytest

from pipeline.history.hosts import known, names


@pytest.mark.parametrize(
    ("listens", "host", "known_here"),
    [
        ("0.0.0.0", "192.168.1.20:8001", True),
        ("0.0.0.0", "gpu7:8001", True),
        ("0.0.0.0", "evil.example", False),
        ("::", "[fe80::1]:8001", True),
        ("127.0.0.1", "localhost:8001", True),
        ("127.0.0.1", "192.168.1.20", False),
        ("127.0.0.1", "evil.example:8001", False),
    ],
)
def test_other_machines_reach_it_where_it_listens_for_them(
    monkeypatch: pytest.MonkeyPatch, listens: str, host: str, known_here: bool
) -> None:
    """By its addresses and names; never under a name of somebody else's (DNS rebinding)."""
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu7")
    assert known(host, names(listens)) is known_here
