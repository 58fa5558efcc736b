"""Runs on this machine."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.api.rows import Rows
from sluice.api.tasks import Inputs, Who, answered, listed, region_here
from sluice.errors import BadRequest
from sluice.extras import Extra, require
from sluice.files import digest_of, plain
from sluice.local.checks import check_faults
from sluice.results.folder import ASKED, check_out, in_folder, read_document
from sluice.results.published import why
from sluice.rows.inputs import find_inputs
from sluice.runs.settings import Settings
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sluice.local.answers import Answers
    from sluice.results.published import Published
    from sluice.runs.approval import Approval
    from sluice.runs.progress import Snapshot
    from sluice.task.task import Task

    Runner = Callable[..., Mapping[str, Any]]

WAIT_MINUTES = 15.0


def run(  # noqa: PLR0913 - what a run can be told
    inputs: Inputs,
    task: Task | str | Path,
    *,
    out: str | Path,
    answers: str | Sequence[str] | None = None,
    settings: Mapping[str, object] | None = None,
    region: str | None = None,
    wait_minutes: float = WAIT_MINUTES,
    on_progress: Callable[[Snapshot], None] | None = None,
    approve: Callable[[Approval], bool] | None = None,
) -> Run:
    """Run the deployed workflow over files, on this machine, and wait for its end.

    Nothing is printed and no signal is handled, so that a notebook, a thread or a worker of a scheduler can call it,
    as often as it likes. The processes that it starts end with it, however it ends. Ctrl-C cancels the run, which
    takes some seconds and keeps what was answered, and comes out as `Interrupted`; a second Ctrl-C leaves at once.

    Args:
        inputs: one or several files or folders.
        task: a task, or its name or path.
        out: the folder for results, run.json, report and logs: new, empty, or of earlier runs of the task, whose rows
            of the same files this run replaces.
        answers: `standin` (nothing is asked, labels are made up from the text), `replay:FILE`, `openai:URL#MODEL`, or
            `bedrock`, which asks the task's models with your credentials and costs money; several as `["0=…", "1=…"]`,
            one for each tier, and `judge=…`. Without it tiers ask the servers that models.yaml gives their models, and
            a task without any has the stand-in.
        settings: settings of a deployment, as `{"approve_above_usd": 1}`.
        region: the AWS Region whose models are meant; else AWS_REGION, else us-east-1.
        wait_minutes: for how long a server that goes away during the run is waited for.
        on_progress: is told how the run stands, about twice a second.
        approve: decides about a run that can cost more than `approve_above_usd`; without it such a run sends nothing
            and ends as cancelled.

    Returns:
        The run, also one that failed: look at its `status`, or call `raise_for_status()`.

    Raises:
        BadTask, BadInput, BadSetting, BadRequest: something cannot be used; nothing has been started.
        NotInstalled: the extra `local` is missing.
        Stop: the run could not be started, or left nothing behind.
        OSError: its results cannot be written; then nothing of them stays.
        Interrupted: Ctrl-C; its `document` is run.json of the cancelled run.

    """
    job = job_of(inputs, task, out, answers, settings, region, wait_minutes=wait_minutes)
    return job.run(local_runner(), on_progress, approve)


def open_run(out: str | Path) -> Run:
    """Open the run that lies in a folder: `out` of a run here, or of one that was downloaded.

    Raises:
        BadRequest: there is none.

    """
    return Run(Path(out), read_document(Path(out)))


class Run(Rows):
    """A run that has ended, in a folder of this machine."""

    def __init__(self, out: Path, summary: Mapping[str, Any]) -> None:
        self._out = out
        self._summary = dict(summary)

    def __repr__(self) -> str:
        return f"<Run {self.run_id}: {self.status}, {self.summary['rows']['in']:,} rows, in {self.out}>"

    @property
    def out(self) -> Path:
        """The folder that holds its files."""
        return self._out

    @property
    def summary(self) -> dict[str, Any]:
        """Its run.json: status, rows, records, tiers, labels, reasons, cost (docs/results.md)."""
        return self._summary

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str(self.summary["run_id"])

    @property
    def status(self) -> str:
        """How it ended: `succeeded`, `over_limit`, `cancelled`, `nothing_accepted` or `failed`."""
        return str(self.summary["status"])

    @property
    def error(self) -> str | None:
        """Why it failed or accepted nothing; None where it did neither."""
        return why(self.summary)

    @property
    def report(self) -> Path:
        """The file with the report, one page of HTML that needs nothing from outside."""
        return self.out / "report.html"

    @property
    def files(self) -> list[Path]:
        """The Parquet files with the results, in order."""
        return [self.out / key for key, _ in self.published().parts]

    def published(self) -> Published:
        """Open the rows, to be read batch by batch."""
        return in_folder(self.out)

    def ending(self) -> tuple[str, str | None]:
        """How it ended, and why if it failed."""
        return self.status, self.error


@dataclass(frozen=True, slots=True)
class Job:
    """A run that has been made sure of, and not been started."""

    inputs: Sequence[Path]
    task: Task
    out: Path
    answers: Answers
    settings: Mapping[str, object]
    region: str
    faults: Path | None = None
    wait_minutes: float = WAIT_MINUTES
    notes: tuple[str, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)
    judge_by: Task | None = None

    def run(
        self,
        runner: Runner,
        on_progress: Callable[[Snapshot], None] | None = None,
        approve: Callable[[Approval], bool] | None = None,
    ) -> Run:
        """Run it, and wait for its end."""
        document = runner(
            inputs=self.inputs,
            task=self.task,
            out=self.out,
            answers=self.answers,
            settings=self.settings,
            region=self.region,
            faults=self.faults,
            patience=60 * self.wait_minutes,
            asked=self.asked,
            judge_by=self.judge_by,
            on_progress=on_progress,
            approve=approve or refused,
        )
        return Run(self.out, document)


def job_of(
    inputs: Inputs,
    task: Task | str | Path,
    out: str | Path,
    answers: Who = None,
    settings: Mapping[str, object] | None = None,
    region: str | None = None,
    faults: Path | None = None,
    *,
    wait_minutes: float = WAIT_MINUTES,
) -> Job:
    """Check everything that can be checked before anything is started: task, models, settings, inputs, places."""
    where = region_here(region)
    found, _ = answered(task, answers, where)
    typed = Settings().override(settings or {})
    if not 0 <= wait_minutes < math.inf:
        raise BadRequest(f"{wait_minutes} is not allowed: give minutes, 0 or more", "wait_minutes")
    check_faults(faults)
    files = find_inputs(listed(inputs))
    check_out(Path(out), found.task.name)
    chosen = {name: getattr(typed, name) for name in settings or {}}
    noted = {
        "inputs": [str(file.resolve()) for file in files],
        "task": found.given.model_dump(mode="json"),
        "answers": [answers] if isinstance(answers, str) else list(answers or ()),
        "settings": chosen,
        "region": where,
        "wait_minutes": wait_minutes,
    }
    return Job(files, found.task, Path(out), found.answers, chosen, where, faults, wait_minutes, found.notes, noted)


def job_again(out: str | Path, max_usd: float | None = None) -> Job:
    """The latest run of a folder once more, as it was begun: what was answered is found, and the rest asked for.

    Raises:
        BadRequest: no run has been begun there.

    """
    found = _asked_in(Path(out))
    task = parse_task(found["task"], f"the task of {out}")
    if max_usd is not None:
        task = task.model_copy(update={"budget": task.budget.model_copy(update={"max_usd": max_usd})})
    return job_of(
        found["inputs"],
        task,
        out,
        found["answers"],
        found["settings"],
        found["region"],
        wait_minutes=found["wait_minutes"],
    )


def job_judged(out: str | Path, task: Task | str | Path) -> Job:
    """The latest run of a folder, its kept answers judged by another task; nobody is asked.

    Raises:
        BadRequest: no run has been begun there, or an input has changed since.
        BadTask: the task cannot be run.

    """
    found = _asked_in(Path(out))
    for item in read_document(Path(out))["inputs"] if (Path(out) / "run.json").is_file() else ():
        file = Path(str(item.get("path")))
        if item.get("sha256") and (not file.is_file() or digest_of(file) != item["sha256"]):
            raise BadRequest(f"{plain(file)} is not what the run in {plain(out)} has read: run it anew")
    judge_by, _ = answered(task, found["answers"], found["region"])
    return replace(job_again(out), judge_by=judge_by.task)


def _asked_in(out: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode((out / ASKED).read_bytes())
    except (OSError, ValueError):
        raise BadRequest(f"{plain(out)} holds no run that was begun on this machine: there is no {ASKED}") from None
    return found


def local_runner() -> Runner:
    """Load the runner of this machine.

    Raises:
        NotInstalled: the extra that it needs is missing.

    """
    require(Extra.LOCAL, "a run on this machine")
    from sluice.local.runner import run_local  # noqa: PLC0415 (a wrong request is refused without loading moto)

    return run_local


def refused(_asked: Approval) -> bool:
    """Nobody has agreed to the cost."""
    return False
