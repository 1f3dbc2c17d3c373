"""The page's mode "on this device" against the server, in a real browser.

One photo has one answer: the device runs the same networks by the same numbers on the same pixels.
GENQ_PARITY names a file to which the largest differences are written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import upload
from PIL import Image, ImageEnhance
from playwright.sync_api import Page, expect
from served import Server, astronaut, encoded, hopper, package_file

from data.synthetic.config import SyntheticConfig
from data.synthetic.drawing import draw_face
from data.synthetic.looks import look_of
from data.synthetic.people import photos as photos_of_drawn_people
from serving.api.once import Predictor
from serving.api.releases import Engine


def drawn(count: int) -> list[Image.Image]:
    people = photos_of_drawn_people(SyntheticConfig(num_images=count, seed=3))
    return [draw_face(look_of(person, 3)).image.resize((267, 327)) for person in people]


def skimage(name: str) -> Image.Image:
    return Image.open(package_file("skimage", "data", name)).convert("RGB")


def beside(*pictures: Image.Image) -> Image.Image:
    """A group photo: pictures side by side, each a little lower than the one before."""
    photo = Image.new("RGB", (sum(p.width for p in pictures), 40 + max(p.height for p in pictures)))
    x = 0
    for n, picture in enumerate(pictures):
        photo.paste(picture, (x, 13 * n))
        x += picture.width
    return photo


def photos() -> Iterator[tuple[str, bytes]]:
    """Seventy: sizes, turns, light, formats, damage, groups, edges, drawn faces, none at all."""
    portraits = {
        "astronaut": astronaut().crop((60, 0, 400, 340)),
        "hopper": hopper().resize((380, 446)),
    }
    for name, portrait in portraits.items():
        for scale in (0.25, 0.4, 0.7, 1.3, 1.9):
            size = round(portrait.width * scale), round(portrait.height * scale)
            yield f"{name}-{scale}.png", encoded(portrait.resize(size), "PNG")
        for degrees in (-35, -18, 12, 28, 90, 180, 270):
            turned = portrait.rotate(degrees, expand=True, fillcolor=(90, 110, 120))
            yield f"{name}-turned-{degrees}.jpg", encoded(turned, quality=92)
        for light in (0.45, 0.75, 1.5):
            bright = ImageEnhance.Brightness(portrait).enhance(light)
            yield f"{name}-light-{light}.jpg", encoded(bright, quality=80)
        for orientation in (3, 6, 8):
            exif = Image.Exif()
            exif[0x0112] = orientation
            back = {3: 180, 6: 90, 8: 270}[orientation]
            yield (
                f"{name}-exif-{orientation}.jpg",
                encoded(portrait.rotate(back, expand=True), exif=exif),
            )
        yield f"{name}-grey.jpg", encoded(portrait.convert("L"), quality=90)
        yield f"{name}.webp", encoded(portrait, "WEBP", quality=85)
        yield f"{name}.bmp", encoded(portrait, "BMP")
        alpha = portrait.convert("RGBA")
        alpha.putalpha(
            Image.linear_gradient("L").resize(portrait.size).point(lambda v: 80 + v // 2)
        )
        yield f"{name}-alpha.png", encoded(alpha, "PNG")
        yield f"{name}-no-end.jpg", encoded(portrait, quality=92)[:-2]
        progressive = encoded(portrait, quality=92, progressive=True)
        yield f"{name}-progressive-cut-off.jpg", progressive[: len(progressive) * 9 // 10]
        png = encoded(portrait, "PNG")
        yield f"{name}-cut-off.png", png[: len(png) * 19 // 20]
        exif = Image.Exif()
        exif[0x0112] = 6
        lying = portrait.transpose(Image.Transpose.ROTATE_90)
        yield f"{name}-lying.webp", encoded(lying, "WEBP", quality=85, exif=exif)
        yield f"{name}-cmyk.jpg", encoded(portrait.convert("CMYK"), quality=92)
        deep = np.asarray(portrait.convert("L")).astype(np.uint16) * 257
        yield f"{name}-16-bit.png", encoded(Image.fromarray(deep), "PNG")
        half = portrait.crop((0, 0, portrait.width // 2 + 30, portrait.height))
        yield f"{name}-edge.png", encoded(half, "PNG")
    a, h = portraits.values()
    yield "two.jpg", encoded(beside(a, h), quality=90)
    yield "four.jpg", encoded(beside(h, a.resize((200, 200)), h.resize((160, 190)), a))
    yield "large.jpg", encoded(beside(a, h).resize((2600, 1700)), quality=85)
    yield "large.png", encoded(beside(h, a).resize((1700, 1200)), "PNG")
    for n, face in enumerate(drawn(6)):
        yield f"drawn-{n}.png", encoded(face, "PNG")
    for name in ("coffee", "chelsea", "brick", "motorcycle_left"):
        yield f"{name}.jpg", encoded(skimage(f"{name}.png").resize((420, 300)), quality=90)


def close(mine: dict[str, Any], theirs: dict[str, Any]) -> tuple[float, float]:
    """How far two answers about one face are apart: pixels of the boxes, and p_positive."""
    sides = ("x1", "y1", "x2", "y2")
    px = max(abs(mine["box"][side] - theirs["box"][side]) for side in sides)
    return px, abs(mine["p_positive"] - theirs["p_positive"])


@pytest.mark.parametrize(
    ("every", "least_photos", "least_faces"),
    [(5, 15, 14), pytest.param(1, 70, 51, marks=pytest.mark.slow)],
)
def test_on_this_device_sends_nothing_and_agrees_with_the_server(
    page: Page, site: Server, every: int, least_photos: int, least_faces: int
) -> None:
    """Seventy photos, or every fifth of them, none of which leaves the browser: the server's faces
    in its order, labels, boxes and p; and those of `genq predict`, to the last digit."""
    given = list(photos())[::every]
    assert len(given) >= least_photos
    page.get_by_label("Analyse on this device").check()
    expect(page.get_by_text("On this device: nothing is sent.")).to_be_visible()
    posts: list[str] = []
    page.on("request", lambda r: posts.append(r.url) if r.method == "POST" else None)
    upload(page, *given)
    done = page.get_by_text(f"{len(given)} of {len(given)} photos done")
    expect(done).to_be_visible(timeout=900_000)
    assert posts == []
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as JSON").click()
    answers = {a["photo"]: a for a in json.loads(Path(download.value.path()).read_text())}
    largest: dict[str, float] = {"px": 0, "p": 0}
    apart, faces = [], 0
    predictor = Predictor(Engine(site.model_dir / "gender" / "1000", "auto"))
    with site.client() as client:
        for name, data in given:
            theirs = client.post("/v1/faces", files={"file": data}).json()
            mine, typed = answers[name], predictor.photo(data).answers
            told = [{k: v for k, v in f.items() if k != "crop_jpeg"} for f in theirs["faces"]]
            assert json.loads(json.dumps(typed["faces"])) == told, name
            pairs = list(zip(mine["faces"], theirs["faces"], strict=False))
            faces += len(pairs)
            same = len(mine["faces"]) == len(theirs["faces"])
            same &= all(m["label"] == t["label"] for m, t in pairs)
            same &= mine["image"]["rotated_deg"] == theirs["image"]["rotated_deg"]
            same &= mine["image"]["cut_off"] == theirs["image"]["cut_off"]
            px, p = (
                max((d[k] for d in (close(m, t) for m, t in pairs)), default=0) for k in (0, 1)
            )
            largest = {"px": max(px, largest["px"]), "p": max(p, largest["p"])}
            if not same or px > 2 or p > 0.02:
                apart.append((name, len(mine["faces"]), len(theirs["faces"]), px, p))
    if report := os.environ.get("GENQ_PARITY"):
        found = {"photos": len(given), "faces": faces, "largest": largest, "apart": apart}
        Path(report).write_text(json.dumps(found, indent=1))
    assert apart == []
    assert faces >= least_faces
