"""The folder: the stamp that says it is whole, the processes that draw, the annotation files.

In: a folder and a SyntheticConfig. Out: `Anno/`, `Eval/`, `Img/` as CelebA's authors lay them out,
and a stamp. The stamp is written first, as unfinished, and last, as complete: what is between is
half-made and drawn again. A folder without a stamp is somebody else's and stays untouched.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from data import contract
from data.celeba import layouts
from data.errors import DataError
from data.synthetic.config import STAMP, SyntheticConfig

if TYPE_CHECKING:
    from data.synthetic.people import Photo
    from data.synthetic.photo import Drawn

GENERATOR_VERSION: Final = 1
"""Part of what a seed means: one more whenever the bytes of any image or annotation change."""
FOLDERS: Final = ("Anno", "Eval", "Img")
_CHUNK: Final = 50


def is_complete(root: Path, config: SyntheticConfig) -> bool:
    """Returns whether `root` holds exactly this look-alike, whole.

    Believes the stamp: what somebody did to the files later is ingestion's to find and to name.
    """
    return _read_stamp(root) == _stamp(config, complete=True)


def synthesize(
    root: Path,
    config: SyntheticConfig,
    *,
    on_image: Callable[[int], None] = lambda n: None,
    processes: int | None = None,
) -> None:
    """Draws the look-alike, unless it is there already.

    Args:
      root: folder to write; must be missing, empty, or an earlier look-alike, which is replaced.
      config: what to draw.
      on_image: told how many more images are done.
      processes: that draw; None takes as many as there are cores. The bytes are the same.

    Raises:
      DataError: if the folder holds something else, or cannot be written.
    """
    if is_complete(root, config):
        return
    _require_ours(root)
    try:
        _write(root, config, on_image, processes or os.cpu_count() or 1)
    except OSError as error:
        raise DataError(
            f"{root}: the look-alike cannot be written: {error.strerror or error}.",
            "Make room, or give another folder; what is half-made is drawn again next time.",
        ) from error


def _stamp(config: SyntheticConfig, *, complete: bool) -> dict[str, Any]:
    fields = json.loads(json.dumps(dataclasses.asdict(config)))
    return {"generator_version": GENERATOR_VERSION, "complete": complete, "config": fields}


def _read_stamp(root: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((root / STAMP).read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "generator_version" in content else None


def _write_stamp(root: Path, config: SyntheticConfig, *, complete: bool) -> None:
    unfinished = root / f"{STAMP}.unfinished"
    unfinished.write_text(json.dumps(_stamp(config, complete=complete), indent=2) + "\n")
    unfinished.replace(root / STAMP)


def _require_ours(root: Path) -> None:
    """Raises DataError if the folder holds anything that is not a look-alike's."""
    if not root.exists() or _read_stamp(root) is not None:
        return
    if not root.is_dir():
        found = "is a file"
    else:
        names = sorted(entry.name for entry in root.iterdir())
        if not names:
            return
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        found = f"holds {names[0]}{more}, and no {STAMP} that says it is a look-alike"
    raise DataError(
        f"{root}: {found}; it is left as it is.",
        "Give an empty folder, or one that does not exist yet.",
    )


def _write(
    root: Path, config: SyntheticConfig, on_image: Callable[[int], None], processes: int
) -> None:
    from data.synthetic.people import photos, shuffled_labels

    root.mkdir(parents=True, exist_ok=True)
    _write_stamp(root, config, complete=False)
    for folder in FOLDERS:
        if (root / folder).exists():
            shutil.rmtree(root / folder)
    images = root / "Img" / layouts.IMAGES
    for path in (root / "Anno", root / "Eval", images):
        path.mkdir(parents=True)

    everyone = photos(config)
    drawn = _draw_all(images, everyone, config.seed, on_image, processes)
    if config.shuffle_labels:
        everyone = shuffled_labels(config, everyone)
    _write_annotations(root, everyone, drawn)
    _write_stamp(root, config, complete=True)


def _draw_all(
    images: Path,
    everyone: list[Photo],
    seed: int,
    on_image: Callable[[int], None],
    processes: int,
) -> list[Drawn]:
    """Draws and writes all images; returns what was drawn, in their order."""
    import concurrent.futures
    from multiprocessing import get_context

    jobs = [
        (images, everyone[start : start + _CHUNK], seed)
        for start in range(0, len(everyone), _CHUNK)
    ]
    drawn: list[Drawn] = []
    processes = min(processes, len(jobs))
    if processes == 1:
        for job in jobs:
            drawn += _draw_chunk(job)
            on_image(len(job[1]))
        return drawn
    # Not fork: the caller may have threads.
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for chunk in pool.map(_draw_chunk, jobs):
            drawn += chunk
            on_image(len(chunk))
    return drawn


def _draw_chunk(job: tuple[Path, list[Photo], int]) -> list[Drawn]:
    from data.synthetic.photo import draw

    images, chunk, seed = job
    drawn = []
    for photo in chunk:
        result, jpeg = draw(photo, seed)
        (images / photo.image_id).write_bytes(jpeg)
        drawn.append(result)
    return drawn


def _write_annotations(root: Path, everyone: list[Photo], drawn: list[Drawn]) -> None:
    """Writes the five text files, column by column as the official ones."""
    ids = [p.image_id for p in everyone]
    count = str(len(ids))

    def write(folder: str, name: str, header: list[str], rows: list[str]) -> None:
        lines = header + [f"{i} {row}" for i, row in zip(ids, rows, strict=True)]
        (root / folder / f"{name}.txt").write_text("\n".join(lines) + "\n", newline="\n")

    def numbers(values: tuple[int, ...]) -> str:
        return " ".join(f"{v:3d}" for v in values)

    attributes = [
        " ".join(" 1" if name in p.attributes else "-1" for name in contract.ATTRIBUTES)
        for p in everyone
    ]
    header = [count, " ".join(contract.ATTRIBUTES) + " "]
    write("Anno", layouts.ATTRIBUTES, header, attributes)
    write("Anno", layouts.IDENTITY, [], [str(p.identity) for p in everyone])
    header = [count, " ".join(contract.LANDMARK_NAMES) + " "]
    write("Anno", layouts.LANDMARKS, header, [numbers(d.landmarks) for d in drawn])
    header = [count, "image_id x_1 y_1 width height"]
    write("Anno", layouts.BBOX, header, [numbers(d.bbox) for d in drawn])
    write("Eval", layouts.PARTITION, [], [str(p.partition) for p in everyone])
