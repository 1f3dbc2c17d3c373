"""A cartoon portrait from its Look, from back to front.

In: a Look. Out: a Canvas: the head as rolled in front of its background, in even light, without
blur. The eyes lie where CelebA's alignment puts them.
"""

from __future__ import annotations

import numpy as np

from data.synthetic import features, hair, head
from data.synthetic.canvas import BLACK, BOTTOM, GOLD, WHITE, Canvas, arc, mirrored, smooth
from data.synthetic.looks import Look, mix


def draw_face(look: Look) -> Canvas:
    """Draws everything."""
    canvas = Canvas(look.roll_deg)
    rng = np.random.Generator(np.random.PCG64(look.seed + 1))
    _background(canvas, look, rng)
    _shoulders(canvas, look)
    hair.behind(canvas, look, rng)
    _neck(canvas, look)
    head.ears(canvas, look)
    head.skull(canvas, look)
    head.skin_details(canvas, look)
    hair.beard(canvas, look)
    features.nose(canvas, look)
    features.mouth(canvas, look)
    hair.mustache(canvas, look)
    features.eyes(canvas, look)
    features.brows(canvas, look)
    hair.in_front(canvas, look, rng)
    head.earrings(canvas, look)
    features.glasses(canvas, look)
    hair.hat(canvas, look)
    return canvas


def _background(canvas: Canvas, look: Look, rng: np.random.Generator) -> None:
    """Draws a gradient and a few soft discs, larger than the image, whatever the roll."""
    first, second = look.background
    for band in range(28):
        y = -30.0 + 10 * band
        strip = [(-40, y), (220, y), (220, y + 11), (-40, y + 11)]
        canvas.polygon(strip, mix(first, second, band / 27))
    for _ in range(int(rng.integers(0, 6))):
        x, y, r = rng.uniform(0, 178), rng.uniform(0, 218), rng.uniform(14, 50)
        tint = tuple(rng.integers(20, 235, 3).tolist())
        canvas.soft(arc(x, y, r, r, 0, 360), mix(first, tint, 0.4), 0.6)
    canvas.settle()


def _shoulders(canvas: Canvas, look: Look) -> None:
    cx = look.cx - 2 * look.yaw
    wide = 62 + 1.1 * (look.neck_w - 25)
    right = [(cx + 14, 189), (cx + look.neck_w + 4, 191), (cx + wide, 202), (cx + wide + 24, 240)]
    canvas.polygon(mirrored(smooth(right), cx), look.top)
    for side in (-1, 1):
        sleeve = [(cx + side * (wide - 6), 212), (cx + side * (wide - 9), BOTTOM + 8)]
        canvas.line(sleeve, mix(look.top, BLACK, 0.25), 1.2)


def _neck(canvas: Canvas, look: Look) -> None:
    cx, w, has = look.cx - look.yaw, look.neck_w, look.has
    tie = "Wearing_Necktie" in has
    depth = 206 if tie else 201 + 14 * abs(look.parting)
    right = [(cx + w, 150), (cx + w, 178), (cx + w + 7, 192)]
    if look.parting > 0 or tie:
        edge = [*right, (cx, depth + 4)]
    else:  # a round neckline
        edge = [*right, (cx + w * 0.7, depth - 3), (cx + w * 0.3, depth + 2), (cx, depth + 3)]
    canvas.polygon(mirrored(edge, cx), look.shade(0.1))
    shadow = [(cx + w, 158), (cx + w - 1, 180), (cx + w * 0.6, 188), (cx, 192)]
    canvas.soft(mirrored(shadow, cx), look.shade(0.5), 0.6)
    canvas.settle()
    if "Wearing_Necklace" in has:
        for i, (x, y) in enumerate(arc(cx, 186, w, 20, 15, 165)[::2]):
            canvas.ellipse(x, y, 1.6, 1.6, GOLD if i % 2 else mix(GOLD, WHITE, 0.5))
        canvas.ellipse(cx, 208, 3, 3.6, mix(look.accent, WHITE, 0.3))
    if tie:
        for side in (-1, 1):
            collar = [
                (cx + side * (w + 5), 186),
                (cx + side * 2, 203),
                (cx + side * 15, 214),
                (cx + side * (w + 12), 197),
            ]
            canvas.polygon(collar, WHITE)
            canvas.line([collar[1], collar[2]], (190, 190, 196), 0.8)
        canvas.polygon([(cx - 6, 201), (cx + 6, 201), (cx + 4, 210), (cx - 4, 210)], look.accent)
        blade = [(cx - 4, 210), (cx + 4, 210), (cx + 9, BOTTOM + 8), (cx - 9, BOTTOM + 8)]
        canvas.polygon(blade, mix(look.accent, BLACK, 0.2))
