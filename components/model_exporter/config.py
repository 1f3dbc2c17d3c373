"""What can be chosen about export. Imports no TensorFlow: the command line reads it."""

from dataclasses import dataclass
from typing import Literal

from data.errors import ConfigError

MIN_OPSET, MAX_OPSET = 13, 18
"""Per-channel quantisation needs opset 13; tf2onnx 1.17 writes up to 18."""
VARIANTS = ("float32", "float16", "int8")


@dataclass(frozen=True)
class ExportConfig:
    """How the model leaves TensorFlow, and how equal it must stay.

    Attributes:
      opset: version of ONNX's operators.
      variants: of float32, float16, int8; float32 always. int8 serves CPUs, float16 GPUs:
        onnxruntime's CPU provider computes float16 in float32 and is slower with it.
      parity_images: examples of `test` on which every variant is compared with the SavedModel.
      max_difference_float32: largest |difference of p_positive| that ONNX float32 may show.
      max_difference_float16: the same for float16, which carries three digits.
      min_equal_decisions: share of the images on which a variant must give the SavedModel's label;
        it is refused when even the favourable end of the 95 % interval is below.
      agreement_images: how many more images of test_natural, val and train, without those that int8
        was made with, on which labels are compared: that needs no truth.
      max_slice_drop: by how much accuracy on a slice may fall; a larger drop stops the run when
        even the favourable end of its 95 % interval is below.
      max_difference_decoders: largest |difference of p_positive| between TensorFlow's and Pillow's
        decoding of the same file.
      calibration_images: of `train`, on which int8's ranges are measured.
      judging_images: of `val`, on which the layers that stay in float are chosen.
      int8_max_mean_difference: mean |difference of p_positive| on them that int8 aims for.
      int8_max_float_layers: how many convolutions may stay in float.
      on_variant_failure: what int8 or float16 does that cannot be made, is over a limit or does not
        answer: "leave_out" publishes the others and says in terminal, report and release.json
        which is missing and why; "stop" stops the run. ONNX float32 always stops it.
    """

    opset: int = 18
    variants: tuple[str, ...] = ("float32", "int8")
    parity_images: int = 2000
    agreement_images: int = 2000
    max_difference_float32: float = 1e-4
    max_difference_float16: float = 2e-2
    min_equal_decisions: float = 0.995
    max_slice_drop: float = 0.01
    max_difference_decoders: float = 2e-2
    calibration_images: int = 128
    judging_images: int = 400
    int8_max_mean_difference: float = 5e-3
    int8_max_float_layers: int = 12
    on_variant_failure: Literal["leave_out", "stop"] = "leave_out"

    def __post_init__(self) -> None:
        """Raises ConfigError with the bad value and what is accepted."""

        def require(ok: bool, field: str, accepted: str) -> None:
            if not ok:
                found = getattr(self, field)
                raise ConfigError(f"export.{field} is {found!r}; accepted: {accepted}.")

        require(MIN_OPSET <= self.opset <= MAX_OPSET, "opset", f"{MIN_OPSET} to {MAX_OPSET}")
        require(
            "float32" in self.variants and set(self.variants) <= set(VARIANTS),
            "variants",
            f"float32 and any of {', '.join(VARIANTS[1:])}",
        )
        for field in ("parity_images", "calibration_images", "judging_images"):
            require(getattr(self, field) >= 1, field, "1 or more")
        for field in (
            "max_difference_float32",
            "max_difference_float16",
            "max_difference_decoders",
            "int8_max_mean_difference",
        ):
            require(0 < getattr(self, field) < 1, field, "between 0 and 1")
        for field in ("min_equal_decisions", "max_slice_drop"):
            require(0 <= getattr(self, field) <= 1, field, "0 to 1")
        require(self.int8_max_float_layers >= 0, "int8_max_float_layers", "0 or more")
        require(self.agreement_images >= 0, "agreement_images", "0 or more")
        require(
            self.on_variant_failure in ("leave_out", "stop"),
            "on_variant_failure",
            '"leave_out" or "stop"',
        )
