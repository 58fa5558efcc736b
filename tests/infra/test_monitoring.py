from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from infra.alarms import ALARMS, Alarm
from infra.options import ROOT, Options, Thresholds
from infra.permissions import plain
from sluice.aws.metrics import NAMESPACE, Measure
from sluice.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.infra.conftest import Deployed

SEARCH = re.compile(r"SEARCH\('\{([^}]+)\} MetricName=\"(\w+)\" environment=\"([a-z0-9-]+)\"', '(Sum|Maximum)'\)")
WIDTH = 24


def _alarm(deployed: Deployed, name: str) -> dict[str, Any]:
    return deployed.the("AWS::CloudWatch::Alarm", f"Monitoring{name}")[1]


def _dashboard(deployed: Deployed) -> dict[str, Any]:
    _, properties = deployed.the("AWS::CloudWatch::Dashboard")
    body: dict[str, Any] = json.loads(plain(properties["DashboardBody"]))
    return body


def _graphs(deployed: Deployed) -> dict[str, list[Any]]:
    """The metrics of each graph by its title."""
    widgets = [widget["properties"] for widget in _dashboard(deployed)["widgets"] if widget["type"] == "metric"]
    return {properties["title"]: properties["metrics"] for properties in widgets}


def _measured(deployed: Deployed) -> Iterator[tuple[str, set[str], str]]:
    """Each of our own metrics that an alarm or a graph looks at: its name, its dimensions, the environment."""
    for alarm in deployed.of_type("AWS::CloudWatch::Alarm").values():
        if alarm.get("Namespace") == NAMESPACE:
            given = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
            yield alarm["MetricName"], set(given), given["environment"]
    for metrics in _graphs(deployed).values():
        for metric in metrics:
            if isinstance(metric[0], dict):
                for schema, name, environment, _ in SEARCH.findall(metric[0]["expression"]):
                    namespace, *dimensions = schema.split(",")
                    assert namespace == NAMESPACE
                    yield name, set(dimensions), environment
            elif metric[0] == NAMESPACE:
                yield metric[1], {metric[2]}, metric[3]


@pytest.mark.parametrize("stack", ["deployed", "staging"])
def test_what_is_watched_is_what_is_measured(stack: str, request: pytest.FixtureRequest) -> None:
    """Every metric that is looked at is sent by some step, with these dimensions and in this environment; and all are
    looked at."""
    deployed: Deployed = request.getfixturevalue(stack)
    [name] = {f["Environment"]["Variables"]["SLUICE_ENVIRONMENT"] for f in deployed.functions.values()}
    found = list(_measured(deployed))
    for metric, dimensions, environment in found:
        assert dimensions in [set(names) for names in Measure(metric).kind.dimension_sets], metric
        assert environment == name
    unseen = set(Measure) - {Measure(metric) for metric, _, _ in found}
    assert unseen == {Measure.RECORDS_ESCALATED}  # its share is


def test_there_is_an_alarm_for_each_thing_to_act_on(deployed: Deployed) -> None:
    """Each says what is the matter and where to read on."""
    alarms = deployed.of_type("AWS::CloudWatch::Alarm")
    assert len(alarms) == len(ALARMS)
    for alarm in ALARMS:
        text = _alarm(deployed, alarm.id)["AlarmDescription"]
        assert text.startswith("Sluice, prod: ")
        assert text.endswith(f" docs/operations.md#{alarm.anchor}")
        assert "{" not in text
        assert len(text) <= 1024  # CloudWatch's limit


