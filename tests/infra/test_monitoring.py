from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.infra.conftest import Deployed


def test_there_is_an_alarm_for_each_thing_to_act_on(deployed: Deployed) -> None:
    """Failed runs, lost events and every step's errors; silence between runs is fine."""
    alarms = deployed.of_type("AWS::CloudWatch::Alarm")
    assert len(alarms) == 2 + len(deployed.functions)
    for alarm in alarms.values():
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["AlarmDescription"]
        assert "AlarmActions" not in alarm
    _, failed = deployed.the("AWS::CloudWatch::Alarm", "MonitoringRunsFailed")
    names = {m["MetricStat"]["Metric"]["MetricName"] for m in failed["Metrics"] if "MetricStat" in m}
    assert names == {"ExecutionsFailed", "ExecutionsTimedOut"}


def test_alarms_notify_a_topic_where_one_is_asked_for(encrypted: Deployed) -> None:
    """CloudWatch can write to the encrypted topic, since it may use the topic's key."""
    topic, properties = encrypted.the("AWS::SNS::Topic")
    for alarm in encrypted.of_type("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == [{"Ref": topic}]
    key, policy = encrypted.the("AWS::KMS::Key", "MonitoringTopicKey")
    assert properties["KmsMasterKeyId"] == {"Fn::GetAtt": [key, "Arn"]}
    services = [s["Principal"].get("Service") for s in policy["KeyPolicy"]["Statement"]]
    assert "cloudwatch.amazonaws.com" in services


def test_there_is_one_dashboard(deployed: Deployed) -> None:
    """One place to look at."""
    deployed.the("AWS::CloudWatch::Dashboard")
