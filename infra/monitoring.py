"""What to look at: one dashboard, and an alarm for each thing that somebody should do something about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.permissions import accept

if TYPE_CHECKING:
    from aws_cdk import aws_sqs as sqs
    from aws_cdk import aws_stepfunctions as sfn

    from infra.functions import Functions

PERIOD = Duration.minutes(5)


class Monitoring(Construct):
    """The dashboard, the alarms and, with an address to `notify`, the topic that they write to."""

    def __init__(self, scope: Construct, id_: str, *, notify: str | None) -> None:
        super().__init__(scope, id_)
        self.topic = self._topic(notify) if notify else None
        self.dashboard = cloudwatch.Dashboard(self, "Dashboard", default_interval=Duration.days(7))

    def watch(self, *, machine: sfn.IStateMachine, functions: Functions, lost: sqs.IQueue) -> None:
        """Show the runs and the steps, and raise an alarm when a run, a step or an event fails."""
        failed, timed_out = machine.metric_failed(period=PERIOD), machine.metric_timed_out(period=PERIOD)
        errors = {step: function.metric_errors(period=PERIOD, label=step) for step, function in functions.items()}
        waiting = lost.metric_approximate_number_of_messages_visible(period=PERIOD)
        alarms = [
            self._alarm("RunsFailed", _sum(failed, timed_out), "A run ended without results."),
            self._alarm("EventsLost", waiting, "An event was not handled; it lies in the queue with its cause."),
            # One for each step: CloudWatch sums no more than ten metrics in an alarm, and its name says which step.
            *(
                self._alarm(f"{step.capitalize()}Errors", metric, f"The step {step} failed; its run may have gone on.")
                for step, metric in errors.items()
            ),
        ]
        ended = [machine.metric_succeeded(period=PERIOD), machine.metric_aborted(period=PERIOD), failed, timed_out]
        durations = [
            function.metric_duration(period=PERIOD, statistic="max", label=step) for step, function in functions.items()
        ]
        throttles = [function.metric_throttles(period=PERIOD, label=step) for step, function in functions.items()]
        self.dashboard.add_widgets(cloudwatch.AlarmStatusWidget(alarms=alarms, width=24))
        self.dashboard.add_widgets(_graph("Runs", ended), _graph("Errors of steps", list(errors.values())))
        self.dashboard.add_widgets(
            _graph("Longest call of each step, ms", durations), _graph("Throttled calls of steps", throttles)
        )

    def _alarm(self, id_: str, metric: cloudwatch.IMetric, description: str) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            id_,
            metric=metric,
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            # Between runs there is nothing to report.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=description,
        )
        if self.topic:
            alarm.add_alarm_action(actions.SnsAction(self.topic))
        return alarm

    def _topic(self, address: str) -> sns.Topic:
        """Make the topic with a key of its own: CloudWatch may not use the one that AWS manages for SNS."""
        key = kms.Key(self, "TopicKey", enable_key_rotation=True)
        ours = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        alarms = iam.ServicePrincipal("cloudwatch.amazonaws.com", conditions=ours)
        key.grant(alarms, "kms:Decrypt", "kms:GenerateDataKey*")
        topic = sns.Topic(self, "Topic", enforce_ssl=True, master_key=key)
        topic.add_subscription(subscriptions.EmailSubscription(address))
        accept(topic, {"Serverless-SNSRedrivePolicy": "what an e-mail says stands on the dashboard too"})
        return topic


def _sum(first: cloudwatch.Metric, second: cloudwatch.Metric) -> cloudwatch.MathExpression:
    # Without FILL a metric that has no data in a period would leave the sum without data.
    metrics: dict[str, cloudwatch.IMetric] = {"m1": first, "m2": second}
    return cloudwatch.MathExpression(expression="FILL(m1, 0) + FILL(m2, 0)", using_metrics=metrics, period=PERIOD)


def _graph(title: str, metrics: list[cloudwatch.Metric]) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=12)
