from __future__ import annotations

import io
import json
from collections import Counter
from fractions import Fraction
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from sluice.api.quality import evaluate, verify
from sluice.errors import BadInput, BadRequest, BadTask, Stop
from sluice.local.faults import draw
from sluice.quality.draws import Ranks
from sluice.quality.rule import allowed, most_disagreements
from sluice.quality.score import tie
from sluice.reasons import Outcome, Reason
from sluice.results.folder import Kept
from sluice.results.published import Published
from sluice.results.run_document import read_run
from sluice.results.wanted import Wanted
from sluice.runs.document import read
from sluice.runs.drawn import Certificate, Draws
from sluice.runs.keys import Keys
from sluice.runs.state import Place
from sluice.steps import plan, publish, rejudge
from sluice.steps.certify import certified
from sluice.steps.services import Run
from sluice.task.file import parse_task
from sluice.task.task import Task
from tests.faults.certified import FIRST, LABELS, ORACLE, label_of, reply, rows
from tests.harness.bedrock import texts_of
from tests.harness.drive import Cloud
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine

SAMPLE, TRAIN = 60, 200


def task_of(**changes: Any) -> Task:
    base = {"name": "t", "input": {"text": "text"}, "labels": list(LABELS)}
    tiers = [{"model": FIRST}, {"model": ORACLE}]
    quality = {"agree": 0.9, "sample": SAMPLE, "train": TRAIN}
    return parse_task({**base, "tiers": tiers, "quality": quality, **changes}, "t")


FILES = {"a.jsonl": rows(500), "b.jsonl": rows(300, seed=2)}
SETTINGS = {"min_records_per_job": 1, "max_records_per_job": 200}


def run_certified(task: Task | None = None, **settings: int) -> tuple[Cloud, dict[str, Any]]:
    cloud = Cloud(reply, {**SETTINGS, **settings})
    return cloud, cloud.run(task or task_of(), FILES)


def stored(cloud: Cloud, run: str) -> tuple[Certificate, Draws]:
    keys = Keys(run)
    certificate = msgspec.json.decode(cloud.work.get(keys.certificate), type=Certificate, strict=False)
    return certificate, msgspec.json.decode(cloud.work.get(keys.draws), type=Draws, strict=False)


def text_at(source: str, line: int) -> str:
    return str(json.loads(FILES[source.rpartition("/")[2]].split(b"\n")[line - 1])["text"])


@pytest.fixture(scope="module")
def run() -> tuple[Cloud, dict[str, Any]]:
    return run_certified()


def test_where_nothing_could_be_taught_the_run_says_so() -> None:
    """Its certificate holds, whatever the score; but much more goes on."""
    answer = json.dumps({"label": LABELS[0], "confidence": "likely"})
    summary = Cloud(lambda *_: answer, SETTINGS).run(task_of(), {"a.jsonl": rows(400)})
    assert summary["taught_by"] is None
    assert summary["certificate"]["accepted_rows"] > 0
    assert any(said.startswith("nothing was taught, and only its own word") for said in summary["warnings"])
    assert any("learned model takes two or more" in said for said in summary["warnings"])


FLOORS = {"red": 0.8, "blue": 0.9}


def floored_task(**changes: Any) -> Task:
    return task_of(quality={"agree": 0.8, "sample": 100, "train": TRAIN, "floors": FLOORS}, **changes)


@pytest.fixture(scope="module")
def floored() -> tuple[Cloud, dict[str, Any]]:
    """A run in which red has a floor that its sample carries, and blue one for which it is too small."""

    def unsure(model: str, text: str) -> str:
        label = label_of(model, text)
        if ORACLE not in model and label == "blue" and draw(5, text) < 0.5:
            label = "green"  # so that few are called blue
        return json.dumps({"label": label, "confidence": "likely"})

    cloud = Cloud(unsure, SETTINGS)
    return cloud, cloud.run(floored_task(), FILES)


