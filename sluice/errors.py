"""Every error that Sluice raises on purpose.

    SluiceError
    ├── RetryLater    wait and try again: throttled, a quota is full, a 5xx
    └── Stop          trying again changes nothing: somebody has to act
        ├── BadTask   the task file: names file, field, value and what is allowed
        ├── BadInput  an object that cannot be read as rows at all
        ├── BadSetting
        └── Unbalanced  the books of a run do not balance: nothing is published

A bad row is none of these: it is data, and becomes an output row.
"""

from __future__ import annotations


class SluiceError(Exception):
    """The root of the tree."""


class RetryLater(SluiceError):
    """The same call can succeed later."""


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
    """An input object that cannot be read as rows."""


class Unbalanced(Stop):
    """Rows or records are missing from the books."""
