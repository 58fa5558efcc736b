"""The steps as workers of a run that lies in a directory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from sluice.runs.keys import JobKeys, Keys
from sluice.runs.state import JobItem, Part, Span

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sluice.steps.services import Services


def run_of(directory: Path) -> Keys:
    """The one run of a directory."""
    return Keys(next((directory / "work" / "runs").iterdir()).name)


def ready(services: Services, directory: Path, what: str, numbers: list[int]) -> Callable[[], object]:
    """One worker of a step, as if it had not run before."""
    keys = run_of(directory)
    if what == "plan":
        return lambda: _plan(services, keys, numbers[0])
    if what == "partition":
        return _partition(services, directory, keys, numbers[0])
    if what == "merge":
        return _merge(services, directory, keys, numbers[0])
    return _job(services, directory, keys, what, numbers)


def _forget(directory: Path, key: str) -> None:
    """A step whose output stands returns at once; and to free the pages of an old file takes time."""
    (directory / "work" / key).unlink(missing_ok=True)


def _plan(services: Services, keys: Keys, round_: int) -> bool:
    from sluice.steps import plan  # noqa: PLC0415 - what a step does not need is not loaded

    return plan.run(services, keys.run, round_).more


def _partition(services: Services, directory: Path, keys: Keys, number: int) -> Callable[[], object]:
    from sluice.steps import partition  # noqa: PLC0415

    span = msgspec.json.decode(services.work.get(keys.spans), type=list[Span])[number]
    _forget(directory, keys.index(number))
    _forget(directory, keys.rows(number))
    return lambda: partition.run(services, span)["rows"]


def _merge(services: Services, directory: Path, keys: Keys, number: int) -> Callable[[], object]:
    from sluice.steps import merge  # noqa: PLC0415

    part = msgspec.json.decode(services.work.get(keys.parts), type=list[Part])[number]
    _forget(directory, keys.merged_books(number))
    _forget(directory, keys.merged(number))
    return lambda: merge.run(services, part).rows


def _job(services: Services, directory: Path, keys: Keys, what: str, numbers: list[int]) -> Callable[[], object]:
    round_, number = numbers
    job, item = keys.job(round_, number), JobItem(run=keys.run, round=round_, job=number)
    _forget(directory, job.counts)
    if what == "prepare":
        from sluice.steps import prepare  # noqa: PLC0415

        _forget(directory, job.prepared)
        _forget(directory, job.input)
        return lambda: _records(services, job, prepare.run(services, item))
    from sluice.steps import check  # noqa: PLC0415

    _forget(directory, job.replies)  # else they are read as they were kept, and not kept once more
    return lambda: _sent(check.run(services, item))


def _records(services: Services, job: JobKeys, _item: JobItem) -> int:
    return int(json.loads(services.work.get(job.prepared))["records"])


def _sent(counts: object) -> int:
    return int(getattr(counts, "sent", 0))
