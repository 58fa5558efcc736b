"""The ready policies of docs/examples/policies: who operates may call what the commands call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sluice.local.guard import Guard
from sluice.local.policies import Role, Statement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.deployed import Deployed

FOLDER = Path(__file__).parents[3] / "docs" / "examples" / "policies"
ACCOUNT, REGION = "123456789012", "us-east-1"


def role(name: str, deployed: Deployed) -> Role:
    """A policy as somebody would fill it in for this deployment."""
    stack, machine = deployed.stack, deployed.machine
    text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    filled = {
        "<account>": ACCOUNT,
        "<region>": REGION,
        "<stack>": "Sluice",
        "<incoming>": stack.incoming.bucket,
        "<work>": stack.work.bucket,
        "<results>": stack.results.bucket,
        "<machine>": machine,
        "<machine name>": machine.rsplit(":", 1)[-1],
        "<start>": "start-1",
        "<sweep>": "sweep-1",
    }
    for placeholder, value in filled.items():
        text = text.replace(placeholder, value)
    return Role(tuple(Statement.parse(each) for each in json.loads(text)["Statement"]))


def needs(service: str, operation: str, parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The permissions of a call, for the services that handlers do not call too."""
    if service == "lambda":
        yield "lambda:InvokeFunction", parameters["FunctionName"]
    elif service == "cloudformation":
        yield (
            f"cloudformation:{operation}",
            f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{parameters['StackName']}/1",
        )
    else:
        guard = Guard(Role(()), {}, REGION)
        yield from ((action, resource) for action, resource, _ in guard.needs(_named(service), operation, parameters))


def _named(service: str) -> str:
    return "stepfunctions" if service == "sfn" else service


@pytest.fixture
def called(deployed: Deployed) -> Iterator[list[tuple[str, str]]]:
    """What is called from now on."""
    deployed.begin()
    deployed.execute()
    found: list[tuple[str, str]] = []

    def note(model: Any, params: dict[str, Any], **_: Any) -> None:
        found.extend(needs(model.service_model.service_name, model.name, params))

    clients = [*deployed.session.made.values(), *deployed.session.stubbed.values(), deployed.stack.work.client]
    events = [client.meta.events for client in {id(client): client for client in clients}.values()]
    for each in events:
        each.register("provide-client-params.*", note)
    yield found
    for each in events:
        each.unregister("provide-client-params.*", note)


def test_who_operates_may_do_what_the_commands_do(
    deployed: Deployed, called: list[tuple[str, str]], tmp_path: Path
) -> None:
    """List, look, submit a file and an object, cancel: every call of these is one that the policy allows."""
    run = "tickets-20261120t101500-0123456789"
    prod = deployed.deployment
    assert prod.runs()
    assert prod.run(run).status == "running"
    rows = tmp_path / "tickets.jsonl"
    rows.write_text('{"body": "x"}\n', encoding="utf-8")
    deployed.lambda_.add_response("invoke", {"StatusCode": 200, "Payload": _answer({"run": "tickets-2"})})
    task = tmp_path / "tickets.yaml"
    task.write_text("name: tickets\ninput: {text: body}\nlabels: [a, b]\n", encoding="utf-8")
    prod.submit(str(rows), str(task))
    deployed.lambda_.add_response("invoke", {"StatusCode": 202, "Payload": _answer({})})
    prod.run(run).cancel()
    operator = role("operate", deployed)
    refused = sorted({call for call in called if not operator.allows(*call)})
    assert refused == []
    assert {"lambda:InvokeFunction", "states:DescribeExecution", "s3:PutObject"} <= {action for action, _ in called}


def _answer(payload: dict[str, Any]) -> Any:
    import io

    from botocore.response import StreamingBody

    data = json.dumps(payload).encode()
    return StreamingBody(io.BytesIO(data), len(data))


def test_who_drops_files_can_only_drop_them(deployed: Deployed) -> None:
    """Under one task, and neither read nor list, nor mark what commands upload."""
    text = role("drop", deployed)
    dropper = Role(
        tuple(
            Statement(one.allow, one.actions, tuple(each.replace("<task>", "tickets") for each in one.resources))
            for one in text.statements
        )
    )
    bucket = f"arn:aws:s3:::{deployed.stack.incoming.bucket}"
    assert dropper.allows("s3:PutObject", f"{bucket}/tickets/today.jsonl")
    assert not dropper.allows("s3:PutObject", f"{bucket}/reviews/today.jsonl")
    assert not dropper.allows("s3:PutObject", f"{bucket}/_submitted/x")
    assert not dropper.allows("s3:GetObject", f"{bucket}/tickets/today.jsonl")
    assert not dropper.allows("s3:ListBucket", bucket)


def test_who_reads_results_sees_no_working_files(deployed: Deployed) -> None:
    """Results and reports, and the answers of queries; neither inputs nor the work of runs."""
    reader = role("read", deployed)
    stack = deployed.stack
    assert reader.allows("s3:GetObject", f"arn:aws:s3:::{stack.results.bucket}/results/tickets/x.parquet")
    assert not reader.allows("s3:GetObject", f"arn:aws:s3:::{stack.work.bucket}/runs/r/rows/0")
    assert not reader.allows("s3:GetObject", f"arn:aws:s3:::{stack.incoming.bucket}/tickets/x.jsonl")
    assert not reader.allows("s3:PutObject", f"arn:aws:s3:::{stack.results.bucket}/results/tickets/x.parquet")
