"""The page's sources: what can be said of them without a browser."""

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image, ImageOps

from data import contract
from data.faces.alignment import align
from data.faces.detector import Face, suppress
from data.faces.order import in_reading_order

WEB = Path(__file__).parents[2] / "serving" / "web"
SOURCES = WEB / "src"
_LIBRARY = ("answers", "alignment", "detector", "files", "tracks")
_IMPORT = re.compile(r'^(?:import|export) [^;]*?from "((?:@|\.)[^"]+)";', re.M | re.S)


def imports() -> dict[str, set[str]]:
    """Module -> modules of the page that it imports, types too; names are paths below src."""
    modules = [p for p in SOURCES.rglob("*.ts*") if p.suffix in (".ts", ".tsx")]
    names = {p.relative_to(SOURCES).with_suffix("").as_posix(): p for p in modules}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        found = set()
        for target in _IMPORT.findall(path.read_text()):
            if target.startswith("@/"):
                found.add(target.removeprefix("@/"))
            else:
                found.add((path.parent / target).resolve().relative_to(SOURCES).as_posix())
        graph[name] = found & set(names)
    return graph


def test_no_modules_of_the_page_import_each_other() -> None:
    """Each module can be read after those that it imports: there is no cycle."""
    graph = imports()
    assert graph["app/page"] == {"components/try"}
    while graph:
        free = {name for name, needs in graph.items() if not needs & set(graph)}
        assert free, f"these import each other: {sorted(graph)}"
        graph = {name: needs for name, needs in graph.items() if name not in free}


@pytest.fixture(scope="module")
def node(
    lacking: Callable[[str], NoReturn], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Any]:
    """Returns what runs JavaScript that has the page's library as `lib(name)`, and its result."""
    compiler = WEB / "node_modules" / "typescript" / "bin" / "tsc"
    if shutil.which("node") is None or not compiler.is_file():
        lacking("the page's packages are not there: make web.")
    folder = tmp_path_factory.mktemp("page")
    (folder / "package.json").write_text('{"type": "commonjs"}')
    sources = [SOURCES / "lib" / f"{n}.ts" for n in _LIBRARY]
    flags = ["--module", "commonjs", "--target", "es2023", "--skipLibCheck", "--noCheck"]
    subprocess.run(
        ["node", str(compiler), *flags, "--outDir", str(folder), *map(str, sources)],
        check=True,
        timeout=600,
    )

    def run(body: str) -> Any:
        script = f"const lib = (name) => require({json.dumps(str(folder))} + '/' + name + '.js');"
        script += "const bytes = (text) => new Uint8Array(Buffer.from(text, 'base64'));"
        script += "const text = (p) => [p.width, p.height, Buffer.from(p.data).toString('base64')];"
        script += f"process.stdout.write(JSON.stringify((() => {{ {body} }})()));"
        path = folder / "script.js"
        path.write_text(script)
        done = subprocess.run(
            ["node", str(path)], check=True, timeout=600, capture_output=True, text=True
        )
        return json.loads(done.stdout)

    return run


def given(pixels: np.ndarray) -> str:
    """A picture as JavaScript."""
    height, width = pixels.shape[:2]
    data = base64.b64encode(pixels.tobytes()).decode()
    return f"{{data: bytes('{data}'), width: {width}, height: {height}}}"


def got(answer: tuple[int, int, str]) -> np.ndarray:
    """The picture that JavaScript answered with."""
    width, height, data = answer
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 3)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def test_faces_are_numbered_as_they_are_read(node: Callable[[str], Any]) -> None:
    """Rows from top to bottom, each from left to right, though heads differ in size and height."""
    places = {"a": (10, 30, 40), "b": (100, 10, 80), "c": (200, 25, 40), "d": (5, 120, 50)}
    places |= {"e": (90, 135, 90), "f": (210, 128, 30)}
    faces = [
        {"name": n, "box": (x, y, x + side, y + side)}
        for n, (x, y, side) in sorted(places.items(), key=lambda item: item[1])
    ]
    ordered = f"return lib('answers').inReadingOrder({json.dumps(faces)})"
    assert node(f"{ordered}.map((f) => f.name).join('')") == "abcdef"


