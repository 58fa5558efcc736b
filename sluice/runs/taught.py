"""What a run's learned model was taught by, kept beside the model, whose bytes depend on nothing but its lessons."""

from __future__ import annotations

from typing import Any

from msgspec import field

from sluice.runs.document import Document


class Taught(Document, frozen=True, kw_only=True):
    """By what a run's model was taught, and how long that took.

    `sources`: records by who says what their labels are; of the last tier, whether a row of them was drawn or had gone
    on to it. `drawn`: how many rows and records were drawn uniformly. `agreement`: how often the model, held out by
    record, gave the last tier's labels to drawn rows, with its 95% interval; `here` the same on those of this run,
    where earlier ones taught as well. `runs` are these earlier runs, `left_out` says why what others have to teach was
    not taken, and `keys` are the records that taught and were not drawn in this run to do so. `seconds` differ each
    time.
    """

    records: int
    sources: dict[str, int]
    drawn: dict[str, int]
    agreement: dict[str, Any]
    seconds: float
    here: dict[str, Any] | None = None
    runs: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
