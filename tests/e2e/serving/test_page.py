"""The page in a real browser: Debian's Chromium, the real server, the built page.

`make web` builds the page; the fixture does it when it has not been done. tests/conftest.py says
which browser. Screenshots go to GENQ_SCREENSHOTS if that is set.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import Browser, Error, Page, Request, Route, expect
from served import ROOT, Server, astronaut, encoded, hopper, serving, write_release

WEB = ROOT / "serving" / "web"
# A busy machine is slow, not wrong.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def built_page(lacking: Callable[[str], NoReturn]) -> Path:
    if not (WEB / "out" / "index.html").is_file():
        if shutil.which("npm") is None:
            lacking("npm is not there: install Node.js 20 or newer.")
        subprocess.run(["make", "web"], cwd=ROOT, check=True, timeout=600)
    return WEB / "out"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, built_page: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("site")
    write_release(folder / "gender", 1000, int8=True, centre=146.0, slope=0.2)
    with serving(folder, folder, web_dir=str(built_page), max_bytes=2**21) as server:
        yield server


@pytest.fixture
def page(browser: Browser, site: Server) -> Iterator[Page]:
    """A fresh visit; fails on script errors, policy violations and requests to other origins."""
    yield from visit(browser, site)


def visit(browser: Browser, site: Server, **options: object) -> Iterator[Page]:
    context = browser.new_context(base_url=site.url, locale="en-GB", **options)
    context.set_default_timeout(20_000)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))

    def violation(message: object) -> None:
        text = message.text  # type: ignore[attr-defined]
        if "Content Security Policy" in text:
            problems.append(text)

    def elsewhere(request: Request) -> None:
        if not request.url.startswith((site.url, "blob:", "data:")):
            problems.append(f"left the origin: {request.url}")

    page.on("console", violation)
    page.on("request", elsewhere)
    page.goto("/")
    expect(page.get_by_text("up to 2 MiB each")).to_be_visible(timeout=20_000)  # it is alive
    yield page
    context.close()
    assert problems == []


def upload(page: Page, *photos: tuple[str, bytes]) -> None:
    kinds = {".heic": "image/heic", ".png": "image/png", ".jpg": "image/jpeg"}
    files = [
        {"name": n, "mimeType": kinds.get(Path(n).suffix, "image/jpeg"), "buffer": data}
        for n, data in photos
    ]
    chosen = page.get_by_label("Choose photos").or_(page.get_by_label("Add photos"))
    chosen.last.set_input_files(files)


def shot(page: Page, name: str) -> None:
    folder = os.environ.get("GENQ_SCREENSHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def axe(page: Page) -> list[str]:
    """What axe-core finds, by rule."""
    page.add_script_tag(path=WEB / "node_modules" / "axe-core" / "axe.min.js")
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{v['id']}: {[n['target'] for n in v['nodes']]} {v['nodes'][0]['failureSummary']}"
        for v in found["violations"]
    ]


def two_people() -> bytes:
    photo = Image.new("RGB", (1040, 600), (40, 60, 70))
    photo.paste(astronaut(), (0, 40))
    photo.paste(hopper().resize((512, 600)), (528, 0))
    return encoded(photo, quality=90)


def test_several_faces_get_boxes_cards_and_files(page: Page) -> None:
    """Two people: two cards in order, two boxes in place, JSON and CSV to take away."""
    upload(page, ("two.jpg", two_people()))
    cards = page.get_by_role("article").get_by_role("listitem")
    expect(cards).to_have_count(2)
    expect(page.get_by_text("2 faces found", exact=True)).to_be_visible()
    boxes = page.locator("article svg rect[stroke='#fff']")
    assert 170 < float(boxes.first.get_attribute("x") or 0) < 195
    picture, overlay = (page.locator(f"article {e}").first for e in ("img", "svg.absolute"))
    # Chromium lays both out in fractions of a pixel that it rounds apart.
    assert overlay.bounding_box() == pytest.approx(picture.bounding_box(), abs=0.5)
    # What points at a face's card shows its box, and the other way round.
    cards.nth(1).hover()
    expect(page.locator("article svg.absolute g").first).to_have_attribute("opacity", "0.45")
    shot(page, "desktop")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as JSON").click()
    [photo] = json.loads(Path(download.value.path()).read_text())
    assert photo["photo"] == "two.jpg" and len(photo["faces"]) == 2
    assert photo["release"]["version"] == 1000 and "crop_jpeg" not in photo["faces"][0]
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 3


def test_the_result_takes_the_drop_zones_place(page: Page) -> None:
    """What was found is on the screen without scrolling, and the photo stays beside its faces."""
    upload(page, ("two.jpg", two_people()))
    cards = page.get_by_role("article").get_by_role("listitem")
    expect(cards).to_have_count(2)
    expect(page.get_by_text("Drop photos here")).to_have_count(0)
    assert page.evaluate("document.activeElement.textContent") == "two.jpg"
    photo = page.locator("article img").first
    for element in (photo, cards.first):
        box = element.bounding_box()
        assert box is not None and box["y"] < 300
    page.set_viewport_size({"width": 390, "height": 500})
    cards.last.scroll_into_view_if_needed()
    page.mouse.wheel(0, 200)
    expect(photo).to_be_in_viewport(ratio=0.8)


def test_label_probability_and_band_share_one_scale(page: Page, site: Server) -> None:
    """The percentage is that of the label; the range of abstention is drawn and read out."""
    upload(page, ("a.jpg", photo := encoded(astronaut())))
    card = page.get_by_role("article").get_by_role("listitem")
    with site.client() as client:
        [face] = client.post("/v1/faces", files={"file": photo}).json()["faces"]
    p_label = max(face["p_positive"], 1 - face["p_positive"])
    said = "Uncertain" if face["uncertain"] else f"Appears {face['label']}"
    expect(card.get_by_role("heading")).to_contain_text(said)
    shown = "> 99 %" if p_label > 0.995 else f"{p_label:.0%}".replace("%", " %")
    expect(card.get_by_role("heading")).to_contain_text(shown)
    scale = card.get_by_role("img", name="Between 40 % and 60 % the model abstains.")
    expect(scale.locator("rect")).to_be_visible()


def test_a_model_of_drawn_faces_is_told_before_its_answers(page: Page) -> None:
    """The warning stands above the first answer, and before anything is chosen."""

    def drawn(route: Route) -> None:
        body = route.fetch().json()
        body["release"]["synthetic"] = True
        route.fulfill(json=body)

    page.route("**/v1/model", drawn)
    page.reload()
    warning = page.get_by_role("note")
    expect(warning).to_contain_text("trained on drawn faces only")
    upload(page, ("a.jpg", encoded(astronaut())))
    card = page.get_by_role("article").get_by_role("listitem")
    expect(card).to_be_visible()
    above, below = warning.bounding_box(), card.bounding_box()
    assert above is not None and below is not None and above["y"] < below["y"]


def test_a_phone_photo_with_exif_lies_right(page: Page) -> None:
    """Stored on its side with an EXIF turn: the box lies on the face as the browser shows it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = astronaut().crop((0, 0, 512, 400)).transpose(Image.Transpose.ROTATE_90)
    upload(page, ("phone.jpg", encoded(lying, exif=exif)))
    expect(page.get_by_text("1 face found", exact=True)).to_be_visible()
    overlay = page.locator("article svg.absolute")
    assert overlay.get_attribute("viewBox") == "0 0 512 400"
    size = page.locator("article img").first.bounding_box()
    assert size is not None and size["width"] > size["height"]
    box = page.locator("article svg rect").first
    assert float(box.get_attribute("x") or 0) == pytest.approx(181, abs=8)


