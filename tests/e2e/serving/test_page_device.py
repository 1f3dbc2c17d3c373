"""The page's mode "on this device" against the server, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pages import upload
from playwright.sync_api import Page, expect
from served import Server, astronaut, encoded


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
