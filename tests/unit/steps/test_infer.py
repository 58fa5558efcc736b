from __future__ import annotations

import datetime as dt
import json
import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from sluice.answers.replies import output_lines, read_line, read_manifest
from sluice.aws.bedrock import RecordError
from sluice.errors import Stop
from sluice.runs.document import read
from sluice.runs.job import Ended
from sluice.runs.state import JobItem
from sluice.steps import check, infer, plan
from tests.harness.bedrock import user_text
from tests.harness.faults import Killed
from tests.harness.s3 import client_error
from tests.harness.stage import ON_DEMAND, Stage, cancel, stage

SETTINGS = {"on_demand_concurrency": 1, "quota_seconds": 60, "poll_seconds_max": 600}  # chunks of four calls


def staged_calls(rows: int = 10, **settings: Any) -> tuple[Stage, JobItem]:
    staged = stage(ON_DEMAND, rows=rows, settings={**SETTINGS, **settings})
    item = staged.prepared()
    assert item.next == "infer"
    return staged, item


class Calls:
    """Converse as a test wants it: `fails(text, number of this text's call)` is raised if it is an error."""

    def __init__(self, staged: Stage, fails: Any = lambda _text, _number: None) -> None:
        self.made: list[str] = []
        self.fails = fails
        self.whole = staged.machine.faulty.converse
        staged.machine.faulty.converse = self.converse  # type: ignore[method-assign]

    def converse(self, **request: Any) -> Any:
        text = user_text(request)
        self.made.append(text)
        error = self.fails(text, self.made.count(text))
        if error is not None:
            raise error
        return self.whole(**request)


def throttle() -> Exception:
    return client_error("ThrottlingException", "Converse", 429)


def test_the_output_has_a_batch_jobs_layout() -> None:
    """check reads it as it reads any other: lines by record, and a manifest."""
    staged, item = staged_calls()
    assert infer.run(staged.services, item).next == "check"
    prefix = staged.keys().output_prefix
    lines = [line for block in output_lines(staged.machine.work, prefix) for line in block if line]
    assert len({reply.record for line in lines if (reply := read_line(line))}) == 10
    manifest = read_manifest(staged.machine.work, prefix)
    assert manifest is not None
    assert (manifest.totalRecordCount, manifest.successRecordCount, manifest.errorRecordCount) == (10, 10, 0)


def test_it_tells_when_its_calls_were_made() -> None:
    """From the first call, in whatever invocation, to the last: a report draws it beside batch jobs."""
    staged, item = staged_calls()
    staged.use(remaining_seconds=iter([900.0, 30.0]).__next__)
    item = infer.run(staged.services, item)
    assert item.next == "infer"
    later = dt.datetime(2026, 11, 20, 13, tzinfo=dt.UTC)
    staged.use(now=lambda: later, remaining_seconds=lambda: 900.0)
    infer.run(staged.services, item)
    ended = read(Ended, staged.machine.work.get(staged.keys().ended), "")
    assert (ended.submitted, ended.ended) == ("2026-11-20T12:00:00+00:00", "2026-11-20T13:00:00+00:00")


def test_it_comes_back_before_its_time_is_up_and_goes_on() -> None:
    """Each invocation has time for one chunk; each record is called once."""
    staged, item = staged_calls()
    calls, invocations = Calls(staged), 0
    while item.next == "infer":
        left = iter([900.0, 30.0])
        staged.use(remaining_seconds=lambda left=left: next(left, 30.0))
        item = infer.run(staged.services, item)
        assert item.wait_seconds == 0
        invocations += 1
    assert invocations == 3
    assert sorted(calls.made) == sorted(f"text {n}" for n in range(10))


def test_nothing_is_called_without_time_left() -> None:
    """It comes back at once."""
    staged, item = staged_calls()
    calls = Calls(staged)
    staged.use(remaining_seconds=lambda: 10.0)
    assert infer.run(staged.services, item).next == "infer"
    assert calls.made == []


