"""`sluice run`: the deployed workflow over local files, on this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.aws.s3 import Store, ahead
from sluice.errors import Interrupted, Stop, as_raised
from sluice.files import all_or_none, digest_of, plain, write_whole
from sluice.local.answers import BEDROCK, SERVER, Answers
from sluice.local.asking import FOR_SERVERS, make_sure_of, models_beside, models_file, who_answers
from sluice.local.cloud import SCALE, FunctionFailed, LocalCloud
from sluice.local.faults import Plan, crashes, read_plan
from sluice.local.functions import Surroundings
from sluice.local.looks import Looks
from sluice.local.reuse import KeptRuns
from sluice.local.sources.kept import NAME
from sluice.local.synthesis import synthesized
from sluice.models.catalog import Catalog
from sluice.report.report import render
from sluice.results.folder import ARRIVING, ASKED, CERTIFICATE, DRAWS, give_way, held
from sluice.rows.inputs import names
from sluice.runs.approval import Approval
from sluice.runs.document import read
from sluice.runs.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sluice.runs.progress import Snapshot
    from sluice.task.task import Task

SCARCE_BYTES = 1024 * 1024
LARGE_BYTES = 64 * 1024 * 1024
UPLOADS_AT_ONCE = 4
PATIENCE_SECONDS = 900.0
STANDIN = Answers.everywhere()
LONG_SCALE = 1 / 120  # a minute is half a second

# Pauses that a handler makes inside itself, where the engine's clock does not reach: a call that AWS may take minutes
# to finish is a matter of milliseconds here.
SHORT_PAUSES = {"sweep_seconds": 1}


def run_local(  # noqa: PLR0913 - what the command line can say
    *,
    inputs: Sequence[Path | str],
    task: Task,
    out: Path,
    answers: Answers = STANDIN,
    settings: Mapping[str, object] | None = None,
    region: str = "us-east-1",
    faults: Path | None = None,
    patience: float = PATIENCE_SECONDS,
    asked: Mapping[str, Any] | None = None,
    judge_by: Task | None = None,
    on_progress: Callable[[Snapshot], None] | None = None,
    approve: Callable[[Approval], bool] = lambda _approval: False,
    part_of: Task | None = None,
) -> dict[str, Any]:
    """Classify local files with the real workflow; results, report, run.json and logs land in `out`.

    `part_of` is the task whose tiers the stand-in knows, where this one has only some of them.
    `on_progress` is told how the run stands, about twice a second; `approve` decides about a run that waits for an
    approval of its cost, and cancels one that does not get it. `patience`: for how many seconds a server of one's own
    that goes away is waited for. `asked` is what `sluice resume` finds of it later. `judge_by`: the answers that are
    kept are judged by this task, as those of an earlier run, and nobody is asked.

    Returns:
        The document run.json.

    Raises:
        BadTask, BadInput, BadSetting: the run's start refuses it.
        Stop: an input that is not there, an app that does not synthesize, a run that did not even start, or one whose
            server went away for too long: what was answered is kept.
        Interrupted: Ctrl-C; the run was cancelled, and what it had answered is collected.
    """
    files = [existing(Path(name)) for name in inputs]
    if judge_by is None:
        make_sure_of(answers, part_of or task)
    scale = scale_for(sum(file.stat().st_size for file in files), answers)
    catalog = Catalog.of_project(Path(), os.environ).with_servers(answers.servers)
    template = synthesized(models=models_beside(task, catalog, region), tasks=False)
    with (
        full_disk_told(out),
        held(out),
        LocalCloud(
            out / "logs",
            region=region,
            scale=scale,
            template=template,
            callers_credentials=BEDROCK in answers.kinds,
            hidden=answers.secret_variables,
        ) as cloud,
    ):
        if asked is not None:
            write_whole(out / ASKED, msgspec.json.encode(asked))
        chosen = _with_servers(settings or {}, answers)
        return run_in(
            cloud,
            Request(files, task, out, answers, chosen, faults, part_of, patience, judge_by),
            Looks(Store(cloud.s3, cloud.bucket("SLUICE_WORK_BUCKET")), cloud.calls, on_progress),
            approve,
        )


@contextmanager
def full_disk_told(out: Path) -> Iterator[None]:
    """Add to an error that there is no room, where there is none: a process that dies of it cannot say so itself."""
    try:
        yield
    except Stop as error:
        for place in (out, Path(tempfile.gettempdir())):
            found = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
            if shutil.disk_usage(found).free < SCARCE_BYTES:
                raise Stop(f"{error}; the disk of {plain(place)} is full") from error
        raise


@dataclass(frozen=True)
class Request:
    """What is to be run, and where its outcome goes."""

    files: Sequence[Path]
    task: Task
    out: Path
    answers: Answers = STANDIN
    settings: Mapping[str, object] = field(default_factory=dict)
    faults: Path | None = None
    part_of: Task | None = None
    patience: float = PATIENCE_SECONDS
    judge_by: Task | None = None


def run_in(
    cloud: LocalCloud,
    request: Request,
    on_look: Callable[[str], None] | None = None,
    approve: Callable[[Approval], bool] = lambda _approval: False,
) -> dict[str, Any]:
    """Run a request in a cloud that is up, and that other requests can use before and after; its run.json.

    Ctrl-C cancels the run, and what it has answered by then is collected; so does a cost that is not approved.

    Raises:
        Interrupted: Ctrl-C.
    """
    prepare(cloud, request)
    replies = KeptRuns(cloud, request.task, request.out)
    replies.bring()
    digests = [digest_of(file) for file in request.files]
    run = start(cloud, request)
    look = None if on_look is None else lambda: on_look(run)  # of the run that goes on then
    try:
        cloud.wait(run, look)
        if (asked := waiting(cloud, run)) is not None:
            settle(cloud, run, look, agreed=approve(asked))
        if request.judge_by is not None:
            run = judge_again(cloud, run, request.judge_by)
            cloud.wait(run, look)
    except KeyboardInterrupt:  # a second one leaves at once
        cloud.cancel(run, look)
        raise Interrupted(collect(cloud, run, request.out, request.files, digests)) from None
    finally:
        replies.take()
    return collect(cloud, run, request.out, request.files, digests)


def judge_again(cloud: LocalCloud, run: str, task: Task) -> str:
    """Begin the run that judges the answers of another by a task; its id."""
    return _started(cloud, {"rejudge": {"run": run, "task": task.model_dump(mode="json")}})


def waiting(cloud: LocalCloud, run: str) -> Approval | None:
    """The approval that a run waits for, if it does."""
    key = Keys(run).approval
    data = cloud.read(cloud.bucket("SLUICE_WORK_BUCKET"), key)
    return None if data is None else read(Approval, data, key)


def settle(cloud: LocalCloud, run: str, look: Callable[[], None] | None, *, agreed: bool) -> None:
    """Let a waiting run go on to its end, or close it."""
    if agreed:
        cloud.wait(cloud.invoke("start", {"approve": {"run": run}})["execution"], look)
    else:
        cloud.cancel(run, look)


def prepare(cloud: LocalCloud, request: Request) -> None:
    """Bring up the stand-in and the functions' surroundings for a request."""
    logs = request.out / "logs"
    plan = Plan() if request.faults is None else read_plan(request.faults)
    models = models_file(request.answers, logs)
    bedrock = cloud.answer_with(configuration(cloud, request, models))
    with suppress(FileNotFoundError):
        shutil.rmtree(logs / "writes")
    if plan.functions:
        (logs / "writes").mkdir(parents=True)
    cloud.configure(
        Surroundings(
            logs=str(logs.resolve()),
            variables={**cloud.endpoints(bedrock), **({"SLUICE_MODELS": str(models)} if models else {})},
            crashes=crashes(plan, (logs / "writes").resolve()),
            plan=plan,
        )
    )


