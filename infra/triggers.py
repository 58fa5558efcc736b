"""What starts a run, and what cleans up after one that was stopped."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

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
from sluice.runs.inbox import SUBMITTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aws_cdk import aws_s3 as s3
    from aws_cdk import aws_stepfunctions as sfn

    from sluice.runs.inbox import Source
    from sluice.task.triggers import Schedule

# A rule's pattern has room for 2,048 bytes; the bucket and the event take some 250.
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
PATTERN_BYTES = 1_700
NO_QUEUE_BEHIND = ("AwsSolutions-SQS3", "Serverless-SQSRedrivePolicy")


class Triggers(Construct):
    """Objects that appear and the clock call `start`; an execution that did not succeed calls `sweep`.

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
        """Tell `start` of every object that appears in `bucket`, but for those that are uploaded for a command."""
        self._on_objects("Object", bucket.bucket_name, [{"anything-but": {"prefix": SUBMITTED}}])

    def on_sources(self, sources: Iterable[Source]) -> None:
        """Tell `start` of the objects that appear in other buckets, which send their events to EventBridge."""
        prefixes: dict[str, set[str]] = defaultdict(set)
        for source in sources:
            prefixes[source.bucket].add(source.prefix)
        for number, (bucket, wanted) in enumerate(prefixes.items()):
            every = "" in wanted  # an empty prefix is no pattern
            for part, some in enumerate([[]] if every else _patterns(wanted)):
                self._on_objects(f"Source{number}{f'Part{part}' if part else ''}", bucket, some)

    def on_clock(self, schedules: Mapping[str, Schedule]) -> None:
        """Have the inbox swept every minute, and for each task with a schedule at its ticks.

        A tick's scheduled time is its name, however late and often it is delivered.
        """
        role = self._scheduler_role()
        # The next minute comes anyway: a tick that was not delivered in this one is not worth a second try.
        once = {"max_event_age": Duration.minutes(1), "retry_attempts": 0}
        every = scheduler.ScheduleExpression.rate(Duration.minutes(1))
        self._schedule("Minute", every, {"sweep": {}}, role, "Makes runs of what has been dropped", delivery=once)
        for task, schedule in schedules.items():
            tick = {"task": task, "time": scheduler.ContextAttribute.scheduled_time}
            expression = scheduler.ScheduleExpression.expression(schedule.schedule, TimeZone.of(schedule.timezone))
            self._schedule(
                f"Task-{task}",
                expression,
                {"sweep": tick},
                role,
                f"Makes a run of what waits for the task {task}",
                window=schedule.window_minutes,
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

    def _schedule(
        self,
        id_: str,
        expression: scheduler.ScheduleExpression,
        event: dict[str, Any],
        role: iam.IRole,
        description: str,
        *,
        window: int = 0,
        delivery: Mapping[str, Any] | None = None,
    ) -> None:
        flexible = scheduler.TimeWindow.flexible(Duration.minutes(window)) if window else scheduler.TimeWindow.off()
        scheduler.Schedule(
            self,
            id_,
            schedule=expression,
            time_window=flexible,
            target=scheduler_targets.LambdaInvoke(
                self.start,
                input=scheduler.ScheduleTargetInput.from_object(event),
                dead_letter_queue=self.lost,
                role=role,
                **(delivery or {}),
            ),
            description=description,
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

    def _on_objects(self, id_: str, bucket: str, keys: list[Any]) -> None:
        detail = {"bucket": {"name": [bucket]}, **({"object": {"key": keys}} if keys else {})}
        self._rule(id_, self.start, source="aws.s3", detail_type="Object Created", detail=detail)

    def _rule(
        self, id_: str, function: lambda_.Function, *, source: str, detail_type: str, detail: Mapping[str, object]
    ) -> None:
        pattern = events.EventPattern(source=[source], detail_type=[detail_type], detail=detail)
        rule = events.Rule(self, id_, event_pattern=pattern)
        rule.add_target(targets.LambdaFunction(function, dead_letter_queue=self.lost))


def _patterns(prefixes: Iterable[str]) -> list[list[dict[str, str]]]:
    """Part the patterns of prefixes among as few rules as have room for them."""
    parts: list[list[dict[str, str]]] = []
    room = 0
    for prefix in sorted(prefixes):
        pattern = {"prefix": prefix}
        room -= len(json.dumps(pattern)) + 1
        if room < 0 or not parts:
            parts.append([])
            room = PATTERN_BYTES - len(json.dumps(pattern)) - 1
        parts[-1].append(pattern)
    return parts
