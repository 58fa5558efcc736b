"""A deployed stack: what is submitted to it, and what becomes of it."""

from __future__ import annotations

import math
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sluice.api.local import Run, open_run
from sluice.api.rows import Rows
from sluice.api.tasks import Inputs, listed, load_task
from sluice.aws.errors import translating
from sluice.aws.stack import Stack, open_session
from sluice.deployment import control, submission
from sluice.deployment.following import follow
from sluice.deployment.info import info
from sluice.deployment.outcome import download, kept, outcome, report
from sluice.deployment.standing import beginning, latest, standing
from sluice.errors import BadRequest
from sluice.results.folder import check_out
from sluice.runs.settings import stack_name
from sluice.task.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import boto3

    from sluice.deployment.outcome import OnDownload
    from sluice.deployment.standing import Beginning, Standing
    from sluice.deployment.submission import OnUpload, Swept
    from sluice.results.folder import Kept
    from sluice.results.published import Published
    from sluice.runs.progress import Snapshot

TASK_NAME = re.compile(r"[\w-]+")


class Deployment:
    """A deployed stack, by the name of its environment. Nothing is asked of AWS before it is needed.

    Args:
        environment: the name that it was deployed under; an untouched project's is `prod`.
        region: the stack's AWS Region; else that of the variables and the profile.
        profile: a profile of your AWS settings.
        session: a `boto3.Session` of your own in the place of Region and profile.

    Raises:
        BadSetting: no environment may be called so.
        BadRequest: there is no such profile.

    """

    def __init__(
        self,
        environment: str = "prod",
        *,
        region: str | None = None,
        profile: str | None = None,
        session: boto3.Session | None = None,
    ) -> None:
        self.environment = environment
        name = stack_name(environment)
        self.stack = Stack(session or open_session(region, profile), name)

    def __repr__(self) -> str:
        return f"<Deployment {self.environment}: stack {self.stack.name} in {self.stack.session.region_name}>"

    @translating()
    def submit(
        self,
        inputs: Inputs,
        task: Task | str | Path,
        *,
        settings: Mapping[str, object] | None = None,
        again: bool = False,
        on_upload: OnUpload | None = None,
    ) -> DeployedRun:
        """Begin one run of all inputs together, and return it at once.

        Args:
            inputs: one or several files or folders, which are uploaded, or `s3://bucket/key` and
                `s3://bucket/prefix/`, which are read in place as far as the deployment may.
            task: the name of a deployed task; or a task, or the path of its file, which is sent along.
            settings: settings of the deployment that this run is to have otherwise.
            again: run anew what the same call has run before; without it the same call is the same run.
            on_upload: is called with a file and its URI, and gives a context whose value takes the bytes that are
                through.

        Raises:
            BadTask, BadInput, BadSetting, BadRequest: something cannot be used; nothing has been started.
            RetryLater, Stop: AWS could not be reached, or refuses.

        """
        command = submission.command_of(_meant(task), settings or {}, again=again)
        return DeployedRun(self.stack, submission.submit(self.stack, listed(inputs), command, on_upload or _in_silence))

    @translating()
    def sweep(self, task: str) -> Swept:
        """Have what waits for a deployed task run now, whatever its trigger; the ids of the runs, and what was refused.

        Raises:
            BadRequest: this is no name of a task.
            RetryLater, Stop: AWS could not be reached, or refuses.

        """
        if not TASK_NAME.fullmatch(task):
            raise BadRequest(f"{task}: without inputs it is what waits for a deployed task; give its name", "task")
        return submission.sweep(self.stack, task)

    def run(self, run_id: str) -> DeployedRun:
        """Take up a run by its id. AWS is asked when the run is.

        Every call of a run that there is none of raises `BadRequest`.
        """
        return DeployedRun(self.stack, run_id)

    @translating()
    def runs(self, task: str | None = None, limit: int = 20) -> list[DeployedRun]:
        """List the latest runs, newest first; `last` of each tells how it stands.

        Args:
            task: only runs of the task of this name.
            limit: at most so many.

        Raises:
            BadRequest: there is no such stack, or the limit is below 1.
            RetryLater, Stop: AWS could not be reached, or refuses.

        """
        if limit < 1:
            raise BadRequest(f"{limit} is no number of runs: give 1 or more", "limit")
        return [DeployedRun(self.stack, now.run, now) for now in latest(self.stack, limit, task)]


