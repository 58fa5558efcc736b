"""A tier that refuses all that it is sent: the run stops or is published without those records, and no dearer is asked.

Each refusal has a request id of its own, as Bedrock's have. Batch and on demand alike.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sluice.errors import Refused, Stop
from sluice.runs.books import Counts
from sluice.runs.document import read
from sluice.steps import check, plan, resume, submit
from tests.harness.s3 import client_error
from tests.harness.stage import BATCH, HAIKU, LITE, MICRO, MIDDLE, STRONGER, SURE, Stage, finish, stage

UNSURE = SURE.replace("certain", "unsure")
DEPRECATED = 400, "`temperature` is deprecated for this model."
ROWS = 60
TRANSPORTS = pytest.mark.parametrize("transport", ["batch", "on_demand"])


def every_third_sure(model: str, text: str) -> str:
    """The first tier settles a third, and passes 40 of 60 on."""
    return SURE if model != MICRO or int(text.split()[1]) % 3 == 0 else UNSURE


def refusing(model: str, transport: str = "batch", refusal: Any = DEPRECATED, **changes: Any) -> Stage:
    """Three tiers over 60 rows, one of which refuses all that it is sent."""
    tiers = [{**tier, "transport": transport} for tier in (BATCH, MIDDLE, STRONGER)]
    staged = stage(*tiers, rows=ROWS, answer=changes.pop("answer", every_third_sure), **changes)
    refuse(staged, model, refusal)
    return staged


def refuse(staged: Stage, model: str | None, refusal: Any = DEPRECATED) -> None:
    staged.machine.faulty.refuses = lambda asked, _text: refusal if asked == model else None


def asked(staged: Stage) -> set[str]:
    """The models that answered or refused anything."""
    faulty = staged.machine.faulty
    return {model for model, _ in faulty.answered} | set(faulty.refused)


def rounds(staged: Stage, first: int, last: int) -> None:
    for number in range(first, last + 1):
        staged.round(number)


@TRANSPORTS
def test_where_nothing_is_accepted_the_run_stops_and_a_resumed_one_asks_that_tier_again_first(transport: str) -> None:
    """With the words of the refusal; once that is mended, the cheap tier answers."""
    staged = refusing(MICRO, transport, answer=lambda _model, _text: SURE)
    staged.round(0)
    said = r"all 60 records were refused by us\.amazon\.nova-micro-v1:0: .*deprecated.*: set temperature to null"
    with pytest.raises(Stop, match=said):
        plan.run(staged.services, staged.run, 1)
    assert asked(staged) == {MICRO}
    for execution in (1, 2):  # as often as it is resumed unmended
        resume.run(staged.services, staged.run)
        staged.round(execution)
        with pytest.raises(Stop, match="deprecated"):
            plan.run(staged.services, staged.run, execution + 1)
    assert asked(staged) == {MICRO}
    refuse(staged, None)
    resume.run(staged.services, staged.run)
    summary = finish(staged, 3)
    assert (summary["status"], summary["rows"]["accepted"], summary["records"]["distinct"]) == ("succeeded", ROWS, ROWS)
    assert asked(staged) == {MICRO}
    assert [(tier["sent"], tier["retried"], tier["accepted"]) for tier in summary["tiers"][:1]] == [(240, 180, 60)]


@TRANSPORTS
def test_after_an_accepted_round_a_tier_that_refuses_all_is_tried_once_more_and_its_records_stay(
    transport: str,
) -> None:
    """The run is published, over a limit, and says why; the next tier is not asked."""
    staged = refusing(LITE, transport)
    summary = finish(staged)
    assert asked(staged) == {MICRO, LITE}
    assert staged.machine.faulty.refused == {LITE: 80}
    assert (summary["status"], summary["rows"]["accepted"], summary["rows"]["unresolved"]) == ("over_limit", 20, 40)
    (warning,) = [warning for warning in summary["warnings"] if "refused" in warning]
    assert "tier 1 (nova-lite) refused 40 records" in warning
    assert "`temperature` is deprecated for this model." in warning
    assert "--escalate-refused" in warning
    open_ = [row for row in staged.machine.rows() if row["status"] == "unresolved"]
    assert {row["reason"] for row in open_} == {"record_refused"}
    assert {tuple((step["tier"], step["outcome"]) for step in row["trail"]) for row in open_} == {
        ((0, "escalated"), (1, "retried"), (1, "unresolved"))
    }
    lite = summary["tiers"][1]
    assert (lite["sent"], lite["retried"], lite["escalated"], lite["unresolved"]) == (80, 40, 0, 40)


@TRANSPORTS
def test_a_resumed_run_asks_the_tier_again_and_goes_on_only_where_somebody_says_so(transport: str) -> None:
    """Unmended it is over its limit again; with the flag the next tier answers what is refused once more."""
    staged = refusing(LITE, transport)
    assert finish(staged)["status"] == "over_limit"
    resume.run(staged.services, staged.run)
    again = finish(staged, 3)
    assert (again["status"], again["rows"]["unresolved"]) == ("over_limit", 40)
    assert [warning for warning in again["warnings"] if "refused 40 records" in warning]
    assert (staged.machine.faulty.refused, asked(staged)) == ({LITE: 120}, {MICRO, LITE})
    resume.run(staged.services, staged.run, escalate_refused=True)
    summary = finish(staged, 4)
    assert staged.machine.faulty.refused == {LITE: 160}
    assert (summary["status"], summary["rows"]["accepted"]) == ("succeeded", ROWS)
    assert {row["tier"] for row in staged.machine.rows()} == {0, 2}
    lite = summary["tiers"][1]
    assert (lite["sent"], lite["retried"], lite["escalated"], lite["unresolved"]) == (160, 120, 40, 0)
    assert {(item["tier"], item["reason"], item["records"]) for item in summary["escalations"]} == {
        (0, "low_confidence", 40),
        (1, "record_refused", 40),
    }
    assert not [warning for warning in summary["warnings"] if "refused" in warning]


@TRANSPORTS
def test_a_mended_tier_answers_when_the_run_is_resumed(transport: str) -> None:
    """What was left for it, and no tier behind it."""
    staged = refusing(LITE, transport)
    finish(staged)
    refuse(staged, None)
    resume.run(staged.services, staged.run)
    summary = finish(staged, 3)
    assert (summary["status"], summary["rows"]["accepted"]) == ("succeeded", ROWS)
    assert not [warning for warning in summary["warnings"] if "refused" in warning]
    assert asked(staged) == {MICRO, LITE}


FEW_OR_MANY: list[tuple[int, tuple[int, str], bool]] = [
    (21, (400, "any words"), True),
    (20, (400, "any words"), False),
    (21, (403, "denied"), True),
    (21, (422, "unprocessable"), True),
    (21, (429, "slow down"), False),
    (21, (408, "took too long"), False),
    (21, (500, "failed"), False),
    (21, (400, "Input is too long for requested model."), False),
    (21, (400, "The prompt was blocked by the content filter."), False),
]
NAMED_BY_CONVERSE = {408, 422, 429}  # it raises errors of its own for these


@pytest.mark.parametrize(
    ("transport", "records", "refusal", "stops"),
    [
        (transport, *case)
        for transport in ("batch", "on_demand")
        for case in FEW_OR_MANY
        if transport == "batch" or case[1][0] not in NAMED_BY_CONVERSE
    ],
)
def test_only_a_refusal_of_more_than_a_few_for_another_reason_than_their_text_stops(
    transport: str, records: int, refusal: Any, stops: bool
) -> None:
    """Anything else is tried again or goes on to the next tier, as it would for one record."""
    tiers = [{**tier, "attempts": 1, "transport": transport} for tier in (BATCH, STRONGER)]
    staged = stage(*tiers, rows=records)
    refuse(staged, MICRO, refusal)
    staged.round(0)
    if stops:
        with pytest.raises(Stop, match=refusal[1]):
            plan.run(staged.services, staged.run, 1)
    else:
        assert finish(staged, 1)["rows"]["accepted"] == records


def test_one_answer_among_many_refusals_says_that_they_are_single_ones() -> None:
    """Each refused record goes on to the next tier at once."""
    staged = stage(BATCH, STRONGER, rows=30)
    staged.machine.faulty.refuses = lambda model, text: DEPRECATED if model == MICRO and text != "text 7" else None
    summary = finish(staged)
    assert (summary["status"], summary["tiers"][0]["escalated"], len(summary["rounds"])) == ("succeeded", 29, 2)


WORDS = {
    "The model returned the following errors: `temperature` is deprecated for this model.": "set temperature to null",
    "The maximum tokens you requested exceeds the model limit of 64. Try again.": "set max_tokens to 64 or less",
    "Malformed input request: #: extraneous key [thinking] is not permitted, please": "take thinking out of request",
    "additionalModelRequestFields.top_k: Extra inputs are not permitted": "take top_k out of request",
}


@TRANSPORTS
@pytest.mark.parametrize("message", WORDS)
def test_a_stopped_run_says_which_field_of_the_task_to_change(transport: str, message: str) -> None:
    """In the tier that was refused, whatever ids of requests the messages hold."""
    staged = refusing(LITE, transport, (400, message), answer=lambda _model, _text: UNSURE)
    rounds(staged, 0, 1)
    with pytest.raises(Stop) as stopped:
        plan.run(staged.services, staged.run, 2)
    assert f"in the task, at the tier of nova-lite: {WORDS[message]}" in str(stopped.value)
    assert asked(staged) == {MICRO, LITE}


# As Bedrock puts them; a request's id differs from record to record.
ENDED = [
    (403, "AccessDeniedException: You don't have access to the model with the specified model ID."),
    (400, "Model access is denied due to IAM user or service role is not authorized to perform the required actions."),
    (404, "Model use case details have not been submitted for this account. Fill out the use case details form."),
]


@pytest.mark.parametrize("refusal", ENDED)
def test_access_that_ends_in_the_middle_of_a_job_sends_nothing_to_a_dearer_model(refusal: tuple[int, str]) -> None:
    """What was refused is asked once more, then left; once access is there, resume gets it from the same model."""
    staged = stage(BATCH, STRONGER, rows=ROWS)
    answered = {f"text {n}" for n in range(20)}
    staged.machine.faulty.refuses = lambda _model, text: refusal if text not in answered else None
    summary = finish(staged)
    assert (summary["rows"]["accepted"], summary["rows"]["unresolved"]) == (20, 40)
    assert [(tier["sent"], tier["accepted"], tier["escalated"]) for tier in summary["tiers"]] == [
        (100, 20, 0),
        (0, 0, 0),
    ]
    assert asked(staged) == {MICRO}
    assert refusal[1] in " ".join(summary["warnings"])
    refuse(staged, None)
    resume.run(staged.services, staged.run)
    summary = finish(staged, 2)
    assert (summary["status"], summary["rows"]["accepted"]) == ("succeeded", ROWS)
    assert asked(staged) == {MICRO}
    assert max(staged.machine.faulty.bought.values()) == 1


def test_a_single_refusal_of_access_is_no_verdict_on_its_text_either() -> None:
    """The last record of a job may be the first behind the end of access."""
    staged = stage(BATCH, STRONGER, rows=30)
    refusals = iter(ENDED[:1])
    staged.machine.faulty.refuses = lambda _model, text: next(refusals, None) if text == "text 7" else None
    summary = finish(staged)
    assert (summary["status"], summary["rows"]["accepted"]) == ("succeeded", 30)
    assert asked(staged) == {MICRO}


def small(**changes: Any) -> Stage:
    """Thirty records in jobs of five."""
    return stage(BATCH, STRONGER, rows=30, settings={"max_records_per_job": 5, "min_records_per_job": 1}, **changes)


def test_jobs_too_small_to_say_so_alone_are_looked_at_by_round() -> None:
    """None of six jobs is large enough; together their tier refused thirty records."""
    staged = small()
    refuse(staged, MICRO)
    assert all(counts.fatal is None and counts.refused == counts.sent for counts in staged.round(0))
    with pytest.raises(Stop, match=r"all 30 records of \d+ jobs were refused by us\.amazon\.nova-micro-v1:0: .*deprec"):
        plan.run(staged.services, staged.run, 1)
    refuse(staged, None)
    resume.run(staged.services, staged.run)
    assert finish(staged, 1)["tiers"][0]["accepted"] == 30
    assert asked(staged) == {MICRO}


def test_a_small_job_that_was_refused_beside_others_that_were_answered_goes_on() -> None:
    """Its records were refused each for itself, as far as anybody can tell, and stand in the books as passed on."""
    staged = small()
    staged.prepared()
    sent = staged.machine.work.get(staged.keys().input)
    staged.machine.faulty.refuses = lambda model, text: (
        DEPRECATED if model == MICRO and f"\\n{text}\\n".encode() in sent else None
    )
    summary = finish(staged)
    count = sent.count(b"recordId")
    assert (summary["status"], summary["rows"]["accepted"]) == ("succeeded", 30)
    assert staged.machine.faulty.refused == {MICRO: count}
    first = summary["tiers"][0]
    assert (first["retried"], first["escalated"], first["unresolved"]) == (0, count, 0)
    passed = [row["trail"] for row in staged.machine.rows() if row["tier"] == 1]
    assert {tuple(step["outcome"] for step in trail) for trail in passed} == {("escalated", "accepted")}


def test_a_job_that_bedrock_will_not_create_is_one_that_was_refused_whole() -> None:
    """Tried once more after an accepted round, then its records stay, and the run is published."""
    staged = stage(BATCH, {**STRONGER, "transport": "batch"}, rows=ROWS, answer=every_third_sure)
    create = staged.machine.faulty.create_model_invocation_job

    def denied(**request: Any) -> Any:
        if request["modelId"] == HAIKU:
            raise client_error("AccessDeniedException", "CreateModelInvocationJob", 403, "no access to the model")
        return create(**request)

    staged.machine.faulty.create_model_invocation_job = denied  # type: ignore[method-assign]
    staged.round(0)
    for number in (1, 2):
        assert plan.run(staged.services, staged.run, number).more
        item = staged.prepared(number)
        with pytest.raises(Refused) as refused:
            submit.run(staged.services, item)
        counts = check.run(staged.services, item, {"Error": "Refused", "Cause": str(refused.value)})
        assert counts is not None
        assert (counts.status, counts.refused, counts.cost_usd) == ("Refused", 40, 0.0)
    summary = finish(staged, 3)
    assert (summary["status"], summary["rows"]["accepted"], summary["rows"]["unresolved"]) == ("over_limit", 20, 40)
    assert "no access to the model" in summary["warnings"][0]
    staged.machine.faulty.create_model_invocation_job = create  # type: ignore[method-assign]
    resume.run(staged.services, staged.run)
    assert finish(staged, 3)["status"] == "succeeded"


def test_a_job_that_an_earlier_version_settled_as_refused_still_stops_the_run() -> None:
    """Its books do not say how many were refused; a resumed run sends what it left as that version would have."""
    staged = refusing(MICRO, answer=lambda _model, _text: SURE)
    (counts,) = staged.round(0)
    key = staged.keys().counts
    (pending,) = counts.pending
    before = msgspec.structs.replace(
        counts,
        refused=0,
        retried=counts.refused,
        pending=[msgspec.structs.replace(pending, refused=False, attempt=2)],
    )
    staged.machine.work.put(key, before.write())
    assert read(Counts, staged.machine.work.get(key), key) == before
    with pytest.raises(Stop, match="deprecated"):
        plan.run(staged.services, staged.run, 1)
    refuse(staged, None)
    resume.run(staged.services, staged.run)
    assert finish(staged, 1)["rows"]["accepted"] == ROWS


def test_what_is_left_waits_through_the_rounds_of_others() -> None:
    """The refused records of one tier do not keep those of another from being asked as often as they may."""
    staged = refusing(LITE, settings={"max_records_per_job": 50})
    staged.machine.faulty.refuses = lambda model, _text: (
        DEPRECATED if model == LITE and not staged.machine.work.exists(staged.keys(3).counts) else None
    )
    summary = finish(staged)
    assert summary["status"] == "over_limit"
    resume.run(staged.services, staged.run)
    staged.machine.faulty.refuses = lambda _model, _text: None
    assert finish(staged, summary["rounds"][-1]["round"] + 1)["status"] == "succeeded"
