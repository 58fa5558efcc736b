"""What a deployer may set: the `context` of cdk.json, or `-c name=value` on CDK's command line."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from sluice.errors import BadSetting
from sluice.settings import PLAIN_ENVIRONMENT, Settings, stack_name

if TYPE_CHECKING:
    from constructs import Node

ROOT = Path(__file__).resolve().parent.parent


def _decoded(value: Any) -> Any:
    """The command line passes every value as text; lists and objects are then JSON."""
    return json.loads(value) if isinstance(value, str) else value


def _environment(value: str) -> str:
    try:
        stack_name(value)
    except BadSetting as error:
        raise ValueError(str(error)) from None
    return value


class Encryption(StrEnum):
    """Whose key the buckets use."""

    S3 = "s3"
    KMS = "kms"


class TaskSchedule(BaseModel):
    """Starts a run of a task over what lies in its incoming folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    expression: str = Field(description="EventBridge Scheduler's own: rate(1 day), cron(0 6 * * ? *), at(...).")
    timezone: str = "UTC"


class Options(BaseModel):
    """The options of one deployment, each with the value that an untouched cdk.json has."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    environment: Annotated[str, AfterValidator(_environment)] = Field(
        PLAIN_ENVIRONMENT, description="Names this deployment; several stand side by side in one account and Region."
    )
    sluice: Annotated[Settings, BeforeValidator(_decoded)] = Field(
        default_factory=Settings, description="How runs are cut and paced: sluice/settings.py."
    )
    tasks: str = Field("tasks", description="The folder of the task files; their models and tables are deployed.")
    schedules: Annotated[tuple[TaskSchedule, ...], BeforeValidator(_decoded)] = ()
    models: Annotated[tuple[str, ...], BeforeValidator(_decoded)] = Field(
        (), description="Models that may be called beside those of the tasks and the default tiers."
    )
    encryption: Encryption = Field(Encryption.S3, description="kms makes a customer key for the buckets.")
    keep_runs_days: Annotated[int, Field(ge=7)] = Field(
        90, description="A run's working files are deleted after this; results are kept."
    )
    scan_limit_gb: Annotated[int, Field(ge=1)] = Field(100, description="Athena stops a query that reads more.")
    alarms: bool = Field(default=False, description="true makes an SNS topic that the alarms notify.")
    bundle: bool = Field(
        default=True, description="false leaves the packages out of the functions' code, for tests and local runs."
    )

    @classmethod
    def of(cls, node: Node) -> Options:
        """The options in the context of the tree to which `node` belongs.

        Raises:
            ValidationError: an option is not allowed; the message names it.
        """
        values = {name: node.try_get_context(name) for name in cls.model_fields}
        return cls.model_validate({name: value for name, value in values.items() if value is not None})
