"""What is looked at: a deployment, and the tasks and models of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from sluice.answers.requests import RequestWriter, example_text
from sluice.aws.service_quotas import ServiceQuotas
from sluice.errors import BadRequest, BadSetting
from sluice.runs.settings import Settings, declared_settings
from sluice.runs.state import FrozenTier
from sluice.task.file import load_task, parse_task, task_names
from sluice.task.tiers import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sluice.aws.stack import Stack
    from sluice.models.catalog import Catalog, Model
    from sluice.models.quotas import Listed
    from sluice.task.task import Task
    from sluice.task.tiers import Answerer

TEXT = "A text to try the request with."


class Trial(NamedTuple):
    """The request that a task's tier makes, by which its model can be tried."""

    task: str
    place: str
    name: str
    model: Model
    body: dict[str, Any]


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
    def examined(self) -> Sequence[Task]:
        """The tasks; where there is none yet, one with the default tiers."""
        usual = {"name": "usual", "input": {"text": "text"}, "labels": ["yes", "no"]}
        return self.tasks or [parse_task(usual, "the usual task")]

    @cached_property
    def models(self) -> dict[str, Model | BadSetting]:
        """The models of all tasks by their names there, as the Region calls them, or why it does not."""
        return {name: self.model(name) for name in dict.fromkeys(tier.model for tier in self._tiers())}

    def _tiers(self) -> Iterator[Answerer]:
        return (tier for task in self.examined for tier in task.answerers if not tier.is_learned)

    def model(self, name: str) -> Model | BadSetting:
        """A model as the Region calls it, or why it does not."""
        try:
            return self.catalog.resolve(name, self.region)
        except BadSetting as error:
            return error

    @property
    def known(self) -> dict[str, Model]:
        """The models that the Region has."""
        return {name: model for name, model in self.models.items() if not isinstance(model, BadSetting)}

    @property
    def in_batch(self) -> dict[str, Model]:
        """The models that tasks use in batch jobs."""
        wanted = {tier.model for tier in self._tiers() if tier.transport is not Transport.ON_DEMAND}
        forced = {tier.model for tier in self._tiers() if tier.transport is Transport.BATCH}
        return {name: model for name, model in self.known.items() if name in forced or (name in wanted and model.batch)}

    @property
    def on_demand(self) -> dict[str, Model]:
        """The models that tasks call on demand, if only with what is too few for a batch job."""
        wanted = {tier.model for tier in self._tiers() if tier.transport is not Transport.BATCH}
        return {name: model for name, model in self.known.items() if name in wanted}

    @property
    def trials(self) -> Iterator[Trial]:
        """The request of each task to each of its tiers, as a run makes it; the same request to a model once."""
        made: list[tuple[str, dict[str, Any]]] = []
        for task in self.examined:
            text = example_text(task, task.examples[0]) if task.examples else TEXT
            for place, tier in zip(task.places, task.answerers, strict=True):
                if (model := self.known.get(tier.model)) is None:
                    continue
                asked = task.asked(judge=tier is task.gates.judge)
                body = RequestWriter(asked, FrozenTier.of(tier, model)).body(text)
                if (model.id, body) not in made:
                    made.append((model.id, body))
                    yield Trial(task.name, place, tier.model, model, body)

    @cached_property
    def quotas(self) -> list[Listed]:
        """The account's quotas of Bedrock."""
        return ServiceQuotas(self.client("service-quotas")).of_bedrock()

    @cached_property
    def start(self) -> Mapping[str, Any]:
        """The function start, as it is deployed."""
        found: Mapping[str, Any] = self.client("lambda").get_function_configuration(
            FunctionName=self.cloud.outputs["StartFunction"]
        )
        return found

    @property
    def role(self) -> str:
        """The service role of batch jobs."""
        if role := self.start.get("Environment", {}).get("Variables", {}).get("SLUICE_BEDROCK_ROLE_ARN"):
            return str(role)
        raise BadRequest(f"the stack {self.cloud.name} names no service role")

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
