"""What the terminal shows: a quiet default, everything in a log file.

TensorFlow, absl, Beam, gRPC and ML Metadata write to standard error from Python and from C++. The
C++ part cannot be configured from Python, so the file descriptors themselves go to the log file
while a command runs, and genq's own messages go to a copy of the terminal.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

JOB_SERVER_LOGGERS = ("apache_beam.utils.subprocess_server", "FlinkJarJobServer")
"""Flink's job servers end with the process, and say so, after the log is closed."""


@contextmanager
def quiet(log_file: Path, *, verbose: bool) -> Iterator[Console]:
    """Sends the process's output to `log_file`, and yields a console on the terminal.

    Messages of the loggers below "genq" appear in both. With `verbose` everything does.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    # Read by TensorFlow's and gRPC's C++ as they load; their INFO says nothing about this program.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    sys.stdout.flush()
    sys.stderr.flush()
    terminal_fd = os.dup(1)
    stderr_fd = os.dup(2)
    log = log_file.open("ab", buffering=0)
    sink, pump = (log.fileno(), None) if not verbose else _tee(log.fileno(), terminal_fd)
    terminal = os.fdopen(os.dup(terminal_fd), "w", encoding="utf-8", errors="replace")
    console = Console(file=terminal)
    handlers = _attach_handlers(console, verbose=verbose)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    try:
        yield console
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(terminal_fd, 1)
        os.dup2(stderr_fd, 2)
        for logger, handler in handlers:
            logger.removeHandler(handler)
        for name in JOB_SERVER_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if pump is not None:
            os.close(sink)
            pump.join()
        terminal.flush()
        terminal.close()
        log.close()
        os.close(terminal_fd)
        os.close(stderr_fd)


def _tee(log_fd: int, terminal_fd: int) -> tuple[int, threading.Thread]:
    """Returns a descriptor whose bytes go to both places, and the thread that carries them."""
    read_fd, write_fd = os.pipe()

    def carry() -> None:
        with os.fdopen(read_fd, "rb", buffering=0) as source:
            while chunk := source.read(65536):
                os.write(log_fd, chunk)
                os.write(terminal_fd, chunk)

    pump = threading.Thread(target=carry, name="tee", daemon=True)
    pump.start()
    return write_fd, pump


def _attach_handlers(
    console: Console, *, verbose: bool
) -> list[tuple[logging.Logger, logging.Handler]]:
    """Root logger -> the log (through stderr); "genq" -> the terminal as well."""
    everything = logging.StreamHandler(sys.stderr)
    everything.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(everything)
    root.setLevel(logging.INFO)
    attached: list[tuple[logging.Logger, logging.Handler]] = [(root, everything)]
    if not verbose:
        # In verbose mode the tee shows the same message already.
        own = _ConsoleHandler(console)
        genq = logging.getLogger("genq")
        genq.addHandler(own)
        attached.append((genq, own))
    return attached


class _ConsoleHandler(logging.Handler):
    """Prints through rich, so that a spinner on the last line survives; no columns, no wrapping."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        style = "yellow" if record.levelno >= logging.WARNING else ""
        self._console.print(Text(f"       {self.format(record)}", style=style), soft_wrap=True)
