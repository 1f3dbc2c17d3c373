"""Facets' overview of the statistics as one page that needs no network: `facets.html`.

In: the folder that StatisticsGen wrote. Out: a page with Facets' element, the splits side by side.
TFDV's `visualize_statistics` shows the same in notebooks, and fetches Facets from the network; the
wheel of the What-If Tool (`witwidget`) holds a copy, Apache-2.0.
"""

from __future__ import annotations

import base64
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.evaluation_report.pages import static, view

_TOOL: Final = re.compile(r"<wit-dashboard [^>]*id=\"wit\".*?</wit-dashboard>", re.DOTALL)
"""The What-If Tool itself, which is at the end of the file with its parts."""
_FONT: Final = re.compile(r"@font-face\s*{[^}]*}")
"""Names files that are not in the wheel; the page is set in the reader's own fonts."""
_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def page(statistics: Path, *, title: str, run: str) -> str | None:
    """Returns the page; None if the folder holds no statistics.

    Args:
      statistics: with Split-<name>/FeatureStats.pb.
      title: of the page.
      run: its id.
    """
    splits = _splits(statistics)
    if not splits.datasets:
        return None
    elements = _elements()
    return view(
        "facets.html.j2",
        [*_SCRIPT.findall(elements), static("facets.js")],
        title=title,
        run=run,
        statistics=base64.b64encode(splits.SerializeToString()).decode(),
        elements=Markup(elements),
    )


def _splits(statistics: Path) -> Any:
    """Returns a DatasetFeatureStatisticsList with a data set a split, in the order of use."""
    found = statistics_pb2.DatasetFeatureStatisticsList()
    order = {"train": 0, "val": 1, "test": 2}
    files = {
        path.parent.name.removeprefix("Split-"): path
        for path in statistics.glob("Split-*/FeatureStats.pb")
    }
    for split in sorted(files, key=lambda name: (order.get(name, 3), name)):
        read = statistics_pb2.DatasetFeatureStatisticsList.FromString(files[split].read_bytes())
        if read.datasets:
            dataset = found.datasets.add()
            dataset.CopyFrom(read.datasets[0])
            dataset.name = split
    return found


def _elements() -> str:
    """Returns the definitions of the elements: HTML with scripts, of which nothing is shown.

    The package is not imported: its protocol buffers are of another time.
    """
    file = distribution("witwidget").locate_file("witwidget/static/wit_jupyter.html")
    return _FONT.sub("", _TOOL.sub("", Path(str(file)).read_text(encoding="utf-8")))
