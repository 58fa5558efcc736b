"""What to look at: one dashboard, an alarm for each thing that somebody should do something about, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra import dashboard
from infra.alarms import ALARMS, RUNBOOK, Watched
from infra.permissions import accept
from sluice.aws.events import SOURCE, Event

if TYPE_CHECKING:
    from aws_cdk import aws_sqs as sqs
    from aws_cdk import aws_stepfunctions as sfn

    from infra.alarms import Alarm
    from infra.functions import Functions
    from infra.options import Options


class Monitoring(Construct):
    """The dashboard, the alarms and, with an address to notify, the topic that they write to."""

    def __init__(self, scope: Construct, id_: str, *, options: Options) -> None:
        super().__init__(scope, id_)
        self._environment = options.environment
        self._thresholds = options.alarms
        self.topic = self._topic(options.notify_email) if options.notify_email else None
        self.dashboard = cloudwatch.Dashboard(self, "Dashboard", default_interval=Duration.days(7))

    def watch(self, *, machine: sfn.IStateMachine, functions: Functions, lost: sqs.IQueue) -> None:
        """Show how things have been doing, raise the alarms, and say which run failed or waits for an approval."""
        watched = Watched(environment=self._environment, machine=machine, lost=lost)
        alarms = [self._alarm(alarm, watched) for alarm in ALARMS]
        for row in dashboard.rows(watched, functions, alarms):
            self.dashboard.add_widgets(*row)
        if self.topic:
            self._tell_of_failures(self.topic, watched)
            self._tell_of_approvals(self.topic, watched)

    def _alarm(self, alarm: Alarm, watched: Watched) -> cloudwatch.Alarm:
        made = cloudwatch.Alarm(
            self,
            alarm.id,
            metric=alarm.metric(watched),
            threshold=alarm.threshold(self._thresholds),
            evaluation_periods=alarm.periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=alarm.silence,
            alarm_description=f"Sluice, {self._environment}: {alarm.description(self._thresholds)}",
        )
        if self.topic:
            made.add_alarm_action(actions.SnsAction(self.topic))
        return made

    def _tell_of_failures(self, topic: sns.Topic, watched: Watched) -> None:
        """Name the run: the alarm can only say that there is one."""
        pattern = events.EventPattern(
            source=["aws.states"],
            detail_type=["Step Functions Execution Status Change"],
            detail={"stateMachineArn": [watched.machine.state_machine_arn], "status": ["FAILED", "TIMED_OUT"]},
        )
        run, status = (events.EventField.from_path(f"$.detail.{name}") for name in ("name", "status"))
        self._tell("Failed", topic, watched, pattern, f"the run's execution {run} is {status}. {RUNBOOK}#run-failed")

    def _tell_of_approvals(self, topic: sns.Topic, watched: Watched) -> None:
        pattern = events.EventPattern(
            source=[SOURCE],
            detail_type=[Event.APPROVAL_NEEDED.value],
            detail={"environment": [self._environment]},
        )
        names = ("run_id", "task", "ceiling_usd", "expected_usd", "all_tiers_usd")
        run, task, ceiling, expected, dear = (events.EventField.from_path(f"$.detail.{name}") for name in names)
        text = (
            f"the run {run} of the task {task} waits: it can cost up to {ceiling} USD, {expected} are expected, {dear} "
            "if every record goes through every tier. "
            f"'sluice approve {run} --env {self._environment}' lets it go on, 'sluice cancel {run} --env "
            f"{self._environment}' closes it. {RUNBOOK}#approval-needed"
        )
        self._tell("Approval", topic, watched, pattern, text)

    def _tell(self, id_: str, topic: sns.Topic, watched: Watched, pattern: events.EventPattern, text: str) -> None:
        rule = events.Rule(self, id_, event_pattern=pattern)
        message = events.RuleTargetInput.from_text(f"Sluice, {self._environment}: {text}")
        rule.add_target(targets.SnsTopic(topic, message=message, dead_letter_queue=watched.lost))

    def _topic(self, address: str) -> sns.Topic:
        """Make the topic with a key of its own: neither service may use the one that AWS manages for SNS."""
        key = kms.Key(self, "TopicKey", enable_key_rotation=True)
        ours = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        for service in (
            iam.ServicePrincipal("cloudwatch.amazonaws.com", conditions=ours),
            # EventBridge names neither itself nor the account to SNS and its key: with a condition nothing arrives.
            iam.ServicePrincipal("events.amazonaws.com"),
        ):
            key.grant(service, "kms:Decrypt", "kms:GenerateDataKey*")
        topic = sns.Topic(self, "Topic", enforce_ssl=True, master_key=key)
        # A policy of its own takes the place of the one by which everything in the account may publish.
        topic.grant_publish(iam.ServicePrincipal("cloudwatch.amazonaws.com", conditions=ours))
        topic.add_subscription(subscriptions.EmailSubscription(address))
        accept(topic, {"Serverless-SNSRedrivePolicy": "what an e-mail says stands on the dashboard too"})
        return topic
