"""A node of one's own: the images on which the model is surest and wrong, as a CSV to relabel.

The worked example of docs/guides/extend.md. Run the demo first, then:

    .venv/bin/python docs/guides/hard_examples.py
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from tfx import v1 as tfx
from tfx.types.artifact import Artifact

from components.predictions import table
from components.predictions.artifacts import Predictions
from data import contract

CSV = "hard_examples.csv"


# 1. What the node leaves: a folder, told apart by its type.
class HardExamples(Artifact):  # type: ignore[misc]  # TFX ships no types
    """`hard_examples.csv`: image_id, label, p_positive; the surest error first."""

    TYPE_NAME = "HardExamples"


# 2. The work: a pure function, which a test calls without TFX.
def hardest(rows: "table.pd.DataFrame", count: int) -> "table.pd.DataFrame":
    """Returns the `count` rows whose answer is wrong and surest.

    Args:
      rows: predictions of one split; see components/predictions/table.py.
      count: at most this many.
    """
    wrong = (rows[contract.P_POSITIVE] >= 0.5) != (rows[contract.LABEL] == 1)
    sureness = (rows[contract.P_POSITIVE] - 0.5).abs()
    chosen = rows[wrong].assign(sureness=sureness).sort_values("sureness", ascending=False)
    return chosen.head(count)[[contract.IMAGE_ID, contract.LABEL, contract.P_POSITIVE]]


# 3. The node: TFX makes one of a function; artifacts come as folders.
@tfx.dsl.components.component
def hard_examples(
    predictions: tfx.dsl.components.InputArtifact[Predictions],
    found: tfx.dsl.components.OutputArtifact[HardExamples],
    count: tfx.dsl.components.Parameter[int] = 50,
) -> None:
    """Writes the file."""
    rows = table.load(predictions.uri).split("test")
    Path(found.uri).mkdir(parents=True, exist_ok=True)
    hardest(rows, count).to_csv(Path(found.uri) / CSV, index=False)


# 4. Its place in the pipeline: inputs are outputs of other nodes; TFX finds the order.
def more(nodes: Mapping[str, Any]) -> list[Any]:
    """Returns the nodes to add; `nodes` are genq's, by id."""
    predictions = nodes["model-scorer"].outputs["predictions"]
    return [hard_examples(predictions=predictions, count=20).with_id("hard-examples")]


# Everything else is as `genq run` makes it, and comes from the cache.
def main(
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE")] = None,
) -> None:
    """Runs the demo's pipeline with one node more."""
    from pipeline.config import load
    from pipeline.pipeline import create_pipeline
    from pipeline.run_local import Progress, run

    config = load("demo", overrides=overrides or [])
    run(
        create_pipeline(config, extend=more),
        Progress(print, lambda result: print(f"  {result.outcome.value}")),
    )
    folder = Path(config.workdir) / "pipeline" / "hard-examples" / "found"
    newest = max(folder.iterdir(), key=lambda path: int(path.name))
    print(newest / CSV)


if __name__ == "__main__":
    typer.run(main)
