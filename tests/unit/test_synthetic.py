"""The look-alike: same seed same bytes, CelebA's rates and files, and folders that stay sound."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.example_gen.sampling import SamplingConfig, draw
from data import contract
from data.celeba.index import load_index
from data.celeba.inspect import inspect
from data.errors import ConfigError, DataError
from data.synthetic import SyntheticConfig, folder, is_complete, synthesize
from data.synthetic.looks import look_of
from data.synthetic.people import photos, shuffled_labels
from data.synthetic.photo import draw as draw_photo

ROOT = Path(__file__).parents[2]
SMALL = SyntheticConfig(num_images=130, seed=3)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A look-alike of 130 images, drawn in this process."""
    root = tmp_path_factory.mktemp("synthetic") / "small"
    synthesize(root, SMALL, processes=1)
    return root


def digests(root):
    """File below the root -> SHA-256."""
    return {
        str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(root.rglob("*"))
        if f.is_file()
    }


def table(root, name):
    """Rows of an annotation file, without header, as lists of words."""
    lines = (root / name).read_text().splitlines()
    return [line.split() for line in lines if ".jpg" in line]


def test_importing_the_configuration_imports_nothing_heavy():
    """`genq --help` reads it."""
    code = (
        "import sys, data.synthetic;"
        "print([m for m in ('numpy', 'PIL', 'pandas', 'multiprocessing') if m in sys.modules])"
    )
    # `make coverage` would bring multiprocessing along.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_same_seed_same_bytes_in_any_number_of_processes(small, tmp_path):
    """Three processes write what one writes; every image is counted once."""
    done = []
    synthesize(tmp_path / "again", SMALL, processes=3, on_image=done.append)
    assert digests(tmp_path / "again") == digests(small)
    assert sum(done) == 130


def test_another_seed_draws_other_faces(small, tmp_path):
    """No image of one seed is an image of another."""
    synthesize(tmp_path / "b", SyntheticConfig(num_images=20, seed=4), processes=1)
    images = {d for f, d in digests(small).items() if f.endswith(".jpg")}
    assert not images & set(digests(tmp_path / "b").values())


def test_a_larger_look_alike_holds_all_of_a_smaller_one(small, tmp_path):
    """Images are the same bytes, and the rows of each annotation file are the same."""
    synthesize(tmp_path / "few", SyntheticConfig(num_images=40, seed=3), processes=1)
    few, many = digests(tmp_path / "few"), digests(small)
    images = [f for f in few if f.endswith(".jpg")]
    assert len(images) == 40
    assert all(few[f] == many[f] for f in images)
    for name in (f for f in few if f.endswith(".txt")):
        assert table(tmp_path / "few", name) == table(small, name)[:40]


def test_files_are_celebas(small):
    """The index reads them without a fault; headers and layout are the official ones."""
    layout, index = load_index(str(small))
    assert layout.name == "official folders, images in a folder"
    assert layout.missing_parts == ()
    assert len(index) == 130
    assert index.ids[0] == b"000001.jpg"
    lines = (small / "Anno/list_attr_celeba.txt").read_text().splitlines()
    assert lines[0] == "130"
    assert lines[1].split() == list(contract.ATTRIBUTES)
    lines = (small / "Anno/list_bbox_celeba.txt").read_text().splitlines()
    assert lines[1].split() == ["image_id", "x_1", "y_1", "width", "height"]
    assert inspect(str(small), check_images=True).problems == ()


def test_images_are_small_colour_jpegs_some_lighter_than_others(small):
    """178x218 RGB; a few kB as CelebA's."""
    files = sorted((small / "Img/img_align_celeba").iterdir())
    light = []
    for file in files:
        with Image.open(file) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (178, 218))
            light.append(np.asarray(image).mean())
        assert 2_000 < file.stat().st_size < 30_000
    assert np.std(light) > 10


def test_landmarks_lie_on_the_face(small):
    """Eyes within three pixels of CelebA's, then the nose, then the mouth, its corners apart."""
    _, index = load_index(str(small))
    points = index.landmarks.reshape(-1, 5, 2)
    for i, eye in enumerate((contract.LEFT_EYE_XY_PX, contract.RIGHT_EYE_XY_PX)):
        assert np.abs(points[:, i] - np.array(eye)).max() <= 3
    assert (points[:, 2, 1] > points[:, :2, 1].max(axis=1)).all()
    assert (points[:, 3:, 1] > points[:, 2, 1:]).all()
    assert (points[:, 4, 0] - points[:, 3, 0] > 20).all()


def test_landmarks_turn_as_the_picture_does():
    """The eye whites are where the landmarks say, on the most turned head of two hundred."""
    everyone = photos(SyntheticConfig(num_images=200, seed=1))
    hidden = {"Eyeglasses", "Blurry", "Wearing_Hat", "Bangs", "Narrow_Eyes"}
    photo = max(
        (p for p in everyone if not p.attributes & hidden),
        key=lambda p: abs(look_of(p, 1).roll_deg),
    )
    assert abs(look_of(photo, 1).roll_deg) > 4
    drawn, jpeg = draw_photo(photo, 1)
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"), int)
    (left_x, left_y), (right_x, right_y) = np.array(drawn.landmarks).reshape(5, 2)[:2]
    assert (left_y > right_y) == (look_of(photo, 1).roll_deg > 0)
    # The pupil is the darkest thing near.
    for x, y in ((left_x, left_y), (right_x, right_y)):
        patch = pixels[y - 3 : y + 4, x - 3 : x + 4].sum(axis=2)
        assert patch.min() < 200


