"""A deterministic CelebA look-alike: cartoon faces in the official files and folders.

In: a SyntheticConfig. Out: a folder that every part of genq reads as CelebA. Same seed, same bytes,
on any number of processes; image n does not depend on how many images follow it. The way of one
image: people.py (who, and which attributes) -> looks.py (measures and colours) -> drawing.py
(shapes) -> photo.py (pose, light, blur, JPEG); folder.py writes.

Importing this imports nothing heavy: the configuration of the pipeline holds a SyntheticConfig.
"""

from data.synthetic.config import SyntheticConfig
from data.synthetic.folder import is_complete, synthesize

__all__ = ["SyntheticConfig", "is_complete", "synthesize"]
