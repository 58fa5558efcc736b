"""What starts a run, and what cleans up after one that was stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, Duration, TimeZone
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as scheduler_targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.permissions import accept, allow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aws_cdk import aws_s3 as s3
    from aws_cdk import aws_stepfunctions as sfn

    from infra.options import TaskSchedule

NO_QUEUE_BEHIND = ("AwsSolutions-SQS3", "Serverless-SQSRedrivePolicy")


class Triggers(Construct):
    """A dropped object and a schedule call `start`; an execution that did not succeed calls `sweep`.

    Whatever cannot be delivered, or fails after its retries, ends in `lost`, with the event that it was about.
    """

    def __init__(self, scope: Construct, id_: str, *, start: lambda_.Function, sweep: lambda_.Function) -> None:
        super().__init__(scope, id_)
        self.start = start
        self.sweep = sweep
        self.lost = sqs.Queue(
            self,
            "Lost",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        accept(self.lost, dict.fromkeys(NO_QUEUE_BEHIND, "it is itself where lost events end"))
        self._keep_lost("Start", start)
        self._keep_lost("Sweep", sweep)

    def on_objects(self, bucket: s3.IBucket) -> None:
        """Start a run for every object that appears in `bucket`."""
        self._rule(
            "Object",
            self.start,
            source="aws.s3",
            detail_type="Object Created",
            detail={"bucket": {"name": [bucket.bucket_name]}},
        )

    def on_schedules(self, schedules: Iterable[TaskSchedule]) -> None:
        """Start a run at every tick; the scheduled time names the tick, however late and often it is delivered."""
        role = self._scheduler_role()
        for number, schedule in enumerate(schedules):
            zone = TimeZone.of(schedule.timezone)
            event = {"schedule": {"task": schedule.task, "time": scheduler.ContextAttribute.scheduled_time}}
            scheduler.Schedule(
                self,
                f"Schedule{number}",
                schedule=scheduler.ScheduleExpression.expression(schedule.expression, zone),
                target=scheduler_targets.LambdaInvoke(
                    self.start,
                    input=scheduler.ScheduleTargetInput.from_object(event),
                    dead_letter_queue=self.lost,
                    role=role,
                ),
                description=f"Starts a run of the task {schedule.task}",
            )

    def on_failed(self, machine: sfn.IStateMachine) -> None:
        """Stop what a run left behind when its execution failed, timed out or was stopped.

        The machine's own ARN matches its runs alone: the children of its maps carry the map's name behind it.
        """
        self._rule(
            "Failed",
            self.sweep,
            source="aws.states",
            detail_type="Step Functions Execution Status Change",
            detail={"stateMachineArn": [machine.state_machine_arn], "status": ["FAILED", "TIMED_OUT", "ABORTED"]},
        )

    def _scheduler_role(self) -> iam.IRole:
        """Make the role of all schedules, which no schedule of another account may borrow."""
        account = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        principal = iam.ServicePrincipal("scheduler.amazonaws.com", conditions=account)
        role = iam.Role(self, "SchedulerRole", assumed_by=principal)
        allow(role, ["lambda:InvokeFunction"], [self.start.function_arn])
        allow(role, ["sqs:SendMessage"], [self.lost.queue_arn])
        return role.without_policy_updates()  # CDK's targets would add every version of the function

    def _keep_lost(self, name: str, function: lambda_.Function) -> None:
        """Send what `function` could not handle to `lost`; CDK's own destination takes two rights more."""
        allow(function, ["sqs:SendMessage"], [self.lost.queue_arn])
        config = lambda_.CfnEventInvokeConfig(
            self,
            f"{name}Lost",
            function_name=function.function_name,
            qualifier="$LATEST",
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=self.lost.queue_arn)
            ),
        )
        assert function.role is not None
        config.node.add_dependency(function.role)  # Lambda looks whether the role may send

    def _rule(
        self, id_: str, function: lambda_.Function, *, source: str, detail_type: str, detail: dict[str, object]
    ) -> None:
        pattern = events.EventPattern(source=[source], detail_type=[detail_type], detail=detail)
        rule = events.Rule(self, id_, event_pattern=pattern)
        rule.add_target(targets.LambdaFunction(function, dead_letter_queue=self.lost))
