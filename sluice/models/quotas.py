"""Bedrock's quotas of batch jobs, as Service Quotas names them, laid under the settings of a run.

There is one quota for each kind and model: "Records per batch inference job for Nova Micro V1", "Batch inference input
file size (in GB) for Claude Sonnet 4". Their codes are different for each, and nobody publishes those of all models, so
that a quota is found by its name and told with its code. Names as in Bedrock's user guide and a public listing of all
quotas (read 2026-11-20).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from sluice.errors import BadSetting
from sluice.models.catalog import PROFILE_ID, profile_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

# "(in GB)" stands behind the kind for some models, behind the model for others.
NAME = re.compile(r"(?P<kind>.+?)(?: \(in GB\))? for (?P<model>.+?)(?: \(in GB\))?", re.IGNORECASE)
# "Cross-region model inference tokens per minute for Amazon Nova Micro",
# "Model invocation max tokens per day for Amazon Nova Micro (doubled for cross-region calls)".
ON_DEMAND = re.compile(
    r"(?:(?P<way>on-demand|(?:global )?cross-region) model inference (?:tokens|requests) per (?:minute|day)"
    r"|model invocation max tokens per day) for (?P<model>.+?)(?: \(.*\))?",
    re.IGNORECASE,
)
VENDORS = frozenset({"amazon", "anthropic"})  # named with some quotas and not with others
FIRST_VERSION = ("v", "1")  # likewise
MADE_ON = re.compile(r"-\d{8}\b|:.*$")  # the date in a model's id, and what follows its version
MOST_JOBS = 10_000  # children of a Distributed Map


class Listed(NamedTuple):
    """A quota as Service Quotas lists it."""

    code: str
    name: str
    value: float


class Kind(NamedTuple):
    """The quotas behind a setting: their kinds, what one unit is worth, which of several values counts."""

    kinds: tuple[str, ...]
    unit: int
    strictest: Callable[[Iterable[int]], int]


KINDS: Mapping[str, Kind] = {
    "min_records_per_job": Kind(("minimum number of records per batch inference job",), 1, max),
    "max_records_per_job": Kind(
        ("records per batch inference job", "records per input file per batch inference job"), 1, min
    ),
    # A job of ours is one file.
    "max_file_bytes": Kind(("batch inference input file size", "batch inference job size"), 10**9, min),
    "max_jobs_in_flight": Kind(("sum of in-progress and submitted batch inference jobs using a base model",), 1, min),
}


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """What a run keeps to, and where the number comes from."""

    value: int
    source: str


def find_quotas(
    limits: Mapping[str, int], unset: Collection[str], models: Sequence[str], listed: Iterable[Listed], otherwise: str
) -> dict[str, Quota]:
    """The quotas of all `models` (ids or ARNs) by the names of `KINDS`: of several values the strictest counts.

    Args:
        limits: the number of each kind that holds where no quota is told.
        unset: the kinds that nobody has set; of the others the number in `limits` stays.
        models: ids or ARNs.
        listed: what Service Quotas lists.
        otherwise: why the number in `limits` holds where a model has no quota of a kind.

    Raises:
        BadSetting: a quota is 0.

    """
    by_name = _by_name(listed)
    return {
        name: _quota(name, limits[name], models, by_name, otherwise)
        if name in unset
        else Quota(value=limits[name], source="set")
        for name in KINDS
    }


def on_demand_quotas(model: str, listed: Iterable[Listed]) -> list[Listed]:
    """What limits calls of a model by its id: a profile has quotas of its own, and the global one others still."""
    profile = profile_of(model)
    way = {None: "on-demand", "global": "global cross-region"}.get(profile, "cross-region")
    found = []
    for quota in listed:
        match = ON_DEMAND.fullmatch(quota.name)
        if match and (match["way"] or way).lower() == way and _words(match["model"]) == _words_of_id(model):
            found.append(quota)
    return found


def _by_name(listed: Iterable[Listed]) -> dict[tuple[str, tuple[str, ...]], list[Listed]]:
    """The quotas by kind and model."""
    found: dict[tuple[str, tuple[str, ...]], list[Listed]] = {}
    for quota in listed:
        if match := NAME.fullmatch(quota.name):
            found.setdefault((match["kind"].lower(), _words(match["model"])), []).append(quota)
    return found


def _quota(
    name: str,
    default: int,
    models: Sequence[str],
    by_name: Mapping[tuple[str, tuple[str, ...]], list[Listed]],
    otherwise: str,
) -> Quota:
    kind = KINDS[name]
    values: dict[int, str] = {}
    for model in models:
        told = [quota for each in kind.kinds for quota in by_name.get((each, _words_of_id(model)), ())]
        if not told:
            values.setdefault(default, f"the default, since {otherwise} for {model}")
        for quota in told:
            values.setdefault(_worth(quota, kind), f"Service Quotas: {quota.name} ({quota.code})")
    if 0 in values:
        raise BadSetting(
            f"{name}: {values[0]} is 0, so this account may run no such job: ask AWS for more, give the tier "
            f"`transport: on_demand`, or set {name} if you know better"
        )
    value = kind.strictest(values) if values else default
    most = MOST_JOBS if name == "max_jobs_in_flight" else value
    return Quota(value=min(value, most), source=values.get(value, "the default"))


def _worth(quota: Listed, kind: Kind) -> int:
    return max(int(kind.strictest is max), int(quota.value * kind.unit))  # no least number is below one


def _words_of_id(model: str) -> tuple[str, ...]:
    """What a quota calls the model of an id: without profile, vendor and date."""
    base = PROFILE_ID.sub(r"\2", model.rsplit("/", 1)[-1], count=1)
    return _words(MADE_ON.sub("", base))


def _words(name: str) -> tuple[str, ...]:
    """A model's name as words and numbers, so that neither case, dots nor hyphens count."""
    words = tuple(word for word in re.findall(r"[a-z]+|\d+", name.lower()) if word not in VENDORS)
    return words[:-2] if words[-2:] == FIRST_VERSION else words
