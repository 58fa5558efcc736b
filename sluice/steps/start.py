"""start: freeze the task, the settings, the date and the exact objects; cut the objects into spans; begin the run.

The run id is derived from what is frozen, so the same event delivered twice starts one run.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from sluice.containers import HEAD_BYTES, Container, container_of
from sluice.errors import BadInput, BadSetting, SluiceError, Stop
from sluice.planning import bucket_depth, cut_spans, span_size
from sluice.prices import check_models
from sluice.quotas import fit, to_read
from sluice.state import FrozenTier, Input, Inputs, Keys, Span, Start
from sluice.task import Task, Transport, load_task, parse_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.prices import Model
    from sluice.quotas import Fitted
    from sluice.settings import Settings
    from sluice.steps.services import Deployment, Services
    from sluice.store import Store

RUN_TASK = 20  # characters of the task's name in a run id; job names add 12 more and end at 63
AT_ONCE = 8  # objects that are looked at together: 50,000 take two minutes and not twenty
S3_URI = re.compile(r"s3://([^/]+)/(.*)", re.DOTALL)


class Request(NamedTuple):
    """What an event asks for; `version` is that of its only URI, where the event names one."""

    task: Task
    uris: list[str]
    settings: Settings
    answers: str
    at: dt.datetime | None
    nonce: str
    version: str | None = None


def run(services: Services, deployment: Deployment, event: dict[str, Any]) -> str | None:
    """Begin a run and return its id; None when the event is none of ours, such as a folder's placeholder.

    Raises:
        BadTask, BadSetting, BadInput: nothing has been sent or written.

    """
    request = _request(services, deployment, event)
    if request is None:
        return None
    models = check_models(request.task, deployment.catalog, deployment.region)
    inputs = _freeze(services, request)
    if not inputs:
        raise BadInput(f"there is nothing under {', '.join(request.uris) or 'the given inputs'}")
    run_id = _run_id(request, inputs)
    keys = Keys(run_id)
    if not services.work.exists(keys.start):
        _write(services, deployment, request, models, inputs, run_id)
    if services.workflow is not None:
        services.workflow.start(run_id, run_id, request.settings.max_workers)
    return run_id


def _request(services: Services, deployment: Deployment, event: dict[str, Any]) -> Request | None:
    if "command" in event:
        return _from_command(deployment, event["command"])
    if "schedule" in event:
        return _from_schedule(services, deployment, event["schedule"])
    if event.get("detail-type") == "Object Created":
        return _from_object(deployment, event)
    raise Stop(f"no S3 event, schedule or command: {sorted(event)}")


def _from_command(deployment: Deployment, command: dict[str, Any]) -> Request:
    given = command["task"]
    task = load_task(given, deployment.tasks) if isinstance(given, str) else parse_task(given, "the command's task")
    settings = deployment.settings.override(command.get("settings") or {})
    at = dt.datetime.fromisoformat(command["time"]) if command.get("time") else None
    return Request(task, command["inputs"], settings, command.get("answers", "bedrock"), at, command.get("nonce", ""))


def _from_schedule(services: Services, deployment: Deployment, schedule: dict[str, Any]) -> Request:
    """A tick takes all that lies under the task's prefix; its scheduled time is its name, however often it comes."""
    task = load_task(schedule["task"], deployment.tasks)
    store = services.bucket(deployment.incoming_bucket)
    uris = [store.uri(key) for key, size in store.keys(f"{task.name}/") if size]
    at = dt.datetime.fromisoformat(schedule["time"])
    return Request(task, uris, deployment.settings, "bedrock", at, schedule["time"])


def _from_object(deployment: Deployment, event: dict[str, Any]) -> Request | None:
    """EventBridge hands over the key as it is, not URL-encoded.

    The version that the event is about counts: by the time that it arrives, another may have taken its place, and has
    an event of its own.
    """
    bucket, key = event["detail"]["bucket"]["name"], event["detail"]["object"]["key"]
    name, _, rest = key.partition("/")
    if not rest or rest.endswith("/"):
        return None
    task = load_task(name, deployment.tasks)
    version = event["detail"]["object"].get("version-id") or ""
    frozen = None if version in {"", "null"} else version
    return Request(task, [f"s3://{bucket}/{key}"], deployment.settings, "bedrock", None, version, frozen)


