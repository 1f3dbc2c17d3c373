"""What the report's slices explorer needs: each image's answers and groups, packed.

In: a table of predictions. Out: JSON-ready data, of which the page computes any slice with its
intervals in the reader's browser; `static/explorer.js` has the formulas of
components/evaluation/clusters.py, and a test holds the two together.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluation import clusters
from components.evaluation.clusters import people_of
from components.evaluation.config import QUALITIES
from components.evaluation.intervals import critical
from components.evaluation.metrics import THRESHOLD
from components.evaluation.names import slice_label
from components.predictions.table import BANDS, band_name, group_columns
from data import contract

MAX_IMAGES: Final = 60_000
"""An image takes some 20 bytes of the page."""
MISSING: Final = 255
GRID: Final = 1024
"""Of 1 / degrees of freedom, at which Student's critical value is tabulated."""


def explorer(rows: pd.DataFrame, confidence: float, least: int) -> dict[str, Any] | None:
    """Returns the data; None where there are too many images for one page.

    Args:
      rows: of one split.
      confidence: of all intervals.
      least: images that a group needs to be judged.
    """
    if len(rows) > MAX_IMAGES:
        return None
    label = rows[contract.LABEL].to_numpy() == 1
    called = rows[contract.P_POSITIVE].to_numpy(np.float64) >= THRESHOLD
    uncertain = rows[contract.UNCERTAIN].to_numpy(np.bool_)
    whose = people_of(rows)
    # t at 1 / degrees of 0, 1/GRID, … 1; the page interpolates.
    inverse = np.arange(GRID + 1) / GRID
    with np.errstate(divide="ignore"):
        t = clusters.student(critical(confidence), 1 / inverse)
    return {
        "n": len(rows),
        "least": least,
        "people": whose.count,
        "unit": whose.unit,
        "t": [round(float(each), 5) for each in t],
        "codes": _packed(whose.codes.astype("<u4")),
        "weights": None if whose.weight is None else _packed(whose.weight.astype("<f4")),
        "flags": _packed((label + 2 * called + 4 * uncertain).astype(np.uint8)),
        "features": _features(rows),
    }


def _features(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns name, values and each image's value, of everything that images can be grouped by."""
    columns: list[tuple[str, str]] = [(n, n.replace("_", " ")) for n in contract.ATTRIBUTES]
    columns += [(band_name(q), q.replace("_", " ")) for q in QUALITIES]
    columns += list(group_columns(rows).items())
    found = []
    for column, name in columns:
        if column not in rows or not rows[column].notna().any():
            continue
        values, codes = _coded(rows[column])
        if not 1 < len(values) < MISSING:
            continue
        if column in contract.ATTRIBUTES:
            shown = [slice_label(f"{column}={int(v)}") for v in values]
        else:
            shown = [f"{name}: {v}" for v in values]
        if codes.max() < 2:
            bits = np.packbits(codes, bitorder="little")
            found.append({"name": name, "values": shown, "bits": _packed(bits)})
        else:
            found.append({"name": name, "values": shown, "codes": _packed(codes)})
    return found


def _coded(column: pd.Series[Any]) -> tuple[list[Any], NDArray[np.uint8]]:
    values = column.dropna().unique().tolist()
    values.sort(key=lambda v: (BANDS.index(v) if v in BANDS else 0, str(v)))
    position = {value: number for number, value in enumerate(values)}
    codes = [position[v] if pd.notna(v) else MISSING for v in column]
    return values, np.array(codes, np.uint8)


def _packed(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()
