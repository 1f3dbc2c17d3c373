"""KFP's artifacts as TFX's, and back.

In: what KFP's driver says of an artifact: its URI in the object store, its metadata, and, for an
input, an empty type. Out: a TFX artifact of the right class whose URI is the local path to which
KFP's launcher downloads, or from which it uploads. TFX is imported only where
it is needed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from data.errors import ConfigError

if TYPE_CHECKING:
    from tfx.types import Artifact

LAUNCHER_ROOT: Final = "GENQ_LAUNCHER_ROOT"
"""Environment variable: below which folder the launcher's are; "/" in a cluster."""

FOLDERS: Final = {"minio://": "minio", "s3://": "s3", "gs://": "gcs"}
"""Scheme -> the launcher's folder (LocalPathForURI in KFP's launcher_v2.go; Vertex mounts /gcs)."""

OF_KFP: Final = frozenset({"display_name", "store_session_info"})
"""Metadata that KFP adds to every artifact."""


def local_path(uri: str) -> Path:
    """Returns where the launcher has an artifact; a local path stays as it is.

    Raises:
      ConfigError: if the launcher knows no folder for this kind of URI.
    """
    if "://" not in uri:
        return Path(uri)
    for scheme, folder in FOLDERS.items():
        if uri.startswith(scheme):
            return Path(os.environ.get(LAUNCHER_ROOT, "/")) / folder / uri.removeprefix(scheme)
    raise ConfigError(
        f"{uri}: the launcher has no local path for this kind of URI; expected "
        f"{', '.join(FOLDERS)}.",
        "Change pipeline_root, and compile again.",
    )


def to_tfx(artifact: Mapping[str, Any], class_path: str) -> Artifact:
    """Returns the artifact as executors know it.

    Args:
      artifact: a RuntimeArtifact as JSON.
      class_path: import path of its class.
    """
    from tfx.utils import import_utils

    result = import_utils.import_class_by_path(class_path)()
    result.uri = str(local_path(artifact["uri"]))
    if name := artifact.get("name"):
        result.id = identifier(name)
    declared = result.artifact_type.properties
    for key, value in artifact.get("metadata", {}).items():
        if key in OF_KFP or value is None:
            continue
        kind = declared.get(key, None)
        store = result.mlmd_artifact
        target = (store.properties if kind is not None else store.custom_properties)[key]
        _set(target, value, kind)
    return result


def metadata(artifact: Artifact) -> dict[str, Any]:
    """Returns an artifact's properties as KFP keeps them."""
    result: dict[str, Any] = {}
    for values in (artifact.mlmd_artifact.properties, artifact.mlmd_artifact.custom_properties):
        for key, value in values.items():
            if kind := value.WhichOneof("value"):
                result[key] = getattr(value, kind)
    return result


def identifier(name: str) -> int:
    """Returns a number for an artifact: KFP's names are numbers, Vertex's are paths.

    48 bits: it travels as JSON, whose numbers are exact up to 53.
    """
    if name.isdecimal():
        return int(name)
    return int(hashlib.sha256(name.encode()).hexdigest()[:12], 16)


def _set(target: Any, value: Any, kind: int | None) -> None:
    """Sets an MLMD value; JSON knows no whole numbers, and executors ask for them."""
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    if isinstance(value, bool):
        target.int_value = int(value)
    elif isinstance(value, int | float):
        if kind == mlmd.DOUBLE or (kind is None and value != int(value)):
            target.double_value = value
        else:
            target.int_value = int(value)
    else:
        target.string_value = str(value)
