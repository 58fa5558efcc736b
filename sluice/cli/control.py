"""What changes runs (start, approve, cancel, resume, rejudge): the deployed functions are asked, and they decide."""

from __future__ import annotations

import json
import re
import sys
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from sluice.cli.exits import ExitCode, UsageError, complain, reader_may_leave, report_change
from sluice.cli.requests import find_inputs, parse_settings
from sluice.cli.standing import CANCELLING, GOING_ON, WAITING, beginning, standing
from sluice.errors import Stop
from sluice.task import load_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sluice.cli.cloud import Cloud

S3 = "s3://"
TASK_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True, slots=True)
class Beginning:
    """What `sluice start` is asked for."""

    inputs: list[str]
    task: str
    settings: list[str]
    again: bool
    json: bool


def start_runs(cloud: Cloud, asked: Beginning) -> ExitCode:
    """Start one run of S3 objects, or one run of each local file by dropping it where dropped files start runs."""
    remote = [name for name in asked.inputs if name.startswith(S3)]
    if remote and len(remote) < len(asked.inputs):
        raise UsageError("local files and S3 objects cannot be mixed: each local file is a run of its own")
    runs = [_run_of(cloud.start({"command": command_of(asked)}))] if remote else _dropped(cloud, asked)
    with reader_may_leave():
        print(json.dumps({"runs": runs}) if asked.json else "\n".join(runs))
    for run in runs:
        complain(f"`sluice watch {run}` shows how it goes on")
    return ExitCode.SUCCEEDED


def command_of(asked: Beginning) -> dict[str, Any]:
    """Make the command of a run over S3 objects.

    A task's name means the deployed task; a task's file is sent along, as it stands here.
    """
    by_name = TASK_NAME.fullmatch(asked.task)
    command: dict[str, Any] = {
        "task": asked.task if by_name else load_task(asked.task).model_dump(mode="json"),
        "inputs": asked.inputs,
        "settings": parse_settings(asked.settings),
    }
    return {**command, "nonce": uuid.uuid4().hex} if asked.again else command


def _dropped(cloud: Cloud, asked: Beginning) -> list[str]:
    """Upload each file under its task's folder, and return the runs that this starts.

    The upload itself starts the run, through EventBridge. Start is called with the same event beside it, only to
    learn the run's id: whichever comes second finds the run begun, since the id follows from the object's version.
    """
    if not TASK_NAME.fullmatch(asked.task):
        raise UsageError(
            f"--task {asked.task}: a dropped file is classified by the deployed task of that name; give its name, "
            "or the file's S3 URI beside a task file"
        )
    if asked.settings or asked.again:
        raise UsageError(
            "--set and --again are for S3 objects: a dropped file starts its run with the deployed settings"
        )
    files = find_inputs(asked.inputs)
    keys = _keys_of(files, asked.task)
    return [_run_of(cloud.start(_drop(cloud, file, key))) for file, key in zip(files, keys, strict=True)]


def _keys_of(files: Sequence[Path], task: str) -> list[str]:
    names = [file.name for file in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two of the files are called {twice}: one would replace the other under {task}/")
    return [f"{task}/{name}" for name in names]


def _drop(cloud: Cloud, file: Path, key: str) -> dict[str, Any]:
    """Upload a file, and make the event that S3 sends of it, as far as start reads it."""
    bucket = cloud.incoming.bucket
    print(f"uploading {file} to {cloud.incoming.uri(key)}", file=sys.stderr, flush=True)
    try:
        cloud.incoming.client.upload_file(str(file), bucket, key)
    except S3UploadFailedError as error:
        cause = error.__context__
        raise cause if isinstance(cause, ClientError) else Stop(str(error)) from error
    head = cloud.incoming.head(key)
    version = {"version-id": head.version} if head and head.version else {}
    detail = {"bucket": {"name": bucket}, "object": {"key": key, **version}}
    return {"detail-type": "Object Created", "detail": detail}


def _run_of(answer: dict[str, Any]) -> str:
    if not answer.get("run"):
        raise Stop("the function start found nothing to run")
    return str(answer["run"])


def cancel_run(cloud: Cloud, run: str, *, as_json: bool = False) -> ExitCode:
    """Have a run stopped and closed, and say what happens next."""
    now = standing(cloud, run)
    if now.status not in GOING_ON | {WAITING}:
        hint = f"; `sluice resume {run}` goes on with it" if now.status == "failed" else ""
        raise UsageError(f"run {run} has ended already: {now.status}{hint}")
    cloud.sweep({"run": run, "reason": "cancelled"})
    again = "is being cancelled already" if now.status == CANCELLING else "is being cancelled"
    text = (
        f"run {run} {again}.\n"
        "Nothing more is sent, and its Bedrock jobs are stopped. About two minutes later, a pause for jobs that were\n"
        "just being created, the run is closed: what was answered is kept and published, every row accounted for.\n"
        f"`sluice resume {run}` buys what is missing after that."
    )
    report_change({"run_id": run, "status": CANCELLING}, text, as_json=as_json)
    return ExitCode.SUCCEEDED


def approve_run(cloud: Cloud, run: str, *, as_json: bool = False) -> ExitCode:
    """Agree to the cost of a run that waits for it, so that it goes on."""
    beginning(cloud, run)
    execution = cloud.start({"approve": {"run": run}})["execution"]
    text = f"run {run} is approved and goes on (execution {execution})."
    report_change({"run_id": run, "execution": execution}, text, as_json=as_json)
    return ExitCode.SUCCEEDED


def resume_run(cloud: Cloud, run: str, max_usd: float | None, *, as_json: bool = False) -> ExitCode:
    """Start a further execution of a run, which buys only what is missing."""
    now = standing(cloud, run)
    if now.status in GOING_ON:
        raise UsageError(f"run {run} has not ended yet ({now.status}); `sluice watch {run}` waits for it")
    if now.status == WAITING:
        raise UsageError(f"run {run} waits for an approval of its cost; `sluice approve {run}` lets it go on")
    execution = cloud.start({"resume": {"run": run, "max_usd": max_usd}})["execution"]
    budget = f", for at most ${max_usd:,.2f} in all" if max_usd is not None else ""
    text = f"run {run} goes on{budget} (execution {execution}): only what is missing is bought."
    report_change({"run_id": run, "execution": execution}, text, as_json=as_json)
    return ExitCode.SUCCEEDED


def rejudge_run(cloud: Cloud, run: str, task: str, *, as_json: bool = False) -> ExitCode:
    """Start a run that judges the stored answers of another by a task file; nothing is bought."""
    beginning(cloud, run)
    new = _run_of(cloud.start({"rejudge": {"run": run, "task": load_task(task).model_dump(mode="json")}}))
    complain(f"the answers of {run} are judged again; nothing is bought")
    report_change({"run_id": new, "judges": run}, new, as_json=as_json)
    return ExitCode.SUCCEEDED
