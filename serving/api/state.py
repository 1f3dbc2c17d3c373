"""What the routes share: one object, made at the start and kept in `app.state.genq`."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from serving.api.analysis import Analyser, FaceAnswer, Timer, shadow
from serving.api.drift import Window
from serving.api.memory import Store
from serving.api.metrics import Metrics
from serving.api.releases import Answers, Choice, Releases
from serving.api.settings import Settings
from serving.api.workers import Workers


@dataclass
class State:
    """See the modules of the same names; `graphs` are the detector's networks."""

    settings: Settings
    analyser: Analyser
    releases: Releases
    workers: Workers
    metrics: Metrics
    store: Store
    graphs: dict[str, bytes]
    window: Window

    def count(self, choice: Choice, answers: list[FaceAnswer], timer: Timer) -> None:
        """Counts a photo's answers, and lets the shadow see its crops if a thread is idle."""
        for step, ms in timer.ms.items():
            self.metrics.steps.labels(step).observe(ms / 1000)
        self.metrics.photos.labels("faces" if answers else "none").inc()
        for answer in answers:
            self.metrics.face(choice.engine, answer)
        other, engine = choice.shadow, choice.engine
        if other is None or not answers:
            return

        def report(answer: FaceAnswer, theirs: Answers) -> None:
            self.metrics.shadow(engine, other, answer, theirs)

        def failed(error: Exception) -> None:
            self.metrics.shadow_errors.labels(str(other.version), type(error).__name__).inc()

        self.workers.background(lambda: shadow(other, answers, report), failed)


def state_of(request: Request) -> State:
    """Returns the application's State."""
    state: State = request.app.state.genq
    return state


def request_id(request: Request) -> str:
    """Returns the id that security.Guard gave."""
    return str(request.state.request_id)
