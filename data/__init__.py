"""What an example is and where it comes from.

One thing happens on import: reports of use are turned off, which works only before what reports is
imported, and everything of genq's that imports it imports one of our packages first. onnxruntime
would look up its maker's address and keep a device's id below the home directory; MLflow's client
(tracking.mlflow) would tell its makers what is called.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
