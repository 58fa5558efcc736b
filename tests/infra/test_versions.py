"""A deployment while runs are under way: what they began with goes on, and can be called."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from sluice.local.policies import Role
from sluice.local.template import Template
from tests.infra.conftest import Deployed

if TYPE_CHECKING:
    from pathlib import Path

REGION = "eu-west-1"
VERSION = "AWS::Lambda::Version"


@pytest.fixture(scope="module")
def redeployed(tasks: Path) -> Deployed:
    """The stack of `deployed` after a change of what its functions carry."""
    from infra import bundle
    from infra.app import synthesize

    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(bundle, "FORMAT", bundle.FORMAT + 1)
        return Deployed(synthesize(tasks=str(tasks)))


def _called(template: Template) -> set[str]:
    """The functions that the state machine's definition calls."""
    return set(re.findall(r"arn:aws:lambda:[^\"]+", template.workflow().definition))


def _versions(deployed: Deployed) -> dict[str, dict[str, Any]]:
    return {id_: resource for id_, resource in deployed.template["Resources"].items() if resource["Type"] == VERSION}


def test_the_workflow_calls_published_versions(deployed: Deployed) -> None:
    """Not what was deployed last: an execution keeps the code that it began with, however long it takes."""
    called = _called(Template(deployed.template, REGION))
    assert len(called) == 13
    assert all(arn.rsplit(":", 1)[1] == "1" for arn in called)


def test_a_deployment_publishes_new_versions_and_keeps_the_old(deployed: Deployed, redeployed: Deployed) -> None:
    """New code is a new resource, and the old one leaves the template without being deleted."""
    before, after = _versions(deployed), _versions(redeployed)
    assert len(before) == len(after) == 13
    assert not before.keys() & after.keys()
    for resource in before.values():
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_a_changed_task_publishes_nothing(deployed: Deployed, tasks: Path, tmp_path: Path) -> None:
    """A run has its own copy of its task, so only start gets new code; nor does a deployment without any change."""
    from infra.app import synthesize

    (tmp_path / "mails.yaml").write_bytes((tasks / "mails.yaml").read_bytes() + b"description: Changed.\n")
    (tmp_path / "support-tickets.yaml").write_bytes((tasks / "support-tickets.yaml").read_bytes())
    for folder in (tasks, tmp_path):
        assert _versions(Deployed(synthesize(tasks=str(folder)))).keys() == _versions(deployed).keys()


def test_the_next_deployments_role_calls_what_this_one_began(deployed: Deployed, redeployed: Deployed) -> None:
    """An execution under way has the machine's role of today, and calls its functions in any version there ever was."""
    workflow = Template(redeployed.template, REGION).workflow()
    for first in _called(Template(deployed.template, REGION)):
        for version in ("1", "7", "1234"):
            arn = f"{first.rsplit(':', 1)[0]}:{version}"
            assert Role(workflow.statements).allows("lambda:InvokeFunction", arn), arn


def test_the_role_and_the_functions_stay_the_same_ones(deployed: Deployed, redeployed: Deployed) -> None:
    """A version runs under its function's role, so neither may be replaced by a deployment."""
    for kind in ("AWS::IAM::Role", "AWS::Lambda::Function", "AWS::StepFunctions::StateMachine", "AWS::S3::Bucket"):
        assert redeployed.of_type(kind).keys() <= deployed.of_type(kind).keys()
    assert {json.dumps(f["Role"]) for f in redeployed.functions.values()} == {
        json.dumps(f["Role"]) for f in deployed.functions.values()
    }
