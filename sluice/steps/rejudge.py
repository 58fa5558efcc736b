"""rejudge: a new run over the stored answers of another, under new gates, labels or schema; nothing is bought."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from sluice.errors import BadTask, Stop
from sluice.rows.containers import Container, Reading, Rows
from sluice.runs.keys import Keys
from sluice.runs.state import JUDGED_AGAIN, OF
from sluice.steps.resume import refuse_closed
from sluice.steps.services import Run

if TYPE_CHECKING:
    from sluice.steps.services import Services
    from sluice.task.task import Task


def run(services: Services, run_id: str, task: Task) -> str:
    """Begin a run that judges the answers of `run_id` as `task` says, and return its id.

    Raises:
        Stop: there is no such run, or it has sent nothing yet.
        BadTask: the task reads other text than the answers were given to.
    """
    opened = Run(services.work, run_id)
    if not opened.exists:
        raise Stop(f"there is no run {run_id}")
    refuse_closed(services, run_id)
    if not services.work.exists(opened.keys.parts):
        raise Stop(f"run {run_id} has no answers to judge yet")
    _check_task(opened.task, task)
    _check_columns(opened, task)
    task = task.model_copy(update={"routes": opened.task.routes})  # which tier was asked about which row stands
    digest = hashlib.blake2b(f"{run_id} {task.version}".encode(), digest_size=5).hexdigest()
    new = f"{run_id.rsplit('-', 1)[0]}-{digest}"
    start = msgspec.structs.replace(
        opened.start,
        run=new,
        task=task.model_dump(mode="json"),
        task_version=task.version,
        created=services.now().isoformat(),
        judges=opened.start.judges or run_id,
        answers=_answers(run_id, opened.start.answers),
    )
    keys = Keys(new)
    services.work.put(keys.spans, b"[]")
    services.work.put_new(keys.start, start.write())
    if services.workflow is not None:
        services.workflow.start(new, new, opened.settings.max_workers)
    return new


def _answers(run_id: str, given: str) -> str:
    """Who gave the answers: that run, and who had given them there, where it was not Bedrock."""
    first = given.partition(OF)[2] if given.startswith(JUDGED_AGAIN) else given
    return f"{JUDGED_AGAIN}{run_id}" if first in ("", "bedrock") else f"{JUDGED_AGAIN}{run_id}{OF}{first}"


def _check_task(old: Task, new: Task) -> None:
    """Refuse a task under which the stored answers would be answers to something else."""
    problems = []
    if new.name != old.name:
        problems.append(f"name: {new.name!r} should be {old.name!r}, the task of the run")
    if new.input.text != old.input.text:
        problems.append(f"input.text: {list(new.input.text)} should be {list(old.input.text)}, which the models saw")
    if len(new.tiers) != len(old.tiers):
        problems.append(f"tiers: {len(new.tiers)} should be {len(old.tiers)}, as when the answers were bought")
    if new.quality and new.quality != old.quality:
        was = "as it was in that run, which drew by it" if old.quality else "left out: that run drew no rows"
        problems.append(f"quality: should be {was}; for another certificate begin a new run of the files")
    if new.min_score is not None and old.min_score is None:
        problems.append("min_score: should be left out: the answers of that run have no scores that were measured")
    if unseen := set(new.judged_tiers) - set(old.judged_tiers):
        whose = f" of tier {min(unseen)}" if old.judged_tiers else ""
        problems.append(f"gates.judge: should be left out: the answers{whose} of that run were not shown to a judge")
    if new.reads_row and not old.reads_row:
        problems.append("gates.rules: look at the row, but rows with the same text shared one answer in this run")
    if problems:
        raise BadTask("the task to judge by", problems)


def _check_columns(opened: Run, new: Task) -> None:
    """Refuse a task that reads what the run's rows do not hold: of Parquet they hold what its task named."""
    had, wanted = Reading.of(opened.task), Reading.of(new)
    kinds = {Container.parse(item.container).rows for item in opened.inputs.inputs}
    if had.whole or Rows.PARQUET not in kinds:
        return
    more = next((path for path in wanted.paths if path not in had.paths), None)
    if more is not None or wanted.whole:
        what = f"input: {more}" if more is not None else "input.keep_input or gates.rules: the whole row"
        problem = f"{what} was not read from the Parquet files of this run, whose task did not name it; run them anew"
        raise BadTask("the task to judge by", [problem])
