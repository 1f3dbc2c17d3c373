"""Obtains CelebA: resumes, verifies, and takes files that are there already.

In: a folder. Out: the same folder in the official layout, every file verified by its MD5 sum. The
images stay in their zip; example-gen reads it without unpacking.

File ids on the authors' Google Drive and MD5 sums are those that torchvision publishes
(torchvision/datasets/celeba.py, `CelebA.file_list`). MD5 guards against accidents only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests
import tenacity

from data.errors import ConfigError, DataError

SOURCE_URL: Final = "https://drive.usercontent.google.com/download"
TERMS: Final = """\
CelebA is available for non-commercial research purposes only. In short, you agree:
- not to reproduce, sell, or exploit for commercial purposes any of the images or derived data;
- not to further copy, publish or distribute any of it, other than copies for internal use at a
  single site within the same organisation;
- that the images are from the Internet and are not the property of the authors (MMLAB, The Chinese
  University of Hong Kong), who are not responsible for their content and may end your access.
Read the full terms at https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"""

_CHUNK_BYTES = 2**20
_QUOTA = (
    "Google Drive serves this page when the file's daily quota is used up. Try again in a day, or "
    "download {name} in a browser and put it at {path}: it is verified and used as it is."
)


@dataclass(frozen=True)
class CelebAFile:
    """One file to have.

    Attributes:
      file_id: on the authors' Google Drive.
      folder: below the root, in the official layout.
    """

    name: str
    folder: str
    file_id: str
    md5: str


FILES: Final = (
    CelebAFile(
        "list_attr_celeba.txt",
        "Anno",
        "0B7EVK8r0v71pblRyaVFSWGxPY0U",
        "75e246fa4810816ffd6ee81facbd244c",
    ),
    CelebAFile(
        "identity_CelebA.txt",
        "Anno",
        "1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS",
        "32bd1bd63d3c78cd57e08160ec5ed1e2",
    ),
    CelebAFile(
        "list_bbox_celeba.txt",
        "Anno",
        "0B7EVK8r0v71pbThiMVRxWXZ4dU0",
        "00566efa6fedff7a56946cd1c10f1c16",
    ),
    CelebAFile(
        "list_landmarks_align_celeba.txt",
        "Anno",
        "0B7EVK8r0v71pd0FJY3Blby1HUTQ",
        "cc24ecafdb5b50baae59b03474781f8c",
    ),
    CelebAFile(
        "list_eval_partition.txt",
        "Eval",
        "0B7EVK8r0v71pY0NSMzRuSXJEVkk",
        "d32c9cbf5e040fd4025c592c306e6668",
    ),
    CelebAFile(
        "img_align_celeba.zip",
        "Img",
        "0B7EVK8r0v71pZjFTYXZWM3FlRnM",
        "00d2c5bc6d35e252742224ab0c1e8fcb",
    ),
)

Progress = Callable[[str, int, int | None], None]
"""Called with the file's name, the bytes that are there, and the total if it is known."""


def fetch(
    root: Path,
    *,
    accept_licence: bool,
    on_progress: Progress = lambda name, done, total: None,
    files: Sequence[CelebAFile] = FILES,
    source_url: str = SOURCE_URL,
    attempts: int = 5,
    wait_s: float = 2.0,
) -> list[str]:
    """Brings every file that is missing.

    A file that is there (in its folder or directly in the root) is verified and not fetched. A
    download that was cut off goes on where it ended, also in a later call.

    Args:
      root: folder for the files.
      accept_licence: that the user has read TERMS.
      on_progress: see Progress.
      files: what to have.
      source_url: is asked with the parameter `id`.
      attempts: how often a file is tried.
      wait_s: before the second attempt; doubles each time, up to a minute.

    Returns:
      Names of the files that were fetched.

    Raises:
      ConfigError: if the terms are not accepted.
      DataError: if a file is not what it should be or cannot be had; says what to do.
    """
    if not accept_licence:
        raise ConfigError(
            f"CelebA's terms are not accepted.\n{TERMS}", "If you agree: --accept-licence."
        )
    retry = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        wait=tenacity.wait_exponential(multiplier=wait_s, max=60),
        retry=tenacity.retry_if_exception_type(requests.RequestException),
        reraise=True,
    )
    fetched = []
    for file in files:
        path = root / file.folder / file.name
        if is_there(root, file):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            retry(_download, file, path, source_url, on_progress)
        except requests.RequestException as error:
            raise DataError(
                f"{file.name}: cannot be fetched from {source_url}: {error}",
                f"Check the connection and run this again: it resumes. Or put the file at {path}.",
            ) from error
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written: {error.strerror or error}.",
                "Make room, or choose another folder. What was fetched is kept and resumed.",
            ) from error
        fetched.append(file.name)
    return fetched


def is_there(root: Path, file: CelebAFile) -> bool:
    """Returns whether the file is there and whole.

    Raises:
      DataError: if a file of that name is there but is not the one it should be.
    """
    for path in (root / file.folder / file.name, root / file.name):
        if path.exists():
            _verify(path, path, file)
            return True
    return False


def _download(file: CelebAFile, path: Path, source_url: str, on_progress: Progress) -> None:
    """Fetches one file into `<name>.part`, verifies it, and gives it its name.

    Raises:
      requests.RequestException: for what a retry may fix.
      DataError: for what it will not.
    """
    part = path.with_name(path.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    parameters = {"id": file.file_id, "export": "download", "confirm": "t"}
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(
        source_url, params=parameters, headers=headers, stream=True, timeout=60
    ) as response:
        complete = response.status_code == requests.codes.requested_range_not_satisfiable
        if not complete:
            response.raise_for_status()
            if "text/html" in response.headers.get("Content-Type", ""):
                raise DataError(
                    f"{file.name}: the server sent an HTML page instead of the file.",
                    _QUOTA.format(name=file.name, path=path),
                )
            if response.status_code != requests.codes.partial_content:
                have = 0  # The server does not resume: begin again.
            length = response.headers.get("Content-Length")
            total = None if length is None else have + int(length)
            with part.open("ab" if have else "wb") as out:
                for chunk in response.iter_content(_CHUNK_BYTES):
                    out.write(chunk)
                    have += len(chunk)
                    on_progress(file.name, have, total)
            if total is not None and have < total:
                raise requests.ConnectionError(f"cut off after {have} of {total} bytes")
    try:
        _verify(part, path, file)
    except DataError:
        part.unlink()
        raise
    part.replace(path)


def _verify(path: Path, final: Path, file: CelebAFile) -> None:
    """Raises DataError unless the MD5 sum is right."""
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "md5").hexdigest()
        opened.seek(0)
        head = opened.read(512).lstrip().lower()
    if digest == file.md5:
        return
    if head.startswith((b"<!doctype", b"<html")):
        raise DataError(
            f"{final}: this is an HTML page, not {file.name}.",
            "Remove it. " + _QUOTA.format(name=file.name, path=final),
        )
    raise DataError(
        f"{final}: MD5 {digest}; expected {file.md5} ({path.stat().st_size:,} bytes).",
        "The file is damaged or of another version. Remove it and fetch again.",
    )
