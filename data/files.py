"""Files here or elsewhere: the few operations that ingestion needs, for paths and for URIs.

In: a local path or a URI that Beam's file systems know ("gs://…", "s3://…"). Out: bytes, names,
file objects. Beam is imported only for URIs, so local commands stay quick.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import BinaryIO, Final

from data.errors import DataError

IN_ZIP: Final = "!/"
"""Between the path of a zip and the name of a file in it."""


def is_remote(path: str) -> bool:
    """Returns whether `path` is a URI."""
    return "://" in path


def join(base: str, *parts: str) -> str:
    """Returns the path below `base`; works for both kinds."""
    return "/".join([base.rstrip("/"), *parts])


def exists(path: str) -> bool:
    """Returns whether there is a file or folder."""
    if not is_remote(path):
        return Path(path).exists()
    from apache_beam.io.filesystems import FileSystems

    found: bool = FileSystems.exists(path)
    return found or bool(list_names(path))


def stamp(path: str) -> str:
    """Returns what changes when a file here changes: its size and time; "" for a URI."""
    if is_remote(path):
        return ""
    status = Path(path).stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def read_bytes(path: str) -> bytes:
    """Returns the whole file; of "a.zip!/b.txt", the file in the zip.

    Raises:
      OSError: if it cannot be read.
    """
    archive, inside, name = path.partition(IN_ZIP)
    if inside:
        with open_seekable(archive) as file, zipfile.ZipFile(file) as opened:
            return opened.read(name)
    with open_seekable(path) as file:
        return file.read()


def open_seekable(path: str) -> BinaryIO:
    """Opens for reading; seeking in a remote file reads only the ranges that are asked for."""
    if not is_remote(path):
        return Path(path).open("rb")
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    file: BinaryIO = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return file


def list_names(folder: str) -> list[str]:
    """Returns the names directly in a folder, in no order; empty if there is no such folder.

    Raises:
      DataError: if the folder may not be read.
    """
    if is_remote(folder):
        from apache_beam.io.filesystems import FileSystems

        prefix = folder.rstrip("/") + "/"
        [match] = FileSystems.match([prefix + "*"])
        names = {m.path.removeprefix(prefix).split("/")[0] for m in match.metadata_list}
        return sorted(names - {""})
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        raise DataError(
            f"{folder}: the folder cannot be read: {error.strerror}.",
            f"Give this user the right to read it, e.g. chmod -R u+rX {folder}.",
        ) from error


def list_folders(folder: str) -> list[str]:
    """Returns the names of the folders directly in a folder, in no order.

    An object store has no folders: there they are what precedes the next "/" in some name.
    """
    if is_remote(folder):
        from apache_beam.io.filesystems import FileSystems

        prefix = folder.rstrip("/") + "/"
        [match] = FileSystems.match([prefix + "**"])
        below = {m.path.removeprefix(prefix).partition("/") for m in match.metadata_list}
        return sorted({name for name, slash, _ in below if slash and name})
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        raise DataError(
            f"{folder}: the folder cannot be read: {error.strerror}.",
            f"Give this user the right to read it, e.g. chmod -R u+rX {folder}.",
        ) from error
