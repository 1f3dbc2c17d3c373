"""Metadata and files agree again after a work directory was moved, copied or partly deleted.

In: a metadata store and the place where it lies now. Out: the same store, in which every artifact's
path is below that place, and artifacts whose files are gone are marked DELETED. TFX's resolvers and
its cache use LIVE artifacts only, so a node whose output was deleted runs again, and no lookup
finds a model that is no longer there.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.approval import DIGEST, model_digest

FILES: Final = "genq_files"
"""Custom property of an artifact: how many files it had when its node ended."""
GONE: Final = "genq_gone"
"""Custom property of an artifact: 1 while `mark_missing` holds it to be DELETED."""


def relocate(store: MetadataStore, workdir: Path, root: Path) -> list[Path]:
    """Rewrites the paths of artifacts that are not below `root`, though this pipeline made them.

    Args:
      store: of the work directory.
      workdir: absolute path of the work directory.
      root: folder of the artifacts, in it.

    Returns:
      the places where the work directory was before; none where nothing was rewritten, or only the
      spelling of the same folder.
    """
    elsewhere = [
        artifact
        for artifact in store.get_artifacts()
        if artifact.uri.startswith("/") and not _below(artifact.uri, root)
    ]
    places = _old_places(store, elsewhere, workdir, root) if elsewhere else set()
    changed = []
    for artifact in elsewhere:
        for old in places:
            if _below(artifact.uri, old):
                artifact.uri = _moved(artifact.uri, old, workdir)
                for value in artifact.custom_properties.values():
                    if value.WhichOneof("value") == "string_value":
                        value.string_value = _moved(value.string_value, old, workdir)
                changed.append(artifact)
                break
    if changed:
        store.put_artifacts(changed)
    return sorted(old for old in places if not _same_folder(old, workdir))


def _old_places(
    store: MetadataStore, artifacts: Iterable[mlmd.Artifact], workdir: Path, root: Path
) -> set[Path]:
    """Returns the work directories that the paths of these artifacts begin with.

    TFX's layout is <root>/<node>/<output key>/<execution id>: what precedes this is the root of
    that time. Paths of another form were given by somebody and are not ours to change.
    """
    uris = {artifact.id: artifact.uri for artifact in artifacts}
    places = set()
    depth = len(root.relative_to(workdir).parts)
    for event in store.get_events_by_artifact_ids(list(uris)):
        if event.type != mlmd.Event.OUTPUT or not event.path.steps:
            continue
        tail = f"/{event.path.steps[0].key}/{event.execution_id}"
        before, found, after = uris[event.artifact_id].partition(tail)
        if found and (not after or after.startswith("/")):
            old_root = Path(before).parent
            if len(old_root.parts) > depth:
                places.add(old_root.parents[depth - 1] if depth else old_root)
    return places


def mark_missing(store: MetadataStore, root: Path) -> tuple[list[str], list[str]]:
    """Marks artifacts below `root` whose files are gone, and unmarks those whose files are back.

    Only to be called while holding the lock of `root`.

    Returns:
      gone: paths below `root` of the artifacts that are newly marked, e.g. "trainer/model/7".
      back: of those that are LIVE again.
    """
    gone, back = [], []
    for artifact in store.get_artifacts():
        if not _below(artifact.uri, root):
            continue
        marked = artifact.custom_properties[GONE].int_value == 1
        if artifact.state == mlmd.Artifact.LIVE and not whole(artifact):
            artifact.state = mlmd.Artifact.DELETED
            artifact.custom_properties[GONE].int_value = 1
            gone.append(artifact)
        elif artifact.state == mlmd.Artifact.DELETED and marked and whole(artifact):
            artifact.state = mlmd.Artifact.LIVE
            artifact.custom_properties[GONE].int_value = 0
            back.append(artifact)
    if gone or back:
        store.put_artifacts([*gone, *back])
    return [_name(a, root) for a in gone], [_name(a, root) for a in back]


def whole(artifact: mlmd.Artifact) -> bool:
    """Returns whether an artifact's files are there: as many as when its node ended, or more."""
    path = Path(artifact.uri)
    if not path.exists():
        return False
    wanted: int = artifact.custom_properties[FILES].int_value
    return count_files(path) >= wanted


def record_files(store: MetadataStore, execution_id: int, root: Path) -> None:
    """Writes onto the outputs of an execution how many files each has, and a model's digest."""
    events = store.get_events_by_execution_ids([execution_id])
    outputs = [e.artifact_id for e in events if e.type == mlmd.Event.OUTPUT]
    artifacts = [a for a in store.get_artifacts_by_id(outputs) if _below(a.uri, root)]
    for artifact in artifacts:
        artifact.custom_properties[FILES].int_value = count_files(Path(artifact.uri))
        if artifact.type == "Model":
            artifact.custom_properties[DIGEST].string_value = model_digest(Path(artifact.uri))
    if artifacts:
        store.put_artifacts(artifacts)


def count_files(path: Path) -> int:
    """Returns the number of files below a folder; 1 for a file."""
    if path.is_file():
        return 1
    return sum(len(names) for _, _, names in os.walk(path))


def by_node(names: Iterable[str]) -> str:
    """Returns "trainer (2), model-exporter (1)" of paths below the root."""
    return ", ".join(
        f"{node} ({count})" for node, count in Counter(n.split("/")[0] for n in names).items()
    )


def _name(artifact: mlmd.Artifact, root: Path) -> str:
    return str(Path(artifact.uri).relative_to(root))


def _below(uri: str, folder: Path) -> bool:
    return uri == str(folder) or uri.startswith(f"{folder}/")


def _moved(text: str, old: Path, new: Path) -> str:
    return f"{new}{text[len(str(old)) :]}" if _below(text, old) else text


def _same_folder(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False
