"""Plan, pilot and run as a program calls them; the runner is the steps in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pytest

import sluice
from sluice.api.forecasting import asked_for, trial_of
from sluice.api.local import Run, job_again, job_judged, job_of
from sluice.errors import BadRequest, BadSetting, BadTask, Interrupted, Unfinished
from tests.harness.drive import Cloud, jsonl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluice.api.tasks import Inputs
    from sluice.aws.s3 import Store
    from sluice.task.task import Task

TASK: dict[str, Any] = {
    "name": "plain",
    "input": {"text": "text", "id": "id"},
    "labels": ["a", "b"],
    "tiers": [{"model": "nova-micro", "transport": "on_demand"}],
}
ROWS = [{"text": f"text {n}", "id": str(n)} for n in range(20)]


def answer(_model: str, text: str) -> str:
    number = int(text.rsplit(" ", 1)[1])
    return json.dumps({"label": "ab"[number % 2], "confidence": "unsure" if number < 3 else "certain"})


def nowhere(name: str) -> Store:
    raise AssertionError(f"{name} was asked for")


class MemoryRunner:
    """Runs the real steps in memory in place of the local runner, and writes what it would write."""

    def __init__(self, outcome: BaseException | None = None) -> None:
        self.outcome = outcome
        self.asked: dict[str, Any] = {}

    def __call__(self, *, inputs: list[Path], task: Task, out: Path, **others: Any) -> Mapping[str, Any]:
        self.asked = others
        if self.outcome is not None:
            raise self.outcome
        cloud = Cloud(answer, {"min_records_per_job": 1})
        summary = cloud.run(task, {path.name: path.read_bytes() for path in inputs})
        for key, _ in cloud.results.keys("results/"):
            path = out / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cloud.results.get(key))
        for item, path in zip(summary["inputs"], inputs, strict=True):
            item["path"] = str(path.resolve())
        (out / "run.json").write_bytes(msgspec.json.encode(summary))
        return summary


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "plain.yaml").write_text(json.dumps(TASK))
    (tmp_path / "in.jsonl").write_bytes(jsonl(ROWS))
    return tmp_path / "in.jsonl"


@pytest.fixture
def run(rows: Path) -> Run:
    return job_of(rows, "plain.yaml", "out").run(MemoryRunner())


def test_a_plan_says_what_a_run_would_be(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures and sentences, and nothing on a stream."""
    plan = sluice.plan(rows, sluice.load_task("plain.yaml"))
    assert (plan.rows, plan.records) == (20, 20)
    assert plan.expected_usd is not None
    assert plan.ceiling_usd is not None
    assert 0 < plan.expected_usd < plan.ceiling_usd
    assert 0 < plan.seconds[0] <= plan.seconds[1]
    assert any("description" in warning for warning in plan.warnings)
    assert capsys.readouterr() == ("", "")


def test_inputs_and_tasks_come_in_several_shapes(rows: Path) -> None:
    """One path or several, as text or not; a task, its file, or data that a program has made."""
    task = sluice.load_task(Path("plain.yaml"))
    shapes: list[tuple[Inputs, Task | str | Path]] = [
        (str(rows), task),
        ([rows], "plain.yaml"),
        ([rows, "in.jsonl"], Path("plain.yaml")),
        (rows.parent, task),
    ]
    assert {sluice.plan(*shape).rows for shape in shapes} == {20}


def test_a_run_hands_out_its_rows(run: Run) -> None:
    """As a table with the asked rows and columns, in batches, and as they stood in the input."""
    assert (run.status, run.summary["rows"]["in"], run.error) == ("succeeded", 20, None)
    assert run.raise_for_status() is run
    open_ = run.table(status="unresolved", columns=["id", "reason"])
    assert isinstance(open_, pa.Table)
    assert open_.to_pylist() == [{"id": str(n), "reason": "low_confidence"} for n in range(3)]
    assert run.table(status=["accepted", "unresolved"], label="b").num_rows == 10 - 1
    assert run.table(limit=2).num_rows == 2
    assert run.table(columns="line").column_names == ["line"]
    assert len(run.table().to_pandas()) == 20
    assert run.table(reason="reply_cut").num_rows == 0
    assert sum(batch.num_rows for batch in run.batches()) == 20
    assert [json.loads(line) for line in run.input_lines(status="unresolved")] == ROWS[:3]
    assert [file.suffix for file in run.files] == [".parquet"]


def test_a_run_is_opened_again_by_its_folder(run: Run) -> None:
    """By another process, say."""
    again = sluice.open_run(run.out)
    assert (again.run_id, again.summary, again.table()) == (run.run_id, run.summary, run.table())
    with pytest.raises(BadRequest, match=r"nowhere holds no run"):
        sluice.open_run("nowhere")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"status": "open"}, "status open is no status; there are: accepted, unresolved, rejected"),
        ({"reason": ["nonsense"]}, "reason nonsense is no reason"),
        ({"limit": 0}, "limit 0 is no number of rows"),
        ({"columns": ["id", "colour"]}, "colour is no column of the results; there are: "),
    ],
)
def test_rows_that_cannot_be_are_refused(run: Run, wrong: dict[str, Any], said: str) -> None:
    """By name, with what there is: a misspelt filter is never an empty table."""
    with pytest.raises(BadRequest, match=said):
        run.table(**wrong)
    with pytest.raises(BadRequest, match=said):
        list(run.batches(**wrong))


