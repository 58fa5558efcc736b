from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sluice.errors import Unbalanced
from sluice.models.prices import Price
from sluice.runs import accounting
from sluice.runs.books import Counts, PartBooks
from sluice.runs.state import FrozenTier, Pending, RunPlan

CHEAP, STRONG = Price(1.0, 2.0, 2.0, 4.0), Price(10.0, 20.0, 20.0, 40.0)


def tier(price: Price | None, *, batch: bool = True) -> FrozenTier:
    return FrozenTier(
        model="m",
        model_id="vendor.m",
        batch=batch,
        price=price,
    )


def job(**changes: Any) -> Counts:
    """A job of ten records, all accepted."""
    counts = Counts(
        round=0,
        job=0,
        tier=0,
        attempt=1,
        purpose="classify",
        transport="batch",
        status="Completed",
        message=None,
        submitted=None,
        ended=None,
        records=10,
        sent=10,
        held_back=0,
        answered=10,
        errored=0,
        missing=0,
        accepted=10,
        retried=0,
        escalated=0,
        unresolved=0,
        duplicates=0,
        unknown=0,
        unreadable=0,
        reasons={},
        input_tokens=1000,
        output_tokens=100,
        cost_usd=0.5,
        pending=[],
    )
    return msgspec.structs.replace(counts, **changes)


def pending(records: int) -> Pending:
    return Pending(key="k", tier=1, attempt=1, records=records, bytes=1, marks=[0])


def plan(**changes: Any) -> RunPlan:
    """Twelve rows, two of them rejected, in two shards."""
    found = RunPlan(
        depth=3,
        rows=12,
        bytes=1,
        rejected={"text_missing": 2},
        input_rows={"0": 12},
        distinct=10,
        bounds=[0, 1, 2],
        shard_rows=[7, 5],
        segments=[],
    )
    return msgspec.structs.replace(found, **changes)


def part(**changes: Any) -> PartBooks:
    """The rows of the first shard."""
    books = PartBooks(
        part=0,
        shard=0,
        rows=7,
        accepted=5,
        unresolved=0,
        rejected=2,
        shared=0,
        reasons={"text_missing": 2},
        labels={},
        ids_missing=0,
        input_tokens=600,
        output_tokens=60,
        cost_usd=0.3,
        kept_invalid={},
        bytes=1,
    )
    return msgspec.structs.replace(books, **changes)


OTHER = part(part=1, shard=1, rows=5, accepted=5, rejected=0, reasons={}, input_tokens=400, output_tokens=40)


def test_balanced_books_pass() -> None:
    """What adds up is not refused."""
    accounting.check_run(plan(), [part(), OTHER], [job()])


@pytest.mark.parametrize(
    ("changes", "figures"),
    [
        ({"answered": 9}, "10 records sent, 9 answered, errored or missing"),
        ({"missing": 1}, "10 records sent, 11 answered, errored or missing"),
        ({"accepted": 9}, "10 records, 9 accounted for"),
        ({"records": 11}, "11 records, 10 sent, reused or held back; 11 records, 10 accounted for"),
        ({"reused": 1}, "10 records, 11 sent, reused or held back"),
        ({"accepted": 7, "escalated": 3, "pending": [pending(2)]}, "2 records pending, 3 to be sent again"),
        ({"pending": [pending(1)]}, "1 records pending, 0 to be sent again"),
    ],
)
def test_a_jobs_books_are_refused_with_the_figures(changes: dict[str, Any], figures: str) -> None:
    """A record that is lost or doubled in a job is named, with the job."""
    with pytest.raises(Unbalanced, match=f"round 0, job 0: {figures}"):
        accounting.check_job(job(**changes))


def test_what_is_held_back_is_accounted_for() -> None:
    """Records that did not fit the job are pending, not lost."""
    accounting.check_job(job(records=12, held_back=2, pending=[pending(2)]))


