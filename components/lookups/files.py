"""Which artifacts that an earlier run left are still there.

In: artifacts that ML Metadata lists. Out: those whose files exist. A person who needs disk removes
old results by hand; a lookup that found a model without files would fail its reader in every run.
"""

import logging
from collections.abc import Sequence

from tfx.dsl.io import fileio
from tfx.types import Artifact

logger = logging.getLogger("genq.lookups")


def present(artifacts: Sequence[Artifact], lookup: str) -> list[Artifact]:
    """Returns the artifacts whose files exist, and says of the others that they are skipped.

    Args:
      artifacts: candidates; one without a path counts as present.
      lookup: id of the node, for the log.
    """
    there = [a for a in artifacts if not a.uri or fileio.exists(a.uri)]
    for artifact in artifacts:
        if artifact not in there:
            logger.warning(
                "%s: %s %d is skipped: its files are gone from %s.",
                *(lookup, artifact.type_name, artifact.id, artifact.uri),
            )
    return there
