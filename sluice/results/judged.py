"""Answers that a judge was shown, joined with what it said: an answer stands, goes on or is refused by its word."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from sluice.reasons import Outcome, Reason


def answers_at(table: pa.Table) -> pa.Array:
    """Of each attempt where that stands which it is about: itself, or of a judge's word the answer before it."""
    here = _numbers(table)
    return pc.fill_null_forward(pc.if_else(_column(table, "judge"), pa.scalar(None, here.type), here))


def with_what_was_judged(table: pa.Table) -> pa.Table:
    """The attempts in their order, where answers that waited for the judge have the outcome of its last word on them.

    One of which it has said nothing keeps `judged`, as in a run that ended before; no answer stands by silence.
    """
    judge = _column(table, "judge")
    next_judge = pa.concat_arrays([judge.slice(1), pa.array([False] * min(1, len(judge)), judge.type)])
    final = pc.indices_nonzero(pc.and_(judge, pc.invert(next_judge)))
    about = answers_at(table).take(final)
    waited = pc.equal(_column(table, "outcome").take(about), Outcome.JUDGED.value)
    final, about = final.filter(waited), about.filter(waited)
    mask = pc.is_in(_numbers(table), value_set=about)
    outcome = _column(table, "outcome").take(final)
    stands = pc.equal(outcome, Outcome.ACCEPTED.value)
    reason = pc.if_else(stands, pa.scalar(None, pa.string()), _column(table, "reason").take(final))
    became = {
        "outcome": pc.replace_with_mask(_column(table, "outcome"), mask, outcome),
        "reason": pc.replace_with_mask(_column(table, "reason"), mask, reason),
    }
    silent = pc.equal(became["outcome"], Outcome.JUDGED.value)
    became["reason"] = pc.if_else(silent, Reason.JUDGE_UNCLEAR.value, became["reason"])
    for name, column in became.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def _numbers(table: pa.Table) -> pa.Array:
    return pa.array(range(len(table)), pa.int64())


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
