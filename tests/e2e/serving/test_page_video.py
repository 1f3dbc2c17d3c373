"""Video and camera on the page, in a real browser."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from pages import choose_video, shot, webm
from playwright.sync_api import Error, Page, Request, Route, expect
from served import astronaut, hopper


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
    expect(page.locator("section svg.absolute")).to_have_count(0)  # no ghost of the last frame
    assert most == 1


def test_two_people_who_cross_get_one_answer_each(page: Page) -> None:
    """A clip in which two people change sides: two people, when they are seen, as JSON and CSV."""
    video = webm(page, astronaut().crop((60, 0, 360, 300)), hopper().crop((90, 60, 430, 400)))
    page.get_by_text("Video file", exact=True).click()
    choose_video(page, "crossing.webm", video)
    expect(page.get_by_text("crossing.webm:")).to_be_visible(timeout=300_000)
    expect(page.get_by_role("heading", name="2 people")).to_be_visible()
    expect(page.get_by_role("heading", name="Person")).to_have_count(2)
    page.get_by_role("button", name="0:00 to").first.click()
    expect(page.locator("section svg.absolute g")).to_have_count(2)
    shot(page, "video")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as JSON").click()
    result = json.loads(Path(download.value.path()).read_text())
    assert result["finished"] and [p["person"] for p in result["people"]] == [1, 2]
    left, right = (p["sightings"] for p in result["people"])
    assert left[0]["box"]["x1"] < right[0]["box"]["x1"] or left[0]["time_s"] < right[0]["time_s"]
    moved = [p[-1]["box"]["x1"] - p[0]["box"]["x1"] for p in (left, right)]
    assert sorted(abs(m) > 200 for m in moved) == [True, True] and moved[0] * moved[1] < 0
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 3


def test_a_second_video_ends_the_first_ones_loop(page: Page) -> None:
    """Opened while a frame of the first is in flight: only the second's frames are sent, singly."""
    first, second = webm(page, astronaut(), seconds=1), webm(page, seconds=1)
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
    expect(page.get_by_text("second.webm:")).to_be_visible()
    expect(page.get_by_role("heading", name="0 people")).to_be_visible()
    assert most == 1
