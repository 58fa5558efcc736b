"""Exit codes, and how a command ends: one place for what is said on standard error."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from sluice.errors import BadInput, BadRequest, BadSetting, BadTask, NotInstalled, SluiceError
from sluice.files import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class ExitCode(IntEnum):
    """What a command's exit code says."""

    SUCCEEDED = 0
    FAILED = 1
    USAGE = 2
    CANCELLED = 3
    OVER_LIMIT = 4
    WAITING = 5  # of `sluice watch`: nothing happens until somebody approves the cost
    INTERRUPTED = 130  # what a shell says of a command that Ctrl-C ended


MEANINGS = {
    ExitCode.SUCCEEDED: "done; of a run: it succeeded",
    ExitCode.FAILED: "a run failed or accepted nothing, a check found a problem, or AWS or a file could not be reached",
    ExitCode.USAGE: "wrong usage, a bad task, setting or input: nothing was started",
    ExitCode.CANCELLED: "the run was cancelled; its results hold every row",
    ExitCode.OVER_LIMIT: "the run passed a limit of its task, or ran out of budget; its results hold every row",
    ExitCode.WAITING: "the run waits for an approval: `sluice approve RUN`",
    ExitCode.INTERRUPTED: "Ctrl-C; a run in AWS goes on",
}

OF_STATUS = {
    "succeeded": ExitCode.SUCCEEDED,
    "failed": ExitCode.FAILED,
    "nothing_accepted": ExitCode.FAILED,
    "cancelled": ExitCode.CANCELLED,
    "over_limit": ExitCode.OVER_LIMIT,
    "waiting_for_approval": ExitCode.WAITING,
}


# What a write can meet; files that are written name themselves, standard output does not.
OUT_OF_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Nothing has been started, and another command line would do.
USAGE = (BadTask, BadInput, BadSetting, BadRequest, NotInstalled)


def concluded(command: Callable[[], ExitCode]) -> ExitCode:
    """Run a command to its exit code: whatever goes wrong ends in one sentence on standard error."""
    from sluice.aws.errors import translating  # noqa: PLC0415 (help does without boto3)

    try:
        with translating():
            return command()
    except SluiceError as error:
        return complain_of(error)
    except OSError as error:  # a full disk, a folder that may not be written
        complain(of_a_file(error))
        return ExitCode.FAILED


def complain_of(error: SluiceError) -> ExitCode:
    """Say what went wrong; the exit code that it comes to."""
    match error:
        case BadTask():
            complain_of_task(error)
        case BadRequest():
            complain(plain(f"--{error}" if error.argument else error))
        case _:
            complain(str(error))
    return ExitCode.USAGE if isinstance(error, USAGE) else OF_STATUS.get(getattr(error, "status", ""), ExitCode.FAILED)


def of_a_file(error: OSError) -> str:
    """What the system says of a file: a full disk, a folder that may not be written."""
    unnamed = "standard output" if error.errno in OUT_OF_ROOM else "a file"
    return f"{plain(error.filename or unnamed)}: {error.strerror or error}"


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    print(f"sluice: {message}", file=sys.stderr)


def complain_of_task(error: BadTask) -> None:
    """List every mistake of a task."""
    count = len(error.problems)
    complain(f"{plain(error.source)} cannot be run: {count} {'mistake' if count == 1 else 'mistakes'}")
    for problem in error.problems:
        print(f"  - {plain(problem)}", file=sys.stderr)


def print_json(document: object) -> None:
    """Print a document, and nothing else, on standard output."""
    import msgspec  # noqa: PLC0415 (what prints no JSON does without)

    with reader_may_leave():
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def report_change(change: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Say what was changed, and which command shows how it goes on."""
    if as_json:
        print_json(change)
    else:
        print(text)
    complain(f"`sluice watch {change['run_id']}` shows how it goes on")


@contextmanager
def output_is_written() -> Iterator[None]:
    """End in one sentence where standard output cannot be written, as on a full disk; else as the command ends."""
    code: Any = ExitCode.SUCCEEDED
    try:
        yield
    except SystemExit as ending:
        code = ending.code
    except OSError as error:
        complain(of_a_file(error))
        code = ExitCode.FAILED
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left would be tried again at exit
        if not code and not isinstance(error, BrokenPipeError):
            complain(f"standard output: {error.strerror or error}")
            code = ExitCode.FAILED
    sys.exit(code)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Let the reader of standard output go away early (`| head`) without a traceback, now or at exit."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
