"""Bounded work: as many photos at a time as there are cores, a bounded queue, with timeout.

In: a function that takes a `check`. Out: its result, or ApiError busy, timeout, client_gone. The
function runs in a thread (onnxruntime and Pillow release Python's lock) and calls `check()` between
steps; after a time-out, or when the client has gone, that raises and the thread is free again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request

from serving.api.errors import ApiError

logger = logging.getLogger("genq.serving")

T = TypeVar("T")
Check = Callable[[], None]


class Stopped(Exception):  # noqa: N818 - a signal to the thread, not an error
    """Raised by `check` in work that nobody waits for any more."""


class Workers:
    """A pool of threads behind a bounded queue.

    Args:
      parallel: threads.
      queue_size: work that may wait beyond them.
      timeout_s: for waiting and work together.
      on_change: told how many run and how many wait, whenever that changes.
    """

    def __init__(
        self,
        parallel: int,
        queue_size: int,
        timeout_s: float,
        on_change: Callable[[int, int], None] = lambda running, waiting: None,
    ) -> None:
        self._on_change = on_change
        self._parallel, self._queue_size, self._timeout_s = parallel, queue_size, timeout_s
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="genq")
        self._lock = threading.Lock()
        self._inside = 0
        self._running = 0
        self._mean_s = 0.5

    @property
    def running(self) -> int:
        """Photos being worked on."""
        return self._running

    @property
    def waiting(self) -> int:
        """Photos in the queue."""
        return max(0, self._inside - self._running)

    def _change(self, inside: int = 0, running: int = 0) -> None:
        with self._lock:
            self._inside += inside
            self._running += running
            self._on_change(self.running, self.waiting)

    def _retry_after_s(self) -> int:
        return max(1, math.ceil(self._inside * self._mean_s / self._parallel))

    def require_room(self) -> None:
        """Raises ApiError busy if the queue is full; call it before reading a request's body."""
        if self._inside >= self._parallel + self._queue_size:
            raise ApiError("busy", retry_after_s=self._retry_after_s())

    async def run(self, work: Callable[[Check], T], request: Request) -> T:
        """Runs `work` in a thread; the request's body must have been read.

        Raises:
          ApiError: busy, timeout or client_gone; and what `work` raises.
        """
        self.require_room()
        stop = threading.Event()

        def check() -> None:
            if stop.is_set():
                raise Stopped

        def counted() -> T:
            check()
            started_s = time.perf_counter()
            self._change(running=1)
            try:
                return work(check)
            finally:
                taken_s = time.perf_counter() - started_s
                self._change(running=-1)
                with self._lock:
                    self._mean_s += 0.1 * (taken_s - self._mean_s)

        self._change(inside=1)
        future = self._pool.submit(counted)
        # Not when this coroutine ends: work that was given up still has its thread until it checks.
        future.add_done_callback(self._left)
        gone = asyncio.create_task(_disconnected(request))
        result = asyncio.wrap_future(future)
        try:
            waited: set[asyncio.Future[Any]] = {result, gone}
            await asyncio.wait(waited, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if result.done():
                return result.result()
            raise (
                ApiError("client_gone")
                if gone.done()
                else ApiError("timeout", limit_s=self._timeout_s)
            )
        finally:
            stop.set()
            result.cancel()
            gone.cancel()

    def _left(self, _: object) -> None:
        self._change(inside=-1)

    def background(self, work: Callable[[], object], failed: Callable[[Exception], object]) -> bool:
        """Runs `work` if a thread is idle right now; returns whether it will run.

        Args:
          work: nobody waits for it.
          failed: gets what it raises, which is logged, too: no answer tells of it.
        """
        with self._lock:
            if self._inside >= self._parallel:
                return False
            self._inside += 1

        def told() -> None:
            try:
                work()
            except Exception as error:
                logger.exception("Work in the background failed: %s", type(error).__name__)
                failed(error)

        self._pool.submit(told).add_done_callback(self._left)
        return True

    def close(self) -> None:
        """Ends the threads after what is running."""
        self._pool.shutdown(wait=True, cancel_futures=True)


async def _disconnected(request: Request) -> None:
    """Returns when the client goes away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