@pytest.mark.parametrize(
    ("parts", "figures"),
    [
        ([part()], "12 rows were read and 7 merged"),
        ([part(), OTHER, OTHER], "12 rows were read and 17 merged"),
        ([part(accepted=4), OTHER], "12 rows were merged and 11 have a status"),
        ([part(accepted=6, rejected=1), OTHER], "2 text_missing rows were rejected and 1 stand as rejected"),
        ([part(reasons={"text_empty": 2}), OTHER], "2 text_missing rows were rejected and 2 stand .* 2 text_empty"),
        ([part(accepted=7, rejected=0, reasons={}), OTHER], "rejected and 0 stand as rejected: 0$"),
        (
            [part(shard=1), msgspec.structs.replace(OTHER, shard=0)],
            "shard 0 holds 7 rows and 5 were merged; shard 1 holds 5 rows and 7 were merged",
        ),
        ([part(input_tokens=601), OTHER], "the jobs took 1000 input_tokens and the rows show 1001"),
        ([part(output_tokens=0), OTHER], "the jobs took 100 output_tokens and the rows show 40"),
    ],
)
def test_a_runs_books_are_refused_with_the_figures(parts: list[PartBooks], figures: str) -> None:
    """A row or a token that is lost or doubled anywhere stops the publication."""
    with pytest.raises(Unbalanced, match=figures):
        accounting.check_run(plan(), parts, [job()])


def test_an_unbalanced_job_makes_the_run_unbalanced() -> None:
    """The jobs' books are held once more before anything is published."""
    with pytest.raises(Unbalanced, match="round 3, job 7: 10 records sent"):
        accounting.check_run(plan(), [part(), OTHER], [job(), job(round=3, job=7, answered=1)])


def test_a_cancelled_run_need_not_agree_on_tokens() -> None:
    """Jobs that were cut off have no books, though some of their answers may be kept."""
    accounting.check_run(plan(), [part(input_tokens=900), OTHER], [job()], whole=False)


def test_a_record_is_counted_when_it_is_sent_first() -> None:
    """Held back or kept out by the budget, a record counts in the round that sends it; sent again, it does not."""
    jobs = [
        job(records=12, held_back=2, pending=[pending(2)]),
        job(round=1, records=2, sent=2, answered=2, accepted=2),
        job(round=2, purpose="retry", records=4, sent=4, answered=4, accepted=4),
    ]
    assert accounting.distinct(jobs) == 12


def test_a_sum_with_an_unknown_is_unknown() -> None:
    """An unknown price is never counted as 0."""
    assert [accounting.total(costs) for costs in ([], [0.5, 1], [0.5, None])] == [0.0, 1.5, None]


def test_the_baseline_is_the_last_tier_on_every_record() -> None:
    """Input tokens are those of all answers on average, output tokens those of the last tier's answers."""
    jobs = [
        job(records=12, held_back=2, pending=[pending(2)]),
        job(round=1, records=2, sent=2, answered=2, accepted=2, input_tokens=200, output_tokens=20),
        job(
            round=1,
            job=1,
            tier=1,
            purpose="escalate",
            records=3,
            sent=3,
            answered=3,
            accepted=3,
            input_tokens=300,
            output_tokens=90,
        ),
    ]
    assert accounting.baseline_usd([tier(CHEAP), tier(STRONG)], jobs) == (12 * 100 * 10 + 12 * 30 * 20) / 1e6


def test_the_baseline_of_a_tier_that_was_not_asked_takes_the_others_tokens() -> None:
    """Where the last tier gave no answer, the first tier's tell its length."""
    assert accounting.baseline_usd([tier(CHEAP), tier(STRONG)], [job()]) == (1000 * 10 + 100 * 20) / 1e6


