"""A process that has imported what every handler needs, and forks a warm worker per function on demand.

Importing boto3, pyarrow and Powertools takes more than a second; a fork takes milliseconds. A fork copies only the
thread that calls it, so this process must never have a second one: the environment in `QUIET` keeps the libraries
from starting any, and `serve` refuses to fork otherwise.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import time
import traceback
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.decoding import decode
from sluice.errors import StillRunning
from sluice.local.children import die_with_starter, receive_message, send_message
from sluice.local.faults import Crash, WriteCounter
from sluice.local.guard import Guard, install
from sluice.local.ledger import FOLDER, Ledger
from sluice.local.policies import Role
from sluice.local.template import Function

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
PRELOADED = (
    "aws_lambda_powertools.logging",
    "aws_lambda_powertools.metrics",
    "aws_lambda_powertools.utilities.typing",
    "boto3",
    "boto3.s3.transfer",
    "concurrent.futures.thread",
    "jinja2",
    "jsonschema_rs",
    "msgspec",
    "pyarrow",
    "pyarrow.compute",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic",
    "yaml",
)
# Not part of what is deployed.
HEAVY = {f"sluice.{name}" for name in ("__main__", "api", "cli", "deployment", "forecast", "local")}
INIT_ERRORS = {"ModuleNotFoundError": "Runtime.ImportModuleError", "SyntaxError": "Runtime.UserCodeSyntaxError"}


@dataclass(frozen=True)
class Order:
    """What a worker is forked for: the function, its surroundings, and the crashes that a fault plan wants."""

    function: Function
    region: str
    keys: dict[str, str]
    logs: str
    variables: dict[str, str]
    crashes: tuple[Crash, ...] = ()


@dataclass
class Context:
    """The Lambda context object, as far as Python handlers use it."""

    function: Function
    deadline: float
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_version: str = "$LATEST"
    log_stream_name: str = "local"

    @property
    def function_name(self) -> str:
        return self.function.name

    @property
    def invoked_function_arn(self) -> str:
        return self.function.arn

    @property
    def memory_limit_in_mb(self) -> int:
        return self.function.memory

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self.function.name}"

    def get_remaining_time_in_millis(self) -> int:
        """What is left until the time-out."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


def serve(channel: socket.socket) -> None:
    """Fork a worker for each order; an order comes with the socket that the worker is to serve."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the workers
    send_message(channel, b"ready")
    while True:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        if not descriptors:
            return
        order: Order = decode(receive_message(channel) or b"", Order)
        threads = len(list(Path("/proc/self/task").iterdir())) if sys.platform == "linux" else 1
        if threads != 1:
            raise RuntimeError(f"{threads} threads: a fork would lose all but one of them")
        pid = os.fork()
        if pid == 0:
            channel.close()
            work(order, socket.socket(fileno=descriptors[0]))
            os._exit(0)
        os.close(descriptors[0])
        send_message(channel, str(pid).encode())


def work(order: Order, channel: socket.socket) -> None:
    """Answer invocations of one function until the other side hangs up."""
    die_with_starter()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    take_surroundings(order)
    counter = WriteCounter(order.function.step, order.crashes)
    ledger = Ledger(lambda: Path(order.logs) / FOLDER, order.function.step)
    install(Guard(Role(order.function.statements, ledger), order.keys, order.region), counter)
    handler = None
    while (event := receive_message(channel)) is not None:
        context = Context(order.function, time.monotonic() + order.function.timeout)
        try:
            handler = handler or load(order.function.handler)
            answer = json.dumps({"result": handler(json.loads(event), context)})
        except BaseException as error:  # noqa: BLE001  whatever a handler raises becomes its answer
            answer = json.dumps({"error": describe(error, context)})
        sys.stdout.flush()
        sys.stderr.flush()
        send_message(channel, answer.encode())


def take_surroundings(order: Order) -> None:
    """Replace environment, log and working directory by the function's own."""
    function = order.function
    os.environ.clear()
    os.environ.update(QUIET)
    os.environ.update(
        AWS_LAMBDA_FUNCTION_NAME=function.name,
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE=str(function.memory),
        AWS_LAMBDA_FUNCTION_VERSION="$LATEST",
        AWS_REGION=order.region,
        AWS_DEFAULT_REGION=order.region,
        AWS_EC2_METADATA_DISABLED="true",
        LANG="C.UTF-8",
        PATH="/usr/bin:/bin",
        TZ=":UTC",
    )
    os.environ.update(order.variables)
    os.environ.update(function.environment)
    time.tzset()
    log = os.open(Path(order.logs) / f"{function.step}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    faulthandler.enable()  # a worker that a library brings down says where it was


def load(path: str) -> Any:
    """The handler named `package.module.function`, imported now: this is the cold start."""
    module, name = path.replace("/", ".").rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def describe(error: BaseException, context: Context) -> dict[str, Any]:
    """An unhandled exception in the form in which Lambda's Python runtime reports it."""
    if not isinstance(error, StillRunning):  # which is no fault: the state machine's Retry looks again
        traceback.print_exception(error)
    kind = type(error).__name__
    if isinstance(error, SystemExit):
        kind = "Runtime.ExitError"
    return {
        "errorMessage": str(error),
        "errorType": INIT_ERRORS.get(kind, kind),
        "requestId": context.aws_request_id,
        "stackTrace": traceback.format_tb(error.__traceback__),
    }


def steps() -> Iterator[str]:
    """The library's modules behind the handlers; the handlers themselves wait for their environment."""
    for package in ("sluice", "sluice.steps"):
        module = importlib.import_module(package)
        for found in pkgutil.iter_modules(module.__path__, f"{package}."):
            if found.name not in HEAVY:
                yield found.name


def load_service_data() -> None:
    """Make clients once, so that every fork finds botocore's descriptions of the services in memory.

    boto3's default session keeps them. It looks up Region, endpoints and credentials in the environment only when a
    client is made, so that each worker still follows its own.
    """
    boto3: Any = importlib.import_module("boto3")
    for service in ("s3", "stepfunctions", "bedrock", "bedrock-runtime", "events", "service-quotas"):
        client = boto3.client(service, region_name="us-east-1", aws_access_key_id="-", aws_secret_access_key="-")
        client.can_paginate(next(iter(client.meta.method_to_api_mapping)))  # which reads another file


def leave_bodies_unsigned() -> None:
    """Sign S3 requests as over TLS, where boto3 leaves the body to its checksum: a SHA-256 of each costs more here."""
    auth: Any = importlib.import_module("botocore.auth")
    auth.S3SigV4Auth._should_sha256_sign_payload = lambda *_: False  # noqa: SLF001


def main() -> None:
    """Import everything, then serve the inherited socket."""
    die_with_starter()
    for name in PRELOADED:
        importlib.import_module(name)
    for name in steps():
        with suppress(Exception):  # a module that cannot be imported is for its step's own cold start to report
            importlib.import_module(name)
    load_service_data()
    leave_bodies_unsigned()
    gc.freeze()  # a collection in a worker would touch, and so copy, everything that it shares
    serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
