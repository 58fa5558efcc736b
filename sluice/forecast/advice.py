"""Which ladder, packs and transports would cost least for a task's rows: what a plan would be under other tiers.

The last tier stays the task's own, since it is what answers are measured by. Before it stands none, or one model of the
catalogue that the Region has and whose limits the rows keep to. Each tier takes the pack and the way in which its
records cost least. How well a model answers, and so how many records go on, nobody can know from prices: the share is
the one that was assumed, and what would have to be measured is said beside each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluice.budget import costs
from sluice.errors import BadSetting
from sluice.models.pace import pace_of
from sluice.runs import accounting
from sluice.runs.state import FrozenTier
from sluice.task.tiers import Tier, Transport, Way

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Sequence

    from sluice.models.catalog import Catalog, Model
    from sluice.runs.settings import Settings
    from sluice.task.task import Task

PACKS = (1, 2, 5, 10, 20)
# Packs above these are not offered: beyond them answers are known to suffer (docs/tasks.md, Packs).
MOST_PACKED = {"nova": 5}
MOST_PACKED_ELSE = 10
SHOWN = 10
TRIED = 200  # records of a pilot that tells how often two tiers agree


@dataclass(frozen=True, slots=True)
class Rung:
    """One tier of a mix: its model, how many records share a request, how they are sent, and what that costs."""

    model: str
    model_id: str
    pack: int
    way: Way
    records: int
    expected_usd: float


@dataclass(frozen=True, slots=True)
class Mix:
    """A ladder with packs and transports, what it is expected to cost, and what nobody has measured of it."""

    rungs: tuple[Rung, ...]
    expected_usd: float
    to_measure: tuple[str, ...]

    def as_tiers(self) -> list[dict[str, Any]]:
        """The same as `tiers` of a task file."""
        return [{"model": rung.model, **({"pack": rung.pack} if rung.pack > 1 else {})} for rung in self.rungs]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a mix is priced by: a task and its rows, where and when they are sent, and the share that goes on."""

    task: Task
    load: costs.Load
    catalog: Catalog
    region: str
    settings: Settings
    escalate: float
    today: dt.date


def advise(asked: Circumstances) -> list[Mix]:
    """Every ladder with the packs and ways in which it costs least, the cheapest first; none without a price."""
    last = asked.task.tiers[-1]
    below = costs.sent(asked.load.records, [asked.escalate])[1]
    strongest = _cheapest(_rungs(asked, last, last.model, asked.load.records))
    behind = _cheapest(_rungs(asked, last, last.model, below))
    found = [] if strongest is None else [_mix(asked, [strongest])]
    if behind is not None:
        firsts = (_cheapest(_rungs(asked, asked.task.tiers[0], name, asked.load.records)) for name in _models(asked))
        found += [_mix(asked, [first, behind]) for first in firsts if first is not None]
    return sorted(found, key=lambda mix: mix.expected_usd)


def _models(asked: Circumstances) -> Iterator[str]:
    """Short names of models that could stand first: those of the task too, and none that is its last."""
    last = asked.task.tiers[-1].model
    names = dict.fromkeys([*(tier.model for tier in asked.task.tiers[:-1]), *asked.catalog.entries])
    yield from (name for name in names if name != last)


def _rungs(asked: Circumstances, tier: Tier, name: str, records: int) -> Iterator[Rung]:
    """A model with each pack that it may have, sent as that would be sent."""
    model = _resolved(asked, name)
    for pack in PACKS if model is not None else ():
        frozen = frozen_as(asked, tier, name, pack)
        if frozen is None:
            continue
        way = costs.expected_way(frozen, asked.load, records, asked.settings.min_records_per_job)
        usd = costs.expected_usd(frozen, asked.load, way, records)
        if usd is not None:
            yield Rung(name, frozen.model_id, pack, way, records, usd)


def frozen_as(asked: Circumstances, tier: Tier, name: str, pack: int) -> FrozenTier | None:
    """A tier of the task with another model and pack, its transport left open; None where that cannot be."""
    model = _resolved(asked, name)
    if model is None or not _fits(asked, model, tier, pack):
        return None
    changes = {"model": name, "pack": pack, "transport": Transport.AUTO}
    if model.name != tier.model:  # what is said of a model's own fields is about that model
        changes |= {"request": {}, "temperature": 0.0}
    frozen = FrozenTier.of(tier.model_copy(update=changes), model)
    settings = asked.settings
    pace = pace_of(
        model.name,
        (settings.on_demand_tokens_per_minute, None, None),
        asked.catalog.durations,
        calls_at_once=settings.on_demand_concurrency,
        jobs_at_once=settings.max_jobs_in_flight,
        job_records=settings.max_records_per_job,
    )
    return frozen.model_copy(update={"pace": pace})


def _resolved(asked: Circumstances, name: str) -> Model | None:
    """A model of the Region with a price; none that has come to its end."""
    try:
        model = asked.catalog.resolve(name, asked.region)
    except BadSetting:
        return None
    ended = model.lifecycle is not None and model.lifecycle.ended(asked.today)
    return None if ended or model.price is None or model.server is not None else model


def _fits(asked: Circumstances, model: Model, tier: Tier, pack: int) -> bool:
    """Whether so many records fit into a request of the model, and their answers into what it can write."""
    most = next((most for part, most in MOST_PACKED.items() if part in model.id), MOST_PACKED_ELSE)
    written, load = pack * tier.max_tokens, asked.load
    longest = min((limit for limit in (model.context_tokens, model.priced_to_tokens) if limit), default=None)
    each = -(-load.text_tokens // max(1, load.records))
    read = load.prompt_tokens + max(asked.task.input.max_tokens, pack * each)
    return (
        pack <= max(most, tier.pack)
        and (model.max_output_tokens is None or written <= model.max_output_tokens)
        and (longest is None or (read + written) * model.token_factor <= longest)
    )


def _cheapest(rungs: Iterable[Rung]) -> Rung | None:
    """The one that costs least; of several alike the smallest pack, which changes answers least."""
    return min(rungs, key=lambda rung: (rung.expected_usd, rung.pack), default=None)


def _mix(asked: Circumstances, rungs: Sequence[Rung]) -> Mix:
    usd = accounting.total(rung.expected_usd for rung in rungs) or 0.0
    return Mix(tuple(rungs), usd, tuple(_unmeasured(asked, rungs)))


def _unmeasured(asked: Circumstances, rungs: Sequence[Rung]) -> Iterator[str]:
    """What nobody knows of a mix, and has to before its cost means anything."""
    last = rungs[-1]
    if len(rungs) > 1:
        packed = f" in packs of {rungs[0].pack}" if rungs[0].pack > 1 else ""
        yield f"how often {rungs[0].model}{packed} agrees with {last.model}, and what share it passes on"
    if last.pack > asked.task.tiers[-1].pack:
        yield f"how often {last.model} in packs of {last.pack} agrees with itself asked as now"
