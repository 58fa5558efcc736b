"""Requests against botocore's model of the service."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.local.rules import Refused, check_request, fits_pattern

WORK = "s3://work"


def request(**changes: Any) -> dict[str, Any]:
    return {
        "jobName": "tickets-1-0-0",
        "roleArn": "arn:aws:iam::123456789012:role/Bedrock",
        "clientRequestToken": "abc123",
        "modelId": "us.amazon.nova-micro-v1:0",
        "modelInvocationType": "Converse",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"{WORK}/runs/r/in/"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"{WORK}/runs/r/out/"}},
        "timeoutDurationInHours": 24,
    } | changes


def place(uri: str) -> dict[str, Any]:
    return {"s3InputDataConfig": {"s3Uri": uri}}


@pytest.mark.parametrize(
    "changes",
    [
        {"modelId": "amazon.nova-micro-v1:0"},
        {"modelId": "us.anthropic.claude-haiku-4-5-20251001-v1:0"},
        {"modelId": "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-micro-v1:0"},
        {"timeoutDurationInHours": 168},
        {"inputDataConfig": place(f"{WORK}/runs/r/in/part-0.jsonl")},
    ],
)
def test_a_good_request_passes(changes: dict[str, Any]) -> None:
    """Models by id, profile and ARN; a file or a prefix."""
    check_request("bedrock", "CreateModelInvocationJob", request(**changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"jobName": "a_b"}, "jobName"),
        ({"jobName": "a/b"}, "jobName"),
        ({"jobName": "a" * 64}, "jobName"),
        ({"jobName": None}, "jobName"),
        ({"clientRequestToken": "a_b"}, "clientRequestToken"),
        ({"timeoutDurationInHours": 1}, "timeoutDurationInHours"),
        ({"timeoutDurationInHours": 169}, "timeoutDurationInHours"),
        ({"timeoutDurationInHours": "24"}, "timeoutDurationInHours"),
        ({"modelInvocationType": "converse"}, "modelInvocationType"),
        ({"roleArn": "Bedrock"}, "roleArn"),
        ({"inputDataConfig": place(f"{WORK}/run=1/in/")}, "s3Uri"),
        ({"inputDataConfig": place(f"{WORK}/a b/in/")}, "s3Uri"),
        ({"inputDataConfig": place(f"{WORK}//in/")}, "s3Uri"),
        ({"inputDataConfig": place(f"{WORK}/a:b/")}, "s3Uri"),
        ({"inputDataConfig": place(f"{WORK}/a+b/")}, "s3Uri"),
        ({"inputDataConfig": {}}, "inputDataConfig"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_bad_request_is_refused(changes: dict[str, Any], named: str) -> None:
    """With the member's name, and all of it before a job exists."""
    with pytest.raises(Refused, match=named) as refused:
        check_request("bedrock", "CreateModelInvocationJob", request(**changes))
    assert refused.value.code == "ValidationException"


def test_all_problems_are_told_at_once() -> None:
    """Their number stands in front."""
    with pytest.raises(Refused, match="2 validation errors detected"):
        check_request("bedrock", "CreateModelInvocationJob", request(jobName="a_b", timeoutDurationInHours=1))


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "named"),
    [
        ("s3", "PutObject", {"Bucket": "work", "Key": "", "Body": b""}, "Key"),
        ("s3", "PutObject", {"Bucket": "work", "Key": "k", "Metadata": {"a": 1}}, "Metadata.a.value"),
        ("stepfunctions", "StartExecution", {"stateMachineArn": "arn:x", "name": "n" * 81}, "name"),
        ("events", "PutEvents", {"Entries": [{"Source": "s"}] * 11}, "Entries"),
        ("bedrock-runtime", "Converse", {"modelId": "m", "inferenceConfig": {"temperature": 2}}, "temperature"),
        ("lambda", "GetAccountSettings", {"Surprise": True}, "Surprise"),
    ],
)
def test_every_type_of_a_parameter_is_looked_at(
    service: str, operation: str, parameters: dict[str, Any], named: str
) -> None:
    """Texts, lists, maps, numbers: by the model of whatever service is called."""
    with pytest.raises(Refused, match=named):
        check_request(service, operation, parameters)


def test_what_the_client_fills_in_may_be_missing() -> None:
    """botocore makes idempotency tokens itself."""
    check_request("athena", "StartQueryExecution", {"QueryString": "select 1"})


def test_a_pattern_in_another_dialect_lets_everything_pass() -> None:
    """A class that Python does not know is no reason to refuse a good call."""
    assert fits_pattern(r"[\p{L}]+", "é")
    assert not fits_pattern("[a-z]+", "é")
