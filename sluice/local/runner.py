"""`sluice run`: the deployed workflow over local files, on this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.aws.s3 import Store, ahead
from sluice.errors import BadSetting, BadTask, Interrupted, SluiceError, Stop, as_raised
from sluice.files import all_or_none, digest_of, plain, write_whole
from sluice.local.cloud import SCALE, FunctionFailed, LocalCloud
from sluice.local.faults import Plan, crashes, read_plan
from sluice.local.functions import Surroundings
from sluice.local.sources.kept import NAME
from sluice.local.synthesis import synthesized
from sluice.models.catalog import Catalog
from sluice.report.report import render
from sluice.results.folder import CERTIFICATE, give_way, held
from sluice.rows.inputs import names
from sluice.runs.approval import Approval
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.progress import Watch
from sluice.task.tiers import DEFAULT_TIERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sluice.runs.progress import Reader, Snapshot
    from sluice.task.task import Task
    from sluice.task.tiers import Tier

SCARCE_BYTES = 1024 * 1024
LARGE_BYTES = 64 * 1024 * 1024
UPLOADS_AT_ONCE = 4
ARRIVING = ".arriving"  # the folder of what is being collected, and takes the place of earlier rows when it is whole
LOOK_SECONDS = 0.4  # the runner offers a look far more often than a person can read
LONG_SCALE = 1 / 120  # a minute is half a second

# Pauses that a handler makes inside itself, where the engine's clock does not reach: a call that AWS may take minutes
# to finish is a matter of milliseconds here.
SHORT_PAUSES = {"sweep_seconds": 1}


def run_local(  # noqa: PLR0913 - what the command line can say
    *,
    inputs: Sequence[Path | str],
    task: Task,
    out: Path,
    answers: str = "standin",
    settings: Mapping[str, object] | None = None,
    region: str = "us-east-1",
    faults: Path | None = None,
    on_progress: Callable[[Snapshot], None] | None = None,
    approve: Callable[[Approval], bool] = lambda _approval: False,
    part_of: Task | None = None,
) -> dict[str, Any]:
    """Classify local files with the real workflow; results, report, run.json and logs land in `out`.

    `part_of` is the task whose tiers the stand-in knows, where this one has only some of them.
    `on_progress` is told how the run stands, about twice a second; `approve` decides about a run that waits for an
    approval of its cost, and cancels one that does not get it.

    Returns:
        The document run.json.

    Raises:
        BadTask, BadInput, BadSetting: the run's start refuses it.
        Stop: an input that is not there, an app that does not synthesize, a run that did not even start.
        Interrupted: Ctrl-C; the run was cancelled, and what it had answered is collected.
    """
    files = [existing(Path(name)) for name in inputs]
    make_sure_of(answers)
    scale = scale_for(sum(file.stat().st_size for file in files), answers)
    template = synthesized(models=models_beside(task, region), tasks=False)
    with (
        full_disk_told(out),
        held(out),
        LocalCloud(
            out / "logs", region=region, scale=scale, template=template, callers_credentials=answers == "bedrock"
        ) as cloud,
    ):
        return run_in(
            cloud,
            Request(files, task, out, answers, settings or {}, faults, part_of),
            None if on_progress is None else Looks(Store(cloud.s3, cloud.bucket("SLUICE_WORK_BUCKET")), on_progress),
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
    answers: str = "standin"
    settings: Mapping[str, object] = field(default_factory=dict)
    faults: Path | None = None
    part_of: Task | None = None


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
    digests = [digest_of(file) for file in request.files]
    run = start(cloud, request)
    look = None if on_look is None else lambda: on_look(run)
    try:
        cloud.wait(run, look)
        if (asked := waiting(cloud, run)) is not None:
            settle(cloud, run, look, agreed=approve(asked))
    except KeyboardInterrupt:  # a second one leaves at once
        cloud.cancel(run, look)
        raise Interrupted(collect(cloud, run, request.out, request.files, digests)) from None
    return collect(cloud, run, request.out, request.files, digests)


class Looks:
    """Tells somebody how a run stands, as the work bucket shows it, when the last time is long enough ago."""

    def __init__(
        self, work: Reader, tell: Callable[[Snapshot], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._work = work
        self._tell = tell
        self._clock = clock
        self._next = 0.0
        self._watch: Watch | None = None

    def __call__(self, run: str) -> None:
        """Look at a run."""
        if self._clock() < self._next:
            return
        if self._watch is None:
            self._watch = Watch(self._work, run)
        try:
            snapshot = self._watch.look()
        except SluiceError:  # a run goes on when a look at it fails
            pass
        else:
            self._tell(snapshot)
        self._next = self._clock() + LOOK_SECONDS


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
    bedrock = cloud.answer_with(configuration(cloud, request))
    with suppress(FileNotFoundError):
        shutil.rmtree(logs / "writes")
    if plan.functions:
        (logs / "writes").mkdir(parents=True)
    cloud.configure(
        Surroundings(
            logs=str(logs.resolve()),
            variables={**cloud.endpoints(bedrock), **own_models()},
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
        "answers": request.answers,
        "nonce": uuid.uuid4().hex,
    }
    try:
        return str(cloud.invoke("start", {"command": command})["run"])
    except FunctionFailed as error:
        raise as_raised(error.kind, str(error)) or error from error


def own_models() -> dict[str, str]:
    """Where the functions find the catalogue of this folder; deployed ones have it in their code."""
    own = Path(os.environ.get("SLUICE_MODELS") or "models.yaml")
    return {"SLUICE_MODELS": str(own.resolve())} if own.is_file() else {}


def models_beside(task: Task, region: str) -> list[str]:
    """The ids of a task's models that the default tiers do not have: a deployment of the task would allow them."""
    catalog = Catalog.of_project(Path(), os.environ)

    def ids(tiers: Iterable[Tier]) -> set[str]:
        found = set()
        for tier in tiers:
            with suppress(BadTask, BadSetting):  # the start of the run refuses those, with the reason
                found.add(catalog.resolve(tier.model, region).id)
        return found

    return sorted(ids(task.tiers) - ids(DEFAULT_TIERS))


