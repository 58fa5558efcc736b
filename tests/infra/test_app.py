from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from infra.options import ROOT, Encryption, Options, Removal
from sluice.errors import BadSetting, BadTask
from sluice.task.file import task_names
from sluice.task.triggers import Schedule
from tests.infra.conftest import OWN_KEY, VPC

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.conftest import Deployed


# What changes which resources there are, or which roles they have.
VARIANTS: dict[str, dict[str, Any]] = {
    "as cdk.json declares it": {},
    "with a key and notices": {"encryption": "kms", "notify_email": "ops@example.com"},
    "with somebody's key, in a network": {"encryption": OWN_KEY, "vpc": VPC, "environment": "dev"},
    "with nested tables": {"tables_in": "nested"},
    "gone without a trace": {"encryption": "kms", "removal": "destroy"},
}


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


@pytest.mark.parametrize(("kind", "said"), [("", "the"), ("Tables1A2B.nested", "a nested")])
def test_a_template_that_is_too_large_is_refused(kind: str, said: str, tmp_path: Path) -> None:
    """Before anything is uploaded, with what makes it large."""
    from infra.app import check_templates

    template = tmp_path / f"Sluice{kind}.template.json"
    template.write_bytes(b"{}".ljust(1_000_000))
    check_templates(tmp_path)
    template.write_bytes(b"{}".ljust(1_000_001))
    with pytest.raises(BadSetting, match=rf"tasks: {said} template has 1,000,001 bytes.*input\.keep"):
        check_templates(tmp_path)
    template.write_text(json.dumps({"Resources": {key: {} for key in map(str, range(501))}}), encoding="utf-8")
    with pytest.raises(BadSetting, match=rf"tasks: {said} template has .* and 501 resources.*source_buckets"):
        check_templates(tmp_path)


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


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_cdk_nag_finds_nothing_that_has_no_reason(variant: str, tasks: Path) -> None:
    """Every finding of either pack is mended, or acknowledged with a reason where it arises."""
    import cdk_nag

    from infra.app import build

    sources = [{"bucket": "elsewhere", "prefix": "in/", "task": "mails"}]
    app = build(tasks=str(tasks), source_buckets=sources, bundle=False, **VARIANTS[variant])
    [stack] = app.node.children
    for pack in (cdk_nag.AwsSolutionsChecks, cdk_nag.ServerlessChecks):
        report = pack(app).validate_scope(stack)
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
    options = Options.parse(
        {
            "bundle": "false",
            "keep_runs_days": "30",
            "keep_logs_days": "30",
            "removal": "destroy",
            "vpc": json.dumps(VPC),
            "encryption": "kms",
            "sluice": '{"max_workers": 5}',
            "schedules": '{"mails": "rate(1 day)", "tickets": "off"}',
        }
    )
    assert (options.bundle, options.keep_runs_days, options.encryption) == (False, 30, Encryption.KMS)
    assert options.sluice.max_workers == 5
    assert options.schedules == {"mails": Schedule(schedule="rate(1 day)"), "tickets": "off"}
    assert (options.keep_logs_days, options.removal) == (30, Removal.DESTROY)
    assert options.vpc is not None
    assert options.vpc.subnets == ("subnet-0123456789abcdef0", "subnet-0123456789abcdef1")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("sluice", {"max_wrokers": 5}, "max_wrokers is not a setting; there are: min_records_per_job"),
        ("sluice", {"max_workers": 0}, "greater than or equal to 1"),
        ("sluice", {"min_records_per_job": 9, "max_records_per_job": 8}, "is above max_records_per_job = 8"),
        ("sluice", "{", "the text is no JSON"),
        ("sluice", "[]", "a mapping from settings to values"),
        ("environment", "Prod", "lower-case"),
        ("encryption", "aes", "s3 for S3's own keys, kms for a key that is made"),
        ("encryption", "arn:aws:kms:eu-west-1:123456789012:alias/mine", "not of an alias"),
        ("notify_email", "ops", "one e-mail address"),
        ("keep_runs_days", 29, "greater than or equal to 30"),
        ("keep_logs_days", 91, "input should be 1, 3, 5"),
        ("removal", "delete", "'keep' or 'destroy'"),
        ("geographies", ["europe"], "'us', 'us-gov', 'eu'"),
        ("vpc", {**VPC, "subnets": []}, "at least 1 item"),
        ("vpc", {**VPC, "id": "main"}, "^vpc-"),
        ("vpc", {**VPC, "route_tables": []}, "endpoints need the route tables"),
        ("vpc", {**VPC, "subnet": "subnet-1"}, "vpc.subnet is no option; there are: id, subnets"),
        ("vpc", {"id": VPC["id"]}, "vpc.subnets is missing"),
        ("schedules", {"mails": "daily"}, "schedule = 'daily': should be cron("),
        ("schedules", {"mails": {"schedule": "rate(1 day)", "timezone": "Mars"}}, "should be a time zone"),
        ("source_buckets", [{"bucket": "Not A Bucket", "task": "mails"}], "should match pattern"),
        ("source_buckets", [{"bucket": "elsewhere", "prefix": "*", "task": "mails"}], "should match pattern"),
        ("source_buckets", [{"bucket": "elsewhere", "task": "mails", "keys": 1}], "there are: bucket, prefix, task"),
        ("enviroment", "dev", "enviroment is no option; there are: environment"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(name: str, value: object, allowed: str) -> None:
    """A typo stops the synthesis with the option, what it was and what it may be."""
    with pytest.raises(BadSetting) as raised:
        Options.parse({name: value})
    said = str(raised.value).split("\n")[0]
    assert said.startswith(name)
    assert allowed in said


def test_what_cdk_notes_in_the_context_is_no_option() -> None:
    """Feature flags, look-ups and what CDK's command line remembers stand beside the options; a slip stands out."""
    import aws_cdk as cdk

    flags = {"@aws-cdk/core:checkSecretUsage": True, "aws:cdk:bundling-stacks": ["**"], "cli-telemetry": False}
    app = cdk.App(context={**flags, "acknowledged-issue-numbers": [1], "removal": "destroy"})
    assert Options.of(app.node).removal is Removal.DESTROY
    with pytest.raises(BadSetting, match="keep-runs-days is no option"):
        Options.of(cdk.App(context={"keep-runs-days": 30}).node)


def test_every_wrong_option_is_told_at_once() -> None:
    """Nobody mends five typos in five attempts."""
    with pytest.raises(BadSetting) as raised:
        Options.parse({"encryption": "aes", "removal": "no"})
    assert [line.split(" ")[0] for line in str(raised.value).split("\n")] == ["encryption", "removal"]


def test_a_wrong_option_is_told_without_a_traceback(tmp_path: Path) -> None:
    """CDK's command line shows what the app writes: a sentence, not a stack of calls."""
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**_without_aws(), "CDK_OUTDIR": str(tmp_path), "CDK_CONTEXT_JSON": '{"removal": "no", "bundle": "false"}'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert (
        done.stderr == "This cannot be deployed:\nremoval = 'no' is not allowed: input should be 'keep' or 'destroy'\n"
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"schedules": {"letters": "off"}}, "schedules: there is no task letters; there are: mails"),
        ({"source_buckets": [{"bucket": "abc", "task": "letters"}]}, "source_buckets: there is no task letters"),
    ],
)
def test_an_intake_for_no_task_is_refused(tasks: Path, wrong: dict[str, Any], said: str) -> None:
    """A slip in a task's name would otherwise be noticed when nothing is run."""
    from infra.tasks import Tasks

    with pytest.raises(BadSetting, match=said):
        Tasks.load(tasks).schedules(Options.parse(wrong).intake)