@pytest.fixture(scope="module")
def everyone():
    """20,000 images, not drawn."""
    return photos(SyntheticConfig(num_images=20_000, seed=11))


def test_attribute_rates_are_celebas_alone_and_given_male(everyone):
    """All 40, within four standard errors, which count people and not images as independent."""
    with (ROOT / "data/celeba_attribute_rates.csv").open() as file:
        expected = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert [row["attribute"] for row in expected] == list(contract.ATTRIBUTES)
    people = np.array([p.identity for p in everyone])
    male = np.array(["Male" in p.attributes for p in everyone])
    groups = {"rate": male | ~male, "rate_given_male": male, "rate_given_female": ~male}
    for row in expected:
        value = np.array([row["attribute"] in p.attributes for p in everyone])
        for column, of in groups.items():
            if row["attribute"] == "Male" and column != "rate":
                continue
            rate = float(row[column])
            # Cluster-robust variance of a mean.
            residuals = np.bincount(people[of], weights=value[of] - rate)
            error = np.sqrt((residuals**2).sum()) / of.sum()
            assert abs(value[of].mean() - rate) <= 4 * error + 0.002, (row["attribute"], column)


def test_a_small_look_alike_has_the_label_of_celeba_and_its_partitions():
    """Shares hold where a user has a few thousand images, and whatever the seed."""
    for seed in range(4):
        config = SyntheticConfig(2_000, seed, (0.7, 0.1, 0.2))
        some = photos(config)
        for partition, fraction in enumerate(config.partition_fractions):
            there = [p for p in some if p.partition == partition]
            assert len(there) / 2_000 == pytest.approx(fraction, abs=0.03)
            males = sum("Male" in p.attributes for p in there)
            assert males / len(there) == pytest.approx(0.4215, abs=0.08)


def test_people_have_1_to_35_images_in_one_partition_and_keep_what_is_theirs(everyone):
    """Sex, partition and bones are the person's; a smile is not."""
    images = defaultdict(list)
    for photo in everyone:
        images[photo.identity].append(photo)
    sizes = Counter(len(group) for group in images.values())
    assert min(sizes) == 1
    assert 30 <= max(sizes) <= 35
    smiles = set()
    for group in images.values():
        assert len({p.partition for p in group}) == 1
        assert len({"Male" in p.attributes for p in group}) == 1
        smiles.add(len({"Smiling" in p.attributes for p in group}))
    assert smiles == {1, 2}
    largest = max(images.values(), key=len)
    looks = [look_of(p, 11) for p in largest[:6]]
    assert len({look.eyes for look in looks}) == 1
    assert len({look.neck_w for look in looks}) <= 2  # Chubby may change
    assert len({look.background for look in looks}) == 6
    # The person's images are scattered over the numbers.
    numbers = [p.number for p in largest]
    assert max(numbers) - min(numbers) > 3 * len(numbers)


def test_attributes_that_exclude_each_other_never_meet(everyone):
    """One colour of hair, none when bald; no kind of beard with No_Beard."""
    colours = {"Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Bald"}
    kinds = {"5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns"}
    for photo in everyone:
        has = photo.attributes
        assert len(has & colours) <= 1
        assert not {"Straight_Hair", "Wavy_Hair"} <= has
        if "Bald" in has:
            assert not has & {"Bangs", "Straight_Hair", "Wavy_Hair", "Receding_Hairline"}
        if "No_Beard" in has:
            assert not has & kinds


def test_every_visible_attribute_changes_the_picture():
    """The same face in the same light, with and without it, is not the same picture."""
    base = photos(SyntheticConfig(num_images=60, seed=2))
    plain = next(
        p for p in base if not p.attributes & {"Bald", "Blurry", "Wearing_Hat", "Eyeglasses"}
    )
    invisible = {"Attractive", "Male"}
    groups = {"Bald", "Gray_Hair", "Black_Hair", "Brown_Hair", "Blond_Hair"}
    for name in set(contract.ATTRIBUTES) - invisible:
        fixed = plain.attributes - groups if name in groups else plain.attributes
        if name in {"Goatee", "Mustache", "Sideburns", "5_o_Clock_Shadow"}:
            fixed = fixed - {"No_Beard", "Goatee", "Mustache", "Sideburns", "5_o_Clock_Shadow"}
            fixed |= {"Mustache"} if name != "Mustache" else {"Goatee"}
        variants = []
        for has in (fixed - {name}, fixed | {name}):
            variant = type(plain)(plain.number, plain.identity, plain.partition, frozenset(has))
            variants.append(draw_photo(variant, 2)[1])
        assert variants[0] != variants[1], name


