"""What goes into a release: which files, and what release.json says of them.

In: folders that earlier nodes wrote. Out: path below the release -> source file; a Release.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from components.example_gen.artifacts import read_label, read_manifest
from components.model_exporter.artifacts import EXPORT_JSON
from components.release_pusher import metrics, provenance
from data import contract
from data.errors import ReleaseError
from data.releases import release
from data.releases.release import Release, Signature, Variant, VariantName

NOTICE: Final = (
    "The labels say how a face appears to the annotators of CelebA. They are no statement about "
    "{what}, and no decision about a person may rest on them."
)
LICENCE: Final = (
    "Code: Apache-2.0. A model trained on CelebA is for non-commercial research only, as CelebA's "
    "agreement says; one trained on genq's synthetic faces is free of it."
)
SAVED_MODEL_FILES: Final = ("saved_model.pb", "fingerprint.pb")
SAVED_MODEL_FOLDERS: Final = ("variables", "assets", "assets.extra")
CARDS: Final = ("model_card.html", "model_card.md")


@dataclass(frozen=True)
class Sources:
    """Folders that earlier nodes wrote; None where the pipeline has no such node.

    Attributes:
      saved_model: as Trainer exported it.
      exported: ONNX files and export.json.
      parity: parity.json.
      manifest: of the sampling.
      evaluation: TFMA's results.
      report: report.html and, beside it, the model cards.
      model_run: the trainer's, with calibration.json.
      statistics: StatisticsGen's.
    """

    saved_model: Path
    exported: Path
    parity: Path
    manifest: Path
    evaluation: Path
    report: Path | None = None
    model_run: Path | None = None
    statistics: Path | None = None


def collect(sources: Sources) -> dict[str, Path]:
    """Returns path below the release -> source file.

    Raises:
      ReleaseError: if the SavedModel or the ONNX model is missing.
    """
    files = {
        name: path
        for name, path in _below(sources.saved_model).items()
        if name in SAVED_MODEL_FILES or name.split("/")[0] in SAVED_MODEL_FOLDERS
    }
    onnx = set(release.ONNX_FILES.values())
    files |= {n: p for n, p in _below(sources.exported).items() if n in onnx}
    for needed in ("saved_model.pb", release.ONNX_FILES["float32"]):
        if needed not in files:
            raise ReleaseError(
                f"There is no {needed} in {sources.saved_model} or {sources.exported}.",
                "The output of trainer or model-exporter was removed; run the pipeline again.",
            )
    files |= {f"report/{name}": path for name, path in _below(sources.parity).items()}
    files |= {f"manifest/{name}": path for name, path in _below(sources.manifest).items()}
    if sources.report is not None:
        for name, path in _below(sources.report).items():
            files[name if name in CARDS else f"report/{name}"] = path
    return files


def _below(folder: Path) -> dict[str, Path]:
    """Returns path below the folder, with "/" -> file."""
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


def describe(
    sources: Sources,
    files: Mapping[str, Path],
    sums: Mapping[str, str],
    *,
    model_name: str,
    version: int,
    parent: int | None,
    pipeline_run: str | None,
    run_config: str = "",
) -> Release:
    """Returns what release.json says.

    Args:
      sources: where figures are read from.
      files: what `collect` returned.
      sums: path below the release -> SHA-256.
      model_name: of the served model.
      version: of this release.
      parent: the newest one before it.
      pipeline_run: id of the run in ML Metadata.
      run_config: the run's configuration, JSON.
    """
    exported = json.loads((sources.exported / EXPORT_JSON).read_text())
    manifest = read_manifest(sources.manifest)
    label = read_label(manifest)
    sources_of_truth = provenance.packages()
    if run_config:
        sources_of_truth["config"] = run_config
    return Release(
        model_name=model_name,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        label_attribute=label.attribute,
        labels=label.names,
        synthetic=bool(manifest.get("synthetic")),
        variants=variants(files, sums),
        left_out=exported.get("left_out", {}),
        signatures={n: Signature.model_validate(s) for n, s in exported["signatures"].items()},
        calibration=metrics.read_calibration(sources.model_run) if sources.model_run else None,
        metrics=metrics.read_report(sources.report) or metrics.read_metrics(sources.evaluation),
        state=metrics.read_text(sources.report, "state", "name"),
        unit=metrics.read_text(sources.report, "unit"),
        thresholds=metrics.read_thresholds(sources.report),
        statistics=metrics.read_statistics(sources.statistics) if sources.statistics else {},
        sample=provenance.sample(sources.manifest),
        data_fingerprint=provenance.data_fingerprint(sources.manifest),
        code_version=provenance.code_version(),
        pipeline_run=pipeline_run,
        parent=parent,
        licence=LICENCE,
        notice=notice(label),
        provenance=sources_of_truth,
    )


def notice(label: contract.Label) -> str:
    """Returns what users of the model must be told about its answers."""
    what = "anybody's sex or gender identity" if label.attribute == contract.MALE else "the person"
    return NOTICE.format(what=what)


def variants(files: Mapping[str, Path], sums: Mapping[str, str]) -> tuple[Variant, ...]:
    """Returns the SavedModel and every ONNX file that is there."""
    saved_model = [
        name
        for name in sorted(files)
        if name in SAVED_MODEL_FILES or name.split("/")[0] in SAVED_MODEL_FOLDERS
    ]
    lines = "".join(f"{sums[name]}  {name}\n" for name in saved_model)
    result = [
        Variant(
            name="saved_model",
            file="saved_model.pb",
            bytes=sum(files[name].stat().st_size for name in saved_model),
            sha256=hashlib.sha256(lines.encode()).hexdigest(),
        )
    ]
    names: Mapping[VariantName, str] = release.ONNX_FILES
    result += [
        Variant(name=name, file=file, bytes=files[file].stat().st_size, sha256=sums[file])
        for name, file in names.items()
        if file in files
    ]
    return tuple(result)
