"""The table of predictions: one row an example, that gates, report and gallery read.

In: the folder that model-scorer wrote. Out: a pandas DataFrame. No TensorFlow, no TFX.

Columns:

- `split`, `image_id`; `image_sha256` (hex) of the encoded image; `identity` (missing where unknown)
- `label`: what the annotators said, e.g. 0 female, 1 male. (A model's own is p_positive >= 0.5.)
- `p_positive` (float32) and `uncertain` of the candidate; `baseline_p_positive` and
  `baseline_uncertain` of the latest blessed model, missing where there is none
- the 40 attributes, 0 or 1, as far as the data have them
- `detector_p_positive`, `detector_uncertain`: the candidate's answer to the face that the
  application's detector cuts out of the image; missing where it finds none, or nobody asked
- `inclusion_weight`: how many images of the test partition it stands for, where test_natural holds
  only some of it (sampling.test_natural_images); missing elsewhere
- a column of text for each of the data set's further columns, such as `groups.race`; missing where
  an image has no value
- `brightness`, `sharpness` (data.celeba.images.quality), `image_bytes`, and for each a `…_band`:
  "low", "middle" or "high", thirds of the split
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.evaluation.config import QUALITIES
from data import contract
from data.errors import DataError

SPLIT: Final = "split"
SHA256: Final = "image_sha256"
BASELINE_P_POSITIVE: Final = "baseline_p_positive"
BASELINE_UNCERTAIN: Final = "baseline_uncertain"
DETECTOR_P_POSITIVE: Final = "detector_p_positive"
DETECTOR_UNCERTAIN: Final = "detector_uncertain"
GROUP_PREFIX: Final = "groups."
BANDS: Final = ("low", "middle", "high")

PREDICTIONS: Final = "predictions.parquet"
FINGERPRINTS: Final = "fingerprints.parquet"
"""split, image_id, identity and image_sha256 of the examples of all splits, scored or not."""
EMBEDDINGS: Final = "embeddings.parquet"
"""split, image_id and the candidate's embedding, where that was asked for."""
SCORING: Final = "scoring.json"
"""Which models scored which splits, in how many forward passes; edges of the bands."""


SCHEMA: Final = pa.schema(
    [
        pa.field(SPLIT, pa.string()),
        pa.field(contract.IMAGE_ID, pa.string()),
        pa.field(SHA256, pa.string()),
        pa.field(contract.IDENTITY, pa.int64()),
        pa.field(contract.LABEL, pa.int8()),
        pa.field(contract.P_POSITIVE, pa.float32()),
        pa.field(contract.UNCERTAIN, pa.bool_()),
        pa.field(BASELINE_P_POSITIVE, pa.float32()),
        pa.field(BASELINE_UNCERTAIN, pa.bool_()),
        pa.field(DETECTOR_P_POSITIVE, pa.float32()),
        pa.field(DETECTOR_UNCERTAIN, pa.bool_()),
        *(pa.field(name, pa.int8()) for name in contract.ATTRIBUTES),
        pa.field(contract.BRIGHTNESS, pa.float32()),
        pa.field(contract.SHARPNESS, pa.float32()),
        pa.field(contract.IMAGE_BYTES, pa.int32()),
        pa.field(contract.GROUPS, pa.string()),
        pa.field(contract.INCLUSION_WEIGHT, pa.float32()),
    ]
)
"""The columns as stored; bands are added on reading, and a column for each of the groups."""
FINGERPRINT_SCHEMA: Final = pa.schema(
    [
        pa.field(SPLIT, pa.string()),
        pa.field(contract.IMAGE_ID, pa.string()),
        pa.field(contract.IDENTITY, pa.int64()),
        pa.field(SHA256, pa.string()),
    ]
)
EMBEDDING_FIELD: Final = pa.field(contract.EMBEDDING, pa.list_(pa.float32()))


@dataclass(frozen=True)
class Predictions:
    """What is in the folder.

    Attributes:
      table: all scored splits, sorted by split and image_id.
      scoring: content of scoring.json.
    """

    table: pd.DataFrame
    scoring: dict[str, Any]

    def split(self, name: str) -> pd.DataFrame:
        """Returns the rows of one split.

        Raises:
          DataError: if the split was not scored.
        """
        rows = self.table[self.table[SPLIT] == name]
        if rows.empty:
            scored = ", ".join(sorted(self.table[SPLIT].unique())) or "none"
            raise DataError(
                f"There are no predictions for the split {name!r}; scored: {scored}.",
                "The split is empty, or model-scorer was not asked to score it.",
            )
        return rows.reset_index(drop=True)

    @property
    def has_baseline(self) -> bool:
        """Whether a baseline scored the same examples."""
        return bool(self.table[BASELINE_P_POSITIVE].notna().all())


