"""What the answers of benchmarks/real_faces.py are worth, as tables and as claims.

In: answers and labels. Out: balanced accuracy, abstention and errors with intervals whose unit is
the person; a table a set; the claims that all benchmarks print.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from real_contestants import FULL_EPOCHS, FULL_SIZE_PX, FaceSet
from reporting import claim
from rich.console import Console
from rich.table import Table

from components.evaluation import clusters
from components.evaluation.intervals import Interval


@dataclass(frozen=True)
class Score:
    """What one contestant reached on one set."""

    who: str
    accuracy: Interval
    found: float
    abstains: float | None
    wrong: Interval | None
    images_a_second: float | None


def score(
    who: str,
    p: NDArray[np.float64],
    uncertain: NDArray[np.bool_] | None,
    faces: FaceSet,
    *,
    found: NDArray[np.bool_] | None = None,
    per_s: float | None = None,
) -> Score:
    """Returns what the answers are worth.

    Args:
      who: answers.
      p: probability that it is a man, (n,); NaN where there is no answer, which is left out.
      uncertain: (n,), where the contestant abstains; None if it never does.
      faces: labels and people.
      found: (n,), where its detector found a face, if it also answers elsewhere.
      per_s: images a second.
    """
    answered = ~np.isnan(p)
    wrong = (p >= 0.5) != faces.labels
    whose = clusters.people(faces.identity, len(p))
    men, women = answered & faces.labels, answered & ~faces.labels
    # (men right + women right) / 2 = (1 + men right - women wrong) / 2
    difference = clusters.differences([((~wrong, men), (wrong, women))], whose).interval()
    accuracy = Interval(*((1 + bound[0]) / 2 for bound in difference))
    if uncertain is None:
        share, errors = None, None
    else:
        share = float(uncertain[answered].mean()) if answered.any() else float("nan")
        errors = clusters.rate(wrong, whose, answered & ~uncertain)
    seen = answered if found is None else found
    return Score(who, accuracy, float(seen.mean()), share, errors, per_s)


def people(faces: FaceSet) -> dict[str, int | None]:
    """Returns counts of a set; without identities, people are not known."""
    known = faces.identity
    return {
        "images": len(faces.files),
        "men": int(faces.labels.sum()),
        "people": None if known is None else len(np.unique(known)),
    }


# --- Showing -------------------------------------------------------------------------------------


def interval(found: Interval) -> str:
    """Returns "0.958 (0.940 to 0.971)"."""
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def about(counts: dict[str, int | None]) -> str:
    """Returns "500 images (250 men) of 370 people"."""
    whose = "" if counts["people"] is None else f" of {counts['people']:,} people"
    return f"{counts['images']:,} images ({counts['men']:,} men){whose}"


def show(results: dict[str, Any], scores: dict[str, list[Score]]) -> None:
    """Prints a table for each set, and what training cost."""
    console = Console(width=118)
    for name, rows in scores.items():
        title = "held-out people" if name == "test" else f"photos: {name}"
        table = Table(title=f"{title}: {about(results['people'][name])}", title_justify="left")
        for column in (
            "",
            "balanced accuracy (95 %)",
            "face found",
            "abstains",
            "wrong among answers",
            "images/s",
        ):
            table.add_column(column, justify="right" if column else "left")
        for row in rows:
            table.add_row(
                row.who,
                interval(row.accuracy),
                f"{row.found:.1%}",
                "" if row.abstains is None else f"{row.abstains:.1%}",
                "" if row.wrong is None else interval(row.wrong),
                "" if row.images_a_second is None else f"{row.images_a_second:.1f}",
            )
        console.print(table)
    for line in costs(results):
        console.print(line)


def costs(results: dict[str, Any]) -> Iterator[str]:
    """Yields what training cost, in sentences."""
    if "genq" in results:
        mine = results["genq"]
        yield (
            f"genq: trained in {mine['training_s']:,.0f} s, {mine['epochs']} epochs, with "
            f"building, validation, calibration and export; {mine['recipe']['image_size_px']} px, "
            f"strategy {mine['recipe']['strategy']}."
        )
    if "seed" in results:
        theirs, job = results["seed"], results["seed"]["scale"]
        yield (
            f"The seed's recipe, {job['size_px']} px, {job['epochs']} epochs, batch "
            f"{theirs['batch']}: trained in {theirs['training_s']:,.0f} s; its best epoch on val "
            "is judged."
        )
        if theirs["scaled"] and theirs["full_s"] is not None:
            yield (
                f"At {FULL_SIZE_PX} px and {FULL_EPOCHS} epochs it would take "
                f"{theirs['full_s']:,.0f} s, extrapolated from steps measured at that size."
            )
    yield (
        "images/s: one image at a time, detection included, decoded pixels; genq as SavedModel in "
        "float32, not as the application's int8."
    )


def claims(results: dict[str, Any], scores: dict[str, list[Score]]) -> list[dict[str, Any]]:
    """Returns one entry a claim; a ratio is ours by the peer's, or the peer's time by ours."""
    found: list[tuple[Any, ...]] = []
    for name, rows in scores.items():
        mine = [row for row in rows if row.who.startswith("genq")]
        if not mine:
            continue
        where = "held-out people" if name == "test" else f"photos {name}"
        # Peers answer with their own detector, and so does genq beside them; on aligned images
        # the seed's recipe is what genq's aligned answers are compared with.
        for row in rows:
            if row in mine:
                continue
            ours = mine[0] if row.who.startswith("the seed") else mine[-1]
            low, high = ours.accuracy.low, ours.accuracy.high
            counts = results["people"][name]
            unit = f"({low:.3f} to {high:.3f}, n={counts['images']})"
            accuracies = float(ours.accuracy.value), float(row.accuracy.value)
            found.append((f"balanced accuracy, {where}", unit, *accuracies, row.who))
            if row.images_a_second and ours.images_a_second and name == "test":
                speeds = ours.images_a_second, row.images_a_second
                found.append(("one image, detection included", "images/s", *speeds, row.who))
        if len(mine) == len(rows):
            alone, value = mine[0].accuracy, float(mine[0].accuracy.value)
            unit = f"({alone.low:.3f} to {alone.high:.3f}, n={results['people'][name]['images']})"
            found.append((f"balanced accuracy, {where}", unit, value))
        last = mine[-1]
        assert last.wrong is not None and last.abstains is not None
        abstains = f"(abstains on {last.abstains:.1%})"
        found.append((f"wrong among answers, {where}", abstains, float(last.wrong.value)))
    made = [claim(*figure, digits=4) for figure in found]
    if "genq" in results and "seed" in results:
        theirs = results["seed"]
        ours_s, full_s, name = results["genq"]["training_s"], theirs["full_s"], "the seed's recipe"
        if full_s is None:  # not measured at full size: what was run is what is compared
            full_s = theirs["training_s"]
            name += f", {theirs['scale']['size_px']} px, {theirs['scale']['epochs']} epochs"
        elif theirs["scaled"]:
            name += ", extrapolated"
        made.append(claim("training", "s", ours_s, full_s, name, 20.0, ratio=full_s / ours_s))
    return made
