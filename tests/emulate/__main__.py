"""The real template, deployed to an emulator of AWS that is not the project's own, and all that a run can do there.

`make emulate`. The steps follow each other in one account, each with its time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.api.deployment import Deployment
from sluice.deployment.standing import GOING_ON
from sluice.task.file import load_task
from tests.emulate.emulator import ACCOUNT, PYTHON, REGION, ROOT, Emulator, python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = 200
# Small jobs, so that there are several, and what is left goes on demand.
SETTINGS: dict[str, Any] = {"min_records_per_job": 50, "max_records_per_job": 150}
# Pauses of the deployment's own, which are real seconds.
PAUSES: dict[str, Any] = {"settle_seconds": 1, "sweep_seconds": 5}
END_SECONDS = 300
# The columns that say where the input lay and which run it was.
ELSEWHERE = {"source", "run_id"}


@contextmanager
def step(said: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    begun = time.monotonic()
    print(f"{said} ... ", end="", flush=True)
    yield
    print(f"{time.monotonic() - begun:.1f} s", flush=True)


def until(found: Callable[[], Any], what: str) -> Any:
    """What is found, as soon as there is something."""
    deadline = time.monotonic() + END_SECONDS
    while not (seen := found()):
        assert time.monotonic() < deadline, f"there never was {what}"
        time.sleep(0.2)
    return seen


class Account:
    """What somebody sees of a deployment in the emulator."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.emulator = emulator
        self.folder = folder
        self.deployment = Deployment(session=emulator.session())
        self.s3: Any = emulator.session().client("s3")
        self.states: Any = emulator.session().client("stepfunctions")

    def sluice(self, *words: str) -> None:
        """Call the command line as its user does."""
        log = self.folder / "command.log"
        with log.open("ab") as said:
            command = [sys.executable, "-m", "sluice", *words, "--output", str(self.folder / "cdk.out")]
            done = subprocess.run(command, env=self.emulator.variables, stdout=said, stderr=said, check=False)
        assert done.returncode == 0, f"{' '.join(words)}\n{log.read_text()[-3000:]}"

    def output(self, name: str) -> str:
        """An output of the stack."""
        return self.deployment.stack.outputs[name]

    def executions(self) -> list[dict[str, Any]]:
        """All executions, the newest first."""
        found: list[dict[str, Any]] = self.states.list_executions(stateMachineArn=self.output("StateMachineArn"))[
            "executions"
        ]
        return found

    def ended(self, name: str) -> str:
        """How an execution ended."""

        def status() -> str | None:
            found = next((one["status"] for one in self.executions() if one["name"] == name), None)
            return None if found == "RUNNING" else found

        return str(until(status, f"an end of {name}"))

    def rows(self, run: str) -> pa.Table:
        """The rows of a run."""
        bucket, parts = self.output("ResultsBucket"), []
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="results/"):
            for item in page.get("Contents", []):
                if run in item["Key"] and item["Key"].endswith(".parquet"):
                    body = self.s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                    parts.append(pq.ParquetFile(pa.BufferReader(body)).read())
        return pa.concat_tables(parts)


def local(lines: list[bytes], folder: Path) -> pa.Table:
    """The rows of the same input in a local run."""
    file = folder.with_suffix(".jsonl")
    file.write_bytes(b"".join(lines))
    words = ["run", str(file), "--task", "tickets", "--out", str(folder)]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    for name, value in SETTINGS.items():
        words += ["--set", f"{name}={value}"]
    command = [sys.executable, "-m", "sluice", *words]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return pa.concat_tables([pq.ParquetFile(path).read() for path in sorted(folder.glob("results/**/*.parquet"))])


def same(ours: pa.Table, theirs: pa.Table) -> int:
    """Hold two runs to the same rows, column by column; how many columns were looked at."""
    assert ours.schema.equals(theirs.schema), (ours.schema, theirs.schema)
    assert ours.num_rows == theirs.num_rows, (ours.num_rows, theirs.num_rows)
    names = [name for name in ours.column_names if name not in ELSEWHERE]
    left, right = (table.sort_by("line") for table in (ours, theirs))
    for name in names:
        assert left[name].equals(right[name]), name
    return len(names)