def test_a_photo_the_browser_cannot_show_comes_back_as_a_preview(page: Page) -> None:
    """HEIC: Chromium cannot decode it; the server's JPEG is shown."""
    buffer = io.BytesIO()
    pillow_heif.from_pillow(astronaut()).save(buffer)
    upload(page, ("iphone.heic", buffer.getvalue()))
    expect(page.get_by_text("1 face found", exact=True)).to_be_visible()
    source = page.locator("article img").first.get_attribute("src") or ""
    assert source.startswith("data:image/jpeg;base64,")


def test_no_face_helps(page: Page) -> None:
    """An empty wall: the page says what makes faces easier to find."""
    upload(page, ("wall.jpg", encoded(Image.new("RGB", (400, 300), "tan"))))
    expect(page.get_by_text("No face found")).to_be_visible()
    expect(page.get_by_text("20 pixels wide")).to_be_visible()
    shot(page, "no-face")


def test_what_is_too_large_or_broken_is_told(page: Page) -> None:
    """Too large is refused before it is sent; a broken file gets the server's words."""
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    upload(page, ("big.png", encoded(Image.fromarray(noise), "PNG")))
    expect(page.get_by_text("big.png has 2.9 MiB; 2 MiB is the limit")).to_be_visible()
    upload(page, ("broken.jpg", encoded(astronaut())[:8000]))
    expect(page.get_by_text("damaged or cut off")).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_many_photos_are_a_grid_with_details_on_demand(page: Page) -> None:
    """A tile each, counted as they are done; one opens at large, Escape goes back to its tile."""
    photos = [(f"{n}.jpg", encoded(astronaut().resize((300 + n, 300)))) for n in range(5)]
    upload(page, *photos)
    expect(page.get_by_text("5 of 5 photos done")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(5)
    expect(page.get_by_role("article").get_by_role("listitem")).to_have_count(0)
    shot(page, "grid")
    page.get_by_role("article", name="1.jpg").get_by_role("button").first.click()
    expect(page.get_by_text("2 of 5")).to_be_visible()
    expect(page.get_by_role("article").get_by_role("listitem")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="2.jpg")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("article", name="2.jpg").get_by_role("button").first).to_be_focused()
    page.get_by_role("button", name="Remove 1.jpg").click()
    expect(page.get_by_role("article")).to_have_count(4)
    page.get_by_role("button", name="Remove all").click()
    expect(page.get_by_role("article")).to_have_count(0)
    expect(page.get_by_text("Drop photos here")).to_be_visible()


