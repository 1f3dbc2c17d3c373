"""Errors a user can meet.

    GenqError                 something the user can understand and fix; exit code 1
    ├── ConfigError           a key or value of the configuration; exit code 2
    ├── DataError             the data set is not what it should be; exit code 3
    │   ├── AnnotationError   a line or field of an annotation file
    │   ├── ImageError        an image file
    │   │   └── PhotoError    a photo that cannot be decoded, or is too large
    │   └── SamplingError     the sample that was asked for cannot be drawn
    ├── GateError             a check of the pipeline said no; exit code 4
    ├── WeightsError          backbone weights cannot be had or do not fit; exit code 5
    ├── ReleaseError          a release is missing, damaged or cannot be written; exit code 6
    ├── BusyError             another process works on the same directory; exit code 7
    ├── ResourceError         disk or memory ran out; exit code 8
    └── ClusterError          Kubeflow Pipelines refuses, fails or does not answer; exit code 9

`genq run` also ends with 4 when a gate refused the model, and with 10 when the model is not sound
and a setting let it through (components/evaluation/state.py).

Every error says what was found, what was expected and, as `remedy`, what to do about it.
The command line prints both without a traceback and ends with the class's `exit_code`.
"""

from typing import Any


class GenqError(Exception):
    """Base of all errors that the user can fix.

    Args:
      problem: what failed: the file, line or field; what was found; what was expected.
      remedy: what to do about it, in the imperative. May be empty.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        # Both go to `Exception`, so that the error survives pickling between Beam workers.
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}\n{self.remedy}" if self.remedy else self.problem


class ConfigError(GenqError):
    """A key or value of the configuration is wrong."""

    exit_code = 2


class DataError(GenqError):
    """The data set is not what it should be."""

    exit_code = 3


class AnnotationError(DataError):
    """A line or field of an annotation file is wrong."""


class ImageError(DataError):
    """An image file is missing, damaged or of the wrong kind."""


class PhotoError(ImageError):
    """A photo cannot be decoded.

    Args:
      problem: as of every error.
      remedy: as of every error.
      code: empty_file, unsupported_image, too_many_pixels or damaged_image: the API's codes.
      details: what the API tells of it.
    """

    def __init__(
        self,
        problem: str,
        remedy: str = "",
        *,
        code: str = "damaged_image",
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(problem, remedy)
        self.code = code
        self.details = details or {}


class SamplingError(DataError):
    """The sample that was asked for cannot be drawn from this data set."""


class GateError(GenqError):
    """A check of the pipeline said no; nothing after it has run."""

    exit_code = 4


class WeightsError(GenqError):
    """Backbone weights cannot be had, or do not fit the model."""

    exit_code = 5


class ReleaseError(GenqError):
    """A release is missing, damaged or cannot be written."""

    exit_code = 6


class BusyError(GenqError):
    """Another process works on the same directory."""

    exit_code = 7


class ResourceError(GenqError):
    """Disk or memory ran out, or would."""

    exit_code = 8


class ClusterError(GenqError):
    """Kubeflow Pipelines refuses, fails or does not answer."""

    exit_code = 9
