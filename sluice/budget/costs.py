"""What a run costs before it is bought: a ceiling that it cannot pass, and what it is expected to come to.

The ceiling rests on three facts and nothing else: no tokenizer makes more than one token of a byte, so a request has at
most as many tokens as bytes; an answer has at most `max_tokens`; a record is sent to a tier at most `attempts` times.
Every record is taken to use up every tier at the dearer of the prices that it can be sent at. The expected cost rests
on estimates: tokens by the characters of each script, answers by their form, and a share that escalates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from sluice.answers.packs import FRAME_BYTES, PACKED_TOKENS, ROW_TOKENS, PackWriter, packed_sendings
from sluice.answers.requests import FILLER_TOKENS, RequestWriter, answer_tokens, prompt_tokens
from sluice.answers.shown import Showing
from sluice.models.prices import cost
from sluice.rows.record import BYTES_PER_TOKEN, RAW
from sluice.task.routes import Course
from sluice.task.tiers import Transport, Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.runs.state import FrozenTier, RunPlan
    from sluice.task.task import Task

LONGEST_ESCAPE = 5  # bytes that one byte of a text can become in a request: & is &amp;
NAME_FRAME = 3  # bytes around the name of a text field in a request: a colon, a blank, a line feed
STORED_FRAME = RAW + 1  # bytes of a stored row before the row itself
MOST_FILLED = 4  # jobs of a run and tier that are filled up to Bedrock's least number; fewer records go on demand
# Of the requests that ask for a cached prefix: so many find none and write it again, since it has been left alone for
# five minutes, or since a profile sent them to another Region. AWS says that this happens, and nobody how often.
MISSED = 0.05
ESCALATED = 0.1  # the share of a tier's records that goes on, where nothing better is known


class JudgeTokens(NamedTuple):
    """Tokens of a judge's question, of its answer and of one that it is shown; the tiers whose answers those are."""

    question: int
    answer: int
    shown: int
    tiers: tuple[int, ...]


class Routed(NamedTuple):
    """The records that may be sent to the tiers of one course; `most_…` as in `Load`."""

    course: Course
    records: int
    most_records: int
    most_text_bytes: int