def main() -> None:
    """Go through all of it."""
    if python() is None:
        print(f"skipped: the functions need Python {PYTHON}, and this machine has none")
        return
    lines = (ROOT / "sample_data/tickets.jsonl").read_bytes().splitlines(keepends=True)
    with tempfile.TemporaryDirectory(prefix="sluice-emulate-") as scratch:
        folder = Path(scratch)
        begun = time.monotonic()
        with Emulator(folder / "emulator", load_task("tickets"), SETTINGS) as emulator:
            os.environ.update({"AWS_ENDPOINT_URL": emulator.endpoint})
            go(emulator, lines, folder)
        print(f"all of it: {time.monotonic() - begun:.0f} s")


def go(emulator: Emulator, lines: list[bytes], folder: Path) -> None:
    """Deploy, run, fail and resume, cancel and resume, destroy."""
    account = Account(emulator, folder)
    with step("bootstrap"):
        account.sluice("bootstrap", "--", f"aws://{ACCOUNT}/{REGION}")
    with step("deploy"):
        deploy(account)
    with step("drop, and wait for the run"):
        run = drop(account, "a.jsonl", lines[:ROWS])
        assert account.ended(run) == "SUCCEEDED"
    with step("compare with a local run"):
        columns = same(local(lines[:ROWS], folder / "a"), account.rows(run))
    print(f"  {ROWS} rows, {columns} columns")
    with step("fail, be swept, and resume"):
        fail(account, lines[ROWS : 2 * ROWS], folder)
    with step("submit, cancel, and resume"):
        cancel(account, lines[2 * ROWS : 3 * ROWS], folder)
    with step("destroy"):
        account.sluice("destroy", "--", "--force")
        left = [one["Name"] for one in account.s3.list_buckets()["Buckets"] if one["Name"].startswith("sluice-")]
        assert all(name.startswith("sluice-storagelogs") for name in left), left  # kept until they are due


def deploy(account: Account) -> None:
    """Deploy as `sluice deploy` does; the functions' packages are those of their own interpreter here."""
    options = {"bundle": "false", "removal": "destroy", "sluice": json.dumps({**SETTINGS, **PAUSES})}
    words = [word for name, value in options.items() for word in ("--context", f"{name}={value}")]
    account.sluice("deploy", "--", "--require-approval", "never", *words)


def drop(account: Account, name: str, lines: list[bytes]) -> str:
    """Put a file into the incoming bucket; the run that the next tick begins with it."""
    known = {one["name"] for one in account.executions()}
    account.s3.put_object(Bucket=account.output("IncomingBucket"), Key=f"tickets/{name}", Body=b"".join(lines))
    found = until(lambda: {one["name"] for one in account.executions()} - known, "a run")
    assert len(found) == 1, found
    return str(found.pop())


def cancel(account: Account, lines: list[bytes], folder: Path) -> None:
    """Cancel a run that is under way, see every row accounted for, and go on with it to the same end as another's."""
    file = folder / "c.jsonl"
    file.write_bytes(b"".join(lines))
    # Its jobs are first looked at so late that there is time to cancel it.
    run = account.deployment.submit(file, "tickets", settings={"poll_seconds": 3600})
    name = run.run_id
    run.cancel()
    assert account.ended(name) == "ABORTED"
    until(lambda: run.status not in GOING_ON, "an end of the cancelled run")
    assert run.status == "cancelled", run.status
    assert account.rows(name).num_rows == len(lines)
    assert account.ended(run.resume()) == "SUCCEEDED"
    same(local(lines, folder / "c"), account.rows(name))


def fail(account: Account, lines: list[bytes], folder: Path) -> None:
    """Take a right from a role: the execution fails, sweep tells why; with the right back, nothing is missing."""
    iam: Any = account.emulator.session().client("iam")
    [role] = [one["RoleName"] for one in iam.list_roles()["Roles"] if "FunctionsPrepareRole" in one["RoleName"]]
    denied = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"}]}
    iam.put_role_policy(RoleName=role, PolicyName="Denied", PolicyDocument=json.dumps(denied))
    name = drop(account, "b.jsonl", lines)
    assert account.ended(name) == "FAILED"
    run = account.deployment.run(name)
    swept = until(lambda: run.standing.document, "a run.json of the failed run")
    assert (run.status, swept["rows"]["in"]) == ("failed", len(lines)), swept
    assert "PutObject" in swept["error"], swept["error"]
    iam.delete_role_policy(RoleName=role, PolicyName="Denied")
    assert account.ended(run.resume()) == "SUCCEEDED"
    same(local(lines, folder / "b"), account.rows(name))
    assert run.status == "succeeded"


if __name__ == "__main__":
    main()
