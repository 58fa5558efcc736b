"""The cloud of a local run: the server, the stand-in and the functions as processes, and the calls that drive them."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
import msgspec
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from sluice.decoding import decode
from sluice.errors import Stop
from sluice.files import whole_file
from sluice.local import events
from sluice.local.callers import credentials, draw_secret
from sluice.local.children import Child
from sluice.local.functions import Surroundings
from sluice.local.patterns import matches
from sluice.local.server import CONFIGURE, INVOKE
from sluice.local.sources.bedrock import CALLERS
from sluice.local.standin.api import CALLS
from sluice.local.synthesis import load, synthesized
from sluice.local.template import Template
from sluice.local.zygote import QUIET
from sluice.places import PROJECT
from sluice.runs.calls import Calls

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime
    from types import TracebackType

    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_stepfunctions.client import SFNClient


MiB = 1024 * 1024
SCALE = 1 / 600  # a minute of waiting in AWS is a tenth of a second here
TRANSFER = TransferConfig(multipart_threshold=32 * MiB, multipart_chunksize=16 * MiB, max_concurrency=2)
LOOK_SECONDS = 0.05
# Nothing of a local run may reach an account, nor read a profile that would.
NO_PROFILE = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
ENDED = {"SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"}
# Lambda tries an event that its function fails on twice more: after a minute, then after two.
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html (read 2026-11-28)
RETRY_SECONDS = (60, 120)


@dataclass(frozen=True)
class Execution:
    """One execution of the workflow, as DescribeExecution tells it."""

    document: dict[str, Any]

    @property
    def status(self) -> str:
        return str(self.document["status"])


class FunctionFailed(Stop):
    """A function that the runner invoked itself raised; `kind` is the exception's name."""

    def __init__(self, step: str, document: dict[str, Any]) -> None:
        self.kind = str(document.get("errorType"))
        self.message = str(document.get("errorMessage"))
        super().__init__(f"{step}: {self.message}")


