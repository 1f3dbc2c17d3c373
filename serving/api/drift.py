"""How far the photos that are served are from the images that the model was trained on.

In: the text of /metrics, now and at the start of a window, and a release. Out: one Drift a
statistic. Nothing else is needed and no photo is kept: /metrics has count, sum and sum of squares
by release version, and what was counted within the window is the difference of two of its texts.

The measure is the standardised mean difference, (served mean - training mean) / training standard
deviation (Cohen's d with the training spread): 0.2 is called small, 0.5 medium, 0.8 large (Cohen
1988). For shares it is the plain difference from the share on `test`: 0.05 is called medium here,
0.1 large. Each row names its unit.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client.parser import text_string_to_metric_families

from data.releases.release import Release

Unit = Literal["standard deviations", "share"]
MEDIUM: Final[dict[Unit, float]] = {"standard deviations": 0.5, "share": 0.05}
LARGE: Final[dict[Unit, float]] = {"standard deviations": 0.8, "share": 0.1}
FEWEST: Final = 100
"""Faces below which nothing is concluded."""

Verdict = Literal["too few", "no reference", "as trained", "shifted", "far off"]


@dataclass(frozen=True)
class Drift:
    """One statistic of one release.

    Attributes:
      n: faces served.
      served, served_std_dev: of them; NaN without any.
      trained: mean of the training images; None where the release does not say.
      shift: served - trained, in `unit`; None without a reference.
    """

    version: int
    statistic: str
    n: int
    served: float
    served_std_dev: float
    trained: float | None = None
    shift: float | None = None
    unit: Unit = "standard deviations"

    @property
    def verdict(self) -> Verdict:
        """What to make of it."""
        if self.n < FEWEST:
            return "too few"
        if self.shift is None:
            return "no reference"
        if abs(self.shift) < MEDIUM[self.unit]:
            return "as trained"
        return "shifted" if abs(self.shift) < LARGE[self.unit] else "far off"


def _trained(statistic: str, release: Release) -> tuple[float, float] | None:
    if statistic == "face_px":
        # Every training image is one crop wide. No spread is known: a quarter is the yardstick.
        return float(release.image.width_px), release.image.width_px / 4
    found = release.statistics.get(statistic)
    return None if found is None or found.std_dev <= 0 else (found.mean, found.std_dev)


Sums = dict[tuple[str, str, str], float]
"""(release version, name of the sum, label) -> value."""


def sums(metrics: str) -> Sums:
    """Returns what drift is computed from, out of the text of /metrics."""
    found: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            version = sample.labels.get("version")
            drifts = sample.name == "genq_faces_total" or sample.name.startswith("genq_crop_")
            if version is not None and drifts and "le" not in sample.labels:
                found[version, sample.name, sample.labels.get("label", "")] += sample.value
    return dict(found)


class Window:
    """Remembers the sums at some moments, so that drift is of the last `seconds` only.

    Args:
      seconds: how far back; less after a start.
      clock: seconds, monotonic; for tests.
    """

    _MOMENTS: Final = 48

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._moments: deque[tuple[float, Sums]] = deque()

    def remember(self, metrics: Callable[[], str]) -> None:
        """Keeps the sums of this moment, if the last one kept is old enough."""
        now_s = self._clock()
        if self._moments and now_s - self._moments[-1][0] < self._seconds / self._MOMENTS:
            return
        self._moments.append((now_s, sums(metrics())))
        while len(self._moments) > 1 and self._moments[1][0] <= now_s - self._seconds:
            self._moments.popleft()

    @property
    def before(self) -> Sums:
        """The sums at the window's start; empty as long as all there was lies within it."""
        if self._moments and self._moments[0][0] <= self._clock() - self._seconds:
            return self._moments[0][1]
        return {}


def measure(metrics: str, release: Release, before: Sums | None = None) -> list[Drift]:
    """Compares what /metrics says about one release's faces with its training images.

    Args:
      metrics: text of /metrics.
      release: whose faces; others are left out.
      before: sums that do not count: those at the window's start.
    """
    version, before = str(release.version), before or {}
    values: defaultdict[str, float] = defaultdict(float)
    labels: defaultdict[str, float] = defaultdict(float)
    for key, value in sums(metrics).items():
        if key[0] == version:
            recent = value - before.get(key, 0.0)
            if key[1] == "genq_faces_total":
                labels[key[2]] += recent
            else:
                values[key[1]] += recent
    drifts = []
    for statistic in ("brightness", "sharpness", "face_px"):
        name = f"genq_crop_{statistic}"
        n = int(values[f"{name}_count"])
        mean = values[f"{name}_sum"] / n if n else math.nan
        square = values[f"{name}_squares_total"] / n if n else math.nan
        std_dev = math.sqrt(max(0.0, square - mean**2)) if n else math.nan
        drift = Drift(release.version, statistic, n, mean, std_dev)
        if (reference := _trained(statistic, release)) is not None:
            trained, spread = reference
            shift = (mean - trained) / spread if n else None
            if statistic == "face_px" and shift is not None:
                shift = min(0.0, shift)  # larger faces are averaged down to what training saw
            drift = Drift(release.version, statistic, n, mean, std_dev, trained, shift)
        drifts.append(drift)
    n = int(sum(labels.values()))
    for name, reference_name in (("uncertain", "abstention"), (release.labels[1], "")):
        share = labels[name] / n if n else math.nan
        known = release.metrics.overall.get(reference_name)
        spread = math.sqrt(share * (1 - share)) if n else math.nan
        drifts.append(
            Drift(
                release.version,
                f"share answered {name}",
                n,
                share,
                spread,
                None if known is None else known.value,
                None if known is None or not n else share - known.value,
                "share",
            )
        )
    return drifts


def exposition(drifts: list[Drift]) -> str:
    """Returns the shifts as lines for /metrics: one metric a unit."""
    lines = []
    for name, unit, text in (
        ("genq_drift", "standard deviations", "Mean of served crops less that of training images"),
        ("genq_drift_share", "share", "Share of served answers less that on the test split"),
    ):
        lines += [f"# HELP {name} {text}, in {unit}", f"# TYPE {name} gauge"]
        lines += [
            f'{name}{{version="{d.version}",statistic="{d.statistic}"}} {d.shift:.6g}'
            for d in drifts
            if d.unit == unit and d.shift is not None and math.isfinite(d.shift)
        ]
    return "\n".join(lines) + "\n"
