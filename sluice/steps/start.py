"""start: freeze the task, the settings, the date and the exact objects; cut the objects into spans; begin the run.

A command begins one here at once; what was dropped goes through the inbox, `sluice.steps.intake`. The run id is derived
from what is frozen, so the same command given twice starts one run.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from sluice.decoding import decode
from sluice.errors import BadInput, BadSetting, SluiceError
from sluice.models.fitting import check_models
from sluice.models.pace import pace_of, told_of
from sluice.models.servers import is_own
from sluice.quality.draws import seed_of
from sluice.results.corrections import Corrections
from sluice.results.settled import settled_by_people
from sluice.rows.containers import LEAST_HEAD, SUFFIXES, Container, Rows, container_of, left_out
from sluice.rows.inputs import listed
from sluice.runs.document import read
from sluice.runs.fitted import fit, to_read
from sluice.runs.keys import REQUESTS, Keys
from sluice.runs.planning import bucket_depth, cut_spans, span_size
from sluice.runs.settings import check_kept
from sluice.runs.settled import read_settled, write_settled
from sluice.runs.state import FrozenTier, Input, Inputs, PassedOver, Span, Start
from sluice.task.file import load_task, parse_task
from sluice.task.task import Task
from sluice.task.tiers import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sluice.aws.s3 import Store
    from sluice.models.catalog import Durations, Model
    from sluice.models.quotas import Listed
    from sluice.runs.fitted import Fitted
    from sluice.runs.settings import Settings
    from sluice.steps.services import Deployment, Services

RUN_TASK = 20  # characters of the task's name in a run id; job names add 12 more and end at 63
AT_ONCE = 16  # objects that are looked at together, two calls for each: 50,000 take two minutes and not twenty
BEDROCK = "bedrock"  # who answers where nobody says otherwise: a run on one's own machine does
S3_URI = re.compile(r"s3://([^/]+)/(.*)", re.DOTALL)
# Settings of the inbox and of the buckets: no run has its own.
OF_DEPLOYMENT = ("settle_seconds", "max_runs", "max_usd_per_day", "max_versions_per_hour", "keep_requests_days")


class Asked(NamedTuple):
    """What a run is to be, but for its objects. `models` are those of the task's answerers, in order."""

    task: Task
    models: tuple[Model, ...]
    settings: Settings
    answers: str
    moment: dt.datetime
    warnings: tuple[str, ...] = ()


def run(services: Services, deployment: Deployment, event: dict[str, Any]) -> str:
    """Begin the run that a command asks for, and return its id.

    Raises:
        BadTask, BadSetting, BadInput: nothing has been sent or written.

    """
    command = event["command"]
    task = _task(command["task"], deployment)
    answers = command.get("answers", BEDROCK)
    models = check_models(task, deployment.catalog, deployment.region, servers=answers != BEDROCK)
    settings = _settings(deployment, command.get("settings") or {})
    check_kept(settings, task.name, task.answerers)
    found, passed = _freeze(services, command["inputs"], settings)
    said = tuple(listed(passed))
    if not found:
        nothing = f"there is nothing under {', '.join(command['inputs']) or 'the given inputs'}"
        raise BadInput("; ".join([nothing, *said]))
    # Without a time of its own the newest object's, so that a repeated command says the same.
    moment = dt.datetime.fromisoformat(command.get("time") or max(modified for _, modified in found))
    inputs = [item for item, _ in found]
    basis = [task.model_dump(mode="json"), settings.model_dump(), answers, command.get("nonce", "")]
    id_ = run_id(task.name, moment, *basis, inputs)
    begin(services, deployment, Asked(task, models, settings, answers, moment, said), id_, inputs)
    return id_


def _task(given: object, deployment: Deployment) -> Task:
    if isinstance(given, str):
        return load_task(given, deployment.tasks)
    return parse_task(given, "the command's task")


def _settings(deployment: Deployment, changes: dict[str, Any]) -> Settings:
    if wrong := next((name for name in OF_DEPLOYMENT if name in changes), None):
        raise BadSetting(f"{wrong} is a setting of the deployment, not of a run: write it in cdk.json")
    return deployment.settings.override(changes)


def run_id(task: str, moment: dt.datetime, *basis: object) -> str:
    """A run's id: the same for the same basis."""
    digest = hashlib.blake2b(msgspec.json.encode(basis, order="deterministic"), digest_size=5)
    return f"{run_name(task)}-{moment.strftime('%Y%m%dt%H%M%S')}-{digest.hexdigest()}"


