"""The built page in Debian's Chromium: a visit, an upload, a video."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, Request, expect
from served import Server, astronaut, encoded, hopper

# A busy machine is slow, not wrong.
expect.set_options(timeout=60_000)


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


def two_people() -> bytes:
    photo = Image.new("RGB", (1040, 600), (40, 60, 70))
    photo.paste(astronaut(), (0, 40))
    photo.paste(hopper().resize((512, 600)), (528, 0))
    return encoded(photo, quality=90)


def webm(page: Page, *portraits: Image.Image, seconds: float = 4) -> bytes:
    """A WebM made in the browser, 20 frames a second: up to two people who change sides.

    The second passes before the first. Without portraits it shows an empty wall.
    """
    video: str = page.evaluate(
        """async ([portraits, frames]) => {
          const decode = (data) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            return createImageBitmap(new Blob([bytes], {type: 'image/jpeg'}));
          };
          const pictures = await Promise.all(portraits.map(decode));
          const canvas = document.createElement('canvas');
          [canvas.width, canvas.height] = [960, 420];
          const context = canvas.getContext('2d');
          const recorder = new MediaRecorder(canvas.captureStream(20), {
            mimeType: 'video/webm', videoBitsPerSecond: 4e6,
          });
          const parts = [];
          recorder.ondataavailable = (e) => parts.push(e.data);
          const stopped = new Promise((r) => (recorder.onstop = r));
          recorder.start();
          for (let i = 0; i < frames; i++) {
            context.fillStyle = `rgb(${190 + (i % 2)}, 180, 160)`;
            context.fillRect(0, 0, 960, 420);
            const way = i / (frames - 1);
            pictures.forEach((p, n) => {
              const share = n ? 1 - way : way;
              context.drawImage(p, 20 + share * (920 - p.width), 60 + 8 * n);
            });
            await new Promise((r) => setTimeout(r, 50));
          }
          recorder.stop();
          await stopped;
          const out = new Uint8Array(await new Blob(parts).arrayBuffer());
          let text = '';
          for (const byte of out) text += String.fromCharCode(byte);
          return btoa(text);
        }""",
        [
            [base64.b64encode(encoded(p, quality=92)).decode() for p in portraits],
            round(20 * seconds),
        ],
    )
    return base64.b64decode(video)


def choose_video(page: Page, name: str, data: bytes) -> None:
    page.get_by_label("Choose a video file").last.set_input_files(
        [{"name": name, "mimeType": "video/webm", "buffer": data}]
    )
