"""Two runs side by side, as one HTML page that needs nothing from outside, and no script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.report.report import page_template, style_sheet
from sluice.results.origin import stand_in

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN = 20  # pairs of answers with rows; the others are a table
MOST = 200  # labels and pairs that the document has


def render_beside(document: Mapping[str, Any]) -> str:
    """Render what `sluice.api.quality.moved` returns."""
    runs = document["runs"]
    names = [run["run_id"] for run in runs]
    tasks = list(dict.fromkeys(run["task"] for run in runs))
    found = [(name, stand_in(run["answers"])) for name, run in zip("AB", runs, strict=True)]
    return page_template("beside.html.j2").render(
        **document,
        title=" and ".join(tasks),
        names=names,
        notes=[(f"{name}: {note[0]}", note[1]) for name, note in found if note is not None],
        shown=SHOWN,
        most=MOST,
        style_sheet=style_sheet(),
    )
