"""Triton's model configuration: what its server needs beside the version directories.

In: a model's name. Out: the text of `config.pbtxt` (Triton's model_configuration.md). The shapes
leave out the batch axis, which `max_batch_size` adds.
"""

from typing import Final

from data import contract

MAX_BATCH_SIZE: Final = 64

CONFIG_PBTXT: Final = """\
name: "{name}"
backend: "onnxruntime"
default_model_filename: "model.onnx"
max_batch_size: {batch}
input [
  {{ name: "{image}" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }}
]
output [
  {{ name: "{p_positive}" data_type: TYPE_FP32 dims: [ 1 ] reshape {{ shape: [ ] }} }},
  {{ name: "{label}" data_type: TYPE_INT64 dims: [ 1 ] reshape {{ shape: [ ] }} }},
  {{ name: "{uncertain}" data_type: TYPE_BOOL dims: [ 1 ] reshape {{ shape: [ ] }} }}
]
"""


def config_pbtxt(model_name: str) -> str:
    """Returns the configuration of a model whose versions are this module's releases."""
    return CONFIG_PBTXT.format(
        name=model_name,
        batch=MAX_BATCH_SIZE,
        image=contract.IMAGE,
        p_positive=contract.P_POSITIVE,
        label=contract.LABEL,
        uncertain=contract.UNCERTAIN,
    )
