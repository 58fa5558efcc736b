"""Rows that people had settled before their run began, beside the records that models were asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from sluice.reasons import Reason, Status
from sluice.results.merging import SUMMED, Records
from sluice.results.settled import PEOPLE, fits
from sluice.results.table import field_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.runs.settled import SettledRecord
    from sluice.task.task import Task


def with_settled(task: Task, records: Records, settled: Sequence[SettledRecord]) -> Records:
    """The records of a shard, and behind them those that people have settled: without an attempt, and at no cost.

    Answers that no longer fit a task, by which a run is judged again, are not accepted.
    """
    if not settled:
        return records
    keys, last = pa.array([record.record for record in settled], pa.string()), len(records.keys)
    rows = [_row(task, record) for record in settled]
    answers = [msgspec.json.encode(record.fields) if fits(task, record) else None for record in settled]
    fields = field_columns(task, answers)
    columns = {
        name: pa.concat_arrays(
            [
                column.slice(0, last),
                fields[name] if name in fields else pa.array([row.get(name) for row in rows], column.type),
                column.slice(last),
            ]
        )
        for name, column in records.columns.items()
    }
    return Records(pa.concat_arrays([records.keys, keys]), columns, records.firsts)


def _row(task: Task, record: SettledRecord) -> dict[str, Any]:
    """What stands at each row of a record, but for its fields."""
    row = {"model": PEOPLE, "attempts": 0, "trail": [], "shared": False, **dict.fromkeys(SUMMED, 0)}
    if not fits(task, record):
        return {**row, "status": Status.UNRESOLVED.value, "reason": Reason.LABEL_UNKNOWN.value}
    labels = record.labels
    label = labels[0] if labels and not task.many else None
    return {**row, "status": Status.ACCEPTED.value, "labels": labels, "label": label}
