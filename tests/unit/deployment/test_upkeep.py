"""What earlier deployments have left: Lambda and Step Functions are botocore's Stubber, CloudFormation is moto's."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest

from sluice.cli import deploy
from sluice.cli.deploy import Request, as_deployed
from sluice.cli.exits import ExitCode
from sluice.cli.prune import offer, prune
from sluice.deployment.upkeep import Versions, place_of_tables

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.deployed import Deployed

NOW = dt.datetime.now(dt.UTC)
FUNCTIONS = ("Sluice-Check-1", "Sluice-Plan-1")


def _definition(*versions: tuple[str, int]) -> str:
    arns = [f"arn:aws:lambda:us-east-1:123456789012:function:{name}:{number}" for name, number in versions]
    return json.dumps({"States": {arn[-20:]: {"Resource": arn} for arn in arns}})


def _days_ago(days: float) -> str:
    return (NOW - dt.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _look(deployed: Deployed, ages: tuple[float, ...], *, deletes: tuple[int, ...] = ()) -> None:
    """A workflow that calls version 9 of Check and Plan, and a run under way that calls Plan's version 2."""
    states = deployed.session.stub("stepfunctions")
    machine = {"stateMachineArn": deployed.machine, "name": "m", "roleArn": "arn:aws:iam::123456789012:role/m"}
    run = f"{deployed.machine.replace(':stateMachine:', ':execution:')}:run"
    execution = {"executionArn": run, "stateMachineArn": deployed.machine, "name": "run", "startDate": NOW}
    for status, found in (("RUNNING", [{**execution, "status": "RUNNING"}]), ("PENDING_REDRIVE", [])):
        asked = {"stateMachineArn": deployed.machine, "statusFilter": status}
        states.add_response("list_executions", {"executions": found}, asked)
        if found:
            began = {**machine, "definition": _definition(("Sluice-Plan-1", 2)), "updateDate": NOW}
            states.add_response("describe_state_machine_for_execution", began, {"executionArn": run})
    newest = _definition(*((name, 9) for name in FUNCTIONS))
    described = {**machine, "definition": newest, "type": "STANDARD", "creationDate": NOW}
    states.add_response("describe_state_machine", described, {"stateMachineArn": deployed.machine})
    for name in FUNCTIONS:
        versions = [{"Version": "$LATEST", "CodeSize": 7, "LastModified": _days_ago(0)}]
        for number, days in zip((1, 2, 8, 9), ages, strict=True):
            versions.append({"Version": str(number), "CodeSize": 50_000_000, "LastModified": _days_ago(days)})
        deployed.lambda_.add_response("list_versions_by_function", {"Versions": versions}, {"FunctionName": name})
    for name in FUNCTIONS:
        for number in deletes:
            if (name, number) != ("Sluice-Plan-1", 2):
                deployed.lambda_.add_response("delete_function", {}, {"FunctionName": name, "Qualifier": str(number)})


def test_what_a_run_under_way_began_with_is_kept(deployed: Deployed) -> None:
    """Neither the workflow's own versions nor those of an execution's definition are unused, however old."""
    _look(deployed, (30, 20, 10, 5))
    unused = Versions(deployed.stack, lambda: NOW).unused()
    assert [(item.function[7:12], item.number) for item in unused] == [
        ("Check", "1"),
        ("Check", "2"),
        ("Check", "8"),
        ("Plan-", "1"),
        ("Plan-", "8"),
    ]


def test_what_was_replaced_just_now_is_kept(deployed: Deployed) -> None:
    """An execution that began as the deployment came may not stand in the list yet."""
    _look(deployed, (30, 20, 10, 0.5 / 24))
    unused = Versions(deployed.stack, lambda: NOW).unused()
    assert {item.number for item in unused} == {"1", "2"}


def test_prune_lists_and_deletes_only_where_it_is_told(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --yes nothing is called that deletes; with it, each unused version goes and nothing else."""
    _look(deployed, (30, 20, 10, 5))
    assert prune(deployed.deployment, yes=False) == ExitCode.SUCCEEDED
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith("Sluice-Check-1:1  50.0 MB  published 2")
    assert "5 versions of functions (250 MB of code), used by no execution: `sluice prune --yes`" in said.err
    _look(deployed, (30, 20, 10, 5), deletes=(1, 2, 8))
    assert prune(deployed.deployment, yes=True, as_json=True) == ExitCode.SUCCEEDED
    document = json.loads(capsys.readouterr().out)
    assert document["deleted"] is True
    assert document["versions"][0] == {"function": "Sluice-Check-1", "version": "1", "bytes": 50_000_000}
    deployed.lambda_.assert_no_pending_responses()


def test_a_deployment_offers_what_can_go(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipeline it is only said."""
    _look(deployed, (30, 20, 10, 5))
    offer(deployed.deployment)
    assert "used by no execution: `sluice prune` lists them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("resources", "place"),
    [
        ([("AWS::Glue::Table", "runs"), ("AWS::Glue::Table", "results")], None),
        ([("AWS::Glue::Table", "runs"), ("AWS::Glue::Table", "tickets")], "stack"),
        ([("AWS::Glue::Table", "runs"), ("AWS::CloudFormation::Stack", "arn:1")], "nested"),
        ([], None),
    ],
)
def test_tables_stay_where_a_deployment_has_them(
    resources: list[tuple[str, str]],
    place: str | None,
    deployed: Deployed,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """CDK is told so, unless the option is set in cdk.json or on the command line."""
    found = [
        {
            "LogicalResourceId": name[:9],
            "PhysicalResourceId": name,
            "ResourceType": kind,
            "ResourceStatus": "CREATE_COMPLETE",
            "LastUpdatedTimestamp": NOW,
        }
        for kind, name in resources
    ]
    formation = deployed.session.stub("cloudformation")
    for _ in range(2):
        if found:
            formation.add_response("list_stack_resources", {"StackResourceSummaries": found}, {"StackName": "Sluice"})
        else:
            formation.add_client_error("list_stack_resources", "ValidationError", "Stack with id Sluice does not exist")
    assert place_of_tables(deployed.stack) == place
    monkeypatch.setattr(deploy, "_deployment", lambda _: deployed.deployment)
    monkeypatch.chdir(tmp_path)
    assert as_deployed(Request("deploy")) == (("--context", f"tables_in={place}") if place else ())
    assert as_deployed(Request("deploy", options=("-c", "tables_in=nowhere"))) == ()
    (tmp_path / "cdk.json").write_text('{"context": {"tables_in": "nested"}}', encoding="utf-8")
    assert as_deployed(Request("deploy")) == ()
