"""`sluice pilot`: who is asked what, and what is said of all records; the runs are those of the steps in memory."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from typer.testing import CliRunner

from sluice.cli.app import app
from sluice.cli.exits import ExitCode, concluded
from sluice.cli.pilot import Request, pilot_run
from sluice.errors import BadRequest
from sluice.figures import dollars
from sluice.forecast.estimate import Asked
from sluice.forecast.forecast import planned
from sluice.forecast.pilot import Tokens
from sluice.forecast.texts import Lot
from sluice.forecast.trial import bill_at
from sluice.models.catalog import Catalog
from sluice.models.prices import cost
from sluice.quality.intervals import share
from sluice.runs.settings import Settings
from sluice.runs.state import PlannedSegment
from sluice.task.file import load_task
from tests.harness.drive import Cloud, jsonl

if TYPE_CHECKING:
    from sluice.aws.s3 import Store
    from sluice.task.task import Task

LABELS = ["a", "b"]
TASK: dict[str, Any] = {
    "name": "plain",
    "input": {"text": "text", "id": "id", "gold": "gold"},
    "labels": LABELS,
    "budget": {"max_usd": 1000},
    "limits": {"unresolved": 0.0},
    "tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}],
}
ROWS = [[1], *({"text": f"text {n:03d}", "id": n, "gold": "a"} for n in range(300))]


def nowhere(name: str) -> Store:
    raise AssertionError(f"{name} was asked for")


def number_of(text: str) -> int:
    return int(text.rsplit(" ", 1)[1])


def answer(model: str, text: str) -> str:
    """The first tier doubts a tenth, and says b of another tenth; the strongest is sure of a."""
    strong, number = "haiku" in model, number_of(text)
    label = "b" if number % 10 == 1 and not strong else "a"
    return json.dumps({"label": label, "confidence": "unsure" if number % 10 == 0 and not strong else "certain"})


@dataclass
class MemoryRunner:
    """Runs the real steps in memory in place of the local runner, and writes what it would write."""

    asked: Counter[str] = field(default_factory=Counter)
    tasks: list[Task] = field(default_factory=list)
    texts: set[str] = field(default_factory=set)
    status: str | None = None

    def __call__(self, *, inputs: list[Path], task: Task, out: Path, **_others: Any) -> dict[str, Any]:
        def counted(model: str, text: str) -> str:
            self.asked[model.rsplit(".", 1)[-1]] += 1
            self.texts.add(text)
            return answer(model, text)

        self.tasks.append(task)
        cloud = Cloud(counted, {"min_records_per_job": 1})
        summary = cloud.run(task, {path.name: path.read_bytes() for path in inputs})
        for key, _ in cloud.results.keys("results/"):
            path = out / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cloud.results.get(key))
        (out / "run.json").write_bytes(msgspec.json.encode(summary))
        return {**summary, "status": self.status or summary["status"]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.yaml").write_text(json.dumps(TASK))
    (tmp_path / "in.jsonl").write_bytes(jsonl(ROWS))
    return tmp_path


def asking(**changes: Any) -> Request:
    made = {"inputs": ["in.jsonl"], "task": "plain.yaml", "records": 100, "seed": 0, "answers": "standin", "out": None}
    return Request(**{**made, "settings": [], "region": "us-east-1", "json": True, **changes})


def piloted(runner: MemoryRunner | None = None, **changes: Any) -> dict[str, Any]:
    request = asking(**changes)
    assert pilot_run(request, nowhere, runner or MemoryRunner()) == ExitCode.SUCCEEDED
    found: dict[str, Any] = json.loads(((request.out or Path("out/plain-pilot")) / "pilot.json").read_text())
    return found


def test_the_first_and_the_strongest_tier_answer_every_record(project: Path) -> None:
    """What the first cannot settle goes on as in a run, and the strongest is asked for all of them besides."""
    runner = MemoryRunner()
    found = piloted(runner)
    went_on = found["escalated"][0]["count"]
    assert runner.asked["nova-micro-v1:0"] == 100 == len(runner.texts)
    assert runner.asked["claude-haiku-4-5-20251001-v1:0"] == 100 + went_on
    assert [[tier.model for tier in task.tiers] for task in runner.tasks] == [
        ["nova-micro", "claude-haiku-4-5"],
        ["claude-haiku-4-5"],
    ]
    assert {tier.transport for task in runner.tasks for tier in task.tiers} == {"on_demand"}
    assert {task.budget.max_usd for task in runner.tasks} == {1000}
    assert {task.limits.unresolved for task in runner.tasks} == {None}


def test_shares_and_differences_are_those_of_the_sample(project: Path) -> None:
    """All 300 records: exactly a tenth goes on, and of the others a ninth differs, so nothing is uncertain."""
    found = piloted(records=500)
    assert found["n"] == 300
    assert (found["escalated"][0]["share"], found["escalated"][0]["low"]) == (0.1, 0.1)
    assert (found["agreement"]["count"], found["agreement"]["of"]) == (240, 270)
    assert found["differences"] == [{"first": "b", "strongest": "a", "records": 30}]
    assert [gold["right"] for gold in found["gold"]] == [270, 300]
    assert found["expected_low_usd"] == found["expected_usd"] == found["expected_high_usd"]
    assert found["plan"]["records"] == {"distinct": 300}


def test_the_bill_has_an_interval(project: Path) -> None:
    """It holds what all records would show, as it does for 19 of 20 seeds; the plan has the measured figures."""
    found, whole = piloted(seed=3), piloted(records=300, out=Path("whole"))
    assert found["expected_low_usd"] < found["expected_usd"] < found["expected_high_usd"]
    assert found["expected_low_usd"] < whole["expected_usd"] < found["expected_high_usd"]
    assert found["expected_usd"] < found["plan"]["ceiling_usd"]
    assert found["plan"]["expected_usd"] == found["expected_usd"] < found["strongest_usd"]
    assert found["plan"]["tiers"][0]["records"] == 300


def test_the_ends_of_the_interval_are_sent_as_so_many_records_are(project: Path) -> None:
    """None of 200 went on: of 1,000,000 it may still be 18,845, and those go in batch, at half the price."""
    asked = Asked(["in.jsonl"], load_task("plain.yaml"), Settings(), Catalog.load(), "us-east-1", 0.1)
    tokens = [Tokens(100, 10), Tokens(100, 10)]
    with planned(asked, nowhere, lambda *_: None) as read:
        many = replace(read, texts=replace(read.texts, records=1_000_000))
        strongest = many.opened.start.tiers[1]
        none, most = (bill_at(many, tokens, [part]) for part in (share(0, 200).value, share(0, 200).high))
    assert strongest.price is not None
    records = math.ceil(1_000_000 * share(0, 200).high)
    assert none[1] == 0
    assert most[1] == cost(strongest.price, "batch", records * 100, records * 10)
    assert most[0] == none[0]


def test_the_same_seed_draws_the_same_rows(project: Path) -> None:
    """Another one draws others; bad rows are never drawn, and each drawn row is named by its line."""
    draws = [piloted(seed=seed, out=Path(f"o{n}"))["rows"] for n, seed in enumerate((7, 7, 8))]
    assert draws[0] == draws[1] != draws[2]
    lines = [row["line"] for row in draws[0]]
    assert len(set(lines)) == 100
    assert lines == sorted(lines)
    assert min(lines) > 1
    sample = [json.loads(line) for line in Path("o0/sample.jsonl").read_text().splitlines()]
    assert [row["id"] + 2 for row in sample] == lines


def test_every_record_is_as_likely_as_any_other() -> None:
    """Over 400 seeds each of 40 records is drawn about 100 times of 400; offered in another order, the same."""
    segment = PlannedSegment(span=0, begin=0, first_source=0, line_base=0)
    lines = [b"%032x%08d%012d row" % (n * 7919**8 % 16**32, 0, n) for n in range(40)]
    counts: Counter[int] = Counter()
    for seed in range(400):
        forward, backward = Lot(10, seed), Lot(10, seed)
        forward.offer(lines, segment)
        backward.offer(lines[::-1], segment)
        assert forward.drawn == backward.drawn
        counts.update(row.line for row in forward.drawn)
    assert len(counts) == 40
    assert all(65 <= count <= 135 for count in counts.values()), counts


def test_texts_stay_out_of_what_is_told(project: Path) -> None:
    """Only the sample holds rows; the findings name them by their lines."""
    piloted()
    assert "text " not in json.dumps({**told(), "plan": None})
    assert Path("out/plain-pilot/sample.jsonl").read_text().count("text ") == 100


def told() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path("out/plain-pilot/pilot.json").read_text())
    return document


def test_the_page_says_who_answered_and_what_it_rests_on(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stand-in says that it is one; shares have their n and interval."""
    assert pilot_run(asking(json=False), nowhere, MemoryRunner()) == 0
    page = capsys.readouterr().out
    for said in ("100 of 300 distinct records", "Stand-in answers", "95% Wilson interval", "n = 100", "At most"):
        assert said in " ".join(page.split())
    assert "Stand-in" not in json.dumps(piloted(answers="bedrock", out=Path("real")))