def start(cloud: LocalCloud, request: Request) -> str:
    """Upload the inputs and start a run of them; its id."""
    command = {
        "task": request.task.model_dump(mode="json"),
        "inputs": upload(cloud, request.files, request.task.name),
        "settings": {**SHORT_PAUSES, **request.settings},
        "answers": request.answers.said,
        "nonce": uuid.uuid4().hex,
    }
    return _started(cloud, {"command": command})


def _started(cloud: LocalCloud, event: dict[str, Any]) -> str:
    try:
        return str(cloud.invoke("start", event)["run"])
    except FunctionFailed as error:
        raise as_raised(error.kind, str(error)) or error from error


def _with_servers(settings: Mapping[str, object], answers: Answers) -> Mapping[str, object]:
    return {**FOR_SERVERS, **settings} if answers.servers else settings


def scale_for(size: int, answers: Answers) -> float:
    """How much shorter waits are than in AWS: less so where jobs take long, since a look at a job has its price too."""
    return LONG_SCALE if size > LARGE_BYTES or answers.kinds & {SERVER, BEDROCK} else SCALE


def existing(path: Path) -> Path:
    """The path of an input file.

    Raises:
        Stop: there is no such file.
    """
    if not path.is_file():
        raise Stop(f"{path} is not a file")
    return path


