from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sluice.aws.events import Event
from sluice.aws.metrics import Measure
from sluice.errors import RetryLater, Unbalanced
from sluice.reasons import LIKELY, Reason
from sluice.results.run_document import read_run
from sluice.results.run_table import run_row
from sluice.runs.keys import Keys
from sluice.steps import publish
from sluice.task.file import parse_task
from sluice.task.task import Task
from tests.harness.drive import Cloud, jsonl

if TYPE_CHECKING:
    from pathlib import Path

ROWS = jsonl([{"t": f"text {n}"} for n in range(20)])
# fmt: off
RUN = [
    "schema_version", "run_id", "task", "task_version", "status", "error", "started", "finished", "seconds", "answers",
    "inputs", "passed_over", "rows", "settled", "records", "routes", "rounds", "tiers", "jobs", "reasons", "labels",
    "cost_usd", "fillers", "repeats", "judge", "reused", "baseline_usd", "prices", "ids", "warnings", "gold",
    "escalations", "certificate", "score", "taught_by", "drift", "label_shares", "audit", "findings", "definition",
    "quotas", "cause",
]
TIER = [
    "tier", "model", "transport", "sent", "reused", "answered", "errored", "missing", "accepted", "retried",
    "escalated", "input_tokens", "output_tokens", "cost_usd",
]
# fmt: on


def make(**changes: Any) -> Task:
    return parse_task({"name": "t", "input": {"text": "t"}, "labels": ["a", "b"], **changes}, "t")


SURE = '{"label": "a", "confidence": "certain"}'


def cloud(reply: Any = SURE, **settings: Any) -> Cloud:
    answer = reply if callable(reply) else lambda _model, _text: reply
    return Cloud(answer, {"min_records_per_job": 1, **settings})


def merged(deployed: Cloud, task: Task | None = None, rows: bytes = ROWS) -> str:
    """A run up to its merged parts."""
    run = deployed.begin(task or make(), {"a.jsonl": rows})
    deployed.drive(run)
    return run


def published(deployed: Cloud) -> list[str]:
    return [key for key, _ in deployed.results.keys("")]


def tamper(deployed: Cloud, key: str, **changes: Any) -> None:
    books = msgspec.json.decode(deployed.work.get(key))
    deployed.work.put(key, msgspec.json.encode({**books, **changes}))


def test_run_json_has_the_keys_of_its_contract() -> None:
    """Names, in the order in which they are documented, at the top and inside."""
    summary = cloud().run(make(), {"a.jsonl": ROWS})
    assert list(summary) == RUN
    counts = ["rows", "accepted", "unresolved", "rejected"]
    assert list(summary["inputs"][0]) == ["uri", "version", "bytes", *counts, "refused"]
    assert list(summary["rows"]) == ["in", "accepted", "unresolved", "rejected"]
    assert list(summary["records"]) == ["distinct", "sent", "shared_rows"]
    assert list(summary["rounds"][0]) == ["round", "tier", "purpose", "jobs", "sent"]
    assert set(TIER) <= set(summary["tiers"][0])
    assert list(summary["jobs"][0]) == [
        "round",
        "job",
        "tier",
        "judge",
        "status",
        "message",
        "records",
        "submitted",
        "ended",
    ]
    assert set(summary["prices"]) == {"source", "date"}
    assert set(summary["ids"]) == {"missing", "duplicate"}
    took = ["input_tokens", "output_tokens"]
    assert list(summary["reused"]) == ["records", *took, "saved_usd"]
    assert list(summary["fillers"]) == ["requests", *took, "cost_usd"]
    assert list(summary["repeats"]) == ["records", *took, "cost_usd"]


def test_versions_that_were_passed_over_are_named_in_run_json_and_in_nothing_else() -> None:
    """As start froze them, in their order; no row, no input and no count knows of them, and the report is made."""
    deployed = cloud()
    run = deployed.begin(make(), {"a.jsonl": ROWS})
    passed = [
        {"uri": "s3://incoming/t/a.jsonl", "version": version, "at": f"2026-11-20T08:0{n}:00+00:00"}
        for n, version in enumerate(("v1", "v2"))
    ]
    tamper(deployed, Keys(run).inputs, passed_over=passed)
    deployed.drive(run)
    publish.run(deployed.services, run)
    found = deployed.results.get(f"reports/{run}/run.json")
    summary = json.loads(found)
    assert summary["passed_over"] == passed
    assert [(item.uri, item.version) for item in read_run(summary).passed_over] == [
        (p["uri"], p["version"]) for p in passed
    ]
    assert ([item["rows"] for item in summary["inputs"]], summary["rows"]["in"], summary["warnings"]) == ([20], 20, [])
    assert deployed.results.exists(f"reports/{run}/report.html")


