"""`genq predict` of a video: faces are followed, and each person gets one answer."""

import csv
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import astronaut, hopper, write_release
from typer.testing import CliRunner

from data.errors import PhotoError
from pipeline.cli import app as cli

av = pytest.importorskip("av")

LOOKS, RATE = 12, 6
WIDTH, HEIGHT = 640, 240


def portraits() -> tuple[Image.Image, Image.Image]:
    """Two faces on grey, about 90 px wide."""
    first = astronaut().crop((140, 30, 310, 210))
    second = hopper().resize((256, 300)).crop((60, 20, 210, 190))
    return first, second


def crossing() -> list[Image.Image]:
    """One goes right, one left; in the middle the first hides the second."""
    first, second = portraits()
    frames = []
    for n in range(LOOKS + 1):
        frame = Image.new("RGB", (WIDTH, HEIGHT), (90, 100, 110))
        frame.paste(second, (round(470 - 440 * n / LOOKS), 30))
        frame.paste(first, (round(10 + 440 * n / LOOKS), 30))
        frames.append(frame)
    return frames


def write(
    frames: list[Image.Image], path: Path, codec: str = "libx264", left_out: tuple[int, ...] = ()
) -> Path:
    """`left_out`: numbers of frames that are missing; the others keep their time."""
    tick = Fraction(1, RATE)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = tick
        for number, image in enumerate(frames):
            if number not in left_out:
                frame = av.VideoFrame.from_image(image)
                frame.pts, frame.time_base = number, tick
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def lying(path: Path) -> Path:
    """As a phone held upright writes it: the picture lies, the file's matrix turns it."""
    write([frame.transpose(Image.Transpose.ROTATE_90) for frame in crossing()], path)
    one, two = (0x10000).to_bytes(4), (0x40000000).to_bytes(4)
    no, minus, shift = bytes(4), (-0x10000).to_bytes(4, signed=True), (HEIGHT << 16).to_bytes(4)
    identity = b"".join((one, no, no, no, one, no, no, no, two))
    data = path.read_bytes()
    track = data.index(b"tkhd")
    clockwise = b"".join((no, one, no, minus, no, no, shift, no, two))
    path.write_bytes(data[:track] + data[track:].replace(identity, clockwise, 1))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(crossing(), tmp_path_factory.mktemp("video") / "crossing.mp4")


def predict(clip: Path, releases: Path, *options: str) -> str:
    command = ["predict", str(clip), "--model-dir", str(releases), *options]
    result = CliRunner().invoke(cli.app, command)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_two_people_who_cross_get_one_answer_each(clip: Path, tmp_path: Path) -> None:
    """Two tracks over the whole clip; JSON, CSV and the drawn video say the same."""
    write_release(tmp_path / "gender", 1000)
    out = tmp_path / "out"
    told = json.loads(predict(clip, tmp_path / "gender", "--json", "--draw", str(out)))
    assert (told["width"], told["height"], told["frames"]) == (WIDTH, HEIGHT, LOOKS + 1)
    assert len(told["tracks"]) == 2
    for track in told["tracks"]:
        assert track["first_s"] < 0.3 and track["last_s"] > 1.7
    with (out / "crossing.tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    for track in told["tracks"]:
        own = [row for row in rows if int(row["track"]) == track["track"]]
        assert len(own) == track["looks"]
        mean = np.mean([float(row["p_positive"]) for row in own])
        assert mean == pytest.approx(track["p_positive"], abs=1e-3)
        xs = [float(row["x1"]) for row in own]
        assert xs == sorted(xs) or xs == sorted(xs, reverse=True)  # nobody turns round
    with av.open(str(out / "crossing.answers.mp4")) as drawn:
        frames = [frame.to_ndarray(format="rgb24") for frame in drawn.decode(video=0)]
    assert len(frames) == LOOKS + 1
    difference = np.abs(frames[0].astype(int) - np.asarray(crossing()[0]))
    assert (difference.max(2) > 60).sum() > 300  # boxes and words


@pytest.mark.parametrize("kind", ["VP9", "MPEG-4", "frames missing", "lying"])
def test_crossing_people_are_two_in_every_kind_of_file(kind: str, tmp_path: Path) -> None:
    """Codecs, uneven times, and a phone held upright: the same two tracks."""
    path = {
        "VP9": lambda: write(crossing(), tmp_path / "a.webm", "libvpx-vp9"),
        "MPEG-4": lambda: write(crossing(), tmp_path / "a.avi", "mpeg4"),
        "frames missing": lambda: write(crossing(), tmp_path / "a.mp4", left_out=(2, 4, 9)),
        "lying": lambda: lying(tmp_path / "a.mp4"),
    }[kind]()
    write_release(tmp_path / "gender", 1000)
    told = json.loads(predict(path, tmp_path / "gender", "--json"))
    assert (told["width"], told["height"]) == (WIDTH, HEIGHT)
    assert len(told["tracks"]) == 2
    for track in told["tracks"]:
        assert track["first_s"] < 0.3 and track["last_s"] > 1.7


def test_what_is_no_video_is_said(tmp_path: Path) -> None:
    """Text under a video's name: the file is named, and what is taken."""
    from serving.api.video import Clip, frames

    path = tmp_path / "talk.mp4"
    path.write_text("no video at all")
    with pytest.raises(PhotoError, match="talk.mp4 cannot be read as a video"):
        next(frames(path, 10**7, Clip()))
