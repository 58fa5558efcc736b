"""Runs that are certified against what people say of rows that were drawn before."""

from __future__ import annotations

import json
from contextlib import nullcontext
from decimal import Decimal
from operator import ge, gt
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from sluice.api.quality import verify
from sluice.api.samples import SEED, draw_deployed, take_labels
from sluice.budget.costs import ESCALATED
from sluice.cli.formats import write_csv
from sluice.cli.sampled import SHEET, _batches
from sluice.errors import BadInput, BadRequest, BadTask
from sluice.forecast.estimate import Asked
from sluice.forecast.forecast import forecast
from sluice.forecast.sampled import check_wants_sample, draw_sample
from sluice.quality.certificate import Threshold, by_gold, furthest_step
from sluice.quality.rule import allowed, most_disagreements
from sluice.report.report import render
from sluice.results.published import Published
from sluice.results.run_document import read_run
from sluice.runs.keys import Keys
from sluice.runs.samples import Sample, key_of
from sluice.runs.settings import Settings
from sluice.runs.state import Span
from sluice.steps import partition, plan, rejudge
from sluice.steps.cutting import cut_run
from sluice.steps.publish import run as publish_run
from sluice.steps.sampling import sample_of
from sluice.steps.services import Run
from sluice.task.file import parse_task
from tests.faults.certified import LABELS, ORACLE, label_of, reply
from tests.harness.drive import CATALOG, Cloud
from tests.unit.steps.test_certified_runs import FILES, SETTINGS, TRAIN, stored, task_of, text_at

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.aws.stack import Stack
    from sluice.runs.drawn import Certificate
    from sluice.task.task import Task

SAMPLE = 100
GOLD = {"against": "gold", "worse": 0.1, "sample": SAMPLE, "train": TRAIN}
PROMISE = {"agree": 0.9, "sample": 60, "train": TRAIN}  # as in test_certified_runs


def gold_task(**quality: Any) -> Task:
    return task_of(quality={**GOLD, **quality})


def truth(text: str) -> list[str] | None:
    """What a person says: the colour that the text names, which the oracle says too; some rows are left open."""
    return None if text.endswith("ccccccccc") and "bright" in text and "7" in text else [label_of(ORACLE, text)]


def cut(cloud: Cloud, run: str) -> Run:
    """A run up to its first plan."""
    opened = Run(cloud.work, run)
    for span in msgspec.json.decode(cloud.work.get(opened.keys.spans), type=list[Span]):
        partition.run(cloud.services, span)
    cut_run(opened)
    return opened


def labelled(cloud: Cloud, run: str, say: Any = truth) -> Sample:
    """The sample of a run, labelled and kept as people's would be."""
    sample, _ = sample_of(cut(cloud, run), cloud.services.now())
    rows = [
        msgspec.structs.replace(row, labels=say(text_at(sample.inputs[row.source], row.line))) for row in sample.rows
    ]
    sample = msgspec.structs.replace(sample, rows=rows)
    cloud.work.put(key_of(sample.task, sample.seed), sample.write())
    return sample


def run_gold(task: Task, say: Any = truth) -> tuple[Cloud, dict[str, Any]]:
    cloud = Cloud(reply, SETTINGS)
    run = cloud.begin(task, FILES)
    labelled(cloud, run, say)
    cloud.drive(run)
    return cloud, publish_run(cloud.services, run)


@pytest.fixture(scope="module")
def run() -> tuple[Cloud, dict[str, Any]]:
    return run_gold(gold_task(accuracy=0.8))


def checked(cloud: Cloud, summary: dict[str, Any], certificate: Certificate) -> dict[str, Any]:
    found = Published(cloud.results, summary["run_id"], "results/t/", lambda: iter(()), summary["definition"])
    return verify(found, summary, certificate.write())


