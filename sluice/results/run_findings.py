"""`findings` of run.json: what its rows tell beyond the books."""

from __future__ import annotations

import msgspec
from msgspec import field


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A section of run.json. A field that a failed run could not fill is missing there, and has a default here."""


class TierRows(Part, frozen=True, kw_only=True):
    """Rows that were accepted from one tier."""

    tier: int
    rows: int


class TierLabel(Part, frozen=True, kw_only=True):
    """Rows that one tier gave one label."""

    tier: int
    label: str
    rows: int


class TierConfidence(Part, frozen=True, kw_only=True):
    """Rows to which one tier answered that it is so sure."""

    tier: int
    confidence: str
    accepted: bool
    rows: int


class Change(Part, frozen=True, kw_only=True):
    """Rows whose first answer a later tier changed."""

    first: str
    final: str
    rows: int


class Looked(Part, frozen=True, kw_only=True):
    """Records with this first answer that a later tier settled."""

    first: str
    records: int


class Blurred(Part, frozen=True, kw_only=True):
    """Records whose first answer became another one."""

    first: str
    final: str
    records: int


class Known(Part, frozen=True, kw_only=True):
    """Rows with a known answer, by tier and confidence of the given one."""

    tier: int
    confidence: str | None
    right: bool
    rows: int


class Mistake(Part, frozen=True, kw_only=True):
    """Rows that were given another answer than the known one."""

    known: str
    given: str
    rows: int


class Shown(Part, frozen=True, kw_only=True):
    """A row to look at."""

    status: str
    source: str
    line: int
    text: str
    reason: str | None = None
    tier: int | None = None
    label: str | None = None
    confidence: str | None = None
    first: str | None = None


class Said(Part, frozen=True, kw_only=True):
    """Rows for which one tier said this instead of a label, or gave fields that do not fit."""

    tier: int
    reason: str
    detail: str
    rows: int


class Group(Part, frozen=True, kw_only=True):
    """The labels of a kept column: a row of `cells` for each of its `values`, a number in it for each of `labels`.

    `rows` counts the rows of each value, `unlabelled` those without a label, `other_labels` labels that are not named.
    `other_values` counts the rows whose value is not named, `missing` those without any. `at_least`: the column has
    more values than are counted singly, so that some numbers may be higher.
    """

    column: str
    kind: str = "text"
    values: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    cells: list[list[int]] = field(default_factory=list)
    other_labels: list[int] = field(default_factory=list)
    unlabelled: list[int] = field(default_factory=list)
    missing: int = 0
    other_values: int = 0
    at_least: bool = False


class Findings(Part, frozen=True, kw_only=True):
    """What the rows tell beyond the books."""

    accepted: list[TierRows] = field(default_factory=list)
    labels: list[TierLabel] = field(default_factory=list)
    confidence: list[TierConfidence] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    compared: int = 0
    changed: int = 0
    looked: list[Looked] = field(default_factory=list)
    blurs: list[Blurred] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    examples: list[Shown] = field(default_factory=list)
