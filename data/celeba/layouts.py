"""Where the parts of a CelebA copy lie: the arrangements that people really have.

In: a root folder or URI. Out: a Layout, which names each file. No file is read, only folders are
listed. Found by themselves:

- official folders: `Anno/`, `Eval/`, `Img/`, as the authors' Google Drive has them
- flat: all files in one folder, as torchvision leaves them
- Kaggle: `list_*.csv`, and images in `img_align_celeba/img_align_celeba/`

each with images in a folder or in `img_align_celeba.zip`, which is not unpacked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from data import files
from data.errors import DataError

ATTRIBUTES: Final = "list_attr_celeba"
PARTITION: Final = "list_eval_partition"
IDENTITY: Final = "identity_CelebA"
LANDMARKS: Final = "list_landmarks_align_celeba"
BBOX: Final = "list_bbox_celeba"
IMAGES: Final = "img_align_celeba"

ANNOTATION_FOLDERS: Final = ("Anno", "Eval", "")
IMAGE_FOLDERS: Final = (f"Img/{IMAGES}", f"{IMAGES}/{IMAGES}", IMAGES, "Img", "images")
ZIP_FILES: Final = (f"Img/{IMAGES}.zip", f"{IMAGES}.zip")
IMAGE_SUFFIXES: Final = (".jpg", ".jpeg")

INPUT_PATTERNS: Final[dict[str, str]] = {
    **{
        f"annotations_{folder or 'root'}_{suffix}".lower(): f"{folder}/*.{suffix}".lstrip("/")
        for folder in ANNOTATION_FOLDERS
        for suffix in ("txt", "csv")
    },
    **{
        f"images_{folder}".lower().replace("/", "_"): f"{folder}/*.jp*g" for folder in IMAGE_FOLDERS
    },
    **{f"zip_{path}".lower().replace("/", "_"): path for path in ZIP_FILES},
}
"""Name -> glob below the root. Together they match every file that any layout reads, so a
fingerprint over them sees every change, and a pipeline can be compiled where the data is not."""


@dataclass(frozen=True)
class Layout:
    """Where each part lies.

    Attributes:
      name: for people, e.g. "official folders, images in a zip".
      table_format: of the annotation files.
      attributes: path of the attribute file; always there.
      partition, identity, landmarks, bbox: paths, or None where the copy lacks the file.
      images: path of the folder or of the zip.
      images_kind: which of the two.
    """

    name: str
    root: str
    table_format: Literal["txt", "csv"]
    attributes: str
    partition: str | None
    identity: str | None
    landmarks: str | None
    bbox: str | None
    images: str
    images_kind: Literal["folder", "zip"]

    @property
    def annotation_files(self) -> tuple[str, ...]:
        """Paths of the annotation files that are there and are read."""
        parts = (self.attributes, self.partition, self.identity, self.landmarks)
        return tuple(p for p in parts if p is not None)

    @property
    def missing_parts(self) -> tuple[str, ...]:
        """Names of the optional files that this copy lacks."""
        parts = {
            PARTITION: self.partition,
            IDENTITY: self.identity,
            LANDMARKS: self.landmarks,
            BBOX: self.bbox,
        }
        return tuple(name for name, path in parts.items() if path is None)


def find_layout(root: str) -> Layout:
    """Finds out how the copy below `root` is arranged.

    Raises:
      DataError: if there is no attribute file or there are no images; lists what was looked for.
    """
    root = root.rstrip("/")
    listed = {folder: set(files.list_names(_below(root, folder))) for folder in ANNOTATION_FOLDERS}
    if not any(listed.values()):
        raise DataError(
            f"{root}: there is no such folder, or it is empty.",
            "Give the folder that holds CelebA's files. `genq data fetch` obtains them; "
            "`genq data synthesize` draws a look-alike.",
        )
    found = {
        part: _find(root, part, listed)
        for part in (ATTRIBUTES, PARTITION, IDENTITY, LANDMARKS, BBOX)
    }
    attributes = found[ATTRIBUTES]
    if attributes is None:
        places = ", ".join(
            f"{folder}/{ATTRIBUTES}.{suffix}".lstrip("/")
            for folder in ANNOTATION_FOLDERS
            for suffix in ("txt", "csv")
        )
        raise DataError(
            f"{root}: no attribute file. Looked for {places}.",
            "Put CelebA's attribute file there, or give the folder that holds it.",
        )
    images, images_kind = _find_images(root)
    table_format: Literal["txt", "csv"] = "csv" if attributes.endswith(".csv") else "txt"
    if table_format == "csv":
        style = "Kaggle's CSV files"
    else:
        style = "official folders" if "/Anno/" in attributes else "flat folder"
    return Layout(
        name=f"{style}, images in a {images_kind}",
        root=root,
        table_format=table_format,
        attributes=attributes,
        partition=found[PARTITION],
        identity=found[IDENTITY],
        landmarks=found[LANDMARKS],
        bbox=found[BBOX],
        images=images,
        images_kind=images_kind,
    )


def _below(root: str, folder: str) -> str:
    return files.join(root, folder) if folder else root


def _find(root: str, part: str, listed: dict[str, set[str]]) -> str | None:
    """Returns the part's path; a .txt wins over a .csv of the same part."""
    for suffix in ("txt", "csv"):
        for folder, names in listed.items():
            if f"{part}.{suffix}" in names:
                return files.join(_below(root, folder), f"{part}.{suffix}")
    return None


def _find_images(root: str) -> tuple[str, Literal["folder", "zip"]]:
    """Returns where the images are; a folder that holds images wins over a zip."""
    for folder in IMAGE_FOLDERS:
        path = files.join(root, folder)
        if any(name.lower().endswith(IMAGE_SUFFIXES) for name in files.list_names(path)):
            return path, "folder"
    for file in ZIP_FILES:
        path = files.join(root, file)
        if files.exists(path):
            return path, "zip"
    raise DataError(
        f"{root}: no images. Looked for *.jpg in {', '.join(IMAGE_FOLDERS)}, and for "
        f"{', '.join(ZIP_FILES)}.",
        "Put img_align_celeba.zip there (it need not be unpacked), or the folder of images.",
    )
