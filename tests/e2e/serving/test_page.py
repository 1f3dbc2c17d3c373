"""The page in a real browser: Debian's Chromium, the real server, the built page.

`make web` builds the page; the fixture does it when it has not been done. tests/conftest.py says
which browser. Screenshots go to GENQ_SCREENSHOTS if that is set.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from accessible import axe
from pages import shot, two_people, upload, visit
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect
from served import Server, astronaut, encoded, serving, write_release


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
    # axe asks for style sheets, which the page's own policy forbids, rightly.
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
