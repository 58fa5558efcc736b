"""Parts of the page of a plan: what is asked beside the tiers, and what a run would wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from sluice.figures import dollars, short_model
from sluice.runs.approval import beyond
from sluice.task.tiers import Way

if TYPE_CHECKING:
    from sluice.forecast.parts import JudgeForecast


def judge_text(made: JudgeForecast) -> Text:
    """Say what the judge is shown, and what that costs."""
    packed = f" in {made.requests:,} requests of up to {made.pack}" if made.pack > 1 else ""
    return Text(
        f"{short_model(made.model)} is shown up to {made.answers:,} answers{packed}, {Way(made.way).words}: "
        f"{dollars(made.expected_usd)} expected, {dollars(made.ceiling_usd)} at most, both within the costs below.\n"
        "What it refuses goes on; the shares that are assumed to go on count that in."
    )


def approval_text(found: dict[str, Any]) -> Text:
    """Say whether the run would wait for an approval of its cost."""
    basis = (
        f"the run's own plan, which goes by the bytes of its rows, will find {dollars(found['ceiling_usd'])} at most"
    )
    waits = "so it will wait for `sluice approve`"
    if beyond(found["ceiling_usd"], found["above_usd"]):
        return Text(f"{basis}: above {dollars(found['above_usd'])}, {waits}", "yellow")
    if found["waits"]:
        together = f"{basis}, and {dollars(found['all_tiers_usd'])} if every record goes through every tier"
        limit = f"{dollars(found['above_expected_usd'])} (approve_above_expected_usd)"
        return Text(f"{together}: above {limit}, {waits}", "yellow")
    return Text(f"{basis}: not above {dollars(found['above_usd'])}, so it will not wait")
