"""Runs without a certificate in which the score of a first tier's answers decides which of them stand."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sluice.api.quality import verify
from sluice.errors import BadRequest, BadTask, Stop
from sluice.local.faults import draw
from sluice.quality.draws import Ranks
from sluice.reasons import Outcome, Reason
from sluice.report.report import render
from sluice.results.published import Published
from sluice.results.run_document import read_run
from sluice.runs.drawn import Draws, Held, ScoreGate
from sluice.runs.keys import Keys
from sluice.steps import learn, publish, rejudge, resume
from sluice.task.file import parse_task
from tests.faults.scenarios import draw_plan
from tests.harness.drive import Cloud, jsonl
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine

if TYPE_CHECKING:
    from sluice.task.task import Task

LABELS = ("red", "green", "blue")
CHEAP, MIDDLE, ORACLE = "nova-micro", "nova-lite", "claude-haiku-4-5"
TRAIN, LEAST = 200, 0.8
SETTINGS = {"min_records_per_job": 1, "max_records_per_job": 200}


def label_of(model: str, text: str) -> str:
    """The last tier says the colour that the text names, and where it is dim another that nobody could guess.

    The cheap one errs where it is dark, the next one seldom.
    """
    colour = LABELS[int(3 * draw(8, text))] if "dim" in text else text.split()[1]
    wrong = {CHEAP: 0.6 if "dark" in text else 0.01, MIDDLE: 0.05}.get(model, 0.0)
    return LABELS[LABELS.index(colour) - 1] if draw(3, text) < wrong else colour


def tier_of(model: str) -> str:
    return next(name for name in (CHEAP, MIDDLE, ORACLE) if name in model)


def reply(model: str, text: str) -> str:
    """Now and then one that no gate lets pass; the last tier has none to what is lost."""
    name = tier_of(model)
    if name == ORACLE and "lost" in text:
        return "no answer"
    label = label_of(name, text) if name == ORACLE or draw(4, text) > 0.05 else "purple"
    return json.dumps({"label": label, "confidence": "likely"})


def text_of(n: int) -> str:
    if n % 9 == 0:
        return f"a {LABELS[n % 3]} bright thing again"
    chance = draw(2, str(n))
    colour, light = LABELS[int(3 * draw(1, str(n)))], "dark" if chance < 0.3 else "dim" if chance < 0.45 else "bright"
    return f"a {colour} {light} thing {n}{', lost' * (n % 31 == 0)}"


ROWS = 600
FILES = {"a.jsonl": jsonl([{"text": text_of(n)} if n % 50 != 49 else {"text": ""} for n in range(ROWS)])}
LADDER = ({"model": CHEAP}, {"model": ORACLE})
LEARNED = ({"kind": "learned", "min_score": LEAST}, {"model": MIDDLE}, {"model": ORACLE})


def task_of(tiers: tuple[dict[str, Any], ...] = LADDER, **changes: Any) -> Task:
    base = {"name": "t", "input": {"text": "text"}, "labels": list(LABELS), "train": TRAIN, "tiers": list(tiers)}
    gates = {} if "kind" in tiers[0] else {"gates": {"min_score": LEAST}}
    return parse_task({**base, **gates, **changes}, "t")


class Ran:
    """A run with what it left."""

    def __init__(self, cloud: Cloud, summary: dict[str, Any]) -> None:
        self.cloud, self.summary, self.id = cloud, summary, summary["run_id"]
        self.rows = [row for row in cloud.rows() if row["run_id"] == self.id]
        self.good = [row for row in self.rows if row["status"] != "rejected"]

    def kept(self, key: str, as_: Any) -> Any:
        return msgspec.json.decode(self.cloud.work.get(key), type=as_)

    @property
    def draws(self) -> Draws:
        found: Draws = self.kept(Keys(self.id).draws, Draws)
        return found

    @property
    def gate(self) -> ScoreGate:
        found: ScoreGate = self.kept(Keys(self.id).score_gate, ScoreGate)
        return found


def run_of(task: Task, files: dict[str, bytes] | None = None, answer: Any = reply) -> Ran:
    cloud = Cloud(answer, SETTINGS)
    return Ran(cloud, cloud.run(task, files or FILES))


@pytest.fixture(scope="module")
def plain() -> Ran:
    """Two models, and a score that decides which answers of the first one stand."""
    return run_of(task_of())


@pytest.fixture(scope="module")
def learned() -> Ran:
    """A learned tier in front of two models."""
    return run_of(task_of(LEARNED))


def holds(ran: Ran) -> None:
    """Each row once; each tier's books close, and agree with the rows; nothing waits at the end."""
    assert ran.summary["rows"]["in"] == ROWS == len({(row["source"], row["line"]) for row in ran.rows})
    records = list({row["record"]: row for row in ran.good}.values())
    for books in ran.summary["tiers"]:
        assert books["accepted"] == sum(r["status"] == "accepted" and r["tier"] == books["tier"] for r in records)
        assert books["accepted"] + books["escalated"] + books["unresolved"] == books["sent"]
    told = Counter({(item["tier"], item["reason"]): item["records"] for item in ran.summary["escalations"]})
    steps = [step for row in records for step in row["trail"] if step["outcome"] == Outcome.ESCALATED]
    assert told == Counter((step["tier"], step["reason"]) for step in steps)
    assert Outcome.SCORED not in {step["outcome"] for row in ran.rows for step in row["trail"]}


