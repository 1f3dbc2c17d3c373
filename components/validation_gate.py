"""The gate between data and training: it raises where TFX's ExampleValidator only notes.

In: statistics, schema and anomalies of all splits; optionally the previous run's statistics. Out: a
Validation artifact (`verdict.json`) that says what was looked at and what was let through; or a
GateError, and then nothing after it runs.

Schema anomalies come from ExampleValidator. Drift (against the previous statistics of the same
split) and skew (each split against train) follow the schema's comparators, where both sides hold
enough examples to tell a difference from chance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.components.base import base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import (
    Artifact,
    artifact_utils,
    standard_artifacts,
)
from tfx.utils import io_utils

from components.node import Node
from data.errors import GateError

VERDICT: Final = "verdict.json"
STATISTICS_ID: Final = "statistics_id"
"""Custom property of a Validation: whose statistics passed; previous-statistics heeds it."""
MIN_COMPARED_EXAMPLES: Final = 2000
"""Drift and skew are judged with at least this many examples on both sides. CelebA's people have
about 20 images each, so 2,000 images are some 100 people, and a rate of 0.5 has a standard error of
up to 0.05."""

REMEDIES: Final[dict[str, str]] = {
    "SCHEMA_NEW_COLUMN": "Add the feature to data/schema.pbtxt, or remove it from the examples.",
    "FEATURE_TYPE_LOW_FRACTION_PRESENT": "Find the examples that lack it.",
    "FEATURE_TYPE_NOT_PRESENT": "Find out why example-gen no longer writes it.",
    "SCHEMA_MISSING_COLUMN": "Find out why example-gen no longer writes it.",
    "COMPARATOR_L_INFTY_HIGH": "Compare the two data sets; a changed sample may be wanted.",
    "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH": (
        "Compare the two data sets; a changed sample may be wanted."
    ),
}


class Validation(Artifact):  # type: ignore[misc]  # TFX ships no types
    """What the gate looked at and let through: `verdict.json`."""

    TYPE_NAME = "components.validation_gate.Validation"


@dataclass(frozen=True)
class Anomaly:
    """One thing that is not as the schema says.

    Attributes:
      kind: TFDV's name of the reason, e.g. "INT_TYPE_BIG_INT" or "COMPARATOR_L_INFTY_HIGH".
      found: the feature's values in this split, for people.
      expected: what the schema says, for people.
    """

    split: str
    feature: str
    kind: str
    short_description: str
    description: str
    found: str = ""
    expected: str = ""

    def accepted_by(self, names: Sequence[str]) -> bool:
        """Returns whether a name is the feature, the kind, or "feature:kind"."""
        return not {self.feature, self.kind, f"{self.feature}:{self.kind}"}.isdisjoint(names)

    def __str__(self) -> str:
        details = f" Found {self.found}; expected {self.expected}." if self.found else ""
        return (
            f"{self.split}: {self.feature}: {self.short_description} [{self.kind}] "
            f"{self.description}{details}"
        )


def list_anomalies(
    split: str,
    anomalies: anomalies_pb2.Anomalies,
    statistics: statistics_pb2.DatasetFeatureStatistics,
    schema: schema_pb2.Schema,
) -> list[Anomaly]:
    """Returns one Anomaly a reason, with what was found and expected."""
    infos = dict(anomalies.anomaly_info)
    if anomalies.HasField("dataset_anomaly_info"):
        infos["(data set)"] = anomalies.dataset_anomaly_info
    found = {_name(f): _values(f) for f in statistics.features}
    expected = {f.name: _domain(f) for f in schema.feature}
    result = []
    for feature, info in sorted(infos.items()):
        for reason in info.reason or [anomalies_pb2.AnomalyInfo.Reason()]:
            result.append(
                Anomaly(
                    split,
                    feature,
                    anomalies_pb2.AnomalyInfo.Type.Name(reason.type),
                    reason.short_description or info.short_description,
                    reason.description or info.description,
                    found.get(feature, "no such feature"),
                    expected.get(feature, "no such feature"),
                )
            )
    return result


def judge(anomalies: Sequence[Anomaly], accept: Sequence[str]) -> list[Anomaly]:
    """Returns the anomalies that were let through by name.

    Raises:
      GateError: if others are left; names split, feature, anomaly and remedy.
    """
    refused = [a for a in anomalies if not a.accepted_by(accept)]
    if refused:
        lines = "\n".join(f"  {a}" for a in refused[:20])
        more = f"\n  and {len(refused) - 20} more" if len(refused) > 20 else ""
        remedies = dict.fromkeys(REMEDIES.get(a.kind, _DEFAULT_REMEDY) for a in refused)
        raise GateError(
            f"The data do not agree with data/schema.pbtxt; nothing was trained.\n{lines}{more}",
            " ".join(remedies)
            + " To let one through by name: --accept-anomaly "
            + f"{refused[0].feature}:{refused[0].kind} (data.accept_anomalies in a file).",
        )
    return list(anomalies)


_DEFAULT_REMEDY = "Mend the data, or change data/schema.pbtxt if the values are right."


def compare(
    statistics: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
    previous: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
    schema: schema_pb2.Schema,
) -> tuple[list[Anomaly], dict[str, str]]:
    """Judges drift and skew by the schema's comparators.

    Returns:
      The anomalies, and comparison -> "compared" or why not.
    """
    pairs = [
        (s, f"{s} against its previous statistics", "previous_statistics", previous[s])
        for s in statistics
        if s in previous
    ]
    pairs += [
        (s, f"{s} against train", "serving_statistics", statistics["train"])
        for s in statistics
        if s in ("val", "test") and "train" in statistics
    ]
    result: list[Anomaly] = []
    notes: dict[str, str] = {}
    for split, name, argument, other in pairs:
        counts = [s.datasets[0].num_examples for s in (statistics[split], other)]
        if min(counts) < MIN_COMPARED_EXAMPLES:
            notes[name] = (
                f"too few examples ({counts[0]} and {counts[1]}; compared from "
                f"{MIN_COMPARED_EXAMPLES})"
            )
            continue
        found = tfdv.validate_statistics(statistics[split], schema, **{argument: other})
        result += [
            a
            for a in list_anomalies(name, found, statistics[split].datasets[0], schema)
            if a.kind.startswith("COMPARATOR")
        ]
        notes[name] = "compared"
    for split in statistics:
        if split not in previous:
            notes[f"{split} against its previous statistics"] = "no earlier data passed this gate"
    return result, notes


def _name(feature: statistics_pb2.FeatureNameStatistics) -> str:
    return feature.name or ".".join(feature.path.step)


def _values(feature: statistics_pb2.FeatureNameStatistics) -> str:
    """Returns the range or the most frequent values."""
    if feature.HasField("num_stats"):
        common, values = (
            feature.num_stats.common_stats,
            (f"{feature.num_stats.min:g} to {feature.num_stats.max:g}"),
        )
    else:
        common = feature.string_stats.common_stats
        top = ", ".join(v.value for v in feature.string_stats.top_values[:5])
        values = f"values such as {top}" if top else "bytes"
    missing = f", missing in {common.num_missing}" if common.num_missing else ""
    return values + missing


def _domain(feature: schema_pb2.Feature) -> str:
    """Returns the accepted values and presence."""
    kind = feature.WhichOneof("domain_info")
    values = schema_pb2.FeatureType.Name(feature.type).lower()
    if kind in ("int_domain", "float_domain"):
        domain = getattr(feature, kind)
        values = f"{domain.min:g} to {domain.max:g}"
    elif kind == "string_domain":
        values = "one of " + ", ".join(feature.string_domain.value)
    needed = feature.presence.min_fraction
    return f"{values} in {needed:.0%} of the examples" if needed else f"{values}, if present"


class Executor(base_executor.BaseExecutor):  # type: ignore[misc]  # TFX ships no types
    """Unpacks the artifacts and calls the functions above."""

    def Do(  # noqa: N802  # TFX's name
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the verdict.

        Raises:
          GateError: if an anomaly is not accepted.
        """
        statistics = _load_statistics(input_dict["statistics"])
        previous = _load_statistics(input_dict.get("previous_statistics") or [])
        schema_uri = artifact_utils.get_single_uri(input_dict["schema"])
        schema = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(schema_uri))
        anomalies_artifact = artifact_utils.get_single_instance(input_dict["anomalies"])
        anomalies = []
        for split in artifact_utils.decode_split_names(anomalies_artifact.split_names):
            uri = artifact_utils.get_split_uri([anomalies_artifact], split)
            found = anomalies_pb2.Anomalies.FromString(
                io_utils.read_bytes_file(io_utils.get_only_uri_in_dir(uri))
            )
            anomalies += list_anomalies(split, found, statistics[split].datasets[0], schema)
        compared, notes = compare(statistics, previous, schema)
        accepted = judge([*anomalies, *compared], json.loads(exec_properties["accept_anomalies"]))
        verdict = {
            "examples": {s: p.datasets[0].num_examples for s, p in statistics.items()},
            "accepted_anomalies": [asdict(a) for a in accepted],
            "comparisons": notes,
        }
        validation = artifact_utils.get_single_instance(output_dict["validation"])
        validation.set_int_custom_property(
            STATISTICS_ID, artifact_utils.get_single_instance(input_dict["statistics"]).id
        )
        with fileio.open(f"{validation.uri}/{VERDICT}", "w") as file:
            json.dump(verdict, file, indent=2, sort_keys=True)


def _load_statistics(
    artifacts: Sequence[Artifact],
) -> dict[str, statistics_pb2.DatasetFeatureStatisticsList]:
    """Returns split -> statistics; empty without an artifact."""
    return {
        split: stats_artifact_utils.load_statistics(artifact, split).proto()
        for artifact in artifacts
        for split in artifact_utils.decode_split_names(artifact.split_names)
    }


class ValidationGate(Node):
    """Raises GateError unless the data agree with the schema.

    Args:
      statistics: of all splits, from StatisticsGen.
      schema: the curated one.
      anomalies: from ExampleValidator.
      previous_statistics: of an earlier run, for drift; may resolve to nothing.
      accept_anomalies: names to let through: a feature, a kind, or "feature:kind".
    """

    INPUTS = {
        "statistics": standard_artifacts.ExampleStatistics,
        "schema": standard_artifacts.Schema,
        "anomalies": standard_artifacts.ExampleAnomalies,
        "previous_statistics": standard_artifacts.ExampleStatistics,
    }
    OPTIONAL = frozenset({"previous_statistics"})
    OUTPUTS = {"validation": Validation}
    PROPERTIES = {"accept_anomalies": str}
    CODE = ("components.validation_gate",)
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
