"""Where the parts of a CelebA copy lie: the arrangements that people really have.

In: a root folder or URI. Out: a Layout, which names each file. Folders are listed, and of a zip its
directory is read; nothing else. Found by themselves, in the root or up to three folders down:

- official folders: `Anno/`, `Eval/`, `Img/`, as the authors' Google Drive has them
- flat: all files in one folder, as torchvision leaves them
- Kaggle: `list_*.csv`, and images in `img_align_celeba/img_align_celeba/`

each with images in a folder or in a zip, which is not unpacked; and

- a zip with annotations and images, such as Kaggle's `archive.zip`
- Parquet files with a column of images, as the Hugging Face Hub has them
- TFRecord files, as TensorFlow Datasets prepares celeb_a
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
IMAGE_FOLDERS: Final = (
    *(f"Img/{IMAGES}", f"{IMAGES}/{IMAGES}", IMAGES, "Img", "images"),
    *(f"Img/{IMAGES}_png", f"{IMAGES}_png", ""),
)
ZIP_FILES: Final = (f"Img/{IMAGES}.zip", f"{IMAGES}.zip")
IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png")
TABLES: Final = ("parquet", "tfrecord")
"""Kinds of files that hold annotations and images."""
DEPTH: Final = 3
"""So many folders down a copy is looked for: `tensorflow_datasets/celeb_a/2.1.0/`."""
_MOST_FOLDERS: Final = 60

INPUT_PATTERNS: Final[dict[str, str]] = {
    **{
        f"annotations_{folder or 'root'}_{suffix}".lower(): f"{folder}/*.{suffix}".lstrip("/")
        for folder in ANNOTATION_FOLDERS
        for suffix in ("txt", "csv")
    },
    **{
        f"images_{folder or 'root'}_{name}".lower().replace("/", "_"): (
            f"{folder}/{pattern}".lstrip("/")
        )
        for folder in IMAGE_FOLDERS
        for name, pattern in (("jpg", "*.jp*g"), ("png", "*.png"))
    },
    "zip_img": f"Img/{IMAGES}.zip",
    **{kind: f"*.{kind}*" for kind in ("zip", *TABLES)},
}
"""Name -> glob below the root. Together they match every file that any layout reads, so a
fingerprint over them sees every change, and a pipeline can be compiled where the data is not."""


@dataclass(frozen=True)
class Layout:
    """Where each part lies.

    Attributes:
      name: for people, e.g. "official folders, images in a zip".
      root: the folder that holds the copy; it may be below the one that was named.
      attributes: path of the attribute file; of tables, of their folder; always there.
      partition, identity, landmarks, bbox: paths, or None where the copy lacks the file.
      images: path of the folder or of the zip; of tables, of their folder.
      images_kind: which of these.
    """

    name: str
    root: str
    attributes: str
    partition: str | None
    identity: str | None
    landmarks: str | None
    bbox: str | None
    images: str
    images_kind: Literal["folder", "zip", "parquet", "tfrecord"]

    @property
    def annotation_files(self) -> tuple[str, ...]:
        """Paths of the annotation files that are there and are read; of tables none."""
        if self.images_kind in TABLES:
            return ()
        parts = (self.attributes, self.partition, self.identity, self.landmarks)
        return tuple(p for p in parts if p is not None)

    @property
    def missing_parts(self) -> tuple[str, ...]:
        """Names of the optional files that this copy lacks; of tables none."""
        if self.images_kind in TABLES:
            return ()
        parts = {
            PARTITION: self.partition,
            IDENTITY: self.identity,
            LANDMARKS: self.landmarks,
            BBOX: self.bbox,
        }
        return tuple(name for name, path in parts.items() if path is None)


def find_layout(root: str) -> Layout:
    """Finds out how the copy in `root`, or in a folder below it, is arranged.

    Raises:
      DataError: if there is no attribute file or there are no images, and says what was looked for;
        or if there are several copies.
    """
    root = root.rstrip("/")
    if root.lower().endswith(".zip"):
        return _zip_layout(root)
    level = [root]
    for _ in range(DEPTH + 1):
        found = [layout for folder in level if (layout := _layout_at(folder)) is not None]
        if len(found) > 1:
            places = ", ".join(layout.root for layout in found[:5])
            raise DataError(
                f"{root}: holds {len(found)} copies: {places}.", "Name the one that is meant."
            )
        if found:
            return found[0]
        level = [child for folder in level for child in _children(folder)][:_MOST_FOLDERS]
    from data.celeba.not_found import nothing_found  # which knows this module

    raise nothing_found(root)


def _layout_at(folder: str) -> Layout | None:
    """Returns the layout of the copy directly in a folder, or None.

    Raises:
      DataError: if there are annotations, and no images.
    """
    listed = {sub: set(files.list_names(_below(folder, sub))) for sub in ANNOTATION_FOLDERS}
    found = {
        part: _find(folder, part, listed)
        for part in (ATTRIBUTES, PARTITION, IDENTITY, LANDMARKS, BBOX)
    }
    attributes = found[ATTRIBUTES]
    if attributes is None:
        return _packed_layout(folder, listed[""], found)
    images, images_kind = _find_images(folder)
    if "/Anno/" in attributes:
        style = "official folders"
    else:
        style = "Kaggle's CSV files" if attributes.endswith(".csv") else "flat folder"
    return Layout(
        name=f"{style}, images in a {images_kind}",
        root=folder,
        attributes=attributes,
        partition=found[PARTITION],
        identity=found[IDENTITY],
        landmarks=found[LANDMARKS],
        bbox=found[BBOX],
        images=images,
        images_kind=images_kind,
    )


def _packed_layout(folder: str, names: set[str], beside: Mapping[str, str | None]) -> Layout | None:
    """Returns the layout of Parquet files, TFRecord files or one zip in a folder, or None.

    Annotation files that the zip lacks may be `beside` it.
    """
    kinds: tuple[tuple[Literal["parquet", "tfrecord"], str], ...] = (
        ("parquet", "Hugging Face's Parquet files"),
        ("tfrecord", "TFDS's TFRecord files"),
    )
    for kind, name in kinds:
        if any(is_part(n, kind) for n in names):
            return Layout(name, folder, folder, None, None, None, None, folder, kind)
    for name in sorted(names):
        if name.lower().endswith(".zip") and name != f"{IMAGES}.zip":
            members = _members(files.join(folder, name))
            if any(_part_of(member) == ATTRIBUTES for member in members):
                layout = _zip_layout(files.join(folder, name))
                return replace(
                    layout,
                    partition=layout.partition or beside[PARTITION],
                    identity=layout.identity or beside[IDENTITY],
                    landmarks=layout.landmarks or beside[LANDMARKS],
                    bbox=layout.bbox or beside[BBOX],
                )
    return None


def is_part(name: str, kind: str) -> bool:
    """Returns whether a file is one of a table's."""
    if kind == "parquet":
        return name.endswith(".parquet")
    return ".tfrecord" in name and not name.endswith((".json", ".gz", ".index"))


