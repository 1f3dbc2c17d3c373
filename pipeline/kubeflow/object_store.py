"""What a rehearsal keeps between runs: an object store in a folder, and what KFP's MLMD would know.

An object store knows keys, not folders: empty folders and links are lost on the way, as in a
cluster.
"""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ObjectStore:
    """Objects by URI.

    Args:
      folder: below which they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, uri: str) -> Path:
        """Returns where the objects below a URI lie; for those who look at results."""
        scheme, _, key = uri.partition("://")
        return self._folder / scheme / key

    def upload(self, local: Path, uri: str) -> None:
        """Copies a file, or a folder's files."""
        if local.is_file():
            self._copy(local, self.path(uri))
            return
        for file in sorted(p for p in local.rglob("*") if p.is_file()):
            self._copy(file, self.path(uri) / file.relative_to(local))

    def download(self, uri: str, local: Path) -> None:
        """Copies the objects below a URI; where there is none, nothing appears."""
        source = self.path(uri)
        if source.is_file():
            self._copy(source, local)
            return
        for file in sorted(p for p in source.rglob("*") if p.is_file()):
            self._copy(file, local / file.relative_to(source))

    def _copy(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


@dataclass
class State:
    """What KFP remembers.

    Attributes:
      artifacts: number, as text -> uri and metadata.
      cache: pipeline's name and fingerprint of a task -> its outputs.
    """

    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    cache: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def read(cls, file: Path) -> State:
        """Returns what an earlier run wrote, or nothing."""
        return cls(**json.loads(file.read_text())) if file.exists() else cls()

    def write(self, file: Path) -> None:
        """Keeps it for later runs."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            text = json.dumps({"artifacts": self.artifacts, "cache": self.cache}, sort_keys=True)
        beside = file.with_suffix(".new")
        beside.write_text(text)
        beside.replace(file)

    def add(self, key: str, uri: str, metadata: dict[str, Any]) -> str:
        """Registers an artifact; returns its number, which is its name."""
        own = {"display_name": key, "store_session_info": "{}"}
        with self._lock:
            number = str(len(self.artifacts) + 1)
            self.artifacts[number] = {"uri": uri, "metadata": {**own, **metadata}}
        return number

    def remember(self, key: str, outputs: dict[str, Any]) -> None:
        """Puts a task's outputs into the cache."""
        with self._lock:
            self.cache[key] = outputs
