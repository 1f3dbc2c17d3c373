"""Takes the README's pictures of the run in runs/demo: the nodes in time, the report, the page.

Needs Chromium and the built page (`make web`).

Run: .venv/bin/python scripts/pictures.py
"""

import io
import socket
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import skimage
from matplotlib import pyplot
from ml_metadata.metadata_store import MetadataStore
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from tfx.orchestration import metadata

ROOT = Path(__file__).parents[1]
WORK = ROOT / "runs" / "demo"
PICTURES = ROOT / "docs" / "pictures"
INK, SOFT, ACCENT, PAPER = "#1d1b18", "#5d5850", "#0b6a75", "#fbfaf6"


def keep(picture: bytes, name: str) -> None:
    """Writes a picture, small."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.thumbnail((1280, 1280), Image.Resampling.LANCZOS)
    image.save(PICTURES / name, "JPEG", quality=80, optimize=True)
    print(f"docs/pictures/{name}: {(PICTURES / name).stat().st_size:,} bytes")


def nodes() -> list[tuple[str, float, float]]:
    """Returns (node, start, end) in seconds of the first run, from ML Metadata."""
    path = str(WORK / "metadata.sqlite")
    store = MetadataStore(metadata.sqlite_metadata_connection_config(path))
    found = []
    for context in store.get_contexts_by_type("node"):
        executions = store.get_executions_by_context(context.id)
        if executions:
            first = min(executions, key=lambda e: e.id)
            start = first.create_time_since_epoch / 1000
            end = first.last_update_time_since_epoch / 1000
            found.append((context.name.partition(".")[2], start, end))
    return sorted(found, key=lambda node: node[1])


def draw_run() -> bytes:
    """Returns the nodes as bars over time."""
    bars = nodes()
    began = bars[0][1]
    matplotlib.rcParams["font.family"] = "DejaVu Sans"
    figure, axes = pyplot.subplots(figsize=(9, 4.4), dpi=140, facecolor=PAPER)
    axes.set_facecolor(PAPER)
    for row, (_, start, end) in enumerate(bars):
        seconds = max(end - start, 0.1)
        axes.barh(row, seconds, left=start - began, height=0.62, color=ACCENT)
        axes.text(end - began + 4, row, f"{seconds:.0f} s", va="center", color=SOFT, fontsize=8)
    axes.set_yticks(range(len(bars)), [name for name, _, _ in bars], color=INK, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("seconds", color=SOFT, fontsize=9)
    axes.set_xlim(0, (bars[-1][2] - began) * 1.08)
    axes.tick_params(length=0, colors=SOFT)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.grid(axis="x", color="#e4dfd3", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=PAPER)
    return buffer.getvalue()


def photograph_report(page: Page) -> bytes:
    """Returns the first screen of the newest report, opened without network."""
    reports = (WORK / "pipeline" / "evaluation-report" / "report").glob("*/report.html")
    newest = max(reports, key=lambda p: int(p.parent.name))
    page.context.set_offline(True)
    page.goto(newest.as_uri())
    page.wait_for_load_state()
    picture = page.screenshot()
    page.context.set_offline(False)
    return picture


def photograph_page(page: Page) -> bytes:
    """Returns the page with a photo's answer, from a server of the demo's releases."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "pipeline.cli", "serve", WORK / "serving", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as server:
        try:
            for _ in range(120):
                if socket.socket().connect_ex(("127.0.0.1", port)) == 0:
                    break
                time.sleep(0.5)
            page.goto(f"http://127.0.0.1:{port}/")
            file = Path(skimage.__file__).parent / "data" / "astronaut.png"
            photo = {"name": "photo.png", "mimeType": "image/png", "buffer": file.read_bytes()}
            page.locator("input[type=file]").first.set_input_files(photo)  # type: ignore[arg-type]
            page.get_by_role("heading", name="found").wait_for(timeout=60_000)
            page.wait_for_timeout(800)
            return page.screenshot()
        finally:
            server.terminate()


def main() -> None:
    """Takes all three."""
    PICTURES.mkdir(exist_ok=True)
    keep(draw_run(), "run.jpg")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
        keep(photograph_report(page), "report.jpg")
        keep(photograph_page(page), "page.jpg")
        browser.close()


if __name__ == "__main__":
    main()
