"""What earlier runs of a task teach a model of its labels: the last tier's answers, known ones, and corrections."""

from __future__ import annotations

from collections import Counter, defaultdict
from heapq import nsmallest
from typing import TYPE_CHECKING, NamedTuple

from sluice.answers.requests import cut_middle
from sluice.errors import BadRequest
from sluice.quality.lessons import Lesson, Source, changed
from sluice.quality.teacher import teacher_for
from sluice.reasons import Status
from sluice.results.corrections import Settled
from sluice.results.folder import DRAWS
from sluice.results.gold import GoldCount
from sluice.results.run_document import read_run
from sluice.results.wanted import Wanted
from sluice.rows.record import Row, RowReader
from sluice.runs.document import read
from sluice.runs.drawn import Draws
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from sluice.quality.lessons import Teacher
    from sluice.results.folder import Kept
    from sluice.results.published import Published
    from sluice.task.task import Task

MOST = 20_000  # records of each source and run, beside the drawn ones: those with the smallest keys, a fair sample
COLUMNS = ("source", "line", "record", "status", "tier", "labels")
Place = tuple[str, int]


class Earlier(NamedTuple):
    """A run that has ended: its rows, its run.json, and which rows it had drawn."""

    published: Published
    summary: Mapping[str, Any]
    kept: Kept


class Known(NamedTuple):
    """What is known of the record of a row, before its text is read."""

    key: str
    labels: tuple[str, ...]
    source: Source
    drawn: int = 0


def teacher_in(run: Earlier, task: Task) -> Teacher:
    """The teacher that a run had, which has to be the one of the task as it is now.

    Raises:
        BadRequest: it was another one, with what has changed.

    """
    told = read_run(run.summary)
    where = f"run {told.run_id}"
    if told.task != task.name:
        raise BadRequest(f"{where} is of the task {told.task}, and teaches nothing of {task.name}", "from")
    was, last = parse_task(told.definition, "the run's task", frozen=True), task.tiers[-1]
    if not told.tiers:
        raise BadRequest(f"{where} has asked nobody: it is {told.status.replace('_', ' ')}", "from")
    if was.tiers[-1].model != last.model:
        raise BadRequest(
            f"{where} was answered by {was.tiers[-1].model}, and the last tier of {task.name} is {last.model} now: "
            "another teacher. Name runs of the task as it is",
            "from",
        )
    model = told.tiers[-1].model
    then, now = (teacher_for(each, model, each.tiers[-1].pack) for each in (was, task))
    if then != now:
        raise BadRequest(f"{where} had another teacher: {changed(then, now)}. Name runs of the task as it is", "from")
    return now


def lessons_of(run: Earlier, task: Task) -> Iterator[Lesson]:
    """Yield what a run teaches, each with its text.

    Every answer of the last tier teaches; how many drawn rows have its record stands with it, since those alone say how
    good the model is. Beside these what people have said of the rows, and what the input knows of them.

    Raises:
        BadRequest: the input is gone or has changed, and with it the texts.

    """
    wanted: defaultdict[Place, list[Known]] = defaultdict(list)
    for place, known in (*_by_oracle(run, task), *_by_people(run, task)):
        wanted[place].append(known)
    reader, gold = RowReader(task), GoldCount(task)
    found: dict[str, Lesson] = {}
    for source, line, raw in run.published.raw_rows():
        here = wanted.get((source, line), [])
        answer = gold.known_answer(raw) if gold.path is not None and raw else None
        if not here and answer is None:
            continue
        row = reader.read(raw) if raw else None
        if not isinstance(row, Row):
            continue
        text = cut_middle(row.text, reader.max_bytes) if row.cut else row.text
        yield from (Lesson(known.key, text, known.labels, known.source, known.drawn) for known in here)
        if answer is not None and None not in answer:
            key = reader.key(row.text.encode(), raw).decode()
            found[key] = Lesson(key, text, tuple(sorted(filter(None, answer))), Source.GOLD)
            if len(found) > 2 * MOST:
                found = {key: found[key] for key in nsmallest(MOST, found)}
    yield from (found[key] for key in nsmallest(MOST, found))


def _by_oracle(run: Earlier, task: Task) -> Iterator[tuple[Place, Known]]:
    """The last tier's answers: to all drawn records, and to some of those that went on to it."""
    times: Counter[str] = Counter()
    if run.kept.draws is not None:
        draws = read(Draws, run.kept.draws, DRAWS)
        times.update(row.key for row in (*draws.sample, *draws.train))
    last, drawn, others = len(task.tiers) - 1, dict[str, tuple[Place, Known]](), dict[str, tuple[Place, Known]]()
    for batch in run.published.batches(Wanted(statuses=(Status.ACCEPTED.value,)), COLUMNS):
        for row in batch.to_pylist():
            key = row["record"]
            if row["tier"] != last or key in drawn or key in others:
                continue
            known = Known(key, tuple(row["labels"]), Source.ORACLE, times[key])
            (drawn if times[key] else others)[key] = (row["source"], row["line"]), known
            if len(others) > 2 * MOST:
                others = {key: others[key] for key in nsmallest(MOST, others)}
    yield from drawn.values()
    yield from (others[key] for key in nsmallest(MOST, others))


def _by_people(run: Earlier, task: Task) -> Iterator[tuple[Place, Known]]:
    """What people have said of rows, where they agree."""
    for (source, line, record), log in run.published.corrections.rows.items():
        settled = Settled(log.heads)
        if not settled.heads or settled.conflict or settled.latest.labels is None:
            continue
        if task.labels.keys() >= set(settled.latest.labels):
            yield (source, line), Known(record, tuple(settled.latest.labels), Source.CORRECTION)
