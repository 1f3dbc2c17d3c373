"""What can be chosen about training. Imports no TensorFlow: the command line reads it."""

from dataclasses import dataclass
from typing import Literal

from data.errors import ConfigError

ONE_AT_A_TIME = ("TF_NUM_INTEROP_THREADS", "1")
"""What TensorFlow reads from the environment as it starts: one operation runs at a time."""
MIN_IMAGE_SIZE_PX = 75
"""InceptionV3's smallest input (keras.applications.inception_v3)."""


@dataclass(frozen=True)
class TrainerConfig:
    """The recipe. The defaults train the top of the network on cached activations.

    That is the cheapest way; the presets of pipeline/config.py train the whole network, which is
    more accurate on faces (docs/decisions/0019).

    The optimiser is AdamW (Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization") under
    a cosine schedule (Loshchilov & Hutter 2017, "SGDR") with linear warm-up (Goyal et al. 2017),
    anew in each phase. Where the values come from: `head_learning_rate`: Adam's default, which
    Keras' guide to transfer learning keeps for the head; `fine_tune_learning_rate`: a tenth of it,
    between that guide's 1e-5 for a whole network without schedule and the seed project's 1e-3;
    `weight_decay`: Keras' and PyTorch's range (4e-3, 1e-2) times the smaller need of one block,
    1e-4 as He et al. 2016 have it; `dropout`: 0.2, that of InceptionV3's own head (Szegedy et al.
    2016); `label_smoothing`: they use 0.1, but smoothing spoils what calibration then has to repair
    (Mueller et al. 2019), so it is off.

    Attributes:
      image_size_px: side of the square that images are resized to, inside the graph; 299 is
        InceptionV3's own, 112 holds what tells faces apart at a seventh of the time.
      weights: "imagenet" (downloaded by Keras and checked against its hash), "none" (random), or a
        path: a Keras weights file of InceptionV3 without top (.h5, .weights.h5, .keras), a
        SavedModel, or an earlier release of genq, whose head is taken over as well.
      strategy: "two_phase" trains the head on the frozen backbone, then unfreezes the top;
        "head_only" stops after the first; "full" trains every layer from the start.
      unfreeze_above: the second phase trains what lies above this block's output, "mixed0" …
        "mixed10". "mixed9" is the last but one; "mixed8" trains twice as much at half the speed.
      head_epochs: the most epochs of the first phase; 0 leaves it out.
      fine_tune_epochs: the most epochs of the second phase, and of "full".
      head_learning_rate: the first phase's peak.
      fine_tune_learning_rate: the second phase's peak, and that of "full".
      warmup_fraction: share of a phase's steps in which the rate climbs to its peak.
      weight_decay: of AdamW, decoupled from the rate.
      label_smoothing: labels become smoothing / 2 and 1 - smoothing / 2.
      dropout: before the last layer.
      batch_size: images a step, on all devices together.
      batch_norm: "frozen" keeps the backbone's BatchNorm statistics, which a few thousand images
        would spoil (Keras' transfer learning guide); "trained" is for random weights.
      batch_norm_momentum: of the moving averages. Keras' 0.99 lags behind in runs of a few hundred
        steps (docs/field-log.md).
      class_weight: "balanced" weighs each class by n / (2 n_class).
      mixup: alpha of MixUp (Zhang et al. 2018; on activations: Verma et al. 2019); 0 is off.
      early_stopping_epochs: a phase ends when `val` loss has not improved for this many epochs, and
        leaves the weights of its best epoch; 0 runs every epoch and leaves the last.
      flip: mirror half of the training images. The only augmentation that the cache can hold.
      zoom, shear, crop, colour: augmentation as the seed project does it, each the largest change:
        zoom by 1 ± zoom, shear by ± shear radians, a cut of up to that share of height and
        width, brightness and contrast by 1 ± colour. Any of them switches the cache off.
      photo_like: how far training images are made to look like photographs of other sources:
        turned, scaled, shifted, softer or sharper, recoloured, compressed, covered in part, with
        another image's hair and background (components/trainer/photo_augmentation.py); 0 is off, 1
        the full range. Switches the cache off, too. The uncertainty band is then chosen on such
        images of `val` as well.
      activation_cache: compute the frozen part once per image and keep it on disk.
      cache_budget_gb: disk that the cache may take, GB of 1e9 bytes; decides where the network is
        cut. Said before it is spent.
      cache_dtype: "auto" takes bfloat16 where the network computes in it, float16 otherwise.
      target_error: the error rate on `val` that answers outside the uncertainty band may have.
      seed: of initial weights, order, mirrors and dropout.
      max_abstention: the largest share of `val` that the band may swallow.
      precision: "auto" takes mixed_bfloat16 where it is faster: on CPUs with AMX, and on GPUs.
      frozen_engine: what computes the frozen part for the cache; "auto" takes OpenVINO where it is
        installed, on one processor (two to three times as fast), TensorFlow otherwise.
      deterministic: only operations that give the same bits each time, one after another; slower
        on GPUs.
    """

    image_size_px: int = 299
    weights: str = "imagenet"
    strategy: Literal["two_phase", "head_only", "full"] = "two_phase"
    unfreeze_above: str = "mixed9"
    head_epochs: int = 5
    fine_tune_epochs: int = 15
    head_learning_rate: float = 1e-3
    fine_tune_learning_rate: float = 1e-4
    warmup_fraction: float = 0.1
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    dropout: float = 0.2
    class_weight: Literal["none", "balanced"] = "none"
    mixup: float = 0.0
    batch_size: int = 32
    early_stopping_epochs: int = 4
    flip: bool = True
    zoom: float = 0.0
    shear: float = 0.0
    crop: float = 0.0
    colour: float = 0.0
    photo_like: float = 0.0
    batch_norm: Literal["frozen", "trained"] = "frozen"
    batch_norm_momentum: float = 0.99
    activation_cache: bool = True
    cache_budget_gb: float = 20.0
    cache_dtype: Literal["auto", "bfloat16", "float16"] = "auto"
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    frozen_engine: Literal["auto", "tensorflow", "openvino"] = "auto"
    deterministic: bool = False
    target_error: float = 0.02
    max_abstention: float = 0.2
    seed: int = 0

    @property
    def uncacheable(self) -> tuple[str, ...]:
        """The augmentations asked for that change more than a mirror does, by field name."""
        changes = ("zoom", "shear", "crop", "colour", "photo_like")
        return tuple(field for field in changes if getattr(self, field) > 0)

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases of the strategy that have epochs, in order."""
        if self.strategy == "full":
            return ("full",) if self.fine_tune_epochs else ()
        head = ("head",) if self.head_epochs else ()
        fine_tune = self.strategy == "two_phase" and self.fine_tune_epochs
        return (*head, "fine_tune") if fine_tune else head

    def epochs(self, phase: str) -> int:
        """Epochs of a phase."""
        return self.head_epochs if phase == "head" else self.fine_tune_epochs

    def learning_rate(self, phase: str) -> float:
        """Peak learning rate of a phase."""
        return self.head_learning_rate if phase == "head" else self.fine_tune_learning_rate

    def __post_init__(self) -> None:
        """Raises ConfigError with the bad value and what is accepted."""

        def require(ok: bool, field: str, accepted: str) -> None:
            if not ok:
                found = getattr(self, field)
                raise ConfigError(f"trainer.{field} is {found!r}; accepted: {accepted}.")

        require(
            self.image_size_px >= MIN_IMAGE_SIZE_PX,
            "image_size_px",
            f"{MIN_IMAGE_SIZE_PX} or more (InceptionV3's smallest input)",
        )
        require(bool(self.weights), "weights", '"imagenet", "none" or the path of weights')
        require(
            self.unfreeze_above in BLOCKS, "unfreeze_above", f"one of {BLOCKS[0]} … {BLOCKS[-1]}"
        )
        require(self.batch_size >= 2, "batch_size", "2 or more")
        for field in ("head_epochs", "fine_tune_epochs"):
            require(getattr(self, field) >= 0, field, "0 or more")
        for field in ("head_learning_rate", "fine_tune_learning_rate", "cache_budget_gb"):
            require(getattr(self, field) > 0, field, "a positive number")
        for field in (
            *("dropout", "label_smoothing", "warmup_fraction", "max_abstention"),
            *("zoom", "shear", "crop", "colour"),
        ):
            require(0 <= getattr(self, field) < 1, field, "0 or more, below 1")
        require(0 <= self.photo_like <= 1, "photo_like", "0 to 1")
        for field in ("batch_norm_momentum", "target_error"):
            require(0 < getattr(self, field) < 1, field, "between 0 and 1")
        for field in ("weight_decay", "mixup"):
            require(getattr(self, field) >= 0, field, "0 or more")
        require(self.early_stopping_epochs >= 0, "early_stopping_epochs", "0 (off) or more")
        if self.weights == "none" and self.strategy != "full":
            raise ConfigError(
                f'trainer.weights is "none" and trainer.strategy is {self.strategy!r}: a frozen '
                "backbone of random weights has learnt nothing.",
                'Set trainer.strategy to "full", or give trainer.weights.',
            )


BLOCKS = tuple(f"mixed{i}" for i in range(11))
"""InceptionV3's blocks, as Keras names them."""