def test_each_row_has_the_label_of_who_stands_for_it(run: tuple[Cloud, dict[str, Any]]) -> None:
    """The oracle's for drawn rows, their twins, and what scores too low; the first tier's above the threshold."""
    cloud, summary = run
    certificate, draws = stored(cloud, summary["run_id"])
    assert certificate.threshold is not None
    for row in cloud.rows():
        if row["status"] == "rejected":
            continue
        text = text_at(row["source"], row["line"])
        by_first = row["tier"] == 0
        assert row["label"] == label_of(FIRST if by_first else ORACLE, text)
        if row["record"] in draws.keys:
            assert not by_first
        elif row["score"] is not None and row["score"] != certificate.threshold.score / (2**32 - 1):
            assert by_first == (row["score"] > certificate.threshold.score / (2**32 - 1))
        else:
            assert row["score"] is not None or row["trail"][0]["reason"] == Reason.LABEL_UNKNOWN


def test_the_books_of_a_certified_run(run: tuple[Cloud, dict[str, Any]]) -> None:
    """What run.json counts is what stands in the rows, and the certificate counts the same."""
    cloud, summary = run
    certificate, draws = stored(cloud, summary["run_id"])
    found = cloud.rows()
    first = [row for row in found if row["status"] == "accepted" and row["tier"] == 0]
    assert summary["certificate"]["accepted_rows"] == len(first) == certificate.accepted_rows
    assert summary["tiers"][0]["accepted"] == len({row["record"] for row in first})
    assert summary["tiers"][0]["accepted"] + summary["tiers"][0]["escalated"] == summary["tiers"][0]["sent"]
    assert summary["tiers"][1]["sent"] == summary["tiers"][0]["escalated"]
    good = [row for row in found if row["status"] != "rejected"]
    assert certificate.population == len(good) - TRAIN
    assert (certificate.sample, certificate.train) == (SAMPLE, TRAIN)
    reasons = {item["reason"]: item["records"] for item in summary["escalations"] if item["tier"] == 0}
    assert reasons["drawn"] == len(draws.keys)
    rounds = [(item["round"], item["tier"], item["purpose"]) for item in summary["rounds"]]
    assert rounds[:3] == [(0, 1, "draw"), (0, 0, "classify"), (0, 1, "repeat")]
    assert {purpose for *_, purpose in rounds[3:]} == {"escalate"}
    outcomes = Counter(attempt["outcome"] for row in found for attempt in row["trail"])
    assert Outcome.SCORED not in outcomes
    assert 0 < len(first) < len(good) - SAMPLE - TRAIN


def test_nobody_is_asked_twice(run: tuple[Cloud, dict[str, Any]]) -> None:
    """Each record once of the first tier, drawn or not, and at most once of the oracle, but for what is repeated."""
    cloud, summary = run
    repeated = {row.key for row in stored(cloud, summary["run_id"])[0].sampled if row.repeated}
    asked: Counter[tuple[str, str]] = Counter()
    for key, _ in cloud.work.keys("requests/"):
        if key.endswith("/in/part-0.jsonl"):
            for line in cloud.work.get(key).splitlines():
                request = json.loads(line)
                asked.update(
                    (request["recordId"], str(sorted(request["modelInput"]))) for _ in texts_of(request["modelInput"])
                )
    sent = Counter(record for record, _ in asked.elements())
    assert len(repeated) >= SAMPLE / 2
    assert {sent[key] for key in repeated} <= {2, 3}
    assert max(count - (key in repeated) for key, count in sent.items()) == 2
    assert len(sent) == len({row["record"] for row in cloud.rows() if row["record"]})


def test_what_is_drawn_are_the_rows_of_the_smallest_ranks(run: tuple[Cloud, dict[str, Any]]) -> None:
    """In the order of their ranks, each row counting singly, whatever its text."""
    cloud, summary = run
    _, draws = stored(cloud, summary["run_id"])
    ranks = Ranks(draws.seed)
    good = [row for row in cloud.rows() if row["status"] != "rejected"]
    ordered = sorted(good, key=lambda row: ranks.of(row["source"], row["line"]))
    uris = [item["uri"] for item in summary["inputs"]]
    drawn = [(uris[row.source], row.line, row.key) for row in (*draws.sample, *draws.train)]
    assert drawn == [(row["source"], row["line"], row["record"]) for row in ordered[: SAMPLE + TRAIN]]


def test_the_certificate_can_be_found_again_from_what_is_stored(run: tuple[Cloud, dict[str, Any]]) -> None:
    """From scores and answers alone; nothing is computed anew that could differ between machines."""
    cloud, summary = run
    certificate, _ = stored(cloud, summary["run_id"])
    assert certified(Run(cloud.work, summary["run_id"]), at=certificate.at) == certificate