def test_run_json_lies_beside_the_report() -> None:
    """The summary that is returned is the one that is kept, next to the rows and the report."""
    deployed = cloud()
    summary = deployed.run(make(), {"a.jsonl": ROWS})
    run = summary["run_id"]
    part = f"results/t/run_date=2026-11-20/{run}-part-00000.parquet"
    row = f"runs/run_date=2026-11-20/{run}.parquet"
    assert published(deployed) == [f"reports/{run}/report.html", f"reports/{run}/run.json", part, row]
    assert json.loads(deployed.results.get(f"reports/{run}/run.json")) == json.loads(json.dumps(summary))


def test_a_run_within_its_limits_succeeded() -> None:
    """Rows up to the limits' shares are no failure."""
    summary = cloud().run(make(limits={"rejected": 0.5}), {"a.jsonl": ROWS + b"{}\n"})
    assert (summary["status"], summary["error"]) == ("succeeded", None)


@pytest.mark.parametrize(
    ("reply", "limits"),
    [
        (lambda _model, text: SURE if text.endswith("1") else "no idea", {"unresolved": 0.5}),
        (SURE, {"rejected": 0}),
    ],
)
def test_a_run_above_a_limit_says_so(reply: Any, limits: dict[str, float]) -> None:
    """More unresolved or rejected rows than allowed make the run over_limit; its rows are published."""
    deployed = cloud(reply)
    summary = deployed.run(make(limits=limits), {"a.jsonl": ROWS + b"{}\n"})
    assert summary["status"] == "over_limit"
    assert len(deployed.rows()) == 21


def test_a_run_that_the_budget_ended_says_what_it_left() -> None:
    """In a warning; where it let nothing be sent, nothing was accepted."""
    summary = cloud().run(make(budget={"max_usd": 1e-9}), {"a.jsonl": ROWS})
    assert summary["status"] == "nothing_accepted"
    assert (summary["cause"]["reason"], summary["cause"]["rows"]) == ("budget", 20)
    assert "the budget ended the run: 20 rows are unresolved" in summary["warnings"]


@pytest.mark.parametrize(
    ("reply", "rows", "reason"),
    [("no idea", ROWS, "reply_not_json"), (SURE, b"{}\n{\n{}\n", "text_missing")],
    ids=["no answer", "no text"],
)
def test_a_run_that_accepted_nothing_says_so_and_why(reply: str, rows: bytes, reason: str) -> None:
    """Its rows are published with their reasons; run.json, the event, the table of runs and the metric say the same."""
    details: list[dict[str, Any]] = []
    deployed = cloud(reply)
    run = merged(deployed, rows=rows)
    summary = publish.run(listening(deployed, lambda _kind, detail: details.append(dict(detail))), run)
    assert (summary["status"], summary["cause"]["reason"]) == ("nothing_accepted", reason)
    assert summary["cause"]["likely"]
    assert summary["cause"] == details[0]["cause"]
    assert {row["status"] for row in deployed.rows()} == {"unresolved" if reply == "no idea" else "rejected"}
    row = run_row(summary)
    assert (row["status"], row["reason"], row["cause"]) == ("nothing_accepted", reason, summary["cause"]["likely"])
    assert deployed.readings.total(Measure.NOTHING_ACCEPTED) == 1


def test_a_run_without_rows_has_settled_all_there_was() -> None:
    """Of no rows none can be accepted."""
    summary = cloud().run(make(), {"a.jsonl": b"\n\n"})
    assert (summary["status"], summary["cause"]) == ("succeeded", None)


def test_every_reason_has_something_likely_behind_it() -> None:
    """For the run of which most rows end so."""
    assert set(LIKELY) == set(Reason)


def test_what_the_budget_keeps_out_of_a_round_can_go_into_the_next() -> None:
    """Jobs wait until it is known what the others cost, and their rows lack nothing."""
    deployed = cloud(max_records_per_job=100)
    rows = jsonl([{"t": f"text {n}"} for n in range(300)])
    summary = deployed.run(make(budget={"max_usd": 0.0015}), {"a.jsonl": rows})
    assert [found["round"] for found in summary["rounds"]] == [0, 1]
    assert summary["records"] == {"distinct": 300, "sent": 300, "shared_rows": 0}
    assert sum(row["cost_usd"] for row in deployed.rows()) == pytest.approx(summary["cost_usd"])


