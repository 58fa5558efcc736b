from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.aws.bedrock import JobState
from sluice.runs.keys import Keys
from sluice.runs.state import JobItem, Part, Span
from sluice.steps import check, keep, merge, partition, plan, poll, prepare, publish, submit
from sluice.task.file import parse_task
from sluice.task.task import Task
from tests.harness.drive import Cloud, jsonl

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
GOOD = '{"label": "a", "confidence": "certain"}'


def make(**changes: Any) -> Task:
    text = {"text": "t", **changes.pop("input", {})}
    return parse_task({"name": "t", "input": text, "labels": ["a", "b"], **changes}, "t")


def sure(_model: str, _text: str) -> str:
    return GOOD


# What weaker models really write; the last column is what becomes of it.
REPLIES = {
    "prose behind": (f"{GOOD}\n\nThe message names an invoice, so this is the label.", None),
    "over lines": ('{\n    "label": "a",\n    "confidence": "certain"\n}\n\n**Reasoning:** an invoice.', None),
    "fenced": (f"```json\n{GOOD}\n```", None),
    "unknown label": ('{"label": "c", "confidence": "certain"}', "label_unknown"),
    "empty": ("", "reply_empty"),
    "plain text": ("The label is a.", "reply_not_json"),
    "cut": ('{"label": "a", "confi', "reply_cut"),
    "unsure": ('{"label": "a", "confidence": "unsure"}', "low_confidence"),
    "refusal": ("I'm sorry, but I can't help with that request.", "reply_refused"),
    "list": (f"[{GOOD}]", "reply_not_object"),
    "deep": ("[" * 50_000, "reply_too_deep"),
    "NaN": ('{"label": "a", "confidence": NaN}', "reply_not_json"),
    "number": ('{"label": "a", "confidence": 0.95}', "confidence_invalid"),
    "doubled": ('{"label": "a", "label": "b", "confidence": "certain"}', "label_unknown"),
    "megabytes": ("x" * 2_000_000, "reply_not_json"),
    "surrogate": ('{"label": "\\ud83d", "confidence": "certain"}', "reply_not_json"),
}


@pytest.fixture(scope="module")
def cascade() -> dict[str, dict[str, Any]]:
    """The row of each kind of reply of the first tier; the second answers well."""
    cloud = Cloud(lambda model, text: GOOD if model == HAIKU else REPLIES[text][0], {"min_records_per_job": 1})
    cloud.run(make(input={"id": "t"}), {"a.jsonl": jsonl([{"t": kind} for kind in REPLIES])})
    return {row["id"]: row for row in cloud.rows()}


@pytest.mark.parametrize("kind", list(REPLIES))
def test_each_kind_of_reply_goes_on_with_its_reason(cascade: dict[str, dict[str, Any]], kind: str) -> None:
    """What can be read is accepted by the first tier, all else by the second, with the first attempt in the trail."""
    row, reason = cascade[kind], REPLIES[kind][1]
    assert (row["status"], row["label"], row["tier"]) == ("accepted", "a", 0 if reason is None else 1)
    assert row["trail"][0]["reason"] == reason


@pytest.mark.parametrize("count", [1, 99, 100, 201, 250])
def test_any_number_of_rows_comes_out(count: int) -> None:
    """Below Bedrock's minimum rows go on demand, above in batch jobs of at most the limit."""
    cloud = Cloud(sure, {"max_records_per_job": 200})
    summary = cloud.run(make(), {"a.jsonl": jsonl([{"t": f"text {n}"} for n in range(count)])})
    assert summary["rows"] == {"in": count, "accepted": count, "unresolved": 0, "rejected": 0}
    assert summary["tiers"][0]["transport"] == ("on_demand" if count < 100 else "batch")


def test_a_few_escalations_go_on_demand() -> None:
    """Of 150 rows the 60 that escalate are too few for a batch job, and are answered all the same."""
    cloud = Cloud(lambda model, text: GOOD if model == HAIKU or int(text) >= 60 else "hm")
    summary = cloud.run(make(), {"a.jsonl": jsonl([{"t": str(n)} for n in range(150)])})
    assert [(tier["transport"], tier["accepted"], tier["escalated"]) for tier in summary["tiers"]] == [
        ("batch", 90, 60),
        ("on_demand", 60, 0),
    ]


