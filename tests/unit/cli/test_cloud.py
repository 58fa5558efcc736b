"""The commands on a deployed stack: CloudFormation, S3 and Step Functions are moto's, Lambda is botocore's Stubber."""

from __future__ import annotations

import datetime as dt
import io
import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError
from botocore.response import StreamingBody
from botocore.stub import Stubber
from moto import mock_aws
from typer.testing import CliRunner

from sluice.cli.app import app
from sluice.cli.cloud import Cloud, FunctionFailed, concluded
from sluice.cli.control import approve_run, cancel_run, rejudge_run, resume_run
from sluice.cli.exits import ExitCode, UsageError
from sluice.cli.fetch import fetch_report, fetch_results
from sluice.cli.runs import list_runs, print_runs, watch_run
from sluice.cli.standing import standing
from sluice.cli.submit import Submission, command_of, submit, uris_of
from sluice.errors import BadTask, RetryLater, Stop
from sluice.runs.keys import Keys
from sluice.runs.settings import stack_name
from sluice.runs.state import Approval, Resumption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN = "tickets-20261120t101500-0123456789"
MACHINE = {"StartAt": "End", "States": {"End": {"Type": "Wait", "Seconds": 3600, "End": True}}}
TASK = """
name: tickets
input: {text: body}
labels: [billing, other]
tiers: [{model: nova-micro}]
"""


class Session(boto3.Session):
    """A session whose Lambda, and Step Functions where a test wants it, answer as they are told.

    Making a client takes longer than most tests: each is made once.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        self.stubbed: dict[str, Any] = {}
        self.made: dict[str, Any] = {}
        super().__init__(*args, **more)

    def client(self, service_name: str, *args: Any, **more: Any) -> Any:
        if service_name not in self.stubbed and service_name not in self.made:
            self.made[service_name] = super().client(service_name, *args, **more)  # type: ignore[call-overload]
        return self.stubbed.get(service_name) or self.made[service_name]

    def stub(self, service: str) -> Stubber:
        client = super().client(service)  # type: ignore[call-overload]
        self.stubbed[service] = client
        stubber = Stubber(client)
        stubber.activate()
        return stubber


class Deployed:
    """A stack of three buckets and a state machine, and ways to put runs into it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        machine = session.client("stepfunctions").create_state_machine(
            name="m", definition=json.dumps(MACHINE), roleArn="arn:aws:iam::123456789012:role/m"
        )
        self.machine: str = machine["stateMachineArn"]
        buckets = {f"{name}Bucket": {"Ref": name} for name in ("Incoming", "Work", "Results")}
        named = {"StateMachineArn": self.machine, "StartFunction": "start-1", "SweepFunction": "sweep-1"}
        self.make_stack(
            "Sluice",
            {
                "Incoming": {"Type": "AWS::S3::Bucket"},
                "Work": {"Type": "AWS::S3::Bucket"},
                "Results": {"Type": "AWS::S3::Bucket"},
            },
            {**buckets, **named},
        )
        self.lambda_ = session.stub("lambda")
        self.cloud = Cloud(session, "Sluice")
        # moto's CloudFormation passes over the property that switches this on.
        self.cloud.incoming.client.put_bucket_versioning(
            Bucket=self.cloud.incoming.bucket, VersioningConfiguration={"Status": "Enabled"}
        )

    def make_stack(self, name: str, resources: dict[str, Any], outputs: dict[str, Any]) -> None:
        template = {"Resources": resources, "Outputs": {key: {"Value": value} for key, value in outputs.items()}}
        self.session.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))

    def begin(self, run: str = RUN, *, created: str = "2026-11-20T10:15:00+00:00", task: str = "tickets") -> Keys:
        """Write start.json of a run, as far as the commands read it."""
        keys = Keys(run)
        document = {"task": {"name": task}, "created": created, "date": "2026-11-20", "tiers": [], "spans": 1}
        self.cloud.work.put(keys.start, json.dumps(document).encode())
        return keys

    def end(self, run: str = RUN, status: str = "succeeded", execution: int = 0, **more: Any) -> dict[str, Any]:
        """Write the documents with which publish ends a run."""
        document = {
            "run_id": run,
            "task": "tickets",
            "status": status,
            "rows": {"in": 12, "accepted": 12, "unresolved": 0, "rejected": 0},
            "cost_usd": 0.5,
            "finished": dt.datetime.now(dt.UTC).isoformat(),
            **more,
        }
        keys = Keys(run, execution)
        for key in (keys.summary, *([keys.published] if status != "failed" else [])):
            self.cloud.work.put(key, json.dumps(document).encode())
        return document

    def execute(self, name: str = RUN) -> str:
        """Have the run's execution under way."""
        started = self.session.client("stepfunctions").start_execution(stateMachineArn=self.machine, name=name)
        return str(started["executionArn"])

    def answer(self, function: str, event: dict[str, Any], answer: Any, *, error: str | None = None) -> None:
        """Expect a call of a function, and answer it."""
        payload = json.dumps(answer).encode()
        self.lambda_.add_response(
            "invoke",
            {
                "StatusCode": 200,
                "Payload": StreamingBody(io.BytesIO(payload), len(payload)),
                **({"FunctionError": error} if error else {}),
            },
            {"FunctionName": function, "Payload": json.dumps(event).encode()},
        )


