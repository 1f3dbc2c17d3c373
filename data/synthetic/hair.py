"""Hair of head and beard, and hats. In: a Canvas and a Look. Out: the Canvas, drawn on."""

from __future__ import annotations

import numpy as np

from data.synthetic.canvas import BLACK, BOTTOM, WHITE, Canvas, Points, arc, mirrored, smooth
from data.synthetic.head import EAR_Y, right_edge
from data.synthetic.looks import Look, mix

LONG = 0.3
"""From this length on, hair falls in front of the ears."""


def _sides_px(look: Look) -> float:
    """Returns how far hair stands off the sides of the head: cropped hair does not."""
    return look.hair_volume * (0.1 + 0.65 * min(1.0, look.hair_length / LONG))


def behind(canvas: Canvas, look: Look, rng: np.random.Generator) -> None:
    """Draws what falls behind neck and face."""
    if "Bald" in look.has or look.hair_length < 0.15:
        return
    cx, w = look.cx, look.face_w + _sides_px(look) + 1
    bottom = 118 + 112 * look.hair_length
    down = np.linspace(EAR_Y - 10, bottom, 16)
    share = np.linspace(0, 1, 16)
    phase = rng.uniform(0, 6.3)
    # Wider below, and drawn in at the tips.
    flare = (3 + 9 * min(look.hair_length, 0.8)) * np.sin(share * 2.4) - 9 * share**6

    def wave(at: float) -> Points:
        waves: Points = look.wave_px * np.sin(down / 5.5 + phase + at)
        return waves

    for colour, inset in ((mix(look.hair, BLACK, 0.35), 0.0), (mix(look.hair, BLACK, 0.2), 5.0)):
        edge = w - inset + flare
        canvas.polygon(
            np.concatenate(
                [
                    arc(cx, EAR_Y - 10, w - inset, EAR_Y - look.forehead_y, 180, 360),
                    np.stack([cx + edge + wave(0), down], axis=1),
                    [(cx + w * 0.5, bottom + 4 - inset), (cx - w * 0.5, bottom + 4 - inset)],
                    np.stack([cx - edge - wave(2), down], axis=1)[::-1],
                ]
            ),
            colour,
        )
    if look.hair_length > 0.25:
        for at in np.linspace(0.74, 0.97, 4):
            for side in (-1, 1):
                x = cx + side * (w + flare) * at + wave(at * 9)
                canvas.line(np.stack([x, down], axis=1)[:-1], look.hair, 0.8)


def in_front(canvas: Canvas, look: Look, rng: np.random.Generator) -> None:
    """Draws the hair on top of the head, or the shine of a bald one."""
    has, cx, w, v = look.has, look.cx, look.face_w, look.hair_volume
    if "Bald" in has:
        canvas.soft(arc(cx - 12, look.forehead_y + 14, 12, 6, 0, 360), WHITE, 0.45)
        canvas.settle()
        return
    recede = "Receding_Hairline" in has
    line_y = look.forehead_y + (3 if recede else 14)
    temple_px = 9.0 if recede else 3.0
    sides = _sides_px(look)
    side_y = EAR_Y + (10 if look.hair_length > LONG else -6 if look.hair_length > 0.12 else -12)
    part = cx + look.parting * w * 0.5
    canvas.polygon(
        np.concatenate(
            [
                [(cx - w - sides * 0.8, side_y - 3)],
                _crown(look, rng),
                [(cx + w + sides * 0.8, side_y - 3)],
                smooth(
                    [
                        (cx + w - 1, side_y),
                        (cx + w - temple_px, 103),
                        (cx + w * 0.72, line_y + (3 if recede else 9 - 4 * look.parting)),
                        (part, line_y),
                        (cx - w * 0.72, line_y + (3 if recede else 9 + 4 * look.parting)),
                        (cx - w + temple_px, 103),
                        (cx - w + 1, side_y),
                    ]
                ),
            ]
        ),
        look.hair,
    )
    if "Bangs" in has:
        fringe = np.linspace(-0.88, 0.88, 12)
        lower = 95 + 3 * np.cos(fringe * 2) + rng.uniform(-2, 2, 12)
        tips = np.stack([cx + fringe * w, lower], axis=1)
        cover = [(cx + w * 0.9, line_y), (cx, look.forehead_y - 2), (cx - w * 0.9, line_y)]
        canvas.polygon(np.concatenate([tips, cover]), look.hair)
        for x, y in tips[1:-1]:
            root = (part + (x - part) * 0.7, line_y - 6)
            canvas.line([(x, y - 1), root], mix(look.hair, BLACK, 0.25), 0.8)
    if look.hair_length > LONG:
        _locks(canvas, look)
    light, dark = mix(look.hair, WHITE, 0.2), mix(look.hair, BLACK, 0.28)
    for k, at in enumerate(np.linspace(-0.9, 0.9, 9)):
        root = (part + at * 8, look.forehead_y - v + 5)
        bend = (cx + at * (w + sides) * 0.75, look.forehead_y - v * 0.3 + 16 * at * at)
        tip = (cx + at * w, line_y + 26 * at * at - 3)
        canvas.line(smooth([root, bend, tip]), light if k % 2 else dark, 0.9)


def _crown(look: Look, rng: np.random.Generator) -> Points:
    """Returns the outer edge of the hair, left to right; uneven unless it is straight."""
    sides = _sides_px(look)
    height = EAR_Y - 12 - look.forehead_y + look.hair_volume
    edge = arc(look.cx, EAR_Y - 12, look.face_w + sides, height, 180, 360)
    short = look.hair_length < LONG
    uneven = 0.35 * look.wave_px + (1.3 if short and look.wave_px else 0.4)
    bumps = np.interp(np.arange(32), np.arange(0, 32, 2.2), rng.normal(0, 1, 15)) * uneven
    if short:
        # Combed to one side.
        bumps += 3.5 * np.exp(-(((np.arange(32) - 16 - 6 * look.parting) / 5) ** 2))
    lift = np.sin(np.linspace(0, np.pi, 32))
    outward: Points = edge + np.stack([np.zeros(32), -bumps * lift], axis=1)
    return outward


