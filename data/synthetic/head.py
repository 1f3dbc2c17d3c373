"""Skull, ears and skin of a cartoon face. In: a Canvas and a Look. Out: the Canvas, drawn on."""

from __future__ import annotations

from typing import Final

import numpy as np

from data.synthetic.canvas import BLACK, EYES_XY_PX, GOLD, Canvas, Points, arc, mirrored, smooth
from data.synthetic.looks import Look, mix

EAR_Y: Final = 120.0


def outline(look: Look, grow: float = 0.0) -> Points:
    """Returns the face's edge: its right half from top to chin, then its left half upwards."""
    cx, w = look.cx, look.face_w + grow
    middle = 118.0
    upper = np.radians(np.linspace(-90, 0, 12, endpoint=False))
    lower = np.radians(np.linspace(0, 90, 18))
    forehead = np.stack(
        [
            cx + w * np.cos(upper) ** 0.8,
            middle + (middle - look.forehead_y + grow) * np.sin(upper),
        ],
        axis=1,
    )
    jaw = np.stack(
        [
            cx + w * np.maximum(np.cos(lower), 0) ** look.jaw,
            middle + (look.chin_y - middle + grow) * np.sin(lower),
        ],
        axis=1,
    )
    return mirrored(np.concatenate([forehead, jaw]), cx)


def right_edge(look: Look, above_y: float, below_y: float, grow: float = 0.0) -> Points:
    """Returns the part of the face's right edge that lies between two heights, downwards."""
    edge = outline(look, grow)
    edge = edge[: len(edge) // 2]
    return edge[(edge[:, 1] > above_y) & (edge[:, 1] < below_y)]


def ears(canvas: Canvas, look: Look) -> None:
    """Draws ears; long hair will cover them."""
    for side in (-1, 1):
        x = look.cx + side * (look.face_w + 1.5)
        canvas.ellipse(x, EAR_Y, 5.5, 10.5, look.shade(0.16))
        canvas.ellipse(x + side * 0.6, EAR_Y, 3.2, 7, look.shade(0.3))


def earrings(canvas: Canvas, look: Look) -> None:
    """Draws drops or hoops, before any hair."""
    if "Wearing_Earrings" not in look.has:
        return
    bright = GOLD if look.parting > 0 else (222, 226, 232)
    for side in (-1, 1):
        x = look.cx + side * (look.face_w + 2.5)
        if abs(look.parting) > 0.5:
            canvas.ring(x, EAR_Y + 17, 4.6, 6, bright, 1.6)
        else:
            canvas.ellipse(x, EAR_Y + 12, 3, 3, bright)
            canvas.ellipse(x, EAR_Y + 19, 2.2, 4.4, bright)


def skull(canvas: Canvas, look: Look) -> None:
    """Draws the face's shape."""
    cx, chin = look.cx, look.chin_y
    if "Double_Chin" in look.has:
        canvas.polygon(arc(cx, chin - 6, 27, 14, 0, 180), look.shade(0.24))
        canvas.polygon(arc(cx, chin - 8, 26, 13, 0, 180), look.shade(0.05))
    canvas.polygon(outline(look), look.skin)
    if "Double_Chin" in look.has:
        canvas.line(arc(cx, chin - 12, 20, 9, 20, 160), look.shade(0.35), 1.2)


def skin_details(canvas: Canvas, look: Look) -> None:
    """Draws what is soft, and the lines of age."""
    _shadows(canvas, look)
    _cheeks(canvas, look)
    _stubble(canvas, look)
    for x, y in EYES_XY_PX:
        if "Bags_Under_Eyes" in look.has:
            canvas.soft(arc(x, y + 8, 9, 5, 0, 180), mix(look.skin, (70, 40, 70), 0.6), 0.7)
        if look.makeup:
            shadow = mix(look.accent, BLACK, 0.3)
            canvas.soft(arc(x, y - 3, 12, 8, 180, 360), shadow, 0.95 * look.makeup)
    canvas.settle()
    for x, y in EYES_XY_PX:
        if "Bags_Under_Eyes" in look.has:
            canvas.line(arc(x, y + 6, 9, 5, 25, 155), look.shade(0.4), 1)
    if "Young" not in look.has:
        _wrinkles(canvas, look)


def _shadows(canvas: Canvas, look: Look) -> None:
    """Draws the side of face and nose that is away from the light."""
    cx, w = look.cx, look.face_w
    side = -1 if look.yaw > 0 else 1
    edge = [(cx + side * w * 0.78, 84), (cx + side * w, 118), (cx + side * w * 0.72, 160)]
    edge += [(cx + side * w * 0.5, 170), (cx + side * w * 0.74, 126)]
    canvas.soft(edge, look.shade(0.4), 0.5)
    nose = cx + 4 * look.yaw + side * look.nose_w * 0.45
    canvas.soft([(nose, 112), (nose + side * 3, 136), (nose - side * 2, 136)], look.shade(0.4), 0.6)


def _cheeks(canvas: Canvas, look: Look) -> None:
    for side in (-1, 1):
        x = look.cx + side * 25 + look.yaw * 2
        if "High_Cheekbones" in look.has:
            hollow = [(x - side * 6, 146), (x + side * 14, 132), (x + side * 8, 152)]
            canvas.soft(hollow, look.shade(0.4), 0.6)
            canvas.soft(arc(x, 127, 9, 4.5, 0, 360), look.shade(-0.7), 0.6)
        if "Rosy_Cheeks" in look.has:
            canvas.soft(arc(x, 136, 11, 9, 0, 360), (232, 84, 92), 0.55)
        elif look.makeup:
            canvas.soft(arc(x, 135, 11, 7, 0, 360), (222, 92, 96), 0.45 * look.makeup)


def _stubble(canvas: Canvas, look: Look) -> None:
    if not look.stubble:
        return
    cx, w = look.cx, look.face_w
    cover = [(cx + w * 0.6, 142), (cx + 16, 146), (cx, 144)]
    area = np.concatenate([right_edge(look, 130, 190, -1), [(cx, look.chin_y)]])
    colour = mix(look.hair, (62, 64, 72), 0.5)
    closed = mirrored(np.concatenate([np.array(cover)[::-1], area]), cx)
    canvas.soft(closed, colour, look.stubble)


def _wrinkles(canvas: Canvas, look: Look) -> None:
    cx = look.cx
    for k, y in enumerate((80.0, 86.0, 92.0)):
        canvas.line(arc(cx, y + 10, 31 - 4 * k, 10, 225, 315), look.shade(0.3), 0.9)
    line = look.shade(0.42)
    for side, (eye_x, eye_y) in zip((-1, 1), EYES_XY_PX, strict=True):
        x = cx + 3 * look.yaw
        fold = [(x + side * 11, 136), (x + side * 17, 144), (x + side * 20, 154)]
        canvas.line(smooth(fold), line, 1.2)
        outer = eye_x + side * 13
        for dy in (-3.0, 0.0, 3.0):
            crow = [(outer, eye_y + dy * 0.4), (outer + side * 6, eye_y + dy * 1.6)]
            canvas.line(crow, line, 0.8)
