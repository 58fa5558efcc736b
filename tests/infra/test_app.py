from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from infra.options import ROOT, Encryption, Options
from sluice.errors import BadTask
from sluice.task import task_names

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.conftest import Deployed


def _without_aws() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_", "JSII_"))}


def test_the_app_synthesizes_without_an_account_and_without_a_word(tmp_path: Path) -> None:
    """`python app.py` needs no AWS environment and no Node on the path; it leaves stdout to CDK."""
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={
            **_without_aws(),
            "PATH": str(tmp_path),
            "CDK_OUTDIR": str(tmp_path / "out"),
            "CDK_CONTEXT_JSON": json.dumps({"bundle": "false"}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    template = json.loads((tmp_path / "out" / "Sluice.template.json").read_text(encoding="utf-8"))
    tables = {
        r["Properties"]["TableInput"]["Name"] for r in template["Resources"].values() if "Glue::Table" in r["Type"]
    }
    assert {name.replace("-", "_") for name in task_names(ROOT / "tasks")} < tables


def test_the_outputs_name_what_the_command_line_looks_for(deployed: Deployed) -> None:
    """Buckets, functions and the state machine are found by the stack's outputs."""
    assert set(deployed.template["Outputs"]) == {
        "IncomingBucket",
        "WorkBucket",
        "ResultsBucket",
        "StateMachineArn",
        "StartFunction",
        "SweepFunction",
        "Workgroup",
    }


@pytest.mark.parametrize("pack", ["AwsSolutionsChecks", "ServerlessChecks"])
@pytest.mark.parametrize("encryption", list(Encryption))
def test_cdk_nag_finds_nothing_that_has_no_reason(pack: str, encryption: Encryption, tasks: Path) -> None:
    """Every finding is either mended or acknowledged with a reason where it arises."""
    import cdk_nag

    from infra.app import build

    schedules = [{"task": "mails", "expression": "rate(1 day)"}]
    app = build(tasks=str(tasks), encryption=encryption, alarms=True, schedules=schedules, bundle=False)
    checks = getattr(cdk_nag, pack)(app)
    report = checks.validate_scope(app.node.find_child("Sluice"))
    assert [violation.rule_name for violation in report.violations] == []


def test_cdk_nag_would_find_something(tasks: Path) -> None:
    """The check above looks: a bucket without any care is found."""
    import aws_cdk as cdk
    import cdk_nag
    from aws_cdk import aws_s3 as s3

    app = cdk.App()
    s3.Bucket(cdk.Stack(app, "Careless"), "Bucket")
    assert cdk_nag.AwsSolutionsChecks(app).validate_scope(app).violations


def test_a_wildcard_without_a_reason_is_refused() -> None:
    """Nobody grants more than one thing without saying why."""
    import aws_cdk as cdk
    from aws_cdk import aws_iam as iam

    from infra.permissions import allow

    role = iam.Role(cdk.Stack(), "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    with pytest.raises(ValueError, match="say why"):
        allow(role, ["s3:GetObject"], ["*"])


def test_the_command_lines_text_becomes_options() -> None:
    """`-c name=value` gives text where cdk.json has lists, numbers and booleans."""
    options = Options.model_validate(
        {
            "bundle": "false",
            "keep_runs_days": "30",
            "encryption": "kms",
            "sluice": '{"max_workers": 5}',
            "schedules": '[{"task": "mails", "expression": "rate(1 day)"}]',
        }
    )
    assert (options.bundle, options.keep_runs_days, options.encryption) == (False, 30, Encryption.KMS)
    assert options.sluice.max_workers == 5
    assert options.schedules[0].task == "mails"


def test_a_wrong_option_is_named() -> None:
    """A typo in a setting stops the synthesis with the setting's name."""
    with pytest.raises(ValidationError, match="max_wrokers"):
        Options.model_validate({"sluice": {"max_wrokers": 5}})


def test_every_option_stands_in_cdk_json() -> None:
    """The file shows all that can be set, with the values that are used without it."""
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    own = {name: value for name, value in context.items() if not name.startswith("@")}
    assert set(own) == set(Options.model_fields) - {"bundle"}
    assert Options.model_validate(own) == Options()


def test_a_task_with_a_mistake_is_not_deployed(tmp_path: Path) -> None:
    """Better now than in a run."""
    from infra.tasks import Tasks

    (tmp_path / "mails.yaml").write_text("name: mails\n", encoding="utf-8")
    with pytest.raises(BadTask):
        Tasks.load(tmp_path)


def test_models_come_from_tasks_default_tiers_and_options(tasks: Path) -> None:
    """Short names and profiles become the ids of the models behind them; the user's own profiles stay ARNs."""
    from infra.tasks import Tasks

    own = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc"
    system = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0"
    assert Tasks.load(tasks).model_ids([own, system]) == [
        "amazon.nova-lite-v1:0",
        "amazon.nova-micro-v1:0",
        "amazon.nova-pro-v1:0",
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        own,
    ]