@dataclass(frozen=True, slots=True)
class Load:
    """What the good rows of a run's inputs come to as requests.

    `most_records` and `most_text_bytes` are never exceeded; all else is an estimate. `text_tokens` are those of all
    texts together, `prompt_tokens` and `answer_tokens` those of one request and one answer. `routed` tells all records
    apart by their course; empty where each may be sent to every tier. `router`: tokens of its question and its answer;
    `judge`: the same of a judge, and what it is shown. `repeated`: records that the last of
    two tiers is asked about once more, and the most bytes of their texts.
    """

    records: int
    text_tokens: int
    prompt_tokens: int
    answer_tokens: int
    most_records: int
    most_text_bytes: int
    routed: tuple[Routed, ...] = ()
    router: tuple[int, int] | None = None
    repeated: tuple[int, int] = (0, 0)
    judge: JudgeTokens | None = None

    @classmethod
    def of_plan(cls, task: Task, plan: RunPlan) -> Load:
        """The load as far as a run's own plan knows it, which has counted rows and bytes and looked at some texts."""
        good = plan.good
        raw = max(0, plan.bytes - STORED_FRAME * plan.rows)
        tokens = plan.bytes / plan.token_bytes if plan.token_bytes else raw / BYTES_PER_TOKEN
        longest = min(raw, good * task.input.max_tokens * BYTES_PER_TOKEN)
        return cls(
            records=plan.distinct,
            text_tokens=int(tokens * plan.distinct / max(1, plan.rows)),
            prompt_tokens=prompt_tokens(task),
            answer_tokens=answer_tokens(task),
            most_records=good,
            most_text_bytes=LONGEST_ESCAPE * longest + good * name_bytes(task),
            routed=_routed(task, plan, good, raw) if plan.routed else (),
            router=router_tokens(task),
            repeated=repeated(task, good),
            judge=judge_tokens(task),
        )

    @property
    def of_router(self) -> Load:
        """The same as the router's requests."""
        question, answer = self.router or (self.prompt_tokens, self.answer_tokens)
        return replace(self, prompt_tokens=question, answer_tokens=answer, router=None)

    @property
    def of_judge(self) -> Load:
        """The same as the judge's requests."""
        question, answer, shown, _ = self.judge or JudgeTokens(self.prompt_tokens, self.answer_tokens, 0, ())
        texts = self.text_tokens + self.records * shown
        return replace(self, text_tokens=texts, prompt_tokens=question, answer_tokens=answer, router=None, judge=None)

    def shown(self, counts: Sequence[int]) -> list[int]:
        """Of records by tier those whose answers a judge is shown, if all of them pass the other gates."""
        return [] if self.judge is None else [counts[tier] for tier in self.judge.tiers]

    def at(self, tier: int) -> Load:
        """The same with no more than what may be sent to a tier, and with what is sent to it twice."""
        if not self.routed:
            records, text_bytes = self.repeated if tier else (0, 0)
            return replace(
                self,
                most_records=self.most_records + records,
                most_text_bytes=self.most_text_bytes + min(text_bytes, self.most_text_bytes),
            )
        here = [part for part in self.routed if part.course.tier <= tier <= part.course.last]
        most_records, most_bytes = sum(part.most_records for part in here), sum(part.most_text_bytes for part in here)
        return replace(
            self,
            most_records=min(self.most_records, most_records),
            most_text_bytes=min(self.most_text_bytes, most_bytes),
        )

    def sent(self, shares: Sequence[float], drawn: int = 0, of: float = 1.0) -> list[int]:
        """Records that each tier gets, as `sent` has it, of this part of all."""
        records = round(self.records * of)
        if not self.routed:
            *before, last = sent(records, shares, drawn)
            return [*before, last + self.repeated[0]]
        found = [0] * (len(shares) + 1)
        for part in self.routed:
            tier, last = part.course
            for number, count in enumerate(sent(round(part.records * of), shares[tier:last]), tier):
                found[number] += count
        return found

    def expected_tokens(self, records: int, factor: float = 1.0, pack: int = 1) -> tuple[int, int]:
        """Input and output tokens of so many of the records, whichever they are, as a model of that factor counts.

        `pack`: so many of them share a request and its instructions; what that adds to each is `ROW_TOKENS`.
        """
        texts = self.text_tokens * records / self.records if self.records else 0
        frame = 0 if pack == 1 else records * ROW_TOKENS
        prompt = self.prompt_tokens + (PACKED_TOKENS if pack > 1 else 0)
        read = requests_of(records, pack) * prompt + texts + frame
        return round(read * factor), round((records * self.answer_tokens + frame / 2) * factor)


def _routed(task: Task, plan: RunPlan, good: int, raw: int) -> tuple[Routed, ...]:
    """The good rows by their course, those that no route takes among them.

    What rows of one text come to together is bounded by their sum: a record is sent to a tier only if the route of one
    of its rows goes there.
    """
    rest = good - sum(rows for rows, _ in plan.routed.values()), raw - sum(size for _, size in plan.routed.values())
    parts = [(task.courses[route], *counts) for route, counts in plan.routed.items()]
    return tuple(
        Routed(
            course,
            round(plan.distinct * rows / max(1, good)),
            rows,
            LONGEST_ESCAPE * min(size, rows * task.input.max_tokens * BYTES_PER_TOKEN) + rows * name_bytes(task),
        )
        for course, rows, size in [*parts, (task.whole_course, *rest)]
        if rows
    )


def router_tokens(task: Task) -> tuple[int, int] | None:
    """Tokens of the router's question with its instructions, and of its answer; None without one."""
    return None if task.router is None else (prompt_tokens(task.routing), answer_tokens(task.routing))


def judge_tokens(task: Task) -> JudgeTokens | None:
    """Tokens of the judge's question with its instructions, and of the others; None without one."""
    if task.gates.judge is None:
        return None
    shown = Showing(task.labels).usual_bytes // BYTES_PER_TOKEN
    return JudgeTokens(prompt_tokens(task.judging), answer_tokens(task.judging), shown, task.judged_tiers)


def repeated(task: Task, records: int) -> tuple[int, int]:
    """Of so many records those that the oracle is asked about once more, and the most bytes of their texts."""
    asked = 0 if task.quality is None else min(task.quality.repeats, task.quality.sample, records)
    return asked, asked * (LONGEST_ESCAPE * task.input.max_tokens * BYTES_PER_TOKEN + name_bytes(task))


