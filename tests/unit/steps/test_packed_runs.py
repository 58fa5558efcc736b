from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from sluice.budget.costs import Load, expected_way
from sluice.budget.whole import run_ceiling_usd
from sluice.rows.record import BYTES_PER_TOKEN, KEY
from sluice.steps.services import Run
from sluice.task.file import parse_task
from sluice.task.tiers import Transport
from tests.faults.scenarios import LABELS, MODELS, reply
from tests.harness.bedrock import model_output, texts_of
from tests.harness.drive import Cloud
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine
from tests.harness.stage import HAIKU, MICRO

ROWS = b"\n".join(json.dumps({"text": f"text {n} </text> & more", "id": str(n)}).encode() for n in range(60))


def run_packed(
    pack: int, transport: str = "batch", plan: FaultPlan | None = None, tiers_: int = 2, **settings: int
) -> Machine:
    """A run of sixty rows over two tiers, in packs of so many, to its end."""
    tiers = [{"model": model, "pack": pack, "transport": transport, "attempts": 2} for model in MODELS[:tiers_]]
    read = {"text": "text", "id": "id"}
    task = {"name": "packed", "input": read, "labels": list(LABELS), "gates": {"min_confidence": "likely"}}
    machine = Machine(plan or FaultPlan(), reply, {"min_records_per_job": 1, **settings})
    machine.finish(machine.begin(parse_task(task | {"tiers": tiers}, "task"), {"a.jsonl": ROWS}))
    return machine


def requests(machine: Machine) -> list[tuple[str, list[dict[str, Any]]]]:
    """The requests of each job, by its key."""
    keys = [key for key, _ in machine.work.keys("requests/") if key.endswith("/in/part-0.jsonl")]
    return [(key, [json.loads(line) for line in machine.work.get(key).splitlines()]) for key in sorted(keys)]


def run_of(machine: Machine) -> str:
    return next(iter(machine.work.keys("runs/")))[0].split("/")[1]


def decided(machine: Machine) -> dict[int, tuple[Any, ...]]:
    return {row["line"]: (row["status"], row["label"], row["model"], row["reason"]) for row in machine.rows()}


@pytest.mark.parametrize("transport", ["batch", "on_demand"])
@pytest.mark.parametrize("pack", [2, 5, 20])
def test_where_the_answers_are_the_same_packs_change_no_decision(pack: int, transport: str) -> None:
    """Status, label, model and reason of each row are those of single requests, however replies are wrapped."""
    assert decided(run_packed(pack, transport)) == decided(run_packed(1))


@pytest.mark.parametrize("pack", [3, 10])
def test_no_request_holds_the_same_records_twice(pack: int) -> None:
    """Rows that go again do so in packs of at most half, then alone; a request's id is new for each."""
    machine = run_packed(pack, plan=FaultPlan(seed=3, records=0.6), tiers_=1, max_records_per_job=20)
    found = [(line["recordId"], line) for _, lines in requests(machine) for line in lines]
    models = Counter(
        (json.dumps(line["modelInput"]["system"]), frozenset(text for _, text in texts_of(line["modelInput"])))
        for _, line in found
    )
    of_several = {held: count for (_, held), count in models.items() if len(held) > 1}
    sizes = {len(held) for held in of_several}
    assert max(sizes) == pack
    first = [line for key, lines in requests(machine) if "/round-0/" in key for line in lines]
    again = [line for key, lines in requests(machine) if "/round-1/" in key for line in lines]
    assert again
    held_first = {frozenset(text for _, text in texts_of(line["modelInput"])) for line in first}
    held_again = {frozenset(text for _, text in texts_of(line["modelInput"])) for line in again}
    assert not {held for held in held_first & held_again if len(held) > 1}


def test_what_a_request_holds_is_noted_before_it_is_sent_and_written_alike_again() -> None:
    """The note and the job's input come out byte for byte when prepare runs once more."""
    one, other = run_packed(7), run_packed(7)
    noted = [machine.work.get(f"runs/{run_of(machine)}/round-0/00000/packs.bin") for machine in (one, other)]
    assert noted[0] == noted[1] == b"0 1 7\n" + bytes([7] * 8 + [4])
    assert [lines for _, lines in requests(one)] == [lines for _, lines in requests(other)]
    assert all(len(line["recordId"]) == KEY for _, lines in requests(one) for line in lines)