def _locks(canvas: Canvas, look: Look) -> None:
    """Draws long hair that falls in front of the cheeks' edges."""
    cx, w = look.cx, look.face_w
    down = np.linspace(103, min(116 + 105 * look.hair_length, BOTTOM), 12)
    width = np.interp(np.arange(12), [0, 3, 11], [0.2, 1, 0.35])
    for side in (-1, 1):
        sway = look.wave_px * np.sin(down / 5.5 + side)
        middle = cx + side * (w + _sides_px(look) * 0.4) + sway
        half = (_sides_px(look) * 0.5 + 3) * width
        outer = np.stack([middle + side * half, down], axis=1)
        inner = np.stack([middle - side * half, down], axis=1)
        canvas.polygon(np.concatenate([outer, inner[::-1]]), look.hair)
        canvas.line((outer + inner) / 2, mix(look.hair, BLACK, 0.22), 0.8)


def beard(canvas: Canvas, look: Look) -> None:
    """Draws sideburns, goatee or a full beard; stubble is skin."""
    if "No_Beard" in look.has:
        return
    cx, w, chin, has = look.cx, look.face_w, look.chin_y, look.has
    colour = mix(look.hair, BLACK, 0.15)
    if "Sideburns" in has:
        for side in (-1, 1):
            edge = right_edge(look, 100, 148)
            outer = np.stack([cx + side * (edge[:, 0] - cx), edge[:, 1]], axis=1)
            inset = np.stack([np.linspace(7, 4, len(edge)) * side, np.zeros(len(edge))], axis=1)
            canvas.polygon(np.concatenate([outer, (outer - inset)[::-1]]), colour)
    if _full(look):
        inner = [(cx, look.mouth_y + 8), (cx + 18, look.mouth_y + 6), (cx + 24, 142)]
        inner += [(cx + w * 0.8, 136)]
        outer = right_edge(look, 130, 190, 1.0)
        canvas.polygon(mirrored(np.concatenate([smooth(inner), outer]), cx), colour)
        for x in np.linspace(-0.62, 0.62, 9):
            y = chin - 3 - 16 * x * x
            strand = [(cx + x * w, y - 12), (cx + x * w * 0.94, y)]
            canvas.line(strand, mix(colour, WHITE, 0.12), 0.8)
    elif "Goatee" in has:
        right = [(cx + 4, look.mouth_y + 7), (cx + 14, look.mouth_y + 8), (cx + 15, chin - 8)]
        right += [(cx + 8, chin + 1), (cx, chin + 3)]
        canvas.polygon(mirrored(smooth(right), cx), colour)


def _full(look: Look) -> bool:
    """Returns whether the beard covers cheeks and chin: no kind is named, or two that meet."""
    named = look.has & {"Goatee", "Mustache", "Sideburns", "5_o_Clock_Shadow"}
    return "No_Beard" not in look.has and (not named or {"Goatee", "Sideburns"} <= named)


def mustache(canvas: Canvas, look: Look) -> None:
    """Draws a mustache; a full beard has one as well."""
    if "Mustache" not in look.has and not _full(look):
        return
    cx = look.cx + 2 * look.yaw
    y = (look.nose_y + look.mouth_y) / 2
    right = [(cx, y - 3), (cx + 9, y - 1.5), (cx + 18, y + 4), (cx + 20, y + 9), (cx + 12, y + 5)]
    canvas.polygon(mirrored(smooth([*right, (cx, y + 4)]), cx), mix(look.hair, BLACK, 0.15))


def hat(canvas: Canvas, look: Look) -> None:
    """Draws a knitted cap, a cap with a peak, or a hat with a brim."""
    if "Wearing_Hat" not in look.has:
        return
    cx, w = look.cx, look.face_w + max(_sides_px(look), 2) + 2
    colour, band = look.accent, mix(look.accent, BLACK, 0.35)
    if look.frames < 0.4:
        canvas.polygon(arc(cx, 92, w, 56, 180, 360), colour)
        edge = [(cx - w - 1, 82), (cx + w + 1, 82), (cx + w + 1, 96), (cx - w - 1, 96)]
        canvas.polygon(edge, band)
        for at in np.linspace(-0.9, 0.9, 10):
            rib = [(cx + at * w, 83), (cx + at * w, 95)]
            canvas.line(rib, mix(band, WHITE, 0.15), 0.9)
    elif look.frames < 0.7:
        canvas.polygon(arc(cx, 90, w, 52, 180, 360), colour)
        canvas.line(smooth([(cx, 39), (cx + 3, 60), (cx + 3, 84)]), band, 1)
        peak = [(cx - w, 88), (cx - w * 0.5, 82), (cx, 80), (cx + w * 0.5, 82), (cx + w, 88)]
        peak += [(cx + w * 0.8, 97), (cx, 93), (cx - w * 0.8, 97)]
        canvas.polygon(smooth(peak, closed=True), band)
    else:
        canvas.polygon(arc(cx, 88, w * 0.9, 58, 180, 360), colour)
        edge = [(cx - w * 0.93, 76), (cx + w * 0.93, 76), (cx + w, 88), (cx - w, 88)]
        canvas.polygon(edge, band)
        canvas.polygon(arc(cx, 89, w + 22, 8, 0, 360), mix(colour, BLACK, 0.15))
