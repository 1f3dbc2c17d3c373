"""Fixtures that several tests share: small CelebA trees in every layout."""

import io
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

import numpy as np
import pytest
from PIL import Image

from data import contract

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CelebATree = Callable[..., Path]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Ends with what was skipped and the command that brings it: a line a reason, not a test."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("skipped")
    for reason, tests in reasons.most_common():
        terminalreporter.line(f"{tests} skipped: {reason}")


def jpeg(seed: int, *, size: tuple[int, int] = (178, 218), mode: str = "RGB") -> bytes:
    """A JPEG of smooth noise; (width, height)."""
    noise = np.random.default_rng(seed).integers(0, 255, (6, 5, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def make_jpeg() -> Callable[..., bytes]:
    return jpeg


@pytest.fixture
def celeba_tree() -> CelebATree:
    """Returns a function that writes a small CelebA copy."""

    def write(
        root: Path,
        *,
        images: int = 120,
        layout: Literal["official", "flat", "kaggle"] = "official",
        images_in: Literal["folder", "zip"] = "folder",
        line_end: str = "\n",
        distinct_images: int = 8,
        partition: bool = True,
        identity: bool = True,
    ) -> Path:
        """Writes a tree: three images a person; of ten persons, eight are in train.

        About four tenths are Male; the other attributes are coin tosses.
        """
        rng = np.random.default_rng(images)
        ids = [f"{i + 1:06d}.jpg" for i in range(images)]
        person = np.arange(images) // 3
        attributes = np.where(rng.random((images, 40)) < 0.5, 1, -1)
        male = contract.ATTRIBUTES.index("Male")
        attributes[:, male] = np.where(person % 5 < 2, 1, -1)
        split = np.select([person % 20 < 16, person % 20 < 18], [0, 1], 2)
        # Persons 16 to 19 of twenty are half male, so val and test hold both.
        attributes[person % 20 >= 16, male] = np.where(person % 2, 1, -1)[person % 20 >= 16]
        landmarks = np.tile([69, 111, 108, 111, 88, 130, 72, 150, 105, 150], (images, 1))

        kaggle = layout == "kaggle"
        official = layout == "official"
        anno, evaluation = (root / "Anno", root / "Eval") if official else (root, root)
        image_base = root / "Img" if official else root
        for folder in (anno, evaluation, image_base):
            folder.mkdir(parents=True, exist_ok=True)

        def table(
            folder: Path, name: str, columns: tuple[str, ...], values: np.ndarray, count: bool
        ) -> None:
            if kaggle:
                lines = [",".join(["image_id", *columns])]
                lines += [",".join([i, *map(str, v)]) for i, v in zip(ids, values, strict=True)]
            else:
                lines = [str(images), " ".join(columns) + " "] if count else []
                lines += [
                    i + "".join(f" {v:>2}" for v in row) for i, row in zip(ids, values, strict=True)
                ]
            text = line_end.join(lines) + line_end
            (folder / f"{name}.{'csv' if kaggle else 'txt'}").write_bytes(text.encode())

        table(anno, "list_attr_celeba", contract.ATTRIBUTES, attributes, True)
        table(anno, "list_landmarks_align_celeba", contract.LANDMARK_NAMES, landmarks, True)
        if identity and not kaggle:
            table(anno, "identity_CelebA", ("identity",), person[:, None] + 1, False)
        if partition:
            table(evaluation, "list_eval_partition", ("partition",), split[:, None], False)

        pictures = [jpeg(seed) for seed in range(distinct_images)]
        if images_in == "zip":
            with zipfile.ZipFile(image_base / "img_align_celeba.zip", "w") as archive:
                for n, image_id in enumerate(ids):
                    method = zipfile.ZIP_DEFLATED if n % 2 else zipfile.ZIP_STORED
                    archive.writestr(
                        f"img_align_celeba/{image_id}", pictures[n % distinct_images], method
                    )
        else:
            folder = image_base / "img_align_celeba"
            folder = folder / "img_align_celeba" if kaggle else folder
            folder.mkdir(parents=True)
            for n, image_id in enumerate(ids):
                (folder / image_id).write_bytes(pictures[n % distinct_images])
        return root

    return write


@pytest.fixture(scope="session")
def lacking() -> Callable[[str], NoReturn]:
    """Returns what to call where a program that pip cannot install is not there.

    Elsewhere the test is skipped and says why; CI installs these programs, so there it fails.
    """

    def end(reason: str) -> NoReturn:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    return end


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, and an environment in which nobody has decided about telemetry."""
    for name in ("ORT_DISABLE_TELEMETRY", "MLFLOW_DISABLE_TELEMETRY", "NEXT_TELEMETRY_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(folder))
    return folder


@pytest.fixture(scope="session")
def browser(lacking: Callable[[str], NoReturn]) -> "Iterator[Browser]":
    """Debian's Chromium, driven by Playwright; GENQ_CHROMIUM names another."""
    path = os.environ.get("GENQ_CHROMIUM", "/usr/bin/chromium")
    if not Path(path).exists():
        lacking(f"{path} is not there: apt-get install chromium, or set GENQ_CHROMIUM.")
    from playwright.sync_api import sync_playwright

    flags = [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    ]  # fmt: skip
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=flags)
        yield running
        running.close()