def test_a_budget_is_held_against_what_was_measured(project: Path) -> None:
    """The warning names the pilot's figure, not that of a plan before it."""
    Path("in.jsonl").write_bytes(jsonl([{"text": f"text {n}", "gold": "a"} for n in range(20_000)]))
    Path("plain.yaml").write_text(json.dumps({**TASK, "budget": {"max_usd": 0.05}}))
    found = piloted()
    assert any(f"below the expected {dollars(found['expected_usd'])}" in line for line in found["plan"]["warnings"])


def test_a_pilot_that_its_budget_stops_shows_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shares of records that were never asked would be wrong; the budget is kept all the same."""
    Path("plain.yaml").write_text(json.dumps({**TASK, "budget": {"max_usd": 0.001}}))
    assert concluded(lambda: pilot_run(asking(), nowhere, MemoryRunner())) == ExitCode.FAILED
    assert "draw fewer records" in capsys.readouterr().err
    assert not Path("out/plain-pilot/pilot.json").exists()


def test_calls_that_cost_money_are_announced(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How many of each model, and about how much: nobody else's answers cost anything."""
    piloted(answers="bedrock")
    said = capsys.readouterr().err
    assert "nova-micro 100, claude-haiku-4-5 110; they are expected to cost $0." in said
    piloted(out=Path("other"))
    assert "calls of Bedrock" not in capsys.readouterr().err


