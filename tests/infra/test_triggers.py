from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.infra.conftest import Deployed


def _function(deployed: Deployed, step: str) -> str:
    [id_] = [id_ for id_, f in deployed.of_type("AWS::Lambda::Function").items() if f".{step}." in f["Handler"]]
    return id_


def _queue(deployed: Deployed) -> dict[str, list[str]]:
    id_, _ = deployed.the("AWS::SQS::Queue")
    return {"Fn::GetAtt": [id_, "Arn"]}


def test_a_dropped_object_starts_a_run(deployed: Deployed) -> None:
    """Every object that appears in the incoming bucket, and in no other, calls start."""
    _, rule = deployed.the("AWS::Events::Rule", "TriggersObject")
    incoming, _ = deployed.the("AWS::S3::Bucket", "StorageIncoming")
    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [{"Ref": incoming}]}},
    }
    [target] = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": [_function(deployed, "start"), "Arn"]}
    assert target["DeadLetterConfig"] == {"Arn": _queue(deployed)}


def test_a_run_that_did_not_succeed_is_swept(deployed: Deployed) -> None:
    """Failed, timed out or stopped: the machine's own runs, not the children of its maps."""
    _, rule = deployed.the("AWS::Events::Rule", "TriggersFailed")
    machine, _ = deployed.the("AWS::StepFunctions::StateMachine")
    assert rule["EventPattern"] == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [{"Ref": machine}], "status": ["FAILED", "TIMED_OUT", "ABORTED"]},
    }
    [target] = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": [_function(deployed, "sweep"), "Arn"]}


def test_a_schedule_names_its_tick(deployed: Deployed) -> None:
    """A tick carries its task and its scheduled time, so that a tick that comes twice starts one run."""
    _, schedule = deployed.the("AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "cron(0 6 * * ? *)"
    assert schedule["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert json.loads(schedule["Target"]["Input"]) == {
        "schedule": {"task": "mails", "time": "<aws.scheduler.scheduled-time>"}
    }
    assert schedule["Target"]["DeadLetterConfig"] == {"Arn": _queue(deployed)}


def test_the_scheduler_may_call_start_alone(deployed: Deployed) -> None:
    """The schedules' role belongs to this account's scheduler and calls one function."""
    id_, role = deployed.the("AWS::IAM::Role", "TriggersSchedulerRole")
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    start = f"<{_function(deployed, 'start')}.Arn>"
    called = {r for actions, found, _ in deployed.statements(id_) if "lambda:InvokeFunction" in actions for r in found}
    assert called == {start}


def test_a_lost_event_is_kept(deployed: Deployed) -> None:
    """Lambda accepts an event before it fails, so the functions themselves have a place for what they lose."""
    configured = {c["FunctionName"]["Ref"]: c for c in deployed.of_type("AWS::Lambda::EventInvokeConfig").values()}
    assert set(configured) == {_function(deployed, "start"), _function(deployed, "sweep")}
    for config in configured.values():
        assert config["DestinationConfig"]["OnFailure"]["Destination"] == _queue(deployed)
    _, queue = deployed.the("AWS::SQS::Queue")
    assert queue["SqsManagedSseEnabled"] is True
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
