"""The roles of the synthesized template over the clients in memory: a step that does what its role may not fails."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from botocore.exceptions import ClientError

from sluice.aws.bedrock import AwsBedrock
from sluice.aws.s3 import Store
from sluice.aws.step_functions import Workflow
from sluice.local.guard import MISSING, Guard
from sluice.local.ledger import Ledger
from sluice.local.policies import Role
from sluice.local.rules import service
from tests.harness.s3 import client_error

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.local.template import Template
    from tests.harness.machine import Machine, MemoryWorkflow

BUCKETS = {
    "incoming": "SLUICE_INCOMING_BUCKET",
    "work": "SLUICE_WORK_BUCKET",
    "results": "SLUICE_RESULTS_BUCKET",
}


@cache
def operations(name: str) -> dict[str, str]:
    """The operations of a service by the names of a client's methods."""
    return {xform_name(operation): operation for operation in service(name).operation_names}


class Roles:
    """Guards of all steps; what is in memory goes by the names that the template has for it."""

    def __init__(self, template: Template, ledgers: Path) -> None:
        functions = {function.step: function for function in template.functions().values()}
        variables = {name: value for one in functions.values() for name, value in one.environment.items()}
        self.names = {here: variables[there] for here, there in BUCKETS.items()}
        self.bedrock = variables["SLUICE_BEDROCK_ROLE_ARN"]
        self.machine = template.workflow().arn
        keys = {bucket.name: bucket.key_arn for bucket in template.buckets().values() if bucket.key_arn}
        self.guards = {
            step: Guard(Role(function.statements, Ledger(lambda: ledgers, step)), keys, template.region)
            for step, function in functions.items()
        }

    def watch(self, machine: Machine) -> None:
        """Put the guard of whatever step runs between the machine's steps and its clients; parts may be tiny."""
        machine.faulty_s3.least_part = 1
        machine.faulty_s3.versioned = frozenset({"incoming"})

        def bucket(name: str) -> Store:
            return Store(watched("s3", machine.s3), name)

        def watched(name: str, client: Any) -> Any:
            return Watched(self, machine, name, client)

        machine.services = dataclasses.replace(
            machine.services,
            work=bucket("work"),
            results=bucket("results"),
            bucket=bucket,
            bedrock=AwsBedrock(
                lambda: watched("bedrock", machine.faulty), lambda: watched("bedrock-runtime", machine.faulty)
            ),
            workflow=Workflow(watched("stepfunctions", States(machine.workflow)), self.machine),
        )

    def check(self, step: str, name: str, method: str, parameters: dict[str, Any]) -> None:
        """Hold a call to the service's model and to the step's role.

        Raises:
            AssertionError: AWS would refuse it. No step catches this one.
        """
        guard, operation, named = self.guards[step], operations(name)[method], self.renamed(parameters)
        try:
            guard.check_parameters(service(name).operation_model(operation), named)
            guard.check(name, operation, named)
        except ClientError as error:
            raise AssertionError(f"{step}: {error}") from error

    def check_missing(self, step: str, parameters: dict[str, Any]) -> None:
        """A missing object is known to be missing only to those who may list its bucket."""
        named = self.renamed(parameters)
        bucket = f"arn:aws:s3:::{named['Bucket']}"
        assert self.guards[step].role.allows("s3:ListBucket", bucket, {"s3:prefix": named["Key"]}), (step, named)

    def renamed(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """A call's parameters, with the template's names of buckets and roles."""
        found = dict(parameters)
        if "Bucket" in found:
            found["Bucket"] = self.names[found["Bucket"]]
        if "CopySource" in found:
            found["CopySource"] = self.renamed(found["CopySource"])
        if "roleArn" in found:
            found["roleArn"] = self.bedrock
        return found


class Watched:
    """A client whose calls are held to the role of the step that runs."""

    def __init__(self, roles: Roles, machine: Machine, name: str, client: Any) -> None:
        self.roles = roles
        self.machine = machine
        self.name = name
        self.client = client

    def __getattr__(self, method: str) -> Any:
        found = getattr(self.client, method)

        def call(**parameters: Any) -> Any:
            step = self.machine.step
            self.roles.check(step, self.name, method, parameters)
            try:
                return found(**parameters)
            except ClientError as error:
                if error.response["Error"]["Code"] in MISSING and "Key" in parameters:
                    self.roles.check_missing(step, parameters)
                raise

        return call

    def get_paginator(self, method: str) -> Pages:
        return Pages(self, method, self.client.get_paginator(method))


class Pages:
    """A paginator of a watched client."""

    def __init__(self, watched: Watched, method: str, pages: Any) -> None:
        self.watched = watched
        self.method = method
        self.pages = pages

    def paginate(self, **parameters: Any) -> Any:
        self.watched.roles.check(self.watched.machine.step, self.watched.name, self.method, parameters)
        return self.pages.paginate(**parameters)


class States:
    """Step Functions' client over the executions in memory."""

    def __init__(self, workflow: MemoryWorkflow) -> None:
        self.workflow = workflow

    def start_execution(self, **asked: Any) -> dict[str, str]:
        return {"executionArn": self.workflow.start(asked["name"], "", 0)}

    def describe_execution(self, **_: Any) -> dict[str, str]:
        raise client_error("ExecutionDoesNotExist", "DescribeExecution")

    def stop_execution(self, **asked: Any) -> None:
        self.workflow.stop(asked["executionArn"].rsplit(":", 1)[1], "")
