"""A deployed stack as a program uses it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

import sluice
from sluice.aws.errors import translating
from sluice.errors import BadInput, BadRequest, BadSetting, BadTask, RetryLater, SluiceError, Stop, Unfinished
from sluice.task.file import parse_task
from tests.harness.deployed import RUN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.deployed import Deployed

TASK = parse_task({"name": "tickets", "input": {"text": "body"}, "labels": ["billing"]}, "the test's task")


def test_a_run_is_submitted_and_waited_for(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """Begun at once, looked at until it ends, and nothing is printed on the way."""
    event = {"command": {"task": "tickets", "settings": {"max_workers": 3}, "inputs": ["s3://b/x"]}}
    deployed.answer("start-1", event, {"run": RUN})
    run = deployed.deployment.submit("s3://b/x", "tickets", settings={"max_workers": 3})
    assert (run.run_id, run.last) == (RUN, None)
    deployed.begin()
    deployed.execute()
    assert run.status == "running"
    stages = []
    run.wait(on_progress=lambda now: stages.append(now.stage), pause=lambda _seconds: void(deployed.end()))
    assert (stages[0], stages[-1]) == ("partition", "done")
    assert run.raise_for_status().summary["rows"]["in"] == 12
    assert capsys.readouterr() == ("", "")


def void(_value: object) -> None:
    pass


def test_a_task_that_a_program_holds_is_sent_along(deployed: Deployed) -> None:
    """With every default filled in; a name means the deployed one."""
    event = {"command": {"task": TASK.model_dump(mode="json"), "settings": {}, "inputs": ["s3://b/x"]}}
    deployed.answer("start-1", event, {"run": RUN})
    assert deployed.deployment.submit(["s3://b/x"], TASK).run_id == RUN


@pytest.mark.parametrize(
    ("kind", "error"), [("BadTask", BadTask), ("BadInput", BadInput), ("BadSetting", BadSetting), ("KeyError", Stop)]
)
def test_what_start_refuses_is_raised_here(deployed: Deployed, kind: str, error: type[SluiceError]) -> None:
    """By the class of the error that the function raised, of which only the name arrives."""
    event = {"command": {"task": "tickets", "settings": {}, "inputs": ["s3://b/x"]}}
    deployed.answer("start-1", event, {"errorType": kind, "errorMessage": "t.yaml: not so"}, error="Unhandled")
    with pytest.raises(error, match=r"t\.yaml: not so"):
        deployed.deployment.submit("s3://b/x", "tickets")


def test_waiting_has_an_end(deployed: Deployed) -> None:
    """A run that still goes on then is one to look at later."""
    deployed.begin()
    deployed.execute()
    with pytest.raises(RetryLater, match=rf"run {RUN} has not ended after 0 seconds"):
        deployed.deployment.run(RUN).wait(timeout=0)


def test_a_run_that_broke_off_has_no_summary(deployed: Deployed) -> None:
    """The sentence says why, and so does the error for a scheduler."""
    deployed.begin()
    deployed.fail("no role", looks=2)
    run = deployed.deployment.run(RUN)
    with pytest.raises(Unfinished, match="it is failed: no role"):
        run.raise_for_status()
    with pytest.raises(BadRequest, match="has no summary, it is failed: no role"):
        run.summary  # noqa: B018


def test_runs_are_listed_with_how_they_stand(deployed: Deployed) -> None:
    """Each can be asked further."""
    deployed.begin()
    deployed.end()
    (run,) = deployed.deployment.runs("tickets", 5)
    assert run.last is not None
    assert (run.last.status, run.last.rows, run.last.cost_usd) == ("succeeded", 12, 0.5)
    assert repr(run) == f"<DeployedRun {RUN}: succeeded>"
    assert deployed.deployment.runs("other") == []


def test_a_run_is_downloaded_into_a_folder(deployed: Deployed, tmp_path: Path) -> None:
    """And is a run there; a folder with other files is left alone."""
    deployed.begin()
    document = deployed.end()
    deployed.stack.results.put(f"reports/{RUN}/report.html", b"<html>")
    run = deployed.deployment.run(RUN)
    local = run.download(tmp_path / "out")
    assert (local.summary, local.report.read_bytes(), run.report()) == (document, b"<html>", b"<html>")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").touch()
    with pytest.raises(BadRequest, match="holds files that are no run"):
        run.download(tmp_path / "mine")


def test_what_waits_is_swept_by_the_name_of_its_task(deployed: Deployed) -> None:
    """A path is none."""
    said = {"runs": [RUN], "waiting": 0, "overdue_seconds": 0, "held": None, "problems": [], "refused": []}
    deployed.answer("start-1", {"sweep": {"task": "tickets", "now": True}}, said)
    assert deployed.deployment.sweep("tickets").runs == [RUN]
    with pytest.raises(BadRequest, match="give its name"):
        deployed.deployment.sweep("tasks/tickets.yaml")


@pytest.mark.parametrize("call", ["info", "cancel", "approve", "resume", "report", "wait", "table"])
def test_no_call_invents_a_run(deployed: Deployed, call: str) -> None:
    """Each says that there is none."""
    with pytest.raises(BadRequest, match="the stack Sluice has no run r9"):
        getattr(deployed.deployment.run("r9"), call)()


def test_what_options_bound_is_bounded_here(deployed: Deployed) -> None:
    """A slip of a program is told, not sent."""
    with pytest.raises(BadRequest, match="limit 0 is no number of runs"):
        deployed.deployment.runs(limit=0)
    for amount in (-1.0, float("nan"), float("inf")):
        with pytest.raises(BadRequest, match="is no amount of dollars"):
            deployed.deployment.run(RUN).resume(amount)


def test_no_inputs_are_no_run(deployed: Deployed) -> None:
    """An empty list is a slip of the program, not what waits for the task."""
    with pytest.raises(BadRequest, match="there are no inputs"):
        deployed.deployment.submit([], "tickets")


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")


@pytest.mark.parametrize(
    ("raised", "error", "said"),
    [
        (NoRegionError(), BadRequest, "no Region is known to call AWS in: give --region"),
        (NoCredentialsError(), Stop, "no AWS credentials"),
        (EndpointConnectionError(endpoint_url="x"), RetryLater, "AWS cannot be reached"),
        (refused("ExpiredToken"), Stop, "your AWS credentials have expired"),
        (refused("AccessDenied"), Stop, "AWS refuses"),
        (Stop("so it is"), Stop, "so it is"),
    ],
)
def test_nothing_of_boto3_comes_out(raised: Exception, error: type[SluiceError], said: str) -> None:
    """What a program has to catch is one tree; what can pass is told from what cannot."""
    with pytest.raises(error, match=said), translating():
        raise raised


def test_a_profile_that_is_not_there_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the words of the library."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(BadRequest, match="nobody-has-this"):
        sluice.Deployment("prod", profile="nobody-has-this")
    with pytest.raises(BadSetting, match="environment = 'Dev' is not allowed"):
        sluice.Deployment("Dev")


def test_a_rejudged_run_is_a_run_of_its_own(deployed: Deployed) -> None:
    """The task is sent as it stands here."""
    deployed.begin()
    event: dict[str, Any] = {"rejudge": {"run": RUN, "task": TASK.model_dump(mode="json")}}
    deployed.answer("start-1", event, {"run": "tickets-2"})
    assert deployed.deployment.run(RUN).rejudge(TASK).run_id == "tickets-2"
    assert json.loads(json.dumps(event)) == event