def test_what_a_crash_may_have_lost_is_not_called_again() -> None:
    """The records of the broken chunk are missing in this job, and come back as a retry."""
    staged, item = staged_calls()
    calls = Calls(staged)
    calls.fails = lambda _text, _number: Killed() if len(calls.made) == 6 else None
    with pytest.raises(Killed):
        infer.run(staged.services, item)
    calls.fails = lambda _text, _number: None
    lost = calls.made[4:]
    assert infer.run(staged.services, item).next == "check"
    assert all(calls.made.count(text) <= 1 for text in calls.made)
    counts = check.run(staged.services, item)
    assert counts is not None
    assert (counts.answered, counts.missing, counts.retried) == (6, 4, 4)
    assert set(lost[:2]) <= {f"text {n}" for n in range(10)}


def test_a_throttled_record_is_called_again_as_long_as_it_takes() -> None:
    """It was not billed: no attempt is used up, and the waits grow, with jitter, in whole seconds."""
    staged, item = staged_calls(rows=3)
    calls = Calls(staged, lambda _text, _number: throttle())
    waits = []
    for _ in range(9):
        item = infer.run(staged.services, item)
        assert item.next == "infer"
        assert type(item.wait_seconds) is int
        waits.append(item.wait_seconds)
    assert 45 <= waits[0] < waits[1] < waits[2]
    assert all(450 <= wait <= 750 for wait in waits[6:])
    calls.fails = lambda _text, _number: None
    counts = staged.settle(item)
    assert counts is not None
    assert (counts.answered, counts.errored, counts.missing, counts.attempt) == (3, 0, 0, 1)


def test_only_the_throttled_ones_of_a_chunk_are_called_again() -> None:
    """Their neighbours' answers are kept; the wait begins anew, since something was answered."""
    staged, item = staged_calls()
    calls = Calls(staged, lambda text, number: throttle() if text == "text 7" and number <= 4 else None)
    item = infer.run(staged.services, item)
    assert item.next == "infer"
    assert 45 <= item.wait_seconds <= 75
    assert infer.run(staged.services, item).next == "check"
    assert {text: calls.made.count(text) for text in calls.made if calls.made.count(text) > 1} == {"text 7": 5}


def test_a_wholly_throttled_chunk_ends_the_invocation() -> None:
    """What the account cannot take now is not tried with every other record first."""
    staged, item = staged_calls(rows=40)
    calls = Calls(staged, lambda _text, _number: throttle())
    infer.run(staged.services, item)
    assert len(set(calls.made)) == 4


def test_a_throttled_record_lost_in_a_crash_later_on_stays_lost() -> None:
    """Free after the chunk in which it was throttled, lost in the one that a crash broke."""
    staged, item = staged_calls(rows=2)
    calls = Calls(staged, lambda _text, number: throttle() if number <= 4 else Killed())
    item = infer.run(staged.services, item)
    with pytest.raises(Killed):
        infer.run(staged.services, item)
    made = len(calls.made)
    assert infer.run(staged.services, item).next == "check"
    assert len(calls.made) == made


def test_a_server_error_is_tried_again_at_once_and_counts_in_the_end() -> None:
    """It was not billed; a record that fails so four times is an error, and a later round asks again."""
    staged, item = staged_calls()
    busy = client_error("ServiceUnavailableException", "Converse", 503)
    calls = Calls(staged, lambda text, number: busy if text == "text 1" or (text == "text 2" and number == 1) else None)
    counts = staged.settle(item)
    assert counts is not None
    assert (calls.made.count("text 1"), calls.made.count("text 2")) == (4, 2)
    assert (counts.answered, counts.errored, counts.retried) == (9, 1, 1)
    assert counts.reasons == {"model_error": 1}


