"""The node: from CelebA's files to balanced examples.

In: a folder or URI with a copy of CelebA in any layout of data/celeba/layouts.py. Out: `examples`
(splits train, val, test and, if configured, test_natural; features of data/contract.py) and
`manifest`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from tfx.components.example_gen import component, utils
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import channel_utils, component_spec, standard_artifacts, standard_component_specs

from components.code_digest import code_digest
from components.example_gen.artifacts import SamplingManifest
from components.example_gen.driver import Driver
from components.example_gen.executor import Executor
from components.example_gen.sampling import FaultConfig, SamplingConfig
from data import contract
from data.celeba.layouts import INPUT_PATTERNS
from data.errors import ConfigError


class CelebAExampleGenSpec(standard_component_specs.FileBasedExampleGenSpec):  # type: ignore[misc]
    """TFX's specification of a file-based ExampleGen, with our properties and the manifest."""

    PARAMETERS = {
        **standard_component_specs.FileBasedExampleGenSpec.PARAMETERS,
        "sampling": component_spec.ExecutionParameter(type=str),
        "faults": component_spec.ExecutionParameter(type=str),
        "label": component_spec.ExecutionParameter(type=str),
        "shards": component_spec.ExecutionParameter(type=int),
        "window": component_spec.ExecutionParameter(type=int),
        # Attributes whose groups are full in a part of the test partition; JSON.
        "groups": component_spec.ExecutionParameter(type=str),
        # The driver fills it in: the spans of a window of several, oldest first, by commas.
        "spans": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    OUTPUTS = {
        **standard_component_specs.FileBasedExampleGenSpec.OUTPUTS,
        "manifest": component_spec.ChannelParameter(type=SamplingManifest),
    }


class CelebAExampleGen(component.FileBasedExampleGen):  # type: ignore[misc]  # TFX ships no types
    """Balanced, seeded, identity-disjoint examples from a copy of CelebA.

    Args:
      data_root: folder or URI; it need not exist while the pipeline is built.
      sampling: what to draw.
      faults: how much may be wrong with the data.
      label: whose attribute becomes the feature `label`.
      shards: files a split; of a window, at least one a span.
      groups: attributes whose joint values are full in `sampling.test_natural_images`.
      window: how many of the newest spans are read as one data set; see data/celeba/spans.py.

    Raises:
      ConfigError: if `shards` or `window` is not positive.
    """

    SPEC_CLASS = CelebAExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(
        self,
        data_root: str,
        sampling: SamplingConfig | None = None,
        faults: FaultConfig | None = None,
        shards: int = 1,
        window: int = 1,
        label: contract.Label | None = None,
        groups: Sequence[Sequence[str]] = (),
    ) -> None:
        if window < 1:
            raise ConfigError(f"data.window is {window!r}; accepted: 1 or more.")
        if shards < 1:
            raise ConfigError(f"data.shards is {shards!r}; accepted: 1 or more.")
        # Patterns of all layouts: the driver's fingerprint sees every file of whichever it is.
        inputs = example_gen_pb2.Input(
            splits=[
                example_gen_pb2.Input.Split(name=name, pattern=pattern)
                for name, pattern in INPUT_PATTERNS.items()
            ]
        )
        spec = CelebAExampleGenSpec(
            input_base=data_root,
            input_config=inputs,
            output_config=utils.make_default_output_config(inputs),
            output_data_format=example_gen_pb2.FORMAT_TF_EXAMPLE,
            output_file_format=example_gen_pb2.FORMAT_TFRECORDS_GZIP,
            sampling=_to_json(sampling or SamplingConfig()),
            faults=_to_json(faults or FaultConfig()),
            label=_to_json(label or contract.Label()),
            shards=shards,
            window=window,
            # Only what matters, so that other slices do not make the same examples again.
            groups=json.dumps(
                [list(names) for names in groups]
                if sampling and sampling.test_natural_images is not None
                else []
            ),
            spans="",
            code=code_digest("components.example_gen", "data"),
            examples=channel_utils.as_channel([standard_artifacts.Examples()]),
            manifest=channel_utils.as_channel([SamplingManifest()]),
        )
        # Past FileBasedExampleGen.__init__, which would make TFX's own specification.
        base_beam_component.BaseBeamComponent.__init__(self, spec=spec)


def _to_json(config: SamplingConfig | FaultConfig | contract.Label) -> str:
    # Sorted, because TFX's cache compares the text.
    return json.dumps(dataclasses.asdict(config), sort_keys=True)
