from __future__ import annotations

import json
from binascii import hexlify
from hashlib import blake2b
from typing import Any

import pytest

from sluice.rows.record import Buckets
from sluice.runs.books import Counts
from sluice.runs.keys import Keys
from sluice.task.file import parse_task
from sluice.task.task import Task
from tests.harness.drive import Cloud, jsonl

MICRO = "us.amazon.nova-micro-v1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
ANYTHING = {"min_records_per_job": 1}
SUMS = ("input_tokens", "output_tokens", "cost_usd")


def make(**changes: Any) -> Task:
    text = {"text": "t", **changes.pop("input", {})}
    return parse_task({"name": "t", "input": text, "labels": ["a", "b"], **changes}, "t")


def sure(label: str = "a", confidence: str = "certain", **more: Any) -> str:
    return json.dumps({"label": label, "confidence": confidence, **more})


def by_tier(micro: str, haiku: str) -> Any:
    return lambda model, _text: haiku if model == HAIKU else micro


def run(answer: Any, rows: list[Any], task: Task | None = None, **settings: Any) -> tuple[list[Any], dict[str, Any]]:
    """The published rows in the order of their lines, and run.json."""
    cloud = Cloud(answer if callable(answer) else lambda _model, _text: answer, {**ANYTHING, **settings})
    data = b"".join(row + b"\n" if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)
    summary = cloud.run(task or make(), {"a.jsonl": data})
    return sorted(cloud.rows(), key=lambda row: row["line"]), summary


def test_an_accepted_row_has_all_that_came_of_it() -> None:
    """Label, confidence, tier, model, tokens and cost stand on the row, and its one attempt in the trail."""
    (row,), _ = run(sure(), [{"t": "hello"}])
    trail = row.pop("trail")
    assert trail == [
        {
            "round": 0,
            "tier": 0,
            "model": MICRO,
            "outcome": "accepted",
            "reason": None,
            "label": "a",
            "confidence": "certain",
            "detail": None,
        }
    ]
    assert len(row.pop("record")) == 32
    # In batch, 101 tokens in and 10 out at 0.0175 and 0.07 dollars a million.
    assert row.pop("cost_usd") == pytest.approx((101 * 0.0175 + 10 * 0.07) / 1e6)
    assert {name: row[name] for name in ("run_id", "task", "task_version")} == {
        "run_id": row["run_id"],
        "task": "t",
        "task_version": make().version,
    }
    wanted = {
        "source": "s3://incoming/t/a.jsonl",
        "line": 1,
        "id": None,
        "status": "accepted",
        "reason": None,
        "label": "a",
        "labels": ["a"],
        "confidence": "certain",
        "score": None,
        "tier": 0,
        "model": MICRO,
        "attempts": 1,
        "shared": False,
        "truncated": False,
        "input_tokens": 101,
        "output_tokens": 10,
    }
    assert {name: row[name] for name in wanted} == wanted


def test_a_value_that_was_copied_from_the_request_is_stored_as_the_text_has_it() -> None:
    """A reply with our escapes in it is judged beside its own text, others are judged as they come."""
    asked = {"confidence": False, "fields": {"x": {"type": "string"}}}
    task = make(labels={}, answer=asked)
    said = {"i": "AT&amp;T", "w": "R&amp;D", "p": "plain"}
    texts = ["i AT&T invoice", "w R&amp;D as written", "p plain"]
    rows, _ = run(lambda _model, text: json.dumps({"x": said[text[0]]}), [{"t": text} for text in texts], task)
    assert [row["x"] for row in rows] == ["AT&T", "R&amp;D", "plain"]


def test_the_trail_keeps_what_was_said_instead_of_a_label() -> None:
    """A word that is no label, beside the attempt that it was said in."""
    rows, _ = run(by_tier(sure("shipping"), sure()), [{"t": "hello"}])
    assert [step["detail"] for step in rows[0]["trail"]] == ["shipping", None]


def test_the_trail_keeps_the_label_of_an_escalated_attempt() -> None:
    """The label that a weaker model would have given stands in the trail, the accepted one on the row."""
    (row,), _ = run(by_tier(sure("a", "unsure"), sure("b")), [{"t": "hello"}])
    assert [(step["tier"], step["outcome"], step["reason"], step["label"]) for step in row["trail"]] == [
        (0, "escalated", "low_confidence", "a"),
        (1, "accepted", None, "b"),
    ]
    assert (row["label"], row["tier"], row["model"], row["attempts"], row["reason"]) == ("b", 1, HAIKU, 2, None)