@pytest.mark.parametrize("span_bytes", [1_000, 4_000])
def test_the_draws_hold_for_rows_of_many_spans(span_bytes: int) -> None:
    """Rows are drawn once each and found again by their places, however small the spans are."""
    cloud, summary = run_certified(span_bytes=span_bytes)
    certificate, draws = stored(cloud, summary["run_id"])
    uris = [item["uri"] for item in summary["inputs"]]
    of = {(row["source"], row["line"]): row["record"] for row in cloud.rows()}
    drawn = [(uris[row.source], row.line) for row in (*draws.sample, *draws.train)]
    assert len(set(drawn)) == SAMPLE + TRAIN
    assert all(of[place] == row.key for place, row in zip(drawn, (*draws.sample, *draws.train), strict=True))
    assert certificate.sampled_unanswered == 0


def test_packs_change_nothing_of_it() -> None:
    """The oracle is asked about the draws in packs of their own, in the order of their ranks."""
    tiers = [{"model": FIRST, "pack": 5}, {"model": ORACLE, "pack": 10}]
    machine = Machine(FaultPlan(), reply, SETTINGS)
    packed = machine.finish(machine.begin(task_of(tiers=tiers), FILES))
    _, plainly = run_certified()
    assert packed["rows"] == plainly["rows"]
    assert packed["certificate"]["packs"] == [5, 10]
    assert packed["certificate"]["accepted_rows"] > 0


def test_a_first_tier_that_always_agrees_keeps_all_that_was_not_drawn() -> None:
    """No sampled row disagrees, so there is no threshold, and the oracle is asked about the draws alone."""
    cloud = Cloud(lambda _model, text: json.dumps({"label": text.split()[1], "confidence": "likely"}), SETTINGS)
    summary = cloud.run(task_of(), FILES)
    assert summary["certificate"]["threshold"] is None
    assert summary["tiers"][1]["sent"] == summary["certificate"]["drawn_records"]


def test_a_first_tier_that_never_agrees_keeps_nothing() -> None:
    """A valid certificate with almost nothing accepted; all other rows carry the oracle's label."""
    other = {name: LABELS[n - 1] for n, name in enumerate(LABELS)}

    def wrong(model: str, text: str) -> str:
        colour = text.split()[1]
        return json.dumps({"label": colour if ORACLE in model else other[colour], "confidence": "certain"})

    cloud = Cloud(wrong, SETTINGS)
    summary = cloud.run(task_of(), FILES)
    certificate = summary["certificate"]
    kept = [row for row in cloud.rows() if row["tier"] == 0]
    assert len(kept) == certificate["accepted_rows"] <= certificate["at_most"]
    assert summary["rows"]["unresolved"] == 0


def test_a_tier_whose_answers_teach_nothing_is_scored_by_its_words() -> None:
    """Where the oracle has one label for all, there is no model to teach; the run goes on, and its promise holds."""
    cloud = Cloud(lambda _model, _text: '{"label": "red", "confidence": "certain"}', SETTINGS)
    summary = cloud.run(task_of(), FILES)
    assert summary["status"] == "succeeded"
    assert summary["certificate"]["accepted_rows"] == summary["tiers"][0]["accepted"] + _twins(cloud)


def _twins(cloud: Cloud) -> int:
    kept = [row["record"] for row in cloud.rows() if row["tier"] == 0]
    return len(kept) - len(set(kept))


def test_too_few_rows_are_refused_before_anything_is_sent() -> None:
    """With the sample that would do, and nothing is bought."""
    cloud = Cloud(reply, SETTINGS)
    begun = cloud.begin(task_of(), {"a.jsonl": rows(262)})
    with pytest.raises(BadInput, match=r"of 25\d rows 200 teach the score and 60 are the sample: too few") as refused:
        cloud.drive(begun)
    assert "Nothing was sent" in str(refused.value)
    assert not cloud.work.exists(Keys(begun).jobs(0))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quality": {"sample": 40}}, "it takes 59 or more"),
        ({"quality": {"agree": 0.999, "sample": 500}}, "it takes 2995 or more"),
        ({"quality": {"floors": {"pink": 0.9}}}, "quality.floors.pink: is no label of the task; there are: red, green"),
        ({"quality": {"floors": {"red": 0.9}}, "choose": "many"}, "an answer has to be one label"),
        ({"gates": {"min_confidence": "likely"}}, "leave it out beside quality"),
        ({"tiers": [{"model": FIRST}]}, "there are 1"),
        ({"tiers": [{"model": FIRST}, {"model": "nova-lite"}, {"model": ORACLE}]}, "what a tier in between accepts"),
        ({"labels": {}, "answer": {"fields": {"a": {"type": "string"}}}}, "nothing that could agree"),
    ],
)
def test_a_promise_that_cannot_be_kept_is_no_task(changes: dict[str, Any], said: str) -> None:
    """Each is refused when the task is read, with what to do."""
    with pytest.raises(BadTask, match=said):
        task_of(**changes)


