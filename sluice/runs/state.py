"""What a run keeps in S3: the keys, and the documents behind them. Each document carries a format number."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import field

from sluice.errors import Stop
from sluice.models.catalog import Price
from sluice.models.quotas import Quota

FORMAT = 1
READABLE = frozenset({FORMAT})  # a run outlives a deploy: the format before stays readable

SHOWN = 3  # rows of each kind that a run's report shows

D = TypeVar("D", bound="Document")


class Keys:
    """The keys of one run in the work bucket.

    Nothing is ever removed: what belongs to the end of an execution, which a further one does anew, carries that
    execution's number.
    """

    def __init__(self, run: str, execution: int = 0) -> None:
        self.run = run
        self.execution = execution
        self.root = f"runs/{run}"
        ending = f"{self.root}/end-{execution}"
        self.end = f"{ending}/end.json"
        self.cancel = f"{ending}/cancel.json"
        self.approval = f"{ending}/approval.json"
        self.published = f"{ending}/published.json"
        self.merged_prefix = f"{ending}/merged/"
        self.start = f"{self.root}/start.json"
        self.inputs = f"{self.root}/inputs.json"
        self.spans = f"{self.root}/spans.json"
        self.plan = f"{self.root}/plan.json"
        self.cuts = f"{self.root}/cuts.bin"
        self.parts = f"{self.root}/parts.json"
        self.resumptions = f"{self.root}/resumed/"
        self.summary = f"{self.root}/run.json"
        self.rows_prefix = f"{self.root}/rows/"

    def resumption(self, number: int) -> str:
        return f"{self.resumptions}{number:03d}.json"

    def rows(self, span: int) -> str:
        return f"{self.rows_prefix}{span:06d}"

    def index(self, span: int) -> str:
        return f"{self.rows(span)}.index"

    def jobs(self, round_: int) -> str:
        return f"{self.root}/round-{round_}/jobs.json"

    def round_plan(self, round_: int) -> str:
        return f"{self.root}/round-{round_}/plan.json"

    def job(self, round_: int, job: int) -> JobKeys:
        return JobKeys(self.root, round_, job)

    def answers(self, shard: int) -> str:
        return f"{self.root}/answers/{shard:06d}/"

    def answer(self, shard: int, round_: int, job: int) -> str:
        return f"{self.answers(shard)}{round_:02d}-{job:05d}.arrow"

    def counts_of(self, answer: str) -> str:
        """The books of the job that an answers' object came from."""
        round_, job = answer.rpartition("/")[2].removesuffix(".arrow").split("-")
        return self.job(int(round_), int(job)).counts

    def pending(self, round_: int, job: int, tier: int, attempt: int, why: str) -> str:
        return f"{self.root}/pending/{round_:02d}-{job:05d}-{tier}-{attempt}-{why}.txt"

    def merged(self, part: int) -> str:
        return f"{self.merged_prefix}{part:06d}.parquet"

    def merged_books(self, part: int) -> str:
        return f"{self.merged_prefix}{part:06d}.json"

    def merged_ids(self, part: int) -> str:
        return f"{self.merged_prefix}{part:06d}.ids"


class JobKeys:
    """The keys of one job of one round."""

    def __init__(self, root: str, round_: int, job: int) -> None:
        self.root = f"{root}/round-{round_}/{job:05d}"
        self.input_prefix = f"{self.root}/in/"
        self.input = f"{self.input_prefix}part-0.jsonl"
        self.records = f"{self.root}/records.txt"
        self.prepared = f"{self.root}/prepared.json"
        self.submitted = f"{self.root}/submitted.json"
        self.ended = f"{self.root}/ended.json"
        self.output_prefix = f"{self.root}/out/"
        self.infer_prefix = f"{self.root}/infer/"
        self.counts = f"{self.root}/counts.json"
        self.failed = f"{self.root}/failed.json"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A kept document; `read` refuses a format that this version does not know."""

    format: int = FORMAT

    def write(self) -> bytes:
        return msgspec.json.encode(self)


def read(kind: type[D], data: bytes, key: str) -> D:
    """Decode a kept document.

    Raises:
        Stop: it was written in a format that this version cannot read, or is damaged.

    """
    try:
        document = msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise Stop(f"{key} is no {kind.__name__}: {error}") from error
    if document.format not in READABLE:
        raise Stop(f"{key} has format {document.format}; this version reads {sorted(READABLE)}")
    return document


class FrozenTier(msgspec.Struct, frozen=True, kw_only=True):
    """One tier as the run uses it: the model resolved, the price frozen; `batch`: whether batch jobs are wanted."""

    model: str
    model_id: str
    batch: bool
    max_tokens: int
    temperature: float
    attempts: int
    timeout_hours: int
    price: Price | None


class Start(Document, frozen=True, kw_only=True):
    """A frozen run: everything that later steps depend on, so that an edited task or setting changes only new runs.

    `judges` names the run whose stored answers this one judges again; such a run buys nothing.
    """

    run: str
    task: dict[str, Any]
    task_version: str
    settings: dict[str, Any]
    tiers: list[FrozenTier]
    created: str
    date: str
    answers: str
    role_arn: str
    kms_key: str | None = None
    work_bucket: str
    results_bucket: str
    depth: int
    spans: int
    prices: dict[str, str]
    judges: str | None = None
    quotas: dict[str, Quota] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """One frozen input object."""

    uri: str
    version: str | None
    etag: str
    bytes: int
    container: str


class Inputs(Document, frozen=True, kw_only=True):
    """All frozen input objects; a row's source is a place in this list."""

    inputs: list[Input]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """What one partition worker reads: pieces of objects as (input, first byte, byte after the last)."""

    run: str
    span: int
    pieces: list[tuple[int, int, int]]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What one span found in one input: `lines` counts blank ones too, and gives the next span its first number."""

    source: int
    lines: int
    rows: int


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One sorted stretch of a rows object: where it begins, how long it is, what it holds."""

    begin: int
    bytes: int
    rows: int
    rejected: dict[str, int]
    sketch: list[str]


