"""What a run keeps in S3: what it was frozen with, how its rows were cut, its jobs, and how its executions end.

Behind each key of `sluice.runs.keys` lies one of these documents, or one of `sluice.runs.books`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import field
from pydantic import ConfigDict

from sluice.models.catalog import Model
from sluice.models.pace import Pace
from sluice.models.prices import Price, ReadByMsgspec
from sluice.models.quotas import Quota
from sluice.models.servers import is_own
from sluice.runs.document import Document
from sluice.task.tiers import Answerer, Tier, Transport, Way

JUDGED_AGAIN, OF = "rejudge:", " of "  # of `Start.answers`: the run that is judged again, and who had answered there


class FrozenTier(Tier):
    """A tier as the run uses it: the task's, with its model resolved and the price frozen.

    `batch`: whether batch jobs are wanted. `temperature` is None for a model that refuses it, and `request` holds what
    the model needs beside what the task gives. `token_factor`: how many tokens it counts where the estimates say one.
    `context_tokens`: how many tokens a request may have, by the model's context and by what its price holds for.
    `cache_from_tokens`: from how many tokens on instructions are cached; None: never. `flex`: whether that service tier
    may be used. `pace`: what limits calls on demand, None where the transport is not left open.
    An option that came after the run began has its default.
    """

    model_config = ConfigDict(extra="ignore")

    model_id: str
    batch: bool
    price: Annotated[Price | None, ReadByMsgspec()]
    token_factor: float = 1.0
    context_tokens: int | None = None
    cache_from_tokens: int | None = None
    flex: bool = False
    pace: Annotated[Pace | None, ReadByMsgspec()] = None

    @property
    def called(self) -> str:  # as people know it: Bedrock's models by the id, their own by the name that they gave
        return self.model if is_own(self.model_id) else self.model_id

    @classmethod
    def of(cls, tier: Answerer, model: Model) -> FrozenTier:
        """A tier, or a judge, with the model that it is resolved to."""
        left_open, price = tier.transport is Transport.AUTO, model.price
        as_taken: dict[str, Any] = {"request": {**model.request, **tier.request}}
        as_taken |= {"temperature": None} if "temperature" in model.refuses else {}
        if left_open or tier.transport is Transport.ON_DEMAND:
            as_taken["cache_from_tokens"] = model.cache_from_tokens
        facts: dict[str, Any] = {"model_id": model.id, "price": price, "token_factor": model.token_factor}
        facts |= {
            "batch": tier.transport is Transport.BATCH or (left_open and model.batch),
            "context_tokens": min(filter(None, (model.context_tokens, model.priced_to_tokens)), default=None),
            "flex": (left_open or tier.transport is Transport.FLEX) and bool(price and price.flex_input),
        }
        return cls(**{**tier.model_dump(), **as_taken, **facts})


class Start(Document, frozen=True, kw_only=True):
    """A frozen run: everything that later steps depend on, so that an edited task or setting changes only new runs.

    `judges` names the run whose stored answers this one judges again; such a run buys nothing. `seed`: that of its
    draws, where the task has `quality`. `settled`: how many records people had settled before, which no model is asked
    about. `judge`: who is shown the answers, where the task has one, as a tier is. `requests_in` is the folder of what
    expires within days; runs of earlier versions kept it in their own.
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
    requests_in: str = "runs"
    seed: str | None = None
    judge: FrozenTier | None = None
    tokens: dict[str, float] = field(default_factory=dict)  # characters of a token, by script
    quotas: dict[str, Quota] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    settled: int = 0


