"""The audit of duplicates and labels, against brute force and a tree with planted faults."""

import io
import shutil
from collections import Counter

import numpy as np
import pytest
import yaml
from PIL import Image
from rich.console import Console

from data import contract
from data.celeba.audit import NEAR_BITS, audit, contradictions, leave_out_yaml, near_pairs, render
from data.celeba.index import load_index


def test_near_pairs_are_those_of_brute_force():
    """Banding misses no pair within NEAR_BITS bits, and reports none within one split."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**64, 60, dtype=np.uint64)
    flips = [0, 1, 2, 3, 4, 5]
    hashes = []
    for n, value in enumerate(base):
        bits = rng.choice(64, flips[n % 6], replace=False)
        other = int(value)
        for bit in bits:
            other ^= 1 << int(bit)
        hashes += [int(value), other]
    values = np.array(hashes, np.uint64)
    partition = rng.integers(0, 3, len(values)).astype(np.int8)
    expected = {
        (a, b) if partition[a] < partition[b] else (b, a)
        for a in range(len(values))
        for b in range(a)
        if partition[a] != partition[b] and (hashes[a] ^ hashes[b]).bit_count() <= NEAR_BITS
    }
    assert expected and set(near_pairs(values, partition)) == expected
    assert near_pairs(values, None) == []


def test_contradictions_are_those_of_a_plain_count(celeba_tree, tmp_path):
    """Identities with both values, their images, and the rarer value as the doubtful one."""
    root = celeba_tree(tmp_path)
    path = root / "Anno/list_attr_celeba.txt"
    lines = path.read_text().split("\n")
    fields = lines[2].split()
    male = contract.ATTRIBUTES.index("Male") + 1
    fields[male] = "-1" if fields[male] == "1" else "1"
    lines[2] = " ".join(fields)
    path.write_text("\n".join(lines))
    _, index = load_index(str(root))
    labels: dict[int, Counter[int]] = {}
    for person, label in zip(index.identity, index.attribute("Male"), strict=True):
        labels.setdefault(int(person), Counter())[int(label)] += 1
    expected = {p for p, c in labels.items() if len(c) == 2}
    found = contradictions(index)
    assert {c.identity for c in found} == expected == {1}
    assert found[0].minority == ("000001.jpg",)
    assert len(found[0].negative) + len(found[0].positive) == 3


@pytest.mark.parametrize("images_in", ["folder", "zip"])
def test_planted_duplicates_are_found_and_left_out(celeba_tree, tmp_path, images_in):
    """The same bytes and a re-encoded copy across splits; the official test images stay."""
    rng = np.random.default_rng(0)
    root = celeba_tree(tmp_path, images_in="folder", distinct_images=1)
    folder = root / "Img/img_align_celeba"
    _, index = load_index(str(root))
    ids = [i.decode() for i in index.ids.tolist()]
    for image_id in ids:
        noise = rng.integers(0, 255, (9, 9, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((178, 218), Image.Resampling.BICUBIC)
        picture.save(folder / image_id, quality=95)
    in_split = {
        s: [i for i, p in zip(ids, index.partition, strict=True) if p == s] for s in range(3)
    }
    (folder / in_split[0][0]).write_bytes((folder / in_split[2][0]).read_bytes())
    buffer = io.BytesIO()
    with Image.open(folder / in_split[2][1]) as opened:
        opened.save(buffer, "JPEG", quality=80)
    (folder / in_split[1][0]).write_bytes(buffer.getvalue())
    if images_in == "zip":
        shutil.make_archive(str(folder), "zip", folder.parent, folder.name)
        shutil.rmtree(folder)
    done = []
    found = audit(str(root), on_images=done.append)
    assert sum(done) == len(ids)
    assert found.exact == (tuple(sorted((in_split[0][0], in_split[2][0]))),)
    assert found.exact_across_splits == found.exact
    assert found.near == ((in_split[1][0], in_split[2][1]),)
    assert not found.contradictions and not found.unreadable
    left_out = found.leave_out()
    assert left_out == tuple(sorted((in_split[0][0], in_split[1][0])))
    assert yaml.safe_load(leave_out_yaml(left_out)) == {"sampling": {"leave_out": list(left_out)}}
    console = Console(file=io.StringIO(), width=120)
    render(found, console)
    assert f"{in_split[0][0]} (train)" in console.file.getvalue()


def test_missing_and_damaged_images_are_told_apart(celeba_tree, tmp_path):
    """A count and five examples of each."""
    root = celeba_tree(tmp_path)
    folder = root / "Img/img_align_celeba"
    for number in range(1, 21):
        (folder / f"{number:06d}.jpg").unlink()
    (folder / "000021.jpg").write_bytes(b"")
    found = audit(str(root))
    assert len(found.missing) == 20 and found.unreadable == ("000021.jpg",)
    console = Console(file=io.StringIO(), width=200)
    render(found, console)
    shown = console.file.getvalue()
    assert "000005.jpg and 15 more" in shown and "000006.jpg" not in shown
    assert "Unreadable images: 1\n  000021.jpg" in shown