def test_a_task_without_a_promise_keeps_its_version() -> None:
    """A new option changes no task that does not use it."""
    plainly = parse_task({"name": "t", "input": {"text": "t"}, "labels": ["a", "b"]}, "t")
    assert plainly.version == "2fcb07488211"
    assert plainly.gates.min_confidence is not None


def judged_again(cloud: Cloud, run: str, task: Task) -> dict[str, Any]:
    new = rejudge.run(cloud.services, run, task)
    cloud.drive(new)
    return publish.run(cloud.services, new)


def table_row(cloud: Cloud, run: str) -> dict[str, Any]:
    """The run's row in the table of runs."""
    (key,) = (key for key, _ in cloud.results.keys("runs/") if run in key)
    row: dict[str, Any] = pq.read_table(io.BytesIO(cloud.results.get(key))).to_pylist()[0]
    return row


def rows_of(cloud: Cloud, run: str) -> list[dict[str, Any]]:
    return [row for row in cloud.rows() if row["run_id"] == run]


def test_a_certified_run_that_is_judged_again_is_measured_and_not_certified(
    floored: tuple[Cloud, dict[str, Any]],
) -> None:
    """Under the thresholds that stand nothing changes where the gates are the same; what the sample shows is told."""
    cloud, first = floored
    summary = judged_again(cloud, first["run_id"], floored_task(description="other words"))
    told = summary["certificate"]
    assert (told["status"], told["based_on"]) == ("measured", first["run_id"])
    assert (told["differing"]["of"], told["accepted_rows"]) == (100, first["certificate"]["accepted_rows"])
    assert told["differing"]["rows"] <= first["certificate"]["disagreements"]
    shown = {(row["source"], row["line"]): (row["label"], row["tier"]) for row in rows_of(cloud, first["run_id"])}
    again = {(row["source"], row["line"]): (row["label"], row["tier"]) for row in rows_of(cloud, summary["run_id"])}
    assert again == shown
    box = read_run(summary).certificate
    assert box is not None
    assert (box.title, "Nothing is promised" in box.promise) == ("Measured, not certified", True)
    assert "may differ" not in str(list(box.facts()))
    with pytest.raises(BadRequest, match="measured, not certified"):
        verified(cloud, summary)
    assert table_row(cloud, summary["run_id"])["certified_agree"] is None


def test_answers_that_the_new_gates_stop_are_out_of_what_is_measured(floored: tuple[Cloud, dict[str, Any]]) -> None:
    """They keep no label of the first tier, and nobody is asked about them."""
    cloud, first = floored
    labels = [label for label in LABELS if label != "green"]
    summary = judged_again(cloud, first["run_id"], floored_task(labels=labels))
    kept = [row for row in rows_of(cloud, summary["run_id"]) if row["status"] == "accepted" and row["tier"] == 0]
    assert {row["label"] for row in kept} == {"red"}
    assert summary["certificate"]["accepted_rows"] == len(kept)
    assert summary["cost_usd"] == 0


def test_judged_again_without_a_promise_the_gates_alone_decide(run: tuple[Cloud, dict[str, Any]]) -> None:
    """There is no certificate then, and no word of one; another promise would need other draws, and is refused."""
    cloud, first = run
    summary = judged_again(cloud, first["run_id"], task_of(quality=None, gates={"min_confidence": "likely"}))
    assert summary["certificate"] is None
    assert not any("certificate" in warning for warning in summary["warnings"])
    assert {row["score"] for row in rows_of(cloud, summary["run_id"])} == {None}
    with pytest.raises(BadTask, match="quality: should be as it was in that run"):
        rejudge.run(cloud.services, first["run_id"], task_of(quality={"sample": 70, "train": TRAIN}))


