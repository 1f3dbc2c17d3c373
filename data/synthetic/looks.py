"""From attributes to measures and colours: everything that drawing.py needs to know.

In: a Photo. Out: a Look. Lengths are pixels of the finished 178x218 image, colours RGB, 0-255.

No attribute is the label, and no measure tells it alone. What is not an attribute of CelebA but
goes with Male (jaw, brows, neck, hair length, lashes) is a cue: a normal number whose mean differs
by CUES standard deviations between the two, by much less for people who are not Young. So older
faces are harder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from data import contract
from data.synthetic.people import Photo, generator

Colour = tuple[int, int, int]

CUES: Final = {"jaw": 1.5, "brow": 1.2, "neck": 1.0, "hair": 2.7, "lashes": 0.8, "chin": 0.8}
"""Cue -> distance of the two means in standard deviations."""
CUE_OF_THE_OLD: Final = 0.65
"""Share of that distance left for people who are not Young."""

SKIN_TONES: Final[tuple[Colour, ...]] = (
    (250, 228, 214),
    (244, 213, 192),
    (236, 196, 168),
    (224, 176, 142),
    (205, 151, 113),
    (178, 122, 86),
    (150, 98, 66),
    (118, 74, 50),
    (88, 55, 39),
    (64, 41, 31),
)
"""From light to dark, after the ten steps of the Monk Skin Tone scale (skintone.google), made
somewhat warmer. The first step is for Pale_Skin."""

HAIR_COLOURS: Final[dict[str, tuple[Colour, Colour]]] = {
    "Black_Hair": ((18, 16, 18), (38, 32, 32)),
    "Brown_Hair": ((72, 44, 26), (110, 70, 42)),
    "Blond_Hair": ((202, 164, 96), (238, 210, 150)),
    "Gray_Hair": ((140, 140, 144), (206, 206, 208)),
    "": ((50, 32, 24), (150, 72, 40)),
}
"""Attribute -> the two ends of its range; "" is what annotators gave no name."""
EYE_COLOURS: Final[tuple[Colour, ...]] = (
    (70, 44, 26),
    (92, 62, 34),
    (44, 30, 22),
    (80, 110, 140),
    (96, 122, 92),
    (104, 118, 126),
)
LIPSTICKS: Final[tuple[Colour, ...]] = (
    (186, 8, 34),
    (208, 30, 84),
    (140, 14, 52),
    (222, 56, 60),
    (176, 28, 110),
)


@dataclass(frozen=True)
class Look:
    """One face and its picture.

    Attributes:
      has: the attributes that are 1, but for the label.
      cx: x of the face's midline; yaw shifts it against the eyes.
      yaw, roll_deg: of the head; yaw from -1 to 1.
      face_w: half the width at the cheeks. jaw: exponent of the lower outline; less is squarer.
      hair_length: 0 cropped to 1 far below the shoulders.
      lips, lip_ink: colour, and how much of it covers the skin, 0 to 1.
      light, contrast, tilt: of the exposure; tilt_deg is where the light comes from.
      blur_px: radius of the Gaussian.
    """

    has: frozenset[str]
    cx: float
    yaw: float
    roll_deg: float
    face_w: float
    jaw: float
    chin_y: float
    forehead_y: float
    neck_w: float
    brow_px: float
    brow_arch: float
    eye_h: float
    lash_px: float
    nose_w: float
    nose_y: float
    mouth_w: float
    mouth_y: float
    lip_px: float
    smile: float
    open_px: float
    hair_length: float
    hair_volume: float
    parting: float
    wave_px: float
    stubble: float
    skin: Colour
    hair: Colour
    eyes: Colour
    lips: Colour
    lip_ink: float
    makeup: float
    top: Colour
    accent: Colour
    background: tuple[Colour, Colour]
    frames: float
    light: float
    contrast: float
    tilt: float
    tilt_deg: float
    blur_px: float
    noise: float
    seed: int

    def shade(self, amount: float) -> Colour:
        """Returns the skin in shadow, 0 to 1, or in light, below 0."""
        if amount < 0:
            return mix(self.skin, (255, 246, 236), -amount)
        return mix(self.skin, (70, 26, 18), amount)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Returns the colour at `share` of the way from a to b."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def look_of(photo: Photo, seed: int) -> Look:
    """Returns the look of one image; what is the person's is the same on all their images."""
    own = generator(seed, "looks", photo.identity)
    here = generator(seed, "picture", photo.number)
    has = photo.attributes - {contract.MALE}
    male = contract.MALE in photo.attributes
    young = "Young" in has

    # Every number is drawn whatever the attributes, so that one attribute changes nothing else.
    sign = (1 if male else -1) * (1.0 if young else CUE_OF_THE_OLD)
    cue = {name: sign * distance / 2 + own.normal() for name, distance in CUES.items()}
    # Hair is cut and pinned up.
    cue["hair"] = cue["hair"] * 0.95 + here.normal() * 0.3
    face, nose, mouth, eye, height, volume, arch, lip, red = own.normal(size=9).tolist()
    smile, gap, turn, roll, ink, light, contrast = here.normal(size=7).tolist()
    paint, powder, stubble, blur, tilt, angle, frames, noise = here.random(8).tolist()

    def colour(low: int, high: int) -> Colour:
        r, g, b = here.integers(low, high, 3).tolist()
        return r, g, b

    light_step, step = 0.6 * own.random(), 0.9 + 8.1 * float(own.beta(0.9, 1.5))
    step = light_step if "Pale_Skin" in has else step
    skin = mix(SKIN_TONES[int(step)], SKIN_TONES[min(int(step) + 1, 9)], step % 1)
    name = next((n for n in HAIR_COLOURS if n in has), "")
    ends = HAIR_COLOURS["Gray_Hair" if "Bald" in has and not young else name]
    hair = mix(*ends, float(own.random()))
    eyes = EYE_COLOURS[int(own.integers(len(EYE_COLOURS)))]
    parting = float(own.uniform(-1, 1))
    own_lips = mix(skin, (170, 70, 70), 0.25 + 0.08 * red)
    lipstick = LIPSTICKS[int(paint * len(LIPSTICKS))]
    painted, made_up = "Wearing_Lipstick" in has, "Heavy_Makeup" in has
    smiling = "Smiling" in has
    chubby, oval = "Chubby" in has, "Oval_Face" in has
    pointy, big_nose = "Pointy_Nose" in has, "Big_Nose" in has
    yaw = float(np.clip(0.4 * turn, -1, 1))
    backdrop = mix(colour(30, 225), (128, 128, 128), 0.45)
    return Look(
        has=has,
        cx=88.5 + 3.5 * yaw,
        yaw=yaw,
        roll_deg=float(np.clip(2.5 * roll, -7, 7)),
        face_w=43 + 1.6 * face + 4.5 * chubby - 2.2 * oval,
        jaw=float(np.clip(0.78 - 0.13 * cue["jaw"] - 0.12 * chubby + 0.06 * oval, 0.45, 1.2)),
        chin_y=177 + 1.5 * height + 2.4 * cue["chin"] + 2.5 * oval,
        forehead_y=64 + 1.5 * height,
        neck_w=25 + 2.8 * cue["neck"] + 3 * chubby,
        brow_px=float(np.clip(3.5 + 1.0 * cue["brow"] + 2.4 * ("Bushy_Eyebrows" in has), 1.2, 8)),
        brow_arch=1.5 + 4.0 * ("Arched_Eyebrows" in has) + 0.6 * arch,
        eye_h=(6.4 + 0.5 * eye) * (0.58 if "Narrow_Eyes" in has else 1) - 0.7 * smiling,
        lash_px=float(np.clip(1.3 - 0.3 * cue["lashes"] + 1.1 * made_up, 0.4, 3.2)),
        nose_w=9.2 + 0.8 * nose + 3.4 * big_nose - 1.8 * pointy,
        nose_y=137 + 1.2 * mouth + 1.5 * pointy,
        mouth_w=15 + mouth + 3.2 * smiling,
        mouth_y=153 + 1.2 * mouth,
        lip_px=3.2 + 1.8 * ("Big_Lips" in has) + 0.9 * painted + 0.3 * lip,
        smile=4.2 + 0.8 * smile if smiling else -0.3 + 0.9 * smile,
        open_px=max(3.0, 5.0 + gap) if "Mouth_Slightly_Open" in has else 0.0,
        hair_length=float(np.clip(0.42 - 0.27 * cue["hair"], 0, 1)),
        hair_volume=float(np.clip(8 + 2.0 * volume + 3 * ("Wavy_Hair" in has), 3, 16)),
        parting=parting,
        wave_px=2.6 if "Wavy_Hair" in has else 0.0 if "Straight_Hair" in has else 0.9,
        stubble=0.4 + 0.35 * stubble if "5_o_Clock_Shadow" in has else 0.0,
        skin=skin,
        hair=hair,
        eyes=eyes,
        lips=lipstick if painted else own_lips,
        lip_ink=float(np.clip(0.8 + 0.18 * ink, 0.25, 1)) if painted else 1.0,
        makeup=0.5 + 0.5 * powder if made_up else 0.0,
        top=colour(15, 240),
        accent=colour(20, 230),
        background=(backdrop, mix(backdrop, colour(0, 255), 0.3)),
        frames=frames,
        light=float(np.clip(0.92 + 0.1 * light, 0.6, 1.15)),
        contrast=float(np.clip(1 + 0.1 * contrast, 0.7, 1.25)),
        tilt=0.27 * tilt,
        tilt_deg=360 * angle,
        blur_px=2.6 + 2.0 * blur if "Blurry" in has else 0.7 * blur,
        noise=0.5 + 3 * noise,
        seed=int(here.integers(2**31)),
    )
