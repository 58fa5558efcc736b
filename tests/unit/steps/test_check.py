from __future__ import annotations

import json
from typing import Any

import pytest

from sluice.errors import Stop
from sluice.runs.document import read
from sluice.runs.job import Ended, Failed, Prepared
from sluice.runs.keys import Keys
from sluice.runs.state import JobItem, Resumption
from sluice.steps import check, plan, poll, submit
from tests.harness.bedrock import model_output
from tests.harness.faults import FaultPlan
from tests.harness.stage import BATCH, ON_DEMAND, STRONGER, SURE, Stage, stage

DEATH = {"Error": "Lambda.Unknown", "Cause": '{"errorMessage": "the process ended"}'}
DENIED = "AccessDeniedException: the role has no permission for this model"
RECORDS = 6


def job_with(lines: Any, status: str = "Completed", message: str | None = None, **tier: Any) -> Stage:
    """A job of six records that ended with the output lines that `lines(ids)` gives."""
    staged = stage({**BATCH, **tier}, STRONGER, rows=RECORDS)
    item = submit.run(staged.services, staged.prepared())
    (job,) = staged.machine.faulty.jobs.values()
    job.status, job.message = status, message
    listed = staged.machine.work.get(staged.keys().records).splitlines()
    assert len(listed) == RECORDS
    made = lines([line[:32].decode() for line in listed])
    data = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in made)
    if made:
        staged.machine.work.put(f"{staged.keys().output_prefix}x/part-0.jsonl.out", data)
    assert poll.run(staged.services, item).next == "check"
    return staged


def answer(record: str, reply: str = SURE) -> dict[str, Any]:
    return {"recordId": record, "modelOutput": model_output(reply, "some text")}


def error(record: str, code: Any = 500, message: str = "no luck") -> dict[str, Any]:
    return {"recordId": record, "error": {"errorCode": code, "errorMessage": message}}


def books(staged: Stage) -> Any:
    return check.run(staged.services, JobItem(run=staged.run, round=0, job=0))


def failed(staged: Stage) -> Failed:
    key = staged.keys().failed
    return read(Failed, staged.machine.work.get(key), key)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("Completed", "missing"),
        ("PartiallyCompleted", "missing"),
        ("Failed", "job_failed"),
        ("Expired", "job_expired"),
        ("Stopped", "job_stopped"),
    ],
)
def test_in_every_status_what_is_there_counts_and_the_rest_is_sent_again(status: str, reason: str) -> None:
    """Two answers of six came before the job ended as it did."""
    counts = books(job_with(lambda ids: [answer(ids[4]), answer(ids[1])], status, "it ended so"))
    assert (counts.answered, counts.accepted, counts.missing, counts.retried) == (2, 2, 4, 4)
    assert counts.reasons == {reason: 4}
    assert (counts.status, counts.message) == (status, "it ended so")
    assert [(pending.tier, pending.attempt, pending.records) for pending in counts.pending] == [(0, 2, 4)]


def test_without_attempts_left_the_next_tier_is_asked() -> None:
    """A retry that failed too escalates."""
    counts = books(job_with(lambda _ids: [], "Expired", attempts=1))
    assert [(pending.tier, pending.attempt, pending.records) for pending in counts.pending] == [(1, 1, 6)]


def test_answers_are_joined_by_record() -> None:
    """Bedrock writes them in any order, and others' ones count for nobody."""
    labels = [json.dumps({"label": "ab"[n % 2], "confidence": "certain"}) for n in range(RECORDS)]
    staged = job_with(lambda ids: [answer("0" * 32), *(answer(ids[n], labels[n]) for n in (3, 1, 5, 0, 4, 2))])
    counts = books(staged)
    assert (counts.accepted, counts.unknown) == (6, 1)
    ids = [line[:32].decode() for line in staged.machine.work.get(staged.keys().records).split(b"\n")[:RECORDS]]
    found = dict(attempts(staged))
    assert [found[record] for record in ids] == [["ab"[n % 2]] for n in range(RECORDS)]


def attempts(staged: Stage) -> list[tuple[str, list[str]]]:
    import pyarrow as pa

    found = []
    for key, _ in list(staged.machine.work.keys(f"runs/{staged.run}/answers/")):
        with pa.ipc.open_stream(staged.machine.work.get(key)) as stream:
            found += [(row["key"], row["labels"]) for row in stream.read_all().to_pylist()]
    return found


