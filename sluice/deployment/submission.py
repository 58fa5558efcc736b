"""How runs begin: files are uploaded, objects are read in place, and the function start is called."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from sluice.errors import Stop
from sluice.rows.inputs import find_inputs, in_s3, names
from sluice.runs.inbox import SUBMITTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sluice.aws.stack import Stack
    from sluice.task.task import Task


class OnUpload(Protocol):
    """Is told which file goes where; what it gives takes the bytes that are through, for as long as the file takes."""

    def __call__(self, file: Path, uri: str, /) -> AbstractContextManager[Callable[[int], None]]: ...


@dataclass(frozen=True, slots=True)
class Swept:
    """What came of having everything run that waits for a task.

    `waiting` objects go on waiting, the oldest of them for `overdue_seconds` too long, because of what `held` says.
    `refused` names objects that cannot be inputs, each with bucket, key and reason.
    """

    runs: list[str]
    refused: list[dict[str, Any]]
    problems: list[str]
    held: str | None
    waiting: int
    overdue_seconds: float


def command_of(task: Task | str, settings: Mapping[str, object], *, again: bool) -> dict[str, Any]:
    """Make the command of a run, but for its inputs; a name means the deployed task, a task is sent along."""
    command: dict[str, Any] = {
        "task": task if isinstance(task, str) else task.model_dump(mode="json"),
        "settings": dict(settings),
    }
    return {**command, "nonce": uuid.uuid4().hex} if again else command


def submit(stack: Stack, inputs: Sequence[str | Path], command: Mapping[str, Any], on_upload: OnUpload) -> str:
    """Begin one run of all inputs together; its id.

    Raises:
        BadRequest: a file that is not there; nothing has been uploaded.
        BadTask, BadInput, BadSetting: start refuses the command.

    """
    return str(stack.start({"command": {**command, "inputs": uris_of(stack, inputs, on_upload)}})["run"])


def uris_of(stack: Stack, inputs: Sequence[str | Path], on_upload: OnUpload) -> list[str]:
    """The inputs as objects: S3 URIs as they are, in place; files uploaded to where an object triggers nothing."""
    given = [str(name) for name in inputs]
    files = find_inputs(name for name in given if not in_s3(name))
    keys = keys_of(files)
    for file, key in zip(files, keys, strict=True):
        _upload(stack, file, key, on_upload)
    return [*(name for name in given if in_s3(name)), *map(stack.incoming.uri, keys)]


def keys_of(files: Sequence[Path]) -> list[str]:
    """A key for each file that its bytes and its name decide: the same file again is the same object."""
    return [f"{SUBMITTED}{_digest(file)}/{name}" for file, name in zip(files, names(files), strict=True)]


def _digest(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def _upload(stack: Stack, file: Path, key: str, on_upload: OnUpload) -> None:
    """Upload a file, unless it lies there from an earlier time."""
    if stack.incoming.exists(key):
        return
    try:
        with on_upload(file, stack.incoming.uri(key)) as advance:
            stack.incoming.client.upload_file(str(file), stack.incoming.bucket, key, Callback=advance)
    except S3UploadFailedError as error:
        cause = error.__context__
        raise cause if isinstance(cause, ClientError) else Stop(str(error)) from error


def sweep(stack: Stack, task: str) -> Swept:
    """Have what waits for a deployed task run now, whatever its trigger."""
    said = stack.start({"sweep": {"task": task, "now": True}})
    return Swept(**{field.name: said[field.name] for field in fields(Swept)})