@pytest.fixture(scope="module")
def session() -> Session:
    return Session("AKIA", "secret", region_name="us-east-1")


@pytest.fixture
def deployed(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    session.stubbed.clear()
    with mock_aws():
        yield Deployed(session)


def asked(*inputs: str, task: str = "tickets", settings: tuple[str, ...] = (), again: bool = False) -> Submission:
    return Submission(list(inputs), task, list(settings), again, json=False)


def failed(deployed: Deployed, cause: str) -> None:
    """Have Step Functions say that the run's execution failed."""
    arn = f"{deployed.machine.replace(':stateMachine:', ':execution:')}:{RUN}"
    now = dt.datetime.now(dt.UTC)
    deployed.session.stub("stepfunctions").add_response(
        "describe_execution",
        {
            "executionArn": arn,
            "stateMachineArn": deployed.machine,
            "status": "FAILED",
            "startDate": now,
            "stopDate": now,
            "cause": cause,
        },
        {"executionArn": arn},
    )


# The stack.


def test_a_stack_that_is_not_there_is_wrong_usage(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence names the stack, the Region and what to do."""
    cloud = Cloud(deployed.session, "Sluce")
    assert concluded(lambda: list_runs(cloud, 5, None, as_json=False)) == ExitCode.USAGE
    assert "there is no stack Sluce in us-east-1: deploy it with `make deploy`" in capsys.readouterr().err


def test_another_stack_is_none_of_sluice(deployed: Deployed) -> None:
    """A stack without the outputs is refused by the first that it lacks."""
    deployed.make_stack("Other", {"B": {"Type": "AWS::S3::Bucket"}}, {})
    with pytest.raises(UsageError, match="the stack Other has no output IncomingBucket"):
        Cloud(deployed.session, "Other").incoming.uri("")


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("not so"), ExitCode.USAGE, "sluice: not so"),
        (BadTask("t.yaml", ["labels: missing"]), ExitCode.USAGE, "  - labels: missing"),
        (Stop("a step broke"), ExitCode.FAILED, "a step broke"),
        (FunctionFailed("BadInput", "no such object"), ExitCode.USAGE, "no such object"),
        (FunctionFailed("Unbalanced", "a row is missing"), ExitCode.FAILED, "a row is missing"),
        (PermissionError(13, "Permission denied", "/out"), ExitCode.FAILED, "sluice: /out: Permission denied"),
        (NoCredentialsError(), ExitCode.FAILED, "no AWS credentials: unable to locate credentials; sign in"),
        (NoRegionError(), ExitCode.USAGE, "give --profile and --region"),
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
    assert submit(deployed.cloud, asked("s3://b/x/", "s3://b/y", settings=("max_workers=3",))) == 0
    assert capsys.readouterr().out == f"{RUN}\n"


def test_what_was_begun_is_told_as_a_document(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """With the run's id under the name that every other document has for it."""
    deployed.answer("start-1", {"command": {"task": "tickets", "settings": {}, "inputs": ["s3://b/x"]}}, {"run": RUN})
    request = Submission(["s3://b/x"], "tickets", [], again=False, json=True)
    assert submit(deployed.cloud, request) == ExitCode.SUCCEEDED
    assert json.loads(capsys.readouterr().out) == {"run_id": RUN, "runs": [RUN]}


def test_a_task_file_is_sent_along(deployed: Deployed, tmp_path: Path) -> None:
    """A path means the file as it stands here, with every default filled in."""
    (tmp_path / "t.yaml").write_text(TASK)
    command = command_of(asked("s3://b/x", task=str(tmp_path / "t.yaml")))
    assert command["task"]["name"] == "tickets"
    assert "nonce" not in command


def test_again_makes_another_run_each_time() -> None:
    """Without it, the same command is the same run, however often it is given."""
    assert command_of(asked("s3://b/x")) == command_of(asked("s3://b/x"))
    nonces = {command_of(asked("s3://b/x", again=True))["nonce"] for _ in range(3)}
    assert len(nonces) == 3


def test_files_are_uploaded_once_to_where_nothing_is_triggered(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of one name stay apart; the same bytes again are the same object, so that the same command is one run."""
    for name in ("a.jsonl", "sub/a.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}\n")
    files = [str(tmp_path / "a.jsonl"), "s3://b/x", str(tmp_path / "sub" / "a.jsonl")]
    uris = uris_of(deployed.cloud, files)
    assert uris[0] == "s3://b/x"
    keys = [uri.removeprefix(deployed.cloud.incoming.uri("")) for uri in uris[1:]]
    assert all(key.startswith("_submitted/") for key in keys)
    assert keys[1].endswith("sub/a.jsonl")
    assert capsys.readouterr().err.count("uploading") == 2
    assert uris_of(deployed.cloud, files) == uris
    assert capsys.readouterr().err == ""
    assert sorted(key for key, _ in deployed.cloud.incoming.keys("")) == sorted(keys)
    (tmp_path / "a.jsonl").write_text("{} \n")
    assert uris_of(deployed.cloud, files)[1] != uris[1]


def test_a_terminal_sees_how_far_an_upload_is(
    deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every byte of a file is counted."""
    through: list[int] = []

    @contextmanager
    def bar(_what: str, total: int) -> Iterator[Callable[[int], None]]:
        yield through.append
        assert sum(through) == total == 2_000

    monkeypatch.setattr("sluice.cli.submit.byte_bar", bar)
    (tmp_path / "a.jsonl").write_bytes(b"x" * 2_000)
    uris_of(deployed.cloud, [str(tmp_path / "a.jsonl")])
    assert through


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
    assert submit(deployed.cloud, asked()) == code
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
    with pytest.raises(UsageError, match=said):
        submit(deployed.cloud, wrong)
    assert list(deployed.cloud.incoming.keys("")) == []


def test_what_start_refuses_is_wrong_usage(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """The function's own sentence is shown, without the trace of its stack."""
    event = {"command": {"task": "tickets", "settings": {}, "inputs": ["s3://b/x"]}}
    said = {"errorType": "BadInput", "errorMessage": "s3://b/x does not exist", "stackTrace": ["File ..."]}
    deployed.answer("start-1", event, said, error="Unhandled")
    assert concluded(lambda: submit(deployed.cloud, asked("s3://b/x"))) == ExitCode.USAGE
    assert capsys.readouterr().err == "sluice: s3://b/x does not exist\n"


def test_a_function_that_broke_is_a_failure(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that is none of Sluice's own is named."""
    event = {"command": {"task": "tickets", "settings": {}, "inputs": ["s3://b/x"]}}
    deployed.answer("start-1", event, {"errorType": "KeyError", "errorMessage": "'x'"}, error="Unhandled")
    assert concluded(lambda: submit(deployed.cloud, asked("s3://b/x"))) == ExitCode.FAILED
    assert capsys.readouterr().err == "sluice: the function failed: KeyError: 'x'\n"


# How runs stand.


def test_an_unknown_run_is_wrong_usage(deployed: Deployed) -> None:
    """Every command that names a run says so in the same words."""
    with pytest.raises(UsageError, match="the stack Sluice has no run r9; `sluice runs` lists"):
        standing(deployed.cloud, "r9")


@pytest.mark.parametrize("command", ["info", "watch", "cancel", "approve", "resume"])
@pytest.mark.parametrize("name", ["out/o1", "o1", "./o1"])
def test_a_folder_is_not_looked_for_in_aws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    """The sentence names the commands that take a folder; without credentials it is the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Cloud, "_described", None)
    (tmp_path / "o1").mkdir()
    result = CliRunner().invoke(app, [command, name])
    assert result.exit_code == ExitCode.USAGE
    assert result.stderr.startswith(f"sluice: {name} is no run of the stack: RUN is a run's id")
    assert "of a folder: `sluice results DIR`, `sluice report DIR`" in result.stderr


@pytest.mark.parametrize("name", ["", "a b"])
def test_what_is_no_id_is_no_run(deployed: Deployed, name: str) -> None:
    """A name is never made into a key that it does not belong to."""
    with pytest.raises(UsageError, match="has no run"):
        standing(deployed.cloud, name)


def test_a_published_run_stands_as_it_was_published(deployed: Deployed) -> None:
    """Status, rows and cost are those of its document; Step Functions is not asked."""
    deployed.begin()
    document = deployed.end(status="over_limit")
    now = standing(deployed.cloud, RUN)
    assert (now.status, now.rows, now.cost_usd, now.document) == ("over_limit", 12, 0.5, document)


def test_a_run_under_way_is_running(deployed: Deployed) -> None:
    """Its rows are known as soon as they have been counted, its cost is not."""
    keys = deployed.begin()
    deployed.execute()
    assert (standing(deployed.cloud, RUN).status, standing(deployed.cloud, RUN).rows) == ("running", None)
    deployed.cloud.work.put(keys.plan, b'{"rows": 7}')
    now = standing(deployed.cloud, RUN)
    assert (now.rows, now.cost_usd) == (7, None)


def test_a_run_with_the_cancel_marker_is_being_cancelled(deployed: Deployed) -> None:
    """Until it is closed by a further execution, it has neither ended nor failed."""
    keys = deployed.begin()
    arn = deployed.execute()
    deployed.cloud.work.put(keys.cancel, b"{}")
    assert standing(deployed.cloud, RUN).status == "cancelling"
    deployed.session.client("stepfunctions").stop_execution(executionArn=arn)
    assert standing(deployed.cloud, RUN).status == "cancelling"


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
    deployed.cloud.work.put(keys.approval, note.write())


def test_a_run_waits_for_an_approval(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """It has neither ended nor failed; watching ends at once, and says what is waited for and what can be done."""
    waiting(deployed)
    assert standing(deployed.cloud, RUN).status == "waiting_for_approval"
    assert watch_run(deployed.cloud, RUN, as_json=False) == ExitCode.WAITING
    said = capsys.readouterr().err
    assert "can cost up to $34.19 (expected: $0.20), and runs above $5.00" in said
    assert f"`sluice approve {RUN}`" in said


def test_a_list_shows_who_waits(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """In words in the table, with the costs in JSON."""
    waiting(deployed)
    list_runs(deployed.cloud, 5, None, as_json=False)
    assert "waiting for approval" in capsys.readouterr().out
    list_runs(deployed.cloud, 5, None, as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["approval"]["ceiling_usd"] == 34.19


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (lambda cloud: resume_run(cloud, RUN, None), "waits for an approval of its cost; `sluice approve"),
        (lambda cloud: fetch_results(cloud, RUN, Path("nowhere"), as_json=False), "has sent nothing yet"),
    ],
    ids=["resume", "results"],
)
def test_what_waits_is_approved_first(deployed: Deployed, command: Callable[[Cloud], ExitCode], said: str) -> None:
    """There is nothing to go on with, and nothing to fetch."""
    waiting(deployed)
    with pytest.raises(UsageError, match=said):
        command(deployed.cloud)


def test_an_approval_is_sent_to_start(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """The function decides whether there is anything to approve."""
    deployed.begin()
    deployed.answer("start-1", {"approve": {"run": RUN}}, {"run": RUN, "execution": f"{RUN}-1"})
    assert approve_run(deployed.cloud, RUN) == ExitCode.SUCCEEDED
    assert f"(execution {RUN}-1)" in capsys.readouterr().out


@pytest.mark.parametrize("further", [0, 1])
def test_an_execution_that_is_about_to_begin_is_no_failure(deployed: Deployed, further: int) -> None:
    """A run is noted, and so is its going on, a moment before the execution is started."""
    keys = deployed.begin()
    if further:
        deployed.cloud.work.put(keys.resumption(1), Resumption(number=1, cancelled=True, forgiven=[]).write())
    now = standing(deployed.cloud, RUN)
    assert (now.status, now.error) == ("running", None)


def test_a_run_without_an_execution_has_failed(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that start wrote and could not begin is not running for ever."""
    monkeypatch.setattr("sluice.cli.standing.BEGINNING", dt.timedelta(0))
    deployed.begin()
    now = standing(deployed.cloud, RUN)
    assert now.status == "failed"
    assert now.error is not None
    assert "cannot be found" in now.error


def test_a_failed_run_tells_why(deployed: Deployed) -> None:
    """The cause is what the function said, without the JSON around it."""
    deployed.begin()
    failed(deployed, json.dumps({"errorType": "Stop", "errorMessage": "no access to the model", "stackTrace": []}))
    now = standing(deployed.cloud, RUN)
    assert (now.status, now.error, now.document) == ("failed", "Stop: no access to the model", None)


def test_a_resumed_run_is_not_what_it_was_before(deployed: Deployed) -> None:
    """run.json of an earlier execution does not end a run that goes on."""
    keys = deployed.begin()
    deployed.end(status="over_limit")
    note = Resumption(number=1, cancelled=False, forgiven=[])
    deployed.cloud.work.put(keys.resumption(1), note.write())
    deployed.execute(f"{RUN}-1")
    assert standing(deployed.cloud, RUN).status == "running"
    deployed.end(execution=1)
    assert standing(deployed.cloud, RUN).status == "succeeded"


def test_runs_are_listed_newest_first(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """By when they began, whatever the time of their inputs; a run whose beginning is not written is left out."""
    for n, hour in enumerate((9, 11, 10)):
        run = f"t-2026112{n}t000000-{n:010d}"
        deployed.begin(run, created=f"2026-11-20T{hour:02d}:00:00+00:00", task="u" if n == 2 else "t")
        deployed.end(run)
    deployed.cloud.work.put("runs/t-20261123t000000-9999999999/inputs.json", b"{}")
    list_runs(deployed.cloud, 2, None, as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert [item["started"][11:13] for item in listed] == ["11", "10"]
    list_runs(deployed.cloud, 20, "t", as_json=True)
    assert [item["task"] for item in json.loads(capsys.readouterr().out)] == ["t", "t"]


def test_an_id_can_be_copied_from_the_list(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """Each run has one line, with its whole id."""
    deployed.begin()
    deployed.end(cost_usd=None)
    print_runs([standing(deployed.cloud, RUN)])
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == [RUN, "tickets", "succeeded", "12", "unknown", "2026-11-20", "10:15"]


def test_a_stack_without_runs_says_so(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty list is no error, and an empty document for a program."""
    assert list_runs(deployed.cloud, 5, None, as_json=False) == ExitCode.SUCCEEDED
    assert "has no runs yet" in capsys.readouterr().err
    list_runs(deployed.cloud, 5, None, as_json=True)
    assert capsys.readouterr().out == "[]\n"


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

    assert watch_run(deployed.cloud, RUN, as_json=False, pause=pause) == code
    out, err = capsys.readouterr()
    assert out.startswith(f"tickets {status.replace('_limit', ' a limit')}")
    assert f"sluice results {RUN}" in out
    assert "watching the workflow in AWS" in err


def test_a_watched_run_that_breaks_off_is_a_failure(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no run.json, the cause stands alone."""
    deployed.begin()
    failed(deployed, "States.Timeout")
    assert watch_run(deployed.cloud, RUN, as_json=False) == ExitCode.FAILED
    assert "failed: States.Timeout; `sluice resume" in capsys.readouterr().err


def test_a_run_that_has_ended_shows_its_document(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """A program gets run.json and nothing else."""
    deployed.begin()
    document = deployed.end()
    assert watch_run(deployed.cloud, RUN, as_json=True) == ExitCode.SUCCEEDED
    assert json.loads(capsys.readouterr().out) == document


def test_ctrl_c_leaves_the_run_alone(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """Watching is not running: only `sluice cancel` stops a run."""
    deployed.begin()
    deployed.execute()

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    assert watch_run(deployed.cloud, RUN, as_json=False, pause=interrupt) == ExitCode.INTERRUPTED
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
    assert watch_run(deployed.cloud, RUN, as_json=True, pause=pauses.append) == ExitCode.SUCCEEDED
    assert len(pauses) == 6


# Cancel, resume, rejudge.


def test_cancel_does_not_wait_for_the_sweep(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """The function pauses for two minutes: it is called asynchronously, and the user is told what comes."""
    deployed.begin()
    deployed.execute()
    event = json.dumps({"run": RUN, "reason": "cancelled"}).encode()
    expected = {"FunctionName": "sweep-1", "InvocationType": "Event", "Payload": event}
    deployed.lambda_.add_response("invoke", {"StatusCode": 202}, expected)
    assert cancel_run(deployed.cloud, RUN) == ExitCode.SUCCEEDED
    deployed.lambda_.assert_no_pending_responses()
    assert "is being cancelled" in capsys.readouterr().out


def test_what_has_ended_cannot_be_cancelled(deployed: Deployed) -> None:
    """Nothing is called for a run that is published."""
    deployed.begin()
    deployed.end()
    with pytest.raises(UsageError, match="has ended already: succeeded"):
        cancel_run(deployed.cloud, RUN)


@pytest.mark.parametrize("max_usd", [None, 25.0])
def test_resume_names_the_run_and_the_new_budget(deployed: Deployed, max_usd: float | None) -> None:
    """Start begins a further execution; a budget that is not given stays as it is."""
    deployed.begin()
    deployed.end(status="over_limit")
    said = {"run": RUN, "execution": f"{RUN}-1"}
    deployed.answer("start-1", {"resume": {"run": RUN, "max_usd": max_usd}}, said)
    assert resume_run(deployed.cloud, RUN, max_usd) == ExitCode.SUCCEEDED
    deployed.lambda_.assert_no_pending_responses()


def test_a_run_that_is_being_cancelled_is_not_resumed(deployed: Deployed) -> None:
    """The sweep behind it would stop the jobs of the resumed run."""
    keys = deployed.begin()
    deployed.execute()
    deployed.cloud.work.put(keys.cancel, b"{}")
    with pytest.raises(UsageError, match=r"has not ended yet \(cancelling\)"):
        resume_run(deployed.cloud, RUN, None)


def test_rejudge_sends_the_task_as_it_stands_here(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The new run's id is all that stands on standard output."""
    (tmp_path / "tickets.yaml").write_text(TASK)
    from sluice.task.file import load_task

    deployed.begin()
    task = load_task(str(tmp_path / "tickets.yaml")).model_dump(mode="json")
    deployed.answer("start-1", {"rejudge": {"run": RUN, "task": task}}, {"run": "tickets-2"})
    assert rejudge_run(deployed.cloud, RUN, str(tmp_path / "tickets.yaml")) == ExitCode.SUCCEEDED
    assert capsys.readouterr().out == "tickets-2\n"


# Results and report.


def test_results_are_laid_out_as_a_local_run_lays_them_out(deployed: Deployed, tmp_path: Path) -> None:
    """The run's own parts, run.json and the report; nothing of another run of that day."""
    deployed.begin()
    document = deployed.end()
    folder = "results/tickets/run_date=2026-11-20"
    for name in (f"{RUN}-part-00000", f"{RUN}-part-00001", "tickets-2-part-00000"):
        deployed.cloud.results.put(f"{folder}/{name}.parquet", name.encode())
    assert fetch_results(deployed.cloud, RUN, tmp_path / "out", as_json=False) == ExitCode.SUCCEEDED
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    parts = [f"{folder}/{RUN}-part-0000{n}.parquet" for n in (0, 1)]
    assert found == ["report.html", *parts, "run.json"]
    assert (tmp_path / "out" / parts[1]).read_text() == f"{RUN}-part-00001"
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == document


@pytest.mark.parametrize(
    ("arrange", "said"),
    [
        (lambda deployed: deployed.execute(), r"has not ended yet \(running\)"),
        (lambda deployed: failed(deployed, "no role"), "has published nothing, since it failed: no role"),
    ],
)
def test_there_are_no_results_before_a_run_is_published(
    deployed: Deployed, tmp_path: Path, arrange: Callable[[Deployed], object], said: str
) -> None:
    """The refusal says how the run stands, and no folder is made."""
    deployed.begin()
    arrange(deployed)
    with pytest.raises(UsageError, match=said):
        fetch_results(deployed.cloud, RUN, tmp_path / "out", as_json=False)
    assert not (tmp_path / "out").exists()


def test_the_published_report_is_fetched(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it was published, under the name that is printed."""
    deployed.begin()
    deployed.end()
    deployed.cloud.results.put(f"reports/{RUN}/report.html", b"<html>")
    assert fetch_report(deployed.cloud, RUN, tmp_path / "r.html", show_it=False) == ExitCode.SUCCEEDED
    assert (tmp_path / "r.html").read_bytes() == b"<html>"
    assert capsys.readouterr().out == f"{tmp_path / 'r.html'}\n"


def test_a_failed_run_has_a_report_of_what_is_known(deployed: Deployed, tmp_path: Path) -> None:
    """Nothing was published, but sweep has left a run.json."""
    deployed.begin()
    failed(deployed, "no role")
    deployed.end(status="failed", error="no role")
    fetch_report(deployed.cloud, RUN, tmp_path / "r.html", show_it=False)
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
        ("resume r1 --max-usd 2.5", "control", "resume_run", (("r1", 2.5), {"as_json": False})),
        ("rejudge r1 --task t", "control", "rejudge_run", (("r1", "t"), {"as_json": False})),
        ("results r1", "fetch", "fetch_results", (("r1", Path("r1")), {"as_json": False})),
        ("report r1 --open", "fetch", "fetch_report", (("r1", Path("r1.html")), {"show_it": True, "as_json": False})),
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

    def record(cloud: Cloud, *args: Any, **more: Any) -> ExitCode:
        called.append((cloud.stack, cloud.session.region_name, args, more))
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