def name_bytes(task: Task) -> int:
    """Bytes that the names of several text fields add to a request, at most."""
    paths = task.input.text
    return sum(len(path.encode()) + NAME_FRAME for path in paths) if len(paths) > 1 else 0


def ceiling_usd(task: Task, tier: FrozenTier, load: Load, min_records: int) -> float | None:
    """What a tier costs at most, whatever the models answer and whatever fails; None when a price is unknown.

    In packs a record is sent `packed_sendings` times before it goes alone, and each time it may be the only one of its
    pack, where all others are done with or too long: so nothing but what each sending can hold bounds its requests.
    """
    alone = RequestWriter(task, tier).constant_bytes
    constants, texts = tier.attempts * load.most_records * alone, tier.attempts * load.most_text_bytes
    sendings = packed_sendings(tier.pack)
    if sendings:
        constant = max(alone, PackWriter(task, tier, b"").constant_bytes)
        constants += sendings * load.most_records * (constant + FRAME_BYTES)
        texts += sendings * load.most_text_bytes
    tokens_in = constants + texts
    tokens_out = (tier.attempts + sendings) * load.most_records * tier.max_tokens
    # Too few records for a batch job go on demand, in whatever round they are left over.
    transports = [Transport.ON_DEMAND, *[Transport.BATCH] * tier.batch]
    costs = [cost(tier.price, transport, tokens_in, tokens_out) for transport in transports]
    if Way.CACHED in ways_of(tier, load):  # what is written to a cache can cost more than what is only read
        costs.append(cost(tier.price, Transport.ON_DEMAND, tokens_in, tokens_out, cache_write=constants))
    fillers = filler_usd(tier, min_records) if load.most_records else 0.0
    known = [usd for usd in costs if usd is not None]
    if fillers is None or len(known) < len(costs):
        return None
    return max(known) + MOST_FILLED * fillers


def filler_usd(tier: FrozenTier, min_records: int) -> float | None:
    """What filling up one job of a tier costs at most; None when its price is unknown."""
    tokens_in, tokens_out = (min_records * tokens for tokens in FILLER_TOKENS)
    return cost(tier.price, Transport.BATCH, tokens_in, tokens_out) if tier.batch else 0.0