def test_the_language_can_be_switched_and_stays(page: Page) -> None:
    """Indonesian texts, `lang` for screen readers, server errors too; kept on the next visit."""
    page.get_by_label("Language").select_option("id")
    expect(page.get_by_role("heading", level=1)).to_have_text("Bagaimana sebuah wajah tampak?")
    assert page.locator("html").get_attribute("lang") == "id"
    page.get_by_label("Pilih foto").last.set_input_files(
        [{"name": "x.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8\xff\xe0broken"}]
    )
    expect(page.get_by_text("rusak atau terpotong")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Bagaimana sebuah wajah tampak?")


def test_everything_works_by_keyboard(page: Page) -> None:
    """Tab reaches every control in order and shows where it is; Enter opens the chooser."""
    # Interception is switched on without waiting; done early, it is on when Enter is pressed.
    page.on("filechooser", lambda chooser: None)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    seen = []
    for _ in range(9):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("(document.activeElement.textContent || '').trim()"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        kind = page.evaluate("document.activeElement.type")
        assert outline != "none" or kind == "radio", seen
        if seen[-1] == "Choose photos":
            break
    assert seen[-1] == "Choose photos", seen
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(
        [{"name": "a.jpg", "mimeType": "image/jpeg", "buffer": encoded(astronaut())}]
    )
    expect(page.get_by_text("1 face found", exact=True)).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="1 face found in a.jpg")).to_be_attached()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(browser: Browser, site: Server, scheme: str, width: int) -> None:
    """Both pages, light and dark, phone and desktop; nothing is wider than the screen."""
    size = {"width": width, "height": 800}
    # axe is injected into the page, which the page's own policy forbids, rightly.
    options = {"viewport": size, "color_scheme": scheme, "bypass_csp": True}
    for page in visit(browser, site, **options):
        upload(page, ("two.jpg", two_people()))
        expect(page.get_by_role("article").get_by_role("listitem")).to_have_count(2)
        page.wait_for_timeout(500)  # the cards' fade is over: contrast is that of the end
        shot(page, f"try-{scheme}-{width}")
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_role("link", name="Model", exact=True).click()
        expect(page.get_by_role("heading", name="By group")).to_be_visible()
        shot(page, f"model-{scheme}-{width}")
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_model_page_shows_for_whom_it_is_wrong(page: Page) -> None:
    """Groups, worst first, as errors of 100 with their interval; card and report open."""
    page.get_by_role("link", name="Model", exact=True).click()
    rows = page.get_by_role("row")
    expect(rows.nth(1)).to_contain_text("not Young, female")
    expect(rows.nth(1)).to_contain_text("15.0")
    expect(rows.nth(1)).to_contain_text("11.0 \N{EN DASH} 20.0")
    expect(rows.nth(2)).to_contain_text("Sharpness: low")
    card = page.frame_locator("iframe")
    expect(card.get_by_role("heading", name="Model card")).to_be_visible()
    page.get_by_role("link", name="Open the evaluation report").click()
    expect(page.get_by_role("heading", name="Report")).to_be_visible()


