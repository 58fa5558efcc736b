"""The tables of docs/internals/roles.md: who may do what on which resource, and what for.

Rendered from the template of a deployment with a customer key; tests/flow/test_roles.py holds the same rights to what
runs do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sluice.local.policies import NULL
from sluice.local.synthesis import load, synthesized
from sluice.local.template import ACCOUNT, PARTITION, Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sluice.local.policies import Statement

REGION = "us-east-1"
OPTIONS: dict[str, Any] = {"encryption": "kms"}
# What each action is for. An action that does not stand here cannot be rendered: somebody has to say why it is there.
WHY = {
    "bedrock:CreateModelInvocationJob": "buys a batch job; asked for on the job and on its model or profile",
    "bedrock:GetModelInvocationJob": "sees how a batch job stands",
    "bedrock:InvokeModel": "asks a model on demand, or runs a batch job through a profile: on the profile and on the "
    "model wherever it routes",
    "bedrock:ListModelInvocationJobs": "finds the jobs of a run by their names, so that none is bought twice",
    "bedrock:StopModelInvocationJob": "stops the jobs of a cancelled run",
    "events:PutEvents": "says that a run is finished or waits for an approval, or that an object was refused",
    "iam:PassRole": "hands the batch jobs' role to Bedrock",
    "kms:Decrypt": "reads objects under the customer key (`encryption`)",
    "kms:GenerateDataKey": "writes objects under the customer key (`encryption`)",
    "lambda:InvokeFunction": "calls the functions of the steps",
    "logs:CreateLogDelivery": "delivers the workflow's log; AWS has nothing narrower",
    "logs:CreateLogStream": "Lambda writes the function's log",
    "logs:DeleteLogDelivery": "delivers the workflow's log; AWS has nothing narrower",
    "logs:DescribeLogGroups": "delivers the workflow's log; AWS has nothing narrower",
    "logs:DescribeResourcePolicies": "delivers the workflow's log; AWS has nothing narrower",
    "logs:GetLogDelivery": "delivers the workflow's log; AWS has nothing narrower",
    "logs:ListLogDeliveries": "delivers the workflow's log; AWS has nothing narrower",
    "logs:PutLogEvents": "Lambda writes the function's log",
    "logs:PutResourcePolicy": "delivers the workflow's log; AWS has nothing narrower",
    "logs:UpdateLogDelivery": "delivers the workflow's log; AWS has nothing narrower",
    "s3:AbortMultipartUpload": "takes back an upload by parts that cannot be finished",
    "s3:DeleteObject": "removes what waited, once its run has begun, or kept replies that stand in a larger object",
    "s3:GetObject": "reads",
    "s3:GetObjectVersion": "reads the version of an input that the run has frozen",
    "s3:ListBucket": "lists, and is told that a missing object is missing (404) and not forbidden (403)",
    "s3:PutObject": "writes",
    "servicequotas:ListServiceQuotas": "reads the quotas of batch jobs",
    "sqs:SendMessage": "keeps an event that could not be handled",
    "states:DescribeExecution": "sees whether an execution is under way",
    "states:ListExecutions": "counts the runs that are under way, and today's",
    "states:RedriveExecution": "takes up the maps of an execution that somebody redrives in the console",
    "states:StartExecution": "starts executions",
    "states:StopExecution": "stops executions",
    "xray:GetSamplingRules": "traces; X-Ray has no resources",
    "xray:GetSamplingTargets": "traces; X-Ray has no resources",
    "xray:PutTelemetryRecords": "traces; X-Ray has no resources",
    "xray:PutTraceSegments": "traces; X-Ray has no resources",
}
VERSION = re.compile(r"^:\d+$")  # of a function; every other one may be called too
SERVICES = {
    "WorkflowMachine": "The workflow, for Step Functions",
    "BedrockRole": "Batch jobs, for Bedrock",
    "TriggersScheduler": "Schedules, for EventBridge Scheduler",
}

Right = tuple[str, str, str]  # an action, a resource by its name, a condition
Row = tuple[tuple[str, ...], tuple[str, ...], str]  # actions for one purpose, resources, a condition


def role_tables(layout: Callable[[list[str], Iterable[list[str]]], str]) -> str:
    """Render a table of rights for each role; what all functions may do stands once, before them."""
    template = Template(load(synthesized(options=OPTIONS)), REGION)
    names = Names(template)
    functions = {one.step: rights(one.statements, names) for one in template.functions().values()}
    shared = set.intersection(*functions.values())
    parts = [("Every function", shared)]
    parts += [(f"Function `{step}`", found - shared) for step, found in functions.items()]
    parts += [(name, rights(statements, names)) for name, statements in services(template)]
    head = ["may", "on", "only if", "what for"]
    return "\n".join(f"### {title}\n\n{layout(head, map(cells, rows(found)))}" for title, found in parts if found)


def services(template: Template) -> Iterator[tuple[str, tuple[Statement, ...]]]:
    """The roles that services of AWS take, with their statements.

    Raises:
        LookupError: a role that has no name here.
    """
    ours = {function["Role"]["Fn::GetAtt"][0] for _, function in template.of_type("AWS::Lambda::Function")}
    for logical_id, _ in template.of_type("AWS::IAM::Role"):
        if logical_id not in ours:
            found = next((name for start, name in SERVICES.items() if logical_id.startswith(start)), None)
            if found is None:
                raise LookupError(f"docs/roles.py has no name for the role {logical_id}")
            yield found, template.statements(template.attributes[logical_id, "Arn"])


def rights(statements: Iterable[Statement], names: Names) -> set[Right]:
    """The rights of a role, one by one."""
    return {
        (action, names.of(resource), told(statement))
        for statement in statements
        if statement.allow
        for action in statement.actions
        for resource in statement.resources
    }


def told(statement: Statement) -> str:
    """The conditions of a statement."""
    given = ((key, values) for operator, key, values in statement.conditions if operator != NULL)
    conditions = (f"`{key}` is `{', '.join(values)}`" for key, values in given)
    return "; ".join(conditions).replace(f".{REGION}.", ".<region>.")


def rows(found: set[Right]) -> list[Row]:
    """Rights as rows: the resources of an action, and actions for the same purpose on the same ones, stand together."""
    resources: dict[tuple[str, str], set[str]] = {}
    for action, resource, condition in found:
        resources.setdefault((action, condition), set()).add(resource)
    actions: dict[tuple[str, tuple[str, ...], str], set[str]] = {}
    for (action, condition), places in resources.items():
        actions.setdefault((WHY[action], tuple(sorted(places)), condition), set()).add(action)
    return sorted((tuple(sorted(together)), places, condition) for (_, places, condition), together in actions.items())


def cells(row: Row) -> list[str]:
    """A row of the table."""
    actions, resources, condition = row
    return [code(actions), "<br>".join(resources), condition or "·", WHY[actions[0]]]


def code(names: Iterable[str]) -> str:
    """Names as code, below each other."""
    return "<br>".join(f"`{name}`" for name in names)


class Names:
    """What resources are called in the table instead of by the ARNs that a template gives them."""

    def __init__(self, template: Template) -> None:
        self.known: dict[str, str] = {}
        for bucket in template.buckets().values():
            plain = re.sub(r"^storage|[0-9a-f]{8}$", "", bucket.name)
            self.known[f"arn:{PARTITION}:s3:::{bucket.name}"] = f"bucket {plain}"
        for function in template.functions().values():
            self.known[function.arn] = f"function {function.step}"
        machine = template.workflow().arn
        self.known[machine] = "the workflow"
        self.known[machine.replace(":stateMachine:", ":execution:")] = "executions of the workflow"
        for kind, name in (("AWS::KMS::Key", "the customer key"), ("AWS::SQS::Queue", "the queue of lost events")):
            self.known |= {template.attributes[id_, "Arn"]: name for id_, _ in template.of_type(kind)}
        for id_, _ in template.of_type("AWS::Logs::LogGroup"):
            self.known[template.attributes[id_, "Arn"]] = "its log"
        for id_, _ in template.of_type("AWS::IAM::Role"):
            self.known[template.attributes[id_, "Arn"]] = "the role of batch jobs"

    def of(self, resource: str) -> str:
        """A resource by its name, with what follows it, such as a folder of a bucket."""
        for arn in sorted(self.known, key=len, reverse=True):
            if resource.startswith(arn):
                rest = VERSION.sub(":*", resource.removeprefix(arn))
                return self.known[arn] + (f" `{rest}`" if rest else "")
        plain = resource.replace(f":{REGION}:", ":<region>:").replace(f":{ACCOUNT}:", ":<account>:")
        return f"`{plain}`"