def load(folder: str | Path) -> Predictions:
    """Reads the predictions.

    Raises:
      DataError: if they are missing or damaged.
    """
    folder = Path(folder)
    try:
        table = pq.read_table(folder / PREDICTIONS).to_pandas()
        scoring = json.loads((folder / SCORING).read_text())
    except (OSError, pa.ArrowException, ValueError) as error:
        raise DataError(
            f"{folder}: the predictions cannot be read: {error}.",
            "Run the pipeline again; model-scorer writes them.",
        ) from error
    bad = table[contract.P_POSITIVE].isna()
    if bad.any():
        raise DataError(
            f"{folder / PREDICTIONS}: p_positive is not a number for {int(bad.sum())} of {len(bad)}"
            f" images, e.g. {table.loc[bad, contract.IMAGE_ID].iloc[0]}; expected 0 to 1.",
            "The model's weights are not finite. Train again with a lower learning rate.",
        )
    return Predictions(add_groups(add_bands(table)), scoring)


def load_fingerprints(folder: str | Path) -> pd.DataFrame:
    """Returns split, image_id, identity and image_sha256 of all splits.

    Raises:
      DataError: if the file is missing or damaged.
    """
    path = Path(folder) / FINGERPRINTS
    try:
        table: pd.DataFrame = pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read: {error}.", "Run the pipeline again.") from error
    return table


def load_embeddings(folder: str | Path) -> pd.DataFrame:
    """Returns what the candidate's head saw of each image: index (split, image_id), 2048 columns.

    Raises:
      DataError: if the file is missing or damaged.
    """
    path = Path(folder) / EMBEDDINGS
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: cannot be read: {error}.",
            "Embeddings are kept where they are asked for: --set evaluation.embeddings=true.",
        ) from error
    values = np.stack(table[contract.EMBEDDING].to_numpy(zero_copy_only=False))
    return pd.DataFrame(
        values,
        index=table.select([SPLIT, contract.IMAGE_ID]).to_pandas().pipe(pd.MultiIndex.from_frame),
    )


def band_edges(values: NDArray[np.float64]) -> tuple[float, float]:
    """Returns the two values that cut the split in thirds."""
    low, high = np.quantile(values, (1 / 3, 2 / 3))
    return float(low), float(high)


def bands(values: NDArray[np.float64]) -> NDArray[np.object_]:
    """Returns the band of each value; (n,). All are "middle" where all are equal."""
    low, high = band_edges(values)
    index = np.where(values < low, 0, np.where(values <= high, 1, 2))
    return np.asarray(BANDS, object)[index]


def add_bands(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the table with a `…_band` column for each quality, per split."""
    table = table.sort_values([SPLIT, contract.IMAGE_ID], ignore_index=True)
    for quality in QUALITIES:
        if quality not in table:
            continue
        column = np.empty(len(table), object)
        for split in table[SPLIT].unique():
            rows = (table[SPLIT] == split).to_numpy()
            column[rows] = bands(table.loc[rows, quality].to_numpy(np.float64))
        table[band_name(quality)] = column
    return table


def add_groups(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the table with a column for each further column of the data set, in place of JSON."""
    if contract.GROUPS not in table:
        return table
    groups = table.pop(contract.GROUPS)
    if not groups.notna().any():
        return table
    found = pd.DataFrame([json.loads(g) if g else {} for g in groups], index=table.index)
    found = found.astype(object).where(found.notna(), None).add_prefix(GROUP_PREFIX)
    return pd.concat([table, found], axis=1)


def group_columns(table: pd.DataFrame) -> dict[str, str]:
    """Returns the table's columns that are groups of the data set: column -> name there."""
    return {
        str(c): str(c).removeprefix(GROUP_PREFIX) for c in table if str(c).startswith(GROUP_PREFIX)
    }


def band_name(key: str) -> str:
    """Returns the column a slice's key stands for: "brightness" -> "brightness_band"."""
    return f"{key}_band" if key in QUALITIES else key


def slice_columns(keys: Sequence[str]) -> list[str]:
    """Returns the columns of a slice's keys."""
    return [band_name(key) for key in keys]
