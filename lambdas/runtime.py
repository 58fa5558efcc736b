"""What all handlers share: logger, metrics, the environment, and the services of a step.

A missing environment variable fails at cold start, with its name. No row's text is ever logged.
"""

from __future__ import annotations

import gc
import json
import os
from functools import cache, wraps
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider
from botocore.config import Config

from sluice.aws.bedrock import AwsBedrock
from sluice.aws.events import EventBus
from sluice.aws.metrics import NAMESPACE
from sluice.aws.s3 import Store
from sluice.aws.service_quotas import ServiceQuotas
from sluice.aws.step_functions import Workflow
from sluice.models.catalog import Catalog
from sluice.runs.inbox import Intake
from sluice.runs.settings import Settings
from sluice.steps.services import Deployment, Services

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from sluice.aws.metrics import Measure

logger = Logger()

# Adaptive: boto3 slows down by itself when a service throttles.
CLIENT = Config(
    retries={"mode": "adaptive", "max_attempts": 6}, connect_timeout=10, read_timeout=120, max_pool_connections=32
)
# A model call that is lost may have been billed: it is not repeated behind our back.
MODEL_CLIENT = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=10, read_timeout=120)
# Quotas have defaults, and a network without the internet has no way to them: start does not wait long.
QUOTA_CLIENT = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=3, read_timeout=20)
# boto3 makes clients in one thread at a time only.
MAKING = Lock()
ROOT = Path(__file__).resolve().parent.parent


def step(function: Callable[[Any, Services], Any]) -> Callable[[Any, LambdaContext], Any]:
    """Make a Lambda handler of a function: log its beginning and end, give it its services."""
    # What has been loaded by now stays: to look through all of it again and again would take a sixth of check's time.
    gc.freeze()

    @wraps(function)
    def handle(event: Any, context: LambdaContext) -> Any:
        logger.append_keys(**_place(event))
        logger.info("begin")
        result = function(event, services(lambda: context.get_remaining_time_in_millis() / 1000))
        logger.info("end", extra={"result": result if isinstance(result, dict) else None})
        return result

    logged: Callable[[Any, LambdaContext], Any] = logger.inject_lambda_context(clear_state=True)(handle)
    return logged


def _place(event: Any) -> dict[str, Any]:
    """Where in the run an event belongs."""
    if not isinstance(event, dict):
        return {}
    reported = event.get("detail", {}).get("input")  # of the execution that EventBridge reports about
    about = event if reported is None else json.loads(reported)
    return {name: about[name] for name in ("run", "span", "round", "job", "part") if name in about}


def services(remaining_seconds: Callable[[], float]) -> Services:
    """The edges as this function's role may use them."""
    arn = os.environ.get("SLUICE_STATE_MACHINE_ARN")
    return Services(
        work=bucket(os.environ["SLUICE_WORK_BUCKET"]),
        results=bucket(os.environ["SLUICE_RESULTS_BUCKET"]),
        bucket=bucket,
        bedrock=AwsBedrock(lambda: client("bedrock"), lambda: client("bedrock-runtime", MODEL_CLIENT)),
        workflow=Workflow(client("stepfunctions"), arn) if arn else None,
        publish_event=publish_event,
        quotas=lambda: ServiceQuotas(client("service-quotas", QUOTA_CLIENT)).of_bedrock(),
        measure=measure,
        warn=logger.warning,
        remaining_seconds=remaining_seconds,
    )


def client(name: str, config: Config = CLIENT) -> Any:
    """One client per service and container, made when it is first used; threads may ask for one at the same time."""
    with MAKING:
        return _client(name, config)


@cache
def _client(name: str, config: Config) -> Any:
    return boto3.client(name, config=config)  # type: ignore[call-overload]


def bucket(name: str) -> Store:
    return Store(client("s3"), name)


@cache
def deployment() -> Deployment:
    """What start freezes into a run."""
    return Deployment(
        settings=Settings.model_validate_json(os.environ["SLUICE_SETTINGS"]),
        tasks=ROOT / "tasks",
        catalog=Catalog.of_project(ROOT, os.environ),
        region=os.environ["AWS_REGION"],
        role_arn=os.environ["SLUICE_BEDROCK_ROLE_ARN"],
        incoming_bucket=os.environ["SLUICE_INCOMING_BUCKET"],
        intake=Intake.of(ROOT),
        kms_key=os.environ.get("SLUICE_KMS_KEY_ARN") or None,
    )


def publish_event(kind: str, detail: Mapping[str, object]) -> None:
    """Tell EventBridge; the client is made when there is something to tell, which most steps never have."""
    EventBus(client("events"), os.environ["SLUICE_ENVIRONMENT"]).publish(kind, detail)


def measure(measure: Measure, value: float, *, task: str | None = None, tier: int | None = None) -> None:
    """Send a value of a metric by the log, at once: a step that fails later has measured all the same."""
    about = {"environment": os.environ["SLUICE_ENVIRONMENT"], "task": task, "tier": tier}
    # Without a service's name, which would be one more dimension.
    metric = AmazonCloudWatchEMFProvider(namespace=NAMESPACE, service="")
    own, *wider = measure.kind.dimension_sets
    for name in own:
        metric.add_dimension(name, str(about[name]))
    for names in wider:
        metric.add_dimensions(**{name: str(about[name]) for name in names})
    metric.add_metric(measure, measure.kind.unit, value)
    metric.flush_metrics()
