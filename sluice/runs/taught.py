"""What a run's learned model was taught by, kept beside the model, whose bytes depend on nothing but its lessons."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import field

from sluice.runs.document import Document

# How the file of the model begins where there is none; behind it why. All that a score can go by is then the word of
# the model that answered.
UNTAUGHT = b"sluice-untaught 1\n"


class Taught(Document, frozen=True, kw_only=True):
    """By what a run's model was taught, and how long that took.

    `sources`: records by who says what their labels are; of the last tier, whether a row of them was drawn or had gone
    on to it. `drawn`: how many rows and records were drawn uniformly. `agreement`: how often the model, held out by
    record, gave the last tier's labels to drawn rows, with its 95% interval; `here` the same on those of this run,
    where earlier ones taught as well. `runs` are these earlier runs, `left_out` says what could not teach, and why;
    `keys` are the records that taught and were not drawn in this run to do so. `vectors`: how many words and dimensions
    the word vectors have that helped. `seconds` differ each time.

    Beside earlier runs: `stated` is the agreement that a learned tier has to keep to, which it is `out_of_service` for
    not doing; `labels` are those whose share moved, `scores` says how many drawn rows score below the lowest tenth of
    earlier ones, and `profile` how much of a text was usually new (sluice/quality/drift.py).
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
    stated: dict[str, Any] | None = None
    out_of_service: bool = False
    labels: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[str, Any] | None = None
    profile: dict[str, Any] | None = None
    vectors: dict[str, Any] | None = None


class NewText(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of a text of a new kind, its record, and the share of its features that were never seen."""

    record: str
    text: str
    unseen: float


class NewKinds(Document, frozen=True, kw_only=True):
    """How many of a shard's texts, and of their rows, are of a new kind, with the farthest of them as `examples`."""

    records: int
    rows: int
    new_records: int
    new_rows: int
    examples: list[NewText] = field(default_factory=list)
