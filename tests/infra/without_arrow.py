"""Run the steps whose functions have no Arrow, where it cannot be imported, over a run that was recorded."""

from __future__ import annotations

import importlib
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

sys.modules["pyarrow"] = None  # type: ignore[assignment]

from sluice.aws.s3 import Store  # noqa: E402
from sluice.models.catalog import Catalog  # noqa: E402 - the line above comes first
from sluice.runs.keys import Keys  # noqa: E402
from sluice.runs.settings import Settings  # noqa: E402
from sluice.runs.state import JobItem  # noqa: E402
from sluice.steps import prepare, start  # noqa: E402
from sluice.steps.services import Deployment, Services  # noqa: E402
from tests.harness.bedrock import MemoryBedrock  # noqa: E402
from tests.harness.s3 import MemoryS3  # noqa: E402
from tests.harness.stepping import STEPS  # noqa: E402

FORMATS = Path(__file__).parents[1] / "formats"
VARIABLES = ("AWS_REGION", "POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE", "SLUICE_ENVIRONMENT")


def main() -> None:
    """Import each handler, take the jobs of two rounds as far as check, and begin another run."""
    os.environ.update(dict.fromkeys(VARIABLES, "any"))
    steps = set(STEPS) - {"answer"}  # which has numpy, and Arrow with it
    for step in ("start", "prepare", *steps):
        importlib.import_module(f"lambdas.{step}")
    begin()
    taken = {step for round_ in (0, 1) for step in settle(round_)}
    assert taken == steps, taken
    assert sys.modules["pyarrow"] is None


def recorded(last: str) -> MemoryS3:
    """The objects of the recorded run, as far as the one whose key ends so."""
    s3 = MemoryS3()
    with zipfile.ZipFile(FORMATS / "format-1.zip") as archive:
        for name in archive.namelist():
            _, bucket, key = name.split("/", 2)
            s3.objects[bucket, key] = archive.read(name)
            if key.endswith(last):
                return s3
    raise LookupError(last)


def services_over(s3: MemoryS3) -> Services:
    """The services of a step over objects in memory."""
    stores: dict[str, Any] = {name: Store(s3, name) for name in ("work", "results", "incoming")}  # type: ignore[arg-type]
    bedrock = MemoryBedrock(stores["work"], lambda _model, _text: '{"label": "a", "confidence": "certain"}')
    return Services(work=stores["work"], results=stores["results"], bucket=stores.__getitem__, bedrock=bedrock)


def begin() -> None:
    """Start a run over the recorded inputs."""
    s3 = recorded("b.jsonl")
    deployment = Deployment(
        settings=Settings(),
        tasks=FORMATS,
        catalog=Catalog.load(),
        region="us-east-1",
        role_arn="arn:aws:iam::123456789012:role/any",
        incoming_bucket="incoming",
    )
    task = {"name": "faults", "input": {"text": "text"}, "labels": ["a", "b"]}
    inputs = [f"s3://{bucket}/{key}" for bucket, key in s3.objects]
    assert start.run(services_over(s3), deployment, {"command": {"task": task, "inputs": inputs}})


def settle(round_: int) -> set[str]:
    """Prepare the jobs of a round and send them on their way; the steps that they took."""
    s3 = recorded(f"round-{round_}/jobs.json")
    services, taken = services_over(s3), set[str]()
    run = next(key.split("/")[1] for bucket, key in s3.objects if bucket == "work")
    for planned in json.loads(services.work.get(Keys(run).jobs(round_))):
        item = prepare.run(services, JobItem(**planned))
        while item.next in STEPS:
            taken.add(item.next)
            item = STEPS[item.next](services, item)
        assert item.next == "check", item
    return taken


if __name__ == "__main__":
    main()
