"""Nose, mouth, eyes, brows and glasses. In: a Canvas and a Look. Out: the Canvas, drawn on."""

from __future__ import annotations

import numpy as np

from data.synthetic.canvas import (
    BLACK,
    EYES_XY_PX,
    PIVOT_XY_PX,
    WHITE,
    Canvas,
    arc,
    mirrored,
    smooth,
)
from data.synthetic.looks import Look, mix


def nose(canvas: Canvas, look: Look) -> None:
    """Draws tip, wings, nostrils and the light on the bridge."""
    x, y, w = look.cx + 4 * look.yaw, look.nose_y, look.nose_w
    line = look.shade(0.4)
    canvas.ellipse(x, y - 3, w * 0.62, 5, look.shade(0.06))
    for side in (-1, 1):
        wing_x = x + side * w * 0.66
        canvas.ellipse(wing_x, y - 1.5, w * 0.36, 3.6, look.shade(0.1))
        canvas.line(arc(wing_x, y - 1.5, w * 0.36, 4, 90 - side * 110, 90), line, 1)
        canvas.ellipse(x + side * w * 0.36, y + 0.8, w * 0.2, 1.3, look.shade(0.65))
    if "Pointy_Nose" in look.has:
        canvas.line(smooth([(x - 5, y), (x, y + 3.5), (x + 5, y)]), line, 1.2)
    canvas.line([(x - 1, 118), (x + 1, y - 8)], look.shade(-0.4), 1.6)


def mouth(canvas: Canvas, look: Look) -> None:
    """Draws lips; open, with teeth; smiling, with dimples."""
    x, y, w, lip = look.cx + 2 * look.yaw, look.mouth_y, look.mouth_w, look.lip_px
    up, gap = look.smile, look.open_px
    colour = mix(look.skin, look.lips, look.lip_ink)
    corner = (x + w, y - up)
    top = [(x, y - lip * 0.7 - gap * 0.4), (x + w * 0.28, y - lip - gap * 0.4), corner]
    bottom = [corner, (x + w * 0.55, y + up * 0.35 + lip + gap * 0.5)]
    bottom += [(x, y + up * 0.5 + lip + gap)]
    canvas.polygon(
        mirrored(np.concatenate([smooth(top), smooth(bottom)]), x), mix(colour, BLACK, 0.1)
    )
    lower = np.concatenate([smooth([(x, y + up * 0.5 + gap * 0.3), corner]), smooth(bottom)])
    canvas.polygon(mirrored(lower, x), colour)
    if gap:
        opening = [(x, y - gap * 0.4), (x + w * 0.4, y - gap * 0.3), (x + w * 0.86, y - up * 0.8)]
        opening += [(x + w * 0.5, y + up * 0.4 + gap * 0.5), (x, y + up * 0.5 + gap)]
        canvas.polygon(mirrored(smooth(opening), x), (70, 18, 22))
        teeth = [(x, y - gap * 0.3), (x + w * 0.4, y - gap * 0.2), (x + w * 0.68, y - up * 0.5)]
        teeth += [(x + w * 0.4, y + up * 0.25 + gap * 0.3), (x, y + up * 0.3 + gap * 0.5)]
        canvas.polygon(mirrored(smooth(teeth), x), WHITE)
    else:
        middle = [(x - w, y - up), (x - w * 0.5, y + up * 0.25), (x, y + up * 0.4)]
        middle += [(x + w * 0.5, y + up * 0.25), (x + w, y - up)]
        canvas.line(smooth(middle), mix(colour, BLACK, 0.55), 1.2)
    if up > 2:
        for side in (-1, 1):
            start = -40 if side > 0 else 140
            canvas.line(arc(x + side * w, y - up, 4, 6, start, start + 80), look.shade(0.3), 1)


def eyes(canvas: Canvas, look: Look) -> None:
    """Draws eyes that look where the head turns; lids and lashes."""
    h, lash = look.eye_h, look.lash_px
    for side, (x, y) in zip((-1, 1), EYES_XY_PX, strict=True):
        inner, outer = (x - side * 11, y + 1.5), (x + side * 11, y)
        upper = smooth([inner, (x - side * 4, y - h), (x + side * 5, y - h), outer])
        lower = smooth([outer, (x + side * 4, y + h * 0.75), (x - side * 4, y + h * 0.75), inner])
        canvas.polygon(np.concatenate([upper, lower]), WHITE)
        iris = min(5.2, h * 0.98)
        at = x + 1.6 * look.yaw
        canvas.ellipse(at, y - 0.4, 5.0, iris, mix(look.eyes, BLACK, 0.25))
        canvas.ellipse(at, y - 0.4, 3.9, iris * 0.8, look.eyes)
        canvas.ellipse(at, y - 0.4, 2.1, min(2.1, iris * 0.6), BLACK)
        canvas.ellipse(at - 1.5, y - 2.2, 1.0, 1.0, WHITE)
        canvas.line(upper, mix(BLACK, look.skin, 0.12), 0.8 + lash)
        canvas.line(lower, look.shade(0.5), 0.7)
        if lash > 1.5:
            for k in range(3):
                start = upper[-1 - 3 * k]
                tip = start + np.array([side * 3.5, -1.2 - 1.1 * k])
                canvas.line([start, tip], BLACK, lash * 0.5)


def brows(canvas: Canvas, look: Look) -> None:
    """Draws brows that taper outwards."""
    colour = look.hair if "Gray_Hair" in look.has else mix(look.hair, BLACK, 0.3)
    half, arch = look.brow_px / 2, look.brow_arch
    for side, (x, y) in zip((-1, 1), EYES_XY_PX, strict=True):
        base = y - 14.0
        middle = smooth(
            [
                (x - side * 12, base + 0.4),
                (x - side * 2, base - arch * 0.6),
                (x + side * 6, base - arch),
                (x + side * 14.5, base + 2.6),
            ]
        )
        taper = np.linspace(1, 0.35, len(middle)) * half
        up = np.stack([np.zeros_like(taper), taper], axis=1)
        canvas.polygon(np.concatenate([middle - up, (middle + up)[::-1]]), colour)


def glasses(canvas: Canvas, look: Look) -> None:
    """Draws round or square frames, or sunglasses."""
    if "Eyeglasses" not in look.has:
        return
    frame = BLACK if look.frames < 0.6 else mix(look.accent, BLACK, 0.4)
    width = 1.4 + 1.6 * look.frames
    bridge_x, bridge_y = PIVOT_XY_PX
    for x, y in EYES_XY_PX:
        square = [(x - 16, y - 9), (x + 16, y - 9), (x + 14, y + 12), (x - 14, y + 12)]
        if look.frames > 0.82:
            canvas.polygon(square, (34, 32, 38))
        if look.frames < 0.4:
            canvas.ring(x, y + 2, 15, 12.5, frame, width)
        else:
            canvas.line([*square, *square[:2]], frame, width)
    canvas.line(arc(bridge_x, bridge_y + 1, 5, 4, 190, 350), frame, width)
    for side in (-1, 1):
        hinge = (bridge_x + side * 35, bridge_y - 3)
        canvas.line([hinge, (look.cx + side * look.face_w, bridge_y + 1)], frame, width)