def _members(path: str) -> list[str]:
    """Returns the names in a zip; none if it is no zip."""
    try:
        with files.open_seekable(path) as file, zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return []


def _part_of(member: str) -> str | None:
    """Returns which annotation file a name in a zip is, or None."""
    stem, _, suffix = member.rpartition("/")[2].rpartition(".")
    known = stem in (ATTRIBUTES, PARTITION, IDENTITY, LANDMARKS, BBOX)
    return stem if known and suffix in ("txt", "csv") else None


def _zip_layout(path: str) -> Layout:
    """Returns the layout of a zip that holds annotations and images.

    Raises:
      DataError: if it is no zip, or holds other things.
    """
    members = _members(path)
    if not members:
        raise DataError(
            f"{path}: there is no such file, or it is no zip, or cut off.",
            "Name the folder or the zip with CelebA's files; if it was cut off, fetch it again.",
        )
    parts = {part: m for m in members if (part := _part_of(m)) and "__MACOSX" not in m}
    if ATTRIBUTES not in parts:
        raise DataError(
            f"{path}: there is no {ATTRIBUTES}.txt or .csv in this zip.",
            "Put it into a folder with the annotation files, and name the folder.",
        )
    if not any(m.lower().endswith(IMAGE_SUFFIXES) for m in members):
        inner = next((m for m in members if m.endswith(f"{IMAGES}.zip")), None)
        raise DataError(
            f"{path}: there are annotations in this zip, and no images"
            + (f"; {inner} is a zip in the zip." if inner else "."),
            f"Unpack it, and name the folder: unzip {path} -d {path.removesuffix('.zip')}",
        )
    paths = {part: f"{path}{files.IN_ZIP}{member}" for part, member in parts.items()}
    return Layout(
        name="a zip with annotations and images",
        root=path.rpartition("/")[0] or ".",
        attributes=paths[ATTRIBUTES],
        partition=paths.get(PARTITION),
        identity=paths.get(IDENTITY),
        landmarks=paths.get(LANDMARKS),
        bbox=paths.get(BBOX),
        images=path,
        images_kind="zip",
    )


def _children(folder: str) -> list[str]:
    """Returns the folders in a folder that may hold a copy."""
    names = [n for n in files.list_folders(folder) if not n.startswith((".", "span-"))]
    return [files.join(folder, name) for name in sorted(names)[:_MOST_FOLDERS]]


def _below(root: str, folder: str) -> str:
    return files.join(root, folder) if folder else root


def _find(root: str, part: str, listed: dict[str, set[str]]) -> str | None:
    """Returns the part's path, in whatever case; a .txt wins over a .csv of the same part."""
    for suffix in ("txt", "csv"):
        wanted = f"{part}.{suffix}"
        for folder, names in listed.items():
            alike = sorted(n for n in names if n.lower() == wanted.lower())
            if alike:
                name = wanted if wanted in alike else alike[0]
                return files.join(_below(root, folder), name)
    return None


def _find_images(root: str) -> tuple[str, Literal["folder", "zip"]]:
    """Returns where the images are; a folder that holds images wins over a zip."""
    for folder in IMAGE_FOLDERS:
        path = _below(root, folder)
        if any(name.lower().endswith(IMAGE_SUFFIXES) for name in files.list_names(path)):
            return path, "folder"
    for file in ZIP_FILES:
        path = files.join(root, file)
        if files.exists(path):
            return path, "zip"
    from data.celeba.not_found import packed  # which knows this module

    names = files.list_names(root)
    archives = [files.join(root, n) for n in sorted(names) if n.lower().endswith(".zip")]
    zips = [
        path
        for path in archives
        if any(member.lower().endswith(IMAGE_SUFFIXES) for member in _members(path))
    ]
    if len(zips) == 1:
        return zips[0], "zip"
    if zips:
        raise DataError(
            f"{root}: no folder of images, and {len(zips)} zips with images: {', '.join(zips)}.",
            f"Call the one that is meant {IMAGES}.zip, or move the others away.",
        )
    if (found := packed(root, [*names, *files.list_names(files.join(root, "Img"))])) is not None:
        raise found
    raise DataError(
        f"{root}: annotations, and no images. Looked for *.jpg and *.png in "
        f"{', '.join(folder or 'the folder itself' for folder in IMAGE_FOLDERS)}, and for "
        f"{', '.join(ZIP_FILES)}.",
        "Put img_align_celeba.zip there (it need not be unpacked), or the folder of images under "
        "the name img_align_celeba.",
    )
