"""What people had settled before a run began: frozen with the run, and no model is asked about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sluice.decoding import decode

if TYPE_CHECKING:
    from collections.abc import Iterable


class SettledRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record and the answer that people gave: `labels` is None where the task has none."""

    record: str
    labels: list[str] | None = None
    fields: dict[str, Any] = {}


def write_settled(records: Iterable[SettledRecord]) -> bytes:
    """`settled.jsonl`: a line for each record."""
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


def read_settled(data: bytes) -> list[SettledRecord]:
    """The records of `settled.jsonl`."""
    return decode(b"[" + b",".join(data.splitlines()) + b"]", list[SettledRecord])
