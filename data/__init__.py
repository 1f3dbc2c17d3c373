"""What an example is and where it comes from.

One thing happens on import: onnxruntime's reports of use are turned off, which works only before it
is imported, and everything of genq's that imports it imports one of our packages first. It would
look up its maker's address and keep a device's id below the home directory.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
