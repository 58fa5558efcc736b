from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from infra.options import Options
from infra.permissions import plain
from sluice.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.infra.conftest import Deployed

# Names inside a resource that no other resource of the account can clash with.
OWN_NAMES = {"AWS::IAM::Policy"}
# Properties that name what they belong to, not what they are about.
NAMES = {"Name", "BucketName", "FunctionName", "RoleName", "LogGroupName", "StateMachineName", "TopicName", "QueueName"}
NAMES |= {"AlarmName", "DashboardName", "AliasName", "ManagedPolicyName", "GroupName"}
# A function's own name; elsewhere the property says which function is meant.
FOREIGN = {"AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Permission", "AWS::Lambda::Version"}


def _given_names(deployed: Deployed) -> Iterator[tuple[str, str]]:
    """Yield type and name of each resource that AWS does not name by itself."""
    for resource in deployed.template["Resources"].values():
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind in OWN_NAMES | FOREIGN:
            continue
        for name in _names(kind, properties):
            yield kind, plain(name)


def _names(kind: str, properties: dict[str, Any]) -> list[Any]:
    match kind:
        case "AWS::Glue::Database":
            return [properties["DatabaseInput"]["Name"]]
        case "AWS::Glue::Table":
            return [f"{plain(properties['DatabaseName'])}.{properties['TableInput']['Name']}"]
        case _:
            return [properties[name] for name in NAMES & properties.keys()]


def test_two_environments_share_no_name(deployed: Deployed, staging: Deployed) -> None:
    """A second environment in the same account and Region touches nothing of the first."""
    first, second = set(_given_names(deployed)), set(_given_names(staging))
    assert {kind for kind, _ in first} >= {"AWS::Glue::Database", "AWS::Glue::Table", "AWS::Athena::WorkGroup"}
    assert {kind for kind, _ in first} >= {"AWS::Logs::LogGroup"}
    assert not first & second
    assert not [output for output in staging.template["Outputs"].values() if "Export" in output]


def test_the_plain_environment_has_the_plain_names(deployed: Deployed, staging: Deployed) -> None:
    """Who has one deployment writes `sluice.tickets` in SQL; another environment says its name, without hyphens."""
    for stack, name in ((deployed, "sluice"), (staging, "sluice_staging_1")):
        _, database = stack.the("AWS::Glue::Database")
        _, workgroup = stack.the("AWS::Athena::WorkGroup")
        assert (database["DatabaseInput"]["Name"], workgroup["Name"]) == (name, name)
        assert {table["DatabaseName"] for table in stack.of_type("AWS::Glue::Table").values()} == {name}


def test_every_function_knows_its_environment(deployed: Deployed, staging: Deployed) -> None:
    """Metrics and messages say where they come from."""
    for stack, name in ((deployed, "prod"), (staging, "staging-1")):
        variables = [function["Environment"]["Variables"] for function in stack.functions.values()]
        assert {found["SLUICE_ENVIRONMENT"] for found in variables} == {name}


@pytest.mark.parametrize("name", ["", "Prod", "1st", "-a", "a_b", "a" * 21, "a b", "prod\n"])
def test_a_name_that_aws_would_refuse_is_refused_at_synthesis(name: str) -> None:
    """The message names the option, the value and what is allowed."""
    with pytest.raises(BadSetting, match=r"environment = .* is not allowed: a lower-case letter"):
        Options.parse({"environment": name})
