"""The commands on a deployed stack: CloudFormation, S3 and Step Functions are moto's, Lambda is botocore's Stubber."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError
from typer.testing import CliRunner

from sluice.api.deployment import Deployment
from sluice.aws.stack import Stack
from sluice.cli.app import app
from sluice.cli.control import approve_run, cancel_run, rejudge_run, resume_run
from sluice.cli.exits import ExitCode, concluded
from sluice.cli.fetch import fetch_report, fetch_results
from sluice.cli.runs import list_runs, print_runs, watch_run
from sluice.cli.submit import Submission, submit
from sluice.deployment.standing import standing
from sluice.deployment.submission import keys_of
from sluice.errors import BadInput, BadRequest, BadTask, RetryLater, Stop, Unbalanced
from sluice.runs.approval import Approval
from sluice.runs.settings import stack_name
from tests.harness.deployed import RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.harness.deployed import Deployed

TASK = """
name: tickets
input: {text: body}
labels: [billing, other]
tiers: [{model: nova-micro}]
"""


def asked(*inputs: str, task: str = "tickets", settings: tuple[str, ...] = (), again: bool = False) -> Submission:
    return Submission(list(inputs), task, list(settings), again, json=False)


# The stack.


def test_a_stack_that_is_not_there_is_wrong_usage(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence names the stack, the Region and what to do."""
    other = Deployment("sluce", session=deployed.session)
    assert concluded(lambda: list_runs(other, 5, None, as_json=False)) == ExitCode.USAGE
    assert "there is no stack Sluice-sluce in us-east-1: deploy it with `sluice deploy`" in capsys.readouterr().err