def test_the_camera_is_answered_frame_by_frame(page: Page) -> None:
    """Chromium's fake camera: frames are analysed one at a time until it is stopped."""
    flying = 0
    most = 0

    def began(request: Request) -> None:
        nonlocal flying, most
        if request.url.endswith("crops=true"):
            flying += 1
            most = max(most, flying)

    def ended(request: Request) -> None:
        nonlocal flying
        if request.url.endswith("crops=true"):
            flying -= 1

    page.on("request", began)
    page.on("requestfinished", ended)
    page.get_by_text("Camera", exact=True).click()
    page.get_by_role("button", name="Start the camera").click()
    expect(page.get_by_text("3 frames analysed")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()
    assert most == 1


def webm(page: Page, portrait: Image.Image | None, frames: int = 40) -> bytes:
    """A WebM made in the browser, 20 frames a second; without a portrait an empty wall."""
    source = encoded(portrait or Image.new("RGB", (512, 512), "tan"))
    video: str = page.evaluate(
        """async ([data, frames]) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const picture = await createImageBitmap(new Blob([bytes], {type: 'image/jpeg'}));
          const canvas = document.createElement('canvas');
          canvas.width = canvas.height = 512;
          const recorder = new MediaRecorder(canvas.captureStream(20), {mimeType: 'video/webm'});
          const parts = [];
          recorder.ondataavailable = (e) => parts.push(e.data);
          const stopped = new Promise((r) => (recorder.onstop = r));
          recorder.start();
          for (let i = 0; i < frames; i++) {
            canvas.getContext('2d').drawImage(picture, i % 2, 0);
            await new Promise((r) => setTimeout(r, 50));
          }
          recorder.stop();
          await stopped;
          const out = new Uint8Array(await new Blob(parts).arrayBuffer());
          return btoa(Array.from(out, (b) => String.fromCharCode(b)).join(''));
        }""",
        [base64.b64encode(source).decode(), frames],
    )
    return base64.b64decode(video)


def choose_video(page: Page, name: str, data: bytes) -> None:
    page.get_by_label("Choose a video file").last.set_input_files(
        [{"name": name, "mimeType": "video/webm", "buffer": data}]
    )


def test_a_video_file_is_analysed(page: Page) -> None:
    """Faces are found while it plays; after Stop no box stays over a frame that is not its own."""
    video = webm(page, astronaut())
    page.get_by_text("Video file", exact=True).click()
    choose_video(page, "v.webm", video)
    expect(page.get_by_role("heading", name="Face 1")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("section svg.absolute")).to_have_count(0)


def test_a_second_video_ends_the_first_ones_loop(page: Page) -> None:
    """Opened while a frame of the first is in flight: only the second's frames are sent, singly."""
    first, second = webm(page, astronaut()), webm(page, None)
    held: list[Route] = []

    def hold(route: Route) -> None:
        if not held:
            held.append(route)  # the first video's frame in flight
        else:
            route.continue_()

    page.route("**/v1/faces*", hold)
    page.get_by_text("Video file", exact=True).click()
    choose_video(page, "first.webm", first)
    for _ in range(200):
        page.wait_for_timeout(100)
        if held:
            break
    flying: set[Request] = set()
    most = 0

    def began(request: Request) -> None:
        nonlocal most
        if "/v1/faces" in request.url:
            flying.add(request)
            most = max(most, len(flying))

    page.on("request", began)
    page.on("requestfinished", lambda request: flying.discard(request))
    page.on("requestfailed", lambda request: flying.discard(request))
    choose_video(page, "second.webm", second)
    face = {"status": 503, "headers": {"Retry-After": "1"}, "body": "{}"}
    with contextlib.suppress(Error):  # the page has given that request up, as it should
        held[0].fulfill(**face)
    expect(page.get_by_text("3 frames analysed")).to_be_visible()
    expect(page.get_by_role("heading", name="Face 1")).to_have_count(0)
    assert most == 1


def test_on_this_device_sends_nothing_and_agrees_with_the_server(page: Page, site: Server) -> None:
    """Opt in, then no photo leaves the browser; boxes and p_positive are the server's, nearly."""
    page.get_by_label("Analyse on this device").check()
    expect(page.get_by_text("On this device: nothing is sent.")).to_be_visible()
    posts: list[str] = []
    page.on("request", lambda r: posts.append(r.url) if r.method == "POST" else None)
    photo = encoded(astronaut(), "PNG")
    upload(page, ("a.png", photo))
    expect(page.get_by_text("1 face found", exact=True)).to_be_visible()
    assert posts == []
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as JSON").click()
    [mine] = json.loads(Path(download.value.path()).read_text())[0]["faces"]
    with site.client() as client:
        [theirs] = client.post("/v1/faces", files={"file": photo}).json()["faces"]
    for side in ("x1", "y1", "x2", "y2"):
        assert mine["box"][side] == pytest.approx(theirs["box"][side], abs=6)
    assert mine["p_positive"] == pytest.approx(theirs["p_positive"], abs=0.1)


def test_the_server_may_go_away_and_come_back(
    browser: Browser, built_page: Path, tmp_path: Path
) -> None:
    """While it is away the page says so and waits; when it is back, the photo is answered."""
    write_release(tmp_path / "gender", 1000)
    with serving(tmp_path, tmp_path, web_dir=str(built_page)) as first:
        port = int(first.url.rsplit(":", 1)[1])
        context = browser.new_context(base_url=first.url, locale="en-GB")
        page = context.new_page()
        page.goto("/")
        expect(page.get_by_text("up to 20 MiB each")).to_be_visible()
        first.stop()
        upload(page, ("a.jpg", encoded(astronaut())))
        expect(page.get_by_text("The server cannot be reached")).to_be_visible()
        with serving(tmp_path, tmp_path, port=port, web_dir=str(built_page)):
            expect(page.get_by_text("1 face found", exact=True)).to_be_visible(timeout=30_000)
            expect(page.get_by_text("The server cannot be reached")).to_have_count(0)
        context.close()
