import data  # noqa: F401  # turns onnxruntime's reports of use off
