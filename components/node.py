"""One way to declare a node: what it takes and makes, as class attributes.

TFX wants a specification, a component and their wiring for each node; a Node makes the first and
the last of its attributes. The executor stays a class of its own: containers import it by its path.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from tfx.dsl.components.base import base_component
from tfx.types import Artifact, channel_utils, component_spec

from components.code_digest import code_digest


class Node(base_component.BaseComponent):  # type: ignore[misc]  # TFX ships no types
    """A TFX component; a subclass also sets EXECUTOR_SPEC.

    Attributes:
      INPUTS: name -> type of artifact.
      OPTIONAL: the inputs and properties that may be None; such an input may resolve to nothing.
      OUTPUTS: name -> type of artifact.
      PROPERTIES: name -> str or int; part of the key of TFX's cache.
      CODE: modules whose source is part of that key as well, as the property `code`.
    """

    INPUTS: ClassVar[Mapping[str, type[Artifact]]] = {}
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    OUTPUTS: ClassVar[Mapping[str, type[Artifact]]] = {}
    PROPERTIES: ClassVar[Mapping[str, type[str] | type[int]]] = {}
    CODE: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Makes the specification that TFX reads."""
        super().__init_subclass__()
        parameters = {**cls.PROPERTIES, **({"code": str} if cls.CODE else {})}
        cls.SPEC_CLASS = type(
            f"{cls.__name__}Spec",
            (component_spec.ComponentSpec,),
            {
                "__doc__": f"Inputs, outputs and properties of {cls.__name__}.",
                "__module__": cls.__module__,
                "PARAMETERS": {
                    name: component_spec.ExecutionParameter(kind, optional=name in cls.OPTIONAL)
                    for name, kind in parameters.items()
                },
                "INPUTS": {
                    name: component_spec.ChannelParameter(kind, optional=name in cls.OPTIONAL)
                    for name, kind in cls.INPUTS.items()
                },
                "OUTPUTS": {
                    name: component_spec.ChannelParameter(kind)
                    for name, kind in cls.OUTPUTS.items()
                },
            },
        )

    def __init__(self, **values: Any) -> None:
        """Takes inputs and properties by their names; dataclasses and lists become JSON.

        Raises:
          TypeError: for a name that is not declared, which TFX would ignore.
        """
        if unknown := sorted(values.keys() - self.INPUTS.keys() - self.PROPERTIES.keys()):
            raise TypeError(f"{type(self).__name__} declares no {', '.join(unknown)}.")
        for name in self.PROPERTIES:
            # What is optional and empty is left out, as None is.
            values[name] = _property(
                values.get(name) or None if name in self.OPTIONAL else values[name]
            )
        if self.CODE:
            values["code"] = code_digest(*self.CODE)
        outputs = {name: channel_utils.as_channel([kind()]) for name, kind in self.OUTPUTS.items()}
        super().__init__(spec=self.SPEC_CLASS(**values, **outputs))


def _property(value: Any) -> str | int | None:
    """Sorted, because TFX's cache compares the text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    return json.dumps(value, sort_keys=True)
