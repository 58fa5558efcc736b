"""moto's Step Functions engine made as strict as AWS, and quick enough for a demo.

Everything that this runner changes in the engine is in this file. The definition is never touched: it is executed as
the template has it, byte for byte.

Stricter:
- a failed child fails its Distributed Map (`States.ExceedToleratedFailureThreshold`);
- a child of a Distributed Map must end with `{}`;
- the outputs of a map's children together, and every item, stay under 256 KiB (`States.DataLimitExceeded`);
- the state machine's role must allow what the engine does: invoke a function, read a map's items, run its children;
- an execution that is stopped begins no further children, and ends as ABORTED.

Quicker, with the same meaning:
- `Wait` states and `Retry` intervals last `scale` times as long as they say. This is the only change to time:
  time-outs of states, functions and executions are real seconds;
- a Lambda call goes straight to the function host, instead of through a new boto3 client and HTTP;
- one S3 client for all reads of map items;
- the workers of a map take their jobs in a loop: moto recurses once per job and would hit Python's limit;
- a JSONPath is parsed once, not at each use (2 ms each, most of the engine's time);
- the list of moto's services is read once, not from disk at each HTTP request;
- AWS Batch, which no state of the workflow calls, is not loaded.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from sluice.local.policies import through_s3
from sluice.local.template import PARTITION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluice.local.functions import FunctionHost
    from sluice.local.policies import Role


def engine(name: str) -> Any:
    """A module of the engine; what is replaced in it is nobody's public interface, so it has no type here."""
    return importlib.import_module(f"moto.stepfunctions.parser.{name}")


MAPS = "asl.component.state.exec.state_map"
DATA_BYTES = 256 * 1024
TOLERATED = "States.ExceedToleratedFailureThreshold"
TOO_LARGE = "States.DataLimitExceeded"


@dataclass(frozen=True)
class ScaledClock:
    """Stands in for the `time` module where the engine sleeps between two attempts of a Retry."""

    scale: float
    of: threading.local  # whose attempts they are: the environment of the state that this thread retries

    def sleep(self, seconds: float) -> None:
        """Sleep for the scaled time."""
        pause(self.of.env, seconds * self.scale)


def pause(env: Any, seconds: float) -> None:
    """Wait for so long, or until the execution is stopped."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and env.is_running():
        env.program_state_event.wait(left)


@dataclass(frozen=True)
class Rights:
    """What the state machine may do: its role and ARN, and the KMS key of each encrypted bucket."""

    role: Role
    machine: str
    keys: Mapping[str, str]

    def refusal(self, action: str, resource: str, context: Mapping[str, str] | None = None) -> str | None:
        """Why an action is refused, or None."""
        if self.role.allows(action, resource, context):
            return None
        return f"the state machine's role has no {action} on {resource}"

    def refusal_to_read(self, bucket: str, key: str) -> str | None:
        """Why reading an object is refused, or None."""
        refused = self.refusal("s3:GetObject", f"arn:{PARTITION}:s3:::{bucket}/{key}")
        if refused is None and bucket in self.keys:
            refused = self.refusal("kms:Decrypt", self.keys[bucket], through_s3(self.machine.split(":")[3]))
        return refused

    def refusal_to_run_children(self) -> str | None:
        """Why a Distributed Map may not start, watch or stop its children, or None."""
        execution = f"{self.machine.replace(':stateMachine:', ':execution:')}:run"
        asked = (
            ("states:StartExecution", self.machine),
            ("states:DescribeExecution", execution),
            ("states:StopExecution", execution),
        )
        return next(filter(None, (self.refusal(*one) for one in asked)), None)


def patch(host: FunctionHost, rights: Rights, scale: float) -> None:
    """Change moto's engine in this process, once."""
    load_without_batch()
    scale_waits(scale)
    route_lambda_calls(host, rights)
    read_items_as_role(rights)
    make_maps_strict(rights)
    remember_what_never_changes()


