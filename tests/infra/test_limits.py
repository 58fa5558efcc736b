"""Limits of AWS that no linter sees: the environment of a function, names, patterns of rules."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any, get_args

import pytest

from infra.options import Geography, Options
from infra.permissions import plain
from sluice.aws.bedrock import job_name
from sluice.runs.settings import Settings
from sluice.steps.start import run_id
from tests.infra.conftest import KMS_KEY, Deployed

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_TASK, LONGEST_ENVIRONMENT = "t" * 48, "e" * 20
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
ENVIRONMENT_BYTES = 4096
REFERENCE = "x" * 256  # no ARN and no name of a bucket that the template refers to is so long
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
PATTERN_BYTES = 2048
# Longest names and texts, by type and property, from CloudFormation's reference of each.
LONGEST = {
    ("AWS::Athena::NamedQuery", "Name"): 128,
    ("AWS::Athena::NamedQuery", "Description"): 1024,
    ("AWS::Athena::WorkGroup", "Name"): 128,
    ("AWS::CloudWatch::Alarm", "AlarmDescription"): 1024,
    ("AWS::Logs::LogGroup", "LogGroupName"): 512,
    ("AWS::Scheduler::Schedule", "Description"): 512,
}
# What would clash or be too long if it were not CloudFormation that names it.
NAMED_BY_AWS = {
    "AWS::IAM::Role": "RoleName",
    "AWS::KMS::Key": "KeyId",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::Scheduler::Schedule": "Name",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}


@pytest.fixture(scope="module")
def longest(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """A stack of the longest names, with many prefixes of one bucket."""
    from infra.app import synthesize

    folder = tmp_path_factory.mktemp("tasks")
    text = f"name: {LONGEST_TASK}\ninput: {{text: body}}\nlabels: [a, b]\ntrigger: {{schedule: rate(1 day)}}\n"
    (folder / f"{LONGEST_TASK}.yaml").write_text(text, encoding="utf-8")
    prefixes = [f"{'p' * 300}{number}/" for number in range(12)]
    sources = [{"bucket": "b" * 63, "prefix": prefix, "task": LONGEST_TASK} for prefix in prefixes]
    return Deployed(synthesize(tasks=str(folder), environment=LONGEST_ENVIRONMENT, source_buckets=sources))


def test_no_settings_fill_the_environment_of_a_function(encrypted: Deployed) -> None:
    """4 KB in all: every setting at its longest, every geography, and names as long as names can be."""
    written = dict.fromkeys(Settings.model_fields, "9" * 25)  # longer than any float or allowed integer
    geographies = Options.parse({"geographies": [*get_args(Geography), *get_args(Geography)]}).geographies
    given = {"SLUICE_SETTINGS": json.dumps(written), "SLUICE_GEOGRAPHIES": ",".join(geographies)}
    for step, function in encrypted.functions.items():
        own = function["Environment"]["Variables"] | (given if step == "start" else {})
        total = sum(len(name) + len(value if isinstance(value, str) else REFERENCE) for name, value in own.items())
        assert total < ENVIRONMENT_BYTES, step


def test_the_longest_names_fit(longest: Deployed) -> None:
    """What the template names itself is short enough, and the rest CloudFormation names, within each limit."""
    for (kind, name), most in LONGEST.items():
        for properties in longest.of_type(kind).values():
            assert len(plain(properties.get(name, ""))) <= most, (kind, name)
    for kind, name in NAMED_BY_AWS.items():
        assert all(name not in properties for properties in longest.of_type(kind).values()), kind
    names = [table["TableInput"]["Name"] for table in longest.of_type("AWS::Glue::Table").values()]
    assert max(map(len, names)) <= 255


def test_the_longest_names_of_runs_and_jobs_fit() -> None:
    """An execution has 80 characters, a batch job of Bedrock 63: a thousand rounds of the longest task fit."""
    run = run_id(LONGEST_TASK, dt.datetime(2026, 11, 28, tzinfo=dt.UTC))
    assert len(f"{run}-999") <= 80
    assert len(job_name(run, 999, 99_999)) <= 63


def test_a_rule_has_room_for_its_pattern(longest: Deployed) -> None:
    """Prefixes of a bucket are parted among rules, none left out and none said twice."""
    patterns: list[dict[str, Any]] = [rule["EventPattern"] for rule in longest.of_type("AWS::Events::Rule").values()]
    assert all(len(json.dumps(pattern).encode()) <= PATTERN_BYTES for pattern in patterns)
    ours = [pattern["detail"] for pattern in patterns if pattern["detail"].get("bucket") == {"name": ["b" * 63]}]
    prefixes = [key["prefix"] for detail in ours for key in detail["object"]["key"]]
    assert len(ours) > 1
    assert sorted(prefixes) == sorted({f"{'p' * 300}{number}/" for number in range(12)})


def test_the_longest_prefix_fits_into_a_rule(tasks: Path) -> None:
    """Alone in it, with the longest name of a bucket; an option allows no longer one."""
    from infra.app import synthesize

    source = {"bucket": "b" * 63, "prefix": "p" * 512, "task": "mails", "kms_key": KMS_KEY}
    rules = Deployed(synthesize(tasks=str(tasks), source_buckets=[source])).of_type("AWS::Events::Rule")
    assert all(len(json.dumps(rule["EventPattern"]).encode()) <= PATTERN_BYTES for rule in rules.values())
