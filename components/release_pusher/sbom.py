"""The software bill of materials: which packages the process that made the release ran with.

In: the installed distributions. Out: CycloneDX 1.6 as JSON, the same bytes for the same packages.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import warnings
from collections.abc import Iterable
from typing import Any, Final

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

SBOM: Final = "sbom.cdx.json"
# They differ from run to run: releases of the same packages have the same bill.
_CHANGING: Final = ("serialNumber",)


def sbom(distributions: Iterable[importlib.metadata.Distribution] | None = None) -> str:
    """Returns the bill; `distributions` are all that are installed unless given."""
    if distributions is None:
        distributions = importlib.metadata.distributions()
    found = {_name(d): d for d in distributions}
    bom = Bom(components=[_component(name, found[name]) for name in sorted(found)])
    bom.metadata.component = Component(name="genq", type=ComponentType.APPLICATION)
    bom.metadata.properties.add(Property(name="python", value=platform.python_version()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it lists no dependencies among them
        content: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    for key in _CHANGING:
        content.pop(key, None)
    content["metadata"].pop("timestamp", None)
    content["metadata"]["component"].pop("bom-ref", None)
    content.pop("dependencies", None)
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _name(distribution: importlib.metadata.Distribution) -> str:
    """Returns the normalised name (PyPA's specification of names)."""
    name: str = distribution.metadata["Name"]
    return name.lower().replace("_", "-").replace(".", "-")


def _component(name: str, distribution: importlib.metadata.Distribution) -> Component:
    url = PackageURL("pypi", None, name, distribution.version)
    return Component(
        name=name,
        version=distribution.version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=url.to_string(),
    )
