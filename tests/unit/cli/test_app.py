from __future__ import annotations

import datetime as dt
import errno
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console, Group
from typer.main import get_group
from typer.testing import CliRunner

from sluice.cli import run as command
from sluice.cli.app import app
from sluice.cli.display import Lines, busy, byte_bar, meter, news, picture
from sluice.cli.exits import ExitCode
from sluice.cli.options import parse_settings
from sluice.cli.plan import READING, progress
from sluice.cli.run import Request, approved, run_files
from sluice.cli.summary import cost_sentence, next_after, places_in, summary
from sluice.errors import BadInput, BadRequest, BadSetting, Interrupted, SluiceError, Stop, Unbalanced
from sluice.local import runner
from sluice.local.asking import models_beside
from sluice.local.checks import check_faults
from sluice.local.runner import full_disk_told
from sluice.local.sources import check_answers
from sluice.models.catalog import Catalog
from sluice.results.folder import check_out
from sluice.results.run_document import read_run
from sluice.rows.inputs import find_inputs, names
from sluice.runs.approval import Approval
from sluice.runs.progress import Gauge, JobProgress, JobState, RoundProgress, Snapshot, Stage
from sluice.runs.settings import Settings
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Callable

TASK = """
name: tickets
input: {text: body}
labels: [billing, other]
tiers: [{model: nova-micro}, {model: claude-haiku-4-5}]
"""
TIER = {
    "transport": "batch",
    "sent": 10,
    "answered": 10,
    "errored": 0,
    "missing": 0,
    "accepted": 8,
    "retried": 0,
    "escalated": 2,
    "input_tokens": 1000,
    "output_tokens": 100,
    "cost_usd": 0.001,
}
RUN: dict[str, Any] = {
    "schema_version": 1,
    "run_id": "r1",
    "task": "tickets",
    "task_version": "v",
    "status": "succeeded",
    "error": None,
    "started": "2026-11-20T10:15:00Z",
    "finished": "2026-11-20T10:15:09Z",
    "seconds": 9.4,
    "answers": "standin",
    "inputs": [],
    "rows": {"in": 12, "accepted": 10, "unresolved": 1, "rejected": 1},
    "records": {"distinct": 10, "sent": 12, "shared_rows": 2},
    "rounds": [],
    "tiers": [
        {**TIER, "tier": 0, "model": "us.amazon.nova-micro-v1:0"},
        {**TIER, "tier": 1, "model": "us.anthropic.claude-haiku-4-5-20251001-v1:0", "cost_usd": 0.003},
    ],
    "jobs": [],
    "reasons": {"low_confidence": 1},
    "labels": {"billing": 7, "other": 3},
    "cost_usd": 0.004,
    "baseline_usd": 0.02,
    "prices": {"source": "list", "date": "2026-11-20"},
    "ids": {"missing": 0, "duplicate": 0},
    "warnings": [],
}


DEAR = Approval(ceiling_usd=34.19, expected_usd=0.2, approve_above_usd=5.0, at="2026-11-20T10:16:00+00:00")


class FakeRunner:
    """Takes the local runner's place: keeps what it was asked for, and returns or raises what it is told to."""

    def __init__(self, outcome: dict[str, Any] | BaseException | None = None) -> None:
        self.outcome = outcome or RUN
        self.asked: dict[str, Any] = {}

    def __call__(self, **asked: Any) -> dict[str, Any]:
        self.asked = asked
        print("a library's chatter")  # noqa: T201
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        asked["out"].mkdir(parents=True, exist_ok=True)
        return self.outcome


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Request]:
    """A request that is right in all respects, with changes."""
    rows, task = tmp_path / "in.jsonl", tmp_path / "tickets.yaml"
    rows.write_text('{"body": "x"}\n')
    task.write_text(TASK)

    def make(**changes: Any) -> Request:
        values: dict[str, Any] = {
            "inputs": [str(rows)],
            "task": str(task),
            "out": tmp_path / "out",
            "answers": "standin",
            "settings": [],
            "region": "us-east-1",
            "faults": None,
            "json": False,
        }
        return Request(**{**values, **changes})

    return make


# Exit codes and streams.


@pytest.mark.parametrize(
    ("status", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 3), ("over_limit", 4), ("a later status", 1)]
)
def test_the_exit_code_says_how_the_run_ended(ask: Callable[..., Request], status: str, code: int) -> None:
    """Each status has its own exit code, and a status that is not known is no success."""
    assert run_files(ask(), FakeRunner({**RUN, "status": status})) == code


