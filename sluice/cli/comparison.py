"""`sluice compare`: two runs over the same rows, for the eye."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sluice.api.quality import compare, moved
from sluice.cli.exits import ExitCode, print_json
from sluice.cli.fetch import folder_of, hand_over
from sluice.cli.plan import section
from sluice.cli.summary import page_console
from sluice.figures import NONE, dearer, dollars, percent, short_model
from sluice.files import write_whole
from sluice.report.beside import render_beside
from sluice.results.folder import in_folder, read_document
from sluice.results.origin import stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

    from sluice.api.deployment import Deployment
    from sluice.results.published import Published

    Opened = tuple[Published, Mapping[str, Any]]

SHOWN = 12  # pairs of labels; --json has more
NAMES = ("A", "B")


def opened(name: str, deployment: Deployment | None) -> Opened:
    """Open one of the two runs, by its folder or its id."""
    folder = folder_of(name)
    if folder is not None or deployment is None:
        return in_folder(folder or Path(name)), read_document(folder or Path(name))
    run = deployment.run(name)
    return run.published(), run.summary


def write_beside(first: Opened, second: Opened, out: Path | None, *, show_it: bool, as_json: bool) -> ExitCode:
    """Write the page of two runs side by side, and tell where it lies."""
    document = moved(first, second)
    names = [run["run_id"] for run in document["runs"]]
    place = out or Path(f"{names[0]}-against-{names[1]}.html")
    write_whole(place, render_beside(document).encode())
    return hand_over(place, show_it=show_it, as_json=as_json)


def print_comparison(first: Opened, second: Opened, gold: Path | None, *, as_json: bool) -> ExitCode:
    """Compare two runs, and print what was found."""
    found = compare(first, second, gold)
    if as_json:
        print_json(found)
        return ExitCode.SUCCEEDED
    console = page_console()
    console.print(Group(*sections(found)), soft_wrap=False)
    return ExitCode.SUCCEEDED


def sections(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Make the sections of the page."""
    yield Text(verdict(found), "bold")
    for name, run in zip(NAMES, found["runs"], strict=True):
        if (note := stand_in(run["answers"])) is not None:
            yield Text.assemble((f"{name}: {note[0]}. ", "bold yellow"), (note[1], "yellow"))
    yield from section("Runs", _runs(found), *map(Text, _cost(found)))
    yield from section("Rows", Text("\n".join(_rows(found))))
    yield from section("Agreement", Text(_agreement(found)))
    yield from section("Known answers", Text("\n".join(_gold(found))))
    if found["differences"]:
        yield from section("Most frequent differences", _differences(found))


def verdict(found: Mapping[str, Any]) -> str:
    """Say which run is right more often, or that luck may be all of the difference."""
    if found["gold"] is None:
        return "No row has a known answer: how the runs differ can be told, and not which of them is right"
    difference = found["gold"]["difference"]
    if difference["shown"] is None:
        return "No difference shown: luck may be all of it"
    better, other = NAMES if difference["shown"] == "first" else reversed(NAMES)
    return f"{better} is right more often than {other}"


def _runs(found: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for n, title in enumerate(("", "Run", "Models", "Answered", "Cost", "per 1,000 rows")):
        table.add_column(title, overflow="fold", justify="right" if n > 2 else "left")
    for n, run in enumerate(found["runs"]):
        models = ", ".join(
            short_model(model) + (f" in packs of {pack}" if pack > 1 else "")
            for model, pack in zip(run["models"], run["packs"], strict=False)
        )
        answered = percent(found["rows"]["answered"][n], found["rows"]["compared"])
        cost = (dollars(run["without_reuse_usd"]), dollars(run["usd_per_1000_rows"]))
        table.add_row(NAMES[n], Text(run["run_id"]), Text(models), answered, *cost)
    return table


def _cost(found: Mapping[str, Any]) -> Iterator[str]:
    first, second = (run["usd_per_1000_rows"] for run in found["runs"])
    if first and second:
        times = second / first
        much = "as much" if times == 1 else dearer(times).removesuffix(" as much") + " as much" * (times >= 2)
        yield f"a row of B costs {much}{' as' if much.endswith('as much') else ' than'} one of A"
    for name, run in zip(NAMES, found["runs"], strict=True):
        if run["without_reuse_usd"] not in {None, run["cost_usd"]}:
            yield f"{name} cost {dollars(run['cost_usd'])}: replies of earlier runs are counted at today's prices here"
        if run["status"] != "succeeded":
            yield f"{name} is {run['status'].replace('_', ' ')}"


def _rows(found: Mapping[str, Any]) -> Iterator[str]:
    rows = found["rows"]
    yield f"{rows['compared']:,} rows in both, of {rows['records']:,} different texts"
    for name, only in zip(NAMES, (rows["first_only"], rows["second_only"]), strict=True):
        if only:
            yield f"{only:,} in {name} alone, left out"
    if rows["other_text"]:
        yield f"{rows['other_text']:,} with another text in B, left out"


def _agreement(found: Mapping[str, Any]) -> str:
    agreement = found["agreement"]
    if not agreement["of"]:
        return "no row has a label in both"
    same = f"{percent(agreement['count'], agreement['of'])} ({agreement['count']:,} of {agreement['of']:,})"
    bounds = f"of other such rows {_bounds(agreement)} (95% interval, by text)"
    return f"the same labels on {same} of the rows that both have labelled\n{bounds}"


def _gold(found: Mapping[str, Any]) -> Iterator[str]:
    if found["gold"] is None:
        yield "none (--gold FILE, --gold corrections, or input.gold of a task); agreement does not say who is right"
        return
    gold = found["gold"]
    difference = gold["difference"]
    yield f"{gold['rows']:,} rows of {gold['records']:,} texts; a row without a label counts as wrong"
    for name, right in zip(NAMES, gold["right"], strict=True):
        share = f"{percent(right['count'], right['of'])} ({right['count']:,} of {right['of']:,})"
        yield f"{name} is right on {share}; of other such rows {_bounds(right)}"
    low, high = (_points(difference[name]) for name in ("low", "high"))
    yield f"B less A: {_points(difference['share'])} points, 95% interval {low} to {high}"
    one, two = difference["only_right_records"]
    yield f"texts that one alone has right: A {one:,}, B {two:,}; exact test (McNemar) p = {_p(difference['p'])}"
    if found["outside"]:
        yield f"{found['outside']:,} known answers that are no label of either task, compared with nothing"


def _differences(found: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    known = found["gold"] is not None
    for title in ("A", "B", "Rows", *(("A right", "B right") if known else ())):
        table.add_column(title, overflow="ellipsis", no_wrap=True, justify="left" if title in NAMES else "right")
    for pair in found["differences"][:SHOWN]:
        right = [f"{count:,}" if count else NONE for count in pair["right"]] if known else []
        table.add_row(Text(pair["first"]), Text(pair["second"]), f"{pair['rows']:,}", *right)
    return table


def _bounds(share: Mapping[str, Any]) -> str:
    return f"{percent(share['low'], 1)} to {percent(share['high'], 1)}"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "less than 0.001"