class DeployedRun(Rows):
    """A run of a deployment. What it tells is asked of AWS each time, but for `run_id` and `last`.

    Every call raises `BadRequest` where there is no such run, `RetryLater` where AWS cannot be reached just now, and
    `Stop` where it refuses.
    """

    def __init__(self, stack: Stack, run_id: str, last: Standing | None = None) -> None:
        self.stack = stack
        self._last = last
        self._run_id = run_id

    def __repr__(self) -> str:
        return f"<DeployedRun {self.run_id}{f': {self.last.status}' if self.last else ''}>"

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._run_id

    @property
    def last(self) -> Standing | None:
        """How the run stood when it was last looked at; None where it was not. AWS is not asked."""
        return self._last

    @property
    def standing(self) -> Standing:
        """How the run stands: `status`, `error`, `rows` (None until counted), `cost_usd` (None until it has ended)."""
        with translating():
            now = self._last = standing(self.stack, self.run_id)
        return now

    @property
    def beginning(self) -> Beginning:
        """Which task the run is of, and since when; asked more cheaply than `standing`."""
        with translating():
            return beginning(self.stack, self.run_id)

    @property
    def status(self) -> str:
        """How the run stands, in a word.

        `running`, `cancelling` or `waiting_for_approval`; once it has ended `succeeded`, `over_limit`, `cancelled`,
        `nothing_accepted` or `failed`.
        """
        return self.standing.status

    @property
    def error(self) -> str | None:
        """Why it failed; None where it did not."""
        return self.standing.error

    @property
    def summary(self) -> dict[str, Any]:
        """run.json of a run that has ended.

        Raises:
            BadRequest: there is none yet, or the run failed before it could leave one.

        """
        now = self.standing
        if now.document is None:
            why = f": {now.error}" if now.error else ""
            raise BadRequest(f"run {self.run_id} has no summary, it is {now.status.replace('_', ' ')}{why}")
        return now.document

    def ending(self) -> tuple[str, str | None]:
        """How the run stands, and why it failed if it did."""
        now = self.standing
        return now.status, now.error

    def info(self) -> dict[str, Any]:
        """Tell what the run was frozen with, its executions, its costs, and where its things lie."""
        with translating():
            return info(self.stack, self.run_id)

    def wait(
        self,
        timeout: float | None = None,
        *,
        on_progress: Callable[[Snapshot], None] | None = None,
        on_status: Callable[[Standing], None] | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> Self:
        """Wait until the run does not go on any more, and return it.

        That is when it has ended, well or badly, and when it waits for an approval: look at `status`, or call
        `raise_for_status()`. The run does not depend on who waits: Ctrl-C leaves it alone.

        Args:
            timeout: at most so many seconds; for ever where none is given.
            on_progress: is told how far the run is, every five seconds.
            on_status: is told how it stands, before each look.
            pause: waits so many seconds; for a loop that has its own way to wait.

        Raises:
            RetryLater: the run still goes on.

        """
        with translating():
            self._last = follow(
                self.stack,
                self.run_id,
                on_progress or _unheard,
                on_status=on_status or _unheard,
                timeout=timeout,
                pause=pause,
            )
        return self

    def published(self) -> Published:
        """Open the rows, to be read batch by batch, by ranged reads of the results bucket."""
        with translating():
            return outcome(self.stack, self.run_id).rows

    @translating()
    def download(self, out: str | Path, *, on_download: OnDownload | None = None) -> Run:
        """Copy Parquet files, run.json and report into a folder, laid out as `sluice.run` does; the run there.

        Args:
            out: a new or an empty folder, or an earlier run's.
            on_download: is called with the count and the bytes of the files, and gives a context whose value takes the
                bytes that are through.

        Raises:
            BadRequest: the run has published nothing, or the folder holds other files.

        """
        check_out(Path(out))
        self._last = download(self.stack, self.run_id, Path(out), on_download or _in_silence)
        return open_run(out)

    @translating()
    def certificate(self) -> bytes | None:
        """Get certificate.json of a run that has ended; None where the run promises nothing."""
        return kept(self.stack, self.run_id).certificate

    def kept(self) -> Kept:
        """Get what a run that has ended tells of the rows that it drew: draws.json and certificate.json."""
        with translating():
            return kept(self.stack, self.run_id)

    @translating()
    def report(self) -> bytes:
        """Get the report of a run that has ended, as one page of HTML; of a failed one what it left behind."""
        return report(self.stack, self.run_id)

    @translating()
    def cancel(self) -> bool:
        """Have the run stopped and closed, which takes some minutes; whether that was under way already.

        What was answered is kept and published, every row accounted for.

        Raises:
            BadRequest: it has ended.

        """
        return control.cancel(self.stack, self.run_id)

    @translating()
    def approve(self) -> str:
        """Agree to the cost of a run that waits for it; the name of the execution with which it goes on.

        Raises:
            BadRequest: it does not wait.

        """
        return control.approve(self.stack, self.run_id)

    @translating()
    def resume(self, max_usd: float | None = None, *, escalate_refused: bool = False) -> str:
        """Go on with a run that failed, was cancelled or ran out of budget; the name of the execution.

        Only what is missing is bought. A tier that refused all that it was sent is asked again first.

        Args:
            max_usd: a new budget for the whole run, in dollars.
            escalate_refused: ask the next tier for what its tier refuses again.

        Raises:
            BadRequest: it has not ended, or the budget is no amount.

        """
        if max_usd is not None and not 0 <= max_usd < math.inf:
            raise BadRequest(f"{max_usd} is no amount of dollars", "max_usd")
        return control.resume(self.stack, self.run_id, max_usd, escalate_refused=escalate_refused)

    @translating()
    def rejudge(self, task: Task | str | Path) -> DeployedRun:
        """Begin a run that judges the stored answers of this one by another task; nothing is bought.

        Raises:
            BadTask, BadSetting, BadInput: the task cannot judge these answers.

        """
        known = task if isinstance(task, Task) else load_task(task)
        return DeployedRun(self.stack, control.rejudge(self.stack, self.run_id, known))


def _meant(task: Task | str | Path) -> Task | str:
    """The name of a deployed task, or a task to send along."""
    if isinstance(task, Task) or (isinstance(task, str) and TASK_NAME.fullmatch(task)):
        return task
    return load_task(task)


@contextmanager
def _in_silence(*_what: object) -> Iterator[Callable[[int], None]]:
    """Nobody wants to know how many bytes are through."""
    yield _unheard


def _unheard(_what: object) -> None:
    """Nobody wants to know."""
