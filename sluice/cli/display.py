"""A run's progress on standard error: a live picture on a terminal, plain lines elsewhere."""

from __future__ import annotations

import datetime as dt
import sys
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, TextIO

from sluice.cli.answering import Rate, answering, awaited
from sluice.figures import dollars, short_model
from sluice.runs.progress import JobState, Snapshot, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from rich.table import Table
    from rich.text import Text

    from sluice.runs.approval import Approval
    from sluice.runs.progress import JobProgress, RoundProgress

STAGES = tuple(Stage)
ENDED = {JobState.ENDED, JobState.SETTLED, JobState.FAILED}
STANDING = {
    JobState.QUEUED: "queued",
    JobState.PREPARED: "waiting",
    JobState.RUNNING: "running",
    JobState.ENDED: "being checked",
    JobState.FAILED: "failed",
}
TELL_SECONDS = 10.0  # between two lines of a log that say how the answers come in
MESSAGES = 3  # as many bad ends of jobs as the live picture shows


def visible(text: str) -> str:
    """Replace what a terminal would obey; line ends stay."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def costs_of(approval: Approval) -> str:
    """Say what a run that waits for an approval can cost."""
    expected = f"expected: {dollars(approval.expected_usd)}"
    if approval.passed == "approve_above_expected_usd":
        expected += f", and {dollars(approval.all_tiers_usd)} if every record goes through every tier"
    return f"the run can cost up to {dollars(approval.ceiling_usd)} ({expected})"


class Words(NamedTuple):
    """What is said of the place where a run goes on: on the first line, before it is found, and after."""

    opening: str
    before: str
    after: str


HERE = Words(
    "starting the workflow on this machine",
    "synthesizing the workflow and starting it on this machine",
    "workflow on this machine",
)
IN_AWS = Words("watching the workflow in AWS", "looking for the run", "workflow in AWS")


class Display(Protocol):
    """Shows snapshots of one run while its context lasts."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, snapshot: Snapshot) -> None:
        """Show the run as it is now."""

    def paused(self) -> AbstractContextManager[None]:
        """Leave the terminal to something else for as long as the context lasts."""


def display_for(stream: TextIO, task: str, words: Words = HERE, elapsed: float = 0.0) -> Display:
    """Choose the display that suits a stream; the run has been going on for `elapsed` seconds."""
    return Live(task, words, elapsed) if stream.isatty() else Lines(stream, task, words)


