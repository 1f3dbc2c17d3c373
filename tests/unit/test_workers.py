"""Work that nobody waits for."""

import logging
import threading

import pytest

from serving.api.workers import Workers


def test_an_error_in_the_background_is_logged_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """A shadow that cannot answer is seen in the log and in a counter; its thread is free again."""
    workers = Workers(parallel=1, queue_size=0, timeout_s=1)
    seen: list[Exception] = []
    done = threading.Event()

    def work() -> None:
        raise RuntimeError("the shadow's graph is damaged")

    def failed(error: Exception) -> None:
        seen.append(error)
        done.set()

    with caplog.at_level(logging.ERROR, "genq.serving"):
        assert workers.background(work, failed)
        assert done.wait(30)
        workers.close()
    assert [str(error) for error in seen] == ["the shadow's graph is damaged"]
    assert "the shadow's graph is damaged" in caplog.text
    assert workers.waiting == workers.running == 0
