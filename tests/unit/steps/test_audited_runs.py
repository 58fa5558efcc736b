"""Runs whose last tier is asked about drawn rows, to measure the tiers below it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sluice.api.quality import evaluate
from sluice.errors import BadTask
from sluice.local.faults import draw
from sluice.quality.draws import Ranks
from sluice.reasons import Outcome, Reason
from sluice.report.report import render
from sluice.results.folder import Kept
from sluice.results.published import Published
from sluice.runs.drawn import Draws
from sluice.runs.keys import Keys
from sluice.steps import publish, rejudge, resume
from sluice.steps.services import Run
from sluice.task.file import parse_task
from tests.harness.bedrock import texts_of
from tests.harness.drive import Cloud, jsonl
from tests.harness.stage import BATCH, MICRO, STRONGER, finish, stage

if TYPE_CHECKING:
    from sluice.task.task import Task

LABELS = ("red", "green", "blue")
MODELS = ("nova-micro", "nova-lite", "claude-haiku-4-5")
SETTINGS = {"min_records_per_job": 1, "max_records_per_job": 100}
ROWS, ASKED = 300, 60
DRAWN = 90


def label_of(model: str, text: str) -> str:
    """The strongest model says the colour that the text names; the others err in a fifth of the texts."""
    colour = text.split(maxsplit=1)[0]
    wrong = MODELS[-1] not in model and draw(5, text) < 0.2
    return LABELS[LABELS.index(colour) - 1] if wrong else colour


def reply(model: str, text: str) -> str:
    """The cheapest is unsure of a third, the next one of half of these; the strongest answers nothing lost."""
    if "lost" in text and MODELS[-1] in model:
        return "no answer"
    unsure = (MODELS[0] in model and draw(6, text) < 0.34) or (MODELS[1] in model and draw(6, text) < 0.17)
    return json.dumps({"label": label_of(model, text), "confidence": "unsure" if unsure else "likely"})


def text_of(n: int) -> str:
    return "red thing, again" if n % 10 == 0 else f"{LABELS[n % 3]} thing {n}{', lost' * (n % 7 == 0)}"


FILES = {"a.jsonl": jsonl([{"text": text_of(n)} if n % 50 != 49 else {"text": ""} for n in range(ROWS)])}


def task_of(models: tuple[str, ...] = MODELS, **changes: Any) -> Task:
    base = {"name": "t", "input": {"text": "text"}, "labels": list(LABELS), "audit": {"rows": ASKED}}
    return parse_task({**base, "tiers": [{"model": model} for model in models], **changes}, "t")


@pytest.fixture(scope="module")
def run() -> tuple[Cloud, dict[str, Any], Draws]:
    cloud = Cloud(reply, SETTINGS)
    summary = cloud.run(task_of(), FILES)
    return cloud, summary, msgspec.json.decode(cloud.work.get(Keys(summary["run_id"]).draws), type=Draws)


def by_place(cloud: Cloud) -> dict[int, dict[str, Any]]:
    return {row["line"]: row for row in cloud.rows()}


def below(text: str) -> tuple[int, str] | None:
    """The tier below the last that accepts a text, and its label."""
    for tier, model in enumerate(MODELS[:-1]):
        if json.loads(reply(model, text))["confidence"] == "likely":
            return tier, label_of(model, text)
    return None


def test_the_rows_with_the_smallest_ranks_are_drawn(run: tuple[Cloud, dict[str, Any], Draws]) -> None:
    """Half as many again as are to be compared, whatever their texts, out of all good rows."""
    cloud, _, draws = run
    good = [row for row in cloud.rows() if row["status"] != "rejected"]
    ranks = Ranks(draws.seed)
    wanted = sorted(good, key=lambda row: ranks.of(row["source"], row["line"]))[:DRAWN]
    assert [row.line for row in draws.sample] == [row["line"] for row in wanted]
    assert (draws.population, draws.train) == (len(good), [])


def test_a_drawn_row_has_the_last_tiers_label_or_the_one_that_it_had(run: tuple[Cloud, dict[str, Any], Draws]) -> None:
    """The last tier's where it answers; else what a tier below had accepted stands, and no row is lost."""
    cloud, _, draws = run
    found, stood = by_place(cloud), 0
    for row in draws.sample:
        text, here = text_of(row.line - 1), found[row.line]
        if "lost" not in text:
            assert (here["tier"], here["label"]) == (2, label_of(MODELS[2], text))
        elif (accepted := below(text)) is not None:
            assert (here["status"], here["tier"], here["label"]) == ("accepted", *accepted)
            stood += 1
        else:
            assert here["status"] == "unresolved"
    assert stood


def test_rows_that_were_not_drawn_are_settled_as_ever(run: tuple[Cloud, dict[str, Any], Draws]) -> None:
    """Each by the first tier that is sure enough; only the last one's label of a drawn record goes further."""
    cloud, _, draws = run
    for row in cloud.rows():
        if row["status"] == "accepted" and row["record"] not in draws.keys:
            text = text_of(row["line"] - 1)
            assert (row["tier"], row["label"]) == (below(text) or (2, label_of(MODELS[2], text)))


