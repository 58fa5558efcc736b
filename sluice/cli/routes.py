"""How many rows each route of a task takes, for the eye."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def routes_table(routes: Sequence[Mapping[str, Any]], models: Sequence[str]) -> Table:
    """Lay out between which of the tiers, by the names of their models, the rows of each route stay."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in ("Route", "Start at", "End at"):
        table.add_column(name, no_wrap=True)
    table.add_column("Rows", justify="right", no_wrap=True)
    for route in routes:
        table.add_row(str(route["route"]), models[route["tier"]], models[route["last"]], f"{route['rows']:,}")
    return table
