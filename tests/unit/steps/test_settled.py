"""What people have settled stays settled in the next run, which asks nobody about it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice.api.quality import compare, evaluate, verify
from sluice.errors import BadRequest
from sluice.quality.draws import seed_of
from sluice.results.corrections import Correction, Corrections
from sluice.results.settled import PEOPLE, fits, question_of
from sluice.results.task_examples import examples_of
from sluice.results.wanted import Wanted
from sluice.runs.settled import SettledRecord
from sluice.steps import publish, rejudge
from sluice.steps.services import Run
from sluice.task.file import parse_task
from tests.faults.certified import reply
from tests.harness.drive import Cloud, jsonl
from tests.harness.reviewed import opened
from tests.unit.steps import test_certified_runs as certified

TASK: dict[str, Any] = {
    "name": "t",
    "input": {"id": "id", "text": "text"},
    "labels": ["a", "b", "c"],
    "tiers": [{"model": "nova-micro", "transport": "on_demand"}],
}
WITH_FIELDS = TASK | {"answer": {"fields": {"amount": {"type": "integer"}}}}
ROWS = [{"id": str(n), "text": f"text {n % 5}"} for n in range(8)]  # 5, 6 and 7 have the texts of 0, 1 and 2


class Desk:
    """A cloud whose models answer `a` to everything, what they were asked, and people who know better."""

    def __init__(self, word: str = "certain") -> None:
        self.word, self.texts = word, list[str]()
        self.cloud = Cloud(self._answer)

    def _answer(self, _model: str, text: str) -> str:
        self.texts.append(text)
        return json.dumps({"label": "a", "confidence": self.word, "amount": 7})

    def run(self, task: dict[str, Any] = TASK, name: str = "a") -> dict[str, Any]:
        self.texts.clear()
        return self.cloud.run(parse_task(task, "t"), {f"{name}.jsonl": jsonl(ROWS)})

    def rows(self, summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
        published = opened(self.cloud, summary)
        found = [row for batch in published.batches(Wanted(), published.schema.names) for row in batch.to_pylist()]
        return {row["id"]: row for row in found}

    def say(self, summary: dict[str, Any], name: str, label: str, **more: Any) -> None:
        row = self.rows(summary)[name]
        said: dict[str, Any] = {
            **{key: row[key] for key in ("source", "line", "record")},
            "labels": [label],
            "question": question_of(parse_task(summary["definition"], "t", frozen=True)),
            "by": "ann",
            "at": "2026-11-20T10:00:00+00:00",
            "run": summary["run_id"],
            **more,
        }
        opened(self.cloud, summary).corrections.add([Correction(**said)])


def test_the_next_run_keeps_what_people_said_and_asks_nobody() -> None:
    """Of all rows of the text, at no cost, with who said it beside them; the books hold, and count them apart."""
    desk = Desk()
    before = desk.run()
    desk.say(before, "0", "b")
    desk.say(before, "3", "c")
    after = desk.run(name="b")
    rows = desk.rows(after)
    assert {name: (row["label"], row["model"] == PEOPLE) for name, row in rows.items() if row["label"] != "a"} == {
        "0": ("b", True),
        "5": ("b", True),
        "3": ("c", True),
    }
    row = rows["5"]
    assert (row["status"], row["tier"], row["attempts"], row["trail"], row["cost_usd"]) == ("accepted", None, 0, [], 0)
    assert (row["correction"], row["corrected_by"]) == ("confirmed", "ann")
    assert sorted(text[-1] for text in desk.texts) == ["1", "2", "4"]
    assert after["rows"] == {"in": 8, "accepted": 8, "unresolved": 0, "rejected": 0}
    assert after["settled"] == {"rows": 3}
    assert after["records"]["distinct"] == 3
    assert after["labels"] == {"a": 5, "b": 2, "c": 1}


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (TASK | {"labels": ["a", "b", "c", "d"]}, {}),  # perhaps it is a `d`
        (TASK | {"corrections": {"settle": False}}, {}),
        (TASK, {"question": None}),  # of a version that did not say under which labels
        (WITH_FIELDS, {}),  # a label alone is not all that is asked for
    ],
)
def test_others_are_asked_about_anew(task: dict[str, Any], said: dict[str, Any]) -> None:
    """An answer to another question, a part of one, or one that the task does not want, settles nothing."""
    desk = Desk()
    desk.say(desk.run(), "0", "b", **said)
    assert desk.run(task, "b")["settled"]["rows"] == 0
    assert len(desk.texts) == 5


def test_people_who_disagree_settle_nothing() -> None:
    """Not about a row, and not about two rows of a text; one who takes it back, neither."""
    desk = Desk()
    before = desk.run()
    for name, label, by in (("0", "b", "ann"), ("0", "c", "ben"), ("1", "b", "ann"), ("6", "c", "ann")):
        desk.say(before, name, label, by=by)
    desk.say(before, "2", "b")
    desk.say(before, "2", "b", labels=None, withdraws=(5, 1))
    assert desk.run(name="b")["settled"]["rows"] == 0


def test_fields_that_were_looked_at_stand_beside_those_that_were_changed() -> None:
    """So the answer is whole, as the row's reviewer had it before them."""
    desk = Desk()
    before = desk.run(WITH_FIELDS)
    desk.say(before, "0", "b", shown={"amount": 7})
    desk.say(before, "1", "c", shown={"amount": 7}, fields={"amount": 9})
    rows = desk.rows(desk.run(WITH_FIELDS, "b"))
    assert [(rows[name]["label"], rows[name]["amount"]) for name in "0516"] == [("b", 7), ("b", 7), ("c", 9), ("c", 9)]


