"""Sampling: exactly balanced, identity-disjoint, the same everywhere, and growing by adding."""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from components.example_gen.sampling import (
    FaultConfig,
    SamplingConfig,
    apportion,
    assign_splits,
    draw,
    hashes,
)
from data import contract
from data.celeba.index import Index
from data.errors import ConfigError, SamplingError


def make_index(people: int = 400, *, seed: int = 0, male: float = 0.42) -> Index:
    """People of 1 to 9 images; sex by person, other attributes by image; 8:1:1 by person."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 10, people)
    identity = np.repeat(np.arange(people), sizes).astype(np.int32)
    n = len(identity)
    attributes = (rng.random((n, 40)) < 0.4).astype(np.uint8)
    sex = (rng.random(people) < male).astype(np.uint8)
    attributes[:, contract.ATTRIBUTES.index("Male")] = sex[identity]
    partition = np.select([identity % 10 < 8, identity % 10 < 9], [0, 1], 2).astype(np.int8)
    ids = np.array([f"{i:06d}.jpg" for i in range(n)], "S")
    return Index(ids, attributes, partition, identity, None, {})


def chosen_ids(index, sample):
    return {split: [index.ids[r].decode() for r in rows] for split, rows in sample.rows.items()}


@pytest.mark.parametrize("balance_by", [("Male",), ("Male", "Young"), ("Male", "Young", "Smiling")])
def test_every_split_is_exactly_balanced(balance_by):
    """Each joint value has the same number of images, and as many as the rarest allows."""
    index = make_index()
    sample = draw(index, SamplingConfig(balance_by=balance_by))
    for s, split in enumerate(contract.SPLITS):
        values = Counter(
            tuple(int(index.attribute(a)[r]) for a in balance_by) for r in sample.rows[split]
        )
        available = Counter(
            tuple(int(index.attribute(a)[r]) for a in balance_by)
            for r in range(len(index))
            if index.partition[r] == s
        )
        assert set(values.values()) == {min(available.values())}
        assert len(values) == 2 ** len(balance_by)


def test_splits_follow_the_partition_and_share_no_person():
    """Rows of a split carry the official number, and no identity is in two splits."""
    index = make_index()
    sample = draw(index, SamplingConfig(total=200))
    people = [set(index.identity[rows].tolist()) for rows in sample.rows.values()]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])
    for s, split in enumerate(contract.SPLITS):
        assert set(index.partition[sample.rows[split]].tolist()) == {s}


def test_order_of_rows_does_not_matter():
    """A shuffled index gives the same images in the same order."""
    index = make_index()
    shuffled = index.take(np.random.default_rng(1).permutation(len(index)))
    config = SamplingConfig(total=300, seed=5)
    assert chosen_ids(index, draw(index, config)) == chosen_ids(shuffled, draw(shuffled, config))


def test_another_seed_draws_other_images():
    """The seed matters."""
    index = make_index()
    a, b = (chosen_ids(index, draw(index, SamplingConfig(total=200, seed=s))) for s in (0, 1))
    assert set(a["train"]) != set(b["train"])


def test_the_hash_is_the_same_for_ever():
    """Known values: a changed hash would draw another sample for the same seed."""
    assert hashes(0, [b"000001.jpg", b"000002.jpg"]).tolist() == [
        int.from_bytes(hashlib.blake2b(i, digest_size=8, key=b"0").digest(), "little")
        for i in (b"000001.jpg", b"000002.jpg")
    ]


@pytest.mark.parametrize("balance_by", [(), ("Male",), ("Male", "Young")])
def test_growing_a_sample_keeps_what_was_in_it(balance_by):
    """Each larger total holds all images of the smaller ones, in every split."""
    index = make_index(800)
    before: dict[str, set[str]] = {s: set() for s in contract.SPLITS}
    for total in range(40, 400, 4):
        config = SamplingConfig(total=total, balance_by=balance_by)
        now = {s: set(ids) for s, ids in chosen_ids(index, draw(index, config)).items()}
        assert sum(map(len, now.values())) == total
        for split in contract.SPLITS:
            assert before[split] <= now[split]
        before = now


def test_apportionment_never_takes_a_seat_away():
    """House-monotone, exact, and never more than one seat from the quota's neighbours here."""
    weights = (0.8, 0.1, 0.1)
    last = [0, 0, 0]
    for size in range(500):
        seats = apportion(size, weights)
        assert sum(seats) == size
        assert all(now >= then for now, then in zip(seats, last, strict=True))
        assert all(abs(n - size * w) <= 1 for n, w in zip(seats, weights, strict=True))
        last = seats


def test_weights_and_natural_distribution():
    """Weights give unequal shares; no balancing keeps the data's own rate."""
    index = make_index(2000)
    male = index.attribute("Male")
    weighted = draw(index, SamplingConfig(train=400, weights=(3, 1)))
    assert int(male[weighted.rows["train"]].sum()) == 100
    natural = draw(index, SamplingConfig(balance_by=()))
    assert sum(len(r) for r in natural.rows.values()) == len(index)
    most = draw(index, SamplingConfig(weights=(3, 1))).rows["train"]
    counts = np.bincount(male[most], minlength=2)
    train = male[index.partition == 0]
    assert counts[0] == np.count_nonzero(train == 0) or counts[1] == np.count_nonzero(train == 1)
    assert abs(counts[0] - 3 * counts[1]) <= 3