class StatesOfBatch(StrEnum):
    """What the engine looks up in moto's Batch when it is loaded."""

    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    RUNNABLE = "RUNNABLE"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


def load_without_batch() -> None:
    """Load the engine without what it loads for AWS Batch alone: all of moto's EC2, which takes a second."""
    package, utils = "moto.batch", "moto.batch.utils"
    empty: Any = ModuleType(utils)
    empty.JobStatus = StatesOfBatch
    sys.modules.update({package: ModuleType(package), utils: empty})
    try:
        engine("models")
    finally:
        del sys.modules[package], sys.modules[utils]


def scale_waits(scale: float) -> None:
    """Let every Wait state and every pause of a Retry last `scale` times as long as it says."""

    def scaled(_: Any, env: Any, wait_seconds: float) -> None:
        pause(env, wait_seconds * scale)

    engine("asl.component.state.wait.wait_function.wait_function").WaitFunction._wait_interval = scaled  # noqa: SLF001

    retry = engine("asl.component.common.retry.retrier_decl")
    evaluate, retried = retry.RetrierDecl._eval_body, threading.local()  # noqa: SLF001

    def eval_retrier(self: Any, env: Any) -> None:
        retried.env = env
        evaluate(self, env)

    retry.RetrierDecl._eval_body = eval_retrier  # noqa: SLF001
    retry.time = ScaledClock(scale, retried)


def route_lambda_calls(host: FunctionHost, rights: Rights) -> None:
    """Have Task states call the template's functions, under the errors that Step Functions reports."""
    calls = engine("asl.component.state.exec.state_task.lambda_eval_utils")

    def call(env: Any, parameters: dict[str, Any], **_: Any) -> None:
        arn = parameters["FunctionName"]
        function = host.find(arn)
        refused = rights.refusal("lambda:InvokeFunction", arn)
        if function is None:
            raise failure(env, "Lambda.ResourceNotFoundException", f"there is no function {arn}")
        if refused:
            raise failure(env, "Lambda.AWSLambdaException", refused)
        answer = host.invoke(function, parameters["Payload"])
        if answer.failed:
            raise calls.LambdaFunctionErrorException("Unhandled", answer.payload.decode())
        env.stack.append({"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": json.loads(answer.payload)})

    calls.execute_lambda_function_integration = call


def read_items_as_role(rights: Rights) -> None:
    """Refuse a map's items where the state machine's role could not read them."""
    module = engine(f"{MAPS}.item_reader.eval.resource_eval_s3")
    reader = module.ResourceEvalS3
    read = reader._handle_get_object  # noqa: SLF001

    def guarded(env: Any, resource_runtime_part: Any, state_credentials: Any) -> None:
        place = env.stack[-1]
        if refused := rights.refusal_to_read(place["Bucket"], place["Key"]):
            raise failure(env, "States.ItemReaderFailed", refused)
        read(env, resource_runtime_part, state_credentials)

    reader._get_s3_client = staticmethod(  # noqa: SLF001
        lambda resource_runtime_part, state_credentials: client_of(resource_runtime_part.region)  # noqa: ARG005
    )
    reader._handle_get_object = staticmethod(guarded)  # noqa: SLF001


@cache
def client_of(region: str) -> Any:
    """The engine's own way to this server's S3; moto's has credentials of its own, which are a stranger's here."""
    endpoint = f"http://127.0.0.1:{os.environ['MOTO_PORT']}"
    return boto3.client("s3", region_name=region, endpoint_url=endpoint, config=Config(proxies={}))


