"""How many faces the detector finds, by size and by rotation, beside OpenCV's Haar cascade.

Real portraits that ship inside packages (scikit-image's astronaut, matplotlib's grace_hopper) are
set into scenes made of real photos without faces, at a known size, place and roll. Recall: a box
whose centre lies in the face and whose size is within a factor of two. False positives: all others.
Of photos without a face, searched as the application searches them (turned, too): how many get an
answer, and in how many a place is "not sure that this is a face". They are the scenes, at three
sizes, and those of a folder that is given.

    .venv/bin/python benchmarks/detection.py [--quick] [--faceless DIR] [--faces DIR]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from reporting import claim, table
from rich.console import Console

from data.faces.detector import FaceDetector
from data.faces.photos import decode

SIZES_PX = (20, 24, 32, 48, 64, 96, 160)
ROLLS_DEG = (0, 15, -15, 30, -30, 45, -45)
SCENES = ("chelsea.png", "coffee.png", "rocket.jpg", "brick.png", "grass.png", "gravel.png")
"""Photos without human faces that ship inside scikit-image."""
SCENE_PX = (1200, 800)
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Portrait:
    """A photo, and where its face is: centre and width of the face, pixels."""

    image: Image.Image
    centre: tuple[float, float]
    face_px: float


@dataclass(frozen=True)
class Planted:
    """A face in a scene."""

    centre: tuple[float, float]
    size_px: int
    roll_deg: int


def package_file(package: str, *path: str) -> Path:
    """Returns a file inside an installed package."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], *path)


def portraits() -> list[Portrait]:
    """Measured by eye: the face from hairline to chin, ear to ear."""
    astronaut = Image.open(package_file("skimage", "data", "astronaut.png")).convert("RGB")
    file = package_file("matplotlib", "mpl-data", "sample_data", "grace_hopper.jpg")
    hopper = Image.open(file).convert("RGB")
    both = [Portrait(astronaut, (224, 117), 90), Portrait(hopper, (266, 225), 175)]
    mirrored = [
        Portrait(p.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
                 (p.image.width - 1 - p.centre[0], p.centre[1]), p.face_px)
        for p in both
    ]  # fmt: skip
    return both + mirrored


def cut_out(portrait: Portrait, size_px: int, roll_deg: int) -> Image.Image:
    """A soft-edged disc of the portrait, the face `size_px` wide, turned; RGBA."""
    scale = size_px / portrait.face_px
    radius = 1.1 * portrait.face_px
    (x, y), side = portrait.centre, math.ceil(2 * radius * scale)
    box = (round(x - radius), round(y - radius), round(x + radius), round(y + radius))
    patch = portrait.image.crop(box).rotate(roll_deg, Image.Resampling.BICUBIC)
    patch = patch.resize((side, side), Image.Resampling.LANCZOS)
    mask = Image.new("L", (side * 4, side * 4))
    ImageDraw.Draw(mask).ellipse([side * 0.12] * 2 + [side * 3.88] * 2, fill=255)
    mask = mask.resize((side, side)).filter(ImageFilter.GaussianBlur(side / 60))
    patch.putalpha(mask)
    return patch


def scene(
    rng: np.random.Generator, planted: list[tuple[int, int]], people: list[Portrait]
) -> tuple[NDArray[np.uint8], list[Planted]]:
    """Sets faces into a scene on a grid, so that none covers another."""
    name = SCENES[rng.integers(len(SCENES))]
    background = Image.open(package_file("skimage", "data", name)).convert("RGB")
    canvas = background.resize(SCENE_PX, Image.Resampling.BICUBIC)
    cells = [(c, r) for c in range(3) for r in range(2)]
    rng.shuffle(cells)
    truth = []
    for (column, row), (size_px, roll_deg) in zip(cells, planted, strict=False):
        face = cut_out(people[rng.integers(len(people))], size_px, roll_deg)
        free = 400 - face.width
        x = column * 400 + int(rng.integers(free))
        y = row * 400 + int(rng.integers(free))
        canvas.paste(face, (x, y), face)
        truth.append(Planted((x + face.width / 2, y + face.height / 2), size_px, roll_deg))
    return np.asarray(canvas), truth


def score(truth: list[Planted], boxes: list[Box]) -> tuple[list[bool], int]:
    """Returns whether each face was found, and the number of boxes that are none."""
    left, found = list(boxes), []
    for face in truth:
        x, y = face.centre

        def fits(box: Box, x: float = x, y: float = y, size_px: int = face.size_px) -> bool:
            centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            near = math.dist(centre, (x, y)) < size_px / 2
            return near and 0.5 < max(box[2] - box[0], box[3] - box[1]) / (1.2 * size_px) < 2

        match = next((box for box in left if fits(box)), None)
        found.append(match is not None)
        if match is not None:
            left.remove(match)
    return found, len(left)


def detectors() -> dict[str, Callable[[NDArray[np.uint8]], list[Box]]]:
    """Name -> photo to boxes; each on one thread."""
    cv2.setNumThreads(1)
    mtcnn = FaceDetector()
    folder = Path(cv2.data.haarcascades)
    haar = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))

    def by_haar(photo: NDArray[np.uint8]) -> list[Box]:
        grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
        found = haar.detectMultiScale(grey, 1.1, 3, minSize=(20, 20))
        return [(float(x), float(y), float(x + w), float(y + h)) for x, y, w, h in found]

    return {
        "ours": lambda photo: [f.box for f in mtcnn.find(photo, retry_rotated=False).faces],
        "haar": by_haar,
    }