def scale_for(size: int, answers: str) -> float:
    """How much shorter waits are than in AWS: less so where jobs take long, since a look at a job has its price too."""
    kind = answers.partition(":")[0]
    return LONG_SCALE if size > LARGE_BYTES or kind in ("openai", "bedrock") else SCALE


def make_sure_of(answers: str) -> None:
    """Look whether a server that is to answer is there and takes requests, rather than let a whole run find out.

    Raises:
        Stop: it is not, or does not.
    """
    kind, _, rest = answers.partition(":")
    if kind == "openai":
        from sluice.local.sources.openai import OpenAISource  # noqa: PLC0415 - the other sources need no HTTP client

        url, _, model = rest.rpartition("#")
        OpenAISource(url, model).reach()


def existing(path: Path) -> Path:
    """The path of an input file.

    Raises:
        Stop: there is no such file.
    """
    if not path.is_file():
        raise Stop(f"{path} is not a file")
    return path


def configuration(cloud: LocalCloud, request: Request) -> dict[str, Any]:
    """What the stand-in has to know."""
    return {
        "task": (request.part_of or request.task).model_dump(mode="json"),
        "answers": absolute(request.answers),
        "settings": dict(request.settings),
        "faults": None if request.faults is None else str(request.faults.resolve()),
        "s3": cloud.endpoint,
        "region": cloud.region,
        "scale": cloud.scale,
        "template": str(cloud.template_path),
        "journal": str((request.out / "logs" / "bedrock.jsonl").resolve()),
        "replies": str((request.out / NAME).resolve()),
    }


def absolute(answers: str) -> str:
    """The source of the answers, with the path of a replay made independent of the working folder."""
    kind, _, path = answers.partition(":")
    return f"replay:{Path(path).resolve()}" if kind == "replay" else answers


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
    if (certificate := cloud.read(results, f"reports/{run}/{CERTIFICATE}")) is not None:
        write_whole(noted(out / ARRIVING / CERTIFICATE), certificate)
        names.append(CERTIFICATE)
    give_way(out, document, published=bool(parts))
    for key in names:
        place = noted(out / key)
        place.parent.mkdir(parents=True, exist_ok=True)
        (out / ARRIVING / key).replace(place)
    shutil.rmtree(out / ARRIVING)
    return document