def test_an_alarm_that_could_never_go_off_is_refused(tasks: Path) -> None:
    """A job that Bedrock ends after 24 hours does not wait for 24; and that of a tier on demand waits for nothing."""
    from infra.tasks import Tasks

    found = Tasks.load(tasks)
    found.check_waiting(23.5)
    with pytest.raises(BadSetting, match=r"waiting_hours = 24 is not allowed: .* of the task mails .* after 24 hours"):
        found.check_waiting(24)
    patient = [tier.model_copy(update={"timeout_hours": 48}) for tier in found.tasks[0].tiers]
    patient[-1] = patient[-1].model_copy(update={"transport": "on_demand", "timeout_hours": 24})
    Tasks(tasks, (found.tasks[0].model_copy(update={"tiers": patient}),)).check_waiting(24)


def test_requests_that_would_expire_before_their_job_are_refused(tasks: Path) -> None:
    """A day more than the longest time-out of a task's batch tiers; a tier on demand has none."""
    from infra.tasks import Tasks
    from sluice.runs.settings import Settings

    found = Tasks.load(tasks)
    found.check_kept(Settings())
    patient = [tier.model_copy(update={"timeout_hours": 49}) for tier in found.tasks[0].tiers]
    slow = Tasks(tasks, (found.tasks[0].model_copy(update={"tiers": patient}),))
    said = r"keep_requests_days = 3 is not allowed: a job of the task mails may take 49 hours .* set it to 4 or more"
    with pytest.raises(BadSetting, match=said):
        slow.check_kept(Settings())
    slow.check_kept(Settings(keep_requests_days=4))
    called = [tier.model_copy(update={"transport": "on_demand"}) for tier in patient]
    Tasks(tasks, (found.tasks[0].model_copy(update={"tiers": called}),)).check_kept(Settings())


