"""The books: rows and records in, what became of them, what they cost. What does not balance is not published."""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from sluice.errors import Unbalanced
from sluice.models.prices import cost
from sluice.reasons import REJECTIONS, Reason
from sluice.task.judge import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sluice.runs.books import Counts, PartBooks
    from sluice.runs.drawn import Certificate, JudgedRows
    from sluice.runs.state import FrozenTier, RunPlan
    from sluice.task.task import Task

BUDGET_MARGIN = 1.25  # over the expected cost of a round: token counts are estimates
BATCH, ON_DEMAND, LEARNED = "batch", "on_demand", "learned"  # how records reach who answers them
RETRY = "retry"  # the purpose of a job that asks a tier again
DRAW = "draw"  # the purpose of a job that asks the oracle about drawn records
ROUTED = "routed"  # the purpose of a job of the first tier about what the router has called simple
REPEAT = "repeat"  # the purpose of a job that asks the oracle once more, to hold it against itself
JUDGE = "judge"  # the purpose of a job that shows a tier's answers to the judge
CLASSIFY = "classify"  # the purpose of a job whose records are sent for the first time


def check_job(counts: Counts, *, sends: bool = True) -> None:
    """Hold one job's books: what was sent came back somehow, and every record went somewhere.

    `sends`: what goes on is sent again, as in every run but one over stored answers.

    Raises:
        Unbalanced: with the figures.

    """
    came = counts.answered + counts.errored + counts.missing
    again = counts.retried + counts.escalated + counts.refused + counts.judged + counts.held_back
    went = counts.accepted + counts.scored + counts.unresolved + again
    left = sum(pending.records for pending in counts.pending)
    wrong = []
    if counts.sent != came:
        wrong.append(f"{counts.sent} records sent, {came} answered, errored or missing")
    if counts.records != (had := counts.sent + counts.reused + counts.held_back):
        wrong.append(f"{counts.records} records, {had} sent, reused or held back")
    if counts.records != went:
        wrong.append(f"{counts.records} records, {went} accounted for")
    if left != (to_send := again if sends else 0):
        wrong.append(f"{left} records pending, {to_send} to be sent again")
    if wrong:
        raise Unbalanced(f"round {counts.round}, job {counts.job}: {'; '.join(wrong)}")


def check_run(
    plan: RunPlan, parts: Sequence[PartBooks], jobs: Sequence[Counts], *, whole: bool = True, sends: bool = True
) -> None:
    """Hold the run's books: every row of the inputs stands in the parts once, and every job balances.

    `whole`: every job has books, as in each run that was not cancelled; then the tokens have to agree too. `sends`: as
    in `check_job`.

    Raises:
        Unbalanced: with all that is wrong.

    """
    rows = sum(part.rows for part in parts)
    settled = sum(part.accepted + part.unresolved + part.rejected for part in parts)
    reasons = merged(part.reasons for part in parts)
    rejected = {code.value: reasons[code] for code in REJECTIONS if code in reasons}
    wrong = []
    if rows != plan.rows:
        wrong.append(f"{plan.rows} rows were read and {rows} merged")
    if settled != rows:
        wrong.append(f"{rows} rows were merged and {settled} have a status")
    if rejected != plan.rejected or sum(rejected.values()) != sum(part.rejected for part in parts):
        count = sum(part.rejected for part in parts)
        wrong.append(f"{_listed(plan.rejected)} rows were rejected and {count} stand as rejected: {_listed(rejected)}")
    if plan.settled != (shown := sum(part.settled for part in parts)):
        wrong.append(f"people had settled {plan.settled} rows, and {shown} stand as settled by them")
    wrong += _shards(plan, parts) + [problem for counts in jobs if (problem := _job_problem(counts, sends))]
    for name in ("input_tokens", "output_tokens"):
        bought, shown = (sum(getattr(item, name) for item in books) for books in (jobs, parts))
        if whole and bought != shown:
            wrong.append(f"the jobs took {bought} {name} and the rows show {shown}")
    if wrong:
        raise Unbalanced("the books do not balance, nothing is published: " + "; ".join(wrong))