def test_the_page_and_the_server_number_faces_alike(node: Callable[[str], Any]) -> None:
    """Crowds of any size, and two faces in one place: one order, whoever found them."""
    rng = np.random.default_rng(0)
    crowds = []
    for count in (0, 1, 2, 7, 40):
        corner, side = rng.uniform(0, 900, (count, 2)), rng.uniform(20, 200, (count, 1))
        crowds.append(np.hstack([corner, corner + side]).round(2).tolist())
    crowds.append([crowds[2][0], *crowds[2]])
    theirs = node(
        f"return {json.dumps(crowds)}.map((boxes) => "
        "lib('answers').inReadingOrder(boxes.map((box) => ({box}))).map((face) => face.box))"
    )
    none = np.zeros((5, 2), np.float32)
    ours = [
        [list(f.box) for f in in_reading_order([Face(tuple(b), none, 1.0) for b in boxes])]
        for boxes in crowds
    ]
    assert theirs == ours


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_the_page_reads_the_orientation_of_a_webp(
    node: Callable[[str], Any], orientation: int | None
) -> None:
    """Browsers leave it out; the matrix puts each corner where Pillow has it."""
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    picture = Image.new("RGB", (30, 20))
    picture.save(buffer, "WEBP", **({"exif": exif} if orientation else {}))
    webp = base64.b64encode(buffer.getvalue()).decode()
    read, matrix = node(
        f"const o = lib('files').orientationOf(bytes('{webp}'));"
        "return [o, lib('files').MATRICES[o](30, 20)];"
    )
    assert read == (orientation or 1)
    picture.putpixel((4, 1), (255, 255, 255))
    picture.getexif()[0x0112] = read
    y, x = np.argwhere(np.asarray(ImageOps.exif_transpose(picture))[..., 0])[0]
    a, b, c, d, e, f = matrix
    assert (a * 4.5 + c * 1.5 + e, b * 4.5 + d * 1.5 + f) == (x + 0.5, y + 0.5)
    assert node(f"return lib('files').orientationOf(bytes('{webp[:60]}'))") == 1


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(61, 83, (37, 29)), (61, 83, (83, 20)), (40, 50, (120, 77)), (200, 300, (12, 12))],
)
def test_the_page_shrinks_as_pillow_does(
    node: Callable[[str], Any], height: int, width: int, size: tuple[int, int]
) -> None:
    """`resize` with BOX, smaller and larger: every byte is Pillow's."""
    photo = noise(height, width)
    expected = Image.fromarray(photo).resize(size, Image.Resampling.BOX)
    call = f"return text(lib('pixels').resizeBox({given(photo)}, {size[0]}, {size[1]}))"
    np.testing.assert_array_equal(got(node(call)), np.asarray(expected))


@pytest.mark.parametrize("factor", [2, 3, 4, 7])
def test_the_page_averages_blocks_as_pillow_does(node: Callable[[str], Any], factor: int) -> None:
    """`reduce`, with parts of blocks at the edges, and `resize` with a reducing gap after it."""
    photo = noise(95, 134)
    small = got(node(f"return text(lib('pixels').reduce({given(photo)}, {factor}))"))
    np.testing.assert_array_equal(small, np.asarray(Image.fromarray(photo).reduce(factor)))
    size = 134 // (2 * factor), 95 // (2 * factor)
    used = f"{{width: {134 / factor}, height: {95 / factor}}}"
    call = f"resizeBox({given(small)}, {size[0]}, {size[1]}, {used})"
    expected = Image.fromarray(photo).resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    np.testing.assert_array_equal(
        got(node(f"return text(lib('pixels').{call})")), np.asarray(expected)
    )


def test_the_page_turns_as_numpy_does(node: Callable[[str], Any]) -> None:
    """Quarter turns, counter-clockwise."""
    photo = noise(5, 8)
    for n in range(4):
        turned = got(node(f"return text(lib('pixels').turned({given(photo)}, {n}))"))
        np.testing.assert_array_equal(turned, np.rot90(photo, n))