def test_a_row_is_bad_where_the_oracle_would_have_been_right(run: tuple[Cloud, dict[str, Any]]) -> None:
    """Or where the person left it open; A and x are those of the rule with the share that may be worse."""
    cloud, summary = run
    certificate, draws = stored(cloud, summary["run_id"])
    taught = {row.key for row in draws.train}
    for row, drawn in zip(certificate.sampled, draws.sample, strict=True):
        text = text_at(cloud.incoming.uri(f"t/{'ab'[drawn.source]}.jsonl"), drawn.line)
        assert row.gold == truth(text)
        wrong = row.first is None or row.first != row.gold
        assert row.bad == (row.key not in taught and (row.gold is None or wrong))
    assert certificate.open == sum(row.gold is None for row in certificate.sampled) > 0
    at_most = allowed(certificate.population, SAMPLE, Decimal("0.9"))
    x = most_disagreements(certificate.population, SAMPLE, at_most, Decimal("0.05"))
    assert (certificate.at_most, certificate.disagreements, certificate.against) == (at_most, x, "gold")
    assert 0 < certificate.accepted_rows < certificate.population


def test_the_accuracy_goes_by_fixed_steps_of_the_population(run: tuple[Cloud, dict[str, Any]]) -> None:
    """Each accepts about 5% more by score; the one that is taken is safe, and keeps the other promise too."""
    cloud, summary = run
    certificate, draws = stored(cloud, summary["run_id"])
    accuracy = certificate.accuracy
    assert accuracy is not None
    assert accuracy.safe is not None
    assert accuracy.taken is not None
    assert 0 < accuracy.taken <= accuracy.safe
    assert certificate.threshold == accuracy.thresholds[accuracy.taken - 1]
    train = {(cloud.incoming.uri(f"t/{'ab'[row.source]}.jsonl"), row.line) for row in draws.train}
    rows = [row for row in cloud.rows() if row["score"] is not None and (row["source"], row["line"]) not in train]
    for step, place in enumerate(accuracy.thresholds, 1):
        bar = -1.0 if place is None else place.score / (2**32 - 1)
        above, level = (sum(by(row["score"], bar) for row in rows) for by in (gt, ge))
        assert above <= certificate.population * step / 20
        assert place is None or level > certificate.population * step / 20
    assert accuracy.thresholds[-1] is None
    left = sum(row.gold is None or row.oracle != row.gold for row in certificate.sampled)
    kept = [row for row in certificate.sampled if row.place is not None and row.key not in {r.key for r in draws.train}]
    mended = sum(row.gold is not None and row.first != row.gold for row in kept)
    assert (accuracy.wrong[0], accuracy.wrong[-1]) == (left, left + mended)


def test_it_is_found_again_and_told(run: tuple[Cloud, dict[str, Any]]) -> None:
    """`verify` finds no fault, and one that is put there; the page says what is promised, and of what."""
    cloud, summary = run
    certificate, _ = stored(cloud, summary["run_id"])
    assert checked(cloud, summary, certificate)["problems"] == []
    assert certificate.accuracy is not None
    better = msgspec.structs.replace(certificate.accuracy, wrong=[0] * 21)
    row = certificate.sampled[0]
    said = msgspec.structs.replace(row, gold=["blue"] if row.gold != ["blue"] else ["red"])
    for changes in ({"accuracy": better}, {"sampled": [said, *certificate.sampled[1:]]}, {"open": 0}):
        assert checked(cloud, summary, msgspec.structs.replace(certificate, **changes))["problems"]
    page, told = render(summary), read_run(summary).certificate
    assert told is not None
    assert "because claude-haiku-4-5 was not asked, which is right about them" in told.promise
    assert "At least 80% of them have the right label" in told.promise
    assert all(text in page for text in ("what people said of the sampled rows", "that people left open"))


def test_where_the_oracle_alone_is_not_good_enough_nothing_is_certified() -> None:
    """The run says what it reached; its rows have labels all the same."""
    cloud, summary = run_gold(gold_task(accuracy=0.95), lambda text: [LABELS[len(text) % 3]])
    certificate, _ = stored(cloud, summary["run_id"])
    assert certificate.accuracy is not None
    assert (certificate.status, certificate.accuracy.safe, certificate.accuracy.taken) == ("measured", None, None)
    told = read_run(summary).certificate
    assert told is not None
    assert f"alone is right about {SAMPLE - certificate.accuracy.wrong[0]:,} of 100 sampled rows" in told.promise
    assert (told.title, summary["status"]) == ("Measured, not certified", "succeeded")
    with pytest.raises(BadRequest, match="nothing to verify"):
        checked(cloud, summary, certificate)


