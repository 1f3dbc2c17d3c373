"""Further columns of a data set become slices; free text does not."""

import json

import numpy as np
import pandas as pd

from components.evaluation.config import EvaluationConfig
from components.evaluation.slices import find_slices
from components.fairness_gate import judge
from components.predictions import table
from data import contract
from data.celeba.groups import encode, find_groups


def texts(*values: object) -> "np.ndarray[tuple[int], np.dtype[np.str_]]":
    return np.array([str(v) for v in values], np.str_)


def test_few_words_are_groups_many_numbers_are_divided_and_free_text_is_not_used() -> None:
    """Every image is in one range; ranges have about the same number of images."""
    rng = np.random.default_rng(0)
    ages = rng.integers(1, 90, 500)
    extra = {
        "race": texts(*rng.choice(["White", "Black", "Indian", "East Asian"], 500)),
        "age": texts(*ages),
        "bracket": texts(*rng.choice(["0-2", "3-9", "10-19", "more than 70"], 500)),
        "ethnicity": texts(*rng.integers(0, 5, 500)),
        "height": texts(*rng.normal(170, 10, 500).round(1)),
        "notes": texts(*(f"photo {i}" for i in range(500))),
        "nothing": texts(*[""] * 500),
    }
    groups, free = find_groups(extra)
    assert free == ("notes", "nothing")
    assert set(groups) == {"race", "age", "bracket", "ethnicity", "height"}
    assert np.array_equal(groups["race"], extra["race"])
    names, counts = np.unique(groups["age"], return_counts=True)
    assert len(names) == 5 and counts.min() > 60
    for age, name in zip(ages.tolist(), groups["age"].tolist(), strict=True):
        low, _, high = name.partition(" to ")
        assert int(low) <= age <= int(high)


def test_a_value_that_is_missing_is_in_no_group() -> None:
    """Neither among words nor among numbers."""
    groups, _ = find_groups({"race": texts(*["a", "", "b"] * 10), "age": texts(*[*range(29), ""])})
    assert json.loads(encode(groups, 1)) == {"age": groups["age"][1]} if "age" in groups else True
    assert "race" not in json.loads(encode(groups, 1))


def predictions(n: int = 400) -> pd.DataFrame:
    """A model that is wrong about a third of one group."""
    rng = np.random.default_rng(1)
    label = np.arange(n) % 2
    race = np.where(np.arange(n) % 4 < 2, "A", "B")
    wrong = (race == "B") & (rng.random(n) < 0.35)
    p = np.where(label == 1, 0.9, 0.1)
    p = np.where(wrong, 1 - p, p) + rng.normal(0, 0.01, n)
    frame = pd.DataFrame(
        {
            table.SPLIT: "test",
            contract.IMAGE_ID: [f"{i}.jpg" for i in range(n)],
            table.SHA256: [f"{i:064x}" for i in range(n)],
            contract.IDENTITY: np.arange(n),
            contract.LABEL: label,
            "Male": label,
            contract.P_POSITIVE: p.astype(np.float32),
            contract.UNCERTAIN: False,
            contract.GROUPS: [json.dumps({"race": r}) for r in race],
        }
    )
    frame.loc[0, contract.GROUPS] = None
    return table.add_groups(frame)


def test_groups_are_slices_and_the_gate_judges_them() -> None:
    """`race=B` is a slice of its own rows, and its errors take the blessing away."""
    frame = predictions()
    slices = {s.name: s for s in find_slices(frame, ())}
    assert list(slices) == ["overall", "race=A", "race=B"]
    assert slices["race=B"].rows.sum() == 200 and slices["race=A"].rows.sum() == 199
    fingerprints = frame[table.FINGERPRINT_SCHEMA.names]
    verdict = judge(frame, fingerprints, EvaluationConfig(slices=()))
    assert verdict.outcome == "blocked"
    assert any("race=B" in reason for reason in verdict.reasons)
