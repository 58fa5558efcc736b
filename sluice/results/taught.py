"""What a run's learned model was taught by, in run.json and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import field

from sluice.figures import duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.runs.taught import Taught

LEFT_OUT = ("format", "keys")  # published with the draws
NAMES = {
    "drawn": "drawn rows of this run",
    "earlier_drawn": "drawn rows of earlier runs",
    "escalated": "rows that had gone on to the last tier",
    "gold": "known answers",
    "correction": "corrections",
}


def taught_by(found: Taught | None) -> dict[str, Any] | None:
    """`taught_by` of run.json."""
    if found is None:
        return None
    return {name: value for name, value in msgspec.to_builtins(found).items() if name not in LEFT_OUT}


class RunTaught(msgspec.Struct, frozen=True, kw_only=True):
    """The same, as the report reads it; sluice.runs.taught.Taught says what stands where."""

    records: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    drawn: dict[str, int] = field(default_factory=dict)
    agreement: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    here: dict[str, Any] | None = None
    runs: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    vectors: dict[str, Any] | None = None

    def facts(self) -> Iterator[tuple[str, str]]:
        """Names and values."""
        by = [f"{count:,} {NAMES.get(name, name)}" for name, count in self.sources.items()]
        yield "Records that taught", f"{self.records:,}: {', '.join(by)}; in {duration(self.seconds)}"
        if self.left_out:
            yield "Left out", "; ".join(self.left_out)
        if self.vectors is not None:
            yield "Word vectors", f"{self.vectors['words']:,} words, {self.vectors['dimensions']:,} numbers each"
        if self.agreement:
            measured = self.here or self.agreement
            count, of = measured["count"], measured["of"]
            interval = " to ".join(percent(measured[name], 1) for name in ("low", "high"))
            yield (
                "By itself the learned model gives the last tier's label to",
                f"{count:,} of {of:,} drawn rows that it had not seen: {percent(count, of)}, 95% interval {interval}",
            )
