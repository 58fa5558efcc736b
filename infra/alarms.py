"""The alarms of a deployment: what each watches, what it means, what to do. docs/operations.md says more of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from sluice.aws.metrics import NAMESPACE, OF_ALL, Measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_cdk import aws_sqs as sqs
    from aws_cdk import aws_stepfunctions as sfn

    from infra.options import Thresholds

RUNBOOK = "docs/operations.md"
PERIOD = Duration.minutes(5)
# Old jobs are looked at every ten minutes: shorter, and the alarm would come and go between two looks.
LOOKS = Duration.minutes(15)
# Between runs there is nothing to report.
FINE = cloudwatch.TreatMissingData.NOT_BREACHING
# What is told every minute, and is not, is itself the trouble.
TROUBLE = cloudwatch.TreatMissingData.BREACHING


@dataclass(frozen=True)
class Watched:
    """What the alarms look at."""

    environment: str
    machine: sfn.IStateMachine
    lost: sqs.IQueue


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One thing that somebody should do something about: when it goes off, and the first thing to do then.

    `when` may name thresholds in braces. The alarm goes off at `threshold` or above, after so many `periods` of it.
    """

    id: str
    when: str
    act: str
    metric: Callable[[Watched], cloudwatch.IMetric]
    threshold: Callable[[Thresholds], float] = lambda _: 1
    periods: int = 1
    silence: cloudwatch.TreatMissingData = FINE

    @property
    def anchor(self) -> str:
        """Its section in the runbook: job-waiting for JobWaiting."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", self.id).lower()

    def reason(self, thresholds: Thresholds) -> str:
        """When it goes off, with the figures of a deployment."""
        return self.when.format(**thresholds.model_dump())

    def description(self, thresholds: Thresholds) -> str:
        """What its e-mail says."""
        return f"{self.reason(thresholds)} {self.act} {RUNBOOK}#{self.anchor}"


def measured(measure: Measure, statistic: str, period: Duration = PERIOD) -> Callable[[Watched], cloudwatch.IMetric]:
    """Watch a metric over all tasks of the environment, those that are not deployed with the stack among them."""
    assert OF_ALL in measure.kind.dimension_sets, f"{measure} is not measured for the whole environment"

    def metric(watched: Watched) -> cloudwatch.IMetric:
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=measure.value,
            dimensions_map={"environment": watched.environment},
            statistic=statistic,
            period=period,
        )

    return metric


def _failed_runs(watched: Watched) -> cloudwatch.IMetric:
    failed, timed_out = watched.machine.metric_failed(), watched.machine.metric_timed_out()
    return cloudwatch.MathExpression(
        # Without FILL a metric that has no data in a period would leave the sum without data.
        expression="FILL(failed, 0) + FILL(slow, 0)",
        using_metrics={"failed": failed, "slow": timed_out},
        label="failed runs",
        period=PERIOD,
    )


def _lost_events(watched: Watched) -> cloudwatch.IMetric:
    return watched.lost.metric_approximate_number_of_messages_visible(period=PERIOD, statistic="max")


ALARMS = (
    Alarm(
        id="RunFailed",
        when="A run failed or timed out, and nothing of it was published; or no row of it was accepted.",
        act="See why with sluice runs, mend it, and go on with sluice resume: what was bought is kept.",
        metric=_failed_runs,
    ),
    Alarm(
        id="UnresolvedHigh",
        when="A run left {unresolved_share:.0%} of its rows or more without a label.",
        act="See the reasons in its report before anybody uses the labels.",
        metric=measured(Measure.UNRESOLVED_SHARE, "max"),
        threshold=lambda thresholds: thresholds.unresolved_share,
    ),
    Alarm(
        id="EscalationHigh",
        when="A tier passed {escalation_share:.0%} of a run's records or more on to the next, dearer one.",
        act="See in its report which gate they fail, and mend the task before the next large run.",
        metric=measured(Measure.ESCALATION_SHARE, "max"),
        threshold=lambda thresholds: thresholds.escalation_share,
    ),
    Alarm(
        id="BudgetReached",
        when="A run's budget kept records from being sent; their rows are unresolved.",
        act="Go on with sluice resume --max-usd, or leave it at that.",
        metric=measured(Measure.BUDGET_REACHED, "sum"),
    ),
    Alarm(
        id="AuditAlarm",
        when="The audits of a task's runs show that more labels of its cheaper tiers differ than its at_most allows.",
        act="See Audit in its report, and hold these labels back until you know why.",
        metric=measured(Measure.AUDIT_ALARM, "sum"),
    ),
    Alarm(
        id="JobWaiting",
        when="Bedrock has let a batch job wait for its turn for {waiting_hours:g} hours or more.",
        act="Wait, or send the work on demand or to another model.",
        metric=measured(Measure.JOB_WAIT_SECONDS, "max", LOOKS),
        threshold=lambda thresholds: thresholds.waiting_hours * 3600,
    ),
    Alarm(
        id="CallsThrottled",
        when="All calls on demand of a job have been throttled for a quarter of an hour or more.",
        act="Ask sluice doctor for the account's quotas on demand, and AWS for more; or send the tier in batch.",
        metric=measured(Measure.THROTTLED_SECONDS, "max", LOOKS),
        threshold=lambda _thresholds: 900,
    ),
    Alarm(
        id="ObjectsRefused",
        when="Objects were dropped that no run can read.",
        act="Read the notices in the work bucket, mend the objects or the task, and submit them.",
        metric=measured(Measure.OBJECTS_REFUSED, "sum"),
    ),
    Alarm(
        id="IntakeStuck",
        when="What was dropped and is due has waited for {overdue_minutes:g} minutes or more, or nobody looks for it.",
        act="See whether a limit holds it up, then the log of the function start.",
        metric=measured(Measure.OVERDUE_SECONDS, "max"),
        threshold=lambda thresholds: thresholds.overdue_minutes * 60,
        periods=3,
        silence=TROUBLE,
    ),
    Alarm(
        id="EventsLost",
        when="An event, a tick or a notification was not handled; it lies in the queue Lost with its cause.",
        act="Read the message, mend the cause, and send it again or purge the queue.",
        metric=_lost_events,
    ),
)