def make_maps_strict(rights: Rights) -> None:
    """Fail a Distributed Map where AWS would."""
    worker = engine(f"{MAPS}.iteration.itemprocessor.distributed_item_processor_worker").DistributedItemProcessorWorker
    component = engine(f"{MAPS}.iteration.distributed_iteration_component").DistributedIterationComponent
    evaluate, run_map = worker._eval_job, component._map_run  # noqa: SLF001

    def eval_job(self: Any, env: Any, job: Any) -> None:
        if len(json.dumps(job.job_input).encode()) >= DATA_BYTES:
            job.job_output = failure(env, TOO_LARGE, f"item {job.job_index} of a map is not under {DATA_BYTES} bytes")
            return
        try:
            evaluate(self, env, job)
        except Exception as error:  # noqa: BLE001  a map waits for its jobs: one that nobody closes hangs it
            job.job_output = failure(env, "States.Runtime", f"{type(error).__name__}: {error}")
            return
        stopped = self.stopped() or not self._env.is_running()  # with its execution, which then is ABORTED, not FAILED
        if job.job_output != {} and not stopped:
            job.job_output = failure(env, TOLERATED, explain(env, job))

    def checked_map_run(self: Any, env: Any, eval_input: Any) -> None:
        if refused := rights.refusal_to_run_children():
            raise failure(env, "States.Runtime", refused)
        run_map(self, env=env, eval_input=eval_input)
        size = len(json.dumps(env.stack[-1]).encode())
        if size >= DATA_BYTES:
            raise failure(env, TOO_LARGE, f"the outputs of the map {eval_input.state_name} have {size} bytes together")

    worker._eval_job = eval_job  # noqa: SLF001
    worker._eval_pool = take_jobs  # noqa: SLF001
    component._map_run = checked_map_run  # noqa: SLF001


def take_jobs(self: Any, job: Any, worker_frame: Any) -> None:
    """Let a map's worker take one job after the other; moto recurses here."""
    while job is not None:
        if worker_frame.is_running():  # what is left of a stopped execution is closed without being begun
            job_frame = worker_frame.open_inner_frame()
            self._eval_job(env=job_frame, job=job)
            worker_frame.delete_frame(job_frame)
        ends = isinstance(job.job_output, Exception) or self.stopped()
        upcoming = None if ends else self._job_pool.next_job()
        if upcoming is None:  # the frame goes before the last job, so that the map sees its environment complete
            self._env.delete_frame(worker_frame)
        self._job_pool.close_job(job)
        job = upcoming


def remember_what_never_changes() -> None:
    """Parse each JSONPath once, and read moto's list of services once."""
    for name in ("asl.utils.json_path", "asl.component.common.path.result_path"):
        module = engine(name)
        module.parse = cache(module.parse)
    backends: Any = importlib.import_module("moto.backends")
    services = list(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: services


def explain(env: Any, job: Any) -> str:
    """Why a child counts as failed."""
    state = env.program_state()
    if hasattr(state, "error"):
        error = state.error or {}
        return f"child {job.job_index} failed: {error.get('error')}: {message_of(str(error.get('cause')))}"
    if job.job_output is None:
        return f"child {job.job_index} failed or was stopped"
    return f"child {job.job_index} ended with {json.dumps(job.job_output)[:200]} instead of {{}}"


def failure(env: Any, error: str, cause: str) -> Exception:
    """An error as the engine passes it to Retry and Catch."""
    events = engine("asl.component.common.error_name.failure_event")
    api = engine("api")
    details = engine("asl.eval.event.event_detail").EventDetails(
        executionFailedEventDetails=api.ExecutionFailedEventDetails(error=error, cause=cause)
    )
    event = events.FailureEvent(
        env=env,
        error_name=error_name(error),
        event_type=api.HistoryEventType.ExecutionFailed,
        event_details=details,
    )
    raised: Exception = events.FailureEventException(failure_event=event)
    return raised


def error_name(error: str) -> Any:
    """An error's name as the engine compares it: those of Step Functions itself are an enumeration."""
    if error.startswith("States."):
        kinds = engine("asl.component.common.error_name.states_error_name_type").StatesErrorNameType
        return engine("asl.component.common.error_name.states_error_name").StatesErrorName(kinds.from_name(error))
    return engine("asl.component.common.error_name.custom_error_name").CustomErrorName(error)


def message_of(cause: str) -> str:
    """The message inside the JSON in which Lambda hands over an exception."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, LookupError, TypeError):
        return cause
