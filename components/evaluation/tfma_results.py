"""What TFMA's Evaluator decided, read from its output folder.

In: the folder of a ModelEvaluation. Out: lines for people.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow_model_analysis as tfma


def validation_failures(evaluation: Path) -> tuple[str, ...]:
    """Returns why TFMA refused its blessing, one line a threshold; empty when it did not.

    A folder without a validation result gives no lines either.
    """
    if not list(evaluation.glob("validations*")):
        return ()
    result = tfma.load_validation_result(str(evaluation))
    lines = []
    for per_slice in result.metric_validations_per_slice:
        for failure in per_slice.failures:
            bounds = failure.metric_threshold
            value = failure.metric_value.double_value.value
            least = bounds.value_threshold.lower_bound.value
            if failure.metric_key.is_diff:
                wanted = f"{bounds.change_threshold.absolute.value:+.3f} or better"
                lines.append(
                    f"{failure.metric_key.name} against the baseline: {value:+.3f}, wanted {wanted}"
                )
            else:
                lines.append(f"{failure.metric_key.name}: {value:.3f}, wanted {least:.3f} or more")
    return tuple(lines)
