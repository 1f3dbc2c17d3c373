"""Pillow at twice the size, in pixels of the finished image; and smooth curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from data import contract
from data.synthetic.looks import Colour

SCALE: Final = 2
"""Supersampling: shapes have hard edges, the reduction smooths them."""
SOFT_SCALE: Final = 0.5
SOFT_BLUR: Final = 2
"""Soft shapes are drawn this small, blurred by this many of their pixels, and enlarged."""
PIVOT_XY_PX: Final = (
    (contract.LEFT_EYE_XY_PX[0] + contract.RIGHT_EYE_XY_PX[0]) / 2,
    (contract.LEFT_EYE_XY_PX[1] + contract.RIGHT_EYE_XY_PX[1]) / 2,
)
"""Heads turn about the point between the eyes."""
EYES_XY_PX: Final[tuple[tuple[float, float], ...]] = (
    contract.LEFT_EYE_XY_PX,
    contract.RIGHT_EYE_XY_PX,
)
BOTTOM: Final = 226.0
"""Just below the image."""
BLACK: Final = (20, 16, 16)
WHITE: Final = (250, 248, 244)
GOLD: Final = (226, 186, 84)

Points = NDArray[np.float64]
PointList = Sequence[tuple[float, float]] | Points


def smooth(points: PointList, *, closed: bool = False, steps: int = 6) -> Points:
    """Returns a Catmull-Rom curve through the points, (n, 2)."""
    p = np.asarray(points, np.float64)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    curve = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )  # (steps, segments, 2)
    flat = curve.swapaxes(0, 1).reshape(-1, 2)
    return flat if closed else np.concatenate([flat, p[-2:-1]])


def arc(cx: float, cy: float, rx: float, ry: float, start_deg: float, end_deg: float) -> Points:
    """Returns points on an ellipse; 0 degrees is right, 90 is down."""
    t = np.radians(np.linspace(start_deg, end_deg, 32))
    return np.stack([cx + rx * np.cos(t), cy + ry * np.sin(t)], axis=1)


def mirrored(right: PointList, cx: float) -> Points:
    """Returns the outline whose right side is given from top to bottom."""
    p = np.asarray(right, np.float64)
    return np.concatenate([p, np.stack([2 * cx - p[::-1, 0], p[::-1, 1]], axis=1)])


def turned(points: PointList, roll_deg: float) -> Points:
    """Returns the points turned about the pivot, counter-clockwise on the screen."""
    angle = np.radians(roll_deg)
    # y points down.
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    result: Points = (np.asarray(points, np.float64) - PIVOT_XY_PX) @ turn + PIVOT_XY_PX
    return result


class Canvas:
    """One picture being drawn; what is drawn is turned about the point between the eyes."""

    def __init__(self, roll_deg: float) -> None:
        size = (contract.IMAGE_WIDTH_PX * SCALE, contract.IMAGE_HEIGHT_PX * SCALE)
        self.image = Image.new("RGB", size)
        self._draw = ImageDraw.Draw(self.image)
        self._roll_deg = roll_deg
        self._soft: list[tuple[Points, Colour, float]] = []

    def polygon(self, points: PointList, fill: Colour) -> None:
        """Fills an outline."""
        self._draw.polygon((turned(points, self._roll_deg) * SCALE).ravel().tolist(), fill)

    def line(self, points: PointList, fill: Colour, width: float) -> None:
        """Draws a line of a width in pixels."""
        flat = (turned(points, self._roll_deg) * SCALE).ravel().tolist()
        self._draw.line(flat, fill, max(1, round(width * SCALE)), joint="curve")

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        """Fills an ellipse."""
        self.polygon(arc(x, y, rx, ry, 0, 360), fill)

    def ring(self, x: float, y: float, rx: float, ry: float, colour: Colour, width: float) -> None:
        """Draws an ellipse's edge."""
        self.line(arc(x, y, rx, ry, 0, 370), colour, width)

    def soft(self, points: PointList, colour: Colour, opacity: float) -> None:
        """Fills an outline with a see-through colour and a blurred edge, at the next `settle`."""
        if opacity > 0.01:
            self._soft.append((turned(points, self._roll_deg), colour, min(opacity, 1.0)))

    def settle(self) -> None:
        """Blends the soft shapes over what is drawn, each over those before it."""
        width, height = (side // SCALE * SOFT_SCALE for side in self.image.size)
        for points, colour, opacity in self._soft:
            # A piece of the picture, in soft pixels: the shape and the reach of the blur.
            left, top = np.floor(points.min(axis=0) * SOFT_SCALE).astype(int) - 2 * SOFT_BLUR
            right, bottom = np.ceil(points.max(axis=0) * SOFT_SCALE).astype(int) + 2 * SOFT_BLUR
            left, top = max(left, 0), max(top, 0)
            right, bottom = min(right, int(width)), min(bottom, int(height))
            if left >= right or top >= bottom:
                continue
            mask = Image.new("L", (right - left, bottom - top))
            inside = points * SOFT_SCALE - np.array([left, top])
            ImageDraw.Draw(mask).polygon(inside.ravel().tolist(), round(255 * opacity))
            mask = mask.filter(ImageFilter.BoxBlur(SOFT_BLUR)).filter(ImageFilter.BoxBlur(1))
            zoom = round(SCALE / SOFT_SCALE)
            mask = mask.resize((mask.width * zoom, mask.height * zoom), Image.Resampling.BILINEAR)
            self.image.paste(colour, (left * zoom, top * zoom), mask)
        self._soft.clear()