def test_tokens_that_nothing_tells_are_estimated_for_each_row_of_a_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row's share of the instructions and its own text: together about what the requests are long."""
    monkeypatch.setattr(
        "tests.harness.faulty_bedrock.model_output", lambda *given: model_output(*given) | {"usage": {}}
    )
    machine = run_packed(5, tiers_=1)
    sent = [json.dumps(line["modelInput"], ensure_ascii=False) for _, lines in requests(machine) for line in lines]
    rows = [row["input_tokens"] for row in machine.rows()]
    assert min(rows) > 0
    assert sum(rows) == pytest.approx(sum(map(len, sent)) / BYTES_PER_TOKEN, rel=0.05)


def test_a_row_without_an_answer_of_its_own_took_no_word_of_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the model does not tell its tokens: for this row nothing stands there to estimate."""
    monkeypatch.setattr("tests.harness.bedrock.model_output", lambda *given: model_output(*given) | {"usage": {}})
    sure = json.dumps({"label": LABELS[0], "confidence": "certain"})
    cloud = Cloud(lambda _model, text: "" if text.startswith("text 3 ") else sure, {"min_records_per_job": 1})
    tiers = [{"model": MODELS[0], "pack": 5, "transport": "batch"}]
    task = {"name": "packed", "input": {"text": "text", "id": "id"}, "labels": list(LABELS), "tiers": tiers}
    cloud.run(parse_task(task, "task"), {"a.jsonl": ROWS})
    written = {row["id"]: row["output_tokens"] for row in cloud.rows()}
    assert written.pop("3") == 0
    assert min(written.values()) > 0


@pytest.mark.parametrize(("transport", "mark"), [("flex", '"serviceTier"'), ("on_demand", '"cachePoint"')])
def test_a_pack_is_sent_the_way_that_its_job_takes(transport: str, mark: str) -> None:
    """At the price that the plan counts with: half of it, or with instructions that are read from the cache."""
    labels = dict.fromkeys(LABELS, "what this label is for, in many words " * 60)
    task = {"name": "packed", "input": {"text": "text", "id": "id"}, "labels": labels}
    tier = {"model": "nova-pro", "pack": 5, "transport": transport}
    machine = Machine(FaultPlan(), reply, {"min_records_per_job": 1})
    machine.finish(machine.begin(parse_task(task | {"tiers": [tier]}, "task"), {"a.jsonl": ROWS}))
    bodies = [json.dumps(line["modelInput"]) for _, lines in requests(machine) for line in lines]
    packed = [body for body in bodies if body.count("<text id=") > 1]
    assert packed
    assert all(mark in body for body in packed)


def test_a_packed_run_keeps_below_its_ceiling_and_counts_requests_for_batch() -> None:
    """Under any faults it costs no more than its plan said; fewer requests than Bedrock's minimum go on demand."""
    machine = run_packed(4, plan=FaultPlan(seed=5, records=0.8))
    opened = Run(machine.work, run_of(machine))
    load = Load.of_plan(opened.task, opened.plan)
    ceiling = run_ceiling_usd(opened.task, opened.start.tiers, load, 1)
    spent = sum(row["cost_usd"] for row in machine.rows())
    assert ceiling is not None
    assert 0 < spent <= ceiling
    tier = opened.start.tiers[0].model_copy(update={"pack": 10, "transport": Transport.AUTO})
    assert [expected_way(tier, load, records, 100).value for records in (990, 991)] == ["on_demand", "batch"]


def test_a_record_that_was_alone_already_is_not_sent_alone_again() -> None:
    """Of 21 records the last has a request to itself: what is refused there had no neighbours that could be why."""
    tiers = [{"model": model, "pack": 20, "transport": "batch"} for model in MODELS[:2]]
    task = parse_task({"name": "packed", "input": {"text": "text"}, "labels": list(LABELS), "tiers": tiers}, "task")
    machine = Machine(
        FaultPlan(), lambda *_: json.dumps({"label": LABELS[0], "confidence": "certain"}), {"min_records_per_job": 1}
    )
    rows = ROWS.split(b"\n")[:21]
    run = machine.begin(task, {"a.jsonl": b"\n".join(rows)})
    refusal = (400, "not this one")
    machine.faulty.refuses = lambda model, text: refusal if model == MICRO and text.count("& more") == 1 else None
    machine.finish(run)
    assert Counter((row["model"], row["attempts"]) for row in machine.rows()) == {(MICRO, 1): 20, (HAIKU, 2): 1}
    sent = [len(texts_of(line["modelInput"])) for _, lines in requests(machine) for line in lines]
    assert sent == [20, 1, 1]
