"""`sluice run`: the deployed workflow over local files, on this machine."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.errors import Stop
from sluice.local.cloud import LocalCloud
from sluice.local.sources.bedrock import CALLERS
from sluice.local.synthesis import synthesized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sluice.task import Task

STAND_IN = "sluice.local.standin"


def run_local(
    *,
    inputs: Sequence[Path | str],
    task: Task,
    out: Path,
    answers: str = "standin",
    settings: Mapping[str, object] | None = None,
    region: str = "us-east-1",
    faults: Path | None = None,
    on_progress: Callable[[LocalCloud, str], None] | None = None,
) -> dict[str, Any]:
    """Classify local files with the real workflow; results, report, run.json and logs land in `out`.

    `on_progress` is called with the cloud and the run's id at every look at the execution.

    Returns:
        The document run.json.

    Raises:
        Stop: an input that is not there, an app that does not synthesize, a run that did not even start.
    """
    files = [existing(Path(name)) for name in inputs]
    with LocalCloud(out / "logs", region=region, template=synthesized()) as cloud:
        bedrock = start_stand_in(cloud, task, answers, settings or {}, faults)
        cloud.configure(logs=out / "logs", bedrock=bedrock)
        uris = upload(cloud, files, task.name)
        command = {
            "task": task.model_dump(mode="json"),
            "inputs": uris,
            "settings": dict(settings or {}),
            "answers": answers,
            "nonce": uuid.uuid4().hex,
        }
        run = str(cloud.invoke("start", {"command": command})["run"])
        look = None if on_progress is None else lambda: on_progress(cloud, run)
        try:
            cloud.wait(run, look)
        except KeyboardInterrupt:
            cancel(cloud, run)
        return collect(cloud, run, out)


def existing(path: Path) -> Path:
    """The path of an input file.

    Raises:
        Stop: there is no such file.
    """
    if not path.is_file():
        raise Stop(f"{path} is not a file")
    return path


def start_stand_in(
    cloud: LocalCloud, task: Task, answers: str, settings: Mapping[str, object], faults: Path | None
) -> str:
    """Start the stand-in for Bedrock; its URL."""
    configuration = cloud.directory / "standin.json"
    document = {
        "task": task.model_dump(mode="json"),
        "answers": answers,
        "settings": dict(settings),
        "faults": None if faults is None else str(faults.resolve()),
        "s3": cloud.endpoint,
        "region": cloud.region,
        "scale": cloud.scale,
        "template": str(cloud.template_path),
    }
    configuration.write_bytes(msgspec.json.encode(document))
    callers = {f"{CALLERS}{name}": value for name, value in os.environ.items() if name.startswith("AWS_")}
    extra = callers if answers == "bedrock" else {}
    port = cloud.spawn(STAND_IN, [str(configuration)], extra).ready()["port"]
    return f"http://127.0.0.1:{port}"


def upload(cloud: LocalCloud, files: Sequence[Path], task: str) -> list[str]:
    """Copy the inputs into the incoming bucket; their URIs, in order."""
    bucket = cloud.bucket("SLUICE_INCOMING_BUCKET")
    return [cloud.upload(file, bucket, f"{task}/{name}") for file, name in zip(files, names(files), strict=True)]


def names(files: Sequence[Path]) -> Iterator[str]:
    """A key for each file that ends in its base name; files that share one are kept apart by a folder."""
    shared = Counter(file.name for file in files)
    seen: Counter[str] = Counter()
    for file in files:
        if shared[file.name] == 1:
            yield file.name
        else:
            seen[file.name] += 1
            yield f"{seen[file.name]}/{file.name}"


def cancel(cloud: LocalCloud, run: str) -> None:
    """Stop a run and wait for its end; a second Ctrl-C leaves at once."""
    cloud.cancel(run)
    with contextlib.suppress(Stop):
        cloud.wait(run)


def collect(cloud: LocalCloud, run: str, out: Path) -> dict[str, Any]:
    """Copy what the run has published into `out`; its run.json.

    Raises:
        Stop: the run has left no run.json.
    """
    results = cloud.bucket("SLUICE_RESULTS_BUCKET")
    for key in cloud.keys(results, "results/"):
        if Path(key).name.startswith(run):
            cloud.download(results, key, out)
    report = cloud.read(results, f"reports/{run}/report.html")
    if report is not None:
        (out / "report.html").write_bytes(report)
    summary = cloud.read(cloud.bucket("SLUICE_WORK_BUCKET"), f"runs/{run}/run.json")
    if summary is None:
        cause = cloud.execution(run).document
        raise Stop(f"run {run} left no run.json: {cause['status']} {cause.get('error', '')} {cause.get('cause', '')}")
    (out / "run.json").write_bytes(summary)
    document: dict[str, Any] = msgspec.json.decode(summary)
    return document