def _freeze(services: Services, request: Request) -> list[tuple[Input, str]]:
    """The exact objects behind the URIs, each with its time; a URI that ends in / stands for all under it.

    Raises:
        BadInput: a URI is none, an object is missing, or one that a single worker has to read is too large for it.

    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda place: _frozen_input(place[0], place[1], request), _places(services, request.uris)))


def _places(services: Services, uris: list[str]) -> Iterator[tuple[Store, str]]:
    for uri in uris:
        match = S3_URI.fullmatch(uri)
        if match is None:
            raise BadInput(f"{uri} is no S3 URI: s3://bucket/key, or s3://bucket/prefix/ for all under it")
        store = services.bucket(match[1])
        if match[2] and not match[2].endswith("/"):
            yield store, match[2]
            continue
        yield from ((store, key) for key, _ in store.keys(match[2]) if not key.endswith("/"))


def _frozen_input(store: Store, key: str, request: Request) -> tuple[Input, str]:
    head, uri, settings = store.head(key, request.version), store.uri(key), request.settings
    if head is None:
        raise BadInput(f"{uri} does not exist")
    end = min(HEAD_BYTES, head.size)
    container = container_of(uri, lambda: b"".join(store.blocks(key, 0, end, head.version)))
    limit = settings.max_compressed_bytes if container.packed else settings.max_text_bytes
    if container.whole and head.size > limit:
        raise BadInput(
            f"{uri} has {head.size:,} bytes; one worker reads {container} from the beginning, and has time for "
            f"{limit:,}: split it, or write JSON Lines without compression, which many workers read at once"
        )
    frozen = Input(uri=uri, version=head.version, etag=head.etag, bytes=head.size, container=str(container))
    return frozen, head.modified


def _run_id(request: Request, inputs: list[tuple[Input, str]]) -> str:
    date = _moment(request, inputs).strftime("%Y%m%dt%H%M%S")
    basis = [request.task.model_dump(mode="json"), request.settings.model_dump(), request.answers, request.nonce]
    frozen = [item for item, _ in inputs]
    digest = hashlib.blake2b(msgspec.json.encode([*basis, frozen], order="deterministic"), digest_size=5)
    name = request.task.name[:RUN_TASK].replace("_", "-").strip("-")
    return f"{name}-{date}-{digest.hexdigest()}"


def _moment(request: Request, inputs: list[tuple[Input, str]]) -> dt.datetime:
    """The run's date: the command's or tick's, else the newest object's, so that a repeated event says the same."""
    return request.at or dt.datetime.fromisoformat(max(modified for _, modified in inputs))


def _write(
    services: Services,
    deployment: Deployment,
    request: Request,
    models: tuple[Model, ...],
    inputs: list[tuple[Input, str]],
    run_id: str,
) -> None:
    """Write the run; start.json comes last, so that where it stands the rest does."""
    keys, frozen = Keys(run_id), [item for item, _ in inputs]
    tiers = [_frozen(tier, model) for tier, model in zip(request.task.tiers, models, strict=True)]
    (settings, quotas), warnings = _fitted(services, request.settings, tiers)
    sizes = [(item.bytes, Container.parse(item.container).whole) for item in frozen]
    spans = cut_spans(sizes, span_size(sum(item.bytes for item in frozen), settings.span_bytes))
    items = [Span(run=run_id, span=n, pieces=pieces) for n, pieces in enumerate(spans)]
    services.work.put(keys.inputs, Inputs(inputs=frozen).write())
    services.work.put(keys.spans, msgspec.json.encode(items))
    start = Start(
        run=run_id,
        task=request.task.model_dump(mode="json"),
        task_version=request.task.version,
        settings=settings.model_dump(),
        tiers=tiers,
        created=services.now().isoformat(),
        date=_moment(request, inputs).date().isoformat(),
        answers=request.answers,
        role_arn=deployment.role_arn,
        kms_key=deployment.kms_key,
        work_bucket=services.work.bucket,
        results_bucket=services.results.bucket,
        depth=bucket_depth(sum(item.bytes for item in frozen)),
        spans=len(spans),
        prices={"source": deployment.catalog.source, "date": deployment.catalog.date},
        quotas=quotas,
        warnings=warnings,
    )
    services.work.put_new(keys.start, start.write())


def _fitted(services: Services, settings: Settings, tiers: list[FrozenTier]) -> tuple[Fitted, list[str]]:
    """The settings under the account's quotas for the batch models of all tiers, and what could not be read."""
    models = [tier.model_id for tier in tiers if tier.batch]
    if services.quotas is None or not models or not to_read(settings):
        return fit(settings, models, (), "Service Quotas was not asked"), []
    try:
        return fit(settings, models, services.quotas(), "Service Quotas lists none"), []
    except BadSetting:
        raise
    except SluiceError as error:
        warning = f"the quotas could not be read, and the settings' defaults hold: {error}"
        return fit(settings, models, (), "Service Quotas could not be read"), [warning]


def _frozen(tier: Any, model: Model) -> FrozenTier:
    wanted = Transport(tier.transport)
    return FrozenTier(
        model=tier.model,
        model_id=model.id,
        batch=wanted is Transport.BATCH or (wanted is Transport.AUTO and model.batch),
        max_tokens=tier.max_tokens,
        temperature=tier.temperature,
        attempts=tier.attempts,
        timeout_hours=tier.timeout_hours,
        price=model.price,
    )