def test_judged_again_it_is_measured_by_what_people_said(run: tuple[Cloud, dict[str, Any]]) -> None:
    """The sample and its labels are those of the first run."""
    cloud, summary = run
    task = task_of(quality={**GOLD, "accuracy": 0.8}, instructions="Be brief.")
    again = rejudge.run(cloud.services, summary["run_id"], task)
    cloud.drive(again)
    found = publish_run(cloud.services, again)["certificate"]
    assert (found["status"], found["accuracy"], found["against"]) == ("measured", None, "gold")
    assert found["differing"]["of"] == SAMPLE


def test_a_run_without_its_sample_stops_before_anything_is_sent() -> None:
    """With what is missing: the sample, one of these objects, the same rows, or a label."""
    cloud = Cloud(reply, SETTINGS)
    run = cloud.begin(gold_task(), FILES)
    opened = cut(cloud, run)
    sample, _ = sample_of(opened, cloud.services.now())
    key = key_of("t", sample.seed)

    def refused(why: str) -> None:
        with pytest.raises(BadInput, match=why):
            plan.run(cloud.services, run, 0)
        assert not cloud.work.exists(Keys(run).jobs(0))

    refused("there is none")
    cloud.work.put(key_of("t", "00" * 16), sample.write())
    refused("drawn of other objects")
    cloud.work.put(key, msgspec.structs.replace(sample, rows=sample.rows[1:]).write())
    refused("other rows than this run draws")
    cloud.work.put(key, sample.write())
    refused("nobody has labelled a row")


def test_what_is_drawn_before_a_run_is_what_the_run_draws(tmp_path: Path) -> None:
    """Of the same objects, with their texts and nobody's answer; filled in it comes back, line by line."""
    cloud = Cloud(reply, SETTINGS)
    task = gold_task()
    run = cloud.begin(task, FILES)
    uris = [cloud.incoming.uri(f"t/{name}") for name in FILES]
    asked = Asked(uris, task, Settings(**SETTINGS), CATALOG, "us-east-1", ESCALATED)
    drawn, texts = draw_sample(asked, cloud.store, lambda *_: None)
    sample, _ = sample_of(cut(cloud, run), cloud.services.now())
    assert (drawn.seed, drawn.rows, drawn.inputs) == (sample.seed, sample.rows, sample.inputs)
    assert [(row.source, row.line) for row in texts] == sorted((uris[row.source], row.line) for row in sample.rows)
    assert all(row.text == text_at(row.source, row.line) for row in texts)

    cloud.work.put(key_of("t", drawn.seed), drawn.write())
    sheet = tmp_path / "sheet.csv"
    with sheet.open("wb") as file:
        write_csv(_batches(drawn.seed, texts), SHEET, file, for_excel=True)
    lines = sheet.read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].replace('"', "") == "sample,source,line,id,text,label,note"
    rows = [{SEED: drawn.seed, "source": row.source, "line": row.line, "label": "red"} for row in texts[:98]]
    rows[0]["label"], rows[1]["line"] = "purple", 9_999
    filled = tmp_path / "filled.jsonl"
    filled.write_text("\n".join(map(json.dumps, rows)))
    taken = take_labels(cloud.work, task, filled)
    assert (taken.taken, taken.open, [line for line, _ in taken.problems]) == (96, 4, [1, 2])
    assert plan.run(cloud.services, run, 0).more
    with pytest.raises(BadRequest, match="does not name its sample"):
        take_labels(cloud.work, task, _without_seed(filled, rows))
    with pytest.raises(BadRequest, match=r"there is no samples/t/"):
        take_labels(cloud.results, task, filled)


def test_a_deployments_run_takes_up_what_was_drawn_for_it() -> None:
    """Drawn again, labels that were given stay."""
    cloud = Cloud(reply, SETTINGS)
    task = gold_task()
    run = cloud.begin(task, FILES)
    stack = cast(
        "Stack",
        SimpleNamespace(
            session=SimpleNamespace(region_name="us-east-1"),
            bucket=cloud.store,
            work=cloud.work,
            incoming=cloud.incoming,
        ),
    )
    uris = [cloud.incoming.uri(f"t/{name}") for name in FILES]
    drawn = draw_deployed(stack, uris, task, on_upload=lambda *_: nullcontext(lambda _size: None))
    labelled(cloud, run)
    kept = cloud.work.get(drawn.place)
    again = draw_deployed(stack, uris, task, on_upload=lambda *_: nullcontext(lambda _size: None))
    assert (again.sample.seed, again.sample.rows) == (drawn.sample.seed, drawn.sample.rows)
    assert cloud.work.get(drawn.place) == kept != drawn.sample.write()
    assert plan.run(cloud.services, run, 0).more
    assert json.loads(cloud.work.get(Keys(run).draws))["gold"]