def test_a_run_whose_models_settle_nothing_has_not_succeeded() -> None:
    """Whatever people had settled before it; one of which nothing is left to ask has."""
    desk = Desk("unsure")
    before = desk.run()
    desk.say(before, "0", "b")
    after = desk.run(name="b")
    assert (after["status"], after["rows"]["accepted"], after["rows"]["unresolved"]) == ("nothing_accepted", 2, 6)
    for name in "1234":
        desk.say(before, name, "b")
    last = desk.run(name="c")
    assert (last["status"], last["settled"]["rows"], last["cost_usd"], desk.texts) == ("succeeded", 8, 0, [])


def test_what_people_said_measures_no_run_that_took_it_over() -> None:
    """It would agree with itself: neither evaluate nor compare counts such rows, and a text's twins go with it."""
    desk = Desk()
    before = desk.run()
    desk.say(before, "0", "b")
    desk.say(before, "4", "a", question=None)  # asked about again
    again = desk.cloud.run(parse_task(TASK | {"instructions": "anew"}, "t"), {"a.jsonl": jsonl(ROWS)})
    found = evaluate(opened(desk.cloud, again), again, "corrections")
    assert found["known"] == 1
    first, second = ((opened(desk.cloud, each), each) for each in (before, again))
    assert compare(first, second, "corrections")["rows"]["compared"] == 6


def test_no_route_takes_a_settled_row() -> None:
    """Neither as a row nor by its bytes, so that what is planned for a route is what it sends."""
    task = TASK | {
        "tiers": [{"model": "nova-micro", "transport": "on_demand"}, {"model": "nova-pro", "transport": "on_demand"}],
        "routes": [{"when": {"properties": {"text": {"const": "text 0"}}, "required": ["text"]}, "tier": 1}],
    }
    desk = Desk()
    before = desk.run(task)
    assert before["routes"][0]["rows"] == 2
    desk.say(before, "0", "b")
    after = desk.run(task, "b")
    assert (after["routes"][0]["rows"], after["settled"], after["rows"]["accepted"]) == (0, {"rows": 2}, 8)
    plan = Run(desk.cloud.work, after["run_id"]).plan
    assert plan.routed == {0: (0, 0)}


def test_settled_texts_are_examples_of_a_task() -> None:
    """With whole answers, as the task file takes them; what the models had wrong goes first, each label in turn."""
    desk = Desk()
    before = desk.run(WITH_FIELDS)
    for name, label in (("0", "a"), ("1", "a"), ("2", "b"), ("3", "b")):
        desk.say(before, name, label, shown={"amount": 7})
    desk.say(before, "4", "c")  # of which nobody said the amount
    found = examples_of(opened(desk.cloud, before), 3)
    assert {each["label"] for each in found[:2]} == {"a", "b"}
    assert all(each["amount"] == 7 and each["text"] in {"text 0", "text 1", "text 2", "text 3"} for each in found)
    assert len(parse_task(WITH_FIELDS | {"examples": found}, "t").examples) == 3
    other = Desk()
    with pytest.raises(BadRequest, match="no text that people have settled"):
        examples_of(opened(other.cloud, other.run()), 3)


