"""Uploads for a few minutes, in memory, under names that nobody can guess.

In: bytes. Out: a name; and the bytes again until their time is up. When the total is reached, the
oldest go first. Several worker processes share one store through its own process (`serve_store`),
because a client's second request may reach another worker than its first.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from multiprocessing.managers import BaseManager
from typing import Final

ADDRESS: Final = "GENQ_STORE_ADDRESS"
"""Environment variable by which worker processes find the shared store; `genq serve` sets it."""
AUTHKEY: Final = "GENQ_STORE_AUTHKEY"


class Store:
    """Keeps bytes for `ttl_s`, at most `max_total_bytes` of them.

    Args:
      clock: seconds, monotonic; for tests.
    """

    def __init__(
        self, ttl_s: float, max_total_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_s, self._max_total_bytes, self._clock = ttl_s, max_total_bytes, clock
        self._lock = threading.Lock()
        self._items: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._total_bytes = 0

    def put(self, data: bytes, suffix: str) -> str:
        """Keeps `data`; returns its name: 192 random bits and the suffix."""
        name = secrets.token_urlsafe(24) + suffix
        with self._lock:
            self._forget()
            self._items[name] = (self._clock() + self._ttl_s, data)
            self._total_bytes += len(data)
            while self._total_bytes > self._max_total_bytes and len(self._items) > 1:
                self._drop(next(iter(self._items)))
        return name

    def get(self, name: str) -> bytes | None:
        """Returns the bytes, or None if there are none of that name any more."""
        with self._lock:
            self._forget()
            item = self._items.get(name)
            return None if item is None else item[1]

    def forget_old(self) -> None:
        """Drops what is older than `ttl_s`; called now and then, so that nothing stays for ever."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        now_s = self._clock()
        while self._items and next(iter(self._items.values()))[0] <= now_s:
            self._drop(next(iter(self._items)))

    def _drop(self, name: str) -> None:
        _, data = self._items.pop(name)
        self._total_bytes -= len(data)


class _Manager(BaseManager):
    pass


def serve_store(store: Store, authkey: bytes) -> tuple[str, _Manager]:
    """Serves one store from a process of its own, on a Unix socket.

    Returns:
      (address for `connect_store`, manager to shut down).
    """
    _Manager.register("store", callable=lambda: store)
    manager = _Manager(authkey=authkey)
    manager.start()
    return str(manager.address), manager


def connect_store(address: str, authkey: bytes) -> Store:
    """Returns a proxy of the store at `address`."""
    _Manager.register("store")
    manager = _Manager(address=address, authkey=authkey)
    manager.connect()
    proxy: Store = manager.store()  # type: ignore[attr-defined]  # made by register()
    return proxy