def test_the_baseline_counts_what_known_answers_took() -> None:
    """A record whose answer was found would have been asked like any other: what it took then is what it takes."""
    bought = job(records=4, sent=4, answered=4, accepted=4, input_tokens=400, output_tokens=40)
    jobs = [bought, job(job=1, records=6, sent=0, reused=6, answered=0, input_tokens=0, output_tokens=0)]
    jobs[1] = msgspec.structs.replace(jobs[1], reused_tokens=(1200, 240))
    assert accounting.baseline_usd([tier(CHEAP), tier(STRONG)], jobs) == pytest.approx((1600 * 10 + 280 * 20) / 1e6)


def test_the_baseline_does_not_ask_what_took_no_tokens() -> None:
    """A learned tier answers each record for nothing: what the last tier takes is told by the others' answers."""
    learned = job(transport=accounting.LEARNED, input_tokens=0, output_tokens=0)
    asked = job(round=1, tier=1, purpose="escalate", records=1, sent=1, answered=1, accepted=1, input_tokens=100)
    records, written = learned.records, asked.output_tokens
    usd = (records * 100 * 10 + records * written * 20) / 1e6
    assert accounting.baseline_usd([tier(CHEAP), tier(STRONG)], [learned, asked]) == usd


def test_the_baseline_is_priced_as_the_last_tier_is_called() -> None:
    """A model that is not listed for batch costs its price on demand."""
    assert accounting.baseline_usd([tier(STRONG, batch=False)], [job()]) == (1000 * 20 + 100 * 40) / 1e6


@pytest.mark.parametrize(
    ("price", "jobs", "baseline"),
    [
        (None, [job()], None),
        (STRONG, [job(answered=0, missing=10, input_tokens=0, output_tokens=0)], None),
        (STRONG, [], 0.0),
        (None, [], None),
    ],
)
def test_a_baseline_may_be_unknown(price: Price | None, jobs: list[Counts], baseline: float | None) -> None:
    """Without a price, or without any answer to tell the tokens, it is unknown; of nothing it is 0."""
    assert accounting.baseline_usd([tier(price)], jobs) == baseline


def test_tiers_are_summed_over_their_jobs() -> None:
    """Each tier has its jobs' figures, a tier without jobs zeros, and mixed transports are called so."""
    jobs = [job(), job(job=1, transport="on_demand", cost_usd=None), job(tier=1, sent=0, transport="on_demand")]
    first, second, third = accounting.tier_books([tier(CHEAP), tier(STRONG), tier(STRONG)], jobs)
    assert (first["sent"], first["transport"], first["cost_usd"]) == (20, "mixed", None)
    assert (second["sent"], second["transport"]) == (0, "none")
    assert (third["sent"], third["input_tokens"], third["cost_usd"]) == (0, 0, 0.0)


def test_records_that_a_tier_refused_count_where_they_went() -> None:
    """Some were asked again, some went on with those that had escalated at once, and the others are unresolved."""
    jobs = [
        job(answered=1, errored=9, accepted=0, retried=0, escalated=1, refused=9),
        job(round=1, purpose="retry", again=True, records=4, sent=4, answered=4, accepted=4),
        job(round=1, job=1, tier=1, purpose="escalate", again=True, records=3, sent=3, answered=3, accepted=3),
        job(round=1, job=2, tier=1, purpose="escalate", records=1, sent=1, answered=1, accepted=1),
    ]
    first, second = accounting.tier_books([tier(CHEAP), tier(STRONG)], jobs)
    assert (first["retried"], first["escalated"], first["unresolved"]) == (4, 1 + 3, 9 - 4 - 3)
    assert (second["retried"], second["escalated"], second["unresolved"]) == (0, 0, 0)


def test_records_that_were_refused_alike_went_on_from_a_tier_without_other_books() -> None:
    """What a tier refuses of all is no verdict on any record, and in no job's books as one."""
    assert accounting.escalations([], refused={1: 3}) == [{"tier": 1, "reason": "record_refused", "records": 3}]


def test_counters_are_merged_with_the_most_frequent_first() -> None:
    """Labels and reasons of a run come sorted by how often they are."""
    assert list(accounting.merged([{"a": 1, "b": 1}, {"b": 2}]).items()) == [("b", 3), ("a", 1)]
