"""Reading an Examples artifact's records with tf.data.

In: file patterns of splits. Out: serialized tf.train.Examples, string scalars.
"""

from collections.abc import Sequence

import tensorflow as tf

from data.errors import DataError


def example_dataset(patterns: Sequence[str], *, parallel_reads: int = 2) -> tf.data.Dataset:
    """Returns the records of all files that match, in file-name order.

    Args:
      patterns: e.g. ".../Split-train/*". Files named *.gz are read as gzip, others as they are.
      parallel_reads: files read at once; the order stays deterministic.

    Raises:
      DataError: if no file matches.
    """
    files = sorted(f for pattern in patterns for f in tf.io.gfile.glob(pattern))
    if not files:
        raise DataError(
            f"No example files match {', '.join(patterns)}.",
            "The split is empty or the example-gen's output was removed; run the pipeline again.",
        )

    # An artifact's files come from one writer: all are compressed, or none.
    compression = "GZIP" if files[0].endswith(".gz") else ""
    return tf.data.TFRecordDataset(files, compression, num_parallel_reads=parallel_reads)