def test_what_goes_with_the_label_is_evened_out_in_train_only():
    """Strata get equal numbers; rare ones are taken whole, and the others share what is left."""
    index = make_index(900)
    male, young = index.attribute("Male"), index.attribute("Young")
    rng = np.random.default_rng(1)
    # Nine of ten women, two of ten men; and no man of the third attribute at all.
    young[:] = rng.random(len(index)) < np.where(male, 0.2, 0.9)
    bald = index.attribute("Bald")
    bald[:] = (rng.random(len(index)) < 0.02) & (male == 0)
    names = ("Young", "Bald")
    asked = SamplingConfig(train=800, val=80, test=80, even_over=names)
    sample, plain = draw(index, asked), draw(index, replace(asked, even_over=()))
    for split in ("val", "test"):
        np.testing.assert_array_equal(sample.rows[split], plain.rows[split])
    rows = sample.rows["train"]
    assert (male[rows] == 1).sum() == (male[rows] == 0).sum() == 400
    young_of = {0: 1, 1: 0}  # the usual age of each
    for sex in (0, 1):
        there = Counter(
            (young[r], bald[r])
            for r in range(len(index))
            if male[r] == sex and index.partition[r] == 0
        )
        taken = Counter((young[r], bald[r]) for r in rows if male[r] == sex)
        most = max(taken.values())
        # Whoever has less than the most, give or take one, gave all.
        assert all(taken[k] == there[k] or taken[k] >= most - 1 for k in there)
        assert taken[young_of[sex], 0] < there[young_of[sex], 0]  # the usual ones gave way
    fewer = draw(index, replace(asked, train=400))
    assert set(fewer.rows["train"]) <= set(rows)
    # An attribute that the data set lacks is left out.
    known = [n for n in contract.ATTRIBUTES if n != "Bald"]
    unknown = replace(index, annotated=tuple(known))
    only_young = draw(index, replace(asked, even_over=("Young",)))
    np.testing.assert_array_equal(draw(unknown, asked).rows["train"], only_young.rows["train"])


def test_too_few_of_a_class_says_how_many_are_possible():
    """The error's size can be drawn, and two more cannot."""
    index = make_index(male=0.1)
    with pytest.raises(
        SamplingError, match=r"possible; there are \d+ of Male=0, \d+ of Male=1"
    ) as e:
        draw(index, SamplingConfig(total=2000))
    possible = int(e.value.remedy.split("sampling.total=")[1].split(".")[0])
    drawn = draw(index, SamplingConfig(total=possible))
    assert sum(len(r) for r in drawn.rows.values()) == possible
    with pytest.raises(SamplingError):
        draw(index, SamplingConfig(total=possible + 2))
    smaller = draw(index, SamplingConfig(total=2000, allow_smaller=True))
    assert smaller.smaller and all(
        int(index.attribute("Male")[r].sum()) * 2 == len(r) for r in smaller.rows.values()
    )


def test_minority_class_is_never_dropped():
    """A split without one class is an error, not a one-sided split."""
    index = make_index()
    male = contract.ATTRIBUTES.index("Male")
    attributes = index.attributes.copy()
    attributes[index.partition == 2, male] = 0
    with pytest.raises(SamplingError, match=r"Nothing can be drawn for test.*0 of Male=1"):
        draw(replace(index, attributes=attributes), SamplingConfig())


def test_unusable_and_left_out_images_are_replaced():
    """The sample stays balanced and of its size without them."""
    index = make_index()
    config = SamplingConfig(total=200)
    first = draw(index, config)
    lost = first.rows["train"][:3]
    usable = np.ones(len(index), np.bool_)
    usable[lost] = False
    left_out = tuple(index.ids[r].decode() for r in first.rows["val"][:2])
    again = draw(index, replace(config, leave_out=left_out), usable)
    assert not set(lost) & set(again.rows["train"])
    assert not set(left_out) & set(chosen_ids(index, again)["val"])
    for split, rows in again.rows.items():
        assert len(rows) == len(first.rows[split])
        assert int(index.attribute("Male")[rows].sum()) * 2 == len(rows)


def test_test_natural_is_the_whole_test_partition():
    """The extra split is unbalanced and complete; the others do not change."""
    index = make_index()
    plain, natural = (draw(index, SamplingConfig(test_natural=b)) for b in (False, True))
    assert sorted(natural.rows["test_natural"]) == np.flatnonzero(index.partition == 2).tolist()
    assert chosen_ids(index, plain).items() <= chosen_ids(index, natural).items()


