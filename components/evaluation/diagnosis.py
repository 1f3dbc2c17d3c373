"""What a broken experiment looks like, called by its name.

In: predictions of the test split, fingerprints of all splits. Out: Finding objects. A good score
says nothing when the model answers one label for everybody, or has seen the test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from components.evaluation import bootstrap, clusters
from components.evaluation.clusters import people_of
from components.evaluation.config import EvaluationConfig
from components.evaluation.intervals import critical
from components.evaluation.metrics import THRESHOLD
from components.predictions.table import SHA256, SPLIT
from data import contract

NO_SPREAD: Final = 1e-3
"""Probabilities whose standard deviation is smaller do not depend on the image."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with the experiment.

    Attributes:
      name: constant_model, chance, inverted_labels, leaked_images, leaked_identities,
        too_good_to_be_true or uncertainty_band.
      blocks: whether the model must not be released.
      text: for people: what was found, what was expected, and the likely cause.
      numbers: what it was judged by.
    """

    name: str
    blocks: bool
    text: str
    numbers: dict[str, Any]


def diagnose(
    table: pd.DataFrame,
    fingerprints: pd.DataFrame,
    config: EvaluationConfig,
    label: contract.Label | None = None,
) -> list[Finding]:
    """Returns what is wrong; empty for a sound experiment.

    Args:
      table: predictions of `test`.
      fingerprints: of all splits; see components/predictions/table.py.
      config: confidence and limits.
      label: what the labels are called.
    """
    findings = [
        constant_model(table, label or contract.Label()),
        against_chance(table, config),
        leaked_images(fingerprints, config),
        leaked_identities(fingerprints, config),
        too_good(table, config),
    ]
    return [finding for finding in findings if finding is not None]


def constant_model(table: pd.DataFrame, label: contract.Label) -> Finding | None:
    """One label for all images, or probabilities that do not depend on the image."""
    p_positive = table[contract.P_POSITIVE].to_numpy(np.float64)
    called = p_positive >= THRESHOLD
    spread = float(p_positive.std())
    if 0 < called.sum() < len(called) and spread >= NO_SPREAD:
        return None
    share = float(table[contract.LABEL].mean())
    answer = label.names[int(called.mean() >= 0.5)]
    accuracy = float((called == (table[contract.LABEL] == 1)).mean())
    return Finding(
        "constant_model",
        True,
        f"The model calls {'every' if called.all() or not called.any() else 'nearly every'} one of "
        f"{len(table)} faces {answer} (standard deviation of p_positive {spread:.4f}). Its "
        f"accuracy of {accuracy:.3f} is the share of that label, no skill. Training has collapsed, "
        "or the images do not reach the network.",
        {
            "called_positive": int(called.sum()),
            "n": len(table),
            "spread": spread,
            "share_positive": share,
        },
    )


def against_chance(table: pd.DataFrame, config: EvaluationConfig) -> Finding | None:
    """An AUC that cannot be told from 0.5, or that lies below it."""
    p_positive = table[contract.P_POSITIVE].to_numpy(np.float64)
    label = table[contract.LABEL].to_numpy(np.int8)
    ranking = bootstrap.Ranking(p_positive, label)
    if not ranking.defined:
        return Finding(
            "chance",
            True,
            f"The test split holds one label only ({len(label)} examples); nothing can be told.",
            {"n": len(label)},
        )
    interval = bootstrap.resampled_auc(
        ranking,
        label,
        people_of(table),
        config.bootstrap_replicates,
        config.seed,
        float(critical(config.confidence)),
    )
    value = float(interval.value)
    low, high = float(interval.low), float(interval.high)
    numbers = {"auc": value, "low": low, "high": high, "n": len(label)}
    shown = f"AUC {value:.3f}, {low:.3f} to {high:.3f} on {len(label)} examples"
    if high < 0.5:
        return Finding(
            "inverted_labels",
            True,
            f"The model ranks the wrong way round: {shown}. The labels of train and test "
            "contradict each other, or the outputs are swapped.",
            numbers,
        )
    if low <= 0.5:
        return Finding(
            "chance",
            True,
            f"The model cannot be told from chance: {shown}. So does a model trained on shuffled "
            "labels: check that each label goes with its image, and that training has converged.",
            numbers,
        )
    return None


def leaked_images(fingerprints: pd.DataFrame, config: EvaluationConfig) -> Finding | None:
    """Images of test whose bytes are also in train."""
    train = fingerprints.loc[fingerprints[SPLIT] == "train", SHA256]
    test = fingerprints[fingerprints[SPLIT] == "test"]
    shared = test[test[SHA256].isin(train)]
    if shared.empty:
        return None
    share = len(shared) / len(test)
    ids = shared[contract.IMAGE_ID].tolist()
    return Finding(
        "leaked_images",
        share > config.fairness.max_image_overlap,
        f"{len(shared)} of {len(test)} test images ({share:.1%}) are in train, too, byte for byte "
        f"(e.g. {', '.join(ids[:5])}); at most {config.fairness.max_image_overlap:.1%} is "
        "accepted. The test measures memory. `genq data audit` lists duplicates to leave out.",
        {
            "shared": len(shared),
            "n": len(test),
            "examples": shared[contract.IMAGE_ID].tolist()[:50],
        },
    )


def leaked_identities(fingerprints: pd.DataFrame, config: EvaluationConfig) -> Finding | None:
    """People of test who are also in train; None, too, where identities are unknown."""
    known = fingerprints[fingerprints[contract.IDENTITY].notna()]
    train = known.loc[known[SPLIT] == "train", contract.IDENTITY]
    test = known.loc[known[SPLIT] == "test", contract.IDENTITY].drop_duplicates()
    shared = test[test.isin(train)]
    if shared.empty:
        return None
    share = len(shared) / len(test)
    return Finding(
        "leaked_identities",
        share > config.fairness.max_identity_overlap,
        f"{len(shared)} of {len(test)} people in test ({share:.1%}) are in train, too; at most "
        f"{config.fairness.max_identity_overlap:.1%} is accepted. The model may recognise them. "
        "Split by identity (sampling.splits).",
        {"shared": len(shared), "n": len(test)},
    )


def too_good(table: pd.DataFrame, config: EvaluationConfig) -> Finding | None:
    """An accuracy that the noise of the labels does not allow."""
    right = (table[contract.P_POSITIVE] >= THRESHOLD) == (table[contract.LABEL] == 1)
    interval = clusters.rate(right, people_of(table), z=critical(config.confidence))
    limit = config.fairness.suspicious_accuracy
    if float(interval.low) <= limit:
        return None
    return Finding(
        "too_good_to_be_true",
        False,
        f"Accuracy {float(interval.value):.4f} on {len(right)} examples, at least "
        f"{float(interval.low):.4f} with confidence: more than {limit:.3f}, although annotators "
        "contradict each other more often. Look for a leak: the label, or what follows from it, "
        "in the input.",
        {"accuracy": float(interval.value), "low": float(interval.low), "n": len(right)},
    )
