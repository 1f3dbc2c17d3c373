"""What an example is: the names, orders and sizes that every part of genq shares.

In: nothing. Out: constants and small pure functions. Imports no TensorFlow, so that serving and
the command line can read it in a millisecond.

Conventions, said once:

- `image`: uint8, (height, width, 3), RGB, 0-255. Encoded images are JPEG bytes.
- Geometry is CelebA's aligned one: 218 high, 178 wide, eyes near (69, 111) and (108, 111) (x, y).
- The label is one of CelebA's attributes, "Male" unless told otherwise. It says how a face *appears
  to the annotators of CelebA*. It is not a statement about anybody's identity.
"""

from dataclasses import dataclass
from typing import Final, Literal

from data.errors import ConfigError

# --- Features of a tf.train.Example --------------------------------------------------------------

IMAGE: Final = "image"
"""Encoded JPEG, one bytes value."""
IMAGE_ID: Final = "image_id"
"""File name without folder, e.g. b"000001.jpg"; unique. One bytes value."""
IDENTITY: Final = "identity"
"""CelebA's number of the person shown. One int64 value; absent when the data set has none."""
PARTITION: Final = "partition"
"""Official partition: one of SPLITS as bytes. One bytes value; absent when there is none."""
LANDMARKS: Final = "landmarks"
"""Ten int64 values in LANDMARK_NAMES order, pixels; absent when the data set has none."""
IMAGE_WIDTH: Final = "image_width"
IMAGE_HEIGHT: Final = "image_height"
IMAGE_BYTES: Final = "image_bytes"
"""Width and height in pixels and the size of the file; one int64 value each."""
GROUPS: Final = "groups"
"""What further columns of the data set say, e.g. b'{"race": "White"}' (data.celeba.groups); absent
when there are none. One bytes value."""
INCLUSION_WEIGHT: Final = "inclusion_weight"
"""How many images of the test partition an example of test_natural stands for, where only some were
drawn (sampling.test_natural_images): 1 / its chance to be drawn. One float value, 1 or more; absent
everywhere else."""
BRIGHTNESS: Final = "brightness"
SHARPNESS: Final = "sharpness"
"""One float value each, 0 to 255 (data.celeba.images.quality says how measured); on the first
examples of a split only, because measuring costs more than copying. For statistics, never for
training."""
LABEL: Final = "label"
"""Of an example: the value of the attribute that is learnt (Label.attribute), one int64, 0 or 1. Of
a model's outputs: int64, (batch,): index into Label.names, p_positive >= 0.5."""

ATTRIBUTES: Final = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)
"""The 40 attributes in the column order of `list_attr_celeba.txt`; each is one int64 value, 0 or 1
(the annotation files say -1 and 1)."""

LANDMARK_NAMES: Final = (
    "lefteye_x",
    "lefteye_y",
    "righteye_x",
    "righteye_y",
    "nose_x",
    "nose_y",
    "leftmouth_x",
    "leftmouth_y",
    "rightmouth_x",
    "rightmouth_y",
)
"""Column order of `list_landmarks_align_celeba.txt`."""

# --- Labels --------------------------------------------------------------------------------------

MALE: Final = "Male"


@dataclass(frozen=True)
class Label:
    """What is learnt: one binary attribute, and what its two values are called.

    Attributes:
      attribute: one of CelebA's 40, e.g. Eyeglasses; docs/guides/own-data.md lists them.
      negative: name of its value 0, for people and for programs; "" means "female" for Male, and
        e.g. "not eyeglasses" for Eyeglasses.
      positive: name of its value 1; "" means "male" for Male, and e.g. "eyeglasses".
    """

    attribute: str = MALE
    negative: str = ""
    positive: str = ""

    def __post_init__(self) -> None:
        """Raises ConfigError with the bad value and what is accepted."""
        if self.attribute not in ATTRIBUTES:
            raise ConfigError(
                f"label.attribute is {self.attribute!r}, which is not one of CelebA's 40 "
                "attributes.",
                f"Use one of {', '.join(ATTRIBUTES)}.",
            )
        if len({*self.names, UNCERTAIN}) < 3:
            raise ConfigError(
                f"label.negative and label.positive are {self.names!r}; accepted: two different "
                f"names, neither of them {UNCERTAIN!r}, which is what a model says that abstains."
            )

    @property
    def names(self) -> tuple[str, str]:
        """Index = value of the attribute = class index of every model output."""
        if self.attribute == MALE:
            return self.negative or "female", self.positive or "male"
        words = self.attribute.replace("_", " ").lower()
        return self.negative or f"not {words}", self.positive or words


# --- Splits --------------------------------------------------------------------------------------

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")
"""Index = the number that `list_eval_partition.txt` uses (0, 1, 2)."""
TEST_NATURAL: Final = "test_natural"
"""Optional split of examples: the official test partition, not balanced; all of it, or a sample in
which rare groups are full (INCLUSION_WEIGHT)."""

# --- Geometry ------------------------------------------------------------------------------------

IMAGE_HEIGHT_PX: Final = 218
IMAGE_WIDTH_PX: Final = 178
LEFT_EYE_XY_PX: Final = (69, 111)
RIGHT_EYE_XY_PX: Final = (108, 111)

# --- Outputs of every exported model -------------------------------------------------------------

P_POSITIVE: Final = "p_positive"
"""float32, (batch,): calibrated probability of Label.positive, "male" unless told otherwise."""
UNCERTAIN: Final = "uncertain"
"""bool, (batch,): p_positive lies in the band in which the model abstains."""
EMBEDDING: Final = "embedding"
"""float32, (batch, 2048): the pooled output of the backbone, what the head sees."""

# --- Signatures of the SavedModel ----------------------------------------------------------------

SIGNATURE_ENCODED: Final = "serving_default"
"""Input `image_bytes`: string, (batch,): JPEG or PNG bytes."""
SIGNATURE_EXAMPLES: Final = "serving_examples"
"""Input `examples`: string, (batch,): serialized tf.train.Example. What TFMA calls."""
SIGNATURE_PIXELS: Final = "serving_pixels"
"""Input `image`: uint8, (batch, height, width, 3), any height and width. What becomes ONNX."""
SIGNATURE_EMBEDDING: Final = "embed_examples"
"""As SIGNATURE_EXAMPLES, with EMBEDDING among the outputs of the same pass."""