def configuration(cloud: LocalCloud, request: Request, models: Path | None) -> dict[str, Any]:
    """What the stand-in has to know."""
    task = request.part_of or request.task
    return {
        "task": task.model_dump(mode="json"),
        **who_answers(request.answers, task, Catalog.load(models), cloud.region),
        "patience": request.patience,
        "only_kept": request.judge_by is not None,
        "models": None if models is None else str(models),
        "settings": dict(request.settings),
        "faults": None if request.faults is None else str(request.faults.resolve()),
        "s3": cloud.endpoint,
        "region": cloud.region,
        "scale": cloud.scale,
        "template": str(cloud.template_path),
        "journal": str((request.out / "logs" / "bedrock.jsonl").resolve()),
        "replies": str((request.out / NAME).resolve()),
    }


def upload(cloud: LocalCloud, files: Sequence[Path], task: str) -> list[str]:
    """Copy the inputs into the incoming bucket; their URIs, in order."""
    bucket = cloud.bucket("SLUICE_INCOMING_BUCKET")
    places = zip(files, names(files), strict=True)
    return list(ahead(lambda place: cloud.upload(place[0], bucket, f"{task}/{place[1]}"), places, UPLOADS_AT_ONCE))


def collect(
    cloud: LocalCloud, run: str, out: Path, files: Sequence[Path] = (), digests: Sequence[str] = ()
) -> dict[str, Any]:
    """Copy what the run has published into `out`, with its report; run.json, which names the file of each input.

    `digests` are those that the files had when the run read them, in their order.

    Raises:
        Stop: the run has left no run.json.
        OSError: it cannot be written; then nothing of it stays.
    """
    with all_or_none(out) as noted:
        return _collect(cloud, run, out, [*zip_longest(files, digests)], noted)


def _collect(
    cloud: LocalCloud, run: str, out: Path, files: Sequence[tuple[Path, str | None]], noted: Callable[[Path], Path]
) -> dict[str, Any]:
    results = cloud.bucket("SLUICE_RESULTS_BUCKET")
    parts = [key for key in cloud.keys(results, "results/") if Path(key).name.startswith(run)]
    for key in parts:
        cloud.fetch(results, key, noted(out / ARRIVING / key))
    summary = cloud.read(cloud.bucket("SLUICE_WORK_BUCKET"), f"runs/{run}/run.json")
    if summary is None:
        cause = cloud.execution(run).document
        raise Stop(f"run {run} left no run.json: {cause['status']} {cause.get('error', '')} {cause.get('cause', '')}")
    document: dict[str, Any] = msgspec.json.decode(summary)
    for item, (file, digest) in zip(document["inputs"], files, strict=False):  # a run that broke off lists fewer
        item |= {"path": str(file.resolve()), "sha256": digest}
    page = render(document).encode()  # also of a run that published none
    write_whole(noted(out / ARRIVING / "report.html"), page)
    write_whole(noted(out / ARRIVING / "run.json"), msgspec.json.encode(document))
    names = [*parts, "report.html", "run.json"]
    for name in (CERTIFICATE, DRAWS):
        if (kept := cloud.read(results, f"reports/{run}/{name}")) is not None:
            write_whole(noted(out / ARRIVING / name), kept)
            names.append(name)
    give_way(out, document, published=bool(parts))
    for key in names:
        place = noted(out / key)
        place.parent.mkdir(parents=True, exist_ok=True)
        (out / ARRIVING / key).replace(place)
    shutil.rmtree(out / ARRIVING)
    return document
