"""What StatisticsGen measured, and how often attributes occur.

In: its folder, and the rows of a split. Out: rows for the report's tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from tensorflow_metadata.proto.v0 import statistics_pb2

from data import contract


def attribute_rates(folder: Path | None, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns, for each attribute, its share in train and among the two labels of the split."""
    train = {s["name"]: s["mean"] for s in statistics(folder) if s["split"] == "train"}
    positive = rows[contract.LABEL] == 1
    rates = []
    for name in contract.ATTRIBUTES:
        if name not in rows or rows[name].isna().any():
            continue
        values = rows[name].astype(float)
        rates.append(
            {
                "name": name.replace("_", " "),
                "train": train.get(name),
                "test": float(values.mean()),
                "negative": float(values[~positive].mean()),
                "positive": float(values[positive].mean()),
                "n": int(values.sum()),
            }
        )
    return rates


def statistics(folder: Path | None) -> list[dict[str, Any]]:
    """Returns mean, deviation and range of every numeric feature of every split."""
    if folder is None:
        return []
    found = []
    for path in sorted(folder.glob("Split-*/FeatureStats.pb")):
        proto = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
        for feature in proto.datasets[0].features:
            if feature.HasField("num_stats") and feature.num_stats.common_stats.num_non_missing:
                numbers = feature.num_stats
                found.append(
                    {
                        "split": path.parent.name.removeprefix("Split-"),
                        "name": feature.name or ".".join(feature.path.step),
                        "n": int(numbers.common_stats.num_non_missing),
                        "mean": numbers.mean,
                        "std_dev": numbers.std_dev,
                        "min": numbers.min,
                        "max": numbers.max,
                    }
                )
    return found