@pytest.mark.parametrize("alarm", ALARMS, ids=[alarm.id for alarm in ALARMS])
def test_the_runbook_has_a_section_for_each_alarm(alarm: Alarm) -> None:
    """Under the anchor that the alarm's e-mail names."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    anchors = [heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    assert anchors.count(alarm.anchor) == 1
    assert "approval-needed" in anchors


@pytest.mark.parametrize(
    ("name", "metric", "statistic", "threshold"),
    [
        ("UnresolvedHigh", "UnresolvedShare", "Maximum", 0.1),
        ("EscalationHigh", "EscalationShare", "Maximum", 0.5),
        ("BudgetReached", "BudgetReached", "Sum", 1),
        ("AuditAlarm", "AuditAlarm", "Sum", 1),
        ("JobWaiting", "JobWaitSeconds", "Maximum", 12 * 3600),
        ("CallsThrottled", "ThrottledSeconds", "Maximum", 900),
        ("ObjectsRefused", "ObjectsRefused", "Sum", 1),
        ("IntakeStuck", "OverdueSeconds", "Maximum", 3600),
        ("EventsLost", "ApproximateNumberOfMessagesVisible", "Maximum", 1),
    ],
)
def test_an_alarm_watches_its_metric(
    deployed: Deployed, name: str, metric: str, statistic: str, threshold: float
) -> None:
    """With the thresholds of an untouched cdk.json."""
    alarm = _alarm(deployed, name)
    found = (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"], alarm["ComparisonOperator"])
    assert found == (metric, statistic, threshold, "GreaterThanOrEqualToThreshold")


def test_failed_runs_are_those_that_ended_without_results(deployed: Deployed) -> None:
    """Failed and timed out; a run that somebody stopped is no alarm."""
    failed = _alarm(deployed, "RunFailed")
    names = {m["MetricStat"]["Metric"]["MetricName"] for m in failed["Metrics"] if "MetricStat" in m}
    assert names == {"ExecutionsFailed", "ExecutionsTimedOut"}


def test_silence_is_fine_but_for_what_is_told_every_minute(deployed: Deployed) -> None:
    """Between runs there is nothing to tell; an intake that tells nothing has stopped."""
    silence = {alarm.id: _alarm(deployed, alarm.id)["TreatMissingData"] for alarm in ALARMS}
    assert {id_ for id_, treated in silence.items() if treated == "breaching"} == {"IntakeStuck"}
    assert set(silence.values()) == {"breaching", "notBreaching"}
    assert _alarm(deployed, "IntakeStuck")["EvaluationPeriods"] == 3


def test_a_waiting_job_is_looked_at_more_often_than_its_alarm_looks() -> None:
    """Else the alarm would end between two looks."""
    from infra.alarms import LOOKS

    assert LOOKS.to_seconds() > Options().sluice.poll_seconds_max


def test_thresholds_are_options(tasks: Any) -> None:
    """They change the alarms and what the alarms say."""
    from infra.app import synthesize
    from tests.infra.conftest import Deployed as Stack

    alarms = {"unresolved_share": 0.02, "waiting_hours": 6}
    stack = Stack(synthesize(tasks=str(tasks), alarms=json.dumps(alarms)))
    assert _alarm(stack, "UnresolvedHigh")["Threshold"] == 0.02
    assert "2% of its rows" in _alarm(stack, "UnresolvedHigh")["AlarmDescription"]
    assert _alarm(stack, "JobWaiting")["Threshold"] == 6 * 3600
    assert _alarm(stack, "EscalationHigh")["Threshold"] == Thresholds().escalation_share


@pytest.mark.parametrize(
    ("alarms", "said"),
    [
        ({"unresolved_share": 2}, r"alarms.unresolved_share = 2 is not allowed"),
        ({"unresolved": 0.1}, r"alarms.unresolved is no option; there are: unresolved_share"),
    ],
)
def test_a_wrong_threshold_is_named(alarms: dict[str, Any], said: str) -> None:
    """Before the deployment, with what is allowed."""
    with pytest.raises(BadSetting, match=said):
        Options.parse({"alarms": alarms})


def test_without_an_address_nobody_is_told(deployed: Deployed) -> None:
    """The alarms are on the dashboard; there is no topic, no key for it and no rule."""
    for kind in ("AWS::SNS::Topic", "AWS::SNS::Subscription", "AWS::KMS::Key"):
        assert not deployed.of_type(kind)
    assert not [id_ for id_ in deployed.of_type("AWS::Events::Rule") if id_.startswith("Monitoring")]
    assert not [alarm for alarm in deployed.of_type("AWS::CloudWatch::Alarm").values() if "AlarmActions" in alarm]


def test_alarms_and_notices_go_to_the_address(encrypted: Deployed) -> None:
    """By one topic, to which every alarm writes."""
    topic, _ = encrypted.the("AWS::SNS::Topic")
    _, subscription = encrypted.the("AWS::SNS::Subscription")
    assert subscription == {"Endpoint": "ops@example.com", "Protocol": "email", "TopicArn": {"Ref": topic}}
    for alarm in encrypted.of_type("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == [{"Ref": topic}]


def _who(statements: list[dict[str, Any]], action: str) -> dict[str, Any]:
    """The services that a policy allows something, each with its conditions."""
    allowed = [s for s in statements if s["Effect"] == "Allow" and action in s["Action"]]
    return {s["Principal"]["Service"]: s.get("Condition") for s in allowed if "Service" in s["Principal"]}


def test_both_services_may_write_to_the_topic_and_use_its_key(encrypted: Deployed) -> None:
    """A topic with a policy is closed to alarms too; EventBridge cannot meet a condition here, CloudWatch can."""
    ours = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    both = {"cloudwatch.amazonaws.com": ours, "events.amazonaws.com": None}
    _, policy = encrypted.the("AWS::SNS::TopicPolicy")
    assert _who(policy["PolicyDocument"]["Statement"], "sns:Publish") == both
    key, properties = encrypted.the("AWS::KMS::Key", "MonitoringTopicKey")
    assert _who(properties["KeyPolicy"]["Statement"], "kms:GenerateDataKey*") == both
    _, topic = encrypted.the("AWS::SNS::Topic")
    assert topic["KmsMasterKeyId"] == {"Fn::GetAtt": [key, "Arn"]}


def _notice(deployed: Deployed, name: str) -> tuple[dict[str, Any], str]:
    """What a rule matches, and the e-mail that it becomes."""
    _, rule = deployed.the("AWS::Events::Rule", f"Monitoring{name}")
    [target] = rule["Targets"]
    [queue] = deployed.of_type("AWS::SQS::Queue")
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": [queue, "Arn"]}}
    transformer = target["InputTransformer"]
    text = json.loads(plain(transformer["InputTemplate"]))
    for variable, path in transformer["InputPathsMap"].items():
        text = text.replace(f"<{variable}>", path)
    return rule["EventPattern"], text


def test_a_failed_run_is_named(encrypted: Deployed) -> None:
    """The alarm can only say that there is one. A run that somebody stopped is no failure."""
    pattern, text = _notice(encrypted, "Failed")
    machine, _ = encrypted.the("AWS::StepFunctions::StateMachine")
    assert pattern["detail"] == {"stateMachineArn": [{"Ref": machine}], "status": ["FAILED", "TIMED_OUT"]}
    assert text == ("Sluice, prod: the run's execution $.detail.name is $.detail.status. docs/operations.md#run-failed")


def test_a_run_that_waits_for_an_approval_is_named_with_its_cost(encrypted: Deployed) -> None:
    """Of this environment alone, since all environments share the bus."""
    pattern, text = _notice(encrypted, "Approval")
    assert pattern == {
        "source": ["sluice"],
        "detail-type": ["Sluice Approval Needed"],
        "detail": {"environment": ["prod"]},
    }
    assert "$.detail.ceiling_usd USD" in text
    assert "sluice approve $.detail.run_id --env prod" in text


def test_the_dashboard_is_a_valid_one(deployed: Deployed) -> None:
    """CloudWatch refuses a body that is no JSON, and widgets beyond its 24 columns or over each other."""
    widgets = _dashboard(deployed)["widgets"]
    taken: set[tuple[int, int]] = set()
    for widget in widgets:
        assert widget["type"] in {"metric", "text", "alarm"}
        columns, lines = (
            range(widget[at], widget[at] + widget[size]) for at, size in (("x", "width"), ("y", "height"))
        )
        cells = {(x, y) for x in columns for y in lines}
        assert max(columns) < WIDTH
        assert not cells & taken
        taken |= cells
    assert len(widgets) <= 500


def test_the_dashboard_shows_what_an_operator_asks_first(deployed: Deployed) -> None:
    """Runs, rows, tiers, costs, waiting, intake, failures; and the state of every alarm."""
    assert list(_graphs(deployed)) == [
        "Runs",
        "Rows",
        "Rows in, by task",
        "Share of rows left unresolved",
        "Records sent",
        "Share of records escalated",
        "Cost, USD",
        "Longest wait of a batch job, s",
        "Objects waiting",
        "Longest overdue object, s",
        "Objects refused",
        "Errors of steps",
        "Throttled calls of steps",
        "Longest call of each step, ms",
    ]
    [alarms] = [widget for widget in _dashboard(deployed)["widgets"] if widget["type"] == "alarm"]
    assert len(alarms["properties"]["alarms"]) == len(ALARMS)
    for title in ("Throttled calls of steps", "Longest call of each step, ms"):
        assert {metric[-1]["label"] for metric in _graphs(deployed)[title]} == set(deployed.functions)
    failing = {metric[-1]["label"] for metric in _graphs(deployed)["Errors of steps"]}
    assert failing == set(deployed.functions) - {"poll"}


def test_a_look_at_a_job_that_goes_on_is_no_failure(deployed: Deployed, encrypted: Deployed) -> None:
    """Poll says by an error that a job has not ended, so nothing counts the errors of functions as failures."""
    for stack in (deployed, encrypted):
        assert "AWS/Lambda" not in json.dumps(stack.of_type("AWS::CloudWatch::Alarm"))
        assert not stack.of_type("AWS::Logs::MetricFilter")


def test_workflow_and_functions_are_traced(deployed: Deployed) -> None:
    """X-Ray follows a run from its execution into each step."""
    _, machine = deployed.the("AWS::StepFunctions::StateMachine")
    assert machine["TracingConfiguration"] == {"Enabled": True}
    assert {function["TracingConfig"]["Mode"] for function in deployed.functions.values()} == {"Active"}
