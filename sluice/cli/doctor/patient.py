"""What is looked at: a deployment, and the tasks and models of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sluice.errors import BadRequest, BadSetting
from sluice.runs.settings import Settings, declared_settings
from sluice.task.file import load_task, task_names
from sluice.task.tiers import DEFAULT_TIERS, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sluice.aws.stack import Stack
    from sluice.models.catalog import Catalog, Model
    from sluice.task.task import Task


@dataclass(frozen=True)
class Patient:
    """What is looked at: a deployment, with the tasks and the models of this folder. `calls`: models may be asked."""

    cloud: Stack
    tasks: Sequence[Task]
    catalog: Catalog
    calls: bool

    def client(self, service: str) -> Any:
        return self.cloud.session.client(service)  # type: ignore[call-overload]

    @property
    def region(self) -> str:
        return str(self.cloud.session.region_name)

    @cached_property
    def models(self) -> dict[str, Model | BadSetting]:
        """The models of all tasks by their names there, as the Region calls them, or why it does not."""
        tiers = [tier for task in self.tasks for tier in task.tiers] or list(DEFAULT_TIERS)
        return {name: self._model(name) for name in dict.fromkeys(tier.model for tier in tiers)}

    def _model(self, name: str) -> Model | BadSetting:
        try:
            return self.catalog.resolve(name, self.region)
        except BadSetting as error:
            return error

    @property
    def known(self) -> dict[str, Model]:
        """The models that the Region has."""
        return {name: model for name, model in self.models.items() if not isinstance(model, BadSetting)}

    @property
    def in_batch(self) -> list[str]:
        """The ids of the models that tasks use in batch jobs."""
        tiers = [tier for task in self.tasks for tier in task.tiers] or list(DEFAULT_TIERS)
        wanted = {tier.model for tier in tiers if tier.transport is not Transport.ON_DEMAND}
        return [model.id for name, model in self.known.items() if name in wanted and model.batch]

    @cached_property
    def start(self) -> Mapping[str, Any]:
        """The function start, as it is deployed."""
        found: Mapping[str, Any] = self.client("lambda").get_function_configuration(
            FunctionName=self.cloud.outputs["StartFunction"]
        )
        return found

    @property
    def workgroup(self) -> str:
        """What Athena's workgroup and the database are called."""
        if name := self.cloud.outputs.get("Workgroup"):
            return name
        raise BadRequest(f"the stack {self.cloud.name} names no workgroup of Athena")

    @property
    def settings(self) -> Settings:
        """The deployment's settings; those that this folder declares where there is no deployment to ask."""
        try:
            variables = self.start["Environment"]["Variables"]
        except (BadRequest, ClientError, KeyError):
            return declared_settings(Path("cdk.json"))
        return Settings.model_validate_json(variables["SLUICE_SETTINGS"])


def tasks_here(folder: Path = Path("tasks")) -> list[Task]:
    """The tasks of this folder; none is no problem.

    Raises:
        BadTask: one of them has mistakes, which `sluice check` explains.

    """
    return [load_task(name, folder) for name in task_names(folder)] if folder.is_dir() else []
