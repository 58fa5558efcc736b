"""`sluice submit`: files and objects become one run at once; without any, what waits for a task does."""

from __future__ import annotations

import hashlib
import re
import sys
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from sluice.cli.display import byte_bar
from sluice.cli.exits import ExitCode, UsageError, complain, print_json, reader_may_leave
from sluice.cli.requests import find_inputs, parse_settings
from sluice.errors import Stop
from sluice.runs.inbox import SUBMITTED
from sluice.task.file import load_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sluice.cli.cloud import Cloud

S3 = "s3://"
TASK_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True, slots=True)
class Submission:
    """What `sluice submit` is asked for."""

    inputs: list[str]
    task: str
    settings: list[str]
    again: bool
    json: bool


def submit(cloud: Cloud, asked: Submission) -> ExitCode:
    """Begin one run of all inputs together, or runs of what waits for the task."""
    if not asked.inputs:
        return sweep_now(cloud, asked)
    command = command_of(asked)  # a wrong task or setting is told before anything is uploaded
    command["inputs"] = uris_of(cloud, asked.inputs)
    answer = cloud.start({"command": command})
    _show([str(answer["run"])], {"run_id": answer["run"], "runs": [answer["run"]]}, as_json=asked.json)
    return ExitCode.SUCCEEDED


def command_of(asked: Submission) -> dict[str, Any]:
    """Make the command of a run, but for its inputs.

    A task's name means the deployed task; a task's file is sent along, as it stands here.
    """
    by_name = TASK_NAME.fullmatch(asked.task)
    command: dict[str, Any] = {
        "task": asked.task if by_name else load_task(asked.task).model_dump(mode="json"),
        "settings": parse_settings(asked.settings),
    }
    return {**command, "nonce": uuid.uuid4().hex} if asked.again else command


def uris_of(cloud: Cloud, inputs: Sequence[str]) -> list[str]:
    """The inputs as objects: S3 URIs as they are, in place; files uploaded to where an object triggers nothing."""
    files = find_inputs([name for name in inputs if not name.startswith(S3)])
    keys = keys_of(files)
    for file, key in zip(files, keys, strict=True):
        _upload(cloud, file, key)
    return [*(name for name in inputs if name.startswith(S3)), *map(cloud.incoming.uri, keys)]


def keys_of(files: Sequence[Path]) -> list[str]:
    """A key for each file that its bytes and its name decide: the same file again is the same object."""
    from sluice.local.runner import names  # noqa: PLC0415 (loads what S3 URIs alone do without)

    return [f"{SUBMITTED}{_digest(file)}/{name}" for file, name in zip(files, names(files), strict=True)]


def _digest(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def _upload(cloud: Cloud, file: Path, key: str) -> None:
    """Upload a file, unless it lies there from an earlier time."""
    if cloud.incoming.exists(key):
        return
    print(f"uploading {file} to {cloud.incoming.uri(key)}", file=sys.stderr, flush=True)
    try:
        with byte_bar("uploading", file.stat().st_size) as advance:
            cloud.incoming.client.upload_file(str(file), cloud.incoming.bucket, key, Callback=advance)
    except S3UploadFailedError as error:
        cause = error.__context__
        raise cause if isinstance(cause, ClientError) else Stop(str(error)) from error


def sweep_now(cloud: Cloud, asked: Submission) -> ExitCode:
    """Have what waits for a deployed task run now, whatever its trigger."""
    if not TASK_NAME.fullmatch(asked.task):
        raise UsageError(f"--task {asked.task}: without inputs it is what waits for a deployed task; give its name")
    if asked.settings or asked.again:
        raise UsageError("--set and --again are for inputs: what waits is run with the deployed settings")
    swept = cloud.start({"sweep": {"task": asked.task, "now": True}})
    _show(list(swept["runs"]), swept, as_json=asked.json)
    for notice in swept["refused"]:
        complain(f"s3://{notice['bucket']}/{notice['key']}: {notice['reason']}")
    for problem in swept["problems"]:
        complain(problem)
    if swept["held"]:
        complain(f"what waits goes on waiting: {swept['held']}")
    elif not swept["runs"] and not swept["problems"]:
        complain(f"nothing waits for the task {asked.task}")
    return ExitCode.FAILED if swept["problems"] else ExitCode.SUCCEEDED


def _show(runs: list[str], document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    elif runs:
        with reader_may_leave():
            print("\n".join(runs))
    for run in runs:
        complain(f"`sluice watch {run}` shows how it goes on")