def test_answers_with_the_score_stand_and_the_others_go_on(plain: Ran) -> None:
    """From min_score on the first tier's label; below it, the last one's; drawn rows carry the last one's anyway."""
    holds(plain)
    kept = Counter[bool]()
    for row in plain.good:
        drawn = row["record"] in plain.draws.keys
        text = text_of(row["line"] - 1)
        if row["score"] is None:
            assert row["trail"][0]["reason"] == Reason.LABEL_UNKNOWN
        elif not drawn:
            assert (row["tier"] == 0) == (row["score"] >= LEAST)
            assert row["trail"][0]["reason"] == (None if row["tier"] == 0 else Reason.LOW_SCORE)
            kept[row["tier"] == 0] += 1
        if row["status"] == "accepted":
            assert row["label"] == label_of(tier_of(row["model"]), text)
        if drawn and "lost" not in text:
            assert row["tier"] == 1
    assert min(kept.values()) > 20
    assert any(row["tier"] == 0 and row["record"] in plain.draws.keys for row in plain.good)  # the last one gave none


def test_train_rows_are_those_of_the_smallest_ranks(plain: Ran) -> None:
    """Whatever their texts, out of all good rows; there is no sample without an audit."""
    ranks = Ranks(plain.draws.seed)
    wanted = sorted(plain.good, key=lambda row: ranks.of(row["source"], row["line"]))[:TRAIN]
    assert [row.line for row in plain.draws.train] == [row["line"] for row in wanted]
    assert (plain.draws.sample, plain.summary["audit"]) == ([], None)


def test_what_is_measured_is_told_with_its_rows(plain: Ran) -> None:
    """Drawn rows with a valid answer of both, each with the score of a model that had not seen it."""
    told, held = plain.summary["score"], plain.kept(Keys(plain.id).held, Held)
    scores = {row["record"]: row["score"] for row in plain.good if row["score"] is not None}
    assert {key: answer.score / (2**32 - 1) for key, answer in held.answers.items()}.items() <= scores.items()
    texts = [(row.key, text_of(row.line - 1)) for row in plain.draws.train if row.key in scores]
    both = [(scores[key], label_of(CHEAP, text) == label_of(ORACLE, text)) for key, text in texts if "lost" not in text]
    above = [agrees for score, agrees in both if score >= LEAST]
    assert (told["measured"], told["agreeing"]) == (len(both), sum(agrees for _, agrees in both))
    assert (told["above"], told["above_agreeing"]) == (len(above), sum(above))
    assert 0 < told["low"] <= told["above_agreeing"] / told["above"] <= told["high"] <= 1
    first = [row for row in plain.good if row["tier"] == 0 and row["record"] not in plain.draws.keys]
    assert told["accepted_rows"] == len(first)
    assert told["accepted_records"] == len({row["record"] for row in first})
    assert told["above_agreeing"] / told["above"] > told["agreeing"] / told["measured"] + 0.1
    page, said = render(plain.summary), read_run(plain.summary).score
    assert said is not None
    assert f"measured on {len(both):,} drawn rows" in said.sentence
    assert said.sentence in page
    assert "It promises nothing" in page


