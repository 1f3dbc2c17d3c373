"""Tables as model-scorer writes them, made up."""

import numpy as np
import pandas as pd

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
