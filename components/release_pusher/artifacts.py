"""What the pusher leaves in the pipeline: a folder with a copy of `release.json` and SHA256SUMS.

Properties: PUSHED is 1 when a release stands for this model, 0 when the model was not blessed, and
then the folder is empty; RELEASE_DIR is where the release is, VERSION which it is, REMOTE where its
copy is.
"""

from tfx.types.artifact import Artifact

# TFX's Pusher uses the first name as well.
PUSHED = "pushed"
RELEASE_DIR = "release_dir"
REMOTE = "remote"
VERSION = "version"


class PushedRelease(Artifact):  # type: ignore[misc]  # TFX ships no types
    """A published release; see the module."""

    # Kubeflow Pipelines finds the class of an own artifact by this name: its import path.
    TYPE_NAME = "components.release_pusher.artifacts.PushedRelease"
