"""`sluice plan --advise`: ladders, packs and transports by what they would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sluice.figures import dollars, percent
from sluice.forecast.advice import SHOWN, TRIED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from sluice.forecast.advice import Mix


def parts(mixes: Sequence[Mix], now_usd: float | None, target: float, escalate: float) -> Iterator[RenderableType]:
    """Lay out the cheapest mixes, and what would have to be measured of the first."""
    if not mixes:
        yield Text(
            "No ladder of the catalogue's models has a price for these rows, or the task routes rows among its own."
        )
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("Ladder", overflow="fold")
    table.add_column("Sent as", overflow="fold")
    for name in ("Expected", "of now"):
        table.add_column(name, justify="right", no_wrap=True)
    for mix in mixes[:SHOWN]:
        models = " > ".join(f"{rung.model} x{rung.pack}" if rung.pack > 1 else rung.model for rung in mix.rungs)
        ways = " > ".join(rung.way.words for rung in mix.rungs)
        share = percent(mix.expected_usd / now_usd, 1) if now_usd else ""
        table.add_row(models, ways, dollars(mix.expected_usd), share)
    yield table
    yield Text(" ")
    yield Text(
        f"x5: five records share a request. Assumed of each first tier alike: {percent(escalate, 1)} of its records go "
        "on (--escalate), so the order says what models cost and not how they answer."
    )
    if mixes[0].to_measure:
        yield Text(
            f"To be measured first, for a target of {percent(target, 1)}: {'; '.join(mixes[0].to_measure)}. Give the "
            f"task these tiers, and `sluice pilot -n {TRIED} --answers bedrock` tells it with an interval; at least "
            f"{percent(target, 1)} of its lower end is what the target asks for."
        )
