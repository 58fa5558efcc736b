"""What a run came to, for the eye: printed on standard output when it ends."""

from __future__ import annotations

import shlex
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sluice.figures import NONE, UNKNOWN, dearer, dollars, duration, percent, short_model
from sluice.report.report import bars
from sluice.results.drift import TITLE as DRIFT_TITLE
from sluice.results.origin import made_up, stand_in
from sluice.results.run_document import STATUS
from sluice.results.scored import TITLE as SCORE_TITLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import ConsoleOptions, RenderableType, RenderResult

    from sluice.report.report import Bar
    from sluice.results.run_document import Run, RunJob, RunTier

WIDTH = 100  # where there is no terminal to measure, and the widest on one
COLOURS = {"succeeded": "green", "over_limit": "yellow", "cancelled": "yellow"}
WIDEST = 400  # of a table that may be as wide as it likes
SHOWN = 20  # labels, jobs and warnings; the report has them all


def page_console() -> Console:
    """A console that is no wider than a page is read well."""
    console = Console(highlight=False, emoji=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


def print_summary(run: Run, places: Mapping[str, str], next_: Mapping[str, str] | None = None) -> None:
    """Print the summary of a run whose results lie in these places, each with what lies there.

    `next_` says at the end what can be done now, each with its command.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a label may hold what the terminal's encoding lacks
    console = page_console()
    console.print(Group(*summary(run, places, next_)), soft_wrap=False)


def summary(run: Run, places: Mapping[str, str], next_: Mapping[str, str] | None = None) -> Iterator[RenderableType]:
    """Make the sections of the summary."""
    yield _headline(run)
    yield from _origin(run)
    yield from _section("Rows", _rows(run))
    if run.tiers:
        yield from _section("Tiers", _tiers(run))
    judged = [] if run.judge is None else [Text(f"The judge: {run.judge.sentence}.")]
    yield from _section("Cost", Text(cost_sentence(run)), *judged)
    yield from _measured(run)
    if run.labels:
        yield from _section("Labels", *_bars(bars(run.labels), "cyan"))
    if run.agreement is not None:
        yield from _section("Known answers", Text(f"{run.agreement}."))
    if run.reasons:
        yield from _section("Reasons", *_bars(bars(run.reasons), "yellow"))
    yield from _jobs(run)
    if run.warnings:
        yield from _section("Warnings", *_listed(run.warnings))
    yield from _section("Files", _listed_places(places))
    if next_:
        yield from _section("Next", _listed_places(next_))


def _measured(run: Run) -> Iterator[RenderableType]:
    """What a run promises, and what was measured of it."""
    if run.certificate is not None:
        facts = (f"{name}: {value}" for name, value in run.certificate.facts())
        yield from _section(run.certificate.title, Text(f"{run.certificate.promise}."), *_listed(list(facts)))
    if run.drift is not None:
        yield from _section(DRIFT_TITLE, *(Text(f"{sentence}.") for sentence in run.drift.sentences()))
    if run.score is not None:
        by = () if run.taught_by is None else run.taught_by.facts()
        facts = (f"{name}: {value}" for name, value in (*run.score.facts(), *by))
        yield from _section(SCORE_TITLE, Text(f"{run.score.sentence}."), *_listed(list(facts)))
    if run.audit is not None:
        yield from _section("Audit", Text(run.audit.sentences))


def _section(title: str, *parts: RenderableType) -> Iterator[RenderableType]:
    yield Text()
    yield Text(title, "bold")
    for part in parts:
        yield Padding(part, (0, 0, 0, 2), expand=False)


def _headline(run: Run) -> Text:
    words, meaning = STATUS.get(run.status, (run.status, ""))
    line = Text.assemble(
        (run.task or "run", "bold"), " ", (words.lower(), f"bold {COLOURS.get(run.status, 'red')}"),
        f" after {duration(run.seconds)}" if run.seconds is not None else "", (f"  {run.run_id}", "dim"),
    )  # fmt: skip
    cause = run.cause and f"{run.cause.rows:,} rows: {run.cause.reason}. Likely: {run.cause.likely}"
    for sentence in filter(None, (meaning, run.error, cause)):
        line.append(f"\n{sentence}")
    return line


def _origin(run: Run) -> Iterator[Text]:
    if (note := stand_in(run.answers)) is not None:
        yield Text.assemble((f"{note[0]}. ", "bold yellow"), (note[1], "yellow"))


def _rows(run: Run) -> Text:
    rows = run.rows
    if rows.total > rows.accepted + rows.unresolved + rows.rejected + rows.forgotten:
        return Text(f"{rows.total:,} in, none of them in the results, since the run broke off")
    text = Text(
        f"{rows.total:,} in = {rows.accepted:,} accepted + {rows.unresolved:,} unresolved + {rows.rejected:,} rejected"
    )
    if rows.forgotten:
        text.append(f" + {rows.forgotten:,} forgotten since")
    if rows.total:
        text.append(f"   ({percent(rows.accepted, rows.total)} accepted)")
    if run.settled.rows:
        text.append(f"\n{run.settled.rows:,} rows had been settled by people before, and no model was asked")
    if rows.total > rows.rejected and run.records.distinct:
        again = f"; rows that repeat a text and share its answer: {run.repeated:,}" if run.repeated > 0 else ""
        text.append(f"\n{run.records.distinct:,} distinct records{again}")
    return text


class Fitting:
    """Shows the first of several tables that fits the terminal, else the last: a figure must not be cut."""

    def __init__(self, *tables: Table) -> None:
        self._tables = tables

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.update(width=WIDEST)
        fitting = (t for t in self._tables if console.measure(t, options=wide).maximum <= options.max_width)
        yield next(fitting, self._tables[-1])


COLUMNS = ("Sent", "Accepted", "Retried", "Escalated", "Tokens in", "out", "Cost")
NARROW = ("Sent", "Accepted", "Escalated", "Cost")


def _tiers(run: Run) -> Fitting:
    return Fitting(_tier_table(run, COLUMNS), _tier_table(run, NARROW))


def _tier_table(run: Run, columns: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("Model", overflow="ellipsis", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for tier in run.tiers:
        figures = dict(zip(COLUMNS, _figures(tier), strict=True))
        table.add_row(short_model(tier.model), *(figures[name] for name in columns))
    return table


def _figures(tier: RunTier) -> list[str]:
    counts = (tier.sent, tier.accepted, tier.retried, tier.escalated, tier.input_tokens, tier.output_tokens)
    return [*(f"{count:,}" for count in counts), dollars(tier.cost_usd)]


def cost_sentence(run: Run) -> str:
    """Compare what the run cost with the last tier alone; what has no known price is unknown."""
    if not run.complete or not run.tiers:
        return f"{dollars(run.cost_usd)} until the run ended{filled(run)}{repeated(run)}"
    last = short_model(run.tiers[-1].model)
    if run.cost_usd is None and run.answers.startswith("openai:"):
        return "no price of your own model is given; models.yaml takes one" + filled(run)
    sentence = f"{dollars(run.cost_usd)}; {last} alone: {dollars(run.baseline_usd)}"
    if run.saved is not None and run.cost_usd != run.baseline_usd:
        sentence += f" ({dearer(1 - run.saved)})"
    if UNKNOWN in sentence:
        sentence += "; give the prices in models.yaml"
    return sentence + filled(run) + repeated(run) + known(run)


def known(run: Run) -> str:
    """Say how many replies are from earlier runs, and what that saved, where there were any."""
    found = run.reused
    replies = "1 reply" if found.records == 1 else f"{found.records:,} replies"
    return f"; {replies} reused, which saved {dollars(found.saved_usd)}" if found.records else ""


def filled(run: Run) -> str:
    """Say what requests without a record took, where there were any."""
    found = run.fillers
    return (
        f"; {dollars(found.cost_usd)} of it for {found.requests:,} requests that filled up jobs"
        if found.requests
        else ""
    )


def repeated(run: Run) -> str:
    """Say what it took to ask the last tier about some texts twice, where it was asked."""
    found = run.repeats
    return f"; {dollars(found.cost_usd)} of it to ask about {found.records:,} texts twice" if found.records else ""


def _bars(lines: Sequence[Bar], colour: str) -> list[RenderableType]:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="ellipsis", no_wrap=True, max_width=44)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for line in lines[:SHOWN]:
        table.add_row(Text(line.name), Text(_bar(line.width), colour), f"{line.count:,}", Text(line.share, "dim"))
    return [table, *_more(len(lines))]


def _bar(share: float, width: int = 24) -> str:
    whole, eighths = divmod(max(1, round(share / 100 * width * 8)), 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[eighths].strip()


def _more(count: int) -> list[Text]:
    return [Text(f"and {count - SHOWN:,} more, in the report", "dim")] if count > SHOWN else []


def _listed(lines: Sequence[str]) -> list[Text]:
    return [*(Text(line) for line in lines[:SHOWN]), *_more(len(lines))]


def _jobs(run: Run) -> Iterator[RenderableType]:
    """List the jobs that have something to say; those of a round that say the same stand together."""
    alike: dict[tuple[int, int, str | None, str | None], list[RunJob]] = {}
    for job in run.unfinished_jobs:
        alike.setdefault((job.round, job.tier, job.status, job.message), []).append(job)
    if alike:
        title = "Jobs that did not complete, or had something to say"
        yield from _section(title, *_listed([_job_line(run, jobs) for jobs in alike.values()]))


def _job_line(run: Run, jobs: Sequence[RunJob]) -> str:
    first = jobs[0]
    which = f"job {first.job}" if len(jobs) == 1 else f"{len(jobs):,} jobs"
    records = sum(job.records for job in jobs)
    line = f"round {first.round}, {which} ({_model(run, first.tier)}, {records:,} records): {first.status or UNKNOWN}"
    return line + (f": {first.message}" if first.message else "")


def _model(run: Run, tier: int) -> str:
    return short_model(run.tiers[tier].model) if tier < len(run.tiers) else f"tier {tier}"


def _listed_places(places: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, place in places.items():
        table.add_row(name, Text(place, overflow="fold"))
    return table


def next_after(run: Run, out: Path) -> dict[str, str]:
    """Tell what to do after a run on this machine, each with its command."""
    folder = shlex.quote(str(out))
    steps = {"Open the report": f"sluice report {folder} --open"}
    if run.rows.unresolved:
        steps["See what is unresolved"] = f"sluice results {folder} --status unresolved"
    if made_up(run.answers):
        steps["Try your own file"] = "sluice init FILE"
    return steps


def places_in(out: Path, run: Run) -> dict[str, str]:
    """Tell where a run's files lie in a folder."""
    parts = sorted((out / "results" / run.task).glob(f"**/{run.run_id}-part-*.parquet")) if run.run_id else []
    parquet = f"{parts[0].parent} ({len(parts):,} {'file' if len(parts) == 1 else 'files'})" if parts else NONE
    return {"Parquet": parquet, "Report": str(out / "report.html"), "run.json": str(out / "run.json")}
