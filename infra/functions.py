"""The functions: one per step of the workflow, all from one bundle of code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Duration, RemovalPolicy, Size
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.bundle import Packages, function_code
from infra.logs import log_group
from infra.permissions import accept, accept_wildcards

if TYPE_CHECKING:
    from collections.abc import ItemsView, Mapping, ValuesView
    from pathlib import Path

    from aws_cdk import aws_stepfunctions as sfn

    from infra.options import Options
    from infra.storage import Storage


@dataclass(frozen=True)
class Room:
    """What a step may use: memory in MB, /tmp in MB, seconds. 1,769 MB are one processor.

    `arrow`: whether its code includes Arrow; `numpy`: whether numpy beside it; `tasks`: whether it includes the tasks
    and the intake's list, of which a run has its own copy, so that a changed task is new code for start alone.
    """

    memory: int
    tmp: int
    seconds: int
    arrow: bool = False
    numpy: bool = False
    tasks: bool = False

    @property
    def packages(self) -> Packages:
        """Which of the locked packages its code includes."""
        return Packages.ALL if self.numpy else Packages.ARROW if self.arrow else Packages.WITHOUT_ARROW


# docs/internals/scaling.md has the arithmetic. New accounts allow 3,008 MB. What computes has at least one whole
# processor, and no more than that would help, since each step works on one core. /tmp holds the tables of a large
# compressed object, and the replies that wait for their rows; everything else streams.
ROOMS: Mapping[str, Room] = {
    "start": Room(1769, 512, 900, tasks=True),
    "partition": Room(2048, 4096, 900, arrow=True),
    "plan": Room(2048, 512, 900, arrow=True),
    "prepare": Room(1769, 512, 900),
    "submit": Room(512, 512, 120),
    "poll": Room(512, 512, 60),
    "infer": Room(1024, 2048, 900),
    "check": Room(1769, 4096, 900, arrow=True),
    "answer": Room(1769, 512, 900, arrow=True, numpy=True),
    "learn": Room(3008, 512, 900, arrow=True, numpy=True),
    "score": Room(1769, 512, 900, arrow=True, numpy=True),
    "certify": Room(1769, 512, 900, arrow=True, numpy=True),
    "merge": Room(1769, 512, 900, arrow=True),
    "publish": Room(1024, 512, 900, arrow=True),
    "sweep": Room(512, 512, 300, arrow=True),
}

LATEST = "the locked packages are built for Python 3.13, which Lambda supports to 2029"
ACCEPTED = {
    "AwsSolutions-L1": LATEST,
    "Serverless-LambdaLatestVersion": LATEST,
    "Serverless-LambdaDLQ": "the workflow sees its calls fail; start and sweep have a destination for what they lose",
}


class Functions(Construct):
    """The functions by the name of their step: `functions["plan"]`."""

    def __init__(self, scope: Construct, id_: str, *, tasks: Path | None, options: Options) -> None:
        super().__init__(scope, id_)
        self._options = options
        self._tasks = tasks
        self._functions = {step: self._function(step, room) for step, room in ROOMS.items()}
        accept(self, ACCEPTED)

    def __getitem__(self, step: str) -> lambda_.Function:
        return self._functions[step]

    def version(self, step: str) -> lambda_.Version:
        """Return the published version of a step's present code and environment; earlier ones are kept beside it."""
        return self._functions[step].current_version

    def items(self) -> ItemsView[str, lambda_.Function]:
        """Return the functions with their steps."""
        return self._functions.items()

    def all(self) -> ValuesView[lambda_.Function]:
        """Return the functions."""
        return self._functions.values()

    def configure(self, *, storage: Storage, machine: sfn.IStateMachine, role: iam.IRole) -> None:
        """Set the environment of each function, as docs/internals/architecture.md lists it.

        Apart from making them, because the state machine, which `start` has to know, has to know them first.
        """
        everywhere = {
            "SLUICE_ENVIRONMENT": self._options.environment,
            "SLUICE_WORK_BUCKET": storage.work.bucket_name,
            "SLUICE_RESULTS_BUCKET": storage.results.bucket_name,
            "POWERTOOLS_SERVICE_NAME": "sluice",
            "LOG_LEVEL": "INFO",
        }
        own = {
            "start": {
                "SLUICE_SETTINGS": self._options.sluice.model_dump_json(exclude_unset=True),
                "SLUICE_BEDROCK_ROLE_ARN": role.role_arn,
                "SLUICE_STATE_MACHINE_ARN": machine.state_machine_arn,
                "SLUICE_INCOMING_BUCKET": storage.incoming.bucket_name,
                **({"SLUICE_GEOGRAPHIES": ",".join(self._options.geographies)} if self._options.geographies else {}),
                **({"SLUICE_KMS_KEY_ARN": storage.key.key_arn} if storage.key else {}),
            },
            "sweep": {"SLUICE_STATE_MACHINE_ARN": machine.state_machine_arn},
        }
        for step, function in self._functions.items():
            for name, value in {**everywhere, **own.get(step, {})}.items():
                function.add_environment(name, value)

    def _code(self, room: Room) -> lambda_.Code:
        return function_code(
            packages=room.packages if self._options.bundle else Packages.NONE,
            tasks=self._tasks if room.tasks else None,
            intake=self._options.intake if room.tasks else None,
        )

    def _function(self, step: str, room: Room) -> lambda_.Function:
        name = step.capitalize()
        group = log_group(self, f"{name}Logs", days=self._options.keep_logs_days)
        # A role of its own, because the one that CDK makes may write to every log group of the account.
        role = iam.Role(self, f"{name}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        group.grant_write(role)
        accept_wildcards(role, ["*"], "X-Ray knows no resources")
        return lambda_.Function(
            self,
            name,
            code=self._code(room),
            handler=f"lambdas.{step}.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            memory_size=room.memory,
            ephemeral_storage_size=Size.mebibytes(room.tmp),
            timeout=Duration.seconds(room.seconds),
            tracing=lambda_.Tracing.ACTIVE,
            log_group=group,
            role=role,
            # A run that began before a deployment goes on with the code that it began with.
            current_version_options=lambda_.VersionOptions(removal_policy=RemovalPolicy.RETAIN),
        )
