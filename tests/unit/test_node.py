"""A node's declaration becomes the specification that TFX reads."""

from dataclasses import dataclass

import pytest
from tfx.dsl.components.base import base_executor, executor_spec
from tfx.types import channel_utils, standard_artifacts

from components.code_digest import code_digest
from components.node import Node


class Executor(base_executor.EmptyExecutor):
    """Does nothing."""


@dataclass(frozen=True)
class Limits:
    """A setting of several values."""

    second: int = 2
    first: int = 1


class Example(Node):
    """One of everything."""

    INPUTS = {"model": standard_artifacts.Model, "statistics": standard_artifacts.ExampleStatistics}  # noqa: RUF012
    OPTIONAL = frozenset({"statistics", "note"})
    OUTPUTS = {"blessing": standard_artifacts.ModelBlessing}  # noqa: RUF012
    PROPERTIES = {"limits": str, "names": str, "strict": int, "note": str}  # noqa: RUF012
    CODE = ("components.node",)
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)


def channel(kind: type) -> object:
    return channel_utils.as_channel([kind()])


def test_values_become_inputs_and_properties() -> None:
    """JSON is sorted, for TFX's cache compares texts; code is a property; outputs are typed."""
    model = channel(standard_artifacts.Model)
    node = Example(model=model, limits=Limits(), names=["b", "a"], strict=True, note=None)
    assert node.exec_properties == {
        "limits": '{"first": 1, "second": 2}',
        "names": '["b", "a"]',
        "strict": 1,
        "note": None,
        "code": code_digest("components.node"),
    }
    assert list(node.inputs) == ["model"]
    assert node.outputs["blessing"].type is standard_artifacts.ModelBlessing


def test_what_is_missing_or_wrong_is_named() -> None:
    """An input that is not optional, one of another type, and a property that is not declared."""
    model = channel(standard_artifacts.Model)
    rest = {"limits": "", "names": "", "strict": 0, "note": ""}
    with pytest.raises(ValueError, match="model"):
        Example(**rest)
    with pytest.raises(TypeError, match="model"):
        Example(model=channel(standard_artifacts.Schema), **rest)
    with pytest.raises(KeyError, match="limits"):
        Example(model=model)
    with pytest.raises(TypeError, match="unknown"):
        Example(model=model, unknown=1, **rest)