def test_every_option_stands_in_cdk_json() -> None:
    """The file shows all that can be set, with the values that are used without it."""
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    own = {name: value for name, value in context.items() if not name.startswith("@")}
    assert set(own) == set(Options.model_fields) - {"bundle"}
    assert Options.parse({name: value for name, value in own.items() if value is not None}) == Options()


def test_a_folder_that_is_not_there_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    """A slip in the option `tasks` would otherwise delete every table."""
    from infra.tasks import Tasks

    with pytest.raises(BadSetting, match=r"tasks = .*nowhere' is not allowed: there is no such folder"):
        Tasks.load(tmp_path / "nowhere")
    assert Tasks.load(tmp_path).tasks == ()


def test_a_task_with_a_mistake_is_not_deployed(tmp_path: Path) -> None:
    """Better now than in a run."""
    from infra.tasks import Tasks

    (tmp_path / "mails.yaml").write_text("name: mails\n", encoding="utf-8")
    with pytest.raises(BadTask):
        Tasks.load(tmp_path)


def test_a_task_that_asks_ones_own_server_is_not_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function in AWS reaches no server of a laptop, and its role would allow no such model."""
    from infra.tasks import Tasks

    own = 'models: {my: {openai: {url: "http://localhost:1/v1", model: q}}}'
    (tmp_path / "own.models").write_text(own, encoding="utf-8")
    (tmp_path / "mails.yaml").write_text(
        "name: mails\ninput: {text: t}\nlabels: [a, b]\ntiers: [{model: my}]\n", encoding="utf-8"
    )
    monkeypatch.setenv("SLUICE_MODELS", str(tmp_path / "own.models"))
    with pytest.raises(BadTask, match=r"task mails: tiers.0.model: my has a server of its own"):
        Tasks.load(tmp_path).model_ids()


def test_a_judges_model_may_be_called_like_a_tiers(tmp_path: Path) -> None:
    """Its id is among those that the roles allow."""
    from infra.tasks import Tasks

    judged = "name: mails\ninput: {text: t}\nlabels: [a, b]\ngates: {judge: {model: nova-pro}}\n"
    (tmp_path / "mails.yaml").write_text(judged, encoding="utf-8")
    assert "amazon.nova-pro-v1:0" in Tasks.load(tmp_path).model_ids()


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