def test_a_record_that_no_file_may_hold_goes_alone() -> None:
    """Held back for its size it would come for ever; Bedrock says what it says of it."""
    cloud = Cloud(sure, {"max_file_bytes": 300, "min_records_per_job": 1})
    summary = cloud.run(make(), {"a.jsonl": jsonl([{"t": f"text {n}"} for n in range(5)])})
    assert summary["rows"]["accepted"] == 5
    assert (len(cloud.bedrock.created), len({job for job, _ in cloud.bedrock.bought})) == (5, 5)


def test_two_runs_decide_alike() -> None:
    """The same rows in other spans, jobs and order of output get the same labels."""
    rows = jsonl([{"t": f"text {n % 40}"} for n in range(120)])

    def answer(_model: str, text: str) -> str:
        return json.dumps({"label": "ab"[len(text) % 2], "confidence": "unsure" if text.endswith("3") else "certain"})

    def decisions(**changes: int) -> list[tuple[Any, ...]]:
        cloud = Cloud(answer, {"min_records_per_job": 1, **changes})
        cloud.run(make(), {"a.jsonl": rows})
        found = sorted(cloud.rows(), key=lambda row: row["line"])
        return [tuple(row[name] for name in ("line", "record", "status", "reason", "label", "tier")) for row in found]

    assert decisions() == decisions(span_bytes=300, max_records_per_job=7)


def test_every_step_can_be_run_twice() -> None:
    """A step whose output exists writes nothing and buys nothing again."""
    cloud = Cloud(sure, {"span_bytes": 400, "min_records_per_job": 1, "max_records_per_job": 20})
    run = cloud.begin(make(), {"a.jsonl": jsonl([{"t": f"text {n}"} for n in range(60)])})
    services, keys = cloud.services, Keys(run)

    def twice(step: Any, *about: Any) -> Any:
        first = step(services, *about)
        writes, bought = len(cloud.s3.writes), len(cloud.bedrock.bought)
        step(services, *about)
        assert (len(cloud.s3.writes), len(cloud.bedrock.bought)) == (writes, bought)
        return first

    for span in msgspec.json.decode(cloud.work.get(keys.spans), type=list[Span]):
        twice(partition.run, span)
        twice(keep.run, span)
    result = twice(plan.run, run, 0)
    for item in msgspec.json.decode(cloud.work.get(result.jobs_key), type=list[JobItem]):
        for step in (prepare.run, submit.run, poll.run):
            item = twice(step, item)  # noqa: PLW2901 - a state hands the next one its item
        twice(check.run, item)
    result = twice(plan.run, run, 1)
    for part in msgspec.json.decode(cloud.work.get(result.parts_key), type=list[Part]):
        twice(merge.run, part)
    twice(publish.run, run)
    assert len(cloud.bedrock.bought) == 60


def ending(cloud: Cloud, status: str, message: str | None = None) -> None:
    """Let the first job end so, without any output; later ones end well."""
    original = cloud.bedrock.job
    failed: list[str] = []

    def job(arn: str) -> JobState:
        if failed and arn not in failed:
            return original(arn)
        failed.append(arn)
        return JobState(arn, arn.rsplit("/", 1)[1], status, message, None, None)

    cloud.bedrock.job = job  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("status", "reason"), [("Failed", "job_failed"), ("Expired", "job_expired"), ("Stopped", "job_stopped")]
)
def test_a_job_without_answers_is_sent_again(status: str, reason: str) -> None:
    """However a job ended, its records are tried once more on the same tier."""
    cloud = Cloud(sure, {"min_records_per_job": 1})
    ending(cloud, status, "the service had a bad day")
    summary = cloud.run(make(), {"a.jsonl": jsonl([{"t": "x"}, {"t": "y"}])})
    assert [job["status"] for job in summary["jobs"]] == [status, "Completed"]
    assert [[(step["outcome"], step["reason"]) for step in row["trail"]] for row in cloud.rows()] == [
        [("retried", reason), ("accepted", None)]
    ] * 2


