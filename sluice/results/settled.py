"""What people have settled, as answers of later runs: which of their corrections hold there."""

from __future__ import annotations

import hashlib
import json
from operator import attrgetter
from typing import TYPE_CHECKING

from sluice.results.corrections import Settled
from sluice.runs.settled import SettledRecord

if TYPE_CHECKING:
    from sluice.results.corrections import Corrections
    from sluice.task.task import Task

PEOPLE = "people"  # the model of rows that people had settled before their run began


def question_of(task: Task) -> str:
    """12 hex digits that change with what may be answered: labels, how many, and fields; descriptions do not count.

    What somebody has said under other labels says nothing of the labels that have come since.
    """
    fields = {
        name: {key: value for key, value in field.schema_property().items() if key != "description"}
        for name, field in task.answer.fields.items()
    }
    asked = [sorted(task.labels), task.min_labels, task.max_labels if task.many else 1, task.none, fields]
    return hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=6).hexdigest()


def fits(task: Task, record: SettledRecord) -> bool:
    """Whether an answer has all that a task asks for, and nothing that it does not know."""
    fields = all(field.admits(record.fields.get(name)) for name, field in task.answer.fields.items())
    labels = record.labels or []
    contradicts = len(labels) > 1 and task.none in labels
    known = task.labels.keys() >= set(labels) and task.min_labels <= len(labels) <= task.max_labels
    return fields and known and not contradicts


def settled_by_people(task: Task, corrections: Corrections) -> list[SettledRecord]:
    """The records on which people agree, each with its whole answer, as they gave it under the labels of this task."""
    question, found = question_of(task), []
    for record, places in sorted(corrections.by_record.items()):
        heads = [head for place in places for head in corrections.rows[place].heads]
        asked = [head for head in heads if head.what.question == question]
        if not asked or Settled(heads).conflict:
            continue
        said = max(asked, key=attrgetter("mark")).what
        whole = {name: value for name, value in {**said.shown, **said.fields}.items() if name in task.answer.fields}
        settled = SettledRecord(record=record, labels=said.labels, fields=whole)
        if fits(task, settled):
            found.append(settled)
    return found
