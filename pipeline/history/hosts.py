"""Under which names a local server may be asked.

A page of another site can reach it through a name of that site's own (DNS rebinding), but never
through an address: those are always known where the server listens for other machines.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

EVERYWHERE: Final = ("0.0.0.0", "::", "")  # compared with, not listened on


def names(host: str) -> frozenset[str]:
    """Returns the names of a server that listens on `host`."""
    own = {host, "localhost", "127.0.0.1", "::1"}
    if host in EVERYWHERE:  # other machines ask by this one's addresses and names
        own |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(own)


def known(header: str, hosts: Collection[str]) -> bool:
    """Returns whether a Host header is one of `hosts`, or an address where all are listened on."""
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in hosts
    return name in hosts or any(host in EVERYWHERE for host in hosts)
