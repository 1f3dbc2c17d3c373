"""The baseline is the newest blessed model older than the candidate."""

from pathlib import Path

import keras
import pytest
from tfx.types import standard_artifacts

from components.approval import (
    APPROVE,
    DIGEST,
    REJECT,
    ReviewDecision,
    choose_decision,
    model_digest,
)
from components.lookups.baseline import choose_baseline
from components.lookups.previous_statistics import choose_previous
from components.trainer.calibration import Calibration
from components.trainer.model import HEAD_FIRST
from components.trainer.signatures import export
from components.validation_gate import Validation


def model(model_id: int) -> standard_artifacts.Model:
    artifact = standard_artifacts.Model()
    artifact.id = model_id
    return artifact


def blessing(
    model_id: int, blessed: bool, judge: str = "fairness-gate", outcome: str = "passed"
) -> standard_artifacts.ModelBlessing:
    artifact = standard_artifacts.ModelBlessing()
    artifact.set_int_custom_property("current_model_id", model_id)
    artifact.set_int_custom_property("blessed", int(blessed))
    artifact.set_string_custom_property("judge", judge)
    artifact.set_string_custom_property("outcome", outcome)
    return artifact


def decision(decision_id: int, model_id: int, said: str, digest: str = "") -> ReviewDecision:
    artifact = ReviewDecision()
    artifact.id = decision_id
    artifact.set_string_custom_property(DIGEST, digest)
    artifact.set_int_custom_property("model_id", model_id)
    artifact.set_string_custom_property("decision", said)
    return artifact


@pytest.mark.parametrize(
    ("candidate", "blessings", "baseline"),
    [
        (1, {}, None),
        (1, {1: True}, None),  # an unchanged rerun of the first model: never with itself
        (3, {1: True, 2: False}, 1),
        (3, {1: True, 2: True}, 2),
        (2, {1: True, 2: True, 3: True}, 1),  # data changed back: the same answer as then
    ],
)
def test_the_baseline_depends_on_the_candidate_only(
    candidate: int, blessings: dict[int, bool], baseline: int | None
) -> None:
    """Whatever has been blessed since, a candidate's baseline stays the same."""
    found = choose_baseline(
        candidate=[model(candidate)],
        model=[model(i) for i in (1, 2, 3)],
        model_blessing=[blessing(i, ok) for i, ok in blessings.items()],
        decision=[],
    )
    assert [m.id for m in found["model"]] == ([baseline] if baseline else [])
    assert len(found["model_blessing"]) == len(found["model"])


def test_the_evaluators_blessing_alone_makes_no_baseline() -> None:
    """A model that the fairness gate refused, or stopped the run for, is no baseline."""
    found = choose_baseline(
        candidate=[model(3)],
        model=[model(i) for i in (1, 2, 3)],
        model_blessing=[
            blessing(1, True),
            blessing(2, True, judge=""),
            blessing(2, False),
        ],
        decision=[],
    )
    assert [m.id for m in found["model"]] == [1]


def test_a_model_whose_files_are_gone_is_no_baseline(tmp_path: Path) -> None:
    """The next older one whose files are there is; the same for statistics."""
    models = [model(i) for i in (1, 2, 3)]
    for each in models:
        each.uri = str(tmp_path / str(each.id))
    (tmp_path / "1").mkdir()
    found = choose_baseline(
        candidate=[models[2]],
        model=models,
        model_blessing=[blessing(1, True), blessing(2, True)],
        decision=[],
    )
    assert [m.id for m in found["model"]] == [1]
    passed = []
    for each in models:
        validation = Validation()
        validation.set_int_custom_property("statistics_id", each.id)
        passed.append(validation)
    assert [p.id for p in choose_previous([models[2]], models, passed)["previous"]] == [1]


@pytest.mark.parametrize(
    ("outcome", "decisions", "baseline"),
    [
        ("passed", (), 2),
        ("warned", (), 2),
        ("passed", (REJECT,), 1),
        ("passed", (APPROVE, REJECT), 1),
        ("passed", (REJECT, APPROVE), 2),
        ("blocked", (), 1),  # blessed all the same, by on_failure=warn
        ("blocked", (APPROVE,), 2),
        ("blocked", (APPROVE, REJECT), 1),
    ],
)
def test_a_baseline_was_neither_rejected_nor_only_let_through(
    outcome: str, decisions: tuple[str, ...], baseline: int
) -> None:
    """The newest decision counts; a reviewer's name stands for what a setting does not."""
    found = choose_baseline(
        candidate=[model(3)],
        model=[model(i) for i in (1, 2, 3)],
        model_blessing=[blessing(1, True), blessing(2, True, outcome=outcome)],
        decision=[decision(10 + i, 2, said) for i, said in enumerate(decisions)],
    )
    assert [m.id for m in found["model"]] == [baseline]


def test_a_digest_is_of_what_a_model_computes(tmp_path: Path) -> None:
    """Exported twice, its files differ; weights and calibration are what make another model."""

    def network(weight: float) -> keras.Model:
        image = keras.Input((75, 75, 3))
        x = keras.layers.Conv2D(2, 75, kernel_initializer=keras.initializers.Constant(weight))(
            image
        )
        pooled = keras.layers.GlobalAveragePooling2D()(x)
        pooled = keras.layers.Dropout(0.1, name=HEAD_FIRST, seed=0)(pooled)
        return keras.Model(image, keras.layers.Dense(1, kernel_initializer="ones")(pooled))

    made = {}
    for name, weight, temperature in (
        ("a", 0.1, 1.2),
        ("b", 0.1, 1.2),
        ("c", 0.2, 1.2),
        ("d", 0.1, 1),
    ):
        export(network(weight), Calibration(temperature, 0.05), tmp_path / name / "Format-Serving")
        made[name] = model_digest(tmp_path / name)
    files = [(tmp_path / name / "Format-Serving/saved_model.pb").read_bytes() for name in "ab"]
    assert files[0] != files[1]
    assert made["a"] == made["b"] and len({*made.values()}) == 3
    assert model_digest(tmp_path / "nothing") == ""


def test_a_decision_is_about_a_model_and_not_about_a_file() -> None:
    """A model that was made again is rejected as before; another one, or an unknown one, is not."""
    first, again, other = model(1), model(2), model(3)
    for each, digest in ((first, "a"), (again, "a"), (other, "b")):
        each.set_string_custom_property(DIGEST, digest)
    rejected = decision(10, 1, REJECT, first.get_string_custom_property(DIGEST))
    for candidate, found in ((first, [rejected]), (again, [rejected]), (other, [])):
        assert choose_decision([candidate], [rejected])["decision"] == found
    assert choose_decision([model(4)], [decision(11, 5, REJECT)])["decision"] == []
    approved = decision(12, 2, APPROVE, again.get_string_custom_property(DIGEST))
    assert choose_decision([first], [rejected, approved])["decision"] == [approved]
    found = choose_baseline(
        candidate=[other],
        model=[first, again, other],
        model_blessing=[blessing(1, True), blessing(2, True)],
        decision=[rejected],
    )
    assert found["model"] == []