def test_the_audit_counts_what_can_be_compared(run: tuple[Cloud, dict[str, Any], Draws]) -> None:
    """Drawn rows singly, also where they share a text: accepted below and answered by the last tier."""
    _, summary, draws = run
    texts = [text_of(row.line - 1) for row in draws.sample]
    compared = [(text, found) for text in texts if "lost" not in text and (found := below(text)) is not None]
    agreeing = [found[1] == label_of(MODELS[2], text) for text, found in compared]
    told = summary["audit"]
    assert (told["drawn"], told["compared"], told["agreeing"]) == (DRAWN, len(compared), sum(agreeing))
    assert told["unanswered"] == sum("lost" in text for text in texts)
    assert told["low"] < told["agreeing"] / told["compared"] < told["high"] < 1
    assert [tier["compared"] for tier in told["tiers"]] == [
        sum(found[0] == tier for _, found in compared) for tier in range(2)
    ]
    page = render(summary)
    assert "promises nothing" in page
    assert f"{told['agreeing']:,} of {told['compared']:,} drawn rows that a cheaper tier had accepted" in page


def test_a_run_is_evaluated_by_what_the_last_tier_says_of_drawn_rows(run: tuple[Cloud, dict[str, Any], Draws]) -> None:
    """With what they would have been given undrawn; all other rows count only in what was given, and none twice."""
    cloud, summary, draws = run
    kept = Kept(cloud.results.get(f"reports/{summary['run_id']}/draws.json"), None)
    found = evaluate(Published(cloud.results, summary["run_id"], "results/t/", origins=list), summary, kept=kept)
    texts = [text_of(row.line - 1) for row in draws.sample]
    answered = [text for text in texts if "lost" not in text]
    stood = [(below(text) or (2, label_of(MODELS[2], text)))[1] for text in answered]
    right = sum(label == label_of(MODELS[2], text) for text, label in zip(answered, stood, strict=True))
    assert [found[name] for name in ("gold", "known", "of", "right")] == ["oracle", len(answered), len(answered), right]
    assert found["interval"]["of"] == len(answered)
    good = [row for row in cloud.rows() if row["status"] != "rejected"]
    shares = found["label_shares"]
    assert (shares["of"], shares["drawn"]) == (len(good), DRAWN)
    for each in shares["labels"]:
        settled = [
            below(text) or (2, label_of(MODELS[2], text) if "lost" not in text else None)
            for text in (text_of(row["line"] - 1) for row in good)
        ]
        assert each["given"] == sum(label == each["label"] for _, label in settled)
        truly = sum(label_of(MODELS[2], text) == each["label"] for text in answered)
        assert each["low"] <= each["share"] <= each["high"]
        assert each["low"] < truly / DRAWN < each["high"]


def test_the_shares_of_labels_are_those_that_an_evaluation_tells(run: tuple[Cloud, dict[str, Any], Draws]) -> None:
    """Of all rows, those too that share a text with a drawn one: what they would have been given, and truly have."""
    cloud, summary, _ = run
    told, kept = summary["label_shares"], Kept(cloud.results.get(f"reports/{summary['run_id']}/draws.json"), None)
    found = evaluate(Published(cloud.results, summary["run_id"], "results/t/", origins=list), summary, kept=kept)
    shares = found["label_shares"]
    assert (told["rows"], told["drawn"], told["records"]) == (shares["of"], shares["drawn"], shares["records"])
    assert told["oracle"].endswith("claude-haiku-4-5-20251001-v1:0")
    for each, wanted in zip(told["labels"], shares["labels"], strict=True):
        assert each == {name: pytest.approx(value) for name, value in wanted.items() if name != "given_share"}
        assert not each["plain"]
    page = render(summary)
    assert f"measured on {told['drawn']} uniformly drawn rows of {told['records']} texts" in page


def test_the_books_say_what_became_of_drawn_records(run: tuple[Cloud, dict[str, Any], Draws]) -> None:
    """Each record stands in one place of each tier that it was sent to, and none waits at the end."""
    cloud, summary, _ = run
    rows = list({row["record"]: row for row in cloud.rows() if row["record"]}.values())
    for books in summary["tiers"]:
        assert books["accepted"] == sum(row["status"] == "accepted" and row["tier"] == books["tier"] for row in rows)
        assert books["accepted"] + books["escalated"] + books["unresolved"] == books["sent"]
    drawn = {item["tier"]: item["records"] for item in summary["escalations"] if item["reason"] == Reason.DRAWN}
    trails = Counter(step["tier"] for row in rows for step in row["trail"] if step["reason"] == Reason.DRAWN)
    assert drawn == dict(trails)
    assert Outcome.SCORED not in {step["outcome"] for row in rows for step in row["trail"]}