def run_name(task: str) -> str:
    """What the ids of a task's runs begin with; tasks whose names begin alike may share it."""
    return task[:RUN_TASK].replace("_", "-").strip("-")


def begin(services: Services, deployment: Deployment, asked: Asked, id_: str, inputs: list[Input]) -> None:
    """Write a run unless it stands already, and start its execution; the same again changes nothing."""
    keys = Keys(id_)
    if not services.work.exists(keys.start):
        _write(services, deployment, asked, keys, keep_inputs(services, keys, inputs))
    if services.workflow is not None:
        services.workflow.start(id_, id_, asked.settings.max_workers)


def keep_inputs(
    services: Services, keys: Keys, inputs: list[Input], passed_over: Sequence[PassedOver] = ()
) -> list[Input]:
    """Write the run's objects, unless somebody was faster; those that count from now on."""
    if services.work.put_new(keys.inputs, Inputs(inputs=inputs, passed_over=list(passed_over)).write()):
        return inputs
    return read(Inputs, services.work.get(keys.inputs), keys.inputs).inputs


def _freeze(
    services: Services, uris: list[str], settings: Settings
) -> tuple[list[tuple[Input, str]], list[tuple[str, str]]]:
    """The exact objects behind the URIs, each with its time; and what was left out, with the reason.

    A URI that ends in / stands for all under it. One that cannot be read is there with the reason,
    beside others that can.

    Raises:
        BadInput: a URI is none, an object is missing, or one that a single worker has to read is too large for it.

    """
    found: list[tuple[Input, str]] = []
    passed: list[tuple[str, str]] = []

    def look(place: tuple[Store, str, str | None, int]) -> tuple[Input, str] | tuple[str, str]:
        store, key, below, size = place
        if below is not None and (reason := left_out(key.removeprefix(below), _head(store, key, size))) is not None:
            return store.uri(key), reason
        return _frozen_or_refused(store, key, settings)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for item, said in pool.map(look, _places(services, uris)):
            if isinstance(item, str):
                passed.append((item, said))
            else:
                found.append((item, said))
    if found and all(item.refused for item, _ in found):
        raise BadInput(str(found[0][0].refused))
    return found, passed


def _frozen_or_refused(store: Store, key: str, settings: Settings) -> tuple[Input, str]:
    try:
        return freeze(store, key, settings)
    except BadInput as error:
        head = store.head(key)
        if head is None:  # a slip in the command rather than a bad object
            raise
        lines = str(Container(Rows.LINES))
        item = Input(uri=store.uri(key), version=head.version, etag=head.etag, bytes=head.size, container=lines)
        return msgspec.structs.replace(item, refused=str(error)), head.modified


def _head(store: Store, key: str, size: int) -> bytes:
    """How an object without a known suffix begins; of the others the names tell enough."""
    return b"" if key.lower().endswith(SUFFIXES) or not size else store.read_range(key, 0, min(size, LEAST_HEAD))


def _places(services: Services, uris: list[str]) -> Iterator[tuple[Store, str, str | None, int]]:
    """The objects, each with the prefix that stands for it, None where it is named itself, and its size."""
    for uri in uris:
        match = S3_URI.fullmatch(uri)
        if match is None:
            raise BadInput(f"{uri} is no S3 URI: s3://bucket/key, or s3://bucket/prefix/ for all under it")
        store = services.bucket(match[1])
        if match[2] and not match[2].endswith("/"):
            yield store, match[2], None, 0
            continue
        yield from ((store, key, match[2], size) for key, size in store.keys(match[2]) if not key.endswith("/"))


def freeze(store: Store, key: str, settings: Settings, version: str | None = None) -> tuple[Input, str]:
    """An object as it stands, or that version of it, and its time.

    Raises:
        BadInput: it is missing, or too large for the one worker that has to read it.

    """
    head, uri = store.head(key, version), store.uri(key)
    if head is None:
        raise BadInput(f"{uri} does not exist")

    def read_piece(begin: int, end: int) -> bytes:
        return b"".join(store.blocks(key, begin, end, head.version, head.etag))

    container = container_of(uri, head.size, read_piece)
    limit = settings.max_compressed_bytes if container.packed else settings.max_text_bytes
    if container.whole and head.size > limit:
        raise BadInput(
            f"{uri} has {head.size:,} bytes; one worker reads {container} from the beginning, and has time for "
            f"{limit:,}: split it, or write JSON Lines without compression, which many workers read at once"
        )
    frozen = Input(uri=uri, version=head.version, etag=head.etag, bytes=head.size, container=str(container))
    return frozen, head.modified