class Input(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One frozen input object; `refused`: why none of it will be read, as far as start can tell."""

    uri: str
    version: str | None
    etag: str
    bytes: int
    container: str
    refused: str | None = None


class PassedOver(msgspec.Struct, frozen=True, kw_only=True):
    """A version of an object that is in no run, since a later one of the same key waited beside it."""

    uri: str
    version: str | None
    at: str


class Inputs(Document, frozen=True, kw_only=True):
    """All frozen input objects; a row's source is a place in this list. Versions that were passed over are not read."""

    inputs: list[Input]
    passed_over: list[PassedOver] = msgspec.field(default_factory=list)


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
    routed: dict[int, tuple[int, int]] = field(default_factory=dict)  # by route: good rows that it takes, their bytes
    settled: int = 0
    looked_at: tuple[int, float] = (0, 0.0)  # stored bytes of some good rows, and the tokens of their texts


class SpanIndex(Document, frozen=True, kw_only=True):
    """The head of `rows/<span>.index`; behind it, per segment, three u32 per bucket: rows, bytes, distinct keys.

    `refused`: the inputs of which nothing is kept, since a piece of them could not be read, each with the reason.
    """

    span: int
    depth: int
    pieces: list[Piece]
    segments: list[Segment]
    refused: dict[str, str] = field(default_factory=dict)


class PlannedSegment(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A segment as prepare and merge use it; rows of `first_source` count their lines from `line_base`."""

    span: int
    begin: int
    first_source: int
    line_base: int


class RunPlan(Document, frozen=True, kw_only=True):
    """Round 0's cut: shard s holds the buckets from bounds[s] to before bounds[s + 1].

    `settled`: the rows that people had settled before, of which nothing is sent. The costs are those of
    sluice/budget/costs.py: what the run can cost at most, and is expected to; None without a price.
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
    refused: dict[str, str] = field(default_factory=dict)
    ceiling_usd: float | None = None
    expected_usd: float | None = None
    routed: dict[int, tuple[int, int]] = field(default_factory=dict)  # as in `Segment`, of all
    token_bytes: float | None = None  # of a stored row for each token of its text, where rows have been looked at
    settled: int = 0

    @property
    def good(self) -> int:
        """The rows that models are asked about."""
        return self.rows - sum(self.rejected.values()) - self.settled


class Place(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Where an answer stands among all: its score as a 32-bit integer, and the hash that breaks ties."""

    score: int
    tie: int


LOWEST = Place(score=-1, tie=0)  # below all answers
HIGHEST = Place(score=2**32 - 1, tie=2**64 - 1)  # above which no answer stands


class Slice(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A stretch of a pending object: records `first` to before `first + count`, found from byte `seek` on."""

    key: str
    first: int
    count: int
    seek: int
    seek_first: int


class PlannedJob(msgspec.Struct, frozen=True, kw_only=True):
    """One job of a round: a whole shard in round 0, slices of pending records later.

    `refused`: with what words the tier that was asked last has refused all of them; None for others. `fill`: fewer
    records than a batch job may have are filled up to it instead of being called on demand. `pack`: at most how
    many records a request holds, None for as many as the tier says. `below`: of a shard only the records whose answer
    stands here or below. `way`: how its requests are sent if there are as many as it looks; None: in batch if possible.
    `last`: the last tier that its records may go on to; None: the run's, and what the routes say of rows of a shard.
    `router`: the router's question is asked, and nothing else; `judge`: that of the judge, about answers of the tier.
    """

    job: int
    tier: int
    attempt: int
    purpose: str
    records: int
    shard: int | None = None
    pending: list[Slice] = field(default_factory=list)
    refused: str | None = None
    fill: bool = False
    pack: int | None = None
    below: Place | None = None
    way: Way | None = None
    last: int | None = None
    router: bool = False
    judge: bool = False


class RoundPlan(Document, frozen=True, kw_only=True):
    """All jobs of a round; those that the budget kept out are the first of the next one.

    `left`: what a tier has refused twice, from this round and those before; only a later execution asks again.
    `certified`: the round is about what the certificate does not cover, or comes behind such a round.
    """

    round: int
    jobs: list[PlannedJob]
    kept_out: list[PlannedJob] = field(default_factory=list)
    left: list[PlannedJob] = field(default_factory=list)
    execution: int = 0
    certified: bool = False


class JobItem(msgspec.Struct, frozen=True, kw_only=True):
    """What flows through a job's states; `looks`: how often it has come back to one of them."""

    run: str
    round: int
    job: int
    next: str = ""
    wait_seconds: int = 0
    looks: int = 0


class Then(StrEnum):
    """What comes next in a run."""

    JOBS = "jobs"
    LEARN = "learn"
    CERTIFY = "certify"
    MERGE = "merge"
    WAIT = "wait"


class PlanResult(msgspec.Struct, frozen=True, kw_only=True):
    """What Plan tells the workflow in `then`; `more` and `waits` say it to executions of earlier versions.

    `waits`: the execution ends here, since somebody has to approve the cost first.
    """

    run: str
    round: int
    next: int
    more: bool
    jobs_key: str
    parts_key: str
    max_concurrency: int
    max_workers: int
    waits: bool = False
    then: Then = Then.MERGE
    shards_key: str = ""


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """Records that a job leaves for a later round; `marks` holds the byte offset of every 64th record.

    `refused`: a tier has refused them, and answered none of its job; what becomes of them is decided by round. `fill`:
    they were throttled for so long that a batch job is to take them, however few they are. `pack`, `last`, `router`
    and `judge`: as in `PlannedJob`. `asked`: the next tier is asked about them anyway, as about all that was drawn.
    """

    key: str
    tier: int
    attempt: int
    records: int
    bytes: int
    marks: list[int]
    refused: bool = False
    fill: bool = False
    pack: int | None = None
    asked: bool = False
    last: int | None = None
    router: bool = False
    judge: bool = False


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """Records of a tier that has refused them all, again when it was asked again, and the words of the refusal."""

    tier: int
    records: int
    cause: str


class End(Document, frozen=True, kw_only=True):
    """Written by the last Plan: how many rounds there were, and why no more."""

    rounds: int
    reason: str | None
    left: list[Left] = field(default_factory=list)


class Resumption(Document, frozen=True, kw_only=True):
    """A further execution of a run: jobs (round, job) whose refusal no longer stops it, and a new budget if any.

    `cancelled`: it only settles what was sent and publishes. `approved`: the run's cost needs no further approval.
    `escalate_refused`: what a tier refuses once more goes on to the next one.
    """

    number: int
    cancelled: bool
    forgiven: list[tuple[int, int]]
    max_usd: float | None = None
    approved: bool = False
    escalate_refused: bool = False


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one merge worker joins: the segments `first` to before `last` of a shard."""

    run: str
    part: int
    shard: int
    first: int
    last: int
