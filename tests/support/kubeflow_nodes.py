"""Executors for tests of the containers' entrypoint: found by import path, as real ones are."""

from pathlib import Path
from typing import Any

from tfx.dsl.components.base import base_executor

from data.errors import GateError


class Copier(base_executor.BaseExecutor):
    """Notes what it is given in its output, and in the output's properties."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> dict[str, str]:  # noqa: N802
        output = output_dict["model"][0]
        lines = [f"{k}={v[0].uri}" for k, v in sorted(input_dict.items())]
        lines += [f"{k}={v!r}" for k, v in sorted(exec_properties.items())]
        lines.append(f"run={self._context.pipeline_run_id}")
        for key, artifacts in input_dict.items():
            lines.append(f"{key} {type(artifacts[0]).__name__} {artifacts[0].id}")
            if key == "examples":
                lines.append(artifacts[0].split_names)
            if key == "blessing":
                lines.append(f"blessed={artifacts[0].get_int_custom_property('blessed')}")
        (Path(output.uri) / "seen.txt").write_text("\n".join(lines))
        output.set_int_custom_property("blessed", 1)
        return {"found": "release-7"}


class Refuser(base_executor.BaseExecutor):
    """Raises what a gate raises, wrapped as Beam wraps it."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:  # noqa: N802
        try:
            raise GateError("Too few images.", "Fetch more.")
        except GateError as error:
            raise RuntimeError("while running 'Write'") from error


class Breaker(base_executor.BaseExecutor):
    """Has a fault."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:  # noqa: N802
        raise KeyError("no such thing")