def test_no_record_is_sent_to_a_tier_twice(plain: Ran, learned: Ran) -> None:
    """Each once to the first tier, drawn or not, and at most once to any other."""
    for ran in (plain, learned):
        assert ran.summary["tiers"][0]["sent"] == ran.summary["records"]["distinct"]
        assert max(len(row["trail"]) for row in ran.rows) == len(ran.summary["tiers"])
        for row in ran.good:
            tiers = [step["tier"] for step in row["trail"]]
            assert len(tiers) == len(set(tiers))


def test_a_learned_tier_stands_before_several_models(learned: Ran) -> None:
    """It answers what it is sure of, at no cost; the next model the rest, and the last one what that is unsure of."""
    holds(learned)
    first, middle, last = learned.summary["tiers"]
    assert (first["cost_usd"], first["model"], first["sent"]) == (
        0.0,
        "learned",
        len({r["record"] for r in learned.good}),
    )
    for row in learned.good:
        text, drawn = text_of(row["line"] - 1), row["record"] in learned.draws.keys
        if not drawn:
            assert (row["tier"] == 0) == (row["score"] >= LEAST)
            assert [step["tier"] for step in row["trail"]] == list(range(row["tier"] + 1))
        if row["status"] == "accepted" and row["tier"]:
            assert row["label"] == label_of(tier_of(row["model"]), text)
    assert first["accepted"] > 50
    assert middle["sent"] == sum(
        item["records"] for item in learned.summary["escalations"] if item["reason"] == Reason.LOW_SCORE
    )
    assert last["sent"] == len(learned.draws.keys) + sum(
        any(step["reason"] == Reason.LABEL_UNKNOWN and step["tier"] == 1 for step in row["trail"])
        for row in {row["record"]: row for row in learned.good if row["record"] not in learned.draws.keys}.values()
    )
    assert middle["accepted"] > 20


AUDITED_LEARNED = task_of(LEARNED, train=None, audit={"rows": 150})


def test_the_same_rows_teach_the_same_bytes(learned: Ran) -> None:
    """What differs each time, the seconds, stands beside the model, and in run.json."""
    work, keys = learned.cloud.work, Keys(learned.id)
    before = work.get(keys.learned)
    work.delete([keys.learned])
    learn.run(learned.cloud.services, learned.id)
    assert work.get(keys.learned) == before
    by = learned.summary["taught_by"]
    assert by["sources"] == {"drawn": by["records"]}
    assert by["records"] == learned.gate.lessons
    assert 0 < by["seconds"] < 60
    assert f"Records that taught</dt><dd>{by['records']}: {by['records']} drawn rows of this run" in render(
        learned.summary
    )


def test_an_audit_alone_teaches_and_measures_by_answers_that_had_not_seen_their_rows() -> None:
    """What a row taught is known by heart: compared is what a model says that was taught by the others."""
    ran = run_of(AUDITED_LEARNED)
    holds(ran)
    told, held = ran.summary["audit"], ran.kept(Keys(ran.id).held, Held).answers
    assert told["drawn"] == len(ran.draws.sample) == 225
    by_place = {row["line"]: row for row in ran.rows}
    answered = [row for row in ran.draws.sample if "lost" not in text_of(row.line - 1)]
    compared = [by_place[row.line] for row in answered]
    of_first = [row for row in compared if row["score"] >= LEAST]
    agreeing = sum(tuple(held[row["record"]].labels) == (row["label"],) for row in of_first)
    assert {"tier": 0, "compared": len(of_first), "agreeing": agreeing} == told["tiers"][0]
    assert told["tiers"][1]["compared"] > 10  # drawn records that are passed on are asked of the model in between, too
    assert (ran.summary["score"]["above"], ran.summary["score"]["above_agreeing"]) == (len(of_first), agreeing)
    for key, answer in held.items():
        row = next(row for row in ran.good if row["record"] == key)
        assert (row["trail"][0]["label"], row["score"]) == (answer.labels[0], answer.score / (2**32 - 1))


def test_beside_train_an_audit_measures_rows_that_taught_nothing() -> None:
    """The sample are the smallest ranks, the train rows the next; the audit tells of the former alone."""
    ran = run_of(task_of(audit={"rows": 60}))
    holds(ran)
    sample, train = ({row.line for row in rows} for rows in (ran.draws.sample, ran.draws.train))
    assert (len(sample), len(train), len(sample & train)) == (90, TRAIN, 0)
    by_place = {row["line"]: row for row in ran.rows}
    above = [by_place[line] for line in sample if (by_place[line]["score"] or 0) >= LEAST]
    compared = [row for row in above if row["tier"] == 1]
    agreeing = sum(row["trail"][0]["label"] == row["label"] for row in compared)
    assert (ran.summary["audit"]["compared"], ran.summary["audit"]["agreeing"]) == (len(compared), agreeing)