def test_tokens_and_cost_are_those_of_all_attempts() -> None:
    """A row costs what each of its attempts did, at the prices of their tiers."""
    first, second = sure("a", "unsure"), sure("b")
    (row,), summary = run(by_tier(first, second), [{"t": "hello"}])
    tokens_out = [1 + len(reply) // 4 for reply in (first, second)]
    assert (row["input_tokens"], row["output_tokens"]) == (202, sum(tokens_out))
    expected = (101 * 0.0175 + tokens_out[0] * 0.07 + 101 * 0.55 + tokens_out[1] * 2.75) / 1e6
    assert row["cost_usd"] == pytest.approx(expected)
    assert summary["cost_usd"] == pytest.approx(expected)


def test_an_unresolved_row_has_every_reason_and_no_label() -> None:
    """After the last tier there is a last reason, and the labels that were not accepted stay in the trail."""
    (row,), _ = run(by_tier("no idea", sure("b", "unsure")), [{"t": "hello"}])
    assert (row["status"], row["reason"]) == ("unresolved", "low_confidence")
    assert (row["label"], row["labels"], row["confidence"]) == (None, None, None)
    assert [(step["outcome"], step["reason"], step["label"]) for step in row["trail"]] == [
        ("escalated", "reply_not_json", None),
        ("unresolved", "low_confidence", "b"),
    ]


PLACES = [b"{broken", {"t": "0:1"}, {"t": "0:4"}, b"{broken", {"t": "0:1"}, {"t": "0:0:1"}]


@pytest.mark.parametrize("task", [make(), make(answer={"evidence": True, "confidence": True})], ids=["", "evidence"])
@pytest.mark.parametrize("begun_before", [False, True])
def test_a_text_that_reads_like_a_place_is_no_twin_of_a_rejected_row(
    task: Task, begun_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In front of the rejected row or behind it, also in a run whose rows were stored while they shared keys."""
    if begun_before:  # as partition made the keys of rejected rows then

        def key(_buckets: Buckets, source: int, number: int) -> bytes:
            return hexlify(blake2b(b"%d:%d" % (source, number), digest_size=16).digest())

        monkeypatch.setattr(Buckets, "_key_of_place", key)
    answer = lambda _model, text: sure(evidence=text) if task.answer.evidence else sure()  # noqa: E731
    rows, summary = run(answer, PLACES, task)
    assert [(row["status"], row["label"], row["attempts"]) for row in rows] == [
        ("rejected", None, 0),
        ("accepted", "a", 1),
        ("accepted", "a", 1),
        ("rejected", None, 0),
        ("accepted", "a", 1),
        ("accepted", "a", 1),
    ]
    assert [row["shared"] for row in rows] == [False, True, False, False, True, False]
    assert summary["records"] == {"distinct": 3, "sent": 3, "shared_rows": 2}


def test_a_rejected_row_has_its_reason_and_was_never_sent() -> None:
    """A row without a text has no record, no model and no cost, and its neighbours are not disturbed."""
    rows, _ = run(sure(), [{"t": "x"}, b"no JSON", {"t": 7}, {"t": "y"}], make(input={"id": "id", "keep_input": True}))
    assert [row["status"] for row in rows] == ["accepted", "rejected", "rejected", "accepted"]
    assert [row["reason"] for row in rows] == [None, "row_not_json", "text_not_string", None]
    rejected = rows[1]
    assert [rejected[name] for name in ("record", "tier", "model", "label", "labels")] == [None] * 5
    assert [rejected[name] for name in (*SUMS, "attempts", "trail", "shared")] == [0, 0, 0, 0, [], False]
    assert rejected["input"] == "no JSON"


def test_a_shared_record_costs_its_first_row() -> None:
    """Rows with one text share a record: the first carries tokens and cost, its twins 0, all the label."""
    rows, summary = run(sure(), [{"t": "x"}, {"t": "y"}, {"t": "x"}, {"t": "x"}])
    assert [row["shared"] for row in rows] == [True, False, True, True]
    assert [row["input_tokens"] > 0 for row in rows] == [True, True, False, False]
    assert [row["cost_usd"] > 0 for row in rows] == [True, True, False, False]
    assert {row["label"] for row in rows} == {"a"}
    assert summary["records"] == {"distinct": 2, "sent": 2, "shared_rows": 3}


def test_the_first_row_is_told_from_its_twin_at_the_same_line_of_another_span() -> None:
    """Spans count their lines from 1, so equal rows at equal distances must not both carry the cost."""
    rows, summary = run(sure(), [{"t": "same"}] * 400, span_bytes=1300)
    assert summary["records"]["sent"] == 1
    assert [row["line"] for row in rows if row["input_tokens"]] == [1]
    assert sum(row["cost_usd"] for row in rows) == pytest.approx(summary["cost_usd"])


def test_records_held_back_keep_their_cost() -> None:
    """Where a bucket is above the limit, prepare sends the rest a round later, and its rows lack nothing."""
    rows, summary = run(sure(), [{"t": f"text {n // 2}"} for n in range(300)], max_records_per_job=1)
    assert [found["purpose"] for found in summary["rounds"]] == ["classify", "classify"]
    assert summary["records"] == {"distinct": 150, "sent": 150, "shared_rows": 300}
    assert sum(row["input_tokens"] > 0 for row in rows) == 150
    assert all(row["shared"] for row in rows)


def test_sums_over_the_rows_are_those_of_run_json() -> None:
    """Rows of several spans, jobs and tiers add up to the summary."""
    texts = [{"t": f"text {n % 70}"} for n in range(200)]
    cloud = Cloud(
        lambda model, text: sure("a", "unsure") if model == MICRO and text.endswith("3") else sure(),
        {"span_bytes": 500, "max_records_per_job": 20, "min_records_per_job": 5},
    )
    summary = cloud.run(make(), {"a.jsonl": jsonl(texts), "b.jsonl": jsonl(texts)})
    rows = cloud.rows()
    assert len(rows) == 400
    for name in ("input_tokens", "output_tokens", "cost_usd"):
        assert sum(row[name] for row in rows) == pytest.approx(sum(tier[name] for tier in summary["tiers"]))
    assert sum(row["shared"] for row in rows) == summary["records"]["shared_rows"] == 400


def test_rows_stand_in_the_order_of_the_input() -> None:
    """Within a part rows come by source and line, however their keys were spread."""
    cloud = Cloud(
        lambda _model, _text: sure(), {"span_bytes": 2000, "max_records_per_job": 60, "min_records_per_job": 1}
    )
    files = {name: jsonl([{"t": f"{name} {n}"} for n in range(150)]) for name in ("a.jsonl", "b.jsonl")}
    cloud.run(make(), files)
    parts: dict[str, list[tuple[str, int]]] = {}
    for key, rows in cloud_parts(cloud).items():
        parts[key] = [(row["source"], row["line"]) for row in rows]
    assert len(parts) > 1
    assert all(places == sorted(places) for places in parts.values())
    assert sorted(place for places in parts.values() for place in places) == [
        (f"s3://incoming/t/{n}", i) for n in files for i in range(1, 151)
    ]


def cloud_parts(cloud: Cloud) -> dict[str, list[dict[str, Any]]]:
    import io

    import pyarrow.parquet as pq

    keys = [key for key, _ in cloud.results.keys("results/")]
    return {key: pq.read_table(io.BytesIO(cloud.results.get(key))).to_pylist() for key in keys}


@pytest.mark.parametrize("count", [9_999, 10_000, 10_001])
def test_no_row_is_lost_between_batches(count: int) -> None:
    """A part of about a row group holds each row once."""
    rows, _ = run(sure(), [{"t": f"text {n % 3}"} for n in range(count)])
    assert [row["line"] for row in rows] == list(range(1, count + 1))


def test_an_unknown_price_is_unknown_and_twins_are_free() -> None:
    """The first row's cost is null, its twins' and a rejected row's is 0, and so the run's is null."""
    task = make(tiers=[{"model": "vendor.unknown-v1:0"}])
    rows, summary = run(sure(), [{"t": "x"}, {"t": "x"}, {}], task)
    assert [row["cost_usd"] for row in rows] == [None, 0, 0]
    assert (summary["cost_usd"], summary["baseline_usd"], summary["tiers"][0]["cost_usd"]) == (None, None, None)


def test_a_price_unknown_in_one_tier_makes_a_row_unknown() -> None:
    """What reached the tier without a price has no known cost; what did not, has."""
    task = make(tiers=[{"model": "nova-micro"}, {"model": "vendor.unknown-v1:0"}])
    rows, summary = run(
        lambda model, text: sure("a", "unsure") if model == MICRO and text == "x" else sure(),
        [{"t": "x"}, {"t": "y"}],
        task,
    )
    assert rows[0]["cost_usd"] is None
    assert rows[1]["cost_usd"] > 0
    assert [tier["cost_usd"] is None for tier in summary["tiers"]] == [False, True]


def test_several_labels_stand_in_a_list() -> None:
    """choose: many leaves label null, in the trail too."""
    (row,), _ = run('{"labels": ["b", "a"], "confidence": "certain"}', [{"t": "x"}], make(choose="many"))
    assert (row["label"], row["labels"]) == (None, ["b", "a"])
    assert row["trail"][0]["label"] is None


def test_no_label_of_many_is_an_empty_list() -> None:
    """A row that may have no label is accepted with none."""
    (row,), summary = run('{"labels": [], "confidence": "certain"}', [{"t": "x"}], make(choose={"min": 0, "max": 2}))
    assert (row["status"], row["label"], row["labels"]) == ("accepted", None, [])
    assert summary["labels"] == {}


def test_a_task_without_labels_has_fields() -> None:
    """Extraction fills the fields' columns; an unresolved row has null there."""
    task = make(labels={}, answer={"confidence": False, "fields": {"n": {"type": "integer"}}})
    rows, _ = run(lambda _model, text: '{"n": 3.0}' if text == "x" else '{"n": "?"}', [{"t": "x"}, {"t": "y"}], task)
    assert [(row["label"], row["labels"], row["n"]) for row in rows] == [(None, [], 3), (None, None, None)]
    assert rows[1]["reason"] == "fields_invalid"


def test_a_cut_text_is_marked() -> None:
    """`truncated` says that the model saw less than the row."""
    task = make(input={"max_tokens": 10, "when_longer": "cut"})
    rows, _ = run(sure(), [{"t": "x" * 100}, {"t": "y"}], task)
    assert [row["truncated"] for row in rows] == [True, False]


def test_kept_columns_and_ids_stand_on_every_kind_of_row() -> None:
    """Accepted and rejected rows have what their JSON holds; what does not parse is null and a warning."""
    task = make(input={"id": "id", "keep": {"n": "int"}})
    rows, summary = run(sure(), [{"t": "x", "id": 1, "n": 5}, {"id": "z", "n": "?"}, b"{"], task)
    assert [(row["id"], row["n"]) for row in rows] == [("1", 5), ("z", None), (None, None)]
    assert summary["warnings"] == ["column n: 1 kept value(s) did not parse and are null"]
    assert summary["ids"] == {"missing": 1, "duplicate": 0}


def test_doubled_ids_are_counted_across_parts() -> None:
    """Each row whose id an earlier row has counts, wherever it lies."""
    rows = [{"t": f"text {n}", "id": n % 30} for n in range(100)]
    _, summary = run(sure(), rows, make(input={"id": "id"}), max_records_per_job=10)
    assert summary["ids"] == {"missing": 0, "duplicate": 70}


def test_a_budget_leaves_its_reason() -> None:
    """Rows that were not sent again are unresolved for the budget's sake; their trail tells what came before."""
    texts = [{"t": f"text {n}"} for n in range(50)]
    (row, *_), summary = run(sure("a", "unsure"), texts, make(budget={"max_usd": 0.002}))
    assert (row["status"], row["reason"]) == ("unresolved", "budget")
    assert [(step["outcome"], step["reason"]) for step in row["trail"]] == [("escalated", "low_confidence")]
    assert (summary["status"], summary["cause"]["reason"]) == ("nothing_accepted", "budget")


def test_a_budget_below_the_first_round_sends_nothing() -> None:
    """Rows that were never sent are unresolved with a record, no attempt and no cost."""
    (row, rejected), summary = run(sure(), [{"t": "x"}, {}], make(budget={"max_usd": 1e-9}))
    assert (row["status"], row["reason"], row["attempts"], row["trail"]) == ("unresolved", "budget", 0, [])
    assert row["record"]
    assert [row[name] for name in SUMS] == [0, 0, 0]
    assert rejected["reason"] == "text_missing"
    assert (summary["cost_usd"], summary["tiers"][0]["sent"]) == (0, 0)


def test_a_cancelled_run_keeps_what_it_has() -> None:
    """What was answered before stays accepted, the rest is unresolved for the cancellation's sake."""
    cloud = Cloud(lambda _model, text: sure("a", "unsure" if text == "x" else "certain"), ANYTHING)
    id_ = cloud.begin(make(), {"a.jsonl": jsonl([{"t": "x"}, {"t": "y"}])})

    def cancel(model: str, text: str) -> str:
        cloud.work.put(Keys(id_).cancel, b"{}")
        return sure("a", "unsure" if text == "x" else "certain")

    cloud.bedrock.answer = cancel
    cloud.drive(id_)
    from sluice.steps import publish

    summary = publish.run(cloud.services, id_)
    found = {row["line"]: (row["status"], row["reason"]) for row in cloud.rows()}
    assert summary["status"] == "cancelled"
    assert set(found.values()) <= {("unresolved", "cancelled"), ("accepted", None), ("unresolved", "job_stopped")}
    assert found[1][0] == "unresolved"


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_job_that_was_left_half_settled_counts_for_nothing_in_a_cancelled_run(lost: int) -> None:
    """Its answers are there and its books are not: its row is as if it had not been asked, the others keep theirs."""
    import msgspec

    from sluice.runs.state import JobItem, Part, Span
    from sluice.steps import merge, partition, plan, publish

    cloud = Cloud(lambda _model, _text: sure(), {**ANYTHING, "max_records_per_job": 1})
    id_ = cloud.begin(make(), {"a.jsonl": jsonl([{"t": "x"}, {"t": "y"}, {"t": "z"}])})
    keys = Keys(id_)
    for span in msgspec.json.decode(cloud.work.get(keys.spans), type=list[Span]):
        partition.run(cloud.services, span)
    jobs = msgspec.json.decode(cloud.work.get(plan.run(cloud.services, id_, 0).jobs_key), type=list[JobItem])
    for item in jobs:
        cloud.drive_job(item)
    del cloud.s3.objects["work", keys.job(0, jobs[lost].job).counts]
    cloud.work.put(keys.cancel, b"{}")
    parts = plan.run(cloud.services, id_, 1).parts_key
    for part in msgspec.json.decode(cloud.work.get(parts), type=list[Part]):
        merge.run(cloud.services, part)
    assert publish.run(cloud.services, id_)["status"] == "cancelled"
    rows = cloud.rows()
    assert sorted((row["status"], row["reason"], row["attempts"], row["input_tokens"] > 0) for row in rows) == [
        ("accepted", None, 1, True),
        ("accepted", None, 1, True),
        ("unresolved", "cancelled", 0, False),
    ]


def counts_of(cloud: Cloud) -> list[Counts]:
    """The books of all jobs."""
    import msgspec

    keys = [key for key, _ in cloud.work.keys("runs/") if key.endswith("/counts.json")]
    return [msgspec.json.decode(cloud.work.get(key), type=Counts) for key in keys]


def test_a_record_is_retried_before_it_is_escalated() -> None:
    """A failed transport costs an attempt on the same tier, in a round of its own."""
    cloud = Cloud(lambda _model, _text: sure(), {"min_records_per_job": 2})
    original = cloud.bedrock.converse
    seen: list[str] = []

    def converse(model_id: str, body: dict[str, Any]) -> dict[str, Any]:
        output = original(model_id, body)
        seen.append(model_id)
        return output if len(seen) > 1 else {"output": "lost"}

    cloud.bedrock.converse = converse  # type: ignore[method-assign]
    cloud.run(make(), {"a.jsonl": jsonl([{"t": "x"}, {"t": "y"}])})
    trails = sorted([[(s["tier"], s["outcome"], s["reason"]) for s in row["trail"]] for row in cloud.rows()], key=len)
    assert trails == [
        [(0, "accepted", None)],
        [(0, "retried", "reply_unreadable"), (0, "accepted", None)],
    ]
    assert [books.purpose for books in counts_of(cloud)] == ["classify", "retry"]