def test_json_prints_the_document_and_nothing_else(
    ask: Callable[..., Request], capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Progress, notes and what a library prints stand on standard error."""
    document = {**RUN, "labels": {"Zürich": 3}}
    run_files(ask(json=True), FakeRunner(document))
    out, err = capsysbinary.readouterr()
    assert json.loads(out) == document
    assert b"chatter" in err
    assert b"tickets: starting the workflow" in err


def test_without_json_a_summary_is_printed(ask: Callable[..., Request], capsys: pytest.CaptureFixture[str]) -> None:
    """The summary stands on standard output, without what was said on the way."""
    run_files(ask(), FakeRunner())
    out = capsys.readouterr().out
    assert out.startswith("tickets succeeded after 9.4 s")
    assert "chatter" not in out


def test_ctrl_c_shows_what_was_answered(ask: Callable[..., Request], capsys: pytest.CaptureFixture[str]) -> None:
    """The cancelled run has its summary, and an exit code of its own."""
    assert run_files(ask(), FakeRunner(Interrupted({**RUN, "status": "cancelled"}))) == ExitCode.CANCELLED
    assert capsys.readouterr().out.startswith("tickets cancelled")


def test_the_runner_is_asked_for_what_the_command_line_says(ask: Callable[..., Request], tmp_path: Path) -> None:
    """Task, inputs, places and settings arrive checked and typed; settings that were not named are left out."""
    runner = FakeRunner()
    run_files(ask(settings=["max_jobs_in_flight=3", "poll_seconds=5"], answers="bedrock", region="eu-west-1"), runner)
    assert runner.asked["task"].name == "tickets"
    assert runner.asked["inputs"] == [tmp_path / "in.jsonl"]
    assert runner.asked["settings"] == {"max_jobs_in_flight": 3, "poll_seconds": 5}
    assert (runner.asked["answers"].said, runner.asked["region"]) == ("bedrock", "eu-west-1")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inputs": ["nowhere.jsonl"]}, "nowhere.jsonl does not exist"),
        ({"task": "nothing"}, "no such task"),
        ({"settings": ["max_jobs"]}, "given as KEY=VALUE"),
        ({"settings": ["max_jobs=1"]}, "max_jobs is not a setting"),
        ({"settings": ["max_jobs_in_flight=many"]}, "max_jobs_in_flight = 'many' is not allowed"),
        ({"settings": ["min_records_per_job=900", "max_records_per_job=100"]}, "is above"),
        ({"answers": "oracle"}, "--answers oracle is not known"),
        ({"answers": "replay:nowhere.jsonl"}, "there is no file nowhere.jsonl"),
        ({"faults": Path("nowhere.yaml")}, "--faults nowhere.yaml is not a file"),
    ],
)
def test_a_wrong_request_starts_nothing(
    ask: Callable[..., Request], capsys: pytest.CaptureFixture[str], changes: dict[str, Any], said: str
) -> None:
    """Whatever can be checked beforehand ends with 2 and a sentence, and the runner is never called."""
    runner = FakeRunner()
    assert run_files(ask(**changes), runner) == ExitCode.USAGE
    assert said in capsys.readouterr().err
    assert runner.asked == {}


def test_all_mistakes_of_a_task_are_listed(
    ask: Callable[..., Request], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One look shows everything that has to be mended."""
    (tmp_path / "tickets.yaml").write_text(TASK.replace("labels:", "lables:").replace("text:", "txt:"))
    assert run_files(ask(), FakeRunner()) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert "cannot be run: " in err
    assert "lables" in err
    assert "txt" in err


def test_an_unknown_model_is_a_mistake_of_the_task(
    ask: Callable[..., Request], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Models are resolved before anything is started."""
    (tmp_path / "tickets.yaml").write_text(TASK.replace("nova-micro", "nova-micra"))
    assert run_files(ask(), FakeRunner()) == ExitCode.USAGE
    assert "tiers.0.model" in capsys.readouterr().err


def test_an_error_of_the_runner_is_a_failure(ask: Callable[..., Request], capsys: pytest.CaptureFixture[str]) -> None:
    """A run that broke is 1, with its message and without a traceback."""
    assert run_files(ask(), FakeRunner(Stop("the app does not synthesize"))) == ExitCode.FAILED
    assert "sluice: the app does not synthesize" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"), [(BadInput("refused"), ExitCode.USAGE), (Unbalanced("a row is missing"), ExitCode.FAILED)]
)
def test_a_refusal_by_the_first_step_is_wrong_usage(
    ask: Callable[..., Request], error: SluiceError, code: ExitCode
) -> None:
    """Nothing has been started then; what breaks later is a failure."""
    assert run_files(ask(), FakeRunner(error)) == code


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/out/run.json"), "/out/run.json: No space left on device"),
        (OSError(errno.EROFS, "Read-only file system", "/a\nb"), r"/a\nb: Read-only file system"),
    ],
)
def test_a_disk_that_takes_nothing_ends_a_run_in_one_line(
    ask: Callable[..., Request], capsys: pytest.CaptureFixture[str], error: OSError, said: str
) -> None:
    """The line names the file and what the system says of it."""
    assert run_files(ask(), FakeRunner(error)) == ExitCode.FAILED
    assert capsys.readouterr().err.splitlines()[-1] == f"sluice: {said}"


def test_a_process_that_died_of_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot write why: the runner looks whether there is room."""
    monkeypatch.setattr(runner, "SCARCE_BYTES", 2**70)
    with (
        pytest.raises(Stop, match=f"Runtime exited; the disk of {tmp_path / 'out'} is full"),
        full_disk_told(tmp_path / "out"),
    ):
        raise Stop("Runtime exited")


@pytest.mark.parametrize("name", ["a\nb.jsonl", "a\x1bb.jsonl", "a\u2028b.jsonl", "a\udcffb.jsonl"])
def test_a_name_that_would_break_a_line_is_refused(tmp_path: Path, name: str) -> None:
    """Named itself or found in a folder; the message is one line, and says what to do."""
    (tmp_path / name).write_text('{"body": "x"}\n')
    for place in (tmp_path, tmp_path / name):
        with pytest.raises(BadRequest, match=r"the name holds a line end, .* rename the file") as refused:
            find_inputs([str(place)])
        assert str(refused.value).isprintable()
    with pytest.raises(BadRequest, match="does not exist") as missing:
        find_inputs([str(tmp_path / f"no{name}")])
    assert str(missing.value).isprintable()


def test_a_name_may_have_any_letters(tmp_path: Path) -> None:
    """Blanks of any width and joiners break no line."""
    files = [tmp_path / name for name in ("a\u202fb\xa0c.jsonl", "é👩\u200d🚒.jsonl", "ü.jsonl")]
    for file in files:
        file.write_text("{}\n")
    assert set(find_inputs([str(tmp_path)])) == set(files)


def test_output_that_cannot_be_written_is_a_failure_in_one_line() -> None:
    """As on a full disk; that a reader has left is none."""
    program = [sys.executable, "-c", "from sluice.cli import main; main()", "schema"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "sluice: standard output: No space left on device\n")


def test_ctrl_c_before_the_run_has_begun_is_a_cancelled_run(ask: Callable[..., Request]) -> None:
    """There is no traceback, and the exit code says cancelled."""
    assert run_files(ask(), FakeRunner(KeyboardInterrupt())) == ExitCode.CANCELLED


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """`sluice ... | head -1` ends quietly and with the command's own code."""
    code = "import sys; sys.argv = ['sluice', 'schema']; from sluice.cli import main; main()"
    reader, writer = os.pipe()
    os.close(reader)
    with (tmp_path / "err").open("w+b") as err:
        ended = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=err, check=False)
        os.close(writer)
        err.seek(0)
        assert (ended.returncode, err.read()) == (0, b"")


# The commands themselves.


def test_version() -> None:
    """The version is the package's."""
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, "sluice 0.1.0\n")


