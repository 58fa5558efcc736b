"""The dashboard: how the runs, the rows, the tiers, the costs and the intake of an environment have been doing.

Graphs by task find their metrics by searching, so that they show the tasks that came without a deployment too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.alarms import RUNBOOK
from sluice.aws.metrics import NAMESPACE, OF_TASK, OF_TIER, Measure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.alarms import Watched
    from infra.functions import Functions

HOUR = Duration.hours(1)
PERIOD = Duration.minutes(5)
WHOLE, HALF, THIRD = 24, 12, 8
BY_TASK, BY_TIER = "${PROP('Dim.task')}", "${PROP('Dim.task')}, tier ${PROP('Dim.tier')}"


def rows(
    watched: Watched, functions: Functions, alarms: Sequence[cloudwatch.IAlarm]
) -> Iterator[list[cloudwatch.IWidget]]:
    """The rows of the dashboard, the most pressing first."""
    title = f"# Sluice, environment {watched.environment}\nWhat an alarm means and what to do: `{RUNBOOK}`."
    yield [cloudwatch.TextWidget(markdown=title, width=WHOLE, height=2)]
    yield [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=WHOLE)]
    yield [_graph("Runs", _runs(watched)), _graph("Rows", _sums(watched))]
    yield [
        _graph("Rows in, by task", [_search(watched, Measure.ROWS_IN, "Sum", BY_TASK)]),
        _graph("Share of rows left unresolved", [_search(watched, Measure.UNRESOLVED_SHARE, "Maximum", BY_TASK)]),
    ]
    yield [
        _graph("Records sent", [_search(watched, Measure.RECORDS_SENT, "Sum", BY_TIER)]),
        _graph("Share of records escalated", [_search(watched, Measure.ESCALATION_SHARE, "Maximum", BY_TIER)]),
    ]
    yield [
        _graph("Cost, USD", [_search(watched, Measure.COST_USD, "Sum", BY_TASK)]),
        _graph("Longest wait of a batch job, s", [_search(watched, Measure.JOB_WAIT_SECONDS, "Maximum", BY_TIER)]),
    ]
    yield [
        _graph("Objects waiting", [_told(watched, Measure.OBJECTS_WAITING, "max")], THIRD),
        _graph("Longest overdue object, s", [_told(watched, Measure.OVERDUE_SECONDS, "max")], THIRD),
        _graph("Objects refused", [_told(watched, Measure.OBJECTS_REFUSED, "sum")], THIRD),
    ]
    steps = functions.items()
    # A look at a job that has not ended is an error of poll, by which the state machine waits.
    failing = [(step, function) for step, function in steps if step != "poll"]
    yield [
        _graph("Errors of steps", [f.metric_errors(period=PERIOD, label=step) for step, f in failing], THIRD),
        _graph("Throttled calls of steps", [f.metric_throttles(period=PERIOD, label=step) for step, f in steps], THIRD),
        _graph(
            "Longest call of each step, ms",
            [f.metric_duration(period=PERIOD, statistic="max", label=step) for step, f in steps],
            THIRD,
        ),
    ]


def _runs(watched: Watched) -> list[cloudwatch.IMetric]:
    machine = watched.machine
    return [
        machine.metric_started(period=HOUR, label="started"),
        machine.metric_succeeded(period=HOUR, label="succeeded"),
        machine.metric_failed(period=HOUR, label="failed"),
        machine.metric_timed_out(period=HOUR, label="timed out"),
        machine.metric_aborted(period=HOUR, label="stopped"),
        _told(watched, Measure.NOTHING_ACCEPTED, "sum"),
        _told(watched, Measure.AUDIT_ALARM, "sum"),
    ]


def _sums(watched: Watched) -> list[cloudwatch.IMetric]:
    """Rows by what came of them, all tasks together."""
    shown = {
        Measure.ROWS_ACCEPTED: "accepted",
        Measure.ROWS_UNRESOLVED: "unresolved",
        Measure.ROWS_REJECTED: "rejected",
    }
    return [
        cloudwatch.MathExpression(expression=f"SUM({_terms(watched, measure, 'Sum')})", label=label, period=HOUR)
        for measure, label in shown.items()
    ]


def _search(watched: Watched, measure: Measure, statistic: str, label: str) -> cloudwatch.IMetric:
    """One line for each task or tier that has the metric."""
    return cloudwatch.SearchExpression(expression=_terms(watched, measure, statistic), label=label, period=HOUR)


def _terms(watched: Watched, measure: Measure, statistic: str) -> str:
    assert measure.kind.dimensions in (OF_TASK, OF_TIER), f"{measure} is not measured by task"
    schema = ",".join((NAMESPACE, *measure.kind.dimensions))
    return f"""SEARCH('{{{schema}}} MetricName="{measure}" environment="{watched.environment}"', '{statistic}')"""


def _told(watched: Watched, measure: Measure, statistic: str) -> cloudwatch.IMetric:
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=measure.value,
        dimensions_map={"environment": watched.environment},
        statistic=statistic,
        period=PERIOD,
    )


def _graph(title: str, metrics: Sequence[cloudwatch.IMetric], width: int = HALF) -> cloudwatch.IWidget:
    axis = cloudwatch.YAxisProps(min=0, show_units=False)
    return cloudwatch.GraphWidget(title=title, left=list(metrics), left_y_axis=axis, width=width)
