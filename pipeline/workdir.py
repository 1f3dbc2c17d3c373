"""A work directory: the metadata and the artifacts of one pipeline, and the lock of its one run.

In: paths. Out: a held lock. Imports nothing heavy: `genq run` asks here before it loads TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import filelock

from data.errors import BusyError, ConfigError

METADATA: Final = "metadata.sqlite"
ARTIFACTS: Final = "pipeline"
"""Names in a work directory: of the file with ML Metadata, and of the folder of the artifacts."""


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Holds `root` for this process; the lock of a process that died is free.

    Args:
      root: folder of the artifacts; made if it is missing.

    Raises:
      BusyError: if another process holds it.
      ConfigError: if the folder cannot be made or written to.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{root}: the folder cannot be made: {error.strerror}.",
            "Choose another place: --workdir DIR.",
        ) from error
    if not os.access(root, os.W_OK):
        raise ConfigError(
            f"{root}: this user may not write there.", "Choose another place: --workdir DIR."
        )
    lock = filelock.FileLock(root / ".lock")
    try:
        with lock.acquire(timeout=0):
            yield
    except filelock.Timeout as error:
        raise BusyError(
            f"Another run works in {root}.",
            "Wait for it to end, or choose another place: --workdir DIR.",
        ) from error
