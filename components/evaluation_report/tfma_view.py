"""TFMA's own views as one page that needs no network: `tfma.html`.

In: folders that TFX's Evaluator wrote. Out: a page with TFMA's elements (`vulcanized_tfma.js` of
TFMA's wheel) on the same results. TFMA shows them in notebooks only, and draws them by Google
Charts from the network; static/google_charts.js stands in for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.slicer import slicer_lib
from tensorflow_model_analysis.view import util

from components.evaluation_report.pages import static, view

MAX_BYTES: Final = 5_000_000
"""The page's largest size, of which TFMA's script is 1.1 MB; plots that would exceed it are left
out: one slice has 1,000 confusion matrices."""


def page(
    evaluation: Path, *, title: str, run: str, runs: Sequence[tuple[str, Path]] = ()
) -> str | None:
    """Returns the page; None if the folder holds no metrics.

    Args:
      evaluation: of a ModelEvaluation.
      title: of the page.
      run: its id.
      runs: (id, folder) of all runs whose metrics are shown over time, oldest first.
    """
    result = _load(evaluation)
    if result is None:
        return None
    scripts = [static("google_charts.js"), _elements(), static("tfma.js")]
    plots, omitted = _plots(result, MAX_BYTES - sum(map(len, scripts)))
    data = {
        "slices": _slices(result),
        "config": util.get_slicing_config(result.config),
        "plots": plots,
        "runs": _over_time(runs),
    }
    return view(
        "tfma.html.j2",
        scripts,
        title=title,
        run=run,
        data=_finite(data),
        omitted=omitted,
        limit=MAX_BYTES // 1_000_000,
    )


def _elements() -> str:
    """Returns TFMA's script; what would end its element early is written in another way."""
    file = resources.files("tensorflow_model_analysis") / "static" / "vulcanized_tfma.js"
    return file.read_text(encoding="utf-8").replace("</script", "<\\/script")


def _load(evaluation: Path) -> Any | None:
    """Returns the candidate's results: with a baseline, TFMA keeps those of both apart."""
    if not list(evaluation.glob("metrics*")):
        return None
    results = tfma.load_eval_results([str(evaluation)]).get_results()
    if len(results) < 2:
        return results[0] if results else None
    [name] = (spec.name for spec in results[0].config.model_specs if not spec.is_baseline)
    return tfma.load_eval_result(str(evaluation), model_name=name)


def _slices(result: Any) -> dict[str, list[dict[str, Any]]]:
    """Returns the columns by which is sliced -> TFMA's rows; "overall" first, and in each other."""
    groups: dict[str, list[dict[str, Any]]] = {"overall": []}
    for key, metrics in result.slicing_metrics:
        name = " x ".join(column for column, _ in key) or "overall"
        row = {"slice": slicer_lib.stringify_slice_key(key), "metrics": metrics}
        groups.setdefault(name, []).append(row)
    everything = groups.pop("overall")
    return {"overall": everything} | {
        name: [*everything, *groups[name]]
        for name in sorted(groups, key=lambda name: (" x " in name, name))
    }


def _plots(result: Any, budget: int) -> tuple[dict[str, dict[str, Any]], int]:
    """Returns slice -> plot data and its configuration, as many as fit; and how many do not."""
    plots: dict[str, dict[str, Any]] = {}
    # All images first, then slices by one feature, then crossings.
    keys = sorted((key for key, _ in result.plots), key=lambda key: (len(key), str(key)))
    for done, key in enumerate(keys):
        data, config = util.get_plot_data_and_config(
            result.plots, slicer_lib.SingleSliceSpec(features=list(key))
        )
        plot = {"data": data, "config": config}
        budget -= len(json.dumps(plot))
        if budget < 0:
            return plots, len(keys) - done
        plots[slicer_lib.stringify_slice_key(key)] = plot
    return plots, 0


def _over_time(runs: Sequence[tuple[str, Path]]) -> list[dict[str, Any]]:
    found = []
    for run, evaluation in runs:
        result = _load(evaluation)
        overall = [m for key, m in result.slicing_metrics if not key] if result else []
        if overall:
            config = {"modelIdentifier": run, "dataIdentifier": run}
            found.append({"metrics": overall[0], "config": config})
    return found


def _finite(value: Any) -> Any:
    """Returns the same without NaN and infinity, which JSON lacks; TFMA's elements take "NaN"."""
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN"
    return value
