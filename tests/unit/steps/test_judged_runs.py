"""Runs whose answers are shown to a judge: what it calls right stands, all else goes on, and nothing is asked twice."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from sluice.answers.requests import system_prompt
from sluice.budget.costs import Load, expected_usd
from sluice.budget.whole import run_ceiling_usd
from sluice.errors import BadTask
from sluice.steps import rejudge, resume
from sluice.steps.services import Run
from sluice.task.file import parse_task
from sluice.task.tiers import Way
from tests.faults.scenarios import LABELS, MODELS
from tests.harness.faults import FaultPlan, WriteKill
from tests.harness.machine import Machine, TaskFailed

ROWS = b"\n".join(json.dumps({"text": f"text {n} <b> & more", "id": str(n)}).encode() for n in range(60))
JUDGE = "nova-lite"
# What the judge says of the first tier's answer to a text, by its number modulo 6; of the second tier's all are right.
SAYS = {0: "right", 1: "wrong", 2: "unclear", 3: "no words of JSON", 4: "right", 5: "right"}
CAUGHT = {1: "judge_refused", 2: "judge_unclear", 3: "judge_unclear"}


class Judged(Machine):
    """A run whose answers are shown to a judge, which is told apart by what it is asked."""

    def __init__(self, plan: FaultPlan | None = None, says: dict[int, str] | None = None) -> None:
        super().__init__(plan or FaultPlan(), lambda _model, _text: "", {"min_records_per_job": 1})
        self.says = SAYS if says is None else says
        buy = self.faulty._buy

        def answered(round_: int, model: str, body: dict[str, Any]) -> dict[str, Any]:
            asks = '"right"' in json.dumps(body["system"]).replace("\\", "")
            self.asked[asks, model] += 1
            self.faulty.answer = (lambda _model, text: self.word(text)) if asks else (lambda model, _text: label(model))
            return buy(round_, model, body)

        self.asked: Counter[tuple[bool, str]] = Counter()
        self.shown: list[str] = []
        self.faulty._buy = answered  # type: ignore[assignment,method-assign]

    def word(self, text: str) -> str:
        """What the judge says, after a look at what it was shown."""
        self.shown.append(text)
        said = self.says[int(text.split("text ")[1].split(maxsplit=1)[0]) % 6] if f'"{LABELS[0]}"' in text else "right"
        return json.dumps({"label": said}) if said in ("right", "wrong", "unclear") else said


def label(model: str) -> str:
    return json.dumps({"label": LABELS[[name in model for name in MODELS].index(True)], "confidence": "certain"})


def task(pack: int = 4, judge: dict[str, Any] | None = None, **more: Any) -> Any:
    tiers = [{"model": model, "pack": 1, "transport": "batch"} for model in MODELS[:2]]
    given = {
        "name": "asks",
        "input": {"text": "text", "id": "id"},
        "labels": {name: f"what <{name}> & others mean" for name in LABELS},
        "tiers": tiers,
        "gates": {"judge": {"model": JUDGE, "pack": pack, "transport": "batch"} if judge is None else judge},
    }
    return parse_task({**given, **more}, "task")


def test_what_the_judge_calls_right_stands_and_all_else_goes_on() -> None:
    """Each answer keeps its tier and model; the judge's words stand in the trail, and are nobody's label."""
    machine = Judged()
    summary = machine.finish(machine.begin(task(), {"a.jsonl": ROWS}))
    rows = machine.rows()
    assert len(rows) == 60
    for row in rows:
        caught = CAUGHT.get(int(row["id"]) % 6)
        tier = int(caught is not None)
        assert (row["status"], row["reason"], row["tier"], row["label"]) == ("accepted", None, tier, LABELS[tier])
        words = [attempt for attempt in row["trail"] if JUDGE in attempt["model"]]
        assert words[-1]["reason"] == "judge_agreed"
        assert {attempt["label"] for attempt in words} == {None}
        first = [attempt for attempt in row["trail"] if attempt["label"] == LABELS[0]][-1]
        last = [attempt for attempt in words if attempt["tier"] == 0][-1]
        assert (first["outcome"], first["reason"]) == (("escalated", caught) if caught else ("accepted", None))
        assert (last["outcome"], last["reason"]) == (("escalated", caught) if caught else ("accepted", "judge_agreed"))
    assert summary["rows"]["accepted"] == 60


@pytest.mark.parametrize("seed", [2, 3])
def test_no_answer_stands_by_the_judges_silence(seed: int) -> None:
    """Where its jobs fail as often as they may, answers go on; those that stand it has called right."""
    machine = Judged(FaultPlan(seed=seed, jobs=0.3, kills=0.03))
    machine.finish(machine.begin(task(), {"a.jsonl": ROWS}))
    rows = machine.rows()
    assert len(rows) == 60
    for row in rows:
        words = [attempt for attempt in row["trail"] if JUDGE in attempt["model"] and attempt["tier"] == row["tier"]]
        stands = bool(words) and words[-1]["reason"] == "judge_agreed"
        assert (row["status"] == "accepted", row["label"]) == (stands, LABELS[row["tier"]] if stands else None)


def test_the_books_have_a_line_for_the_judge_and_hold_to_the_token() -> None:
    """Its questions count to no tier, what it decides does; each answer is shown once; the ceiling holds."""
    machine = Judged()
    run = Run(machine.work, machine.begin(task(), {"a.jsonl": ROWS}))
    machine.finish(run.id)
    document = json.loads(machine.work.get(run.keys.published))
    figures = ("sent", "answered", "accepted", "retried", "escalated", "unresolved")
    assert [tuple(tier[name] for name in figures) for tier in document["tiers"]] == [
        (60, 60, 30, 0, 30, 0),
        (30, 30, 30, 0, 0, 0),
    ]
    judge = document["judge"]
    said = {name: judge[name] for name in ("answers", "right", "wrong", "unclear")}
    assert said == {"answers": 90, "right": 60, "wrong": 10, "unclear": 10}
    assert {"judge", "classify", "escalate"} <= {item["purpose"] for item in document["rounds"]}
    assert document["escalations"] == [
        {"tier": 0, "reason": "judge_unclear", "records": 20},
        {"tier": 0, "reason": "judge_refused", "records": 10},
    ]
    rows = machine.rows()
    for name in ("input_tokens", "output_tokens"):
        assert sum(row[name] for row in rows) == judge[name] + sum(tier[name] for tier in document["tiers"])
    spent = sum(row["cost_usd"] for row in rows)
    assert spent == pytest.approx(document["cost_usd"])
    assert spent == pytest.approx(judge["cost_usd"] + sum(tier["cost_usd"] for tier in document["tiers"]))
    ceiling = run_ceiling_usd(run.task, run.start.tiers, Load.of_plan(run.task, run.plan), 1, run.start.judge)
    assert ceiling == run.plan.ceiling_usd
    assert spent <= (ceiling or 0)
    assert document["records"]["distinct"] == 60
    assert document["findings"]["said"] == []  # its words stand in place of no label


def test_the_judge_is_shown_the_text_with_its_label_and_the_next_tier_the_text_alone() -> None:
    """What stands in a row or a description cannot close a tag of the request."""
    machine = Judged()
    machine.finish(machine.begin(task(pack=1), {"a.jsonl": ROWS}))
    inputs = [machine.work.get(key) for key, _ in machine.work.keys("requests/") if key.endswith("/in/part-0.jsonl")]
    lines = [json.loads(line) for data in inputs for line in data.splitlines()]
    sent = [line["modelInput"]["messages"][0]["content"][0]["text"] for line in lines]
    text = "<text>\ntext 7 &lt;b> &amp; more\n"
    shown = [f'{text}<answer>\n"{name}": what &lt;{name}> &amp; others mean\n</answer>\n</text>' for name in LABELS[:2]]
    assert sorted(each for each in sent if each.startswith(text)) == sorted([*[f"{text}</text>"] * 2, *shown])


def test_an_answer_that_no_tier_is_left_for_ends_unresolved_by_the_judges_word() -> None:
    """Its row says which tier and model gave it, and that the judge refused it."""
    machine = Judged()
    machine.finish(machine.begin(task(tiers=[{"model": MODELS[0], "transport": "batch"}]), {"a.jsonl": ROWS}))
    for row in machine.rows():
        caught = CAUGHT.get(int(row["id"]) % 6)
        assert (row["status"], row["reason"]) == (("unresolved", caught) if caught else ("accepted", None))
        assert (row["tier"], row["label"]) == (0, None if caught else LABELS[0])
        assert JUDGE not in row["model"]


@pytest.mark.parametrize("write", range(14, 74, 4))
def test_a_run_that_is_killed_anywhere_shows_no_answer_twice(write: int) -> None:
    """A handler that died runs again, and finds what was bought."""
    machine = Judged(FaultPlan(kill_at=WriteKill(write, "before" if write % 8 else "after", again=True)))
    machine.finish(machine.begin(task(pack=1), {"a.jsonl": ROWS}))
    assert [row["status"] for row in machine.rows()] == ["accepted"] * 60
    assert sum(count for (asks, _), count in machine.asked.items() if asks) == 90


def test_answers_that_the_budget_keeps_from_the_judge_do_not_stand() -> None:
    """They are open for the budget, whatever the other gates say of them."""
    measured = Judged()
    run = Run(measured.work, measured.begin(task(), {"a.jsonl": ROWS}))
    measured.finish(run.id)
    first = expected_usd(run.tier(0), Load.of_plan(run.task, run.plan), Way.BATCH, 60) or 0.0
    short = Judged(says=dict.fromkeys(range(6), "right"))
    again = Run(short.work, short.begin(task(budget={"max_usd": 1.25 * first}), {"a.jsonl": ROWS}))
    short.finish(again.id)
    assert {(row["status"], row["reason"], row["label"]) for row in short.rows()} == {("unresolved", "budget", None)}
    document = json.loads(short.work.get(again.keys.published))
    assert (document["tiers"][0]["unresolved"], document["judge"]["answers"], document["judge"]["sent"]) == (60, 60, 0)


def test_a_judged_run_that_is_judged_again_keeps_to_the_judges_words() -> None:
    """Rows come out as they were; without the judge all of the first tier's answers stand."""
    machine = Judged()
    run = machine.begin(task(), {"a.jsonl": ROWS})
    machine.finish(run)
    summary = machine.finish(rejudge.run(machine.services, run, task()))
    assert summary["labels"] == {LABELS[0]: 30, LABELS[1]: 30}
    free = task(gates={"min_confidence": "likely"})
    summary = machine.finish(rejudge.run(machine.services, run, free))
    assert summary["labels"] == {LABELS[0]: 60}
    plain = machine.begin(free, {"b.jsonl": ROWS.replace(b"more", b"less")})
    machine.finish(plain)
    with pytest.raises(BadTask, match="were not shown to a judge"):
        rejudge.run(machine.services, plain, task())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"labels": {}, "answer": {"fields": {"n": "integer"}}}, "gates.judge: is shown labels"),
        ({"judge": {"model": "learned"}}, "gates.judge.model: 'learned': learned gives labels"),
        ({"judge": {"pack": 2}}, "gates.judge.model: is required"),
        ({"judge": {"model": "nova-micro", "pack": 50}}, "gates.judge.pack: "),
        ({"judge": {"model": "nova-micro", "min_score": 0.5}}, "gates.judge.min_score: no such field"),
    ],
)
def test_a_judge_is_refused_where_it_has_nothing_to_look_at(more: dict[str, Any], said: str) -> None:
    """By its place, with the reason."""
    with pytest.raises(BadTask) as refused:
        task(**more)
    assert [problem for problem in refused.value.problems if problem.startswith(said)], refused.value.problems