def test_a_budget_that_ends_a_run_leaves_no_certificate() -> None:
    """What was scored has no label then, drawn rows keep the oracle's, and the run says that there is none."""
    machine = Machine(FaultPlan(), reply, SETTINGS)
    task = task_of(budget={"max_usd": 0.03})
    summary = machine.finish(machine.begin(task, FILES))
    assert summary["certificate"] is None
    assert any("there is no certificate" in warning for warning in summary["warnings"])
    found = machine.rows()
    assert {row["tier"] for row in found if row["status"] == "accepted"} <= {1}
    assert summary["reasons"]["budget"] > 0


def test_plan_is_answered_the_same_again(run: tuple[Cloud, dict[str, Any]]) -> None:
    """Each round of a certified run is planned once: called again it says what it said."""
    cloud, summary = run
    rounds = len({item["round"] for item in summary["rounds"]})
    for number in range(rounds):
        assert plan.run(cloud.services, summary["run_id"], number).then in {"jobs", "merge"}


def test_a_floor_is_certified_within_the_rows_that_the_first_tier_calls_so(
    floored: tuple[Cloud, dict[str, Any]],
) -> None:
    """N, n, A and x are those of the rule at delta / K, by the rows; a label with too small a sample goes up whole."""
    cloud, summary = floored
    certificate, draws = stored(cloud, summary["run_id"])
    uris = [item["uri"] for item in summary["inputs"]]
    sampled, taught = ({(uris[row.source], row.line) for row in rows} for rows in (draws.sample, draws.train))
    found = [row for row in rows_of(cloud, summary["run_id"]) if row["score"] is not None]
    for floor in certificate.floors:
        called = [(row["source"], row["line"]) for row in found if row["trail"][0]["label"] == floor.label]
        population, drawn = len(set(called) - taught), len(set(called) & sampled)
        assert (floor.population, floor.sample) == (population, drawn)
        assert floor.at_most == allowed(population, drawn, Fraction(floor.keep))
        assert floor.disagreements == most_disagreements(population, drawn, floor.at_most, Fraction(1, 40))
        assert floor.accepted_rows == sum(row["tier"] == 0 and row["label"] == floor.label for row in found)
    red, blue = certificate.floors
    assert (red.refused, red.accepted_rows > 0) == (False, True)
    assert (blue.refused, blue.accepted_rows) == (True, 0)


def test_an_answer_stands_above_both_thresholds(floored: tuple[Cloud, dict[str, Any]]) -> None:
    """That of the promise about all rows, and that of its label; the others carry the oracle's label."""
    cloud, summary = floored
    certificate, draws = stored(cloud, summary["run_id"])
    numbers = {floor.label: number for number, floor in enumerate(certificate.floors, 1)}
    kept = Counter[str]()
    for row in rows_of(cloud, summary["run_id"]):
        if row["score"] is None or row["record"] in draws.keys:
            continue
        place = Place(score=round(row["score"] * (2**32 - 1)), tie=tie(row["record"]))
        first = row["trail"][0]["label"]
        assert (row["tier"] == 0) == certificate.stands(place, numbers.get(first, 0))
        assert row["label"] == first or row["tier"] == 1
        kept[first] += row["tier"] == 0
    assert kept["red"] > 0 == kept["blue"]
    assert summary["rows"]["unresolved"] == 0


def test_floors_are_told_and_found_again(floored: tuple[Cloud, dict[str, Any]]) -> None:
    """In run.json, in the box of the report, and by whoever recomputes them; a changed figure is found out."""
    cloud, summary = floored
    told = dict(read_run(summary).certificate.facts())  # type: ignore[union-attr]
    assert "were sampled, too few: all go to claude-haiku-4-5" in told["Rows that nova-micro calls blue"]
    assert told["Rows that nova-micro calls red"].startswith("at most 20% differ")
    assert verified(cloud, summary) == []
    kept = json.loads(cloud.results.get(f"reports/{summary['run_id']}/certificate.json"))
    for name, value, said in (
        ("population", 3, "the floor of red: N, n, A, x"),
        ("threshold", [1, 1], "the floor of red: N, n, A, x"),
        ("accepted_rows", 1, "rows keep the first tier's label red"),
    ):
        changed = kept | {"floors": [kept["floors"][0] | {name: value}, kept["floors"][1]]}
        assert any(said in problem for problem in verified(cloud, summary, json.dumps(changed).encode())), name