def requests_of(records: int, pack: int) -> int:
    """How many requests so many records are, in full packs and one with the rest."""
    return -(-records // pack)


def expected_usd(tier: FrozenTier, load: Load, way: str, records: int) -> float | None:
    """What sending so many of the records to a tier is expected to cost; None when the price is unknown."""
    tokens_in, tokens_out = load.expected_tokens(records, tier.token_factor, tier.pack)
    if way != Way.CACHED:
        return cost(tier.price, way, tokens_in, tokens_out)
    return cost(tier.price, Transport.ON_DEMAND, tokens_in, tokens_out, *expected_cached(tier, load, records))


def expected_cached(tier: FrozenTier, load: Load, records: int) -> tuple[int, int]:
    """How many of the tokens come out of a cache and go into it where the instructions are to be cached.

    The first request of a job goes alone and writes them; of all together `MISSED` do.
    """
    requests, prefix = requests_of(records, tier.pack), load.prompt_tokens * tier.token_factor
    written = max(min(requests, 1), MISSED * requests)
    return round((requests - written) * prefix), round(written * prefix)


def ways_of(tier: FrozenTier, load: Load) -> list[Way]:
    """In which ways a tier's records can be sent, however many they are, in the order in which people would ask."""
    if tier.transport is Transport.FLEX:
        return [Way.FLEX]
    found = [Way.BATCH] if tier.batch else []
    found.append(Way.ON_DEMAND)
    if tier.cache_from_tokens is not None and load.prompt_tokens * tier.token_factor >= tier.cache_from_tokens:
        found.append(Way.CACHED)
    return [*found, Way.FLEX] if tier.flex else found


def expected_way(tier: FrozenTier, load: Load, records: int, min_records: int) -> Way:
    """How so many records of a tier are sent when they are sent together: Bedrock's minimum counts requests.

    The cheapest way that is possible. What can go in batch leaves it only where the account is known to be able to
    call for all of it in no more time.
    """
    ways = ways_of(tier, load)
    others = [way for way in ways if way is not Way.BATCH]
    usd = {way: expected_usd(tier, load, way, records) for way in ways}
    known = [way for way in others if usd[way] is not None]
    best = min(known, key=lambda way: usd[way] or 0.0) if known else others[0]
    enough = tier.transport is Transport.BATCH or requests_of(records, tier.pack) >= min_records
    if not tier.batch or not enough:
        return best
    in_batch, otherwise = usd[Way.BATCH], usd[best]
    cheaper = in_batch is not None and otherwise is not None and otherwise < in_batch
    leaves = tier.transport is Transport.AUTO and cheaper and fits_quota(tier, load, best, records)
    return best if leaves else Way.BATCH


def fits_quota(tier: FrozenTier, load: Load, way: Way, records: int) -> bool:
    """Whether the account can call for so many records in the time that batch may take for them, as far as is known."""
    minutes = on_demand_minutes(tier, load, way, records)
    return minutes is not None and tier.pace is not None and minutes <= batch_minutes(tier, records)


def on_demand_minutes(tier: FrozenTier, load: Load, way: Way, records: int) -> float | None:
    """How long calls for so many records take under the account's quotas; None where they are unknown."""
    if tier.pace is None:
        return None
    tokens_in, tokens_out = counted_tokens(tier, load, way, records)
    return tier.pace.on_demand_minutes(tokens_in, tokens_out, requests_of(records, tier.pack))


def cached_from(tier: FrozenTier, load: Load) -> int | None:
    """From how many tokens of instructions on calls with a cached prefix cost less than batch; None: never.

    Of a request with t tokens of texts, o of answers and x of instructions, batch costs q (t + x) + b o, and calls cost
    p t + c x + d o, where c is what a token of the prefix costs with what `MISSED` adds: the x at which both are equal.
    """
    price = tier.price
    if price is None or price.cache_read is None or price.cache_write is None or not load.records:
        return None
    p, q, d, b = price.on_demand_input, price.batch_input, price.on_demand_output, price.batch_output
    if p is None or q is None or d is None or b is None:
        return None
    gain = q - ((1 - MISSED) * price.cache_read + MISSED * price.cache_write)
    requests = requests_of(load.records, tier.pack)
    tokens_in, tokens_out = load.expected_tokens(load.records, tier.token_factor, tier.pack)
    texts = tokens_in / requests - load.prompt_tokens * tier.token_factor
    return math.ceil(((p - q) * texts + (d - b) * tokens_out / requests) / gain) if gain > 0 else None


def counted_tokens(tier: FrozenTier, load: Load, way: Way, records: int) -> tuple[int, int]:
    """Tokens in and out that count against quotas: what is read from a cache does not."""
    tokens_in, tokens_out = load.expected_tokens(records, tier.token_factor, tier.pack)
    cached = expected_cached(tier, load, records)[0] if way is Way.CACHED else 0
    return max(0, tokens_in - cached), tokens_out


def batch_minutes(tier: FrozenTier, records: int) -> float:
    """How long batch may take for so many records."""
    return tier.pace.batch_minutes_of(requests_of(records, tier.pack)) if tier.pace is not None else 0.0


def sent(records: int, shares: Sequence[float], drawn: int = 0) -> list[int]:
    """Records that each tier gets, when these shares of what each tier but the last gets go on to the next.

    The last tier is asked about what is drawn, too, whatever becomes of it below.
    """
    found = [records]
    for share in shares:
        found.append(math.ceil(found[-1] * share))
    if shares and drawn:
        drawn = min(drawn, records)
        found[-1] = drawn + math.ceil((records - drawn) * math.prod(shares))
    return found


def cheapest(tier: FrozenTier, load: Load, records: int, min_records: int) -> Way | None:
    """The way that costs least for so many records of a tier, whatever the quotas; None when no price is known.

    Fewer requests than a batch job may have can only be sent on demand.
    """
    enough = tier.transport is Transport.BATCH or requests_of(records, tier.pack) >= min_records
    priced = {
        way: usd
        for way in ways_of(tier, load)
        if (enough or way is not Way.BATCH) and (usd := expected_usd(tier, load, way, records)) is not None
    }
    return min(priced, key=lambda way: priced[way]) if priced else None
