"""cfn-lint, which has every Region's schemas of resources, over the templates that people deploy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.infra.conftest import Deployed

# CDK lets each function wait for its role and its policies by name, of which the role is known already.
WRITTEN_BY_CDK = ["W3005"]


def found(template: dict[str, Any]) -> set[str]:
    """What the linter says of a template, in any Region that it knows."""
    from cfnlint import ManualArgs, lint
    from cfnlint.helpers import REGIONS

    every = ManualArgs(regions=list(REGIONS), ignore_checks=WRITTEN_BY_CDK)
    return {f"{match.rule.id} {match.message}" for match in lint(json.dumps(template), config=every)}


@pytest.mark.parametrize("variant", ["untouched", "fullest"])
def test_a_template_fits_the_schemas_of_every_region(request: pytest.FixtureRequest, variant: str) -> None:
    """Properties, values, types of resources, references: nothing that CloudFormation would refuse, or warn of."""
    deployed: Deployed = request.getfixturevalue(variant)
    assert found(deployed.template) == set()


def test_the_linter_does_find_something() -> None:
    """It looks at properties, and at Regions that lack a type of resource."""
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"NoSuchProperty": 1}}
    rare = {"Type": "AWS::Amplify::App", "Properties": {"Name": "somewhere"}}
    said = " ".join(found({"Resources": {"Topic": topic, "Rare": rare}}))
    assert "NoSuchProperty" in said
    assert "AWS::Amplify::App' does not exist in" in said