class Lines:
    """One line for each thing that happened since the last snapshot, and every ten seconds how the answers come in."""

    def __init__(
        self, stream: TextIO, task: str, words: Words = HERE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._task = task
        self._words = words
        self._clock = clock
        self._told = clock()
        self._rate = Rate()
        self._last: Snapshot | None = None

    def __enter__(self) -> Self:
        self._say(f"{self._task}: {self._words.opening}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, snapshot: Snapshot) -> None:
        """Say what is new."""
        for line in news(self._last, snapshot):
            self._say(line)
        self._tell_answers(snapshot)
        self._last = snapshot

    def _tell_answers(self, now: Snapshot) -> None:
        if (calls := now.calls) is None:
            return
        at = self._clock()
        self._rate.see(at, calls)
        before = self._last.calls if self._last else None
        sooner = calls.waiting is not None and (before is None or before.waiting is None)
        if at - self._told < TELL_SECONDS and not sooner:
            return
        self._told = at
        if calls.waiting is not None:
            self._say(awaited(calls.waiting))
        elif now.stage is Stage.CLASSIFY and (said := "; ".join(answering(now, self._rate.per_second))):
            self._say(said)

    def paused(self) -> AbstractContextManager[None]:
        """Plain lines are in nobody's way."""
        return nullcontext()

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def news(before: Snapshot | None, now: Snapshot) -> Iterator[str]:
    """Say in sentences what has happened between two snapshots."""
    if before is None:
        yield f"run {now.run}"
        before = Snapshot(now.run)
    if now.rows is not None and before.rows is None:
        yield _read(now)
    for part in now.rounds:
        earlier = before.rounds[part.round] if part.round < len(before.rounds) else None
        yield from _news_of_round(earlier, part, now.models)
    if now.parts.total and now.parts != before.parts:
        yield f"merge: {now.parts} parts"
    if now.stage is Stage.PUBLISH and before.stage is not Stage.PUBLISH:
        yield "publish: checking the books"


def _read(now: Snapshot) -> str:
    rejected = f", {now.rejected:,} rejected" if now.rejected else ""
    return f"read: {now.rows or 0:,} rows{rejected}, {now.records or 0:,} distinct records"


def _news_of_round(before: RoundProgress | None, now: RoundProgress, models: tuple[str, ...]) -> Iterator[str]:
    name = f"round {now.round}"
    if before is None:
        yield f"{name}: {_count(len(now.jobs), 'job')}, {now.records:,} records for {_models(now, models)}"
    known = {job.job: job.status for job in before.jobs} if before else {}
    for job in now.jobs:
        if ended_badly(job) and known.get(job.job) != job.status:
            yield f"{name}: {_bad_end(job)}"
    if _tenth(now) > (_tenth(before) if before else 0):
        yield f"{name}: {_processed(now)}"
    if now.settled.done and (before is None or now.settled != before.settled):
        yield f"{name}: {now.settled} jobs settled, {now.accepted:,} records accepted"


def _tenth(part: RoundProgress) -> int:
    """How many tenths of a round's records are processed: a log gets no line for each look."""
    return 10 * (part.processed or 0) // max(1, part.records)


def ended_badly(job: JobProgress) -> bool:
    """Whether a job ended in any other way than Completed."""
    return job.state in ENDED and job.status not in {None, "Completed"}


def _bad_end(job: JobProgress) -> str:
    return f"job {job.job} is {job.status}" + (f": {job.message}" if job.message else "")


def _models(part: RoundProgress, models: tuple[str, ...]) -> str:
    return ", ".join(short_model(models[tier]) if tier < len(models) else f"tier {tier}" for tier in part.tiers)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


class Live:
    """A picture of the whole run that is drawn again and again, and gone at the end, when the summary follows."""

    def __init__(self, task: str, words: Words = HERE, elapsed: float = 0.0) -> None:
        from rich.console import Console  # noqa: PLC0415 (plain lines need no rich)
        from rich.live import Live as RichLive  # noqa: PLC0415

        self._task = task
        self._snapshot: Snapshot | None = None
        self._rate = Rate()
        self._words = words
        self._began = time.monotonic() - elapsed
        self._live = RichLive(
            console=Console(stderr=True), get_renderable=self._picture, refresh_per_second=8, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Draw this snapshot from now on."""
        self._snapshot = snapshot
        if snapshot.calls is not None:
            self._rate.see(time.monotonic(), snapshot.calls)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the picture away, and draw it again after."""
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def _picture(self) -> Table:
        elapsed = time.monotonic() - self._began
        return picture(self._snapshot, self._task, elapsed, self._words, self._rate.per_second)


def picture(
    snapshot: Snapshot | None, task: str, seconds: float, words: Words = HERE, rate: float | None = None
) -> Table:
    """Draw a run: a line for each thing that is done, going on or to come, and the last bad ends of jobs."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=8)
    table.add_column(overflow="ellipsis", no_wrap=True)
    now = snapshot or Snapshot("")
    spent = dollars(now.cost_usd) if now.cost_usd else ""
    table.add_row("", Text(task, "bold"), Text(f"{now.run}  {_clock(seconds)}  {spent}".strip(), "dim"))
    for stage, name, text in _steps(now, words, started=snapshot is not None):
        table.add_row(_mark(stage, now.stage, seconds), Text(name), Text(text, "" if stage <= 0 else "dim"))
    for line in _figures(now):
        table.add_row("", *line)
    for n, said in enumerate(answering(now, rate) if now.stage is Stage.CLASSIFY else ()):
        table.add_row("", Text("answers" if not n else ""), Text(said))
    if now.calls is not None and now.calls.waiting is not None:
        table.add_row(Text("!", "red"), Text("server"), Text(awaited(now.calls.waiting), "red"))
    bad = [(part.round, job) for part in now.rounds for job in part.jobs if ended_badly(job)]
    for round_, job in bad[-MESSAGES:]:
        table.add_row(Text("!", "red"), Text(f"round {round_}"), Text(_bad_end(job), "red"))
    return table


def _steps(now: Snapshot, words: Words, *, started: bool) -> Iterator[tuple[int, str, str]]:
    """Yield (-1 done, 0 going on or 1 to come; name; text) for each line of the picture."""
    at = STAGES.index(now.stage)

    def when(stage: Stage) -> int:
        return (STAGES.index(stage) > at) - (STAGES.index(stage) < at)

    yield (
        -1 if started and now.stage is not Stage.START else 0,
        "start",
        words.after if started else words.before,
    )
    read = f"{now.spans} spans" if now.rows is None and now.spans.total else ""
    yield when(Stage.PARTITION), "read", _read(now).removeprefix("read: ") if now.rows is not None else read
    for part in now.rounds:
        yield _round_step(part, now)
    if not now.rounds or now.stage is Stage.PLAN:
        yield when(Stage.PLAN), "plan", "the next round" if now.rounds else ""
    yield when(Stage.MERGE), "merge", f"{now.parts} parts" if now.parts.total else ""
    yield when(Stage.PUBLISH), "publish", "the books, the Parquet files, the report" if at == len(STAGES) - 2 else ""


def _round_step(part: RoundProgress, now: Snapshot) -> tuple[int, str, str]:
    done = part.settled.done == part.settled.total
    states = ", ".join(_jobs_at(stands, count, part) for stands, count in reversed(part.states.items()))
    text = f"{meter(part.settled.done, part.settled.total)} {part.settled} jobs, {_models(part, now.models)}"
    told = [states] if states else []
    told += [_processed(part)] if part.processed is not None else []
    return (-1 if done else 0), f"round {part.round}", text + (f": {'; '.join(told)}" if told else "")


def _jobs_at(stands: JobState, count: int, part: RoundProgress) -> str:
    """Say how many jobs stand where; of those that run, how long the oldest has been."""
    since = f" ({waited(part.since)})" if stands is JobState.RUNNING and part.since else ""
    return f"{count:,} {STANDING[stands]}{since}"


def _processed(part: RoundProgress) -> str:
    return f"{part.processed:,} of {part.records:,} records processed"


def waited(since: str) -> str:
    """Tell how long ago a moment was."""
    return _clock(max(0.0, (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(since)).total_seconds()))


def _figures(now: Snapshot) -> Iterator[tuple[Text, Text]]:
    """Yield what each tier was given and took, and the cost so far beside the most that it can be."""
    from rich.text import Text  # noqa: PLC0415

    names = [short_model(now.models[tier.tier]) for tier in now.tiers if tier.tier < len(now.models)]
    width = max(map(len, names), default=0)
    for n, tier in enumerate(now.tiers):
        name = names[n] if n < len(names) else f"tier {tier.tier}"
        open_ = f", {tier.open:,} open" if tier.open else ""
        cost = "" if tier.cost_usd is None else f"  {dollars(tier.cost_usd)}"
        figures = f"{tier.records:,} records: {tier.accepted:,} accepted{open_}{cost}"
        yield Text("tiers" if not n else ""), Text(f"{name:{width}}  {figures}")
    if now.rounds and now.ceiling_usd is not None:
        expected = f", expected {dollars(now.expected_usd)}" if now.expected_usd is not None else ""
        most = f"{expected}, at most {dollars(now.ceiling_usd)}"
        budget = f", budget {dollars(now.budget_usd)}" if now.budget_usd is not None else ""
        yield Text("cost"), Text(f"{dollars(now.cost_usd)} so far{most}{budget}")


@contextmanager
def byte_bar(what: str, total: int, stream: TextIO | None = None) -> Iterator[Callable[[int], None]]:
    """Show on standard error how many bytes are through, where it is a terminal; what is yielded takes those more."""
    if not (stream or sys.stderr).isatty():
        yield lambda _more: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(file=stream or sys.stderr), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda more: progress.advance(task, more)


@contextmanager
def busy(what: str, stream: TextIO | None = None) -> Iterator[Callable[[str], None]]:
    """Show on standard error, where it is a terminal, what is waited for; what is yielded says it anew."""
    if not (stream or sys.stderr).isatty():
        yield lambda _what: None
        return
    from rich.console import Console  # noqa: PLC0415

    with Console(file=stream or sys.stderr).status(what) as status:
        yield status.update


def meter(done: int, total: int, width: int = 12) -> str:
    """Draw how much is done."""
    full = width * done // total if total else width
    return "━" * full + "╌" * (width - full)


def _mark(when: int, stage: Stage, seconds: float) -> Text:
    from rich.text import Text  # noqa: PLC0415

    if when < 0 or stage is Stage.DONE:
        return Text("✓", "green")
    if when > 0:
        return Text(" ")
    return Text("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(seconds * 8) % 10], "cyan")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