def test_a_part_of_the_test_partition_holds_rare_groups_whole():
    """About as many as asked for; a group is whole, or as large as the largest that is whole."""
    index = make_index(8000)
    attributes = index.attributes.copy()
    rng = np.random.default_rng(1)
    for name, share in (("Bald", 0.01), ("Wearing_Hat", 0.03), ("Young", 0.8)):
        attributes[:, contract.ATTRIBUTES.index(name)] = rng.random(len(index)) < share
    index = replace(index, attributes=attributes)
    groups = [[name] for name in ("Bald", "Wearing_Hat", "Young")]
    partition = np.flatnonzero(index.partition == 2)

    def drawn(size):
        config = SamplingConfig(test_natural=True, test_natural_images=size)
        found = draw(index, config, groups=groups)
        return found.rows["test_natural"], found.natural_weights, found.natural_of

    rows, weights, of = drawn(1000)
    assert of == len(partition) and abs(len(rows) - 1000) < 100
    assert set(rows) <= set(partition) and weights.min() == 1.0
    for name in ("Bald", "Wearing_Hat"):
        assert set(partition[index.attribute(name)[partition] == 1]) <= set(rows)
    young = index.attribute("Young")[rows]
    assert (young == 0).sum() > 1.3 * 0.2 * 1000  # more of the few who are not
    # Weights undo it: of the partition, as estimated and as it is.
    assert weights.sum() == pytest.approx(len(partition), rel=0.05)
    share = young @ weights / weights.sum()
    assert share == pytest.approx(index.attribute("Young")[partition].mean(), abs=0.03)
    assert set(rows) <= set(drawn(1500)[0])
    whole, weights, _ = drawn(len(partition))
    assert sorted(whole) == partition.tolist() and weights is None
    with pytest.raises(ConfigError, match=r"test_natural_images is 5.*test_natural is False"):
        SamplingConfig(test_natural_images=5)


def test_splits_by_identity():
    """Without a partition, people are split by hash: whole people, near the fractions."""
    index = replace(make_index(3000), partition=None)
    config = SamplingConfig(splits="identity_hash", split_fractions=(0.6, 0.2, 0.2))
    splits, said = assign_splits(index, config)
    assert not said
    for person in np.unique(index.identity)[:200]:
        assert len(set(splits[index.identity == person].tolist())) == 1
    shares = np.bincount(splits, minlength=3) / len(splits)
    assert np.allclose(shares, (0.6, 0.2, 0.2), atol=0.03)
    assert draw(index, config).rows["test"].size


def test_without_a_partition_people_are_split_and_without_identities_images_are():
    """With a warning that says what a random split costs; the shares are as configured."""
    index = replace(make_index(3000), partition=None)
    by_people = draw(index, SamplingConfig())
    asked = draw(index, SamplingConfig(splits="identity_hash"))
    assert by_people.warning.startswith("There is no partition") and not asked.warning
    assert all(np.array_equal(by_people.rows[s], asked.rows[s]) for s in asked.rows)
    config = SamplingConfig(split_fractions=(0.6, 0.2, 0.2))
    nobody = replace(index, identity=None)
    splits, warning = assign_splits(nobody, config)
    assert "measured accuracy is higher than it will be" in warning
    assert np.allclose(np.bincount(splits, minlength=3) / len(splits), (0.6, 0.2, 0.2), atol=0.03)
    assert draw(nobody, config).warning == warning
    assert draw(index, replace(config, splits="random")).warning == warning
    # The split does not depend on the order of rows.
    back = nobody.take(np.arange(len(nobody))[::-1])
    assert np.array_equal(assign_splits(back, config)[0][::-1], splits)


def test_identities_asked_for_by_name_have_to_be_there():
    """The remedy that is named works: without the setting it runs."""
    index = replace(make_index(), identity=None)
    with pytest.raises(SamplingError, match="no identities") as caught:
        draw(index, SamplingConfig(splits="identity_hash"))
    assert "sampling.splits=official" in caught.value.remedy
    assert draw(replace(index, partition=None), SamplingConfig(splits="official")).warning


def test_a_person_in_two_partitions_is_refused():
    """The official file is not believed: people in two splits are named."""
    index = make_index()
    partition = np.arange(len(index), dtype=np.int8) % 3
    with pytest.raises(SamplingError, match="identities are in both train and val"):
        draw(replace(index, partition=partition), SamplingConfig())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"balance_by": ("Masculine",)}, "Masculine"),
        ({"balance_by": ("Male", "Male")}, "different names"),
        ({"even_over": ("Lipstick",)}, "even_over names 'Lipstick'"),
        ({"total": 5001}, "5001; accepted: a positive multiple of 2"),
        ({"train": 0}, "train is 0"),
        ({"weights": (1.0,)}, "2 positive numbers"),
        ({"split_fractions": (0.5, 0.5, 0.5)}, "add up to 1"),
        ({"splits": "chance"}, "accepted: official, identity_hash, random"),
    ],
)
def test_wrong_configuration_is_named(values, message):
    """The bad value and the accepted range are in the message."""
    with pytest.raises(ConfigError, match=message):
        SamplingConfig(**values)


def test_wrong_fault_limits_are_named():
    """As above, for the limits."""
    with pytest.raises(ConfigError, match="accepted: 0 to 1"):
        FaultConfig(max_bad_image_fraction=2)
    with pytest.raises(ConfigError, match="0 or more"):
        FaultConfig(max_bad_annotations=-1)
