"""A full disk or exhausted memory, said as an error that names the knob."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from components.trainer.config import TrainerConfig
from data.errors import ResourceError

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def explained(config: TrainerConfig, *, folders: str) -> Iterator[None]:
    """Turns what Python, NumPy and TensorFlow raise on exhaustion into a ResourceError.

    The kernel's out-of-memory killer cannot be caught; the next run goes on where this one was.

    Args:
      config: names the knobs.
      folders: where this run writes, for the message.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise disk_full(str(error), folders) from error
    except tf.errors.ResourceExhaustedError as error:
        # TensorFlow reports ENOSPC by the same class.
        if "No space left" in str(error):
            raise disk_full(error.message, folders) from error
        raise out_of_memory(error.message.splitlines()[0], config) from error
    except MemoryError as error:
        raise out_of_memory(str(error), config) from error


def disk_full(found: str, folders: str) -> ResourceError:
    """Returns the error for a full disk."""
    return ResourceError(
        f"The disk is full while training: {found}. Written to: {folders}.",
        "Make room and run again: training goes on after the last whole epoch. Or let the "
        "activation cache take less (trainer.cache_budget_gb, trainer.flip=false, "
        "trainer.strategy=head_only), or choose another disk: --workdir DIR.",
    )


def out_of_memory(found: str, config: TrainerConfig) -> ResourceError:
    """Returns the error for exhausted memory."""
    knobs = [f"trainer.batch_size={max(2, config.batch_size // 2)} (now {config.batch_size})"]
    if config.strategy == "full":
        knobs.append("trainer.strategy=two_phase, which trains less of the network")
    elif config.unfreeze_above < "mixed9":
        knobs.append("trainer.unfreeze_above=mixed9")
    knobs.append("a smaller trainer.image_size_px")
    return ResourceError(
        f"Memory ran out while training: {found}",
        f"Set {'; or '.join(knobs)}. Activations that were computed are not computed again.",
    )
