"""How far the photos that are served are from the images that the model was trained on.

In: the text of /metrics and a release. Out: one Drift a statistic. Nothing else is needed and no
photo is kept: /metrics has count, sum and sum of squares by release version.

The measure is the standardised mean difference, (served mean - training mean) / training standard
deviation (Cohen's d with the training spread): 0.2 is called small, 0.5 medium, 0.8 large (Cohen
1988). For the share of uncertain answers it is the plain difference from the share on `test`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client.parser import text_string_to_metric_families

from data.releases.release import Release

MEDIUM: Final = 0.5
LARGE: Final = 0.8
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
      shift: standardised mean difference; None without a reference.
    """

    version: int
    statistic: str
    n: int
    served: float
    served_std_dev: float
    trained: float | None = None
    shift: float | None = None

    @property
    def verdict(self) -> Verdict:
        """What to make of it."""
        if self.n < FEWEST:
            return "too few"
        if self.shift is None:
            return "no reference"
        if abs(self.shift) < MEDIUM:
            return "as trained"
        return "shifted" if abs(self.shift) < LARGE else "far off"


def _trained(statistic: str, release: Release) -> tuple[float, float] | None:
    if statistic == "face_px":
        # Every training image is one crop wide. No spread is known: a quarter is the yardstick.
        return float(release.image.width_px), release.image.width_px / 4
    found = release.statistics.get(statistic)
    return None if found is None or found.std_dev <= 0 else (found.mean, found.std_dev)


def measure(metrics: str, release: Release) -> list[Drift]:
    """Compares what /metrics says about one release's faces with its training images.

    Args:
      metrics: text of /metrics.
      release: whose faces; others are left out.
    """
    version = str(release.version)
    values: defaultdict[str, float] = defaultdict(float)
    labels: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.labels.get("version") != version or "le" in sample.labels:
                continue
            if sample.name == "genq_faces_total":
                labels[sample.labels["label"]] += sample.value
            else:
                values[sample.name] += sample.value
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
                # Ten points more abstention than on `test` are LARGE.
                None if known is None or not n else (share - known.value) * LARGE / 0.1,
            )
        )
    return drifts


def exposition(drifts: list[Drift]) -> str:
    """Returns the shifts as lines for /metrics."""
    lines = [
        "# HELP genq_drift Standardised difference of served crops from the training images",
        "# TYPE genq_drift gauge",
    ]
    lines += [
        f'genq_drift{{version="{d.version}",statistic="{d.statistic}"}} {d.shift:.6g}'
        for d in drifts
        if d.shift is not None and math.isfinite(d.shift)
    ]
    return "\n".join(lines) + "\n"