def _write(services: Services, deployment: Deployment, asked: Asked, keys: Keys, inputs: list[Input]) -> None:
    """Write the run; start.json comes last, so that where it stands the rest does, and says what the rest says."""
    tiers = [FrozenTier.of(tier, model) for tier, model in zip(asked.task.answerers, asked.models, strict=True)]
    listed = cache(services.quotas) if services.quotas is not None else None
    (settings, quotas), warnings = _fitted(listed, asked.settings, tiers)
    tiers = [
        _paced(tier, model, deployment.catalog.durations, settings, listed)
        for tier, model in zip(tiers, asked.models, strict=True)
    ]
    sizes = [(0 if item.refused else item.bytes, Container.parse(item.container).whole) for item in inputs]
    spans = cut_spans(sizes, span_size(sum(item.bytes for item in inputs), settings.span_bytes))
    items = [Span(run=keys.run, span=n, pieces=pieces) for n, pieces in enumerate(spans)]
    if not services.work.put_new(keys.spans, msgspec.json.encode(items)):
        items = decode(services.work.get(keys.spans), list[Span])
    settled = _settle(services, keys, asked.task)
    now = services.now()
    start = Start(
        run=keys.run,
        task=asked.task.model_dump(mode="json"),
        task_version=asked.task.version,
        settings=settings.model_dump(),
        tiers=tiers[: len(asked.task.tiers)],
        judge=tiers[-1] if len(tiers) > len(asked.task.tiers) else None,
        created=now.isoformat(),
        date=now.date().isoformat(),  # not the objects': tables begin with the first run, and objects may be older
        answers=asked.answers,
        role_arn=deployment.role_arn,
        kms_key=deployment.kms_key,
        work_bucket=services.work.bucket,
        results_bucket=services.results.bucket,
        depth=bucket_depth(sum(item.bytes for item in inputs)),
        spans=len(items),
        prices=_prices(deployment, tiers),
        requests_in=REQUESTS,
        seed=seed_of(asked.task.version, inputs, settled) if asked.task.drawn else None,
        tokens=deployment.catalog.tokens.characters,
        quotas=quotas,
        warnings=[*asked.warnings, *warnings],
        settled=len(read_settled(settled)),
    )
    services.work.put_new(keys.start, start.write())


def _settle(services: Services, keys: Keys, task: Task) -> bytes:
    """Write what people have settled of the task's texts, unless somebody was faster; what is written."""
    if not task.settles:
        return b""
    corrections = Corrections(services.results, task.name)
    corrections.refresh()
    found = settled_by_people(task, corrections)
    if not found:
        return b""
    services.work.put_new(keys.settled, write_settled(found))
    return services.work.get(keys.settled)


def _prices(deployment: Deployment, tiers: list[FrozenTier]) -> dict[str, str]:
    """Where the prices come from; those of models of one's own are their owner's."""
    if all(is_own(tier.model_id) for tier in tiers):
        return {"source": "models.yaml"} if any(tier.price for tier in tiers) else {}
    return {"source": deployment.catalog.source, "date": deployment.catalog.date}


def _paced(
    tier: FrozenTier, model: Model, durations: Durations, settings: Settings, listed: Callable[[], list[Listed]] | None
) -> FrozenTier:
    """A tier that leaves its transport open, with what limits its calls on demand; an unknown quota is no failure."""
    if tier.transport is not Transport.AUTO or not tier.batch or not (tier.flex or tier.cache_from_tokens):
        return tier
    told: tuple[int | None, int | None, int | None] = (settings.on_demand_tokens_per_minute, None, None)
    if told[0] is None and listed is not None:
        with suppress(SluiceError):
            told = told_of(model.id, listed())
    pace = pace_of(
        model.name,
        told,
        durations,
        calls_at_once=settings.on_demand_concurrency,
        jobs_at_once=settings.max_jobs_in_flight,
        job_records=settings.max_records_per_job,
    )
    return tier.model_copy(update={"pace": pace})


def _fitted(
    listed: Callable[[], list[Listed]] | None, settings: Settings, tiers: list[FrozenTier]
) -> tuple[Fitted, list[str]]:
    """The settings under the account's quotas for the batch models of all tiers, and what could not be read."""
    models = [tier.model_id for tier in tiers if tier.batch]
    if listed is None or not models or not to_read(settings):
        return fit(settings, models, (), "Service Quotas was not asked"), []
    try:
        return fit(settings, models, listed(), "Service Quotas lists none"), []
    except BadSetting:
        raise
    except SluiceError as error:
        warning = f"the quotas could not be read, and the settings' defaults hold: {error}"
        return fit(settings, models, (), "Service Quotas could not be read"), [warning]