def test_only_a_floor_may_send_a_record_to_the_oracle() -> None:
    """Where all that the gates let pass stands by the promise about all rows, what a floor refuses is asked about."""
    strict = {"agree": 0.5, "sample": 60, "train": TRAIN, "floors": {"red": 0.95, "green": 0.95}}
    with pytest.raises(BadTask, match=r"floors.red: takes 72 sampled rows"):
        task_of(quality=strict)
    cloud = Cloud(lambda _model, text: json.dumps({"label": text.split()[1], "confidence": "likely"}), SETTINGS)
    summary = cloud.run(task_of(quality={**strict, "sample": 80}), FILES)
    assert summary["certificate"]["threshold"] is None
    assert [floor["disagreements"] for floor in summary["certificate"]["floors"]] == [-1, -1]
    kept = {row["label"] for row in cloud.rows() if row["tier"] == 0}
    assert kept == {"blue"}


def test_several_labels_of_a_row_are_found_again() -> None:
    """The sampled first answers of a task with many labels are compared with the rows label by label."""
    two = json.dumps({"labels": ["red", "blue"], "confidence": "likely"})
    cloud = Cloud(lambda _model, _text: two, SETTINGS)
    assert verified(cloud, cloud.run(task_of(choose="many"), FILES)) == []


def verified(cloud: Cloud, summary: dict[str, Any], kept: bytes | None = None) -> list[str]:
    """What `sluice verify` finds wrong with what a run has published."""
    run = summary["run_id"]
    prefix = f"results/{summary['task']}/"
    published = Published(cloud.results, run, prefix, origins=list)
    data = cloud.results.get(f"reports/{run}/certificate.json") if kept is None else kept
    problems: list[str] = verify(published, summary, data)["problems"]
    return problems


def test_what_is_published_is_enough_to_find_the_certificate_again(run: tuple[Cloud, dict[str, Any]]) -> None:
    """Draws, rule and labels, from the rows and certificate.json alone; so with spans that end within an object."""
    assert verified(*run) == []
    assert verified(*run_certified(span_bytes=3_000)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda kept: kept | {"seed": "00" * 16}, "not those of the smallest ranks"),
        (lambda kept: kept | {"population": kept["population"] + 1}, "that could be drawn"),
        (lambda kept: kept | {"disagreements": kept["disagreements"] + 1}, "the rule gives"),
        (lambda kept: kept | {"threshold": [kept["threshold"][0] - 1000, 0]}, "another threshold"),
        (lambda kept: kept | {"accepted_rows": kept["accepted_rows"] + 1}, "keep the first tier's label"),
        (lambda kept: kept | {"sampled": kept["sampled"][1:] + kept["sampled"][:1]}, "smallest ranks"),
        (
            lambda kept: kept | {"sampled": [[*row[:5], row[4], False] if row[6] else row for row in kept["sampled"]]},
            "other answers to them",
        ),
    ],
)
def test_a_certificate_that_says_otherwise_is_found_out(
    run: tuple[Cloud, dict[str, Any]], change: Any, said: str
) -> None:
    """Whatever figure of it was changed, for the better or not."""
    cloud, summary = run
    kept = msgspec.json.decode(cloud.results.get(f"reports/{summary['run_id']}/certificate.json"))
    assert any(said in problem for problem in verified(cloud, summary, msgspec.json.encode(change(kept))))


def test_sampled_rows_are_evaluated_by_what_stands_above_the_threshold(run: tuple[Cloud, dict[str, Any]]) -> None:
    """Below it the oracle's label would have been theirs; rows that taught the score are left out, and counted."""
    cloud, summary = run
    kept = Kept(*(cloud.results.get(f"reports/{summary['run_id']}/{name}.json") for name in ("draws", "certificate")))
    published = Published(cloud.results, summary["run_id"], "results/t/", origins=list)
    found, rows = evaluate(published, summary, kept=kept), published.table(Wanted()).to_pylist()
    draws, certificate = read(Draws, kept.draws or b"", "d"), read(Certificate, kept.certificate or b"", "c")
    taught = {row.key for row in draws.train}
    sampled = [row for row in certificate.sampled if row.key not in taught and row.oracle is not None]
    differ = sum(
        row.place is not None and certificate.stands(row.place, 0) and row.first != row.oracle for row in sampled
    )
    assert (found["of"], found["right"]) == (len(sampled), len(sampled) - differ)
    left = sum(row["record"] in taught for row in rows)
    assert found["left_out"] == {"taught": left, "examples": 0}
    assert found["label_shares"]["of"] == sum(row["status"] != "rejected" for row in rows) - left
    assert sum(band["of"] for band in found["scores"]) > 0