def main() -> None:
    """Prints tables, and the claims as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Few faces; for the shape only.")
    parser.add_argument("--faceless", type=Path, help="A folder of photos without any face.")
    parser.add_argument("--faces", type=Path, help="A folder of photos with a face each.")
    given = parser.parse_args()
    repeats = 1 if given.quick else 12
    rng = np.random.default_rng(0)
    wanted = [(s, r) for s in SIZES_PX for r in ROLLS_DEG for _ in range(repeats)]
    rng.shuffle(wanted)
    people, engines = portraits(), detectors()
    hits: dict[str, defaultdict[tuple[str, int], list[bool]]] = {
        name: defaultdict(list) for name in engines
    }
    false = dict.fromkeys(engines, 0)
    seconds = dict.fromkeys(engines, 0.0)
    pixels = 0
    for start in range(0, len(wanted), 6):
        photo, truth = scene(rng, [tuple(w) for w in wanted[start : start + 6]], people)
        pixels += photo.shape[0] * photo.shape[1]
        for name, find in engines.items():
            if not start:
                find(photo)  # warm-up
            started_s = time.perf_counter()
            boxes = find(photo)
            seconds[name] += time.perf_counter() - started_s
            found, wrong = score(truth, boxes)
            false[name] += wrong
            for face, hit in zip(truth, found, strict=True):
                hits[name]["size", face.size_px].append(hit)
                hits[name]["roll", abs(face.roll_deg)].append(hit)
                if face.size_px >= 32 and abs(face.roll_deg) <= 30:
                    hits[name]["goal", 0].append(hit)
                hits[name]["all", 0].append(hit)
    show(hits, false, seconds, pixels)
    faceless = answered(backgrounds(1 if given.quick else 3), "scenes without a face")
    if given.faceless:
        answered(photos(given.faceless), str(given.faceless))
    if given.faces:
        answered(photos(given.faces), str(given.faces))
    recall = {n: float(np.mean(h["goal", 0])) for n, h in hits.items()}
    ms = {n: 1000 * s / (pixels / 1e6) for n, s in seconds.items()}
    figures = (
        ("recall from 32 px up, within 30 degrees", "share", recall, 0.98),
        ("false positives", "boxes", false, None),
        ("scenes without a face that get an answer", "share", faceless, None),
        ("time", "ms/megapixel", ms, None),
    )
    claims = [
        claim(text, unit, value["ours"], value["haar"], "OpenCV Haar cascade", goal, digits=4)
        for text, unit, value, goal in figures
    ]
    print(json.dumps(claims))


def backgrounds(sizes: int) -> Iterator[NDArray[np.uint8]]:
    """The scenes, small, as they are, and large."""
    for name in SCENES:
        image = Image.open(package_file("skimage", "data", name)).convert("RGB")
        for scale in (1.0, 0.5, 2.0)[:sizes]:
            size = round(image.width * scale), round(image.height * scale)
            yield np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def photos(folder: Path) -> Iterator[NDArray[np.uint8]]:
    """The photos of a folder, decoded as the application does."""
    for path in sorted(folder.iterdir()):
        yield decode(path.read_bytes()).pixels


def answered(images: Iterable[NDArray[np.uint8]], name: str) -> dict[str, float]:
    """Prints in how many photos a face is answered, turned, or only doubted; returns the shares."""
    mtcnn, haar = FaceDetector(), detectors()["haar"]
    total = faces = turned = doubtful = by_haar = 0
    for image in images:
        found = mtcnn.find(image)
        total += 1
        faces += bool(found.faces)
        turned += bool(found.faces) and found.rotated_deg > 0
        doubtful += bool(found.doubtful) and not found.faces
        by_haar += bool(haar(image))
    Console().print(
        f"{name}: {total} photos; answered {faces} ({turned} of them turned), "
        f'"not sure that this is a face" {doubtful}; Haar cascade {by_haar}'
    )
    return {"ours": faces / total, "haar": by_haar / total}


def show(
    hits: dict[str, defaultdict[tuple[str, int], list[bool]]],
    false: dict[str, int],
    seconds: dict[str, float],
    pixels: int,
) -> None:
    """Prints recall by size and roll."""
    total = len(hits["ours"]["all", 0])
    rows = [("size", s, f"{s} px wide, any roll") for s in SIZES_PX]
    rows += [("roll", r, f"any size, ±{r}°") for r in sorted({abs(r) for r in ROLLS_DEG})]
    rows += [("goal", 0, "from 32 px, within ±30°"), ("all", 0, "all")]
    shown = []
    for kind, value, text in rows:
        cells = [f"{100 * np.mean(h[kind, value]):.1f} %" for h in hits.values()]
        shown.append((text, str(len(hits["ours"][kind, value])), *cells))
    shown.append(("false positives", "", *(str(v) for v in false.values())))
    speeds = [f"{1000 * s / (pixels / 1e6):.0f}" for s in seconds.values()]
    shown.append(("ms a megapixel", "", *speeds))
    title = f"Recall of {total} planted faces, one thread"
    Console().print(table(title, ("faces", "n", *hits), shown))


if __name__ == "__main__":
    main()
