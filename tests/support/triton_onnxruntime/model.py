"""A backend "onnxruntime" for Triton, in Python: the wheel with the server brings none.

Triton gives it what the repository says; it loads the version's file and answers as the compiled
backend does.
"""

import json
from pathlib import Path
from typing import Any

import onnxruntime
import triton_python_backend_utils as triton  # the server's own


class TritonPythonModel:
    """The class that Triton looks for."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Leaves the configuration as the repository has it."""
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Loads `<repository>/<version>/<default_model_filename>`."""
        self.config = json.loads(args["model_config"])
        folder = Path(args["model_repository"]) / args["model_version"]
        self.session = onnxruntime.InferenceSession(folder / self.config["default_model_filename"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers a batch, by the names of the configuration."""
        names = [o["name"] for o in self.config["output"]]
        responses = []
        for request in requests:
            feed = {
                i["name"]: triton.get_input_tensor_by_name(request, i["name"]).as_numpy()
                for i in self.config["input"]
            }
            values = self.session.run(names, feed)
            tensors = [triton.Tensor(n, v) for n, v in zip(names, values, strict=True)]
            responses.append(triton.InferenceResponse(tensors))
        return responses
