"""`genq clean`: what takes how much disk in a work directory, and what nobody needs any more.

In: a metadata store and its work directory. Out: a Plan, and on demand its removal.

- The newest run, and every run whose model was blessed or released, keeps all its results.
- Any other run that wrote a report keeps what `genq report` reads, and loses the rest: the model.
- Runs that failed, and folders that the metadata do not know, lose everything.
- The cache of activations only saves time; it goes on demand.

What is removed is marked DELETED in the metadata first: TFX then makes it again where it is needed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.evaluation_report.artifacts import METRICS
from pipeline.history.place import GONE
from pipeline.history.reports import INPUTS
from pipeline.history.runs import REPORT_NODE
from pipeline.history.summary import PIPELINE_RUN, run_outputs

BLESSED: Final = "blessed"
CACHE: Final = "cache"


@dataclass(frozen=True)
class Item:
    """A folder of results.

    Attributes:
      path: of the folder.
      node: that wrote it.
      size_bytes: of all files in it.
      artifact: id in the metadata; None if they do not know it.
      why: who needs it; "" is nobody.
    """

    path: Path
    node: str
    size_bytes: int
    artifact: int | None
    why: str


@dataclass(frozen=True)
class Plan:
    """What is there.

    Attributes:
      items: all folders of results, by node and age.
      cache: folder of the cache of activations.
      cache_bytes: its size.
    """

    items: tuple[Item, ...]
    cache: Path
    cache_bytes: int

    @property
    def removable(self) -> tuple[Item, ...]:
        """Those that nobody needs."""
        return tuple(item for item in self.items if not item.why)


def plan(store: MetadataStore, workdir: Path, root: Path) -> Plan:
    """Finds out what is needed, and how large everything is; changes nothing."""
    needed = _needed(store)
    # A path may be that of several artifacts: a reviewer's decision has the path of its model.
    known: dict[Path, list[mlmd.Artifact]] = {}
    for artifact in store.get_artifacts():
        known.setdefault(Path(artifact.uri), []).append(artifact)
    items = []
    for node in sorted(p for p in root.iterdir() if p.is_dir()):
        for key in sorted(p for p in node.iterdir() if p.is_dir() and p.name != ".system"):
            for folder in sorted(key.iterdir(), key=lambda p: (len(p.name), p.name)):
                # A value artifact's path is that of a file in its folder.
                own = known.get(folder) or known.get(folder / "value") or []
                why = next((needed[a.id] for a in own if a.id in needed), "")
                first = own[0].id if own else None
                items.append(Item(folder, node.name, _size(folder), first, why))
    return Plan(tuple(items), workdir / CACHE, _size(workdir / CACHE))


def remove(store: MetadataStore, found: Plan, *, cache: bool = False) -> int:
    """Removes what nobody needs; returns how many bytes that frees.

    Only to be called while holding the lock of the artifacts.

    Args:
      store: of the work directory.
      found: of `plan`.
      cache: remove the cache of activations as well.
    """
    items = found.removable
    gone = store.get_artifacts_by_id([i.artifact for i in items if i.artifact is not None])
    for artifact in gone:
        artifact.state = mlmd.Artifact.DELETED
        artifact.custom_properties[GONE].int_value = 1
    if gone:
        store.put_artifacts(gone)
    for item in items:
        shutil.rmtree(item.path) if item.path.is_dir() else item.path.unlink()
    freed = sum(item.size_bytes for item in items)
    if cache and found.cache.is_dir():
        shutil.rmtree(found.cache)
        freed += found.cache_bytes
    return freed


def _needed(store: MetadataStore) -> dict[int, str]:
    """Returns artifact id -> who needs it, the strongest reason first."""
    runs = sorted(store.get_contexts_by_type(PIPELINE_RUN), key=lambda c: c.id)
    needed: dict[int, str] = {}

    def keep(artifacts: Iterable[mlmd.Artifact], why: str) -> None:
        for artifact in artifacts:
            needed.setdefault(artifact.id, why)

    outputs = {context.name: run_outputs(store, context.name) for context in runs}
    complete = [name for name, own in outputs.items() if (REPORT_NODE, "report") in own]
    for name in dict.fromkeys([*(c.name for c in runs[-1:]), *complete[-1:]]):
        keep(outputs[name].values(), "newest run")
    for own in outputs.values():
        blessing = own.get(("fairness-gate", "blessing"))
        pushed = own.get(("release-pusher", "pushed_release"))
        if pushed is not None and "release_dir" in pushed.custom_properties:
            keep(own.values(), "released")
        elif blessing is not None and blessing.custom_properties[BLESSED].int_value == 1:
            keep(own.values(), "blessed")
    for own in outputs.values():
        report = own.get((REPORT_NODE, "report"))
        if report is not None and (Path(report.uri) / METRICS).is_file():
            read = [own[key] for key in INPUTS.values() if key in own]
            keep([report, *read], "report")
    return needed


def _size(path: Path) -> int:
    """Returns bytes of all files; 0 if there are none."""
    if path.is_file():
        return path.stat().st_size
    return sum(
        (Path(folder) / name).lstat().st_size
        for folder, _, names in os.walk(path)
        for name in names
    )
