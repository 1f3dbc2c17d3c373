"""Which model answers: loaded releases, new ones, broken ones, canary and shadow.

In: the directory of a model's releases. Out: an Engine for each request, never half a one.

A request holds the Engine it was given until it is answered, so exchanging the active one loses
nothing. A release that does not load is skipped, reported, and tried again when its files change.
If every release is gone, the last good one goes on answering, and /readyz says so.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data import contract
from data.errors import GenqError, ReleaseError
from data.releases.checksums import verify
from data.releases.release import (
    ONNX_FILES,
    RELEASE_JSON,
    Release,
    VariantName,
    find_model_dir,
    pinned_version,
    read_release,
    versions,
)
from serving.api.errors import ApiError
from serving.api.settings import Settings

log = logging.getLogger("genq.serving")

_OUTPUTS: Final = (contract.P_POSITIVE, contract.LABEL, contract.UNCERTAIN)
_AUTO: Final[tuple[VariantName, ...]] = ("int8", "float32")
_PROCESS_ORDER = random.SystemRandom()


@dataclass(frozen=True)
class Answers:
    """Of n crops: p_positive float32 (n,), label int64 (n,), uncertain bool (n,)."""

    p_positive: NDArray[np.float32]
    label: NDArray[np.int64]
    uncertain: NDArray[np.bool_]


class Engine:
    """One release's model in one onnxruntime session; may be used by several threads at a time.

    Args:
      release_dir: the release; its checksums are verified for the files that are read.
      variant: "auto" or a variant's name.

    Raises:
      ReleaseError: if the release is damaged, lacks the variant, or its model is not one of ours.
    """

    def __init__(self, release_dir: Path, variant: str = "auto") -> None:
        import onnxruntime

        self.directory = release_dir
        self.release: Release = read_release(release_dir)
        self.variant = self._choose(variant)
        path = release_dir / self.release.variant(self.variant).file
        verify(release_dir, [RELEASE_JSON, self.release.variant(self.variant).file])
        options = onnxruntime.SessionOptions()
        # One thread a run, as many runs as cores: on CPUs batches and threads inside gain nothing.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
            grey = np.full((1, contract.IMAGE_HEIGHT_PX, contract.IMAGE_WIDTH_PX, 3), 128, np.uint8)
            warm = self.classify(grey)
        except Exception as error:  # onnxruntime's errors share no base but this
            raise ReleaseError(
                f"{path} is no model that answers uint8 images with {', '.join(_OUTPUTS)}: {error}",
                "Publish it again; `genq run` checks this before it does.",
            ) from error
        if warm.p_positive.shape != (1,) or not 0 <= warm.p_positive[0] <= 1:
            raise ReleaseError(
                f"{path} answers p_positive {warm.p_positive!r}; expected one in [0, 1]."
            )
        self.loaded_s = time.time()

    def _choose(self, variant: str) -> VariantName:
        has = {v.name for v in self.release.variants} & set(ONNX_FILES)
        wanted = _AUTO if variant == "auto" else (variant,)
        for name in wanted:
            if name in has:
                return name
        raise ReleaseError(
            f"Release {self.release.version} has no variant {' or '.join(wanted)}.",
            f"It has {', '.join(sorted(has)) or 'no ONNX model'}. Set GENQ_VARIANT, or export it.",
        )

    @property
    def version(self) -> int:
        """The release's version."""
        return self.release.version

    def classify(self, crops: NDArray[np.uint8]) -> Answers:
        """Answers about aligned crops, uint8 (n, height, width, 3)."""
        p_positive, label, uncertain = self._session.run(list(_OUTPUTS), {contract.IMAGE: crops})
        return Answers(p_positive, label, uncertain)


@dataclass(frozen=True)
class Choice:
    """Who answers one request, and who only watches."""

    engine: Engine
    canary: bool = False
    shadow: Engine | None = None


