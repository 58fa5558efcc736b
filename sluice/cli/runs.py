"""`sluice runs` and `sluice watch`: which runs there are, and how one goes on until it ends."""

from __future__ import annotations

import datetime as dt
import sys
import time
from typing import TYPE_CHECKING, Any

from sluice.cli.display import IN_AWS, busy, costs_of, display_for
from sluice.cli.exits import OF_STATUS, ExitCode, complain, print_json, reader_may_leave
from sluice.cli.run import show
from sluice.deployment.standing import CANCELLING, FAILED, GOING_ON, RUNNING
from sluice.figures import NONE, dollars, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table
    from rich.text import Text

    from sluice.api.deployment import DeployedRun, Deployment
    from sluice.aws.stack import Stack
    from sluice.cli.display import Display
    from sluice.deployment.standing import Standing

WIDEST = 160
STYLES = {"succeeded": "green", RUNNING: "cyan", FAILED: "red"}


def list_runs(deployment: Deployment, limit: int, task: str | None, *, as_json: bool) -> ExitCode:
    """Print the latest runs, newest first."""
    with busy("reading the runs"):
        found = [run.last for run in deployment.runs(task, limit) if run.last is not None]
    if as_json:
        print_json([item.as_document() for item in found])
        return ExitCode.SUCCEEDED
    with reader_may_leave():
        if found:
            print_runs(found)
        else:
            complain(f"the stack {deployment.stack.name} has no runs yet" + (f" of the task {task}" if task else ""))
    return ExitCode.SUCCEEDED


def print_runs(found: Sequence[Standing]) -> None:
    """Print runs as a table; a terminal too narrow for it does without the tasks, which the ids begin with."""
    from rich.console import Console  # noqa: PLC0415 (JSON needs no rich)

    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDEST
    whole = table_of(found, tasks=True)
    fits = console.measure(whole, options=console.options.update(width=WIDEST)).maximum <= console.width
    console.print(whole if fits else table_of(found, tasks=False), soft_wrap=False)


def table_of(found: Sequence[Standing], *, tasks: bool) -> Table:
    """Make a table of runs; a long id is folded rather than cut, since it is what the other commands ask for."""
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("Run", overflow="fold", ratio=1)
    for name in ("Task", "Status") if tasks else ("Status",):
        table.add_column(name, no_wrap=True)
    for name in ("Rows", "Cost"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Started (UTC)", no_wrap=True)
    for item in found:
        table.add_row(*_cells(item, tasks=tasks))
    return table


def _cells(item: Standing, *, tasks: bool) -> list[Text]:
    from rich.text import Text  # noqa: PLC0415

    return [
        Text(item.run),
        *([Text(item.beginning.name)] if tasks else []),
        Text(item.status.replace("_", " "), STYLES.get(item.status, "yellow")),
        Text(NONE if item.rows is None else f"{item.rows:,}"),
        Text(NONE if item.document is None else dollars(item.cost_usd)),
        Text(moment(item.beginning.created)[: len("2026-11-20 10:15")]),
    ]


def watch_run(
    deployment: Deployment, run_id: str, *, as_json: bool, pause: Callable[[float], None] = time.sleep
) -> ExitCode:
    """Show a run until it ends, then its summary; the exit code is the run's, as that of `sluice run`."""
    run = deployment.run(run_id)
    start, now = run.beginning, run.standing
    elapsed = (dt.datetime.now(dt.UTC) - start.at).total_seconds()
    try:
        if now.status in GOING_ON:
            with display_for(sys.stderr, start.name, IN_AWS, elapsed) as display:
                now = _followed(run, display, pause)
    except KeyboardInterrupt:
        complain(f"the run goes on; `sluice watch {run_id}` shows it again, `sluice cancel {run_id}` stops it")
        return ExitCode.INTERRUPTED
    if now.approval and not as_json:
        complain(waits_for(now))
    elif now.document is None and not as_json:
        complain(f"run {run_id} failed: {now.error}; `sluice resume {run_id}` goes on with it")
    else:
        show(document_of(now), places_in_aws(deployment.stack, now), as_json=as_json)
    return OF_STATUS.get(now.status, ExitCode.FAILED)


def _followed(run: DeployedRun, display: Display, pause: Callable[[float], None]) -> Standing:
    told: list[str] = []

    def on_status(now: Standing) -> None:
        if now.status == CANCELLING and not told:
            complain("the run is being cancelled: its jobs are stopped, then it is closed with what was answered")
            told.append(now.status)

    run.wait(on_progress=display.show, on_status=on_status, pause=pause)
    assert run.last is not None
    return run.last


def waits_for(now: Standing) -> str:
    """Say what a waiting run waits for, and what can be done."""
    assert now.approval is not None
    above = f"{dollars(now.approval.limit_usd)} ({now.approval.passed})"
    return (
        f"run {now.run} waits for an approval: {costs_of(now.approval)}, and runs above {above} are not sent unasked; "
        f"`sluice approve {now.run}` lets it go on, `sluice cancel {now.run}` closes it"
    )


def document_of(now: Standing) -> dict[str, Any]:
    """run.json of a run that has ended, or what is known of one that broke off before there was any."""
    known = {"run_id": now.run, "task": now.beginning.name, "status": now.status, "started": now.beginning.created}
    return now.document or {**known, "error": now.error, **({"approval": now.approval} if now.approval else {})}


def places_in_aws(stack: Stack, now: Standing) -> dict[str, str]:
    """Tell where a run's files lie in AWS, and which commands fetch them."""
    if now.status == FAILED:
        return {"Working files": stack.work.uri(f"runs/{now.run}/"), "Go on": f"sluice resume {now.run}"}
    folder = f"results/{now.beginning.name}/run_date={now.beginning.date}/"
    return {
        "Parquet": stack.results.uri(folder),
        "Report": stack.results.uri(f"reports/{now.run}/report.html"),
        "Fetch": f"sluice results {now.run}",
    }
