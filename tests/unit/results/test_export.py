"""Training data and known answers out of a run: each text once, nothing disputed, labels balanced."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from sluice.answers.requests import RequestWriter
from sluice.errors import BadRequest
from sluice.models.catalog import Catalog
from sluice.results.export import TIMES, Chosen, Draw, FineTuning, gold_lines
from sluice.results.published import Origin, Published
from sluice.rows.containers import Reading
from sluice.runs.state import FrozenTier
from sluice.steps.services import Run
from sluice.task.file import parse_task
from tests.harness.drive import Cloud, jsonl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.task.task import Task

TEXTS = [f"text {n} < {'&' if n % 3 else 'a'}" for n in range(60)]
ROWS = [*({"text": text, "id": str(n)} for n, text in enumerate(TEXTS)), {"text": TEXTS[1], "id": "again"}]
ROWS.append({"text": "System: obey", "id": "refused"})


def task_of(**changes: Any) -> Task:
    tiers = [{"model": "nova-micro", "transport": "on_demand"}, {"model": "nova-pro", "transport": "on_demand"}]
    made = {"name": "t", "input": {"text": "text", "id": "id"}, "labels": ["a", "b"], "tiers": tiers}
    return parse_task({**made, **changes}, "t")


def answer(model: str, text: str) -> str:
    """The first tier settles every fifth text; the second says a label for each, one of them rarely."""
    if "micro" in model and not text.endswith("a"):
        return "{}"
    return json.dumps({"label": "b" if text in (TEXTS[1], TEXTS[2]) else "a", "confidence": "certain"})


def published(task: Task) -> Published:
    cloud = Cloud(answer)
    document = cloud.run(task, {"in.jsonl": jsonl(ROWS)})
    prefix = next(key for key, _ in cloud.results.keys("results/")).partition("/run_date")[0]

    def origins() -> Iterator[Origin]:
        for item in Run(cloud.work, document["run_id"]).inputs.inputs:
            yield Origin(cloud.incoming, item.uri.removeprefix("s3://incoming/"), item, Reading.of(task))

    return Published(cloud.results, document["run_id"], prefix, origins, task.model_dump(mode="json"))


def test_a_student_is_taught_the_request_of_a_run_and_the_strongest_answer() -> None:
    """Each line has the instructions and the text as a run sends them; repeats and refused words are left out."""
    task = task_of()
    drawn = FineTuning(published(task), validation=0.2)
    training, held = (list(lines) for lines in drawn.draw())
    lines = [json.loads(line) for line in (*training, *held)]
    model = Catalog.load().resolve("nova-pro", "us-east-1")
    writer = RequestWriter(task, FrozenTier.of(task.tiers[-1], model))
    bodies = {body["messages"][0]["content"][0]["text"]: body for body in map(writer.body, TEXTS)}
    said = [line["messages"][0]["content"][0]["text"] for line in lines]
    assert len(said) == len(set(said)) == drawn.made.labels.total()
    for line in lines:
        body = bodies[line["messages"][0]["content"][0]["text"]]
        assert (line["system"], line["messages"][:1]) == (body["system"], body["messages"])
        assert line["schemaVersion"] == "bedrock-conversation-2024"
        assert set(json.loads(line["messages"][1]["content"][0]["text"])) == {"label", "confidence"}
    assert drawn.made.labels == {"a": TIMES * 2, "b": 2}
    assert len(held) == 4
    assert drawn.made.left_out == {
        "repeats of a text": 1,
        "with a word that training jobs refuse": 1,
        "for the balance of labels": 18,
    }
    assert any("100 or more are recommended" in line for line in drawn.made.warnings)


def test_known_answers_are_those_of_the_last_tier() -> None:
    """A line for each row that it settled, repeats too, with what `sluice evaluate` finds a row by."""
    lines = [json.loads(line) for line in gold_lines(published(task_of()))]
    assert {line["id"] for line in lines} == {str(n) for n in range(60) if n % 3} | {"again", "refused"}
    assert set(lines[0]) == {"source", "line", "id", "gold"}


@pytest.mark.parametrize("changes", [{"answer": {"evidence": True}}, {"instructions": "Assistant: be kind"}])
def test_what_cannot_teach_is_refused_before_anything_is_read(changes: dict[str, Any]) -> None:
    """Evidence stands in no results, and some words in no training job."""
    kept = Published(None, "r", "results/t", list, task_of(**changes).model_dump(mode="json"))  # type: ignore[arg-type]
    with pytest.raises(BadRequest):
        FineTuning(kept)


def test_a_draw_is_uniform_within_a_label_and_gives_the_rare_ones_room() -> None:
    """Whatever the order of the rows: the lowest ranks of each label, of as many labels as level as can be."""
    dice = random.Random(5)
    rows = [(label, Chosen(dice.getrandbits(63), f"{label}{n}", "", "")) for label, n in _counts()]
    found = []
    for _ in range(3):
        dice.shuffle(rows)
        draw = Draw(30)
        for label, chosen in rows:
            draw.add(label, chosen)
        assert sum(map(len, draw.kept.values())) == 30
        found.append({label: len(kept) for label, kept in draw.kept.items()})
        assert found[-1]["rare"] == 4
        for label, kept in draw.kept.items():
            ranks = sorted(chosen.rank for name, chosen in rows if name == label)
            assert sorted(chosen.rank for chosen in kept.values()) == ranks[: len(kept)]


def _counts() -> list[tuple[str, int]]:
    return [(label, n) for label, count in (("much", 500), ("some", 40), ("rare", 4)) for n in range(count)]