@pytest.mark.parametrize("arguments", [["run"], ["run", "x.jsonl"], ["run", "x.jsonl", "--task", "t"], ["rum"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    """An argument that is missing or unknown is wrong usage."""
    assert CliRunner().invoke(app, arguments).exit_code == ExitCode.USAGE


def test_the_options_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option of the command line has its place in the request, and repeated ones are collected."""
    asked: list[Request] = []

    def record(request: Request) -> ExitCode:
        asked.append(request)
        return ExitCode.OVER_LIMIT

    monkeypatch.setattr(command, "run_files", record)
    line = "run a b --task t --out o --answers bedrock --set a=1 --set b=2 --region r --faults f --json"
    result = CliRunner().invoke(app, shlex.split(line))
    assert result.exit_code == ExitCode.OVER_LIMIT
    assert asked == [Request(["a", "b"], "t", Path("o"), ["bedrock"], ["a=1", "b=2"], "r", Path("f"), json=True)]


def test_schema_is_json() -> None:
    """An editor can read the schema."""
    result = CliRunner().invoke(app, ["schema"])
    assert (result.exit_code, json.loads(result.output)["type"]) == (0, "object")


def test_check_shows_the_request_of_a_row(ask: Callable[..., Request]) -> None:
    """A task that can be run is shown as a model will see it."""
    result = CliRunner().invoke(app, ["check", ask().task])
    assert result.exit_code == 0
    assert "us.amazon.nova-micro-v1:0" in result.output
    assert '- "billing"' in result.output
    assert "(the row's body)" in result.output


def test_a_terminal_obeys_no_row_of_a_sample(tmp_path: Path) -> None:
    """Known answers of the rows are named among the weaknesses, without what a terminal would run."""
    task = {"name": "t", "input": {"text": "t", "gold": "g"}, "labels": ["a"], "tiers": [{"model": "nova-micro"}]}
    (tmp_path / "t.yaml").write_text(json.dumps(task))
    (tmp_path / "s.jsonl").write_text(json.dumps({"t": "x", "g": "be\x1b[31m red\x07"}) + "\n")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "t.yaml"), "--sample", str(tmp_path / "s.jsonl")])
    assert result.exit_code == 0
    assert "be\ufffd[31m red\ufffd" in result.stdout
    assert not set(result.stdout) & {"\x1b", "\x07"}


def test_check_lists_the_mistakes_of_a_task(tmp_path: Path) -> None:
    """A task that cannot be run is exit code 2."""
    (tmp_path / "t.yaml").write_text("name: t\n")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "t.yaml")])
    assert result.exit_code == ExitCode.USAGE
    assert "cannot be run" in result.stderr


def test_help_loads_nothing_heavy() -> None:
    """The command line answers at once: AWS's and Arrow's libraries wait until a run needs them."""
    code = (
        "import sys, sluice.cli.app; "
        "print(*sorted({'boto3', 'botocore', 'pyarrow', 'moto', 'aws_cdk', 'pydantic'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "\n"


# What is asked for.


def test_a_folder_stands_for_the_files_below_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As a prefix of S3 does: sorted, with files without suffix that hold JSON; what is left out is said, and why."""
    (tmp_path / "sub.jsonl" / "_temporary").mkdir(parents=True)
    for name in ("b.jsonl.gz", "a.jsonl", "c.NDJSON", "notes.md", ".hidden.jsonl", "sub.jsonl/d.csv"):
        (tmp_path / name).touch()
    (tmp_path / "sub.jsonl" / "_temporary" / "e.csv").touch()
    (tmp_path / "README").write_text("some words")
    (tmp_path / "part-0001").write_text('{"text":"a"}')
    (tmp_path / "7f3a-manifest.csv").write_text("s3://bucket/part-0001")
    found = [str(file.relative_to(tmp_path)) for file in find_inputs([str(tmp_path)])]
    assert found == ["a.jsonl", "b.jsonl.gz", "c.NDJSON", "part-0001", "sub.jsonl/d.csv"]
    for line in (
        "left out .hidden.jsonl, sub.jsonl/_temporary/e.csv: a name that begins with _ or . marks no data",
        "left out 7f3a-manifest.csv: a manifest lists other files",
        "left out README: it has no suffix and holds no JSON",
        "left out notes.md: it ends in .md; rows are read from",
    ):
        assert line in caplog.text


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    """Its place in the order is the first one."""
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).touch()
    found = find_inputs([str(tmp_path / "b.jsonl"), str(tmp_path)])
    assert [file.name for file in found] == ["b.jsonl", "a.jsonl"]


def test_any_file_can_be_named(tmp_path: Path) -> None:
    """A file that is named itself needs no known suffix."""
    (tmp_path / "export").touch()
    assert find_inputs([str(tmp_path / "export")]) == [tmp_path / "export"]


def test_a_folder_without_rows_is_refused(tmp_path: Path) -> None:
    """An empty run is rarely meant."""
    with pytest.raises(BadRequest, match=r"holds no file that could hold rows, as one that ends in \.jsonl"):
        find_inputs([str(tmp_path)])


def test_settings_are_split_at_the_first_equals_sign() -> None:
    """The last value of a key counts."""
    assert parse_settings(["a=1", "b = x=y", "a=2"]) == {"a": "2", "b": "x=y"}


@pytest.mark.parametrize("source", ["standin", "bedrock", "openai:http://localhost:11434/v1#qwen3:4b"])
def test_known_sources_of_answers(source: str) -> None:
    """Each documented source is taken."""
    check_answers(source)


@pytest.mark.parametrize(
    "source",
    ["", "Standin", "standin:x", "bedrock:us", "replay:", "replay", "openai:", "openai:localhost#m", "openai:http://x"],
)
def test_unknown_sources_of_answers(source: str) -> None:
    """What is no source is refused before a run is started with it."""
    with pytest.raises(BadRequest, match="answers "):
        check_answers(source)


def test_recordings_and_fault_plans_are_read_before_anything_starts(tmp_path: Path) -> None:
    """What is wrong in them is told with its line or its field, as wrong usage."""
    recording, plan = tmp_path / "answers.jsonl", tmp_path / "faults.yaml"
    recording.write_text('{"id": 1, "answers": {"nova-micro": "x"}}\n{"id": 2}\n')
    plan.write_text("jbos: []")
    with pytest.raises(BadSetting, match=r"line 2: .*`answers`"):
        check_answers(f"replay:{recording}")
    with pytest.raises(BadSetting, match=r"`jbos`.*docs/internals/faults\.md"):
        check_faults(plan)


@pytest.mark.parametrize(
    "name", ["max_jobs_in_flight=100000000000000000000", "span_bytes=1e30", "on_demand_concurrency=1001"]
)
def test_settings_have_bounds(name: str) -> None:
    """A number that no account reaches is a slip; the engine would count up to it."""
    with pytest.raises(BadSetting, match="is not allowed"):
        Settings().override(parse_settings([name]))


def test_models_beside_the_default_ones_are_allowed() -> None:
    """Under whatever name they are called; those of the default tiers need no template of their own."""

    def beside(*models: str) -> list[str]:
        tiers = [{"model": model} for model in models]
        return models_beside(
            parse_task({"name": "t", "input": {"text": "t"}, "labels": ["a"], "tiers": tiers}, "t"),
            Catalog.load(),
            "us-east-1",
        )

    assert beside("us.amazon.nova-micro-v1:0", "claude-haiku-4-5") == []
    assert beside("nova-lite", "nova-micro", "us.other.model-v1:0") == [
        "us.amazon.nova-lite-v1:0",
        "us.other.model-v1:0",
    ]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    """By as few folders as will do, so that a row's source says which file it is from."""
    files = [tmp_path / "x" / "a.jsonl", tmp_path / "y" / "a.jsonl", tmp_path / "y" / "x" / "a.jsonl", tmp_path / "b"]
    named = list(names(files))
    assert named == [f"{tmp_path.name}/x/a.jsonl", "y/a.jsonl", "y/x/a.jsonl", "b"]


@pytest.mark.parametrize(
    "content", [None, {}, {".DS_Store": ""}, {"logs/start.log": ""}, {"run.json": json.dumps(RUN), "my notes": ""}]
)
def test_folders_that_a_run_may_use(tmp_path: Path, content: dict[str, str] | None) -> None:
    """A new or empty folder, one with an earlier run, or one with the logs of a run that did not start."""
    out = tmp_path / "out"
    for name, text in (content or {}).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    check_out(out)


@pytest.mark.parametrize(
    "content", [{"thesis.tex": ""}, {"run.json": "[]"}, {"run.json": "{"}, {"logs/a": "", "b": ""}]
)
def test_other_peoples_folders_are_refused(tmp_path: Path, content: dict[str, str]) -> None:
    """Results never land among files that Sluice has not written."""
    for name, text in content.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(BadRequest, match="no run of Sluice"):
        check_out(tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """DIR has to be a folder."""
    (tmp_path / "out").touch()
    with pytest.raises(BadRequest, match="not a folder"):
        check_out(tmp_path / "out")


# Progress.


def snapshots() -> list[Snapshot]:
    done = JobProgress(0, 0, 500, JobState.SETTLED, "Completed", accepted=400, cost_usd=0.01)
    bad = JobProgress(1, 0, 500, JobState.SETTLED, "Expired", "not started in time [red]")
    base: dict[str, Any] = {"run": "r1", "task": "t", "models": ("us.amazon.nova-micro-v1:0",), "spans": Gauge(3, 3)}
    known = {**base, "rows": 1200, "rejected": 3, "records": 1000}
    first = RoundProgress(0, (JobProgress(0, 0, 500, JobState.RUNNING), JobProgress(1, 0, 500, JobState.PREPARED)))
    return [
        Snapshot(**{**base, "spans": Gauge(1, 3)}, stage=Stage.PARTITION),
        Snapshot(**known, stage=Stage.CLASSIFY, rounds=(first,)),
        Snapshot(**known, stage=Stage.CLASSIFY, rounds=(RoundProgress(0, (done, first.jobs[1])),)),
        Snapshot(**known, stage=Stage.PLAN, rounds=(RoundProgress(0, (done, bad)),)),
        Snapshot(**known, stage=Stage.MERGE, rounds=(RoundProgress(0, (done, bad)),), parts=Gauge(1, 2)),
        Snapshot(**known, stage=Stage.PUBLISH, rounds=(RoundProgress(0, (done, bad)),), parts=Gauge(2, 2)),
    ]


def test_plain_lines_tell_what_is_new() -> None:
    """One line for each thing that happened, and none for a look that shows nothing new."""
    stream = io.StringIO()
    with Lines(stream, "t") as display:
        for snapshot in snapshots():
            display.show(snapshot)
            display.show(snapshot)
    assert stream.getvalue().splitlines() == [
        "t: starting the workflow on this machine",
        "run r1",
        "read: 1,200 rows, 3 rejected, 1,000 distinct records",
        "round 0: 2 jobs, 1,000 records for nova-micro",
        "round 0: 1 of 2 jobs settled, 400 records accepted",
        "round 0: job 1 is Expired: not started in time [red]",
        "round 0: 2 of 2 jobs settled, 400 records accepted",
        "merge: 1 of 2 parts",
        "merge: 2 of 2 parts",
        "publish: checking the books",
    ]


def test_a_first_look_at_a_run_under_way_tells_everything() -> None:
    """Who comes late misses nothing."""
    assert len(list(news(None, snapshots()[-1]))) == 7


def drawn(renderable: Any, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(renderable)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_live_picture_shows_every_round() -> None:
    """What is done is ticked, what goes on turns, what is to come waits, and bad ends stay in sight."""
    text = drawn(picture(snapshots()[4], "tickets", 65))
    assert "1:05" in text
    assert "✓  round 0" in text
    assert "2 of 2 jobs" in text
    assert "job 1 is Expired: not started in time [red]" in text
    assert "  publish" in text


def test_the_live_picture_tells_jobs_tiers_and_costs() -> None:
    """Jobs by where they stand, the oldest with its age; records by tier; the cost beside the most that it can be."""
    since = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=1, seconds=5)).isoformat()
    jobs = (
        JobProgress(0, 0, 500, JobState.SETTLED, "Completed", accepted=400, cost_usd=0.25),
        JobProgress(1, 0, 500, JobState.RUNNING, since=since),
        JobProgress(2, 0, 500),
    )
    costs: dict[str, Any] = {"ceiling_usd": 30.0, "expected_usd": 1.5, "budget_usd": 5.0}
    now = Snapshot("r1", Stage.CLASSIFY, models=("nova-micro",), rounds=(RoundProgress(0, jobs),), **costs)
    text = drawn(picture(now, "tickets", 65))
    assert "1 of 3 jobs, nova-micro: 1 running (1:00:05), 1 queued" in text
    assert "nova-micro  1,500 records: 400 accepted, 1,000 open  $0.25" in text
    assert "$0.25 so far, expected $1.50, at most $30.00, budget $5.00" in text


def test_processed_records_are_told() -> None:
    """In the picture as they are; in plain lines once for each tenth, since a log keeps every line."""

    def under_way(processed: int) -> Snapshot:
        jobs = (JobProgress(0, 0, 1000, JobState.RUNNING, processed=processed),)
        return Snapshot("r1", Stage.CLASSIFY, models=("nova-micro",), rounds=(RoundProgress(0, jobs),))

    assert "1 running; 120 of 1,000 records processed" in drawn(picture(under_way(120), "tickets", 65))
    assert list(news(under_way(110), under_way(199))) == []
    assert list(news(under_way(199), under_way(200))) == ["round 0: 200 of 1,000 records processed"]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_figure_of_the_summary_is_cut(width: int) -> None:
    """A terminal that is too narrow for all columns shows fewer, each whole."""
    large = {**RUN, "tiers": [{**tier, "input_tokens": 64_976_468, "sent": 59_843} for tier in RUN["tiers"]]}
    text = drawn(Group(*summary(read_run(large), {})), width)
    assert "59,843" in text
    assert re.search(r"\d…", text) is None


@pytest.mark.parametrize("snapshot", [None, *snapshots()])
@pytest.mark.parametrize("width", [20, 200])
def test_the_live_picture_fits_any_terminal(snapshot: Snapshot | None, width: int) -> None:
    """No line is wider than the terminal, at any moment of a run."""
    assert max(map(len, drawn(picture(snapshot, "tickets", 1), width).splitlines())) <= width


def test_the_meter_is_as_long_at_its_end_as_at_its_beginning() -> None:
    """Nothing jumps."""
    assert {len(meter(done, 7)) for done in range(8)} == {12}


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_how_far_a_download_is() -> None:
    """The bar says what is done and how much is through; anything else sees nothing of it."""
    for stream, seen in ((Terminal(), True), (io.StringIO(), False)):
        with byte_bar("downloading", 4_000_000, stream) as advance:
            advance(1_000_000)
        assert ("downloading" in stream.getvalue() and "1.0/4.0 MB" in stream.getvalue()) is seen


def test_a_terminal_sees_what_is_waited_for() -> None:
    """Anything else sees nothing of it."""
    for stream, seen in ((Terminal(), True), (io.StringIO(), False)):
        with busy("reading the runs", stream):
            pass
        assert ("reading the runs" in stream.getvalue()) is seen


def test_a_terminal_sees_how_far_the_reading_is() -> None:
    """Of many spans each is told; of one it is only said that it is read."""
    said: list[str] = []
    told = progress(said.append)
    told("span", 0, 1)
    told("span", 1, 3_000)
    assert said == [READING, "reading span 2 of 3,000"]


# The summary.


def summarized(run: dict[str, Any], out: Path = Path("out"), width: int = 100) -> str:
    return "".join(drawn(part, width) for part in summary(read_run(run), places_in(out, read_run(run))))


def test_the_summary_tells_what_an_audit_found() -> None:
    """In the report's words: on how many drawn rows the last tier agrees, and the interval."""
    counts = {"drawn": 150, "population": 900, "records": 140, "compared": 100, "agreeing": 90, "unanswered": 1}
    audit = {**counts, "low": 0.83, "high": 0.95, "oracle": "claude-haiku-4-5"}
    text = " ".join(summarized({**RUN, "audit": audit}, width=200).split())
    assert "the same label to 90 of 100 drawn rows that a cheaper tier had accepted: 90%, 95% interval 83%" in text
    assert "Audit" not in summarized(RUN)


def test_the_summary_tells_what_a_run_came_to(tmp_path: Path) -> None:
    """Rows, tiers, cost, labels, reasons, and where everything lies."""
    folder = tmp_path / "results" / "tickets" / "run_date=2026-11-20"
    folder.mkdir(parents=True)
    (folder / "r1-part-00000.parquet").touch()
    (folder / "an-older-run-part-00000.parquet").touch()
    text = summarized(RUN, tmp_path, width=300)
    for expected in (
        "12 in = 10 accepted + 1 unresolved + 1 rejected",
        "10 distinct records; rows that repeat a text and share its answer: 1",
        "nova-micro",
        "$0.004; claude-haiku-4-5 alone: $0.02 (80% less)",
        "billing",
        "low_confidence",
        f"{folder} (1 file)",
        "Stand-in answers.",
    ):
        assert expected in text


def test_the_summary_ends_with_what_to_do_next(tmp_path: Path) -> None:
    """The report, what is left to a person if anything is, and one's own rows where these answers were made up."""
    run = read_run(RUN)
    steps = next_after(run, tmp_path / "my out")
    assert steps == {
        "Open the report": f"sluice report '{tmp_path}/my out' --open",
        "See what is unresolved": f"sluice results '{tmp_path}/my out' --status unresolved",
        "Try your own file": "sluice init FILE",
    }
    text = "".join(drawn(part, 300) for part in summary(run, places_in(tmp_path, run), steps))
    assert text.rstrip().endswith("sluice init FILE")
    settled = read_run({**RUN, "answers": "bedrock", "rows": {"in": 1, "accepted": 1}})
    assert list(next_after(settled, tmp_path)) == ["Open the report"]


def test_real_answers_are_not_called_a_stand_in() -> None:
    """The mark means something."""
    assert "Stand-in" not in summarized({**RUN, "answers": "bedrock"})


def test_bad_jobs_errors_and_warnings_are_shown() -> None:
    """What Bedrock said reaches the user, word by word."""
    job = {"round": 1, "job": 2, "tier": 1, "status": "Failed", "message": "no [bold]access[/bold]", "records": 5}
    text = summarized({**RUN, "status": "failed", "error": "all jobs failed", "jobs": [job], "warnings": ["watch out"]})
    assert "round 1, job 2 (claude-haiku-4-5, 5 records): Failed: no [bold]access[/bold]" in text
    assert "all jobs failed" in text
    assert "watch out" in text


def test_jobs_of_a_round_that_say_the_same_stand_together() -> None:
    """Nineteen refusals are one line; another message is another line."""
    said = ["no access"] * 19 + ["no quota"]
    jobs = [
        {"round": 0, "job": n, "tier": 0, "status": "Failed", "message": text, "records": 100}
        for n, text in enumerate(said)
    ]
    text = summarized({**RUN, "jobs": jobs})
    assert "round 0, 19 jobs (nova-micro, 1,900 records): Failed: no access" in text
    assert "round 0, job 19 (nova-micro, 100 records): Failed: no quota" in text


def test_a_run_that_published_nothing_adds_up_nothing() -> None:
    """Rows that were read and have no outcome are not told as a sum that is none."""
    rows = {"in": 12, "accepted": 0, "unresolved": 0, "rejected": 0}
    text = summarized({**RUN, "status": "failed", "rows": rows})
    assert "12 in, none of them in the results" in text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "$0.004; claude-haiku-4-5 alone: $0.02 (80% less)"),
        ({"cost_usd": 0.03}, "$0.03; claude-haiku-4-5 alone: $0.02 (50% more)"),
        ({"cost_usd": None}, "unknown; claude-haiku-4-5 alone: $0.02; give the prices in models.yaml"),
        ({"baseline_usd": None}, "$0.004; claude-haiku-4-5 alone: unknown; give the prices in models.yaml"),
        ({"cost_usd": 0.0, "baseline_usd": 0.0}, "$0.00; claude-haiku-4-5 alone: $0.00"),
        ({"status": "failed"}, "$0.004 until the run ended"),
        ({"tiers": []}, "$0.004 until the run ended"),
    ],
)
def test_the_cost_is_compared_only_where_it_can_be(changes: dict[str, Any], sentence: str) -> None:
    """An unknown price is never 0, and a run that broke off saved nothing."""
    assert cost_sentence(read_run({**RUN, **changes})) == sentence


