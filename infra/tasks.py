"""What the deployment takes from the task files: the models that may be called, the tables of the results."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.errors import BadSetting, BadTask
from sluice.models.catalog import PROFILE_ID, Catalog
from sluice.models.fitting import for_this_machine
from sluice.results.table import schema
from sluice.runs.settings import check_kept
from sluice.task.file import load_task, task_names
from sluice.task.task import Task
from sluice.task.tiers import DEFAULT_TIERS, Transport
from sluice.task.triggers import Schedule, effective

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from sluice.runs.inbox import Intake
    from sluice.runs.settings import Settings

# The system's own ARNs end in an id that says which model it is; other ARNs say nothing.
SYSTEM_ARN = re.compile(r"arn:[^:]*:bedrock:[^:]*:[^:]*:(?:foundation-model|inference-profile)/")


@dataclass(frozen=True)
class Tasks:
    """The tasks of one folder, or none."""

    folder: Path | None = None
    tasks: tuple[Task, ...] = ()

    @classmethod
    def load(cls, folder: Path) -> Tasks:
        """Read every task file of `folder`.

        Raises:
            BadSetting: there is no such folder; without one, every table would go.
            BadTask: one of them has mistakes; better now than in a run.
        """
        if not folder.is_dir():
            raise BadSetting(f"tasks = {str(folder)!r} is not allowed: there is no such folder; name that of the tasks")
        return cls(folder, tuple(load_task(name, folder) for name in task_names(folder)))

    def model_ids(self, more: Iterable[str] = ()) -> list[str]:
        """Return the ids of all models that may be called, without the prefix of an inference profile.

        Which profile a Region uses is decided by the run; the model behind it is the same. The models of the default
        tiers are always among them, so that a first task needs no deployment of its own.

        Raises:
            BadTask: a task names a model of one's own, which no deployment can ask.
        """
        catalog = Catalog.of_project(Path(), os.environ)
        for task in self.tasks:
            own = [
                each for each in zip(task.places, task.answerers, strict=True) if _has_a_server(each[1].model, catalog)
            ]
            if own:
                raise BadTask(
                    f"task {task.name}", [f"{place}.model: {for_this_machine(tier.model)}" for place, tier in own]
                )
        tiers = [*DEFAULT_TIERS, *(tier for task in self.tasks for tier in task.answerers)]
        names = {tier.model for tier in tiers if not tier.is_learned}
        return sorted({_base_id(name, catalog) for name in names | set(more)})

    def schedules(self, intake: Intake) -> dict[str, Schedule]:
        """Return the schedule of each task that has one in this deployment.

        Raises:
            BadSetting: the deployment speaks of a task that there is not.
        """
        named = {"schedules": list(intake.schedules), "source_buckets": [source.task for source in intake.sources]}
        known = [task.name for task in self.tasks]
        for setting, task in ((setting, task) for setting, tasks in named.items() for task in tasks):
            if task not in known:
                raise BadSetting(f"{setting}: there is no task {task}; there are: {', '.join(known)}")
        triggers = {task.name: effective(task.trigger, intake.schedules.get(task.name)) for task in self.tasks}
        return {name: trigger for name, trigger in triggers.items() if isinstance(trigger, Schedule)}

    def check_waiting(self, hours: float) -> None:
        """See that an alarm of jobs that wait so long can go off.

        Raises:
            BadSetting: Bedrock ends a task's job before.
        """
        tiers = [(task.name, tier) for task in self.tasks for tier in task.answerers]
        for task, tier in tiers:
            if tier.transport != Transport.ON_DEMAND and tier.timeout_hours <= hours:
                raise BadSetting(
                    f"alarms: waiting_hours = {hours:g} is not allowed: Bedrock ends a job of the task {task} for "
                    f"{tier.model} after {tier.timeout_hours} hours (its timeout_hours), and the alarm would never go "
                    "off; choose fewer"
                )

    def check_kept(self, settings: Settings) -> None:
        """See that the requests of each task's jobs are kept for long enough.

        Raises:
            BadSetting: they are not.
        """
        for task in self.tasks:
            check_kept(settings, task.name, task.answerers)

    def reuse_days(self) -> dict[str, int]:
        """Return for how many days replies are used, of each task that reuses any."""
        return {task.name: task.reuse.days for task in self.tasks if task.reuse is not None}

    def schemas(self) -> dict[str, pa.Schema]:
        """Return the schema of each task's results."""
        return {task.name: schema(task) for task in self.tasks}

    def fields(self) -> dict[str, list[str]]:
        """Return the names of the fields that each task extracts."""
        return {task.name: list(task.answer.fields) for task in self.tasks}


def _has_a_server(model: str, catalog: Catalog) -> bool:
    entry = catalog.entries.get(model)
    return entry is not None and entry.openai is not None


def _base_id(model: str, catalog: Catalog) -> str:
    entry = catalog.entries.get(model)
    # Resolving what the catalogue has no id for names the mistake and what is allowed.
    id_ = entry.id if entry and entry.id else catalog.resolve(model, region="us-east-1").id
    match = PROFILE_ID.fullmatch(SYSTEM_ARN.sub("", id_))
    return match[2] if match else id_
