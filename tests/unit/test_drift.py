"""Served faces are compared with the training images from /metrics alone."""

import io

import numpy as np
import pytest
from PIL import Image

from data.celeba import images
from data.faces.detector import Face
from data.releases.release import Metric, Metrics, Release, Statistic
from serving.api.analysis import FaceAnswer, Quality, quality
from serving.api.drift import Window, exposition, measure
from serving.api.metrics import Metrics as Instruments

RELEASE = Release(
    model_name="gender",
    version=7,
    created="2026-11-24T00:00:00+00:00",
    variants=(),
    metrics=Metrics(overall={"abstention": Metric(value=0.1)}),
    statistics={
        "brightness": Statistic(mean=120.0, std_dev=20.0, n=1000),
        "sharpness": Statistic(mean=10.0, std_dev=3.0, n=1000),
    },
    licence="",
    notice="",
)


class Engine:
    """All that counting needs of one."""

    version, release = 7, RELEASE


def answer(brightness: float, uncertain: bool = False) -> FaceAnswer:
    face = Face((0, 0, 1, 1), np.zeros((5, 2), np.float32), 1.0)
    crop = np.zeros((1, 1, 3), np.uint8)
    return FaceAnswer(face, crop, Quality(brightness, 10.0, 150.0), 0.3, 0, uncertain)


def counted(brightnesses: np.ndarray, uncertain: int = 0) -> str:
    instruments = Instruments()
    for n, brightness in enumerate(brightnesses):
        instruments.face(Engine(), answer(float(brightness), n < uncertain))  # type: ignore[arg-type]
    return instruments.text()


def test_mean_spread_and_shift_are_those_of_the_faces() -> None:
    """Recovered from sums as NumPy computes them from the values."""
    values = np.random.default_rng(0).normal(150, 12, 400).clip(0, 255)
    drift = {d.statistic: d for d in measure(counted(values), RELEASE)}["brightness"]
    assert drift.n == 400
    assert drift.served == pytest.approx(values.mean())
    assert drift.served_std_dev == pytest.approx(values.std(), rel=1e-6)
    assert drift.shift == pytest.approx((values.mean() - 120) / 20)
    assert drift.verdict == "far off"


@pytest.mark.parametrize(
    ("mean", "n", "verdict"),
    [(121.0, 200, "as trained"), (132.0, 200, "shifted"), (90.0, 200, "far off"),
     (90.0, 20, "too few")],
)  # fmt: skip
def test_verdicts(mean: float, n: int, verdict: str) -> None:
    """Small shifts are nothing, large ones are said, few faces are too few."""
    drift = {d.statistic: d for d in measure(counted(np.full(n, mean)), RELEASE)}
    assert drift["brightness"].verdict == verdict


def test_more_abstention_than_on_test_is_drift() -> None:
    """Ten points more than the release's own rate are far off."""
    drift = {d.statistic: d for d in measure(counted(np.full(200, 120.0), 44), RELEASE)}
    assert drift["share answered uncertain"].served == pytest.approx(0.22)
    assert drift["share answered uncertain"].verdict == "far off"
    # Said as what it is, a difference of shares, and not as standard deviations.
    assert drift["share answered uncertain"].shift == pytest.approx(0.12)
    assert drift["share answered uncertain"].unit == "share"
    lines = exposition(list(drift.values()))
    assert 'genq_drift_share{version="7",statistic="share answered uncertain"} 0.12' in lines
    assert 'genq_drift{version="7",statistic="share' not in lines


def test_recent_drift_is_not_diluted_by_what_came_before() -> None:
    """Ten thousand faces as trained, then two hundred dark ones within the window: far off."""
    instruments = Instruments()
    clock = [0.0]
    window = Window(100.0, lambda: clock[0])
    for _ in range(2000):
        instruments.face(Engine(), answer(120.0))  # type: ignore[arg-type]
    for now_s in range(0, 300, 10):
        clock[0] = float(now_s)
        window.remember(instruments.text)
    for _ in range(200):
        instruments.face(Engine(), answer(90.0))  # type: ignore[arg-type]
    [brightness, *_] = measure(instruments.text(), RELEASE, window.before)
    assert (brightness.n, brightness.served, brightness.verdict) == (200, 90.0, "far off")
    [diluted, *_] = measure(instruments.text(), RELEASE)
    assert diluted.verdict == "as trained"
    assert len(window._moments) <= 50


def test_all_counts_as_long_as_the_window_is_not_over() -> None:
    """After a start there is no earlier moment to take away."""
    window = Window(100.0, lambda: 5.0)
    window.remember(lambda: counted(np.full(150, 90.0)))
    assert window.before == {}


def test_without_faces_nothing_is_concluded_and_nothing_breaks() -> None:
    """An idle server: too few, and no NaN in /metrics."""
    drifts = measure(Instruments().text(), RELEASE)
    assert {d.verdict for d in drifts} == {"too few"}
    assert "nan" not in exposition(drifts).lower()


def test_crops_are_measured_as_training_images_are() -> None:
    """The same picture, once as pixels and once as a JPEG of the training set: nearly the same."""
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 256, (14, 11, 3), dtype=np.uint8))
    picture = coarse.resize((178, 218), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95)
    brightness, sharpness = images.quality(buffer.getvalue())
    mine = quality(np.asarray(picture), 178)
    assert mine.brightness == pytest.approx(brightness, abs=1)
    assert mine.sharpness == pytest.approx(sharpness, rel=0.05)
