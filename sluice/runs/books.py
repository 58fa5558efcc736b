"""The books of a run: what was counted of each job and of each merged part."""

from __future__ import annotations

import msgspec
from msgspec import field

from sluice.runs.document import Document
from sluice.runs.state import Pending

SHOWN = 3  # rows of each kind that a run's report shows


class Counts(Document, frozen=True, kw_only=True):
    """A job's books: sent = answered + errored + missing; sent + reused + held_back = the records of the job.

    `refused` records wait for plan to decide, `scored` ones for the certificate, `judged` ones for the judge.
    `judge`: the job is the judge's, about answers of the tier: what it accepts and passes on are those, and `said` is
    how often it called them what. `again`: the job is about records that the tier before, or this one, had refused.
    `fatal`: why all of them were refused, or those since access ended, if so. `fillers` are requests without a
    record, sent to reach the least number of a batch job: they are in no other figure but `cost_usd`. A job of
    `repeats`, answers that are compared and stand nowhere, has tokens and no records. `reused` records had their reply
    from an earlier run: `reused_tokens` are what it took then, `saved_usd` what it would cost today. `moved`: of those
    held back the records that start at a later tier, by that tier: by a route, or since their text is too long for
    this one.
    """

    round: int
    job: int
    tier: int
    attempt: int
    purpose: str
    transport: str
    status: str
    message: str | None
    submitted: str | None
    ended: str | None
    records: int
    sent: int
    held_back: int
    answered: int
    errored: int
    missing: int
    accepted: int
    retried: int
    escalated: int
    unresolved: int
    refused: int = 0
    scored: int = 0
    judged: int = 0
    judge: bool = False
    said: dict[str, int] = field(default_factory=dict)
    again: bool = False
    duplicates: int
    unknown: int
    unreadable: int
    fillers: int = 0
    filler_tokens: tuple[int, int] = (0, 0)
    filler_usd: float | None = 0.0
    repeats: int = 0
    repeat_tokens: tuple[int, int] = (0, 0)
    repeat_usd: float | None = 0.0
    cache_read_tokens: int = 0  # of the input tokens
    cache_write_tokens: int = 0
    reused: int = 0
    reused_tokens: tuple[int, int] = (0, 0)
    saved_usd: float | None = 0.0
    moved: dict[int, int] = field(default_factory=dict)
    estimated: int = 0  # answers whose tokens nothing tells
    reasons: dict[str, int]
    escalated_for: dict[str, int] = field(default_factory=dict)
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    pending: list[Pending]
    fatal: str | None = None
    warnings: list[str] = field(default_factory=list)


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A row to look at: `text` is cut to some hundred characters, `first` what an earlier tier had answered."""

    record: str
    status: str
    reason: str | None
    tier: int | None
    label: str | None
    confidence: str | None
    first: str | None
    source: str
    line: int
    text: str


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The labels of a kept column's values, as `sluice/results/groups.py` counts them; a table with a bound.

    `kind` is `time`, `number` or `text`; `level` is how many characters of a day tell the period, `room` how many
    values have a place. `rows` counts rows by value, None for those without; `cells` by value and label, None for those
    without, empty for an answer that none fits; `beyond` labels of a value, and `others` rows, that found no place.
    """

    column: str
    kind: str
    level: int
    room: int
    rows: list[tuple[str | None, int]]
    cells: list[tuple[str | None, str | None, int]]
    beyond: list[tuple[str | None, int]] = field(default_factory=list)
    others: int = 0


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What rows tell beyond their books, as tables that add up: the last column of each counts rows.

    Answers of several labels stand as one text. `compared` counts the rows that a later tier than that of their first
    answer settled, `changed` those among them whose answer became another one; `changes` has the most frequent pairs.
    """

    accepted: list[tuple[int, int]] = field(default_factory=list)  # tier
    labels: list[tuple[int, str, int]] = field(default_factory=list)  # tier, label
    confidence: list[tuple[int, str, bool, int]] = field(default_factory=list)  # tier, word, accepted
    changes: list[tuple[str, str, int]] = field(default_factory=list)  # first answer, accepted answer
    compared: int = 0
    changed: int = 0
    looked: list[tuple[str, int]] = field(default_factory=list)  # first answer that a later tier settled: records
    blurs: list[tuple[str, str, int]] = field(default_factory=list)  # first answer, another accepted one: records
    known: list[tuple[int, str | None, bool, int]] = field(default_factory=list)  # tier, confidence, right
    mistakes: list[tuple[str, str, int]] = field(default_factory=list)  # known answer, given answer
    said: list[tuple[int, str, str, int]] = field(default_factory=list)  # tier, reason, words in place of an answer
    examples: list[Example] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)


class PartBooks(Document, frozen=True, kw_only=True):
    """A merged part's books."""

    part: int
    shard: int
    rows: int
    accepted: int
    unresolved: int
    rejected: int
    shared: int
    reasons: dict[str, int]
    labels: dict[str, int]
    ids_missing: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    kept_invalid: dict[str, int]
    # By the number of the input: rows accepted, unresolved, rejected. A part of an earlier version has none.
    inputs: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    gold: dict[str, int] | None = None
    findings: Findings = field(default_factory=Findings)
    settled: int = 0  # rows that people had settled before
    settled_labels: dict[str, int] = field(default_factory=dict)  # of these
    drawn_rows: dict[str, int] = field(default_factory=dict)  # of the records that were drawn for the last tier
    bytes: int
