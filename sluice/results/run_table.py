"""The table of runs: one row per published run, from its run.json. What stands here is public in SQL: no row's text."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.runs.drawn import CERTIFIED

if TYPE_CHECKING:
    from collections.abc import Mapping

TIER = pa.struct(
    [
        ("tier", pa.int8()),
        ("model", pa.string()),
        ("transport", pa.string()),
        ("sent", pa.int64()),
        ("accepted", pa.int64()),
        ("escalated", pa.int64()),
        ("unresolved", pa.int64()),
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("cost_usd", pa.float64()),
    ]
)
# Costs are dollars, null where a price is unknown; `baseline_usd` is what the last tier alone would have cost.
RUNS = pa.schema(
    [
        ("run_id", pa.string()),
        ("task", pa.string()),
        ("task_version", pa.string()),
        ("status", pa.string()),
        ("answers", pa.string()),
        ("started", pa.timestamp("us", tz="UTC")),
        ("finished", pa.timestamp("us", tz="UTC")),
        ("rows_in", pa.int64()),
        ("accepted", pa.int64()),
        ("unresolved", pa.int64()),
        ("rejected", pa.int64()),
        ("records", pa.int64()),
        ("sent", pa.int64()),
        ("escalated", pa.int64()),
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("cost_usd", pa.float64()),
        ("baseline_usd", pa.float64()),
        ("tiers", pa.list_(TIER)),
        # Of a run that accepted nothing: its commonest reason, and what is likely behind it.
        ("reason", pa.string()),
        ("cause", pa.string()),
        # Of a run with a certificate: the share of labels that it promises, at which risk, and for how many rows
        # without the oracle; null for others.
        ("certified_agree", pa.float64()),
        ("certified_delta", pa.float64()),
        ("certified_rows", pa.int64()),
        # Rows that were taken out of the results since; rows_in counts them still.
        ("forgotten", pa.int64()),
    ]
)
PLAIN = ("run_id", "task", "task_version", "status", "answers", "cost_usd", "baseline_usd")
OF_TIERS = ("escalated", "input_tokens", "output_tokens")


def run_parquet(summary: Mapping[str, Any]) -> bytes:
    """The row of the run that run.json describes, as a Parquet file of its own."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([run_row(summary)], RUNS), sink, compression="zstd")
    return bytes(sink.getvalue())


def run_row(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a run."""
    rows, records, tiers = summary["rows"], summary["records"], summary["tiers"]
    cause = summary.get("cause") or {}
    return {
        **{name: summary[name] for name in PLAIN},
        **{name: dt.datetime.fromisoformat(summary[name]) for name in ("started", "finished")},
        "rows_in": rows["in"],
        **{name: rows[name] for name in ("accepted", "unresolved", "rejected")},
        "records": records["distinct"],
        "sent": records["sent"],
        **{name: sum(tier[name] for tier in tiers) for name in OF_TIERS},
        "reason": cause.get("reason"),
        "cause": cause.get("likely"),
        **_certified(summary.get("certificate")),
        "forgotten": rows.get("forgotten", 0),
        "tiers": [{field.name: tier[field.name] for field in TIER} for tier in tiers],
    }


def _certified(certificate: Mapping[str, Any] | None) -> dict[str, Any]:
    if certificate is None or certificate["status"] != CERTIFIED:
        return {"certified_agree": None, "certified_delta": None, "certified_rows": None}
    return {
        "certified_agree": float(certificate["agree"]),
        "certified_delta": float(certificate["delta"]),
        "certified_rows": certificate["accepted_rows"],
    }