@pytest.mark.parametrize("tiers", [LADDER, LEARNED])
def test_a_run_whose_rows_can_teach_nothing_sends_all_on(tiers: tuple[dict[str, Any], ...]) -> None:
    """As of a small file: no answer has a score, the next tier settles, and the run says why."""
    few = {"a.jsonl": jsonl([{"text": text_of(n)} for n in range(1, 280)])}
    same = json.dumps({"label": "red", "confidence": "likely"})
    ran = run_of(task_of(tiers), few, lambda _model, _text: same)
    assert {row["tier"] for row in ran.good if row["record"] not in ran.draws.keys} == {1}
    assert {row["score"] for row in ran.rows} == {None}
    assert ran.summary["rows"]["accepted"] == 279
    assert ran.summary["score"]["untaught"] == "1 labels stand in the answers; a learned model takes two or more"
    assert any("has a score, and all went on" in said for said in ran.summary["warnings"])
    none = run_of(task_of(tiers), {"a.jsonl": jsonl([{"text": ""}])})
    assert (none.summary["score"], none.summary["rows"]["rejected"]) == (None, 1)
    tiny = run_of(task_of(tiers), {"a.jsonl": jsonl([{"text": text_of(n)} for n in range(1, 9)])})
    assert {row["label"] == label_of(ORACLE, text_of(row["line"])) for row in tiny.good} == {True}


def judged_again(ran: Ran, task: Task) -> Ran:
    new = rejudge.run(ran.cloud.services, ran.id, task)
    ran.cloud.drive(new)
    return Ran(ran.cloud, publish.run(ran.cloud.services, new))


def test_judged_again_the_stored_scores_meet_another_min_score(plain: Ran) -> None:
    """Nothing is computed or bought anew; more answers of the first tier stand, and what is measured is told anew."""
    again = judged_again(plain, task_of(gates={"min_score": 0.3}))
    assert again.summary["cost_usd"] == 0
    assert {r["line"]: r["score"] for r in again.rows} == {r["line"]: r["score"] for r in plain.rows}
    for row in again.good:
        if row["record"] not in plain.draws.keys and row["score"] is not None:
            assert (row["tier"] == 0) == (row["score"] >= 0.3)
    before, after = plain.summary["score"], again.summary["score"]
    assert after["above"] > before["above"]
    assert (after["measured"], after["min_score"]) == (before["measured"], 0.3)
    higher = judged_again(plain, task_of(gates={"min_score": 0.999999}))
    assert higher.summary["score"]["accepted_rows"] < before["accepted_rows"]
    assert {row["reason"] for row in higher.good if row["status"] == "unresolved"} >= {Reason.LOW_SCORE}
    alone = judged_again(plain, task_of(train=None, gates={"min_confidence": "likely"}))
    assert (alone.summary["score"], {row["score"] for row in alone.rows}) == (None, {None})
    with pytest.raises(BadTask, match="have no scores that were measured"):
        rejudge.run(alone.cloud.services, run_without_scores(alone.cloud), task_of())


def run_without_scores(cloud: Cloud) -> str:
    run = cloud.begin(task_of(train=None, gates={}, audit={"rows": 10}), {"b.jsonl": FILES["a.jsonl"][:2000]})
    cloud.drive(run)
    publish.run(cloud.services, run)
    return run


def test_there_is_nothing_to_verify(plain: Ran) -> None:
    """It was measured and not certified, and that is said."""
    with pytest.raises(BadRequest, match=r"gates.min_score.*measured"):
        verify(Published(plain.cloud.results, plain.id, "results/t/", origins=list), plain.summary, None)