class SpanIndex(Document, frozen=True, kw_only=True):
    """The head of `rows/<span>.index`; behind it, per segment, three u32 per bucket: rows, bytes, distinct keys."""

    span: int
    depth: int
    pieces: list[Piece]
    segments: list[Segment]


class PlannedSegment(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A segment as prepare and merge use it; rows of `first_source` count their lines from `line_base`."""

    span: int
    begin: int
    first_source: int
    line_base: int


class RunPlan(Document, frozen=True, kw_only=True):
    """Round 0's cut: shard s holds the buckets from bounds[s] to before bounds[s + 1].

    The costs are those of sluice/budget/costs.py: what the run can cost at most, and is expected to; None without a
    price.
    """

    depth: int
    rows: int
    bytes: int
    rejected: dict[str, int]
    input_rows: dict[str, int]
    distinct: int
    bounds: list[int]
    shard_rows: list[int]
    segments: list[PlannedSegment]
    ceiling_usd: float | None = None
    expected_usd: float | None = None


class Slice(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A stretch of a pending object: records `first` to before `first + count`, found from byte `seek` on."""

    key: str
    first: int
    count: int
    seek: int
    seek_first: int


class PlannedJob(msgspec.Struct, frozen=True, kw_only=True):
    """One job of a round: a whole shard in round 0, slices of pending records later."""

    job: int
    tier: int
    attempt: int
    purpose: str
    records: int
    shard: int | None = None
    pending: list[Slice] = field(default_factory=list)


class RoundPlan(Document, frozen=True, kw_only=True):
    """All jobs of a round; those that the budget kept out are the first of the next one."""

    round: int
    jobs: list[PlannedJob]
    kept_out: list[PlannedJob] = field(default_factory=list)


class JobItem(msgspec.Struct, frozen=True, kw_only=True):
    """What flows through a job's states."""

    run: str
    round: int
    job: int
    next: str = ""
    wait_seconds: int = 0


class PlanResult(msgspec.Struct, frozen=True, kw_only=True):
    """What Plan tells the workflow; `waits`: the execution ends here, since somebody has to approve the cost first."""

    run: str
    round: int
    next: int
    more: bool
    jobs_key: str
    parts_key: str
    max_concurrency: int
    max_workers: int
    waits: bool = False


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """Records that a job leaves for a later round; `marks` holds the byte offset of every 64th record."""

    key: str
    tier: int
    attempt: int
    records: int
    bytes: int
    marks: list[int]


class Prepared(Document, frozen=True, kw_only=True):
    """What prepare wrote: records sent and held back, bytes of the job's input."""

    records: int
    rows: int
    bytes: int
    transport: str
    held: Pending | None = None


class Submitted(Document, frozen=True, kw_only=True):
    """The Bedrock job of this job."""

    job_arn: str
    at: str


class Failed(Document, frozen=True, kw_only=True):
    """Why a job has no books: the run stops with this, and a resumed run takes the job up again."""

    error: str
    cause: str


class Ended(Document, frozen=True, kw_only=True):
    """How the job ended, and when: of one that went on demand, from its first call on."""

    status: str
    message: str | None
    submitted: str | None
    ended: str | None


class Counts(Document, frozen=True, kw_only=True):
    """A job's books: sent = answered + errored + missing; sent + held_back = the records of the job."""

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
    duplicates: int
    unknown: int
    unreadable: int
    reasons: dict[str, int]
    escalated_for: dict[str, int] = field(default_factory=dict)
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    pending: list[Pending]
    fatal: str | None = None
    warnings: list[str] = field(default_factory=list)


class End(Document, frozen=True, kw_only=True):
    """Written by the last Plan: how many rounds there were, and why no more."""

    rounds: int
    reason: str | None


class Approval(Document, frozen=True, kw_only=True):
    """Why an execution ended before anything was sent: the most that the run can cost is above the limit.

    A cost is None where a price is unknown.
    """

    ceiling_usd: float | None
    expected_usd: float | None
    approve_above_usd: float
    at: str


class Resumption(Document, frozen=True, kw_only=True):
    """A further execution of a run: jobs (round, job) whose refusal no longer stops it, and a new budget if any.

    `cancelled`: it only settles what was sent and publishes. `approved`: the run's cost needs no further approval.
    """

    number: int
    cancelled: bool
    forgiven: list[tuple[int, int]]
    max_usd: float | None = None
    approved: bool = False


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one merge worker joins: the segments `first` to before `last` of a shard."""

    run: str
    part: int
    shard: int
    first: int
    last: int


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
    known: list[tuple[int, str | None, bool, int]] = field(default_factory=list)  # tier, confidence, right
    mistakes: list[tuple[str, str, int]] = field(default_factory=list)  # known answer, given answer
    examples: list[Example] = field(default_factory=list)


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
    gold: dict[str, int] | None = None
    findings: Findings = field(default_factory=Findings)
    bytes: int