def test_a_run_without_a_promise_has_nothing_to_verify() -> None:
    """Its task asks for none, and the message says so."""
    cloud = Cloud(reply, SETTINGS)
    summary = cloud.run(parse_task({"name": "t", "input": {"text": "text"}, "labels": list(LABELS)}, "t"), FILES)
    with pytest.raises(BadRequest, match="its task asks for none"):
        verify(Published(cloud.results, summary["run_id"], "results/t/", origins=list), summary, None)


def run_learned(**changes: Any) -> tuple[Cloud, dict[str, Any]]:
    """A certified run whose first tier is what it teaches itself."""
    cloud = Cloud(reply, SETTINGS)
    return cloud, cloud.run(task_of(tiers=[{"kind": "learned"}, {"model": ORACLE}], **changes), FILES)


def test_a_learned_tier_answers_before_the_oracle() -> None:
    """Taught by the draws alone, it costs nothing, asks nobody, and its certificate stands."""
    cloud, summary = run_learned()
    assert verified(cloud, summary) == []
    learned, oracle = summary["tiers"]
    assert (learned["model"], learned["cost_usd"], learned["input_tokens"]) == ("learned", 0.0, 0)
    assert learned["accepted"] > 0
    assert learned["sent"] == summary["records"]["distinct"]
    assert oracle["sent"] == learned["escalated"]
    assert summary["rows"]["unresolved"] == 0
    kept = [row for row in cloud.rows() if row["status"] == "accepted" and row["tier"] == 0]
    differing = sum(row["label"] != label_of(ORACLE, text_at(row["source"], row["line"])) for row in kept)
    assert differing <= summary["certificate"]["at_most"]


def test_a_learned_tier_gives_several_labels_and_a_word() -> None:
    """As many as the task allows, each of them taught; a sentence of the gates is met by its own probability."""
    texts = {text_at("a.jsonl", n + 1): None for n in range(500) if n % 50}

    def both(_model: str, text: str) -> str:
        colour = text.split()[1]
        return json.dumps({"labels": [colour] if "dark" in text else [colour, LABELS[0]][: 2 - (colour == LABELS[0])]})

    cloud = Cloud(both, SETTINGS)
    task = task_of(
        tiers=[{"kind": "learned"}, {"model": ORACLE}], choose={"min": 1, "max": 2}, answer={"confidence": False}
    )
    summary = cloud.run(task, FILES)
    assert texts
    assert summary["rows"]["unresolved"] == 0
    assert summary["tiers"][0]["accepted"] > 0
    assert verified(cloud, summary) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quality": None, "tiers": [{"kind": "learned"}, {"model": ORACLE}]}, "nobody would teach learned"),
        ({"tiers": [{"model": FIRST}, {"kind": "learned"}]}, "learned answers first"),
        ({"tiers": [{"kind": "learned"}, {"model": ORACLE}], "answer": {"evidence": True}}, "labels alone"),
    ],
)
def test_a_learned_tier_stands_where_it_can_be_taught(changes: dict[str, Any], said: str) -> None:
    """In front of the oracle, in a task that draws rows, for labels alone."""
    with pytest.raises(BadTask, match=said):
        task_of(**changes)


def test_a_learned_tier_that_nothing_teaches_stops_the_run() -> None:
    """The oracle has one label for all: there is nothing to tell apart, and the message says what to do."""
    cloud = Cloud(lambda _model, _text: '{"label": "red", "confidence": "certain"}', SETTINGS)
    with pytest.raises(Stop, match="cannot be taught: 1 labels stand in the answers"):
        cloud.run(task_of(tiers=[{"kind": "learned"}, {"model": ORACLE}]), FILES)
