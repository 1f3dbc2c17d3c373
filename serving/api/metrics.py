"""What /metrics says, in Prometheus' format; and nothing about any single photo or person.

In: counts and times from the routes. Out: text. With several worker processes prometheus_client
keeps the numbers in files below PROMETHEUS_MULTIPROC_DIR (`genq serve` sets it) and adds them up.

Brightness, sharpness and size of the crops are histograms, and their squares are summed too, so
that mean and standard deviation, and with them drift, can be had from /metrics alone.
"""

from __future__ import annotations

import os
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from serving.api.analysis import FaceAnswer
from serving.api.releases import Answers, Engine

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
UNCERTAIN: Final = "uncertain"

STATISTICS: Final = ("brightness", "sharpness", "face_px")
"""Properties of crops that are watched."""
_BUCKETS: Final = {
    "brightness": tuple(range(16, 256, 16)),
    "sharpness": (1, 2, 4, 6, 8, 10, 12, 15, 20, 30, 50),
    "face_px": (30, 45, 60, 90, 130, 178, 260, 400, 700, 1500),
}
_HELP: Final = {
    "brightness": "Mean luminance of aligned crops, 0 to 255",
    "sharpness": "Mean absolute gradient of aligned crops at 1/8 size, 0 to 255",
    "face_px": "Width of the aligned crop in pixels of the photo",
}
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The instruments of one application."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("genq_requests", "Answers", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "genq_request_seconds",
            "Time to answer",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.steps = Histogram(
            "genq_step_seconds",
            "Time of a step, a photo",
            ["step"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.errors = Counter("genq_errors", "Errors by code", ["code"], registry=registry)
        self.photos = Counter(
            "genq_photos", "Photos by what was found", ["found"], registry=registry
        )
        self.faces = Counter(
            "genq_faces", "Faces by what was answered", ["version", "label"], registry=registry
        )
        self.p_positive = Histogram(
            "genq_p_positive",
            "Calibrated probability of the second label: male, of the usual model",
            ["version"],
            buckets=[n / 20 for n in range(1, 21)],
            registry=registry,
        )
        self.statistics = {
            name: Histogram(
                f"genq_crop_{name}", _HELP[name], ["version"], buckets=_BUCKETS[name],
                registry=registry,
            )
            for name in STATISTICS
        }  # fmt: skip
        self.squares = {
            name: Counter(
                f"genq_crop_{name}_squares",
                f"Sum of squares: {_HELP[name]}",
                ["version"],
                registry=registry,
            )
            for name in STATISTICS
        }
        self.shadow_difference = Histogram(
            "genq_shadow_difference",
            "|p_positive of shadow - p_positive of the release that answered|",
            ["version", "shadow"],
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1),
            registry=registry,
        )
        self.shadow_errors = Counter(
            "genq_shadow_errors",
            "Photos that the shadow could not be asked about",
            ["shadow", "error"],
            registry=registry,
        )
        self.shadow_disagreements = Counter(
            "genq_shadow_disagreements",
            "Faces that the shadow labels otherwise",
            ["version", "shadow"],
            registry=registry,
        )
        live = {"registry": registry, "multiprocess_mode": "livesum"}
        self.running = Gauge("genq_running", "Photos being worked on", **live)  # type: ignore[arg-type]
        self.waiting = Gauge("genq_waiting", "Photos that wait", **live)  # type: ignore[arg-type]
        newest = {"registry": registry, "multiprocess_mode": "livemostrecent"}
        self.loaded = Gauge(
            "genq_release_loaded",
            "1 for each release that is loaded",
            ["version", "role", "variant"],
            **newest,  # type: ignore[arg-type]
        )
        self._said: set[tuple[str, str, str]] = set()
        self.skipped = Gauge("genq_releases_skipped", "Releases that do not load", **newest)  # type: ignore[arg-type]

    def face(self, engine: Engine, answer: FaceAnswer) -> None:
        """Counts one face."""
        version = str(engine.version)
        self.answer(engine, answer.p_positive, answer.label, answer.uncertain)
        for name in STATISTICS:
            value = getattr(answer.quality, name)
            self.statistics[name].labels(version).observe(value)
            self.squares[name].labels(version).inc(value**2)

    def answer(self, engine: Engine, p_positive: float, label: int, uncertain: bool) -> None:
        """Counts one answer of a model."""
        version = str(engine.version)
        name = UNCERTAIN if uncertain else engine.release.labels[label]
        self.faces.labels(version, name).inc()
        self.p_positive.labels(version).observe(p_positive)

    def shadow(self, engine: Engine, other: Engine, answer: FaceAnswer, theirs: Answers) -> None:
        """Counts how far a shadow's answer is from the one that was given."""
        names = str(engine.version), str(other.version)
        self.shadow_difference.labels(*names).observe(
            abs(answer.p_positive - float(theirs.p_positive[0]))
        )
        if int(theirs.label[0]) != answer.label:
            self.shadow_disagreements.labels(*names).inc()

    def work(self, running: int, waiting: int) -> None:
        """Says what this process is busy with; called whenever that changes."""
        self.running.set(running)
        self.waiting.set(waiting)

    def releases(self, engines: dict[str, Engine], skipped: int) -> None:
        """Says which releases are loaded now, and 0 of those that were."""
        now = {(str(e.version), role, e.variant) for role, e in engines.items()}
        # Not `clear()`: with several processes it leaves the files, and the old ones, at 1.
        for labels in self._said | now:
            self.loaded.labels(*labels).set(int(labels in now))
        self._said |= now
        self.skipped.set(skipped)

    def text(self) -> str:
        """Returns all numbers in Prometheus' text format."""
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            merged = CollectorRegistry()
            multiprocess.MultiProcessCollector(merged)  # type: ignore[no-untyped-call]
            return generate_latest(merged).decode()
        return generate_latest(self.registry).decode()