def test_what_is_asked_arrives_typed(rows: Path) -> None:
    """Settings that were named, made sure of; without somebody who agrees, no cost is approved."""
    runner = MemoryRunner()
    job_of(rows, "plain.yaml", "out", settings={"max_jobs_in_flight": "3"}, region="eu-west-1").run(runner)
    assert (runner.asked["settings"], runner.asked["region"]) == ({"max_jobs_in_flight": 3}, "eu-west-1")
    assert runner.asked["approve"](None) is False


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"inputs": "gone.jsonl"}, BadRequest, "gone.jsonl does not exist"),
        ({"inputs": []}, BadRequest, "there are no inputs"),
        ({"inputs": "s3://bucket/key.jsonl"}, BadRequest, "does not exist"),
        ({"task": "nothing"}, BadTask, "no such task"),
        ({"answers": "magic"}, BadRequest, "answers magic is not known; there are"),
        ({"settings": {"max_jobs": 1}}, BadSetting, "max_jobs is not a setting"),
        ({"out": "."}, BadRequest, "out . holds files that are no run of Sluice"),
    ],
)
def test_what_cannot_be_run_starts_nothing(
    rows: Path, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    """The error is one of the library's, and names the argument as a program knows it."""
    asked = {"inputs": rows, "task": "plain.yaml", "out": "out", **changes}
    with pytest.raises(error, match=said):
        sluice.run(**asked)
    assert not Path("out").exists()


def test_ctrl_c_comes_out_with_what_there_is(rows: Path) -> None:
    """It is a KeyboardInterrupt, so that nothing that catches errors keeps it."""
    stopped = Interrupted({"run_id": "r1", "status": "cancelled"})
    with pytest.raises(KeyboardInterrupt) as caught:
        job_of(rows, "plain.yaml", "out").run(MemoryRunner(stopped))
    assert caught.value is stopped
    assert not isinstance(stopped, Exception)


def test_a_run_that_did_not_succeed_can_be_an_error(run: Run) -> None:
    """For a scheduler, whose task fails by an exception; it says how the run ended."""
    failed = Run(run.out, {**run.summary, "status": "over_limit", "error": None})
    with pytest.raises(Unfinished, match="has not succeeded, it is over limit") as caught:
        failed.raise_for_status()
    assert caught.value.status == "over_limit"


def test_a_run_that_accepted_nothing_says_the_likely_cause(run: Run) -> None:
    """Beside its status, for whoever reads the error alone."""
    cause = {"reason": "record_refused", "rows": 20, "likely": "no access to the model"}
    failed = Run(run.out, {**run.summary, "status": "nothing_accepted", "cause": cause})
    with pytest.raises(Unfinished, match="it is nothing accepted: 20 rows are record_refused: no access to the model"):
        failed.raise_for_status()


def test_a_pilot_concludes_from_a_sample(rows: Path) -> None:
    """What is returned is what lies in the folder."""
    asked = asked_for(rows, "plain.yaml", None, 0.1, None)
    trial = trial_of(asked, 10, 0, "standin", "trial", None)
    pilot = trial.run(nowhere, MemoryRunner(), lambda *_: None)
    assert (pilot.findings.records, pilot.records) == (10, 20)
    assert json.loads(Path("trial/pilot.json").read_bytes())["n"] == 10


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"records": 0}, "records 0 is no number of records"),
        ({"seed": 2**63}, "seed 9223372036854775808 is not allowed"),
        ({"answers": "magic"}, "answers magic is not known"),
    ],
)
def test_what_cannot_be_piloted_starts_nothing(rows: Path, changes: dict[str, Any], said: str) -> None:
    """What the command line's options bound is bounded for programs too."""
    with pytest.raises(BadRequest, match=said):
        sluice.pilot(rows, "plain.yaml", **changes)
    with pytest.raises(BadRequest, match=r"escalate 1\.5 is no share"):
        sluice.plan(rows, "plain.yaml", escalate=1.5)


def test_a_run_of_a_folder_goes_on_as_it_was_begun(rows: Path) -> None:
    """Inputs, task, answers and settings are those of the latest run there, whatever folder one is in."""
    runner = MemoryRunner()
    job_of(rows, "plain.yaml", "out", ["0=standin"], {"max_jobs_in_flight": 3}, "eu-west-1").run(runner)
    Path("out/logs").mkdir()
    Path("out/logs/asked.json").write_bytes(msgspec.json.encode(runner.asked["asked"]))
    Path("plain.yaml").unlink()
    again = job_again("out", 5.0)
    assert (list(again.inputs), again.region, again.settings) == ([rows], "eu-west-1", {"max_jobs_in_flight": 3})
    assert (again.task.budget.max_usd, again.task.labels, again.answers.said) == (5.0, {"a": "", "b": ""}, "standin")
    with pytest.raises(BadRequest, match=r"nowhere holds no run that was begun on this machine"):
        job_again("nowhere")


def test_kept_answers_are_judged_by_another_task(rows: Path) -> None:
    """Over the inputs as they were: with others the answers would be to something else."""
    runner = MemoryRunner()
    job_of(rows, "plain.yaml", "out").run(runner)
    Path("out/logs").mkdir()
    Path("out/logs/asked.json").write_bytes(msgspec.json.encode(runner.asked["asked"]))
    Path("stricter.yaml").write_text(json.dumps({**TASK, "gates": {"min_confidence": "certain"}}))
    judged = job_judged("out", "stricter.yaml")
    assert judged.judge_by is not None
    assert (judged.judge_by.gates.min_confidence, judged.task.gates.min_confidence) == ("certain", "likely")
    document = json.loads(Path("out/run.json").read_bytes())
    document["inputs"][0]["sha256"] = "0" * 64
    Path("out/run.json").write_text(json.dumps(document))
    with pytest.raises(BadRequest, match=r"in.jsonl is not what the run in out has read"):
        job_judged("out", "stricter.yaml")