def test_a_record_counts_once_however_often_it_came() -> None:
    """An answer goes before an error, the first answer before the second; the tokens of one are counted."""
    staged = job_with(
        lambda ids: [
            answer(ids[0]),
            answer(ids[0], SURE.replace('"a"', '"b"')),
            error(ids[1]),
            answer(ids[1]),
            answer(ids[2]),
            error(ids[2]),
            error(ids[3]),
            error(ids[3]),
            answer(ids[4]),
            answer(ids[5]),
        ]
    )
    counts = books(staged)
    assert (counts.sent, counts.answered, counts.errored, counts.missing, counts.duplicates) == (6, 5, 1, 0, 4)
    assert counts.input_tokens == 5 * model_output(SURE, "some text")["usage"]["inputTokens"]
    assert all(labels in (["a"], None) for _, labels in attempts(staged))


def untold(record: str, **usage: int) -> dict[str, Any]:
    made = answer(record)
    made["modelOutput"]["usage"] = usage
    return made


def told(staged: Stage) -> tuple[int, int, list[tuple[int, int]]]:
    import pyarrow as pa

    found = []
    for key, _ in list(staged.machine.work.keys(f"runs/{staged.run}/answers/")):
        with pa.ipc.open_stream(staged.machine.work.get(key)) as stream:
            rows = stream.read_all().to_pylist()
            found += [(row["input_tokens"], row["output_tokens"]) for row in rows]
    return sum(read for read, _ in found), sum(written for _, written in found), found


def test_tokens_that_no_reply_tells_are_those_that_the_manifest_has_left() -> None:
    """To the token, on the rows as in the books; nothing of it is an estimate."""
    staged = job_with(lambda ids: [untold(ids[0], inputTokens=50, outputTokens=5), *(untold(i) for i in ids[1:])])
    manifest = json.dumps({"inputTokenCount": 1000, "cacheReadInputTokenCount": 51, "outputTokenCount": 47}).encode()
    staged.machine.work.put(f"{staged.keys().output_prefix}x/manifest.json.out", manifest)
    counts = books(staged)
    read, written, rows = told(staged)
    assert (counts.input_tokens, counts.output_tokens, counts.estimated) == (read, written, 0) == (1051, 47, 0)
    assert all(each > 0 for row in rows for each in row)
    assert any("5 answers did not tell their tokens" in warning for warning in counts.warnings)


