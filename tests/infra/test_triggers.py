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


def test_a_dropped_object_is_told_to_start(deployed: Deployed) -> None:
    """Every object that appears in the incoming bucket, but for what was uploaded for a command, which runs it."""
    _, rule = deployed.the("AWS::Events::Rule", "TriggersObject")
    incoming, _ = deployed.the("AWS::S3::Bucket", "StorageIncoming")
    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [{"Ref": incoming}]},
            "object": {"key": [{"anything-but": {"prefix": "_submitted/"}}]},
        },
    }
    [target] = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": [_function(deployed, "start"), "Arn"]}
    assert target["DeadLetterConfig"] == {"Arn": _queue(deployed)}


def test_a_source_is_told_of_by_its_prefixes(deployed: Deployed) -> None:
    """One rule for each bucket, for what lies under the prefixes that are read."""
    _, rule = deployed.the("AWS::Events::Rule", "TriggersSource0")
    assert rule["EventPattern"]["detail"] == {
        "bucket": {"name": ["elsewhere"]},
        "object": {"key": [{"prefix": "in/"}, {"prefix": "more/"}]},
    }
    [target] = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": [_function(deployed, "start"), "Arn"]}


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


def test_the_inbox_is_swept_every_minute(deployed: Deployed) -> None:
    """A tick that cannot be delivered within its minute is not tried again: the next one comes."""
    _, schedule = deployed.the("AWS::Scheduler::Schedule", "TriggersMinute")
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert json.loads(schedule["Target"]["Input"]) == {"sweep": {}}
    assert schedule["Target"]["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}


def test_a_schedule_names_its_tick(deployed: Deployed) -> None:
    """A tick carries its task and its scheduled time, so that a tick that comes twice is one."""
    _, schedule = deployed.the("AWS::Scheduler::Schedule", "TriggersTaskmails")
    assert schedule["ScheduleExpression"] == "cron(0 6 * * ? *)"
    assert schedule["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    tick = {"task": "mails", "time": "<aws.scheduler.scheduled-time>"}
    assert json.loads(schedule["Target"]["Input"]) == {"sweep": tick}
    assert schedule["Target"]["DeadLetterConfig"] == {"Arn": _queue(deployed)}


def test_a_deployment_can_switch_a_schedule_off(staging: Deployed) -> None:
    """What cdk.json says of a task counts in the place of the task's own trigger."""
    assert len(staging.of_type("AWS::Scheduler::Schedule")) == 1


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