def _shards(plan: RunPlan, parts: Sequence[PartBooks]) -> list[str]:
    """The shards whose rows are not those that the plan counted."""
    of: Counter[int] = Counter()
    for part in parts:
        of[part.shard] += part.rows
    return [
        f"shard {shard} holds {rows} rows and {of[shard]} were merged"
        for shard, rows in enumerate(plan.shard_rows)
        if rows != of[shard]
    ]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "0"


def _job_problem(counts: Counts, sends: bool) -> str | None:
    try:
        check_job(counts, sends=sends)
    except Unbalanced as error:
        return str(error)
    return None


class Settled(NamedTuple):
    """What became of answers that waited in a run that draws rows and promises nothing, in records by tier.

    `standing`: they stand. `onward`: they do not, by the reason. `open`: the run ended before that was known.
    """

    standing: Mapping[int, int]
    onward: Mapping[int, Mapping[str, int]]
    open: Mapping[int, int] = MappingProxyType({})


def tier_books(
    tiers: Sequence[FrozenTier],
    jobs: Iterable[Counts],
    certificate: Certificate | None = None,
    settled: Settled | None = None,
    refused: Mapping[int, int] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """`tiers` of run.json: what each tier was sent and what came of it.

    Answers that waited for a certificate stand by it or went on, drawn ones among the latter; without one none stands.
    `settled` says the same where nothing is promised. `refused`: of drawn records those that a tier had refused, and
    that the last one was asked about anyway. What a judge was shown is no figure of its tier; what became of it is.
    """
    books: list[dict[str, Any]] = []
    counts = list(jobs)
    for number, tier in enumerate(tiers):
        shown = [item for item in counts if item.tier == number and item.judge]
        mine = [item for item in counts if item.tier == number and not item.judge]
        figures = ("sent", "reused", "answered", "errored", "missing", "accepted", "retried", "escalated", "unresolved")
        went = _with_refused(number, mine, counts, refused.get(number, 0))
        transports = {item.transport for item in mine if item.sent}
        costs = [item.cost_usd for item in mine]
        books.append(
            {
                "tier": number,
                "model": tier.called,
                "transport": transports.pop() if len(transports) == 1 else "mixed" if transports else "none",
                **{name: sum(getattr(item, name) for item in mine) for name in figures},
                **_with_judged(_with_scored(went, mine, shown, certificate, settled), mine, shown),
                "bypassed": _bypassed(number, counts),
                "input_tokens": sum(item.input_tokens for item in mine),
                "output_tokens": sum(item.output_tokens for item in mine),
                "cache_read_tokens": sum(item.cache_read_tokens for item in mine),
                "cache_write_tokens": sum(item.cache_write_tokens for item in mine),
                "cost_usd": total(costs),
            }
        )
    return books


def _bypassed(tier: int, jobs: Iterable[Counts]) -> int:
    """Records that went past a tier without being sent to it."""
    return sum(records for item in jobs if item.tier <= tier for goal, records in item.moved.items() if goal > tier)


def routes(task: Task, plan: RunPlan) -> list[dict[str, int]]:
    """`routes` of run.json: of each route where its rows start, the last tier that they may be sent to, their number.

    Of rows of one text the strongest counts, so that a record may start later, and go further, than a row's own route.
    """
    return [
        {"route": number, **course._asdict(), "rows": plan.routed.get(number, (0, 0))[0]}
        for number, course in enumerate(task.courses)
    ]


def fillers(jobs: Iterable[Counts]) -> dict[str, Any]:
    """`fillers` of run.json: requests without a record, and what they took; their cost is in that of the run."""
    mine = [item for item in jobs if item.fillers]
    return {
        "requests": sum(item.fillers for item in mine),
        "input_tokens": sum(item.filler_tokens[0] for item in mine),
        "output_tokens": sum(item.filler_tokens[1] for item in mine),
        "cost_usd": total(item.filler_usd for item in mine),
    }


def repeats(jobs: Iterable[Counts]) -> dict[str, Any]:
    """`repeats` of run.json: records that the oracle was asked about once more; their cost is in that of the run."""
    mine = [item for item in jobs if item.repeats]
    return {
        "records": sum(item.repeats for item in mine),
        "input_tokens": sum(item.repeat_tokens[0] for item in mine),
        "output_tokens": sum(item.repeat_tokens[1] for item in mine),
        "cost_usd": total(item.repeat_usd for item in mine),
    }


def reused(jobs: Iterable[Counts]) -> dict[str, Any]:
    """`reused` of run.json: replies from earlier runs, what they took then, and what they would cost today."""
    mine = [item for item in jobs if item.reused]
    return {
        "records": sum(item.reused for item in mine),
        "input_tokens": sum(item.reused_tokens[0] for item in mine),
        "output_tokens": sum(item.reused_tokens[1] for item in mine),
        "saved_usd": total(item.saved_usd for item in mine),
    }


def _with_refused(tier: int, mine: Sequence[Counts], jobs: Iterable[Counts], drawn: int) -> dict[str, int]:
    """Where a tier's refused records went: asked again, passed on, as `drawn` ones were, and the others unresolved."""
    again = sum(item.records for item in mine if item.again and item.purpose == RETRY)
    passed = sum(item.records for item in jobs if item.again and item.purpose != RETRY and item.tier == tier + 1)
    passed, refused = passed + drawn, sum(item.refused for item in mine)
    return {
        "retried": sum(item.retried for item in mine) + again,
        "escalated": sum(item.escalated for item in mine) + passed,
        "unresolved": sum(item.unresolved for item in mine) + refused - again - passed,
    }


def _with_judged(books: dict[str, int], mine: Sequence[Counts], shown: Sequence[Counts]) -> dict[str, int]:
    """The same with what became of the answers that the judge was shown, in jobs of its own."""
    waited = sum(item.judged for item in mine)
    if not waited:
        return books
    accepted, escalated = sum(item.accepted for item in shown), sum(item.escalated for item in shown)
    scored = sum(item.scored for item in shown)
    return {
        **books,
        "accepted": books.get("accepted", sum(item.accepted for item in mine)) + accepted,
        "escalated": books["escalated"] + escalated,
        # Those that the judge did not get to, or not to the end, are open, too.
        "unresolved": books["unresolved"] + waited - accepted - escalated - scored,
    }


def judge(
    who: FrozenTier | None, jobs: Iterable[Counts], *, in_score: bool = False, beside: JudgedRows | None = None
) -> dict[str, Any] | None:
    """`judge` of run.json: the answers that it was shown, what it said of them, and what it took; None without one.

    `answers` were to be shown: of them it called `right`, `wrong` and `unclear`; about the others it said nothing.
    `in_score`: the score of the first tier's answers weighs its words; `beside`: what it is worth beside the score.
    """
    if who is None:
        return None
    counts = list(jobs)
    mine = [item for item in counts if item.judge]
    said = merged(item.said for item in mine)
    transports = {item.transport for item in mine if item.sent}
    return {
        "model": who.called,
        "pack": who.pack,
        "transport": transports.pop() if len(transports) == 1 else "mixed" if transports else "none",
        "answers": sum(item.judged for item in counts),
        "sent": sum(item.sent for item in mine),
        **{word: said.get(word, 0) for word in WORDS},
        "input_tokens": sum(item.input_tokens for item in mine),
        "output_tokens": sum(item.output_tokens for item in mine),
        "cost_usd": total(item.cost_usd for item in mine),
        "in_score": in_score,
        "beside_score": None if beside is None else msgspec.structs.asdict(beside),
    }


def _with_scored(
    books: dict[str, int],
    mine: Sequence[Counts],
    shown: Sequence[Counts],
    certificate: Certificate | None,
    settled: Settled | None,
) -> dict[str, int]:
    """The same with what became of answers that waited: behind their own jobs, or those in which a judge was shown."""
    scored, accepted = sum(item.scored for item in [*mine, *shown]), sum(item.accepted for item in mine)
    if not scored:
        return books
    if settled is not None:
        stands, unsettled = (of.get(mine[0].tier, 0) for of in (settled.standing, settled.open))
        books = {**books, "unresolved": books["unresolved"] + unsettled}
        scored -= unsettled
    elif certificate is None:
        return {**books, "unresolved": books["unresolved"] + scored}
    else:
        stands = certificate.accepted_records
    return {**books, "accepted": accepted + stands, "escalated": books["escalated"] + scored - stands}


def escalations(
    jobs: Iterable[Counts],
    certificate: Certificate | None = None,
    settled: Settled | None = None,
    refused: Mapping[int, int] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """`escalations` of run.json: for each tier why records went on to the next one, the most frequent reason first."""
    tiers: dict[int, Counter[str]] = {}
    if certificate is not None:
        low = certificate.scored_records - certificate.accepted_records
        tiers[0] = +Counter({Reason.LOW_SCORE.value: low, Reason.DRAWN.value: certificate.drawn_records})
    for tier, reasons in ({} if settled is None else settled.onward).items():
        tiers[tier] = Counter(reasons)
    for tier, records in refused.items():
        tiers.setdefault(tier, Counter())[Reason.RECORD_REFUSED.value] += records
    for item in jobs:
        tiers.setdefault(item.tier, Counter()).update(item.escalated_for)
        if item.again and item.purpose != RETRY and item.records:
            tiers.setdefault(item.tier - 1, Counter())[Reason.RECORD_REFUSED.value] += item.records
    return [
        {"tier": tier, "reason": reason, "records": count}
        for tier in sorted(tiers)
        for reason, count in tiers[tier].most_common()
    ]


def distinct(jobs: Iterable[Counts]) -> int:
    """How many different records there were: each was classified first, in whatever round, and only once.

    Or it went from there to the tier at which it starts, before it was sent.
    """
    return sum(item.sent + item.reused + sum(item.moved.values()) for item in jobs if item.purpose == CLASSIFY)


def total(costs: Iterable[float | None]) -> float | None:
    """A sum of dollars, unknown as soon as one of them is."""
    listed = list(costs)
    return None if None in listed else sum((item for item in listed if item is not None), 0.0)


def baseline_usd(tiers: Sequence[FrozenTier], jobs: Sequence[Counts]) -> float | None:
    """What the last tier on every record would have cost, from the tokens that answers really took.

    Input tokens of a record are those of all answers on average, reused ones among them, output tokens those of the
    last tier's answers, or, where it gave none, of all answers. What the run has taught itself takes none, and says
    nothing of them. None when its price is unknown, or when nothing was answered.
    """
    last = tiers[-1]
    transport = BATCH if last.batch else ON_DEMAND
    records = distinct(jobs)
    answers = [item for item in jobs if item.answered + item.reused and item.transport != LEARNED and not item.judge]
    if not answers:
        return None if records else cost(last.price, transport, 0, 0)
    own = [item for item in answers if item.tier == len(tiers) - 1] or answers
    tokens_in = records * sum(item.input_tokens + item.reused_tokens[0] for item in answers) / _answers(answers)
    tokens_out = records * sum(item.output_tokens + item.reused_tokens[1] for item in own) / _answers(own)
    return cost(last.price, transport, round(tokens_in), round(tokens_out))


def _answers(jobs: Iterable[Counts]) -> int:
    return sum(item.answered + item.reused for item in jobs)


def merged(counters: Iterable[dict[str, int]]) -> dict[str, int]:
    """Counters added up, the most frequent first."""
    sums: Counter[str] = Counter()
    for counter in counters:
        sums.update(counter)
    return dict(sums.most_common())