def test_tokens_that_nothing_tells_are_estimated_and_marked() -> None:
    """From the length of the request and of the reply; an unknown cost is not no cost."""
    staged = job_with(
        lambda ids: [answer(ids[0]), untold(ids[1], inputTokens=50), *map(untold, ids[2:5]), error(ids[5])]
    )
    counts = books(staged)
    read, written, _ = told(staged)
    lines = staged.machine.work.get(staged.keys().input).split(b"\n")
    known = model_output(SURE, "some text")["usage"]
    assert counts.input_tokens == read == known["inputTokens"] + 50 + sum(len(line) // 4 for line in lines[2:5])
    assert counts.output_tokens == written == known["outputTokens"] + 4 * (len(SURE) // 4)
    assert counts.estimated == 4
    assert any("4 answers did not tell their tokens, which are estimated" in warning for warning in counts.warnings)


def test_broken_lines_cost_no_other_record() -> None:
    """Lines that cannot be read are counted; a line break inside a reply is none of the file's."""
    odd = SURE + "\u2028\x85 and \u2029 more"
    whole = json.dumps(answer("x" * 32, odd), ensure_ascii=False).encode()
    staged = job_with(
        lambda ids: [
            b"{",
            whole.replace(b"x" * 32, ids[0].encode()),
            json.dumps(answer(ids[1])).encode()[:-40],
            b"\xff\xfe",
            answer(ids[2]),
            b"",
        ]
    )
    counts = books(staged)
    assert (counts.answered, counts.missing, counts.unreadable) == (2, 4, 3)


def test_the_manifest_is_not_trusted() -> None:
    """It claims six successes; the lines say two, and a warning says so."""
    staged = job_with(lambda ids: [answer(ids[0]), answer(ids[1])])
    claim = {"totalRecordCount": 6, "processedRecordCount": 6, "successRecordCount": 6, "errorRecordCount": 0}
    staged.machine.work.put(f"{staged.keys().output_prefix}x/manifest.json.out", json.dumps(claim).encode())
    counts = books(staged)
    assert (counts.answered, counts.missing, counts.accepted, counts.retried) == (2, 4, 2, 4)
    assert "the manifest says 6 successes, 2 were found" in counts.warnings[0]


@pytest.mark.parametrize(
    ("lines", "status", "message", "fatal"),
    [
        (lambda ids: [error(i, 403, DENIED) for i in ids], "Completed", None, True),
        (
            lambda ids: [error(i, 400, "ValidationException: Extra inputs are not permitted") for i in ids],
            "Completed",
            None,
            True,
        ),
        (lambda ids: [error(i, 400, "ValidationException: the prompt is odd") for i in ids], "Completed", None, True),
        (lambda ids: [error(i, 400, f"ValidationException: text {i} is odd") for i in ids], "Completed", None, False),
        (lambda _ids: [], "Failed", "The provided model identifier is invalid.", True),
        (lambda ids: [error(i, 500, "InternalServerException") for i in ids], "Completed", None, False),
        (lambda _ids: [], "Failed", "Internal failure, please try again", False),
        (lambda _ids: [], "Expired", None, False),
    ],
    ids=[
        "no access",
        "refused field",
        "refused alike",
        "each refused",
        "wrong model",
        "server errors",
        "internal",
        "expired",
    ],
)
def test_a_job_refused_as_a_whole_stops_the_run_early(
    lines: Any, status: str, message: str | None, fatal: bool
) -> None:
    """Before the next round is bought, with the message; what can pass does not."""
    staged = job_with(lines, status, message)
    counts = books(staged)
    assert (counts.fatal is not None) == fatal
    if fatal:
        with pytest.raises(Stop, match=r"all 6 records were refused by us\.amazon\.nova-micro-v1:0: "):
            plan.run(staged.services, staged.run, 1)
    else:
        assert plan.run(staged.services, staged.run, 1).more


def test_a_resumed_run_asks_the_tier_that_refused_everything_again_first() -> None:
    """Once the permission is there, the cheap tier answers, and not the dear one."""
    staged = job_with(lambda ids: [error(i, 403, DENIED) for i in ids])
    counts = books(staged)
    assert [(item.tier, item.attempt, item.records, item.refused) for item in counts.pending] == [(0, 1, 6, True)]
    resumed = Resumption(number=1, cancelled=False, forgiven=[(0, 0)])
    staged.machine.work.put(Keys(staged.run).resumption(1), resumed.write())
    assert [(books.tier, books.accepted) for books in staged.round(1)] == [(0, 6)]


def test_a_job_whose_poll_died_for_good_is_left_running() -> None:
    """No books, the cause kept, the run stops; a resumed run goes on polling the same job."""
    staged = stage()
    item = submit.run(staged.services, staged.prepared())
    assert check.run(staged.services, item, DEATH) is None
    assert not staged.written(staged.keys().counts)
    assert failed(staged) == Failed(error="Lambda.Unknown", cause="the process ended")
    with pytest.raises(Stop, match=r"Lambda\.Unknown: the process ended"):
        plan.run(staged.services, staged.run, 1)
    assert [counts.accepted for counts in staged.round(0)] == [10]
    assert staged.machine.faulty.created == 1
    assert not plan.run(staged.services, staged.run, 1).more


def test_a_cause_without_a_name_is_kept_all_the_same() -> None:
    """What is kept of a failed step can be read, whatever the workflow said of it."""
    staged = stage()
    item = submit.run(staged.services, staged.prepared())
    assert check.run(staged.services, item, {"Cause": "no more of it"}) is None
    assert failed(staged) == Failed(error="", cause="no more of it")


def test_a_job_whose_infer_died_for_good_goes_on_when_resumed() -> None:
    """As it is with a batch job that has not ended."""
    staged = stage(ON_DEMAND)
    item = staged.prepared()
    assert check.run(staged.services, item, DEATH) is None
    with pytest.raises(Stop, match="the process ended"):
        plan.run(staged.services, staged.run, 1)
    assert [counts.accepted for counts in staged.round(0)] == [10]


def test_a_job_whose_poll_died_but_that_has_ended_is_settled() -> None:
    """Bedrock says how; that is kept, since it forgets its jobs in time."""
    staged = stage()
    item = submit.run(staged.services, staged.prepared())
    for _ in range(10):
        staged.machine.faulty.tick()
    counts = check.run(staged.services, item, DEATH)
    assert counts is not None
    assert (counts.status, counts.accepted) == ("Completed", 10)
    key = staged.keys().ended
    assert read(Ended, staged.machine.work.get(key), key).status == "Completed"


def test_when_bedrock_cannot_be_asked_the_cause_is_kept() -> None:
    """The job may still run: it gets no books, and plan names what went wrong."""
    staged = stage()
    item = submit.run(staged.services, staged.prepared())
    staged.machine.faulty.dice.plan = FaultPlan(calls=1.0)
    assert check.run(staged.services, item) is None
    assert failed(staged).error == "RetryLater"
    with pytest.raises(Stop, match="GetModelInvocationJob"):
        plan.run(staged.services, staged.run, 1)


def test_a_job_that_was_never_prepared_keeps_its_cause() -> None:
    """prepare died: there is nothing to settle."""
    staged = stage()
    assert check.run(staged.services, JobItem(run=staged.run, round=0, job=0), DEATH) is None
    assert failed(staged).cause == "the process ended"
    assert check.run(staged.services, JobItem(run=staged.run, round=0, job=0)) is None
    assert failed(staged).error == "Unfinished"


def test_a_job_without_records_is_complete_at_once() -> None:
    """Nothing of it could be sent, so that nobody has seen it end."""
    staged = stage(rows=RECORDS)
    staged.prepared()
    keys, work = staged.keys(), staged.machine.work
    work.put(keys.records, b"")
    work.put(keys.prepared, Prepared(records=0, rows=0, bytes=0, transport="batch").write())
    counts = books(staged)
    assert (counts.status, counts.message, counts.submitted, counts.ended) == ("Completed", None, None, None)
    assert (counts.sent, counts.answered, counts.missing, counts.pending) == (0, 0, 0, [])


def test_a_job_that_outgrows_its_file_holds_the_rest_back() -> None:
    """The limit of bytes is kept for requests that are written at once as for one after another."""
    whole = stage({**BATCH, "attempts": 1}, rows=10)
    whole.prepared()
    line = len(whole.machine.work.get(whole.keys().input)) // 10
    staged = stage({**BATCH, "attempts": 1}, rows=10)
    start = json.loads(staged.machine.work.get(Keys(staged.run).start))
    start["settings"]["max_file_bytes"] = limit = 7 * line + 10
    staged.machine.work.put(Keys(staged.run).start, json.dumps(start).encode())
    first = staged.settle(staged.prepared())
    assert first is not None
    assert (first.sent, first.held_back) == (7, 3)
    assert 7 * line - 10 < len(staged.machine.work.get(staged.keys().input)) <= limit


def test_a_check_run_twice_says_the_same() -> None:
    """The second one reads the books."""
    staged = job_with(lambda ids: [answer(i) for i in ids])
    first, writes = books(staged), len(staged.machine.faulty_s3.writes)
    assert books(staged) == first
    assert len(staged.machine.faulty_s3.writes) == writes


def test_what_was_held_back_goes_to_the_next_round_with_the_same_attempt() -> None:
    """prepare met more records than a job may hold: the rest was never sent, so no attempt is used up."""
    staged = stage({**BATCH, "attempts": 1}, STRONGER, rows=10)
    keys = Keys(staged.run)
    start = json.loads(staged.machine.work.get(keys.start))
    start["settings"]["max_records_per_job"] = 4
    staged.machine.work.put(keys.start, json.dumps(start).encode())
    first = staged.settle(staged.prepared())
    assert first is not None
    assert (first.records, first.sent, first.held_back) == (10, 4, 6)
    listed = staged.machine.work.get(staged.keys().records).split()
    assert len(listed) == len(set(listed)) == 10
    key = staged.keys().prepared
    assert read(Prepared, staged.machine.work.get(key), key).held is not None
    second = staged.round(1)
    assert [(books.tier, books.attempt, books.purpose, books.sent, books.held_back) for books in second] == [
        (0, 1, "classify", 3, 0),
        (0, 1, "classify", 3, 0),
    ]
    assert not plan.run(staged.services, staged.run, 2).more
