"""The columns in which corrections stand beside the answers of models."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sluice.results.corrections import Corrections, Settled

CORRECTED, CONFIRMED, CONFLICT = "corrected", "confirmed", "conflict"
LAYER = pa.schema(
    [
        ("correction", pa.string()),
        ("corrected_label", pa.string()),
        ("corrected_labels", pa.list_(pa.string())),
        ("corrected_fields", pa.string()),
        ("corrected_by", pa.string()),
        ("corrected_at", pa.timestamp("us", tz="UTC")),
        ("corrected_note", pa.string()),
    ]
)
PLACE = ("source", "line", "record")


def needs(stored: Sequence[str], fields: Sequence[str]) -> list[str]:
    """The columns of the results that the layer is made of."""
    return [*PLACE, "labels", *(name for name in fields if name in stored)]


def layer_of(batch: pa.RecordBatch, corrections: Corrections) -> dict[str, pa.Array]:
    """Make the columns of a batch, which has those that are needed; empty ones for rows of which nothing was said."""
    rows: list[dict[str, Any]] = [{}] * batch.num_rows
    touched = pc.indices_nonzero(pc.is_in(batch["record"], pa.array(list(corrections.by_record), pa.string())))
    if len(touched):
        for number, row in zip(touched.to_pylist(), batch.take(touched).to_pylist(), strict=True):
            settled = corrections.of(*(row[name] for name in PLACE))
            if settled is not None:
                rows[number] = _told(settled, row)
    return {field.name: pa.array([row.get(field.name) for row in rows], field.type) for field in LAYER}


def _told(settled: Settled, row: Mapping[str, Any]) -> dict[str, Any]:
    latest = settled.latest
    told: dict[str, Any] = {
        "correction": CONFLICT,
        "corrected_by": settled.by,
        "corrected_at": dt.datetime.fromisoformat(latest.at),
        "corrected_note": settled.note or None,
    }
    if settled.conflict:
        return told
    same = latest.labels is None or sorted(latest.labels) == sorted(row["labels"] or [])
    same = same and (row["labels"] is not None or latest.labels is None)
    same = same and all(row.get(name) == value for name, value in latest.fields.items())
    return {
        **told,
        "correction": CONFIRMED if same else CORRECTED,
        "corrected_label": latest.labels[0] if latest.labels and len(latest.labels) == 1 else None,
        "corrected_labels": latest.labels,
        "corrected_fields": msgspec.json.encode(latest.fields).decode() if latest.fields else None,
    }