def test_a_judge_that_may_not_be_called_stops_the_run_until_it_may() -> None:
    """With its name and the words of the refusal; nothing is bought again, and no dearer tier is asked instead."""
    machine = Judged(says=dict.fromkeys(range(6), "right"))
    run = Run(machine.work, machine.begin(task(), {"a.jsonl": ROWS}))
    denied = 403, "You don't have access to the model with the specified model ID."
    machine.faulty.refuses = lambda model, _text: denied if JUDGE in model else None
    with pytest.raises(TaskFailed, match=r"refused by us\.amazon\.nova-lite-v1:0: .*have access"):
        machine.execute(run.id)
    assert machine.asked == {(False, run.tier(0).model_id): 60}
    machine.faulty.refuses = lambda _model, _text: None
    resume.run(machine.services, run.id)
    machine.finish(run.id)
    assert {(row["status"], row["tier"]) for row in machine.rows()} == {("accepted", 0)}
    assert machine.asked[False, run.tier(0).model_id] == 60


def test_the_judge_is_told_all_that_the_tier_was_told_to_choose_from() -> None:
    """Each label however long their descriptions are, how many an answer has, and what it says where nothing fits."""
    labels = {f"label-{n:03d}": "what belongs here, at some length " * 4 for n in range(200)}
    choose: dict[str, Any] = {"choose": {"min": 1, "max": 2}, "none": "label-000", "instructions": "Mind the gap."}
    told = system_prompt(task(labels=labels, **choose).judging)
    assert all(name in told for name in labels)
    assert "Choose every label that fits, 1 to 2, spelled exactly as above." in told
    assert 'If nothing fits, choose only "label-000"' in told
    assert "Mind the gap." in told
    assert "Choose exactly one label, spelled exactly as above." in system_prompt(task().judging)