def _without_seed(file: Path, rows: list[dict[str, Any]]) -> Path:
    file = file.with_name("other.jsonl")
    file.write_text("\n".join(json.dumps({**row, SEED: ""}) for row in rows))
    return file


def test_a_plan_needs_no_labels() -> None:
    """What a run costs does not depend on what people say."""
    cloud = Cloud(reply, SETTINGS)
    for name, data in FILES.items():
        cloud.incoming.put(f"t/{name}", data)
    uris = [cloud.incoming.uri(f"t/{name}") for name in FILES]
    asked = Asked(uris, gold_task(), Settings(**SETTINGS), CATALOG, "us-east-1", ESCALATED)
    assert forecast(asked, cloud.store, lambda *_: None).expected_usd


def test_a_task_that_takes_no_sample_draws_none() -> None:
    """Nor one of another size than its own."""
    with pytest.raises(BadRequest, match="sluice sample RUN"):
        check_wants_sample(task_of())
    with pytest.raises(BadRequest, match="takes 100 rows"):
        check_wants_sample(gold_task(), 500)
    assert check_wants_sample(gold_task()) == SAMPLE


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        ({"agree": 0.9}, "agree: says how often the last tier agrees"),
        ({"floors": {"red": 0.9}}, "floors: are held against the last tier"),
        ({"sample": 20}, "at most 0.1 are wrong where the last tier is right"),
        ({"accuracy": 0.99}, "0.99 of the labels are right"),
        ({"against": "last", "worse": 0.1}, "worse: is about known answers"),
        ({"against": "last", "worse": 0.02, "accuracy": 0.9}, "accuracy: is about known answers"),
    ],
)
def test_what_cannot_be_promised_is_refused(quality: dict[str, Any], said: str) -> None:
    """At load, with what would do."""
    with pytest.raises(BadTask, match=said):
        gold_task(**quality)


def test_rows_are_counted_by_what_is_known_of_them() -> None:
    """Open rows and missing answers are on the side of caution; a taught row has the oracle's label everywhere."""
    place, a, b = (5, 5), ["a"], ["b"]
    cases = [
        ((a, a, a), (False, False, False)),
        ((b, a, a), (True, True, False)),
        ((a, b, a), (False, False, True)),
        ((b, b, a), (False, True, True)),
        ((a, a, None), (True, True, True)),
        ((a, None, a), (True, False, True)),
        ((None, a, a), (True, True, False)),
    ]
    for said, (bad, first_wrong, oracle_wrong) in cases:
        row, known = by_gold(place, *said, taught=False)
        assert (row.bad, known.first_wrong, known.oracle_wrong) == (bad, first_wrong, oracle_wrong), said
    row, known = by_gold(place, b, a, a, taught=True)
    assert (row.bad, known.place) == (False, None)


def test_the_step_that_is_taken_keeps_both_promises() -> None:
    """The furthest safe one that accepts nothing below the rule's threshold; else the step at which all go up."""
    steps = [None, Threshold((9, 0)), Threshold((5, 0)), Threshold((2, 0)), Threshold(None)]
    assert furthest_step(steps, 4, Threshold(None)) == 4
    assert furthest_step(steps, 3, Threshold(None)) == 3
    assert furthest_step(steps, 4, Threshold((5, 0))) == 2
    assert furthest_step(steps, 4, Threshold((10, 0))) == 0


def test_a_promise_against_the_last_tier_keeps_its_version() -> None:
    """The options for known answers change no task that has none."""
    plain = task_of()
    assert plain.version == parse_task(plain.model_dump(mode="json"), "t").version
    assert plain.version == task_of(quality={**PROMISE, "against": "last"}).version
    assert gold_task().version != gold_task(worse=0.2).version
