"""Images that no data set holds and some user will send.

In: nothing. Out: (name, file bytes), deterministic.
"""

import io

import numpy as np
from PIL import Image

from data import contract

FULL = (contract.IMAGE_WIDTH_PX, contract.IMAGE_HEIGHT_PX)


def adversarial_images() -> list[tuple[str, bytes]]:
    """Returns (name, JPEG or PNG bytes): smallest, widest, grey, uniform, noise, odd sizes."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (FULL[1], FULL[0], 3), dtype=np.uint8))
    smooth = noise.resize((5, 6), Image.Resampling.BOX).resize(FULL, Image.Resampling.BICUBIC)
    pictures = [
        ("1x1 black.png", Image.new("RGB", (1, 1))),
        ("1x1 red.jpg", Image.new("RGB", (1, 1), (200, 30, 30))),
        ("very wide.jpg", smooth.resize((3000, 2))),
        ("very high.png", smooth.resize((2, 3000))),
        ("grey.jpg", smooth.convert("L")),
        ("grey.png", smooth.convert("L")),
        ("all black.jpg", Image.new("RGB", FULL)),
        ("all white.jpg", Image.new("RGB", FULL, (255, 255, 255))),
        ("noise.png", noise),
        ("noise.jpg", noise),
        ("odd size.jpg", smooth.resize((173, 211))),
        ("large.jpg", smooth.resize((1200, 1500))),
    ]
    return [(name, _encode(name, picture)) for name, picture in pictures]


def _encode(name: str, picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG" if name.endswith(".png") else "JPEG")
    return buffer.getvalue()
