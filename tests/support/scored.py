"""Tables as model-scorer writes them, made up."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.predictions import table
from data import contract


def predictions(n: int = 4000, seed: int = 0, error: float = 0.06) -> pd.DataFrame:
    """A test split with coin-toss attributes and the same error rate in every group."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({name: rng.integers(0, 2, n) for name in contract.ATTRIBUTES})
    label = rows[contract.MALE].to_numpy()
    rows["Bald"] = (rng.random(n) < 0.01).astype(int)
    called = label ^ (rng.random(n) < error)
    rows[contract.P_POSITIVE] = np.clip(0.5 + (2 * called - 1) * rng.beta(4, 2, n) / 2, 0, 1)
    rows[contract.LABEL] = label
    rows[contract.UNCERTAIN] = abs(rows[contract.P_POSITIVE] - 0.5) < 0.1
    rows[table.BASELINE_P_POSITIVE] = np.nan
    rows[table.SPLIT] = "test"
    rows[contract.IMAGE_ID] = [f"{i:06d}.jpg" for i in range(n)]
    rows[contract.IDENTITY] = 10_000 + np.arange(n)
    rows[table.SHA256] = [f"{i:064x}" for i in range(n)]
    for name in (contract.BRIGHTNESS, contract.SHARPNESS, contract.IMAGE_BYTES):
        rows[name] = rng.normal(100, 20, n)
    return table.add_bands(rows)


def fingerprints(test: pd.DataFrame) -> pd.DataFrame:
    """Those of test, and of a train split that shares nothing with it."""
    columns = table.FINGERPRINT_SCHEMA.names
    train = test[columns].copy()
    train[table.SPLIT] = "train"
    train[contract.IDENTITY] -= 10_000
    train[table.SHA256] = "f" + train[table.SHA256].str[1:]
    return pd.concat([train, test[columns]], ignore_index=True)


def write_predictions(folder: Path, n: int = 1500, per_person: int = 1) -> pd.DataFrame:
    """Scores of a fair model that is worse with glasses; and of a baseline. People err together."""
    rng = np.random.default_rng(5)
    rows = pd.DataFrame({name: rng.integers(0, 2, n) for name in contract.ATTRIBUTES})
    rows["Bald"] = (rng.random(n) < 0.02).astype(int)
    label = rows[contract.MALE].to_numpy()
    noise = np.where(rows["Eyeglasses"] == 1, 2.6, 1.3)
    whose = np.arange(n) // per_person
    own = rng.normal(0, 1, n) if per_person == 1 else rng.normal(0, 1, n)[whose]
    logit = (2 * label - 1) * 2 + own * noise
    rows[contract.LABEL] = label
    for name, uncertain, extra in (
        (contract.P_POSITIVE, contract.UNCERTAIN, 0.0),
        (table.BASELINE_P_POSITIVE, table.BASELINE_UNCERTAIN, 0.8),
    ):
        rows[name] = (1 / (1 + np.exp(-logit - extra * rng.normal(0, 1, n)))).astype(np.float32)
        rows[uncertain] = abs(rows[name] - 0.5) < 0.1
    rows[table.SPLIT] = "test"
    rows[contract.IMAGE_ID] = [f"{i:06d}.jpg" for i in range(n)]
    # One image a person: then intervals are Wilson's, which statsmodels has (test_clusters.py).
    rows[contract.IDENTITY] = whose
    rows[table.SHA256] = [f"{i:064x}" for i in range(n)]
    for name in (contract.BRIGHTNESS, contract.SHARPNESS, contract.IMAGE_BYTES):
        rows[name] = rng.normal(100, 20, n).astype(int)
    # The whole partition: these images, and half as many women again.
    natural = pd.concat([rows, rows[label == 0].head(n // 4)], ignore_index=True)
    natural[contract.IMAGE_ID] = [f"{i:06d}.jpg" for i in range(len(natural))]
    natural[contract.IDENTITY] = np.arange(len(natural)) // per_person
    natural[table.SPLIT] = contract.TEST_NATURAL
    if per_person > 1:
        # Rare groups drawn in full: the others stand for three each.
        natural[contract.INCLUSION_WEIGHT] = np.where(natural["Bald"] == 1, 1.0, 3.0)
    folder.mkdir(parents=True)
    stored = pd.concat([rows, natural], ignore_index=True).reindex(columns=table.SCHEMA.names)
    pq.write_table(pa.Table.from_pandas(stored, schema=table.SCHEMA), folder / table.PREDICTIONS)
    (folder / table.SCORING).write_text("{}")
    return table.load(folder).split("test")