@pytest.mark.parametrize("eyes", [(30, 40, 70, 42), (100, 60, 20, 90), (150, 140, 590, 300)])
def test_the_page_aligns_as_the_server_does(
    node: Callable[[str], Any], eyes: tuple[int, int, int, int]
) -> None:
    """Small, upside down at the edge, large and averaged first: the crop is the server's."""
    photo = noise(480, 640)
    left, right = eyes[:2], eyes[2:]
    landmarks = np.array([left, right, (0, 0), (0, 0), (0, 0)], np.float32)
    shape = {
        "width_px": contract.IMAGE_WIDTH_PX,
        "height_px": contract.IMAGE_HEIGHT_PX,
        "left_eye_xy_px": contract.LEFT_EYE_XY_PX,
        "right_eye_xy_px": contract.RIGHT_EYE_XY_PX,
    }
    points = json.dumps(landmarks.tolist())
    call = f"align({given(photo)}, {points}, {json.dumps(shape)}, 2)"
    crop = got(node(f"return text(lib('alignment').{call})"))
    np.testing.assert_array_equal(crop, align(photo, landmarks))


def test_the_page_suppresses_as_the_server_does(node: Callable[[str], Any]) -> None:
    """Greedy, by both measures of overlap, on crowded random boxes."""
    rng = np.random.default_rng(5)
    corners = rng.uniform(0, 60, (200, 2))
    boxes = np.hstack([corners, corners + rng.uniform(10, 40, (200, 2)), rng.random((200, 1))])
    boxes = boxes.astype(np.float32)
    for overlap in ("union", "smaller"):
        call = f"suppress({json.dumps(boxes.tolist())}, 0.5, '{overlap}', 150)"
        kept = np.array(node(f"return lib('detector').{call}"), np.float32)
        np.testing.assert_array_equal(kept, suppress(boxes, 0.5, overlap, 150))


CROSSING = """
const { Tracker, people, boxAt, stretches, unit } = lib('tracks');
const looks = [[9, 1, 2, 5, 1, 0], [1, 8, 0, 1, 6, 4]].map((v) => unit(Float32Array.from(v)));
const p = [0.9, 0.3];
const tracker = new Tracker();
for (let i = 0; i <= 50; i++) {
  const faces = [20 + i * 8, 420 - i * 8].map((x, who) => ({
    face: {
      box: { x1: x, y1: 50 + 4 * who, x2: x + 60, y2: 120 + 4 * who },
      p_positive: p[who] + 0.12 * Math.sin(i), uncertain: false, detector_score: 0.999, size_px: 70,
    },
    look: unit(looks[who].map((v, k) => v + 0.05 * Math.sin(i + k))),
  }));
  const hidden = Math.abs(20 + i * 8 - (420 - i * 8)) < 45;
  const noise = i === 30 ? [{
    face: { ...faces[0].face, box: { x1: 300, y1: 300, x2: 330, y2: 330 } }, look: null,
  }] : [];
  tracker.add(i / 5, [...(hidden ? [faces[1]] : faces), ...noise]);
}
const found = people(tracker.tracks, 0.1);
"""


def test_two_people_who_cross_are_two_people(node: Callable[[str], Any]) -> None:
    """One hides the other for a while: two tracks, each of one person, one answer each."""
    answers = node(f"{CROSSING} return found.map((f) => [f.id, f.pPositive, f.uncertain]);")
    assert [a[0] for a in answers] == [1, 2]
    assert answers[0][1] == pytest.approx(0.9, abs=0.03)
    assert answers[1][1] == pytest.approx(0.3, abs=0.03)
    assert not answers[0][2] and not answers[1][2]
    ends = node(f"{CROSSING} return found.map((f) => f.sightings.at(-1).face.box.x1);")
    assert ends == [420, 20]


def test_what_is_seen_once_is_nobody_and_gaps_show(node: Callable[[str], Any]) -> None:
    """A false face of one frame is left out; the hidden stretch is a gap; no box lies outside."""
    stretches = node(f"{CROSSING} return [found.length, stretches(found[0], 0.2)];")
    assert stretches[0] == 2
    assert len(stretches[1]) == 2
    boxes = node(f"{CROSSING} return [0.1, 5, 10, 11].map((t) => boxAt(found[0], t, 0.2)?.x1);")
    assert boxes == [pytest.approx(24), None, 420, None]