def test_another_stack_is_none_of_sluice(deployed: Deployed) -> None:
    """A stack without the outputs is refused by the first that it lacks."""
    deployed.make_stack("Other", {"B": {"Type": "AWS::S3::Bucket"}}, {})
    with pytest.raises(BadRequest, match="the stack Other has no output IncomingBucket"):
        Stack(deployed.session, "Other").incoming.uri("")


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BadRequest("not so"), ExitCode.USAGE, "sluice: not so"),
        (BadTask("t.yaml", ["labels: missing"]), ExitCode.USAGE, "  - labels: missing"),
        (Stop("a step broke"), ExitCode.FAILED, "a step broke"),
        (BadInput("no such object"), ExitCode.USAGE, "no such object"),
        (Unbalanced("a row is missing"), ExitCode.FAILED, "a row is missing"),
        (PermissionError(13, "Permission denied", "/out"), ExitCode.FAILED, "sluice: /out: Permission denied"),
        (NoCredentialsError(), ExitCode.FAILED, "no AWS credentials: unable to locate credentials; sign in"),
        (NoRegionError(), ExitCode.USAGE, "no Region is known to call AWS in: give --region"),
        (EndpointConnectionError(endpoint_url="x"), ExitCode.FAILED, "AWS cannot be reached"),
        (client_error("ExpiredToken"), ExitCode.FAILED, "your AWS credentials have expired"),
        (client_error("InvalidClientTokenId"), ExitCode.FAILED, "AWS does not know your credentials"),
        (client_error("AccessDenied"), ExitCode.FAILED, "AWS refuses: An error occurred (AccessDenied)"),
    ],
)
def test_each_error_ends_in_a_sentence(
    error: Exception, code: ExitCode, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever goes wrong has an exit code and no traceback."""

    def command() -> ExitCode:
        raise error

    assert concluded(command) == code
    assert said in capsys.readouterr().err


# Submit.


def test_objects_are_submitted_together_in_place(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """A task's name is the deployed task; settings are sent as they are, since start decides about them."""
    command = {"task": "tickets", "settings": {"max_workers": "3"}, "inputs": ["s3://b/x/", "s3://b/y"]}
    deployed.answer("start-1", {"command": command}, {"run": RUN})
    assert submit(deployed.deployment, asked("s3://b/x/", "s3://b/y", settings=("max_workers=3",))) == 0
    assert capsys.readouterr().out == f"{RUN}\n"


def test_what_was_begun_is_told_as_a_document(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """With the run's id under the name that every other document has for it."""
    deployed.answer("start-1", {"command": {"task": "tickets", "settings": {}, "inputs": ["s3://b/x"]}}, {"run": RUN})
    request = Submission(["s3://b/x"], "tickets", [], again=False, json=True)
    assert submit(deployed.deployment, request) == ExitCode.SUCCEEDED
    assert json.loads(capsys.readouterr().out) == {"run_id": RUN, "runs": [RUN]}


def test_a_terminal_sees_how_far_an_upload_is(
    deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every byte of a file is counted, and where it goes is said."""
    through: list[int] = []

    @contextmanager
    def bar(_what: str, total: int) -> Iterator[Callable[[int], None]]:
        yield through.append
        assert sum(through) == total == 2_000

    monkeypatch.setattr("sluice.cli.submit.byte_bar", bar)
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"x" * 2_000)
    uri = deployed.stack.incoming.uri(*keys_of([file]))
    deployed.answer("start-1", {"command": {"task": "tickets", "settings": {}, "inputs": [uri]}}, {"run": RUN})
    assert submit(deployed.deployment, asked(str(file))) == ExitCode.SUCCEEDED
    assert through
    assert f"uploading {file} to {uri}" in capsys.readouterr().err


def swept(**said: Any) -> dict[str, Any]:
    return {"runs": [], "waiting": 0, "overdue_seconds": 0, "held": None, "problems": [], "refused": [], **said}


@pytest.mark.parametrize(
    ("answer", "code", "out", "err"),
    [
        (swept(runs=[RUN]), ExitCode.SUCCEEDED, f"{RUN}\n", f"`sluice watch {RUN}`"),
        (swept(), ExitCode.SUCCEEDED, "", "nothing waits for the task tickets"),
        (swept(waiting=3, held="max_runs = 1: so"), ExitCode.SUCCEEDED, "", "goes on waiting: max_runs = 1"),
        (swept(problems=["tickets: no price"]), ExitCode.FAILED, "", "tickets: no price"),
        (
            swept(refused=[{"bucket": "b", "key": "k", "reason": "too large"}]),
            ExitCode.SUCCEEDED,
            "",
            "s3://b/k: too l",
        ),
    ],
)
def test_what_waits_is_run_by_command(
    deployed: Deployed,
    capsys: pytest.CaptureFixture[str],
    answer: dict[str, Any],
    code: ExitCode,
    out: str,
    err: str,
) -> None:
    """Without inputs the inbox of the task is swept, and what came of it is told."""
    deployed.answer("start-1", {"sweep": {"task": "tickets", "now": True}}, answer)
    assert submit(deployed.deployment, asked()) == code
    said = capsys.readouterr()
    assert said.out == out
    assert err in said.err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (asked(task="tasks/tickets.yaml"), "without inputs it is what waits for a deployed task"),
        (asked(settings=("max_workers=1",)), "--set and --again are for inputs"),
        (asked(again=True), "--set and --again are for inputs"),
        (asked("nowhere.jsonl"), "nowhere.jsonl does not exist"),
    ],
)
def test_what_cannot_be_submitted_uploads_nothing(deployed: Deployed, wrong: Submission, said: str) -> None:
    """Everything is checked before the first upload."""
    with pytest.raises(BadRequest, match=said):
        submit(deployed.deployment, wrong)
    assert list(deployed.stack.incoming.keys("")) == []


def test_what_start_refuses_is_wrong_usage(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """The function's own sentence is shown, without the trace of its stack."""
    event = {"command": {"task": "tickets", "settings": {}, "inputs": ["s3://b/x"]}}
    said = {"errorType": "BadInput", "errorMessage": "s3://b/x does not exist", "stackTrace": ["File ..."]}
    deployed.answer("start-1", event, said, error="Unhandled")
    assert concluded(lambda: submit(deployed.deployment, asked("s3://b/x"))) == ExitCode.USAGE
    assert capsys.readouterr().err == "sluice: s3://b/x does not exist\n"


def test_a_function_that_broke_is_a_failure(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that is none of Sluice's own is named."""
    event = {"command": {"task": "tickets", "settings": {}, "inputs": ["s3://b/x"]}}
    deployed.answer("start-1", event, {"errorType": "KeyError", "errorMessage": "'x'"}, error="Unhandled")
    assert concluded(lambda: submit(deployed.deployment, asked("s3://b/x"))) == ExitCode.FAILED
    assert capsys.readouterr().err == "sluice: the function failed: KeyError: 'x'\n"


# Runs.


@pytest.mark.parametrize("command", ["info", "watch", "cancel", "approve"])
@pytest.mark.parametrize("name", ["out/o1", "o1", "./o1"])
def test_a_folder_is_not_looked_for_in_aws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    """The sentence names the commands that take a folder; without credentials it is the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Stack, "_described", None)
    (tmp_path / "o1").mkdir()
    result = CliRunner().invoke(app, [command, name])
    assert result.exit_code == ExitCode.USAGE
    assert result.stderr.startswith(f"sluice: {name} is no run of the stack: RUN is a run's id")
    assert "of a folder: `sluice results DIR`, `sluice report DIR`" in result.stderr


def test_runs_are_listed_newest_first(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """By when they began, whatever the time of their inputs; a run whose beginning is not written is left out."""
    for n, hour in enumerate((9, 11, 10)):
        run = f"t-2026112{n}t000000-{n:010d}"
        deployed.begin(run, created=f"2026-11-20T{hour:02d}:00:00+00:00", task="u" if n == 2 else "t")
        deployed.end(run)
    deployed.stack.work.put("runs/t-20261123t000000-9999999999/inputs.json", b"{}")
    list_runs(deployed.deployment, 2, None, as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert [item["started"][11:13] for item in listed] == ["11", "10"]
    list_runs(deployed.deployment, 20, "t", as_json=True)
    assert [item["task"] for item in json.loads(capsys.readouterr().out)] == ["t", "t"]


def test_an_id_can_be_copied_from_the_list(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """Each run has one line, with its whole id."""
    deployed.begin()
    deployed.end(cost_usd=None)
    print_runs([standing(deployed.stack, RUN)])
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == [RUN, "tickets", "succeeded", "12", "unknown", "2026-11-20", "10:15"]


def test_a_stack_without_runs_says_so(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty list is no error, and an empty document for a program."""
    assert list_runs(deployed.deployment, 5, None, as_json=False) == ExitCode.SUCCEEDED
    assert "has no runs yet" in capsys.readouterr().err
    list_runs(deployed.deployment, 5, None, as_json=True)
    assert capsys.readouterr().out == "[]\n"


# Approval.


def waiting(deployed: Deployed) -> None:
    """Have the run wait for an approval: its execution has ended, and left a note."""
    keys = deployed.begin()
    arn = f"{deployed.machine.replace(':stateMachine:', ':execution:')}:{RUN}"
    now = dt.datetime.now(dt.UTC)
    described = {"executionArn": arn, "stateMachineArn": deployed.machine, "status": "SUCCEEDED", "startDate": now}
    stubber = deployed.session.stub("stepfunctions")
    for _ in range(2):
        stubber.add_response("describe_execution", described, {"executionArn": arn})
    note = Approval(ceiling_usd=34.19, expected_usd=0.2, approve_above_usd=5.0, at="2026-11-20T10:16:00+00:00")
    deployed.stack.work.put(keys.approval, note.write())


def test_a_run_waits_for_an_approval(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """It has neither ended nor failed; watching ends at once, and says what is waited for and what can be done."""
    waiting(deployed)
    assert standing(deployed.stack, RUN).status == "waiting_for_approval"
    assert watch_run(deployed.deployment, RUN, as_json=False) == ExitCode.WAITING
    said = capsys.readouterr().err
    assert "can cost up to $34.19 (expected: $0.20), and runs above $5.00" in said
    assert f"`sluice approve {RUN}`" in said


def test_a_list_shows_who_waits(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """In words in the table, with the costs in JSON."""
    waiting(deployed)
    list_runs(deployed.deployment, 5, None, as_json=False)
    assert "waiting for approval" in capsys.readouterr().out
    list_runs(deployed.deployment, 5, None, as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["approval"]["ceiling_usd"] == 34.19


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (lambda deployment: resume_run(deployment, RUN, None), "waits for an approval of its cost; `sluice approve"),
        (lambda deployment: fetch_results(deployment, RUN, Path("nowhere"), as_json=False), "has sent nothing yet"),
    ],
    ids=["resume", "results"],
)
def test_what_waits_is_approved_first(deployed: Deployed, command: Callable[[Deployment], ExitCode], said: str) -> None:
    """There is nothing to go on with, and nothing to fetch."""
    waiting(deployed)
    with pytest.raises(BadRequest, match=said):
        command(deployed.deployment)


def test_an_approval_is_sent_to_start(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """The function decides whether there is anything to approve."""
    deployed.begin()
    deployed.answer("start-1", {"approve": {"run": RUN}}, {"run": RUN, "execution": f"{RUN}-1"})
    assert approve_run(deployed.deployment, RUN) == ExitCode.SUCCEEDED
    assert f"(execution {RUN}-1)" in capsys.readouterr().out


# Watch.


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("over_limit", 4), ("cancelled", 3)])
def test_watching_ends_with_the_run(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], status: str, code: int
) -> None:
    """The summary is printed, and the exit code is the run's own."""
    deployed.begin()
    deployed.execute()

    def pause(_seconds: float) -> None:
        deployed.end(status=status)

    assert watch_run(deployed.deployment, RUN, as_json=False, pause=pause) == code
    out, err = capsys.readouterr()
    assert out.startswith(f"tickets {status.replace('_limit', ' a limit')}")
    assert f"sluice results {RUN}" in out
    assert "watching the workflow in AWS" in err


def test_a_watched_run_that_breaks_off_is_a_failure(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no run.json, the cause stands alone."""
    deployed.begin()
    deployed.fail("States.Timeout")
    assert watch_run(deployed.deployment, RUN, as_json=False) == ExitCode.FAILED
    assert "failed: States.Timeout; `sluice resume" in capsys.readouterr().err


def test_a_run_that_has_ended_shows_its_document(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """A program gets run.json and nothing else."""
    deployed.begin()
    document = deployed.end()
    assert watch_run(deployed.deployment, RUN, as_json=True) == ExitCode.SUCCEEDED
    assert json.loads(capsys.readouterr().out) == document


def test_ctrl_c_leaves_the_run_alone(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """Watching is not running: only `sluice cancel` stops a run."""
    deployed.begin()
    deployed.execute()

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    assert watch_run(deployed.deployment, RUN, as_json=False, pause=interrupt) == ExitCode.INTERRUPTED
    assert "the run goes on" in capsys.readouterr().err


class Flaky:
    """Step Functions behind a network that fails at some of the looks, and a run that ends at the last one."""

    def __init__(self, deployed: Deployed, *looks: Exception | None) -> None:
        self.deployed = deployed
        self.looks = list(looks)
        self.states = deployed.session.client("stepfunctions")

    def describe_execution(self, **given: Any) -> Any:
        error = self.looks.pop(0)
        if not self.looks:
            self.deployed.end()
        if error is not None:
            raise error
        return self.states.describe_execution(**given)


def test_a_network_that_fails_does_not_end_the_watch(deployed: Deployed) -> None:
    """A run lasts for hours, and laptops are closed."""
    deployed.begin()
    deployed.execute()
    broken = EndpointConnectionError(endpoint_url="x")
    deployed.session.stubbed["stepfunctions"] = Flaky(deployed, None, broken, RetryLater("SlowDown"), None)
    pauses: list[float] = []
    assert watch_run(deployed.deployment, RUN, as_json=True, pause=pauses.append) == ExitCode.SUCCEEDED
    assert len(pauses) == 3


# Cancel, resume, rejudge.


def test_cancel_does_not_wait_for_the_sweep(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """The function pauses for two minutes: it is called asynchronously, and the user is told what comes."""
    deployed.begin()
    deployed.execute()
    event = json.dumps({"run": RUN, "reason": "cancelled"}).encode()
    expected = {"FunctionName": "sweep-1", "InvocationType": "Event", "Payload": event}
    deployed.lambda_.add_response("invoke", {"StatusCode": 202}, expected)
    assert cancel_run(deployed.deployment, RUN) == ExitCode.SUCCEEDED
    deployed.lambda_.assert_no_pending_responses()
    assert "is being cancelled" in capsys.readouterr().out


def test_what_has_ended_cannot_be_cancelled(deployed: Deployed) -> None:
    """Nothing is called for a run that is published."""
    deployed.begin()
    deployed.end()
    with pytest.raises(BadRequest, match="has ended already: succeeded"):
        cancel_run(deployed.deployment, RUN)


@pytest.mark.parametrize("max_usd", [None, 25.0])
def test_resume_names_the_run_and_the_new_budget(deployed: Deployed, max_usd: float | None) -> None:
    """Start begins a further execution; a budget that is not given stays as it is."""
    deployed.begin()
    deployed.end(status="over_limit")
    said = {"run": RUN, "execution": f"{RUN}-1"}
    deployed.answer("start-1", {"resume": {"run": RUN, "max_usd": max_usd}}, said)
    assert resume_run(deployed.deployment, RUN, max_usd) == ExitCode.SUCCEEDED
    deployed.lambda_.assert_no_pending_responses()


def test_a_run_that_is_being_cancelled_is_not_resumed(deployed: Deployed) -> None:
    """The sweep behind it would stop the jobs of the resumed run."""
    keys = deployed.begin()
    deployed.execute()
    deployed.stack.work.put(keys.cancel, b"{}")
    with pytest.raises(BadRequest, match=r"has not ended yet \(cancelling\)"):
        resume_run(deployed.deployment, RUN, None)


def test_rejudge_sends_the_task_as_it_stands_here(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The new run's id is all that stands on standard output."""
    (tmp_path / "tickets.yaml").write_text(TASK)
    from sluice.task.file import load_task

    deployed.begin()
    task = load_task(str(tmp_path / "tickets.yaml")).model_dump(mode="json")
    deployed.answer("start-1", {"rejudge": {"run": RUN, "task": task}}, {"run": "tickets-2"})
    assert rejudge_run(deployed.deployment, RUN, str(tmp_path / "tickets.yaml")) == ExitCode.SUCCEEDED
    assert capsys.readouterr().out == "tickets-2\n"


# Results and report.


def test_results_are_laid_out_as_a_local_run_lays_them_out(deployed: Deployed, tmp_path: Path) -> None:
    """The run's own parts, run.json and the report; nothing of another run of that day."""
    deployed.begin()
    document = deployed.end()
    folder = "results/tickets/run_date=2026-11-20"
    for name in (f"{RUN}-part-00000", f"{RUN}-part-00001", "tickets-2-part-00000"):
        deployed.stack.results.put(f"{folder}/{name}.parquet", name.encode())
    assert fetch_results(deployed.deployment, RUN, tmp_path / "out", as_json=False) == ExitCode.SUCCEEDED
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    parts = [f"{folder}/{RUN}-part-0000{n}.parquet" for n in (0, 1)]
    assert found == ["report.html", *parts, "run.json"]
    assert (tmp_path / "out" / parts[1]).read_text() == f"{RUN}-part-00001"
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == document


@pytest.mark.parametrize(
    ("arrange", "said"),
    [
        (lambda deployed: deployed.execute(), r"has not ended yet \(running\)"),
        (lambda deployed: deployed.fail("no role"), "has published nothing, since it failed: no role"),
    ],
)
def test_there_are_no_results_before_a_run_is_published(
    deployed: Deployed, tmp_path: Path, arrange: Callable[[Deployed], object], said: str
) -> None:
    """The refusal says how the run stands, and no folder is made."""
    deployed.begin()
    arrange(deployed)
    with pytest.raises(BadRequest, match=said):
        fetch_results(deployed.deployment, RUN, tmp_path / "out", as_json=False)
    assert not (tmp_path / "out").exists()


def test_the_published_report_is_fetched(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it was published, under the name that is printed."""
    deployed.begin()
    deployed.end()
    deployed.stack.results.put(f"reports/{RUN}/report.html", b"<html>")
    assert fetch_report(deployed.deployment, RUN, tmp_path / "r.html", show_it=False) == ExitCode.SUCCEEDED
    assert (tmp_path / "r.html").read_bytes() == b"<html>"
    assert capsys.readouterr().out == f"{tmp_path / 'r.html'}\n"


def test_a_failed_run_has_a_report_of_what_is_known(deployed: Deployed, tmp_path: Path) -> None:
    """Nothing was published, but sweep has left a run.json."""
    deployed.begin()
    deployed.fail("no role")
    deployed.end(status="failed", error="no role")
    fetch_report(deployed.deployment, RUN, tmp_path / "r.html", show_it=False)
    assert "no role" in (tmp_path / "r.html").read_text()


# The commands' options.


@pytest.mark.parametrize(
    ("line", "module", "name", "given"),
    [
        ("runs --task t --limit 3 --json", "runs", "list_runs", ((3, "t"), {"as_json": True})),
        ("watch r1", "runs", "watch_run", (("r1",), {"as_json": False})),
        ("info r1 --json", "info", "show_info", (("r1",), {"as_json": True})),
        ("approve r1", "control", "approve_run", (("r1",), {"as_json": False})),
        ("cancel r1", "control", "cancel_run", (("r1",), {"as_json": False})),
        (
            f"resume {RUN} --max-usd 2.5",
            "control",
            "resume_run",
            ((RUN, 2.5), {"escalate_refused": False, "as_json": False}),
        ),
        (
            f"resume {RUN} --escalate-refused",
            "control",
            "resume_run",
            ((RUN, None), {"escalate_refused": True, "as_json": False}),
        ),
        (f"rejudge {RUN} --task t", "control", "rejudge_run", ((RUN, "t"), {"as_json": False})),
        (f"results {RUN}", "fetch", "fetch_results", ((RUN, Path(RUN)), {"as_json": False})),
        (
            f"report {RUN} --open",
            "fetch",
            "fetch_report",
            ((RUN, Path(f"{RUN}.html")), {"show_it": True, "as_json": False}),
        ),
        (
            "submit a b --task t --set x=1 --again --json",
            "submit",
            "submit",
            ((Submission(["a", "b"], "t", ["x=1"], again=True, json=True),), {}),
        ),
    ],
)
def test_the_options_arrive(monkeypatch: pytest.MonkeyPatch, line: str, module: str, name: str, given: Any) -> None:
    """Each command gets the stack that is meant and what the line says, and its exit code is the command's."""
    import importlib

    called: list[Any] = []

    def record(deployment: Deployment, *args: Any, **more: Any) -> ExitCode:
        called.append((deployment.stack.name, deployment.stack.session.region_name, args, more))
        return ExitCode.OVER_LIMIT

    monkeypatch.setattr(importlib.import_module(f"sluice.cli.{module}"), name, record)
    result = CliRunner().invoke(app, [*line.split(), "--env", "mine", "--region", "eu-west-1"])
    assert result.exit_code == ExitCode.OVER_LIMIT
    assert called == [("Sluice-mine", "eu-west-1", *given)]


def test_a_refused_object_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The store's sentence says which object it was about; expired credentials are about none."""

    def read(code: str) -> ExitCode:
        raise Stop("s3://b/k: refused") from client_error(code)

    assert concluded(lambda: read("AccessDenied")) == concluded(lambda: read("ExpiredToken")) == ExitCode.FAILED
    assert capsys.readouterr().err.splitlines()[0] == "sluice: s3://b/k: refused"


@pytest.mark.parametrize(("name", "stack"), [("prod", "Sluice"), ("dev", "Sluice-dev"), ("team-a", "Sluice-team-a")])
def test_an_environment_has_a_stack_of_its_own(name: str, stack: str) -> None:
    """The one that nobody names is plain Sluice."""
    assert stack_name(name) == stack


@pytest.mark.parametrize("name", ["", "Dev", "1a", "a_b", "a" * 21, "a b"])
def test_a_name_that_cannot_be_a_stack_s_is_refused(name: str) -> None:
    """Before anything is asked of AWS, with what is allowed."""
    result = CliRunner().invoke(app, ["runs", "--env", name, "--region", "eu-west-1"])
    assert result.exit_code == ExitCode.USAGE
    assert f"environment = {name!r} is not allowed: a lower-case letter, then" in result.stderr


def test_a_profile_that_is_not_there_is_wrong_usage() -> None:
    """It is told before anything is asked of AWS."""
    result = CliRunner().invoke(app, ["runs", "--profile", "nobody-has-this"])
    assert result.exit_code == ExitCode.USAGE
    assert "nobody-has-this" in result.stderr