def spoiled(cloud: Cloud, change: Any) -> None:
    """Let `change` rewrite the lines of every first job's output before anybody reads them."""
    original = cloud.bedrock._run

    def run(request: Any) -> None:
        original(request)
        prefix = request.output_uri.removeprefix(f"s3://{cloud.work.bucket}/")
        for key, _ in cloud.work.keys(prefix):
            if key.endswith(".jsonl.out") and "/round-0/" in key:
                lines = change(cloud.work.get(key).splitlines())
                cloud.work.put(key, b"".join(line + b"\n" for line in lines))

    cloud.bedrock._run = run  # type: ignore[method-assign]


def without_answer(line: bytes) -> bytes:
    record = json.loads(line)
    record["error"] = {"errorCode": 500, "errorMessage": "no"}
    del record["modelOutput"]
    return json.dumps(record).encode()


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda lines: lines[1:], "the manifest says 4 successes, 3 were found"),
        (lambda lines: [*lines, lines[0]], "1 lines were about a record that had its answer already"),
        (lambda lines: [*lines, lines[0].replace(b'"recordId": "', b'"recordId": "z')], "never sent"),
        (lambda lines: [*lines, lines[0][:50]], "1 lines could not be read"),
        (lambda lines: [without_answer(lines[0]), *lines], "had its answer already"),
    ],
)
def test_a_damaged_output_costs_no_row(change: Any, warning: str) -> None:
    """Missing lines are asked for again; doubled, unknown and broken ones are counted; the books balance."""
    cloud = Cloud(sure, {"min_records_per_job": 1})
    spoiled(cloud, change)
    summary = cloud.run(make(), {"a.jsonl": jsonl([{"t": f"text {n}"} for n in range(4)])})
    assert summary["rows"]["accepted"] == 4
    assert any(warning in found for found in summary["warnings"])


def expected_lines(data: bytes) -> list[int]:
    """The numbers of the lines that are rows: those that are not blank."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [number for number, line in enumerate(lines, 1) if line.strip(b" \t\r")]


HARMLESS = bytes.maketrans(b"\r\x1e\0", b"\x0b\x0b\x01")
rows_of_any_kind = st.lists(
    st.one_of(
        st.builds(lambda text: json.dumps({"t": text}).encode(), st.text(max_size=6)),
        st.sampled_from(
            [b'{"t": "same"}', b'{"t": "same"}\r', b"", b" ", b"{}", b"[1]", b"\xff", b'{"t": NaN}', b'{"t":']
        ),
        # CR alone, the separator of RFC 7464 and zero bytes of UTF-16 say what a whole file is: these have tests of
        # their own.
        st.binary(max_size=12).map(lambda data: data.translate(HARMLESS)),
    ),
    max_size=25,
).map(lambda lines: b"\n".join([b"{}", *lines]) if lines else b"")  # what a file begins with can say what it is


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(rows_of_any_kind, rows_of_any_kind, st.integers(1, 200), st.integers(1, 10))
def test_each_row_comes_out_once(first: bytes, second: bytes, span_bytes: int, most: int) -> None:
    """For any bytes, spans and limits, each row stands in the results once, under its own number."""
    if not (expected_lines(first) or expected_lines(second)):
        return
    cloud = Cloud(sure, {"span_bytes": span_bytes, "max_records_per_job": most, "min_records_per_job": 1})
    summary = cloud.run(make(input={"keep_input": True}), {"a.jsonl": first, "b.jsonl": second})
    found: dict[str, list[int]] = {"a.jsonl": [], "b.jsonl": []}
    for row in sorted(cloud.rows(), key=lambda row: row["line"]):
        found[row["source"].rsplit("/", 1)[1]].append(row["line"])
    assert found == {"a.jsonl": expected_lines(first), "b.jsonl": expected_lines(second)}
    assert summary["rows"]["in"] == sum(map(len, found.values()))
    statuses = Counter(row["status"] for row in cloud.rows())
    assert {name: statuses[name] for name in statuses} == {
        name: count for name, count in summary["rows"].items() if name != "in" and count
    }