@dataclass(frozen=True)
class _Loaded:
    active: Engine | None = None
    canary: Engine | None = None
    shadow: Engine | None = None


@dataclass
class _Skipped:
    reason: str
    seen: tuple[Any, ...] = field(default_factory=tuple)


class Releases:
    """Keeps the engines that the settings and the directory ask for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded = _Loaded()
        self._skipped: dict[int, _Skipped] = {}
        self._lock = threading.Lock()
        self.problem = ""

    @property
    def active(self) -> Engine | None:
        """The release that answers; None before the first is loaded."""
        return self._loaded.active

    def engines(self) -> dict[str, Engine]:
        """Role -> engine, of those that are loaded."""
        loaded = self._loaded
        roles = {"active": loaded.active, "canary": loaded.canary, "shadow": loaded.shadow}
        return {role: engine for role, engine in roles.items() if engine is not None}

    @property
    def skipped(self) -> dict[int, str]:
        """Version -> why it does not load."""
        return {version: s.reason for version, s in sorted(self._skipped.items())}

    def choose(self) -> Choice:
        """Draws who answers a request.

        Raises:
          ApiError: no_model.
        """
        loaded = self._loaded  # one read: all of one moment
        if loaded.active is None:
            raise ApiError("no_model", retry_after_s=5)
        share = self._settings.canary_share
        canary = loaded.canary is not None and _PROCESS_ORDER.random() < share
        engine = loaded.canary if canary and loaded.canary is not None else loaded.active
        return Choice(engine, canary, loaded.shadow)

    def refresh(self) -> None:
        """Looks at the directory and loads what is new. Blocks; one at a time."""
        with self._lock:
            try:
                self._refresh()
                self.problem = "" if self._loaded.active else "no release has been loaded yet"
            except GenqError as error:
                self._report(str(error))

    def _refresh(self) -> None:
        settings = self._settings
        model_dir = find_model_dir(settings.model_dir)
        published = versions(model_dir)
        self._skipped = {v: s for v, s in self._skipped.items() if v in published}
        known = {e.version: e for e in self.engines().values()}
        pinned = settings.pin_version or pinned_version(model_dir)
        if pinned is not None:
            wanted = [pinned]
        else:
            candidates = {settings.canary_version, settings.shadow_version}
            wanted = [v for v in reversed(published) if v not in candidates]

        def load(version: int | None) -> Engine | None:
            if version is None or version not in published:
                return None
            return known.get(version) or self._load(model_dir / str(version))

        active = next((engine for v in wanted if (engine := load(v))), None)
        before = self._loaded.active
        self._loaded = _Loaded(
            active or before, load(settings.canary_version), load(settings.shadow_version)
        )
        if active is None:
            why = f"pinned release {pinned} is not usable" if pinned else "no usable release"
            raise ReleaseError(
                f"{model_dir}: {why}; published are {published or 'none'}.",
                f"Release {before.version} goes on answering." if before else "Publish one.",
            )
        if before is not active:
            log.info("release %d (%s) answers now", active.version, active.variant)

    def _load(self, release_dir: Path) -> Engine | None:
        version = int(release_dir.name)
        skipped = self._skipped.get(version)
        seen = _fingerprint(release_dir)
        if skipped and skipped.seen == seen:
            return None
        try:
            engine = Engine(release_dir, self._settings.variant)
        except GenqError as error:
            self._skipped[version] = _Skipped(str(error), seen)
            log.warning("release %d is skipped: %s", version, error.problem)
            return None
        self._skipped.pop(version, None)
        return engine

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem


def _fingerprint(release_dir: Path) -> tuple[Any, ...]:
    """Names, sizes and times of a release's own files: changes when a copy goes on."""
    try:
        with os.scandir(release_dir) as entries:
            stats = [(e.name, e.stat()) for e in entries if e.is_file()]
    except OSError:
        return ()
    return tuple(sorted((name, s.st_size, s.st_mtime_ns) for name, s in stats))
