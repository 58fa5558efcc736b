"""Rows that people have settled, as `examples` of a task file: what the models erred in, before what they had right."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sluice.errors import BadRequest
from sluice.results.settled import settled_by_people
from sluice.results.source_rows import SourceRows
from sluice.results.wanted import Wanted
from sluice.rows.paths import look_up
from sluice.rows.record import parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sluice.results.published import Published
    from sluice.runs.settled import SettledRecord
    from sluice.task.task import Task

LONGEST = 1_500  # characters of an example's texts: each request carries them
PLACE = ("run_id", "source", "line", "record", "labels")


def examples_of(published: Published, most: int) -> list[dict[str, Any]]:
    """At most so many, a text of each label in turn, in the shape of the task file.

    Raises:
        BadRequest: people have settled nothing of which the text can be had, or the run does not tell its task.

    """
    task = published.task
    if task is None:
        raise BadRequest(f"run {published.run} does not say what its task was")
    settled = {record.record: record for record in settled_by_people(task, published.corrections)}
    source = SourceRows(published)
    found: dict[tuple[str, ...], dict[str, tuple[bool, str, dict[str, Any]]]] = defaultdict(dict)
    for row, raw in _rows(published, source, settled.keys()):
        record = settled[row["record"]]
        text = _texts(task, raw)
        if text is not None:
            same = sorted(row["labels"] or ()) == sorted(record.labels or ())
            label = tuple(record.labels or ())
            found[label].setdefault(record.record, (same, record.record, _example(task, text, record)))
    in_turn = chain.from_iterable(zip_longest(*(sorted(each.values(), key=_order) for each in found.values())))
    chosen = [each[2] for each in in_turn if each is not None][:most]
    if not chosen:
        why = "; ".join(sorted(set(source.problems.values())))
        raise BadRequest(f"there is no text that people have settled: `sluice review` does{f' ({why})' * bool(why)}")
    return chosen


def _order(found: tuple[bool, str, dict[str, Any]]) -> tuple[bool, str]:
    return found[:2]


def _rows(
    published: Published, source: SourceRows, records: Iterable[str]
) -> Iterator[tuple[dict[str, Any], bytes | None]]:
    """The rows of these records, each as it stood in the input."""
    wanted = pa.array(list(records), pa.string())
    for batch in published.batches(Wanted(), [*PLACE, *(["input"] if source.kept else [])]):
        some = batch.filter(pc.is_in(batch["record"], wanted))
        yield from zip(some.to_pylist(), source.raws(some), strict=True)


def _texts(task: Task, raw: bytes | None) -> str | dict[str, str] | None:
    """The text, of several fields by their names; None where it cannot be had, or is too long to be shown each time."""
    row = None if raw is None else parse_object(raw)
    if not isinstance(row, dict):
        return None
    texts = {path: text for path in task.input.text if isinstance(text := look_up(row, path), str) and text.strip()}
    if not texts or sum(map(len, texts.values())) > LONGEST:
        return None
    return texts if len(task.input.text) > 1 else next(iter(texts.values()))


def _example(task: Task, text: str | dict[str, str], record: SettledRecord) -> dict[str, Any]:
    labels = record.labels or []
    answer = {} if not task.labels else {"labels": labels} if task.many else {"label": labels[0]}
    return {"text": text, **answer, **record.fields}