def test_the_look_alike_can_be_sampled_in_balance(small):
    """Even 130 images have both labels in every partition."""
    _, index = load_index(str(small))
    sample = draw(index, SamplingConfig())
    assert all(len(rows) for rows in sample.rows.values())


def test_shuffling_permutes_the_label_and_nothing_else(small, tmp_path):
    """Images, other attributes and the number of each label in each partition stay."""
    config = SyntheticConfig(num_images=130, seed=3, shuffle_labels=True)
    synthesize(tmp_path / "shuffled", config, processes=1)
    before, after = digests(small), digests(tmp_path / "shuffled")
    changed = {f for f in before if before[f] != after[f]}
    assert changed == {"Anno/list_attr_celeba.txt", folder.STAMP}
    (_, a), (_, b) = load_index(str(small)), load_index(str(tmp_path / "shuffled"))
    differs = (a.attributes != b.attributes).any(axis=0)
    assert [n for n, d in zip(contract.ATTRIBUTES, differs, strict=True) if d] == ["Male"]
    for partition in range(3):
        rows = a.partition == partition
        assert a.attribute("Male")[rows].sum() == b.attribute("Male")[rows].sum()
    draw(b, SamplingConfig())


def test_shuffled_labels_say_nothing_about_the_face(everyone):
    """Given the shuffled label, lipstick and beard have the same rate in both."""
    shuffled = shuffled_labels(SyntheticConfig(20_000, 11), everyone)
    for name in ("Wearing_Lipstick", "No_Beard", "Young"):
        rates = [
            np.mean([name in p.attributes for p in shuffled if ("Male" in p.attributes) == male])
            for male in (False, True)
        ]
        assert rates[0] == pytest.approx(rates[1], abs=0.03)


def test_a_complete_folder_is_left_as_it_is(small):
    """Nothing is drawn again; another configuration is not this one."""
    assert is_complete(small, SMALL)
    assert not is_complete(small, SyntheticConfig(num_images=130, seed=4))
    assert not is_complete(small / "nowhere", SMALL)
    done = []
    synthesize(small, SMALL, on_image=done.append)
    assert done == []


def test_another_generator_version_is_not_complete(small, monkeypatch):
    """After an update that changes bytes, the look-alike is drawn again."""
    monkeypatch.setattr(folder, "GENERATOR_VERSION", folder.GENERATOR_VERSION + 1)
    assert not is_complete(small, SMALL)


def test_a_half_made_folder_is_drawn_again(small, tmp_path):
    """Whatever the interrupted process left; nothing of it survives."""
    root = tmp_path / "half"

    class Killed(BaseException):
        pass

    def kill(_: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        synthesize(root, SMALL, processes=1, on_image=kill)
    assert len(list((root / "Img/img_align_celeba").iterdir())) == 50
    assert not is_complete(root, SMALL)
    (root / "Img/img_align_celeba/999999.jpg").write_bytes(b"half")
    synthesize(root, SMALL, processes=1)
    assert digests(root) == digests(small)


def test_an_earlier_look_alike_is_replaced(tmp_path):
    """A smaller one leaves no image of the larger."""
    root = tmp_path / "data"
    synthesize(root, SyntheticConfig(num_images=30), processes=1)
    synthesize(root, SyntheticConfig(num_images=20), processes=1)
    assert len(list((root / "Img/img_align_celeba").iterdir())) == 20
    assert is_complete(root, SyntheticConfig(num_images=20))


def test_a_folder_of_something_else_is_left_untouched(celeba_tree, tmp_path):
    """Real CelebA, a note, a file in the folder's place, a stamp that is none: all refused."""
    celeba = celeba_tree(tmp_path / "celeba")
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "todo.txt").write_text("do not lose this")
    stamp = tmp_path / "stamp"
    stamp.mkdir()
    (stamp / folder.STAMP).write_text(json.dumps(["something else"]))
    file = tmp_path / "file"
    file.write_text("x")
    for root, found in (
        (celeba, "holds Anno and 2 more"),
        (notes, "holds todo.txt"),
        (stamp, f"holds {folder.STAMP}"),
        (file, "is a file"),
    ):
        before = digests(tmp_path)
        with pytest.raises(DataError, match=found) as error:
            synthesize(root, SMALL)
        assert "empty folder" in error.value.remedy
        assert digests(tmp_path) == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """With the system's reason."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match=r"file/below: .*cannot be written: Not a directory"):
        synthesize(tmp_path / "file/below", SMALL)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_images": 0}, "synthetic.num_images is 0; accepted: 1 to 999999"),
        ({"num_images": 1_000_000}, "num_images is 1000000"),
        ({"partition_fractions": (0.8, 0.2, 0.2)}, "add up to 1"),
        ({"partition_fractions": (0.8, 0.2)}, "three positive shares"),
        ({"partition_fractions": (0.9, 0.1, 0.0)}, "three positive shares"),
    ],
)
def test_a_bad_setting_is_named(fields, message):
    """With the value and what is accepted."""
    with pytest.raises(ConfigError, match=message):
        SyntheticConfig(**fields)