def test_a_run_that_a_budget_ends_is_resumed_to_the_same_rows() -> None:
    """Before there are scores no first answer stands, and the run says so; resumed, it ends as it would have."""
    machine = Machine(FaultPlan(), reply, {**SETTINGS, "max_records_per_job": 50})
    run = machine.begin(task_of(budget={"max_usd": 0.014}), FILES)
    short = Ran(machine, machine.finish(run))
    assert short.summary["status"] == "over_limit"
    assert short.summary["reasons"]["budget"] > 0
    holds_alone(short)
    assert short.summary["score"] is None
    assert any("had a score, so none of them is accepted" in said for said in short.summary["warnings"])
    assert {row["tier"] for row in short.rows if row["status"] == "accepted"} == {1}
    resume.run(machine.services, run, max_usd=10.0)
    ran = Ran(machine, machine.finish(run))
    holds(ran)
    assert ran.summary["score"]["accepted_rows"] > 20


def holds_alone(ran: Ran) -> None:
    for books in ran.summary["tiers"]:
        assert sum(books[name] for name in ("accepted", "escalated", "unresolved", "retried")) == books["sent"]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_fails_the_rows_are_those_of_a_run_without_faults(seed: int) -> None:
    """Fault plans with crashes at writes: no row is lost, nothing is bought twice, the books close."""
    machine = Machine(draw_plan(seed), reply, SETTINGS)
    run = machine.begin(task_of(LEARNED if seed % 2 else LADDER), FILES)
    with suppress(Stop):  # a tier that refuses all stops the run
        machine.finish(run, resume_cancelled=True)
    if not machine.results.exists(f"reports/{run}/run.json"):
        return
    ran = Ran(machine, json.loads(machine.results.get(f"reports/{run}/run.json")))
    assert ran.summary["rows"]["in"] == ROWS == len({(row["source"], row["line"]) for row in ran.rows})
    holds_alone(ran)
    for row in ran.good:
        if row["status"] == "accepted" and row["tier"]:
            assert row["label"] == label_of(tier_of(row["model"]), text_of(row["line"] - 1))
        if row["status"] == "accepted" and row["tier"] == 0 and row["record"] not in ran.draws.keys:
            assert row["score"] >= LEAST


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": None}, "gates.min_score: nothing teaches the score; add `train: 2000`"),
        ({"gates": {}}, "train: teaches nothing in this task"),
        ({"gates": {"min_score": 0}}, "gates.min_score"),
        ({"gates": {"min_score": 80}}, "gates.min_score"),
        ({"tiers": [{"model": ORACLE}]}, "there is no tier to which a lower score could send"),
        ({"train": 20}, "train: 20: should be greater than or equal to 200"),
        ({"train": None, "quality": {}}, "gates.min_score: leave it out beside quality"),
        ({"gates": {}, "quality": {}}, "train: leave it out beside quality"),
        ({"labels": [], "answer": {"fields": {"a": {"type": "number"}}}}, "train: a task without labels"),
        ({"tiers": [{"model": CHEAP, "min_score": 0.9}, {"model": ORACLE}]}, "is for a learned tier"),
        ({"tiers": list(LEARNED)}, "gates.min_score: leave it out beside a learned tier"),
        ({"tiers": [{"kind": "learned"}, {"model": ORACLE}], "gates": {}}, "tiers.0.min_score: missing"),
        ({"tiers": list(LEARNED), "gates": {}, "train": None}, "nobody would teach learned"),
        ({"tiers": list(LEARNED[:1]), "gates": {}}, "learned is taught by the last tier's answers"),
        ({"tiers": [LEARNED[1], LEARNED[0], LEARNED[2]], "gates": {}}, "tiers.1: learned answers first"),
        ({"tiers": [{**LEARNED[0], "pack": 5}, *LEARNED[1:]], "gates": {}}, "tiers.0.pack: learned answers each"),
        ({"tiers": list(LEARNED[::2]), "gates": {}, "train": None, "quality": {}}, "tiers.0.min_score: leave it out"),
    ],
)
def test_a_score_that_nobody_could_teach_or_use_is_refused(changes: dict[str, Any], said: str) -> None:
    """When the task is read, with the place and what to do."""
    with pytest.raises(BadTask, match=said):
        task_of(**{"gates": {"min_score": LEAST}, **changes})


def test_a_task_says_the_same_when_it_is_frozen() -> None:
    """What it does not say is no part of its version; what it says is."""
    for task in (task_of(), task_of(LEARNED), AUDITED_LEARNED):
        assert parse_task(task.model_dump(mode="json"), "t").version == task.version
    assert task_of().version != task_of(train=300).version != task_of(train=300, gates={"min_score": 0.7}).version
    assert task_of(LEARNED).version != task_of(({**LEARNED[0], "min_score": 0.5}, *LEARNED[1:])).version