def test_a_cancelled_run_says_so() -> None:
    """A run that was cancelled before anything was sent publishes its rows as unresolved."""
    deployed = cloud()
    run = deployed.begin(make(), {"a.jsonl": ROWS})
    deployed.work.put(Keys(run).cancel, b"{}")
    deployed.drive(run)
    summary = publish.run(deployed.services, run)
    assert (summary["status"], summary["reasons"]) == ("cancelled", {"cancelled": 20})


@pytest.mark.parametrize(
    "changes", [{"rows": 19}, {"accepted": 19}, {"accepted": 19, "rejected": 1}, {"input_tokens": 0}, {"shard": 1}]
)
def test_a_part_whose_books_do_not_balance_stops_everything(changes: dict[str, Any]) -> None:
    """Nothing stands under the results when a figure of a part is wrong."""
    deployed = cloud()
    run = merged(deployed)
    tamper(deployed, Keys(run).merged_books(0), **changes)
    with pytest.raises(Unbalanced):
        publish.run(deployed.services, run)
    assert published(deployed) == []


def test_a_job_whose_books_do_not_balance_stops_everything() -> None:
    """The same for a figure of a job."""
    deployed = cloud()
    run = merged(deployed)
    tamper(deployed, Keys(run).job(0, 0).counts, answered=3)
    with pytest.raises(Unbalanced, match="20 records sent, 3 answered"):
        publish.run(deployed.services, run)
    assert published(deployed) == []


def test_publishing_twice_changes_nothing() -> None:
    """A run that is published already is left alone, and one completion event is sent."""
    events: list[str] = []
    deployed = cloud()
    run = merged(deployed)
    services = listening(deployed, lambda kind, _detail: events.append(kind))
    first = publish.run(services, run)
    writes = len(deployed.s3.writes)
    assert publish.run(services, run) == json.loads(json.dumps(first))
    assert len(deployed.s3.writes) == writes
    assert events == [Event.FINISHED]


def test_the_completion_event_says_what_came_of_the_run_and_where_it_lies() -> None:
    """Whoever comes next needs no look at the buckets."""
    details: list[dict[str, Any]] = []
    deployed = cloud()
    run = merged(deployed)
    summary = publish.run(listening(deployed, lambda _kind, detail: details.append(dict(detail))), run)
    [detail] = details
    assert detail == {
        "run_id": run,
        "task": "t",
        "status": "succeeded",
        "cause": None,
        "rows": {"in": 20, "accepted": 20, "unresolved": 0, "rejected": 0},
        "cost_usd": summary["cost_usd"],
        "results": f"s3://results/results/t/run_date=2026-11-20/{run}-",
        "report": f"s3://results/reports/{run}/report.html",
    }
    folder = detail["results"].removeprefix("s3://results/")
    assert [key for key, _ in deployed.results.keys(folder)] == [key for key in published(deployed) if "part" in key]


def test_an_event_that_is_not_taken_is_sent_again() -> None:
    """A moment later, within the same call."""
    sent: list[str] = []

    def refuse(kind: str, _detail: Any) -> None:
        sent.append(kind)
        if len(sent) == 1:
            raise RetryLater(kind)

    deployed = cloud()
    run = merged(deployed)
    summary = publish.run(listening(deployed, refuse), run)
    assert sent == [Event.FINISHED, Event.FINISHED]
    assert summary["warnings"] == []


def test_an_announcement_never_decides_a_run() -> None:
    """All is bought and published when it is sent: where it never is, run.json says so and the run has succeeded."""
    warned: list[str] = []

    def refuse(kind: str, _detail: Any) -> None:
        raise RetryLater(f"EventBridge did not take the event {kind!r}: AccessDeniedException")

    deployed = cloud()
    run = merged(deployed)
    services = dataclasses.replace(listening(deployed, refuse), warn=warned.append)
    summary = publish.run(services, run)
    assert summary["status"] == "succeeded"
    [warning] = summary["warnings"]
    assert warned == [warning]
    assert "AccessDenied" in warning
    assert json.loads(deployed.results.get(f"reports/{run}/run.json")) == summary
    assert publish.run(services, run) == summary


def listening(deployed: Cloud, publish_event: Any) -> Any:
    """The cloud's services with an ear on its events."""
    return dataclasses.replace(deployed.services, publish_event=publish_event, sleep=lambda _: None)