@pytest.mark.parametrize(
    "error",
    [ReadTimeoutError(endpoint_url="x"), client_error("ModelTimeoutException", "Converse", 408)],
    ids=["answer lost", "model timed out"],
)
def test_a_call_that_may_be_billed_is_not_repeated_in_its_round(error: Exception) -> None:
    """The model may have worked: the record waits for the next round."""
    staged, item = staged_calls()
    calls = Calls(staged, lambda text, _number: error if text == "text 1" else None)
    counts = staged.settle(item)
    assert counts is not None
    assert calls.made.count("text 1") == 1
    assert (counts.errored, counts.retried) == (1, 1)


def test_a_record_that_is_refused_escalates() -> None:
    """The same request would be refused again."""
    staged, item = staged_calls()
    refusal = client_error("ValidationException", "Converse")
    Calls(staged, lambda text, _number: refusal if text == "text 1" else None)
    counts = staged.settle(item)
    assert counts is not None
    assert counts.reasons == {"record_refused": 1}
    assert counts.retried == 0


def test_no_access_stops_the_run_and_keeps_what_was_answered() -> None:
    """The cause reaches plan; a resumed run calls only what has no answer yet."""
    staged, item = staged_calls()
    denied = client_error("AccessDeniedException", "Converse", 403)
    calls = Calls(staged, lambda text, _number: denied if text == "text 1" else None)
    with pytest.raises(Stop, match="AccessDenied") as stopped:
        infer.run(staged.services, item)
    assert check.run(staged.services, item, {"Error": "Stop", "Cause": str(stopped.value)}) is None
    with pytest.raises(Stop, match="AccessDenied"):
        plan.run(staged.services, staged.run, 1)
    calls.fails = lambda _text, _number: None
    counts = staged.settle(item)
    assert counts is not None
    assert (counts.answered, counts.missing) == (10, 0)
    assert {text: calls.made.count(text) for text in calls.made if calls.made.count(text) > 1} == {"text 1": 2}


def test_a_cancelled_run_calls_no_more_and_keeps_what_came() -> None:
    """Between two chunks the marker is read."""
    staged, item = staged_calls()
    calls = Calls(staged, lambda _text, _number: cancel(staged))
    assert infer.run(staged.services, item).next == "check"
    assert len(calls.made) == 4
    key = staged.keys().ended
    assert read(Ended, staged.machine.work.get(key), key).status == "Stopped"


def test_an_ended_job_calls_nothing() -> None:
    """An infer run twice."""
    staged, item = staged_calls()
    infer.run(staged.services, item)
    calls = Calls(staged)
    assert infer.run(staged.services, item).next == "check"
    assert calls.made == []


def test_calls_at_once_are_bounded() -> None:
    """By `on_demand_concurrency`."""
    staged, item = staged_calls(rows=30, on_demand_concurrency=3)
    lock, now, most = threading.Lock(), [0], [0]

    def slow(_text: str, _number: int) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.002)
        with lock:
            now[0] -= 1

    Calls(staged, slow)
    assert infer.run(staged.services, item).next == "check"
    assert 1 < most[0] <= 3


def test_what_an_error_says_reaches_the_output() -> None:
    """As an error line of a batch job, code and message."""
    staged, item = staged_calls(rows=1)
    Calls(staged, lambda _text, _number: client_error("ValidationException", "Converse"))
    infer.run(staged.services, item)
    (line,) = [
        line for block in output_lines(staged.machine.work, staged.keys().output_prefix) for line in block if line
    ]
    assert json.loads(line)["error"]["errorCode"] == 400
    assert "ValidationException" in json.loads(line)["error"]["errorMessage"]


def test_a_record_error_says_whether_to_wait() -> None:
    """Only what was not billed is worth waiting for."""
    staged, _ = staged_calls()
    waits = {}
    for code in ("ThrottlingException", "ServiceUnavailableException", "ModelTimeoutException", "ValidationException"):
        Calls(staged, lambda _text, _number, code=code: client_error(code, "Converse"))
        body = {"messages": [{"role": "user", "content": [{"text": "x"}]}]}
        with pytest.raises(RecordError) as caught:
            staged.services.bedrock.converse("m", body)
        waits[code] = caught.value.wait
    assert list(waits.values()) == [True, True, False, False]