def test_many_labels_are_cut_short() -> None:
    """The summary stays readable; the report has the rest."""
    text = summarized({**RUN, "labels": {f"label {index:02}": 100 - index for index in range(77)}})
    assert "label 19" in text
    assert "label 20" not in text
    assert "and 57 more, in the report" in text


@pytest.mark.parametrize("width", [20, 60])
def test_the_summary_fits_a_narrow_terminal(width: int) -> None:
    """Nothing runs over the edge."""
    assert max(map(len, summarized(RUN, width=width).splitlines())) <= width


def test_a_run_that_hardly_began_has_a_summary() -> None:
    """Most of run.json can be missing when a run fails early."""
    text = summarized({"run_id": "r1", "task": "tickets", "status": "failed", "error": "no role"})
    assert "tickets failed" in text
    assert "no role" in text


# The cost that has to be approved.


def test_where_nobody_can_be_asked_nothing_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence has the costs, the limit, and how it is raised."""
    assert not approved(DEAR, Lines(io.StringIO(), "t"))
    said = capsys.readouterr().err
    assert "can cost up to $34.19 (expected: $0.20), and approve_above_usd is $5.00: nothing is sent" in said
    assert "--set approve_above_usd=USD" in said


@pytest.mark.parametrize(("typed", "agreed"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_who_sits_at_a_terminal_is_asked(monkeypatch: pytest.MonkeyPatch, typed: str, agreed: bool) -> None:
    """Only a yes is one; no answer at all is none."""
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    monkeypatch.setattr("sys.stderr", Terminal())
    assert approved(DEAR, Lines(io.StringIO(), "t")) is agreed


def test_help_groups_commands_by_what_they_work_on() -> None:
    """Every command stands under one heading, those of this machine first."""
    lines = CliRunner().invoke(app, ["--help"]).stdout.splitlines()
    headings = [line for line in lines if line.startswith(("On ", "To "))]
    assert headings == ["On this machine:", "On a deployment:", "On a run of either:", "To set up:"]
    listed = [line.split()[0] for line in lines[lines.index(headings[0]) :] if line.startswith("  ")]
    assert listed == list(get_group(app).commands)
    assert listed.index("run") < lines.index("On a deployment:")
