"""`sluice info`: what a run was frozen with, its executions, and where its things lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.cli.display import visible
from sluice.cli.exits import ExitCode, print_json, reader_may_leave
from sluice.decoding import convert
from sluice.figures import NONE, dollars, moment, short_model, size
from sluice.runs.approval import Approval
from sluice.runs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.table import Table

    from sluice.api.deployment import Deployment

WIDEST = 160  # where there is no terminal
INPUTS = 5  # that are named; --json has them all


def show_info(deployment: Deployment, run: str, *, as_json: bool) -> ExitCode:
    """Print what is known of a run."""
    document = deployment.run(run).info()
    if as_json:
        print_json(document)
    else:
        _print(document)
    return ExitCode.SUCCEEDED


# For the eye.


def _print(document: dict[str, Any]) -> None:
    from rich.console import Console, Group  # noqa: PLC0415 (JSON needs no rich)

    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDEST
    with reader_may_leave():
        console.print(Group(*_sections(document)), soft_wrap=False)


def _sections(document: dict[str, Any]) -> Iterator[RenderableType]:
    from rich.text import Text  # noqa: PLC0415

    words = str(document["status"]).replace("_", " ")
    yield Text.assemble((document["run_id"], "bold"), f"  {words}")
    if document["error"]:
        yield Text(document["error"], "red")
    if document["approval"]:
        approval = convert(document["approval"], Approval)
        above = f"{dollars(approval.limit_usd)} ({approval.passed})"
        yield Text(f"It can cost more than {above}: `sluice approve {document['run_id']}` lets it go on.", "yellow")
    yield Text()
    yield _listed(_facts(document))
    yield Text("\nTiers", "bold")
    yield _table(("", "Model", "Transport", "Max tokens", "Attempts"), [_tier(tier) for tier in document["tiers"]])
    yield Text("\nExecutions (UTC)", "bold")
    lines = [_line(number, item) for number, item in enumerate(document["executions"])]
    yield _table(("", "Status", "Began", "Ended", "Why"), lines)
    yield Text("\nPlaces", "bold")
    yield _listed(document["places"])


def _line(number: int, execution: dict[str, Any]) -> tuple[str, ...]:
    """Describe an execution; its name is the run's id, with its number behind it from the second on."""
    began, ended = moment(execution["began"]), moment(execution["ended"])
    return str(number), execution["status"] or NONE, began, ended, execution["why"]


def _facts(document: dict[str, Any]) -> dict[str, str]:
    inputs, settings = document["inputs"], Settings()
    changed = {k: v for k, v in document["settings"].items() if v != getattr(settings, k, None)}
    uris = [f"{item['uri']} ({size(item['bytes'])})" for item in inputs[:INPUTS]]
    more = [f"and {len(inputs) - INPUTS:,} more"] if len(inputs) > INPUTS else []
    most = f", at most {dollars(document['ceiling_usd'])}" if document["ceiling_usd"] is not None else ""
    return {
        "Task": f"{document['task']['name']}, version {document['task_version']}",
        "Started": f"{moment(document['created'])} UTC",
        "Judges": document["judges"] or "",
        "Inputs": "\n".join([*uris, *more]),
        "Rows": NONE if document["rows"] is None else f"{document['rows']:,}",
        "Cost": f"{dollars(document['cost_usd']) if document['cost_usd'] is not None else NONE}"
        f" (expected {dollars(document['expected_usd'])}{most})",
        "Settings": ", ".join(f"{k}={v}" for k, v in changed.items()) or "the defaults",
        "Prices": f"{document['prices'].get('date', '')}, {document['prices'].get('source', '')}",
    }


def _tier(tier: dict[str, Any]) -> tuple[str, ...]:
    transport = "batch" if tier["batch"] else "on demand"
    return short_model(tier["model"]), tier["model_id"], transport, f"{tier['max_tokens']:,}", str(tier["attempts"])


def _listed(facts: dict[str, str]) -> Table:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table.grid(padding=(0, 2, 0, 0))
    for name, text in facts.items():
        if text:
            table.add_row(name.capitalize(), Text(visible(text), overflow="fold"))
    return table


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