def test_a_task_of_one_tier_has_nobody_to_agree_with(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is run once, and only the bill is told."""
    Path("plain.yaml").write_text(json.dumps({**TASK, "tiers": [{"model": "nova-micro"}]}))
    runner = MemoryRunner()
    found = piloted(runner)
    assert (len(runner.tasks), found["escalated"], len(found["gold"])) == (1, [], 1)
    capsys.readouterr()
    pilot_run(asking(json=False), nowhere, MemoryRunner())
    assert "Agreement" not in capsys.readouterr().out


def test_a_run_that_breaks_off_ends_the_pilot(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second run is not begun, nothing is concluded, and the exit code is the run's."""
    runner = MemoryRunner(status="cancelled")
    assert concluded(lambda: pilot_run(asking(), nowhere, runner)) == ExitCode.CANCELLED
    assert len(runner.tasks) == 1
    assert "broke off" in capsys.readouterr().err
    assert not Path("out/plain-pilot/pilot.json").exists()


def test_without_a_good_row_there_is_nothing_to_ask(project: Path) -> None:
    """It is told before anything runs."""
    Path("in.jsonl").write_bytes(jsonl([[1], [2]]))
    with pytest.raises(BadRequest, match="no row that could be sent"):
        pilot_run(asking(), nowhere, MemoryRunner())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.jsonl", "--task", "plain.yaml"], "gone.jsonl does not exist"),
        (["in.jsonl", "--task", "plain.yaml", "--answers", "magic"], "--answers magic is not known"),
        (["in.jsonl", "--task", "plain.yaml", "-n", "0"], "-n"),
        (["in.jsonl", "--task", "plain.yaml", "--seed", str(2**63)], "--seed"),
        (["in.jsonl", "--task", "plain.yaml", "--seed", str(-(2**63) - 1)], "--seed"),
        (["in.jsonl", "--task", "plain.yaml", "--out", "."], "--out . holds files"),
    ],
)
def test_wrong_usage_is_exit_code_2(project: Path, arguments: list[str], said: str) -> None:
    """Nothing is read or started."""
    result = CliRunner().invoke(app, ["pilot", *arguments])
    assert result.exit_code == 2
    assert said in result.stderr