class LocalCloud:
    """Everything that a run needs, on this machine, for as long as the context lasts.

    `directory` takes the logs, `path` is where the handlers lie. Processes end with the context, and with this process
    however it dies. `callers_credentials`: whether the stand-in may use them, to ask the real Bedrock.
    `hidden`: variables of the environment that no process gets to see.
    """

    def __init__(
        self,
        directory: Path,
        *,
        region: str = "us-east-1",
        scale: float = SCALE,
        template: Path | None = None,
        path: Path = PROJECT,
        callers_credentials: bool = False,
        hidden: Collection[str] = (),
    ) -> None:
        self.directory = directory
        self.region = region
        self.scale = scale
        self.path = path
        self.template_path = template or synthesized()
        self.template = Template(load(self.template_path), region)
        self.workflow = self.template.workflow()
        self.buckets = self.template.buckets()
        self.callers_credentials = callers_credentials
        self.hidden = frozenset(hidden)
        self.secret = draw_secret()
        self.children: list[Child] = []
        self.stand_in: Child | None = None
        self.spare: Child | None = None
        self.port = 0
        self.bedrock = ""  # where the stand-in answers

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process."""
        while self.children:
            self.children.pop().stop()

    def _start(self) -> None:
        server = self.spawn(
            "sluice.local.server",
            ["--template", str(self.template_path), "--region", self.region, "--scale", str(self.scale)],
        )
        self.spare = self._load_stand_in()
        self.port = server.ready()["port"]
        for bucket in self.buckets.values():
            self._make_bucket(bucket.name, versioned=bucket.versioned)
        made = self.states.create_state_machine(
            name=self.workflow.name, definition=self.workflow.definition, roleArn=self.workflow.role_arn
        )
        assert made["stateMachineArn"] == self.workflow.arn

    def spawn(self, module: str, arguments: list[str], extra: Mapping[str, str] | None = None) -> Child:
        """Start a process that ends with this cloud; its log is named like its module."""
        environment = {
            **{name: value for name, value in os.environ.items() if self._passes(name)},
            **QUIET,
            **NO_PROFILE,
            **credentials(self.secret),
            "AWS_DEFAULT_REGION": self.region,
            "NO_PROXY": "127.0.0.1,localhost",
            "PYTHONPATH": os.pathsep.join([str(self.path), *filter(None, sys.path)]),
            "PYTHONSAFEPATH": "1",  # the working folder holds no modules of ours
            "PYTHONUNBUFFERED": "1",
            **(extra or {}),
        }
        log = self.directory / f"{module.rsplit('.', 1)[-1]}.log"
        child = Child(module, arguments, log, environment)
        self.children.append(child)
        return child

    def _passes(self, name: str) -> bool:
        return not name.startswith("AWS_") and name not in self.hidden

    @property
    def endpoint(self) -> str:
        """Where S3, Step Functions and EventBridge answer."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def s3(self) -> S3Client:
        return self._client("s3")  # type: ignore[no-any-return]

    @property
    def states(self) -> SFNClient:
        return self._client("stepfunctions")  # type: ignore[no-any-return]

    def session(self) -> boto3.Session:
        """A session whose clients this cloud answers."""
        return boto3.Session(self.secret, self.secret, region_name=self.region)

    def _client(self, service: str) -> Any:
        clients = self.__dict__.setdefault("_clients", {})
        if service not in clients:
            clients[service] = self.session().client(
                service,
                endpoint_url=self.endpoint,
                config=Config(
                    read_timeout=600, proxies={}, retries={"max_attempts": 2}, s3={"payload_signing_enabled": False}
                ),  # type: ignore[call-overload]
            )
        return clients[service]

    def _make_bucket(self, name: str, *, versioned: bool) -> None:
        place: Any = (
            {} if self.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        )
        self.s3.create_bucket(Bucket=name, **place)
        if versioned:
            self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def bucket(self, variable: str) -> str:
        """The bucket that the functions know by an environment variable, as SLUICE_WORK_BUCKET."""
        for function in self.template.functions().values():
            if variable in function.environment:
                return function.environment[variable]
        raise Stop(f"no function of the template has {variable}")

    def answer_with(self, configuration: dict[str, Any]) -> str:
        """Have a stand-in for Bedrock answer as configured, in place of the one before; its URL."""
        if self.stand_in is not None:
            self.stand_in.stop()
            self.children.remove(self.stand_in)
        self.stand_in, self.spare = self.spare or self._load_stand_in(), None
        self.stand_in.tell(configuration)
        self.bedrock = f"http://127.0.0.1:{self.stand_in.ready()['port']}"
        return self.bedrock

    def _load_stand_in(self) -> Child:
        """Start a stand-in, which loads and then waits for its configuration."""
        extra = {}
        if self.callers_credentials:
            extra = {f"{CALLERS}{name}": value for name, value in os.environ.items() if name.startswith("AWS_")}
        return self.spawn("sluice.local.standin", [], extra)

    def endpoints(self, bedrock: str) -> dict[str, str]:
        """The variables that lead an AWS client to this cloud."""
        return {
            **credentials(self.secret),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT_URL_BEDROCK": bedrock,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock,
            "AWS_ENDPOINT_URL_SERVICE_QUOTAS": bedrock,
        }

    def configure(self, surroundings: Surroundings) -> None:
        """Give the workers of the functions new surroundings; warm ones of others are ended."""
        Path(surroundings.logs).mkdir(parents=True, exist_ok=True)
        self._post(CONFIGURE, msgspec.json.encode(surroundings))

    def invoke(self, step: str, event: dict[str, Any]) -> Any:
        """Call a step's function as Lambda would.

        Raises:
            FunctionFailed: the handler raised, or its worker died or ran out of time.
        """
        ok, answer = self._post(INVOKE + step, msgspec.json.encode(event))
        document = msgspec.json.decode(answer)
        if not ok:
            raise FunctionFailed(step, document)
        return document

    def calls(self) -> Calls | None:
        """How the calls of the stand-in stand; None where it does not say."""
        headers = {"Authorization": f"Bearer {self.secret}"}
        request = urllib.request.Request(self.bedrock + CALLS, headers=headers)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
                return decode(answer.read(), Calls)
        except (OSError, ValueError):
            return None

    def invoke_for_event(self, step: str, event: dict[str, Any]) -> Any:
        """Call a step's function as Lambda does for EventBridge, which does not wait for the answer.

        Raises:
            FunctionFailed: it failed, and twice more.
        """
        for seconds in RETRY_SECONDS:
            with contextlib.suppress(FunctionFailed):
                return self.invoke(step, event)
            time.sleep(seconds * self.scale)
        return self.invoke(step, event)

    def _post(self, path: str, body: bytes) -> tuple[bool, bytes]:
        headers = {"Authorization": f"Bearer {self.secret}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.endpoint + path, data=body, headers=headers, method="POST")
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
                return True, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return False, error.read()

    def upload(self, source: Path, bucket: str, key: str) -> str:
        """Copy a file into a bucket; its URI."""
        if source.stat().st_size < TRANSFER.multipart_threshold:
            with source.open("rb") as body:  # without the threads that a transfer sets up for each file
                self.s3.put_object(Bucket=bucket, Key=key, Body=body)
        else:
            self.s3.upload_file(str(source), bucket, key, Config=TRANSFER)
        return f"s3://{bucket}/{key}"

    def put(self, bucket: str, key: str, body: bytes) -> list[Any]:
        """Put an object into a bucket, and tell whom the deployed rules say; what they answer."""
        self.s3.put_object(Bucket=bucket, Key=key, Body=body)
        return self.deliver(self.created(bucket, key))

    def deliver(self, event: dict[str, Any]) -> list[Any]:
        """Call each function that a rule of the template sends an event to; their answers."""
        targets = [target for rule in self.template.rules() if matches(rule.pattern, event) for target in rule.targets]
        return [self.invoke_for_event(target, event) for target in targets if ":function:" in target]

    def tick(self, name: str, at: datetime) -> Any:
        """Have a schedule's time come, by the beginning of its logical id; the answer of the function that it calls.

        Raises:
            Stop: there is no such schedule, or more than one.
        """
        found = [clock for clock in self.template.clocks() if clock.name.startswith(name)]
        if len(found) != 1:
            raise Stop(f"the template has {len(found)} schedules whose names begin with {name}")
        return self.invoke_for_event(found[0].target, msgspec.json.decode(events.tick(found[0].text, at)))

    def drop(self, source: Path, bucket: str, key: str) -> dict[str, Any]:
        """Copy a file into a bucket, and give the event that EventBridge would send of it."""
        self.upload(source, bucket, key)
        return self.created(bucket, key)

    def created(self, bucket: str, key: str) -> dict[str, Any]:
        """The event that EventBridge sends of an object as it stands."""
        head = self.s3.head_object(Bucket=bucket, Key=key)
        return events.object_created(
            region=self.region,
            bucket=bucket,
            key=key,
            size=head["ContentLength"],
            etag=head["ETag"],
            version=head.get("VersionId"),
        )

    def execution(self, name: str) -> Execution:
        """An execution by its name; the first one of a run has the run's id as its name."""
        arn = f"{self.workflow.arn.replace(':stateMachine:', ':execution:')}:{name}"
        document: dict[str, Any] = dict(self.states.describe_execution(executionArn=arn))
        return Execution(document)

    def wait(self, name: str, on_look: Callable[[], None] | None = None) -> Execution:
        """Wait for the end of an execution, and of the one that closes its run when it ended badly.

        A bad end is an event, as on AWS.
        """
        while (execution := self.execution(name)).status not in ENDED:
            if on_look is not None:
                on_look()
            time.sleep(LOOK_SECONDS)
        if execution.status == "SUCCEEDED":
            return execution
        event = events.execution_changed(region=self.region, execution=execution.document)
        said = self.deliver(event)
        closing = next((answer["execution"] for answer in said if "execution" in answer), name)
        return execution if closing == name else self.wait(closing, on_look)

    def cancel(self, run: str, on_look: Callable[[], None] | None = None) -> Execution:
        """Stop a run, and wait for the execution that closes it."""
        closing = self.invoke("sweep", {"run": run, "reason": "cancelled"}).get("execution", run)
        return self.wait(closing, on_look)

    def read(self, bucket: str, key: str) -> bytes | None:
        """A whole object, or None."""
        with contextlib.suppress(self.s3.exceptions.NoSuchKey):
            return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return None

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """The keys under a prefix."""
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                yield item["Key"]

    def fetch(self, bucket: str, key: str, path: Path) -> None:
        """Copy an object into a file, which appears when it is whole."""
        with whole_file(path) as file:
            self.s3.download_fileobj(bucket, key, file, Config=TRANSFER)
