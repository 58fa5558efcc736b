"""Every error that Sluice raises on purpose.

    SluiceError
    ├── RetryLater    wait and try again: throttled, a quota is full, a 5xx
    ├── StillRunning  a job has not ended: the state machine looks again, later each time
    │   └── StillYoung  the same of a job that is looked at as often as the settings allow
    └── Stop          trying again changes nothing: somebody has to act
        ├── BadTask       the task file: names file, field, value and what is allowed
        ├── BadInput      an object that cannot be read as rows at all
        ├── BadSetting    a deployment setting or an override that is not allowed
        ├── BadRequest    what was asked for cannot be done as things stand, and nothing has been started
        ├── NotInstalled  what was asked for needs an extra of the distribution
        ├── Unfinished    a run or a pilot that did not succeed, for who asked that it should
        ├── Refused       Bedrock takes no such job: its model's access, or what the task asks of it
        └── Unbalanced    the books of a run do not balance: nothing is published

A bad row is none of these: it is data, and becomes an output row. Beside the tree stands `Interrupted`, the
KeyboardInterrupt of a local run that was cancelled by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class SluiceError(Exception):
    """The root of the tree."""


class RetryLater(SluiceError):
    """The same call can succeed later."""


class StillRunning(SluiceError):
    """No fault: a look at a job that has not ended. Its name is what the state machine's Retry goes by."""


class StillYoung(StillRunning):
    """The same, where a twentieth of the job's age is less than the shortest wait."""


class Stop(SluiceError):
    """The same call will fail again until somebody acts."""


class BadTask(Stop):
    """A task that cannot be run; `problems` holds one sentence per mistake."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.source = source
        self.problems = problems
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))


class BadSetting(Stop):
    """A deployment setting or an override that is not allowed."""


class BadInput(Stop):
    """An input object that cannot be read as rows.

    `columns` are the names that a table has. They are its owner's words: none stands in the message, and only commands
    that keep nothing show them.
    """

    def __init__(self, message: str, columns: Sequence[str] = ()) -> None:
        self.columns = tuple(columns)
        super().__init__(message)


class BadRequest(Stop):
    """What was asked for cannot be done as things stand, and nothing has been started.

    `argument` is the one that is wrong, where it is one; the message begins with it.
    """

    def __init__(self, message: str, argument: str | None = None) -> None:
        self.argument = argument
        super().__init__(f"{argument} {message}" if argument else message)


class NotInstalled(Stop):
    """An extra of the distribution is missing; the message says how to install it."""


class Unfinished(Stop):
    """A run or a pilot that did not succeed; `status` says how it ended."""

    def __init__(self, message: str, status: str) -> None:
        self.status = status
        super().__init__(message)


class Refused(Stop):
    """A batch job that Bedrock refuses to create, whatever is in it."""


class Unbalanced(Stop):
    """Rows or records are missing from the books."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a local run, which has been cancelled; `document` is its run.json, and every row is in it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        super().__init__(f"run {document.get('run_id')} was cancelled")


def as_raised(kind: str, message: str) -> SluiceError | None:
    """Make the error again that a function raised, of which only name and message arrive; None for a foreign one."""
    if kind == BadTask.__name__:
        source = message.partition(": ")[0]
        return BadTask(source, [line.removeprefix(f"{source}: ") for line in message.split("\n")])
    plain = {error.__name__: error for error in (RetryLater, Stop, BadInput, BadSetting, Unbalanced)}
    return plain[kind](message) if kind in plain else None