def test_the_parts_are_the_merged_ones_byte_for_byte() -> None:
    """Publishing copies and does not touch."""
    deployed = cloud(max_records_per_job=7)
    run = merged(deployed)
    publish.run(deployed.services, run)
    work = [deployed.work.get(key) for key, _ in deployed.work.keys(f"requests/{run}/") if key.endswith(".parquet")]
    assert len(work) > 1
    assert [deployed.results.get(key) for key, _ in deployed.results.keys("results/")] == work


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of several runs of one task, good and bad ones, as they lie in the bucket."""
    task = make(
        input={"text": "t", "keep": {"when": "timestamp", "n": "int"}, "keep_input": True},
        answer={"fields": {"tags": {"type": "array", "items": {"type": "string"}}}},
    )
    good = '{"label": "a", "confidence": "certain", "tags": ["x"]}'
    root = tmp_path_factory.mktemp("results")
    for number, (reply, rows) in enumerate(
        [
            (good, jsonl([{"t": f"text {n}", "n": n, "when": "2026-11-20T10:00:00Z"} for n in range(20)])),
            ("no idea", jsonl([{"t": f"text {n}"} for n in range(10)])),
            (good, b"{}\nno JSON\n"),
        ]
    ):
        deployed = cloud(reply, max_records_per_job=8)
        deployed.run(task, {f"{number}.jsonl": rows})
        for key, _ in deployed.results.keys("results/"):
            path = root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(deployed.results.get(key))
    return root / "results" / "t"


STATUSES = {"accepted": 20, "unresolved": 10, "rejected": 2}


def test_pyarrow_reads_the_folder_as_one_table(folder: Path) -> None:
    """All parts of all runs have one schema."""
    from collections import Counter

    import pyarrow.dataset as ds

    table = ds.dataset(folder, partitioning="hive").to_table()
    assert Counter(table["status"].to_pylist()) == STATUSES
    assert [str(table.schema.field(name).type) for name in ("when", "n")] == ["timestamp[us, tz=UTC]", "int64"]


def test_pandas_reads_the_folder_as_one_table(folder: Path) -> None:
    """The partition key is a column beside the others."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(folder)
    assert frame["status"].value_counts().to_dict() == STATUSES
    assert set(frame["run_date"].astype(str)) == {"2026-11-20"}


def test_duckdb_reads_the_folder_as_one_table(folder: Path) -> None:
    """A query over the folder needs nothing but its path."""
    duckdb = pytest.importorskip("duckdb")
    query = f"select status, count(*) from read_parquet('{folder}/**/*.parquet', hive_partitioning = true) group by 1"
    assert dict(duckdb.connect().sql(query).fetchall()) == STATUSES


def test_each_input_tells_what_became_of_its_rows() -> None:
    """Accepted, unresolved and rejected rows of each file add up to its rows, however the run was cut."""
    files = {"a.jsonl": ROWS + b"{}\n", "b.jsonl": b"{}\n[]\n", "c.jsonl": jsonl([{"t": "odd one"}, {"t": "fine"}])}
    deployed = Cloud(
        lambda _model, text: "no idea" if "odd" in text else '{"label": "a", "confidence": "certain"}',
        {"min_records_per_job": 1, "span_bytes": 100, "max_records_per_job": 5},
    )
    inputs = deployed.run(make(), files)["inputs"]
    found = [[item[name] for name in ("rows", "accepted", "unresolved", "rejected")] for item in inputs]
    assert found == [[21, 20, 0, 1], [2, 0, 0, 2], [2, 1, 1, 0]]


def test_parts_that_tell_nothing_of_their_inputs_leave_the_counts_out() -> None:
    """A part that an earlier version merged has no counts by input: none is better than half."""
    deployed = cloud()
    run = merged(deployed)
    tamper(deployed, Keys(run).merged_books(0), inputs={})
    assert list(publish.run(deployed.services, run)["inputs"][0]) == ["uri", "version", "bytes", "rows", "refused"]


def test_a_file_of_which_no_row_could_be_read_is_named() -> None:
    """The rows of its neighbours hide it otherwise."""
    summary = cloud().run(make(), {"a.jsonl": ROWS + b"{}\n", "b.jsonl": b"{}\n[]\n"})
    assert summary["warnings"] == ["b.jsonl: all of its 2 rows were rejected"]


@pytest.mark.parametrize(("settled", "warns"), [("no idea", True), ('{"label": "a", "confidence": "certain"}', False)])
def test_a_first_tier_that_settles_nothing_is_named(settled: str, warns: bool) -> None:
    """It only added to the cost; a tier that settles something, and the last one, are not spoken of."""
    deployed = Cloud(
        lambda model, _text: settled if "micro" in model else '{"label": "b", "confidence": "certain"}',
        {"min_records_per_job": 1},
    )
    warnings = deployed.run(make(), {"a.jsonl": ROWS})["warnings"]
    assert any("settled none of the 20 records" in warning for warning in warnings) == warns
