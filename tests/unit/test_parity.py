"""The judgements on variants, and the choice of layers, on numbers alone."""

from collections.abc import Collection

import numpy as np
import pytest

from components.model_exporter import parity
from components.model_exporter.config import ExportConfig
from components.model_exporter.export import Optional, answers_to_decoded
from components.model_exporter.images import Pixels, TestImage
from components.model_exporter.models import P
from components.model_exporter.quantization import Effect, choose_float_layers
from data import contract
from data.errors import ConfigError, GateError

NAMES = [f"{i}.jpg" for i in range(9)]


def test_the_gate_names_variant_and_images() -> None:
    """Above the limit GateError names variant and images, the worst first; NaN is refused."""
    expected = np.full(9, 0.7, np.float32)
    close = parity.compare("float32", "test images", NAMES, expected, expected + np.float32(5e-5))
    parity.judge_difference(close, 1e-4)
    assert close.equal_decisions == 1
    found = expected.copy()
    found[4], found[6] = 0.6, 0.3
    far = parity.compare("float32", "test images", NAMES, expected, found)
    assert far.equal_decisions == pytest.approx(8 / 9)
    assert far.flipped == ("6.jpg",)
    with pytest.raises(GateError, match=r"(?s)float32.*0\.4 .*  6\.jpg: 0\.4\n  4\.jpg: 0\.1"):
        parity.judge_difference(far, 1e-4)
    found[2] = np.nan
    broken = parity.compare("float32", "test images", NAMES, expected, found)
    with pytest.raises(GateError, match=r"2\.jpg: inf"):
        parity.judge_difference(broken, 1e6)


def changed_labels(images: int, changed: int) -> parity.Comparison:
    """A comparison in which this many labels changed."""
    expected = np.full(images, 0.7, np.float32)
    found = np.where(np.arange(images) < changed, 0.4, expected).astype(np.float32)
    return parity.compare("int8", "x", [f"{i}.jpg" for i in range(images)], expected, found)


def test_labels_that_surely_change_too_often_are_refused() -> None:
    """At 99.5 %, two of 312 prove nothing, forty of 4,000 do; the message names five of them."""
    config = ExportConfig()
    parity.judge_decisions(changed_labels(312, 2), config)
    parity.judge_decisions(changed_labels(4000, 24), config)
    with pytest.raises(
        GateError, match=r"int8: only 99\.00% of 4000 x .* at most 99\.2\d%"
    ) as error:
        parity.judge_decisions(changed_labels(4000, 40), config)
    assert "0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 35 more" in error.value.problem


def test_agreement_is_pooled_over_sets() -> None:
    """Three changed of 400; Wilson's interval by his formula."""
    pool = parity.pooled([changed_labels(300, 1), changed_labels(100, 2)])
    assert pool["images"] == 400 and pool["equal_decisions"] == pytest.approx(1 - 3 / 400)
    n, p, z = 400, 1 - 3 / 400, 1.959964
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    assert pool["equal_low"] == pytest.approx(centre - half, abs=1e-6)
    assert pool["equal_high"] == pytest.approx(centre + half, abs=1e-6)