def test_no_record_is_asked_twice(run: tuple[Cloud, dict[str, Any], Draws]) -> None:
    """Of each tier at most once: a drawn record that no tier below accepts is not sent to the last one again."""
    cloud, summary, _ = run
    sent = Counter(
        (line["modelInput"]["system"][0]["text"] if "system" in line["modelInput"] else "", key, text)
        for key, _ in cloud.work.keys("requests/")
        if key.endswith("/in/part-0.jsonl")
        for line in map(json.loads, cloud.work.get(key).splitlines())
        for text in texts_of(line["modelInput"])
    )
    assert set(sent.values()) == {1}
    assert max(len(row["trail"]) for row in cloud.rows()) == len(MODELS)
    assert summary["tiers"][0]["sent"] == summary["records"]["distinct"]


def test_a_run_with_fewer_rows_than_are_drawn_asks_the_last_tier_of_all() -> None:
    """No row is too few, and no row at all is none."""
    few = Cloud(reply, SETTINGS)
    summary = few.run(task_of(), {"a.jsonl": jsonl([{"text": f"red thing {n}"} for n in range(5)])})
    assert (summary["audit"]["drawn"], summary["tiers"][-1]["sent"]) == (5, 5)
    none = Cloud(reply, SETTINGS)
    summary = none.run(task_of(), {"a.jsonl": jsonl([{"text": ""}])})
    assert (summary["audit"]["drawn"], summary["audit"]["compared"]) == (0, 0)
    assert "nothing compares" in render(summary)


def test_judged_again_the_audit_is_of_the_new_gates() -> None:
    """Stored answers keep their draws: with looser gates more of them compare, all by the first tier's answer."""
    cloud = Cloud(reply, SETTINGS)
    before = cloud.run(task_of(), FILES)["audit"]
    again = rejudge.run(cloud.services, next(iter(cloud.rows()))["run_id"], task_of(gates={"min_confidence": "unsure"}))
    cloud.drive(again)
    after = publish.run(cloud.services, again)["audit"]
    assert (after["drawn"], after["unanswered"]) == (before["drawn"], before["unanswered"])
    assert (
        before["compared"] < after["compared"] == after["drawn"] - after["unanswered"] == after["tiers"][0]["compared"]
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": MODELS[:1]}, "one tier answers every row"),
        ({"quality": {}, "models": MODELS[:2]}, "leave it out beside quality"),
        ({"labels": [], "answer": {"fields": {"amount": {"type": "number"}}}}, "without labels"),
        ({"audit": {"rows": 0}}, "audit.rows"),
    ],
)
def test_an_audit_that_compares_nothing_is_refused(changes: dict[str, Any], said: str) -> None:
    """With the reason, before anything is read."""
    with pytest.raises(BadTask, match=said):
        task_of(**changes)


def test_without_an_audit_a_task_keeps_its_version() -> None:
    """What a task does not say cannot change a version that stands; what it says does."""
    plainly = task_of(audit=None)
    assert plainly.version != task_of().version
    assert "audit" in plainly.model_dump()
    assert plainly.version == parse_task(plainly.model_dump(mode="json"), "t").version


@pytest.mark.parametrize("many", [False, True])
def test_a_drawn_record_that_a_tier_refuses_is_not_passed_to_who_was_asked_about_it(many: bool) -> None:
    """Others that are refused go on to the last tier, which has answered about those that were drawn."""
    settings = {} if many else {"max_records_per_job": 5, "min_records_per_job": 1}
    staged = stage(BATCH, STRONGER, rows=60 if many else 30, settings=settings, audit={"rows": 10})
    draws = msgspec.json.decode(staged.machine.work.get(Keys(staged.run).draws), type=Draws)
    texts = {f"text {n}" for n in range(60)}
    if not many:  # a job is too small to tell, and the others of the round are answered
        of_first = [job.job for job in Run(staged.services.work, staged.run).round_plan(0).jobs if job.tier == 0]
        for job in of_first:
            staged.prepared(job=job)
        sent = staged.machine.work.get(staged.keys(job=of_first[0]).input).splitlines()
        texts = {text for line in sent for _, text in texts_of(json.loads(line)["modelInput"])}
    refusal = 400, "`temperature` is deprecated for this model."
    staged.machine.faulty.refuses = lambda model, text: refusal if model == MICRO and text in texts else None
    summary = finish(staged)
    if many:  # asked once more, and then only where somebody says so
        assert summary["status"] == "over_limit"
        resume.run(staged.services, staged.run, escalate_refused=True)
        summary = finish(staged, 2)
    assert summary["rows"]["accepted"] == summary["rows"]["in"]
    refused = {row["record"] for row in staged.machine.rows() if row["trail"][0]["reason"] == Reason.RECORD_REFUSED}
    assert draws.keys & refused
    assert refused - draws.keys
    assert {row["tier"] for row in staged.machine.rows() if row["record"] in refused} == {1}
    first, last = summary["tiers"]
    assert last["sent"] == last["accepted"] == first["escalated"] == len(draws.keys | refused)
    assert first["unresolved"] == 0
    told = {item["reason"]: item["records"] for item in summary["escalations"]}
    assert +Counter(told) == +Counter({Reason.RECORD_REFUSED: len(refused), Reason.DRAWN: len(draws.keys - refused)})
