"""A deployed stack: CloudFormation, S3 and Step Functions are moto's, Lambda is botocore's Stubber."""

from __future__ import annotations

import datetime as dt
import io
import json
from typing import Any

import boto3
from botocore.response import StreamingBody
from botocore.stub import Stubber

from sluice.api.deployment import Deployment
from sluice.runs.keys import Keys

RUN = "tickets-20261120t101500-0123456789"
MACHINE = {"StartAt": "End", "States": {"End": {"Type": "Wait", "Seconds": 3600, "End": True}}}


class Session(boto3.Session):
    """A session whose Lambda, and Step Functions where a test wants it, answer as they are told.

    Making a client takes longer than most tests: each is made once.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        self.stubbed: dict[str, Any] = {}
        self.made: dict[str, Any] = {}
        super().__init__(*args, **more)

    def client(self, service_name: str, *args: Any, **more: Any) -> Any:
        if service_name not in self.stubbed and service_name not in self.made:
            self.made[service_name] = super().client(service_name, *args, **more)  # type: ignore[call-overload]
        return self.stubbed.get(service_name) or self.made[service_name]

    def stub(self, service: str) -> Stubber:
        client = super().client(service)  # type: ignore[call-overload]
        self.stubbed[service] = client
        stubber = Stubber(client)
        stubber.activate()
        return stubber


class Deployed:
    """A stack of three buckets and a state machine, and ways to put runs into it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        machine = session.client("stepfunctions").create_state_machine(
            name="m", definition=json.dumps(MACHINE), roleArn="arn:aws:iam::123456789012:role/m"
        )
        self.machine: str = machine["stateMachineArn"]
        buckets = {f"{name}Bucket": {"Ref": name} for name in ("Incoming", "Work", "Results")}
        named = {"StateMachineArn": self.machine, "StartFunction": "start-1", "SweepFunction": "sweep-1"}
        self.make_stack(
            "Sluice",
            {
                "Incoming": {"Type": "AWS::S3::Bucket"},
                "Work": {"Type": "AWS::S3::Bucket"},
                "Results": {"Type": "AWS::S3::Bucket"},
            },
            {**buckets, **named},
        )
        self.lambda_ = session.stub("lambda")
        self.deployment = Deployment(session=session)
        self.stack = self.deployment.stack
        # moto's CloudFormation passes over the property that switches this on.
        self.stack.incoming.client.put_bucket_versioning(
            Bucket=self.stack.incoming.bucket, VersioningConfiguration={"Status": "Enabled"}
        )

    def make_stack(self, name: str, resources: dict[str, Any], outputs: dict[str, Any]) -> None:
        template = {"Resources": resources, "Outputs": {key: {"Value": value} for key, value in outputs.items()}}
        self.session.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))

    def begin(self, run: str = RUN, *, created: str = "2026-11-20T10:15:00+00:00", task: str = "tickets") -> Keys:
        """Write start.json of a run, as far as the commands read it."""
        keys = Keys(run)
        document = {"task": {"name": task}, "created": created, "date": "2026-11-20", "tiers": [], "spans": 1}
        self.stack.work.put(keys.start, json.dumps(document).encode())
        return keys

    def end(self, run: str = RUN, status: str = "succeeded", execution: int = 0, **more: Any) -> dict[str, Any]:
        """Write the documents with which publish ends a run."""
        document = {
            "run_id": run,
            "task": "tickets",
            "status": status,
            "rows": {"in": 12, "accepted": 12, "unresolved": 0, "rejected": 0},
            "cost_usd": 0.5,
            "finished": dt.datetime.now(dt.UTC).isoformat(),
            **more,
        }
        keys = Keys(run, execution)
        for key in (keys.summary, *([keys.published] if status != "failed" else [])):
            self.stack.work.put(key, json.dumps(document).encode())
        return document

    def execute(self, name: str = RUN) -> str:
        """Have the run's execution under way."""
        started = self.session.client("stepfunctions").start_execution(stateMachineArn=self.machine, name=name)
        return str(started["executionArn"])

    def answer(self, function: str, event: dict[str, Any], answer: Any, *, error: str | None = None) -> None:
        """Expect a call of a function, and answer it."""
        payload = json.dumps(answer).encode()
        self.lambda_.add_response(
            "invoke",
            {
                "StatusCode": 200,
                "Payload": StreamingBody(io.BytesIO(payload), len(payload)),
                **({"FunctionError": error} if error else {}),
            },
            {"FunctionName": function, "Payload": json.dumps(event).encode()},
        )

    def fail(self, cause: str, looks: int = 1) -> None:
        """Have Step Functions say that the run's execution failed, as often as it is looked at."""
        arn = f"{self.machine.replace(':stateMachine:', ':execution:')}:{RUN}"
        now = dt.datetime.now(dt.UTC)
        found = {"status": "FAILED", "startDate": now, "stopDate": now, "cause": cause}
        stubber = self.session.stub("stepfunctions")
        for _ in range(looks):
            stubber.add_response(
                "describe_execution",
                {"executionArn": arn, "stateMachineArn": self.machine, **found},
                {"executionArn": arn},
            )
