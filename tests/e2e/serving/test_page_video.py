"""Video and camera on the page, in a real browser."""

from __future__ import annotations

import contextlib

from pages import choose_video, webm
from playwright.sync_api import Error, Page, Request, Route, expect
from served import astronaut


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