def test_settled_rows_leave_the_population_of_a_certificate() -> None:
    """Before ranks are given, under a seed that nobody knew who settled them; `verify` finds the same population."""
    cloud = Cloud(reply, certified.SETTINGS)
    before = cloud.run(certified.task_of(), certified.FILES)
    rows = [row for row in cloud.rows() if row["status"] == "accepted"][:40]
    question = question_of(certified.task_of())
    log = opened(cloud, before).corrections
    about = {"by": "ann", "at": "2026-11-20T10:00:00+00:00", "run": before["run_id"], "question": question}
    log.add([Correction(labels=["red"], **{k: row[k] for k in ("source", "line", "record")}, **about) for row in rows])
    task = certified.task_of(instructions="anew")
    after = cloud.run(task, certified.FILES)
    said = {row["record"] for row in rows}
    assert after["settled"]["rows"] >= 40
    certificate, draws = certified.stored(cloud, after["run_id"])
    good = after["rows"]["in"] - after["rows"]["rejected"] - after["settled"]["rows"]
    assert certificate.population == good - certified.TRAIN
    assert not said & draws.keys
    frozen = Run(cloud.work, after["run_id"]).inputs.inputs
    assert draws.seed != seed_of(task.version, frozen)
    kept = cloud.results.get(f"reports/{after['run_id']}/certificate.json")
    assert verify(opened(cloud, after), after, kept)["problems"] == []


def test_a_run_that_is_judged_again_keeps_what_still_fits() -> None:
    """What people said under a label that the task no longer has is no answer any more."""
    desk = Desk()
    before = desk.run()
    desk.say(before, "0", "b")
    desk.say(before, "3", "c")
    after = desk.run(name="b")
    task = parse_task(TASK | {"labels": ["a", "b"]}, "t")
    again = rejudge.run(desk.cloud.services, after["run_id"], task)
    desk.cloud.drive(again)
    summary = publish.run(desk.cloud.services, again)
    rows = desk.rows(summary)
    assert [(rows[name]["status"], rows[name]["label"]) for name in "053"] == [
        ("accepted", "b"),
        ("accepted", "b"),
        ("unresolved", None),
    ]
    assert summary["settled"]["rows"] == 3


def test_a_sample_that_was_labelled_before_is_drawn_of_all_rows() -> None:
    """A run against gold settles nothing: else a word about a row would take the labelled sample from it."""
    quality = {"against": "gold", "worse": 0.1, "sample": 100}
    for task, settles in ((certified.task_of(quality=quality), False), (certified.task_of(), True)):
        assert task.settles is settles
        cloud = Cloud(reply)
        said = Correction(
            source="s",
            line=1,
            record="0" * 32,
            labels=["red"],
            question=question_of(task),
            by="ann",
            at="2026-11-20T10:00:00+00:00",
            run="r",
        )
        Corrections(cloud.results, "t").add([said])
        assert Run(cloud.work, cloud.begin(task, certified.FILES)).start.settled == settles


def test_shares_of_labels_are_those_of_rows_that_nobody_had_settled() -> None:
    """What people said counts neither among the rows nor among what was given."""
    desk = Desk()
    task = TASK | {"tiers": [*TASK["tiers"], {"model": "nova-lite", "transport": "on_demand"}], "audit": {"rows": 3}}
    before = desk.run(task)
    for name in "012":
        desk.say(before, name, "b")
    told = desk.run(task, "b")["label_shares"]
    assert told["rows"] == 2
    assert [(each["label"], each["given"]) for each in told["labels"]] == [("a", 2)]


@pytest.mark.parametrize(
    ("labels", "fit"), [(["a"], True), (["none"], True), (["a", "b"], True), (["a", "none"], False)]
)
def test_an_answer_that_contradicts_itself_settles_nothing(labels: list[str], fit: bool) -> None:
    """As it would not if a model had given it."""
    task = parse_task(TASK | {"labels": ["a", "b", "none"], "none": "none", "choose": "many"}, "t")
    assert fits(task, SettledRecord(record="0" * 32, labels=labels, fields={})) is fit
