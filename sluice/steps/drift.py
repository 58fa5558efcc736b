"""What a run's shards say together of how far its rows are from those of earlier runs."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.aws.s3 import ahead
from sluice.quality.intervals import share
from sluice.results.drift import NewRows, RunDrift
from sluice.runs.document import read
from sluice.runs.taught import NewKinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.runs.taught import Taught
    from sluice.steps.services import Run

AT_ONCE = 16
SHOWN = 5  # texts


def drift(opened: Run, taught: Taught | None) -> RunDrift | None:
    """How a run stands beside earlier ones; None where none has taught it, or where stored answers are judged again."""
    if taught is None or not taught.runs or opened.start.judges is not None:
        return None
    return RunDrift(
        new=_new_rows(_shards(opened), taught.profile),
        labels=taught.labels,
        scores=taught.scores,
        stated=taught.stated,
        here=taught.here,
        out_of_service=taught.out_of_service,
    )


def _shards(opened: Run) -> Sequence[NewKinds]:
    keys = [key for key, _ in opened.store.keys(opened.keys.new_kinds_prefix)]
    found = zip(keys, ahead(opened.store.get, keys, AT_ONCE), strict=True)
    return [read(NewKinds, data, key) for key, data in found]


def _new_rows(shards: Sequence[NewKinds], profile: dict[str, Any] | None) -> NewRows | None:
    """What is beyond the threshold, less what lies there of drawn rows; both are taken for as uncertain as they are."""
    records, new = (sum(getattr(shard, name) for shard in shards) for name in ("records", "new_records"))
    if profile is None or not records:
        return None
    drawn, beyond = profile["drawn"], profile["beyond"]
    here, usual = share(new, records), share(beyond, drawn)
    found = (each for shard in shards for each in shard.examples)
    examples = heapq.nlargest(SHOWN, found, key=lambda each: each.unseen)
    return NewRows(
        records=records,
        rows=sum(shard.rows for shard in shards),
        new=new,
        new_rows=sum(shard.new_rows for shard in shards),
        drawn=drawn,
        beyond=beyond,
        share=max(0.0, new / records - beyond / drawn),
        low=max(0.0, here.low - usual.high),
        high=max(0.0, here.high - usual.low),
        examples=[msgspec.to_builtins(each) for each in examples],
    )