def images(count: int) -> list[TestImage]:
    """Labels alternate; Young holds for the second half."""
    base = dict.fromkeys(contract.ATTRIBUTES, 0)
    return [
        TestImage(f"{i}.jpg", b"", i % 2, base | {"Male": i % 2, "Young": int(i >= count // 2)})
        for i in range(count)
    ]


def test_a_slice_that_loses_more_than_a_point_beyond_its_interval_is_refused() -> None:
    """Twelve losses in 200 examples of one slice stop the run; the slice and images are named."""
    every = images(400)
    labels = np.array([i.label for i in every])
    expected = np.where(labels == 1, 0.9, 0.1).astype(np.float32)
    found = expected.copy()
    lost = np.flatnonzero([i.attributes["Young"] for i in every])[:12]
    found[lost] = 1 - found[lost]
    slices = parity.compare_slices(every, (("Young",), ("Male", "Young")), expected, found)
    by = {s.slice: s for s in slices}
    assert set(by) == {
        "overall",
        "Young=0",
        "Young=1",
        *(f"Male={m}, Young={y}" for m in (0, 1) for y in (0, 1)),
    }
    assert (by["Young=1"].accuracy, by["Young=1"].reference_accuracy) == (1 - 12 / 200, 1)
    assert by["Young=0"].low < 0 < by["Young=0"].high
    comparison = parity.Comparison("int8", "x", 400, 0.8, 0.0, 0.999, 0.99, 1.0, (), (), slices)
    with pytest.raises(GateError, match=r"slice overall|slice Young=1") as error:
        parity.judge_decisions(comparison, ExportConfig())
    assert "200.jpg" in error.value.problem
    # A few losses in a small slice prove nothing.
    few = parity.Comparison(
        "int8",
        "x",
        20,
        0.8,
        0.0,
        0.999,
        0.99,
        1.0,
        (),
        (),
        parity.compare_slices(
            every[:20], (), expected[:20], 1 - expected[:20] * (np.arange(20) < 1)
        ),
    )
    assert few.slices[0].images == 20


def test_the_paired_interval_covers_the_truth() -> None:
    """In 4,000 simulated comparisons of 200 pairs the interval holds the true difference in about
    95 %."""
    rng = np.random.default_rng(0)
    lost, gained = 0.04, 0.02
    draws = rng.multinomial(200, [lost, gained, 1 - lost - gained], size=4000)
    intervals = np.array([parity.paired_interval(won, gone, 200) for gone, won, _ in draws])
    covered = np.mean((intervals[:, 0] <= gained - lost) & (gained - lost <= intervals[:, 1]))
    assert 0.93 <= covered <= 0.98
    assert parity.paired_interval(0, 0, 10)[0] < 0 < parity.paired_interval(0, 0, 10)[1]


class Layers:
    """A pretended network: the difference is the sum of what the layers in int8 lose."""

    def __init__(self, losses: dict[str, float]) -> None:
        self.losses = losses
        self.measured: list[frozenset[str]] = []

    def __call__(self, float_layers: Collection[str]) -> Effect:
        """Measures as quantization.quantize does."""
        self.measured.append(frozenset(float_layers))
        difference = sum(v for k, v in self.losses.items() if k not in float_layers)
        return Effect(1 - difference, difference)


def test_layers_that_lose_too_much_stay_in_float_and_no_others() -> None:
    """The two layers that lose most are found, wherever they are; the limit is kept."""
    names = [f"l{i:02}" for i in range(94)]
    config = ExportConfig(int8_max_mean_difference=0.005, int8_max_float_layers=12)
    clean = Layers(dict.fromkeys(names, 1e-5))
    result = choose_float_layers(names, clean, config)
    assert result.float_layers == () and result.tried == 1
    bad = Layers(dict.fromkeys(names, 1e-5) | {"l40": 0.02, "l46": 0.03})
    result = choose_float_layers(names, bad, config)
    assert {"l40", "l46"} <= set(result.float_layers)
    assert len(result.float_layers) <= 6
    assert result.effect.mean_difference < 0.005 < result.all_int8.mean_difference
    assert result.tried == len(bad.measured) < 20
    hopeless = Layers(dict.fromkeys(names, 0.01))
    assert len(choose_float_layers(names, hopeless, config).float_layers) == 12


def test_int8_fails_alone_and_float32_does_not(caplog: pytest.LogCaptureFixture) -> None:
    """The first reason stays; with "stop" a variant that cannot be made is a GateError."""
    optional = Optional("leave_out")
    with optional.may_fail("int8"):
        raise GateError("int8: too few labels", "a remedy")
    with optional.may_fail("int8"):
        raise ValueError("later")
    with optional.may_fail("float16"):
        raise ValueError("no such operation")
    assert optional.left_out == {
        "int8": "int8: too few labels",
        "float16": "float16 cannot be made: ValueError('no such operation')",
    }
    assert "int8 is left out of the release. int8: too few labels" in caplog.text
    with pytest.raises(GateError, match="far off"), optional.may_fail("float32"):
        raise GateError("float32: far off")
    with pytest.raises(MemoryError), optional.may_fail("int8"):
        raise MemoryError
    with pytest.raises(GateError, match="cannot be made"), Optional("stop").may_fail("int8"):
        raise ValueError("no such operation")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("opset", 19),
        ("variants", ("int8",)),
        ("variants", ("float32", "int4")),
        ("parity_images", 0),
        ("max_difference_float32", 0.0),
        ("min_equal_decisions", 1.1),
        ("on_variant_failure", "ignore"),
        ("agreement_images", -1),
        ("int8_max_float_layers", -1),
    ],
)
def test_a_wrong_setting_is_named(field: str, value: object) -> None:
    """The message holds the setting, the value and what is accepted."""
    with pytest.raises(ConfigError, match=f"export.{field} is .*accepted"):
        ExportConfig(**{field: value})


def test_equal_pixels_are_asked_about_once() -> None:
    """Of two decoders' pictures only those that differ go through the model a second time."""
    seen = []

    def model(image: Pixels) -> P:
        seen.append(len(image))
        return image.mean(axis=(1, 2, 3)).astype(np.float32)

    pixels = [np.full((2, 2, 3), value, np.uint8) for value in (10, 20, 30)]
    decoded = [pixels[0], pixels[1] + np.uint8(1), pixels[2]]
    known = np.array([10, 20, 30], np.float32)
    assert answers_to_decoded(model, decoded, pixels, known).tolist() == [10, 21, 30]
    assert seen == [1]
    assert answers_to_decoded(model, pixels, pixels, known).tolist() == [10, 20, 30]
    assert seen == [1]
    assert known.tolist() == [10, 20, 30]
